/* Events that are for the backend alone: CALL, and its answer HANDLED. */
#ifndef HUBBUB_ROUTER_CALL_H
#define HUBBUB_ROUTER_CALL_H

#include "router/task.h"

/* Whether events of that session which no rule covers are a backend's. */
bool call_possible(const struct router *router, const struct session *session);

/* Whether such an event's task is open, which its gateway asks for again. */
bool call_resume(struct router *router, struct gateway_link *link, struct session *session, uint64_t request);

/* Such an event, checked for its size, that call_resume() does not know.  False when too many wait, or it is
   not known yet whose the socket is. */
bool call_begin(struct router *router, struct gateway_link *link, struct session *session,
                const struct wire_event *event) MUST_CHECK;

/* 0 */
int call_handled(struct router *router, struct backend *backend,
                 const struct wire_handled *record) MUST_CHECK;

#endif
