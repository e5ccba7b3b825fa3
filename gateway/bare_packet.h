/* What the frames of bare clients ask for (docs/protocol.md, "Bare WebSocket"). */
#ifndef HUBBUB_GATEWAY_BARE_PACKET_H
#define HUBBUB_GATEWAY_BARE_PACKET_H

#include "common/bytes.h"

struct connection;
struct gateway;

/* A text message came.  One that is no frame closes the connection; one that only asks for the wrong thing is
 * refused, and the connection lives. */
void bare_receive(struct gateway *gateway, struct connection *connection, struct bytes text);

#endif
