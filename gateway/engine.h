/*
 * The Engine.IO session (protocol 4), whatever its transport: packets, the heartbeat, and closing.
 *
 * A session is a connection: a WebSocket, or one without a descriptor on the polling transport (polling.h).
 * The server pings; a pong in time starts the next interval.
 */
#ifndef HUBBUB_GATEWAY_ENGINE_H
#define HUBBUB_GATEWAY_ENGINE_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "gateway/close_reason.h"

#include <stdbool.h>
#include <stddef.h>

struct connection;
struct gateway;

/* Appends the open packet of a session. */
void engine_append_open(struct gateway *gateway, struct bytes sid, bool upgrade, struct buffer *out);

/* A new session begins on that connection: its heartbeat, and the time in which a namespace must be joined.
 */
void engine_start(struct gateway *gateway, struct connection *connection);

/* The session goes on with what is left of that time (due on the loop's clock; 0: a namespace was joined);
 * the next ping is an interval away. */
void engine_resume(struct gateway *gateway, struct connection *connection, uint64_t connect_due);

/* Sends one message; its parts, which begin with the packet's digit, are joined; without parts there is no
 * text. attachments: a BLOBS field of proto/wire.h, whose binary messages follow the text; length 0 for none.
 */
void engine_send(struct gateway *gateway, struct connection *connection, const struct bytes *parts,
                 size_t count, struct bytes attachments);

/* Sends one binary message. */
void engine_send_binary(struct gateway *gateway, struct connection *connection, struct bytes payload);

/* Sends one packet that is no event: open, ping, noop and the like. */
void engine_send_packet(struct gateway *gateway, struct connection *connection, struct bytes packet);

/* A packet came as text; or a binary message. */
void engine_receive(struct gateway *gateway, struct connection *connection, struct bytes text);
void engine_receive_binary(struct gateway *gateway, struct connection *connection, struct bytes payload);

/* What a session's protocol does when its connection's timer fires. */
void engine_on_timeout(struct gateway *gateway, struct connection *connection);

/* Closes the transport: a Close frame with the reason's code, or a close packet to the poll, then the
 * connection.  Takes a connection with sockets that is no session, and leaves that to its protocol. */
void engine_close(struct gateway *gateway, struct connection *connection, enum close_reason reason);

/* The same for what ends the Engine.IO session itself (a bad packet, no pong): a client that is not polling
 * is not told, but finds its session unknown, as with the reference server. */
void engine_fail(struct gateway *gateway, struct connection *connection, enum close_reason reason);

/* A namespace was joined: the connect timeout is over. */
void engine_namespace_joined(struct connection *connection);

#endif
