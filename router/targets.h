/*
 * What backends do with sockets, wherever they are: have them join and leave (MOVE), disconnect them (EXPEL),
 * look for them (FIND), and store data with one (STORE).  docs/protocol.md, section 3.
 *
 * EXPEL and FIND take their place in the log's order, behind whatever was sent or moved before them.
 */
#ifndef HUBBUB_ROUTER_TARGETS_H
#define HUBBUB_ROUTER_TARGETS_H

#include "router/backend.h"

/* OUTCOME follows, or FOUND records and FOUND_END. */
void targets_move(struct router *router, struct backend *backend, const struct wire_move *record);
void targets_expel(struct router *router, struct backend *backend, const struct wire_expel *record);
void targets_find(struct router *router, struct backend *backend, const struct wire_find *record);
void targets_store(struct router *router, struct backend *backend, const struct wire_store *record);

/* Ends a session for good: DISCONNECT to the client, if it has a socket; its backend is told.  kind:
   WIRE_CLOSE_FINAL or WIRE_CLOSE_ALL.  The session is gone then. */
void targets_disconnect(struct router *router, struct session *session, enum wire_close_kind kind);

/* The journal gave back a ticket of the kind; it is freed, its holds are the caller's. */
void targets_release_moved(struct router *router, struct ticket *ticket);
void targets_release_query(struct router *router, struct ticket *ticket);
void targets_release_store(struct router *router, struct ticket *ticket);

/* It will not come back: frees it. */
void targets_drop_moved(struct router *router, struct ticket *ticket);
void targets_drop_query(struct router *router, struct ticket *ticket);
void targets_drop_store(struct router *router, struct ticket *ticket);

#endif
