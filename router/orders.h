/*
 * What operators have gateways do: drain, serve again, log more or less.  The commands `drain`, `resume` and
 * `loglevel` of the stats socket.
 *
 * An order holds as long as its gateway's process runs: it is said again on each new link.
 */
#ifndef HUBBUB_ROUTER_ORDERS_H
#define HUBBUB_ROUTER_ORDERS_H

#include "router/stats_command.h"

enum { ORDER_SECONDS_MAX = 86400 };

enum stats_outcome orders_drain(struct stats_request *request);
enum stats_outcome orders_resume(struct stats_request *request);
enum stats_outcome orders_loglevel(struct stats_request *request);

/* Whether the gateway was told to drain. */
bool orders_draining(const struct router *router, const struct gateway_link *link);

/* Its link is live: says what it was told on an earlier one. */
void orders_live(struct router *router, struct gateway_link *link);

/* The gateway's process is gone. */
void orders_forget(struct router *router, const struct gateway_link *link);

void orders_done(struct router *router);

#endif
