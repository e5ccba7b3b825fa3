/*
 * A session's sockets move from the gateway that has them to one that asks for them: TAKE.
 *
 * It happens at one place in the order of things: what was put for them before is on the former gateway's
 * link, in front of GIVEN; what comes later is on the new one's, behind TAKEN.  The rooms do not notice.
 */
#ifndef HUBBUB_ROUTER_TAKE_H
#define HUBBUB_ROUTER_TAKE_H

#include "router/router.h"

enum {
    TAKE_SOCKETS_MAX = 1024,  /* as many as a connection can have */
    TAKE_ROOMS_MAX = 1 << 14, /* of all the sockets: they are told in one batch */
};

/*
 * All of them or none.  None when the other gateway is not live or is the same, a socket is not its, or has
 * a join, a leave or a page of history on its way, a number is in use or stands twice, or the sockets or
 * their rooms are too many.
 * 0, also when nothing was taken; ERROR_MALFORMED for what is no list of pairs, or has a number 0.
 */
int take_sockets(struct router *router, struct gateway_link *link, const struct wire_take *record) MUST_CHECK;

#endif
