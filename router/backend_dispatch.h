/* The records of a backend, each to its handler; and the order in which a link may send them. */
#ifndef HUBBUB_ROUTER_BACKEND_DISPATCH_H
#define HUBBUB_ROUTER_BACKEND_DISPATCH_H

#include "router/backend.h"

/*
 * One record.  Types that are not known are passed over.  0; ERROR_MALFORMED, or ERROR_PROTOCOL for one that
 * has no place in the link's state: then the backend is cut off.
 */
int backend_dispatch(struct router *router, struct backend *backend, struct wire_reader *reader,
                     unsigned type) MUST_CHECK;

#endif
