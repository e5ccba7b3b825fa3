/*
 * The WebSocket as a transport: the handshake's answer, frames in and out, and its close (RFC 6455, RFC
 * 7692).
 *
 * Who speaks on a WebSocket is a connection_protocol with input = websocket_input and a message function.
 */
#ifndef HUBBUB_GATEWAY_WEBSOCKET_TRANSPORT_H
#define HUBBUB_GATEWAY_WEBSOCKET_TRANSPORT_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"
#include "gateway/close_reason.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection;
struct connection_protocol;
struct gateway;
struct http_request;

/* The 101 that a checked handshake gets, and what was agreed on. */
struct websocket_offer {
    struct buffer head;  /* the whole answer; websocket_offer_done() frees it */
    uint8_t window_bits; /* permessage-deflate: of what we may send, 8 to 15; 0 when it was not agreed on */
};

/* Judges the handshake and writes the answer; fields, each with its CRLF, go into it.  only: the one
 * subprotocol that is agreed on, when the client offers it; NULL: the first that it offers.  0, or an HTTP
 * status, negated: -400, or -426 (RFC 6455 4.4); nothing is allocated then. */
int websocket_offer_make(struct gateway *gateway, const struct http_request *request, struct bytes fields,
                         const char *only, struct websocket_offer *offer) MUST_CHECK;
void websocket_offer_done(struct websocket_offer *offer);

/* Answers a handshake that got one of these statuses instead, or, with -426, a request that is no handshake. */
void websocket_refuse(struct gateway *gateway, struct connection *connection,
                      const struct http_request *request, int status);

/* Sends 101 and goes over to the protocol.  first: a text message that leaves in the same write; may be
 * empty. */
void websocket_accept(struct gateway *gateway, struct connection *connection,
                      const struct websocket_offer *offer, const struct connection_protocol *protocol,
                      struct bytes first);

/* The input of protocols on a WebSocket: answers pings and closes, and calls message() for the rest. */
void websocket_input(struct gateway *gateway, struct connection *connection, char *data, size_t length);

/* The connection leaves OPEN: what came of a message is no use any more.  Takes one that is no WebSocket. */
void websocket_forget(struct connection *connection);

/* Sends one message, not compressed. */
void websocket_send(struct gateway *gateway, struct connection *connection, bool binary,
                    struct bytes payload);

/* Sends a ping without a payload. */
void websocket_ping(struct gateway *gateway, struct connection *connection);

/* Sends a Close frame (code 0: without one) and ends the connection. */
void websocket_close(struct gateway *gateway, struct connection *connection, unsigned code,
                     enum close_reason reason);

/* The same with a text that says why; beyond 123 bytes it is cut. */
void websocket_close_saying(struct gateway *gateway, struct connection *connection, unsigned code,
                            struct bytes text, enum close_reason reason);

/* An Engine.IO session on a WebSocket (engine.h). */
extern const struct connection_protocol websocket_session;

/* Sends back what comes: the diagnostic echo of bare frames. */
extern const struct connection_protocol websocket_echo;

#endif
