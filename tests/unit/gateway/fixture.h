/* A gateway without a port and without a router, whose connections are ends of socket pairs. */
#ifndef HUBBUB_TESTS_GATEWAY_FIXTURE_H
#define HUBBUB_TESTS_GATEWAY_FIXTURE_H

#include "gateway/gateway.h"

struct peer {
    int fd; /* the client's end, not blocking */
    struct connection *connection;
    struct socket *socket; /* connected to "/" */
};

/* The settings have small limits: an outbound queue of 64 KB.  At most two at a time. */
struct gateway *fixture_start(void);
void fixture_stop(struct gateway *gateway);

/* Those of a gateway, to change; it must not have been given others. */
struct gateway_settings *fixture_settings(const struct gateway *gateway);

/* A WebSocket session with a connected socket; the handshake's bytes are read already. */
struct peer fixture_peer(struct gateway *gateway);
void fixture_peer_done(struct peer *peer);

/* One whose connection has that encoding, without the handshake that leads to it, and that is in a room of
 * "/". */
struct peer fixture_member(struct gateway *gateway, enum encoding encoding, struct bytes room);

/* What the router has for a room of "/" that has members here, at position 1; not written before the end of the
   turn. */
void fixture_deliver(struct gateway *gateway, struct bytes room, const char *payload, uint64_t flags,
                     uint64_t except, struct bytes attachments);

/* The end of a turn, without a loop: what is queued is written. */
void fixture_flush(struct gateway *gateway);

/* The only request that waits for the router, an event, as the router gets it. */
struct wire_event fixture_asked_event(struct gateway *gateway);

/* Reads what has come as text frames, joined by '|' into out; "" when nothing has. */
const char *fixture_read(struct peer *peer);

/* The same whatever its encoding: packets of the msgpack parser are written as JSON, with "+" and the number
   of attachments behind those that have some. */
const char *fixture_read_any(struct peer *peer);

#endif
