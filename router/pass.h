/*
 * What gateways say to each other: PASS is put on the other's link as PASSED, and who comes and goes is told
 * to all.
 *
 * Nothing is kept here.  What can't be put at once comes back to a gateway that asked, and is dropped when it
 * was an answer: whoever waits for that learns by GONE or BACK that it may never come.
 */
#ifndef HUBBUB_ROUTER_PASS_H
#define HUBBUB_ROUTER_PASS_H

#include "router/router.h"

/* PASS, also to oneself.  0; ERROR_PROTOCOL for a kind that only the router says. */
int pass_on(struct router *router, struct gateway_link *link, const struct wire_pass *record) MUST_CHECK;

/* The gateway will not come back as what it was: the live ones get GONE.  Its link is removed already. */
void pass_gone(struct router *router, const struct gateway_link *link);

/* The link has become live: the other live ones get BACK. */
void pass_back(struct router *router, const struct gateway_link *link);

#endif
