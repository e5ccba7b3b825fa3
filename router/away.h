/*
 * Sessions whose socket is gone and that may come back: for how long, how many, and what a restart finds.
 */
#ifndef HUBBUB_ROUTER_AWAY_H
#define HUBBUB_ROUTER_AWAY_H

#include "router/router.h"

void away_init(struct router *router);
void away_done(struct router *router);

/* journal_options.session: a session that a former run has left is away from now on. */
void away_restore(void *argument, const struct journal_session *row);

/* The socket of a live session is gone.  A session that can come back is away from now on; another one is
   removed. */
void away_begin(struct router *router, struct session *session);

/* Takes the socket from a session that gets another one at once; nothing for one that has none. */
void away_displace(struct router *router, struct session *session);

/* Ends a session, live or away, for good. */
void away_discard(struct router *router, struct session *session);

/* Whether a session of that sid was away for too long; of some that went long ago this is forgotten. */
bool away_expired(const struct router *router, struct bytes sid);

#endif
