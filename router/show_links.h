/* The commands `gateways` and `backends` of the stats socket. */
#ifndef HUBBUB_ROUTER_SHOW_LINKS_H
#define HUBBUB_ROUTER_SHOW_LINKS_H

#include "router/stats_command.h"

enum stats_outcome show_gateways(struct stats_request *request);
enum stats_outcome show_backends(struct stats_request *request);

#endif
