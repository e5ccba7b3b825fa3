/*
 * What this gateway asks of the router, until it has the answer: kept (request.h), sent, sent again on a new
 * link, and given up after a time.  Whoever handles the answer finishes the request
 * (socket_finish_request()).
 */
#ifndef HUBBUB_GATEWAY_OUTSTANDING_H
#define HUBBUB_GATEWAY_OUTSTANDING_H

#include "common/error.h"
#include "gateway/request.h"

struct gateway;
struct socket;
struct wire_batch;

/*
 * Asks the router: put(batch, number, argument) writes the record.  Sent at once when the link is live, else
 * as soon as it is.  weight, 1 to 255, counts in the socket's unanswered until the answer comes; socket
 * NULL: for the admin port.  ERROR_BUSY when too much waits already: nothing was kept.
 */
int outstanding_ask(struct gateway *gateway, enum request_kind kind, unsigned weight, struct socket *socket,
                    long long ack, void (*put)(struct wire_batch *batch, uint64_t number, const void *record),
                    const void *record) MUST_CHECK;

/* The link is live: puts all requests without an answer into its batches, in order. */
void outstanding_send_again(struct gateway *gateway);

/*
 * Once a heartbeat or more often: refuses what was never sent and waits for more than request_timeout, and
 * closes the clients of what was sent and gets no answer, while the link is live.  A backend takes what time
 * it wants for an event, and connect_timeout for a CONNECT.
 */
void outstanding_expire(struct gateway *gateway);

#endif
