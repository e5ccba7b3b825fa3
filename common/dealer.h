/*
 * The ZeroMQ socket with which a program connects to the router: a DEALER that lives for one link.
 *
 * Each has a new random routing id, because a ROUTER silently ignores a second peer with a live one's.
 * Nothing is queued for a peer that is not there (ZMQ_IMMEDIATE), there is no limit of messages, and none
 * lingers after zmq_close(), with which the caller closes it.
 */
#ifndef HUBBUB_COMMON_DEALER_H
#define HUBBUB_COMMON_DEALER_H

#include "common/error.h"
#include "common/key_file.h"

/*
 * Opens one and starts to connect; NULL when ZeroMQ refuses, and zmq_errno() says why.  With a secret key
 * (not empty) it speaks CURVE to the server with router_key.  fd: what becomes readable (edge-triggered) when
 * dealer_events() may have changed.
 */
void *dealer_open(void *context, const char *endpoint, const struct key *secret_key,
                  const struct key *router_key, int *fd) MUST_CHECK;

/* ZMQ_POLLIN and ZMQ_POLLOUT as they are now; there is no limit, so no ZMQ_POLLOUT is no peer. */
int dealer_events(void *socket);

#endif
