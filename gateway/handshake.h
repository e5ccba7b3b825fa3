/*
 * What a client told at its Engine.IO handshake, kept for whoever asks: the request's target and fields, the
 * client's address and the time.
 *
 * Every session has one, idle or not, so it is one allocation and nearly as small as the head it comes from:
 * names in common use are a byte, and the WebSocket handshake's own fields (Connection, Upgrade,
 * Sec-WebSocket-Key, -Version, -Extensions) are left out.  It holds cookies and tokens: nothing of it is ever
 * logged.
 */
#ifndef HUBBUB_GATEWAY_HANDSHAKE_H
#define HUBBUB_GATEWAY_HANDSHAKE_H

#include "common/buffer.h"
#include "common/error.h"
#include "proto/http.h"

enum {
    HANDSHAKE_ADDRESS_MAX = 45,       /* bytes of an address as text */
    HANDSHAKE_MAX = (1 << 20) + 1024, /* of one: the largest head that may be configured, and its overhead */
};

struct handshake;

/* Copies what is needed; the address may be empty, and is at most HANDSHAKE_ADDRESS_MAX bytes.  secure: the
 * client came over TLS.  wall_ms: clock_wall_ms(). */
struct handshake *handshake_new(const struct http_request *request, struct bytes address, bool secure,
                                uint64_t wall_ms);

/* Takes NULL. */
void handshake_free(struct handshake *handshake);

/* The client's address, valid as long as the handshake; empty for NULL. */
struct bytes handshake_address(const struct handshake *handshake);

/* As it goes to another gateway; valid as long as the handshake. */
struct bytes handshake_bytes(const struct handshake *handshake);

/* Takes in what handshake_bytes() of another gateway gave, or what pretends to be that.  ERROR_MALFORMED for
   anything that handshake_new() could not have made of a request. */
int handshake_from_bytes(struct bytes bytes, struct handshake **out) MUST_CHECK;

/*
 * Appends it as Socket.IO's socket.handshake, on one line and without control characters:
 *
 *   {"headers":{...},"time":"<ISO 8601>","issued":<ms since 1970>,"address":"..","xdomain":false,
 *    "secure":..,"url":"/socket.io/?..","query":{...},"auth":{...}}
 *
 * Names of headers are lower-case, their bytes taken as Latin-1, and repeated ones put together, all as node
 * does it: the first of those that stand for one thing (Host, User-Agent, Authorization and so on), Cookie by
 * "; ", Set-Cookie as an array, others by ", ".  The query is decoded as URLSearchParams does, and the last
 * of several values counts.  auth is a CONNECT packet's object as JSON text, or empty for none.
 *
 * hide_token: what may be a token is left out: the parameter token of the query, in url too, and a field
 * Authorization with the scheme Bearer.
 */
void handshake_append_json(const struct handshake *handshake, struct bytes auth, bool hide_token,
                           struct buffer *out);

/* Appends a parameter of the target's query, decoded.  0, ERROR_NOT_FOUND, or ERROR_MALFORMED. */
int handshake_query_value(const struct handshake *handshake, struct bytes name,
                          struct buffer *out) MUST_CHECK;

/* What a field Authorization with the scheme Bearer shows (RFC 6750 2.1); empty for none.  The first such
   field counts.  Valid as long as the handshake. */
struct bytes handshake_bearer(const struct handshake *handshake);

#endif
