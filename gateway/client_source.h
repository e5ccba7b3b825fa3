/*
 * Where a request's client really is, behind the balancers that are trusted (key trusted_proxies).
 *
 * It is the peer of the connection, or what its balancer's PROXY header says.  If that is a trusted address
 * the request's X-Forwarded-For goes on: each balancer added whom it had the request from, so the client is
 * the rightmost address there that is not trusted; what stands left of it anybody may have written.
 * X-Forwarded-Proto counts only from a trusted address, too.
 *
 * Several clients may share a connection of a balancer, so this is of the request, not of the connection.
 */
#ifndef HUBBUB_GATEWAY_CLIENT_SOURCE_H
#define HUBBUB_GATEWAY_CLIENT_SOURCE_H

#include "common/ip_address.h"

#include <stdbool.h>

struct connection;
struct gateway;
struct handshake;
struct http_request;

struct client_source {
    struct ip_address address; /* unknown when the system does not say, as of a Unix socket */
    bool secure;               /* it came over TLS */
};

struct client_source client_source_of(const struct gateway *gateway, const struct connection *connection,
                                      const struct http_request *request);

/* The handshake of that client, made now; the caller's. */
struct handshake *client_source_handshake(const struct gateway *gateway, const struct connection *connection,
                                          const struct http_request *request);

#endif
