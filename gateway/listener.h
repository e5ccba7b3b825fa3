/* The port that clients connect to. */
#ifndef HUBBUB_GATEWAY_LISTENER_H
#define HUBBUB_GATEWAY_LISTENER_H

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

struct gateway;
struct listener;

/*
 * Listens as the settings say (host "" for IPv6 and IPv4 on all addresses) and accepts from the next turn on.
 * ERROR_SYSTEM after logging what failed.
 */
int listener_new(struct gateway *gateway, struct listener **out) MUST_CHECK;

/* Whether this gateway has as many clients as it may.  Takes NULL. */
bool listener_is_full(const struct listener *listener);

/* The limit of clients from the settings, which have changed.  Takes NULL. */
void listener_limit_again(struct listener *listener);

/* Accepts who has connected by now, for a port that is to be closed.  Takes NULL. */
void listener_accept_waiting(struct listener *listener);

/* Stops listening.  Takes NULL. */
void listener_free(struct listener *listener);

#endif
