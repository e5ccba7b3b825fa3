/* The command `socket SID` of the stats socket: what router and gateway know about one socket. */
#ifndef HUBBUB_ROUTER_INQUIRY_H
#define HUBBUB_ROUTER_INQUIRY_H

#include "router/stats.h"

struct inquiry;

/*
 * Starts one: done is called once, later.  NULL when there is nothing to wait for: what there is to say (an
 * error) has been appended to out then, and done is not called.
 */
struct inquiry *inquiry_start(struct router *router, struct bytes sid, stats_done *done, void *argument,
                              struct buffer *out);

/* done is not called any more. */
void inquiry_cancel(struct inquiry *inquiry);

#endif
