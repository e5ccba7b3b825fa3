/*
 * How a gateway gets rid of its clients without anybody losing anything: to end, or for as long as an operator
 * wants it empty.
 *
 *   SERVING    everyone is served
 *   NOTICE     and health says no
 *   LATE       no port any more; who came to it at the end is served for a moment
 *   CLOSING    clients go, at a pace
 *   EMPTY      no client; or the process ends
 *   REOPENING  drain_resume() was called when there was no port any more, and it can't be opened yet
 *
 * drain_begin() goes down the list, from REOPENING to CLOSING; drain_resume() goes to SERVING, by REOPENING or not,
 * unless it is to end.
 *
 * A client's transport is closed for a reason on which stock clients connect again by themselves (1001 `drain`,
 * or `1` on polling; never `41`), once the router has answered what it had asked.
 */
#ifndef HUBBUB_GATEWAY_DRAIN_H
#define HUBBUB_GATEWAY_DRAIN_H

#include "common/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct gateway;

enum drain_state { DRAIN_SERVING, DRAIN_NOTICE, DRAIN_LATE, DRAIN_CLOSING, DRAIN_EMPTY, DRAIN_REOPENING };

struct drain {
    enum drain_state state;
    bool ends;                   /* the process is to end when it is empty */
    bool all_told;               /* every client has had its turn */
    uint64_t closing_at;         /* when NOTICE is over; ms, as are the others */
    uint64_t late_until;         /* when LATE is */
    uint64_t began, spread;      /* since when, and over how long, clients get their turn */
    uint64_t answered_at;        /* when nobody waited for an answer any more; 0: not yet */
    uint64_t told_at;            /* when the last one had it */
    uint32_t clients, told;      /* at began; of them, those that had their turn */
    uint32_t cursor;             /* of the walk over the connections */
    struct drain_asking *asking; /* those that had it, and wait for answers */
    uint32_t asking_count, asking_capacity;
    struct loop_timer timer;
};

#define DRAIN_DEFAULT UINT64_MAX
enum { DRAIN_PACE = 100 }; /* clients a second that are told at least: a handful need not take long */

/*
 * Begins, also while the port of the last drain_resume() is not open yet.  spread: how long telling the clients
 * takes, in ms; DRAIN_DEFAULT for the setting drain_time.  When it drains already that only ever shortens it.
 * ends: the loop is stopped when the last one is gone, and there is no resume any more.
 */
void drain_begin(struct gateway *gateway, uint64_t spread, bool ends);

/* Everyone is told now, and the loop stopped at the end of the turn. */
void drain_at_once(struct gateway *gateway);

/* Serves again.  A port that can't be opened is tried again every second. */
void drain_resume(struct gateway *gateway);

/* Whether balancers should look elsewhere. */
bool drain_announced(const struct gateway *gateway);

/* Frees what it has. */
void drain_done(struct gateway *gateway);

#endif
