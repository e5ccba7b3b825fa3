/*
 * The router as a whole: one struct that owns the parts, and their order in a turn of the loop.
 *
 *   read batches -> handlers -> tickets to the journal -> what the journal gives back is released
 *   -> presence events that are due -> one batch for each gateway that has something
 *
 * Whatever must keep its place among a room's messages is a ticket: it goes through the journal's queue
 * and takes effect when it comes back.
 */
#ifndef HUBBUB_ROUTER_ROUTER_H
#define HUBBUB_ROUTER_ROUTER_H

#include "common/histogram.h"
#include "router/link.h"
#include "router/recent.h"
#include "router/steps.h"

struct archive;
struct archive_reader;
struct ask;
struct backends;
struct http_port;
struct page;
struct page_request;
struct recovery;
struct order;
struct rows_ticket;
struct stats;
struct stats_socket;

struct router {
    const struct router_settings *settings;
    struct loop *loop;
    struct journal *journal;
    struct archive *archive; /* NULL: there is none */
    struct loop_watch *journal_watch;
    struct archive_reader *archive_reader; /* NULL: there is no archive */
    struct loop_watch *archive_reader_watch;
    struct peers peers;
    struct links links;
    struct questions *questions;
    struct backends *backends;
    struct namespace_table namespaces;
    struct rooms rooms;
    struct sessions sessions;
    struct recent recent;
    struct counters counters;
    struct stats *stats;
    struct stats_socket *stats_socket;
    struct steps steps;   /* work of the stats socket that takes more than one turn */
    struct order *orders; /* to gateways; orders.c has them */
    struct http_port *admin;                     /* NULL: there is none */
    struct histogram turns, lags;                /* ns, of the loop */
    struct buffer scratch;                       /* a payload or an answer that is put at once */
    uint64_t released;                           /* the position up to which everything has been released */
    uint64_t waiting;                            /* tickets with the journal */
    uint64_t waiting_bytes;                      /* of their memory */
    struct page_request *page_requests;          /* sockets that wait for a page of history; list by next */
    struct page *queued_first, *queued_last;     /* pages that the journal does not have yet */
    uint32_t page_count, page_reads;             /* pages on their way; those with the journal */
    uint32_t page_archive_reads;                 /* those with the archive */
    struct recovery *recoveries, *last_recovery; /* that wait for a read; list by next */
    uint32_t recovery_reads, recoveries_waiting;
    uint32_t *former;                 /* of sessions whose window has passed; away.c has it */
    struct loop_timer window;         /* of the session that is away for the longest time */
    uint64_t window_due;              /* ms */
    uint32_t restored;                /* sessions that a former run has left */
    struct rows_ticket *rows_refused; /* rows.c has them */
    struct buffer rows_sids;          /* of sessions to be written again; rows.c has them */
    bool closing;                     /* nothing is written any more */
    struct ask *asks, *newest_ask;    /* questions to gateways; list by next */
    uint64_t last_ask;
    uint32_t replays; /* reads for replay on their way */
    uint64_t started; /* ms */
    struct loop_timer drain_timer, drain_archive_timer;
    bool journal_ready;
    bool archive_pages_ready;
    bool draining;
    bool archive_left; /* the drain waits for it no longer */
    char reloaded[96]; /* of the configuration: when, and what came of it; "": never */
    int exit_code;
};

/*
 * Opens the journal in the data folder, binds the endpoint and the stats socket.  0, or a negative error
 * after logging what failed; router_done() in any case.
 */
int router_start(struct router *router, const struct router_settings *settings, struct loop *loop) MUST_CHECK;

/* Frees everything; takes a router whose start failed. */
void router_done(struct router *router);

/* Takes no more batches, lets the journal finish, sends what it gave back, and stops the loop. */
void router_drain(struct router *router);

/* Stops the loop at once; the process then exits with that code. */
void router_fail(struct router *router, int exit_code);

/* Whether so much waits for the journal that requests must be refused. */
static inline bool router_busy(const struct router *router)
{
    return router->waiting_bytes > router->settings->max_waiting;
}

/* Whether it may be that not all of its gateways have said hello yet. */
static inline bool router_is_young(const struct router *router)
{
    return loop_now(router->loop) - router->started < router->settings->dead;
}

/* The epoch for payloads of that namespace; NULL when it has no offsets. */
const char *router_epoch_for(const struct router *router, const struct namespace *namespace);

/* Fills in a ticket that is neither publish nor volatile, and hands it over.  Takes holds of link, room and
 * the socket's session.  Its entry is a JOURNAL_PASS unless the caller has made it something else.
 */
void router_submit(struct router *router, struct ticket *ticket, enum ticket_kind kind,
                   struct gateway_link *link, struct room *room, uint64_t socket, uint64_t request);

/* The same for one of any kind that has no link, with its room, entry and session as the caller has set them;
   takes a hold of the room. */
void router_submit_alone(struct router *router, struct ticket *ticket, enum ticket_kind kind);

/* The same for a message, whose ticket has its kind and room already. */
void router_submit_message(struct router *router, struct message *message, struct gateway_link *link,
                           uint64_t socket, uint64_t request);

#endif
