/* Events with a rule: from a gateway's EVENT to the members and the sender's answer. */
#ifndef HUBBUB_ROUTER_PUBLISH_H
#define HUBBUB_ROUTER_PUBLISH_H

#include "router/router.h"

/* Checks it and hands it to the journal, delivers it (volatile), or refuses it. */
void publish_event(struct router *router, struct gateway_link *link, const struct wire_event *event);

/*
 * The end of that for an event which a backend has passed; judged may be NULL.  0 when it is on its way: its
 * sender is answered, and judge_published() called.  Else *code says why it is refused, and nothing was done.
 */
struct judged;
int publish_judged(struct router *router, struct gateway_link *link, const struct session *session,
                   const struct wire_event *event, const struct event_rule *rule, struct judged *judged,
                   enum refusal_code *code) MUST_CHECK;

/* The journal gave back a TICKET_PUBLISH, TICKET_VOLATILE or TICKET_REPEAT: answers, delivers, and keeps or
   frees the message.  Holds of link and room are the caller's. */
void publish_release(struct router *router, struct message *message);

/* hubbub:presence to those who watch the room. */
void publish_presence(struct router *router, struct room *room);

#endif
