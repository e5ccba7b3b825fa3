/* Events that are for the backend alone: CALL, and its answer HANDLED. */
#ifndef HUBBUB_ROUTER_CALL_H
#define HUBBUB_ROUTER_CALL_H

#include "router/task.h"

/* Whether events of that session which no rule covers are a backend's. */
bool call_possible(const struct router *router, const struct session *session);

/* Such an event, checked for its size.  False when too many wait, or it is not known yet whose the socket is.
 */
bool call_begin(struct router *router, struct gateway_link *link, struct session *session,
                const struct wire_event *event) MUST_CHECK;

/* 0 */
int call_handled(struct router *router, struct backend *backend,
                 const struct wire_handled *record) MUST_CHECK;

#endif
