/*
 * What one client may use: events a second of a connection, connects a second and connections at once of an
 * address (docs/protocol.md, Limits).  Each is off where its setting is 0.
 *
 * What a limit has to remember of a connection stands beside the connections, by slot, so that they pay
 * nothing where no limit is set.  A connect is an accepted connection or a session on the polling transport:
 * both count at once, too, since a client can begin any number of sessions on one connection.
 */
#ifndef HUBBUB_GATEWAY_QUOTA_H
#define HUBBUB_GATEWAY_QUOTA_H

#include "common/error.h"
#include "gateway/address_table.h"

#include <stdbool.h>
#include <stdint.h>

struct connection;
struct gateway;
struct http_request;

struct quotas {
    struct address_table addresses;
    struct quota *by_slot; /* NULL while no limit is set */
    uint32_t capacity;
};

void quotas_init(struct gateway *gateway);
void quotas_done(struct gateway *gateway);

/*
 * Whether the client of a request that came on that connection may have one connection more; counts the
 * refusal if not.  *out is then for quota_begin(): NULL where it counts for none: no limit is set, or its
 * address is unknown, or a trusted balancer's.
 */
bool quota_admit(struct gateway *gateway, const struct connection *connection,
                 const struct http_request *request, struct client_network **out) MUST_CHECK;

/* A new connection, which counts for that network (NULL: for none); and its end. */
void quota_begin(struct gateway *gateway, const struct connection *connection,
                 struct client_network *network);
void quota_end(struct gateway *gateway, const struct connection *connection);

/* One that counts for none so far counts for its own address (request NULL), or for that of the request's
 * client, from here on; false when it may not. */
bool quota_attribute(struct gateway *gateway, const struct connection *connection,
                     const struct http_request *request) MUST_CHECK;

/*
 * Whether the connection may have one event more; if not it is to be refused as rate_limited.  Whoever goes
 * on all the same is not read (connection_pause()) until half of its burst has come back.
 */
bool quota_take_event(struct gateway *gateway, struct connection *connection);

/* Whether a paused connection has so much that it may be read again. */
bool quota_may_resume(const struct gateway *gateway, const struct connection *connection);

#endif
