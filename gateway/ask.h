/*
 * What clients ask of the router for their sockets, whatever they speak: the requests, what each weighs, and
 * that who asks for too much at once is not read for a while.
 *
 * Each returns 0, or ERROR_BUSY when too much waits for the router already: nothing was kept, and the client
 * is to be refused (REFUSAL_UNAVAILABLE).  The records' fields request and socket are filled in, and an
 * event's flags.  ack comes back with the answer (socket_acknowledge()).
 */
#ifndef HUBBUB_GATEWAY_ASK_H
#define HUBBUB_GATEWAY_ASK_H

#include "common/error.h"
#include "proto/rules.h"
#include "proto/wire.h"

struct gateway;
struct socket;

int ask_connect(struct gateway *gateway, struct socket *socket, struct wire_connect record) MUST_CHECK;
int ask_join(struct gateway *gateway, struct socket *socket, long long ack,
             struct wire_join record) MUST_CHECK;
int ask_leave(struct gateway *gateway, struct socket *socket, long long ack,
              struct wire_leave record) MUST_CHECK;
int ask_history(struct gateway *gateway, struct socket *socket, long long ack,
                struct wire_history record) MUST_CHECK;
int ask_presence(struct gateway *gateway, struct socket *socket, long long ack,
                 struct wire_presence record) MUST_CHECK;

/* rule: the event's, NULL for none.  Without one, or with one that has a backend judge it, the answer may
 * take a backend's time. */
int ask_event(struct gateway *gateway, struct socket *socket, long long ack, const struct event_rule *rule,
              struct wire_event record) MUST_CHECK;

/* A client's newer token. */
int ask_token(struct gateway *gateway, struct socket *socket, long long ack,
              struct wire_token record) MUST_CHECK;

/* A client's answer to a question; ERROR_BUSY drops it. */
int ask_response(struct gateway *gateway, struct socket *socket, struct wire_response record) MUST_CHECK;

#endif
