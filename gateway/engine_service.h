/*
 * The HTTP side of Engine.IO (protocol 4): requests to /socket.io/, to the path of clients with the msgpack
 * parser, and to /engine.io/ with the diagnostic echo: handshakes, polls, posts and WebSockets, in the order
 * of the reference server's checks.
 */
#ifndef HUBBUB_GATEWAY_ENGINE_SERVICE_H
#define HUBBUB_GATEWAY_ENGINE_SERVICE_H

#include "common/bytes.h"
#include "proto/engineio.h"

#include <stdbool.h>

struct connection;
struct gateway;
struct http_request;

/* Whether a path is served here. */
bool engine_serves(const struct gateway *gateway, struct bytes path);

/* Answers the request, or leaves it as the connection's exchange, or makes a WebSocket of the connection. */
void engine_request(struct gateway *gateway, struct connection *connection,
                    const struct http_request *request);

/* Refuses a WebSocket's handshake. */
void engine_refuse_upgrade(struct gateway *gateway, struct connection *connection, enum engineio_error error);

#endif
