/*
 * What the journal keeps of sessions: changes that nobody waits for, and those that a full disk has refused.
 *
 * Joins, leaves, connects and recoveries carry their own change in their ticket, and tell here how it went.
 */
#ifndef HUBBUB_ROUTER_ROWS_H
#define HUBBUB_ROUTER_ROWS_H

#include "router/router.h"

/* Writes a session as it is now, instead of its rows, once no join or leave of it is on its way; nothing for
   one that can't be recovered. */
void rows_save(struct router *router, struct session *session);

/* Deletes its rows, if it can have any. */
void rows_remove(struct router *router, const struct session *session);

/* The same for a row that no session was made of; also while the journal is being opened. */
void rows_remove_later(struct router *router, uint64_t id);

/* The member of that room has another position. */
void rows_move(struct router *router, struct session *session, const struct membership *membership);

/* A ticket's change of the session came back: what was refused is written when there is room again. */
void rows_note(struct router *router, struct session *session, const struct ticket *ticket);

/* The journal gave back a TICKET_ROWS; it is freed. */
void rows_release(struct router *router, struct ticket *ticket);

/* The journal did not give it back: the same without any effect. */
void rows_drop(struct router *router, struct ticket *ticket);

/* The end of a turn: tries again when the disk is no longer full. */
void rows_retry(struct router *router);

/* Frees what was refused. */
void rows_done(struct router *router);

#endif
