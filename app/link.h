/*
 * The link to the router: one DEALER socket, its batches, the steps to become consistent, and the lease.
 *
 *   DOWN ----> CONNECTING ----> GREETING ----> LIVE
 *    ^  (a new     |   (hello sent)  | (SERVING) |   a gap, silence, a lost connection, RESYNC, CUT, a bad
 *    |   socket)   |                 |           |   batch, a lease that is over
 *    +-------------+-----------------+-----------+
 *
 * docs/protocol.md, section 3, is the contract.  The lease: the router gives this backend's sockets to others
 * when it has heard nothing of it for `dead`.  It has surely heard every batch that it acknowledged, so until
 * `dead` after the last of those was sent the sockets are ours; then nothing may be done for them, until a
 * new link has told which still are.  A process that was stopped finds that out before its next callback.
 */
#ifndef HUBBUB_APP_LINK_H
#define HUBBUB_APP_LINK_H

#include "app/timer.h"
#include "proto/wire.h"
#include "proto/wire_flow.h"

#include <stdbool.h>

struct hubbub_app;

enum link_state { LINK_DOWN, LINK_CONNECTING, LINK_GREETING, LINK_LIVE };

struct link {
    void *context;
    void *socket; /* NULL while DOWN */
    int fd;       /* the socket's, -1 */
    enum link_state state;
    uint64_t serial; /* of this link, from 1 */
    struct wire_flow flow;
    struct wire_batch batch;   /* of this turn */
    struct wire_batch scratch; /* a record that can't be sent yet */
    struct wire_list list, second_list;
    uint64_t
        *sent_times; /* boot clock, of the batches acknowledged + 1 .. sent; a ring as long as the flow's */
    uint32_t sent_mask;
    uint64_t lease_from; /* boot clock: when the last acknowledged batch was sent; 0: no lease */
    uint64_t trusted;    /* of sockets: the router must have confirmed them on a link that is not older */
    uint64_t minor;      /* the version of the router's program: 0 until SERVING */
    uint64_t heartbeat, dead, max_event;
    uint64_t opened, live_since, last_sent, away_since, next_complaint; /* ms of the app's clock */
    uint64_t reopen_delay;
    uint64_t received_bytes; /* since we last sent, and so acknowledged */
    struct app_timer tick, reopen;
    const char *broken; /* why this link is to be left, or NULL */
    unsigned cuts;      /* by the router, since it last had an outcome for us */
    bool cut;           /* by the router, so without haste */
    bool acknowledge;   /* send something, if only an empty batch */
    bool sent;          /* something, in this turn */
    bool look;          /* ZeroMQ may have something, though its descriptor will not say so again */
    bool pruned;        /* what the router did not take up again on this link has been dropped */
};

/* Makes ready, and looks whether ZeroMQ takes the endpoint.  0 or HUBBUB_ERROR_SYSTEM; link_done() in any
 * case. */
int link_init(struct hubbub_app *app) MUST_CHECK;
void link_done(struct hubbub_app *app);

/* Begins to connect. */
void link_start(struct hubbub_app *app);

/* In a turn: reads what has come, and in the end sends what there is. */
void link_read(struct hubbub_app *app);
void link_flush(struct hubbub_app *app);

/* Says goodbye in a last batch, which link_done() waits for a moment to send. */
void link_leave(struct hubbub_app *app);

/* Whether the sockets are surely this backend's. */
bool link_leased(const struct hubbub_app *app);

/* The batch to put records into; NULL when the router can't be told now. */
static inline struct wire_batch *link_batch(struct link *link)
{
    return link->state == LINK_LIVE && !link->broken ? &link->batch : NULL;
}

/* The number that this batch will have. */
static inline uint64_t link_batch_number(const struct link *link)
{
    return link->flow.sent + 1;
}

/* After records that need not stay with those behind them: sends the batch when it is large. */
void link_split(struct hubbub_app *app);

/* The router has taken the hello in (SERVING). */
void link_live(struct hubbub_app *app, const struct wire_serving *serving);

/* This link is to be left for a new one; why is static, or copied by nobody until then. */
void link_break(struct hubbub_app *app, const char *why);

/* The same by the router's word: it is not tried again at once. */
void link_cut(struct hubbub_app *app);

#endif
