/*
 * Connection state recovery: a CONNECT that names the pid of a session, and the offset of the last event that
 * its client has got (docs/protocol.md, section 1).
 *
 * It is judged and carried out at one place in the log's order, when its ticket has come back from the
 * journal: what was released before and missed is put as EMIT, in front of JOINED and CONNECTED; what comes
 * later reaches the socket as a member of its rooms.  When the journal has to read some of it, that place is
 * where the read is back.  All or nothing: else the socket begins a session of its own, and the old one is
 * discarded.
 */
#ifndef HUBBUB_ROUTER_RECOVERY_H
#define HUBBUB_ROUTER_RECOVERY_H

#include "router/router.h"

/*
 * fresh: the session that was made for the record's socket; it goes when the recovery succeeds, and is begun
 * when it does not (connecting_begin()).  False when nothing is to be recovered: then the caller begins it.
 */
bool recovery_begin(struct router *router, struct session *fresh,
                    const struct wire_connect *record) MUST_CHECK;

/* The journal gave back a TICKET_RECOVER; it is freed, its holds are the caller's. */
void recovery_release(struct router *router, struct ticket *ticket);

/* The journal did not give it back: the same without any effect. */
void recovery_drop(struct router *router, struct ticket *ticket);

/* The end of a turn: hands the journal the reads that it has room for. */
void recovery_continue(struct router *router);

/* Drops what waits for a read; before the journal is closed. */
void recovery_done(struct router *router);

#endif
