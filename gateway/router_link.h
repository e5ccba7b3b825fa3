/*
 * The link to the router: one DEALER socket, its batches, and the steps to become consistent.
 *
 *   DOWN ----> CONNECTING ----> SYNCING ----> LIVE
 *    ^  (a new     |   (the router  |  (LIVE)   |
 *    |   socket)   |    took hello) |           |    a gap, silence, a lost connection, RESYNC, a bad batch
 *    +-------------+----------------+-----------+
 *
 * docs/protocol.md, section 2, is the contract.  Requests are kept by the request queue (request.h)
 * and sent from there, again on each new link (outstanding.h); what a link begins with is in hello.h.
 */
#ifndef HUBBUB_GATEWAY_ROUTER_LINK_H
#define HUBBUB_GATEWAY_ROUTER_LINK_H

#include "common/error.h"
#include "gateway/close_reason.h"
#include "proto/wire.h"

#include <stdbool.h>
#include <stdint.h>

struct gateway;
struct router_link;
struct socket;

/* Starts connecting.  ERROR_SYSTEM when ZeroMQ refuses the endpoint. */
int link_new(struct gateway *gateway, struct router_link **out) MUST_CHECK;
void link_free(struct router_link *link);

bool link_is_live(const struct router_link *link);

/* The batch of this turn, to put records into, of a link that is live or says hello; each is followed by a
   link_split(), which sends what has become large enough. */
struct wire_batch *link_batch(struct router_link *link);
void link_split(struct router_link *link);

/* Bytes sent that the router has not acknowledged. */
uint64_t link_unacknowledged(const struct router_link *link);

/* How long it has not been live, in ms; 0 while it is. */
uint64_t link_away(const struct router_link *link);

/* Whether so much waits for the router that publishing clients should not be read. */
bool link_congested(const struct router_link *link);

/* Tells the router that a socket is gone; that its client has left for good also when there is no link now. */
void link_disconnect(struct router_link *link, const struct socket *socket, enum close_reason reason);

/* To another gateway, through the router; dropped while the link is not live (relay.h asks again). */
void link_pass(struct router_link *link, const struct wire_pass *record);

/* Asks the router for sockets of another gateway.  ERROR_CLOSED while the link is not live. */
int link_take(struct router_link *link, const struct wire_take *record) MUST_CHECK;

/* Answers the router's ASK with a handshake as JSON; empty when the socket is gone. */
void link_told(struct router_link *link, uint64_t ask, struct bytes handshake);

/* The last position processed. */
uint64_t link_position(const struct router_link *link);

/* Appends "<epoch>.<position>", the offset that ends an event on a recovery namespace. */
void link_append_offset(const struct router_link *link, struct buffer *out);

/* The end of a turn, first: reads what ZeroMQ's descriptor does not tell. */
void link_look(struct router_link *link);

/* The end of a turn, last: sends what there is. */
void link_flush(struct router_link *link);

/* Says goodbye in the last batch and closes. */
void link_say_bye(struct router_link *link);

#endif
