/* May a client connect?  CONNECTION of kind NEW, and its answers ACCEPT and REJECT. */
#ifndef HUBBUB_ROUTER_ADMISSION_H
#define HUBBUB_ROUTER_ADMISSION_H

#include "router/task.h"

/*
 * A client wants to connect to the namespace of its session, which is new.  False when no backend is to be
 * asked; else the request is answered later, or has been refused and the session is gone.
 */
bool admission_begin(struct router *router, struct session *session, uint64_t request,
                     struct bytes auth) MUST_CHECK;

/* The answers.  0 */
int admission_accept(struct router *router, struct backend *backend,
                     const struct wire_accept *record) MUST_CHECK;
int admission_reject(struct router *router, struct backend *backend,
                     const struct wire_reject *record) MUST_CHECK;

#endif
