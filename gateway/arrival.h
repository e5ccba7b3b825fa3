/*
 * A WebSocket on its way to an Engine.IO session that is polling, here or at another gateway (upgrade.h has
 * the other side).
 *
 *   ASKED ----> OPEN ----> PROBED ----> SWITCHING ----> TAKING ----> (a session's connection)
 *   (may it?)   (101)      (2probe,     ("5": not       (its sockets
 *                           3probe)      read any more)  come here)
 *
 * Whatever fails closes the WebSocket.  Until SWITCHING the session does not mind.
 */
#ifndef HUBBUB_GATEWAY_ARRIVAL_H
#define HUBBUB_GATEWAY_ARRIVAL_H

#include "common/bytes.h"
#include "gateway/relay.h"
#include "gateway/session.h"
#include "gateway/websocket_transport.h"

struct connection;
struct gateway;

/* A WebSocket handshake named that session.  Takes over the offer.  wanted: as the session's transport; else
 * it is refused in any case, but not before the session is known. */
void arrival_begin(struct gateway *gateway, struct connection *connection, struct websocket_offer *offer,
                   struct bytes sid, uint64_t home, bool wanted);

/* What the home says. */
void arrival_answered(struct gateway *gateway, struct connection *connection, enum relay_kind kind,
                      struct bytes body);

/* The session is one of this gateway, and nothing is asked for it any more: it goes over. */
void arrival_take_here(struct gateway *gateway, struct session *session);

/* The router's answer to TAKE. */
void arrival_on_taken(struct gateway *gateway, const struct wire_taken *record);

/* It is about to be closed: what its rooms brought behind what it did not get is forgotten, and what waited
 * before the switch may go out. */
void arrival_let_go(struct gateway *gateway, struct connection *connection);

/* This gateway stops. */
void arrival_end(struct gateway *gateway, struct connection *connection, enum close_reason reason);

/* A new link: what was being taken over it is not known to the router any more. */
void arrivals_on_live(struct gateway *gateway);

#endif
