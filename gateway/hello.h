/*
 * What a gateway says of itself at the start of a link (docs/protocol.md, section 2): who it is and how far
 * it has come, its sockets, and the members of its rooms.
 */
#ifndef HUBBUB_GATEWAY_HELLO_H
#define HUBBUB_GATEWAY_HELLO_H

#include "proto/wire.h"

struct farewells;
struct gateway;
struct link_progress;
struct socket;

/* Puts HELLO to HELLO_END into the batches of the gateway's link, the last of which is left to be sent, and
   behind them DISCONNECT for those of farewells, which stay. */
void hello_put(struct gateway *gateway, const struct link_progress *progress,
               const struct farewells *farewells);

/* SOCKET alone, as it stands in a hello. */
void hello_put_socket(struct wire_batch *batch, const struct socket *socket);

#endif
