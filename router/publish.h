/* Events with a rule: from a gateway's EVENT to the members and the sender's answer. */
#ifndef HUBBUB_ROUTER_PUBLISH_H
#define HUBBUB_ROUTER_PUBLISH_H

#include "router/router.h"

/* Checks it and hands it to the journal, delivers it (volatile), or refuses it. */
void publish_event(struct router *router, struct gateway_link *link, const struct wire_event *event);

/* The journal gave back a TICKET_PUBLISH, TICKET_VOLATILE or TICKET_REPEAT: answers, delivers, and keeps or
   frees the message.  Holds of link and room are the caller's. */
void publish_release(struct router *router, struct message *message);

/* hubbub:presence to those who watch the room. */
void publish_presence(struct router *router, struct room *room);

#endif
