/* The command `config` of the stats socket: effective values, and where each comes from. */
#ifndef HUBBUB_ROUTER_SHOW_CONFIG_H
#define HUBBUB_ROUTER_SHOW_CONFIG_H

#include "router/stats_command.h"

/* config [router|GATEWAY] */
enum stats_outcome show_config(struct stats_request *request);

#endif
