/*
 * A new link of a gateway: what the hello says is taken over, and what the gateway missed is replayed.
 *
 * A TICKET_HELLO behind everything that an earlier link handed to the journal marks the place: when
 * it comes back, nothing of that link is on its way any more.
 */
#ifndef HUBBUB_ROUTER_RESYNC_H
#define HUBBUB_ROUTER_RESYNC_H

#include "router/router.h"

/* HELLO: the link is new. */
void resync_hello(struct router *router, struct gateway_link *link, const struct wire_hello *record);

/* The records of a hello.  0; ERROR_PROTOCOL for what contradicts itself; ERROR_MALFORMED. */
int resync_socket(struct router *router, struct gateway_link *link,
                  const struct wire_socket *record) MUST_CHECK;
int resync_members(struct router *router, struct gateway_link *link,
                   const struct wire_members *record) MUST_CHECK;
int resync_hello_end(struct router *router, struct gateway_link *link,
                     const struct wire_hello_end *record) MUST_CHECK;

/* The journal gave back the TICKET_HELLO: it is freed, its hold is the caller's. */
void resync_release(struct router *router, struct ticket *ticket);

/* The socket of a live session is to be closed, as another one has taken its place. */
void resync_close_older(const struct session *session);

/* The link is gone, and so are its sockets. */
void resync_forget(struct router *router, struct gateway_link *link, enum link_end end);

#endif
