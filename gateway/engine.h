/*
 * Engine.IO v4 over the websocket transport: the handshake, packets, the heartbeat, and closing.
 *
 * The server pings; a pong in time starts the next interval (protocol: Engine.IO v4, heartbeat).
 */
#ifndef HUBBUB_GATEWAY_ENGINE_H
#define HUBBUB_GATEWAY_ENGINE_H

#include "common/bytes.h"
#include "gateway/close_reason.h"

#include <stddef.h>

struct connection;
struct gateway;

/* Turns an HTTP connection into a session: sends 101, with the subprotocol unless empty, and the open packet
 * as one. */
void engine_open(struct gateway *gateway, struct connection *connection, struct bytes websocket_key,
                 struct bytes subprotocol);

/* Sends one text message, its parts joined, and a binary one for each attachment (a BLOBS field of
   proto/wire.h; length 0 for none). */
void engine_send(struct gateway *gateway, struct connection *connection, const struct bytes *parts,
                 size_t count, struct bytes attachments);

/* Closes the transport: a Close frame with the reason's code, then the connection. */
void engine_close(struct gateway *gateway, struct connection *connection, enum close_reason reason);

/* A namespace was joined: the connect timeout is over. */
void engine_namespace_joined(struct connection *connection);

#endif
