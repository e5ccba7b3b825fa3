/*
 * How long publishes take: from when the gateway could read one of its client until the event that came of it
 * was handed to the kernel for the last of this gateway's own sockets.
 *
 * Measured by one clock, this process'.  It begins when the poll returned that told of the client's bytes.  It
 * ends with the turn of the loop in which the router's word came that the publish is settled: the event
 * stands behind that word in the same batch, or, when a batch was full just there, in the next, and by the
 * end of the turn every socket has been written to.  So what a socket's full buffer, a poll that is not there
 * and the network take is not in it, nor what other gateways take.  What the router refused does not count,
 * but for refusals of events without an acknowledgement, which look like successes from here.
 */
#ifndef HUBBUB_GATEWAY_PUBLISHING_H
#define HUBBUB_GATEWAY_PUBLISHING_H

#include "common/bytes.h"

#include <stdint.h>

struct gateway;
struct request;

/* When those were taken that are settled in this turn, in ns on the loop's clock.  Zero-initialised is empty. */
struct publishing {
    uint64_t *taken;
    uint32_t count, capacity;
};

void publishing_done(struct publishing *publishing);

/* The router has answered a request of any kind; answer is empty when it only said that it is done. */
void publishing_note(struct gateway *gateway, const struct request *request, struct bytes answer);

/* All output of the turn has been written. */
void publishing_settle(struct gateway *gateway);

#endif
