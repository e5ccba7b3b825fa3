/*
 * History: a page of a room's archived messages, from memory when it has them all, else from the journal.
 *
 * A join that asks for history waits for its page, and counts from the moment the page is there.
 */
#ifndef HUBBUB_ROUTER_HISTORY_H
#define HUBBUB_ROUTER_HISTORY_H

#include "router/router.h"

/* A HISTORY record. */
void history_request(struct router *router, struct gateway_link *link, const struct wire_history *record);

/* The rest of a join that asked for history, at its place in the room's order. */
void history_join(struct router *router, struct session *session, struct membership *membership,
                  uint64_t request, bool watch, unsigned count);

/* The socket leaves the room: joins of it that still wait for a page are answered now, and do not count. */
void history_abandon_joins(struct router *router, struct session *session, const struct room *room);

/* The socket goes: no page is on its way to it any more, and its joins that wait for one count from where
   their tickets came back, as the journal's rows say. */
void history_settle_joins(struct router *router, struct session *session);

#endif
