/*
 * How clients come in: what lies in front of their first request.
 *
 *   accepted ---> the balancer's PROXY header ---> HTTP
 *                 (key proxy_protocol)
 *
 * Whoever wants to look at a client's address before it is served looks in entrance.c, where it is known.
 */
#ifndef HUBBUB_GATEWAY_ENTRANCE_H
#define HUBBUB_GATEWAY_ENTRANCE_H

#include "common/ip_address.h"

#include <stdbool.h>

struct gateway;

/* What a connection that did not come straight and in the clear has besides; NULL for the others. */
struct entrance {
    struct ip_address address; /* what the balancer told; unknown: the peer's own */
    bool secure;               /* the client came over TLS */
};

/* Takes over an accepted descriptor. */
void entrance_accept(struct gateway *gateway, int fd);

/* Takes NULL. */
void entrance_free(struct entrance *entrance);

#endif
