/*
 * The endpoint for bare WebSockets: /ws?room=R, for clients without Socket.IO.
 *
 *   room       the room that is joined, and the one of frames that name none; required where the broker
 *              itself has rooms (a namespace's key builtin), forbidden elsewhere
 *   namespace  "/" when absent
 *   after      the seq of the last message that the client has: what came behind it is sent first
 *
 * What is wrong with the address is said by a Close frame behind the 101, because browsers do not show HTTP's
 * statuses to scripts.
 */
#ifndef HUBBUB_GATEWAY_BARE_SERVICE_H
#define HUBBUB_GATEWAY_BARE_SERVICE_H

#include "common/bytes.h"

#include <stdbool.h>

struct connection;
struct gateway;
struct http_request;

/* Whether that path is the endpoint's. */
bool bare_serves(struct bytes path);

/* Answers a request to it. */
void bare_request(struct gateway *gateway, struct connection *connection, const struct http_request *request);

#endif
