/*
 * The stats socket: a Unix stream socket on which lines are commands (stats.h).
 *
 * One answer at a time: the next line of a client is looked at when it has taken the answer to the one
 * before.
 */
#ifndef HUBBUB_ROUTER_STATS_SOCKET_H
#define HUBBUB_ROUTER_STATS_SOCKET_H

#include "common/loop.h"
#include "router/stats.h"

enum {
    STATS_CLIENTS_MAX = 16, /* further ones are told so, and hung up on */
    STATS_LINE_MAX = 4096,
    STATS_IDLE_MS = 60000, /* without a byte in either direction */
};

struct stats_socket;

/* ERROR_LOCKED, ERROR_EXISTS, ERROR_TOO_LARGE and ERROR_SYSTEM as unix_socket_listen().  The path is copied.
 */
int stats_socket_open(struct loop *loop, struct stats *stats, const char *path,
                      struct stats_socket **out) MUST_CHECK;

/* Hangs up on everyone and removes the path.  Takes NULL. */
void stats_socket_close(struct stats_socket *server);

#endif
