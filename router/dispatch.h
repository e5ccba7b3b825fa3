/* The records of a gateway, each to its handler; and the order in which a link may send them. */
#ifndef HUBBUB_ROUTER_DISPATCH_H
#define HUBBUB_ROUTER_DISPATCH_H

#include "router/router.h"

/*
 * For struct link_events: one record.  Types that are not known are passed over.  0; ERROR_MALFORMED, or
 * ERROR_PROTOCOL for one that has no place in the link's state.
 */
int dispatch_record(void *argument, struct gateway_link *link, struct wire_reader *reader,
                    unsigned type) MUST_CHECK;

#endif
