/* The command `user` of the stats socket, and what it shares with `kick user`: the sessions of one sender. */
#ifndef HUBBUB_ROUTER_SHOW_SESSIONS_H
#define HUBBUB_ROUTER_SHOW_SESSIONS_H

#include "router/stats_command.h"
#include "router/steps.h"

enum {
    SHOW_SESSIONS_MAX = 1000,
    SHOW_SESSIONS_BYTES = 1 << 20, /* no further session is shown beyond so much */
};

/* user ID: all sessions whose `from` it is, live and away. */
enum stats_outcome show_user(struct stats_request *request);

/* kick SID [REASON], kick user ID [REASON]: DISCONNECT (41), and the end of the session. */
enum stats_outcome kick(struct stats_request *request);

#endif
