/*
 * Looks at a room from outside, for a gateway's HTTP interface (GET /api/rooms/R and its history): no
 * membership is asked for.
 *
 *   {"ok":true,"room":R,"members":3,"seq":41}
 *   {"ok":true,"room":R,"messages":[M, ...],"more":false}
 *
 * M is as in a client's history, but for attachments, which stand in it: "attachments":["<base64>", ...].  A
 * room comes into being with its first member or message, so one that has neither has 0 of both.
 */
#ifndef HUBBUB_ROUTER_LOOK_H
#define HUBBUB_ROUTER_LOOK_H

#include "router/router.h"

/* A LOOK record; ANSWER follows, at once or later. */
void look_request(struct router *router, struct gateway_link *link, const struct wire_look *record);

/* The journal gave back a TICKET_ROOM; it is freed, its holds are the caller's. */
void look_release(struct router *router, struct ticket *ticket);

#endif
