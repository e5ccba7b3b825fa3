/* The commands `rooms` and `room` of the stats socket. */
#ifndef HUBBUB_ROUTER_SHOW_ROOMS_H
#define HUBBUB_ROUTER_SHOW_ROOMS_H

#include "router/stats_command.h"

enum {
    SHOW_ROOMS_DEFAULT = 200,
    SHOW_ROOMS_MAX = 1000,
    SHOW_USERS_MAX = 20, /* of a room */
};

enum stats_outcome show_rooms(struct stats_request *request);
enum stats_outcome show_room(struct stats_request *request);

#endif
