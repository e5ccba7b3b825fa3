/* Socket.IO packets of clients: what each means to the socket it is for (Socket.IO v5; docs/protocol.md, 1).
 */
#ifndef HUBBUB_GATEWAY_PACKET_H
#define HUBBUB_GATEWAY_PACKET_H

#include "common/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct connection;
struct gateway;
struct gateway_settings;

/*
 * An Engine.IO message came on that connection.  A packet that no client may send closes the connection;
 * one that is only wrong in what it asks for is refused, and the connection lives.
 */
void packet_receive(struct gateway *gateway, struct connection *connection, struct bytes text);

/*
 * A binary Engine.IO message came: an attachment of the packet before it, which is dispatched with its last
 * one.  Closes the connection when no packet waits for it; so does a text while one waits.  From a client
 * with the msgpack parser it is a packet by itself, and a text closes the connection.
 */
void packet_receive_binary(struct gateway *gateway, struct connection *connection, struct bytes message);

/*
 * Whether a packet waits for attachments that should have come by now: the heartbeat then closes the
 * connection (CLOSE_ATTACHMENTS_TIMEOUT).  Time during which the connection is not read does not count.
 */
bool packet_overdue(struct connection *connection, uint64_t now, const struct gateway_settings *settings);

/* Forgets a packet that waits for attachments, if there is one: the connection is no longer open. */
void packet_pending_free(struct connection *connection);

#endif
