/*
 * How clients come in: what lies in front of their first request.
 *
 *   accepted ---> the balancer's PROXY header ---> TLS handshake ------> HTTP
 *                 (key proxy_protocol)             (key tls_certificate)
 *
 * Whoever wants to look at a client's address before it is served looks in entrance.c, where it is known.
 */
#ifndef HUBBUB_GATEWAY_ENTRANCE_H
#define HUBBUB_GATEWAY_ENTRANCE_H

#include "common/ip_address.h"

#include <stdbool.h>
#include <stddef.h>

struct connection;
struct gateway;
struct tls;

/* What a connection that did not come straight and in the clear has besides; NULL for the others. */
struct entrance {
    struct tls *tls;           /* NULL: in the clear */
    struct ip_address address; /* what the balancer told; unknown: the peer's own */
    bool told; /* address comes from a PROXY header: it is a client's, though it may look like a balancer's */
    bool secure; /* the client came over TLS */
};

/* Takes over an accepted descriptor. */
void entrance_accept(struct gateway *gateway, int fd);

/* Bytes came on a secured connection: what they say becomes its input. */
void entrance_receive(struct gateway *gateway, struct connection *connection, char *data, size_t length);

/* Takes NULL. */
void entrance_free(struct entrance *entrance);

#endif
