/* Socket.IO packets of clients: what each means to the socket it is for (Socket.IO v5; docs/protocol.md, 1).
 */
#ifndef HUBBUB_GATEWAY_PACKET_H
#define HUBBUB_GATEWAY_PACKET_H

#include "common/bytes.h"

struct connection;
struct gateway;

/*
 * An Engine.IO message came on that connection.  A packet that no client may send closes the connection;
 * one that is only wrong in what it asks for is refused, and the connection lives.
 */
void packet_receive(struct gateway *gateway, struct connection *connection, struct bytes text);

#endif
