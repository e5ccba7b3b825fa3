/*
 * The broker's own events of clients: join, leave, history, presence (docs/protocol.md, "Events of the
 * broker"), as far as the gateway judges them; then the router is asked.
 */
#ifndef HUBBUB_GATEWAY_BUILTIN_H
#define HUBBUB_GATEWAY_BUILTIN_H

#include "common/bytes.h"
#include "proto/json_value.h"

#include <stdbool.h>

struct gateway;
struct socket;

struct builtin_call {
    struct gateway *gateway;
    struct socket *socket;
    long long ack;     /* the client's, or SOCKETIO_NO_ACK */
    struct bytes name; /* of the event */
    struct bytes room; /* for an argument that names none; may be empty */
};

/* Whether it is one of these events: then it was asked of the router, or refused.  argument: the first one;
 * its kind is JSON_ABSENT when there is none. */
bool builtin_handle(const struct builtin_call *call, struct json_value argument);

#endif
