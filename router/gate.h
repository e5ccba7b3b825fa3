/*
 * Who may connect when the link is encrypted: ZeroMQ asks for each CURVE handshake (ZAP, its RFC 27), and
 * the gate lets in the public keys of curve_gateways.  Peers without the router's key, or with no CURVE at
 * all, ZeroMQ itself turns away before it asks.
 */
#ifndef HUBBUB_ROUTER_GATE_H
#define HUBBUB_ROUTER_GATE_H

#include "common/loop.h"
#include "router/counters.h"
#include "router/settings.h"

struct gate {
    const struct router_settings *settings;
    struct counters *counters;
    struct loop *loop;
    void *socket; /* NULL: no CURVE, and the rest does nothing */
    struct loop_watch *watch;
    bool readable; /* there may be questions */
};

/*
 * Makes the socket, which is not bound yet, a CURVE server whose peers are asked for in this context.
 * Nothing at all happens when the settings have no secret key.  0, or ERROR_SYSTEM after writing one line
 * to message.  Before the socket is bound; gate_close() in any case.
 */
int gate_open(struct gate *gate, const struct router_settings *settings, struct loop *loop, void *context,
              void *socket, struct counters *counters, char *message, size_t message_size) MUST_CHECK;

/* Answers what ZeroMQ asks, up to a bound; once a turn. */
void gate_serve(struct gate *gate);

/* Before the context ends; a gate that is all zero is closed. */
void gate_close(struct gate *gate);

#endif
