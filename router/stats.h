/*
 * What the router can tell about itself and its gateways: one document, shown as text or as JSON; and what the
 * commands of the stats socket have in common.
 *
 * Gateways send their counters under names of their own choice; those that count up ("_total") keep what a
 * gateway had counted when it goes.
 */
#ifndef HUBBUB_ROUTER_STATS_H
#define HUBBUB_ROUTER_STATS_H

#include "router/router.h"

enum {
    STATS_NAMES_MAX = 512, /* different counters of all gateways */
    STATS_SOURCES_MAX = 4096,
    STATS_NAME_LENGTH_MAX = 96,
    STATS_RATE_SECONDS = 10,
};

struct stats;

/* Lives as long as the router. */
struct stats *stats_new(struct router *router);
void stats_free(struct stats *stats);

/* A STATISTICS record.  0, or ERROR_MALFORMED. */
int stats_take(struct stats *stats, const struct gateway_link *link,
               const struct wire_statistics *record) MUST_CHECK;

/* The gateway is gone. */
void stats_forget(struct stats *stats, const struct gateway_link *link);

enum stats_outcome {
    STATS_ANSWERED,
    STATS_HANG_UP, /* answered; the client wants no more */
    STATS_LATER,   /* done() will bring the answer */
};

/* lines: the answer, ended by an empty line; lives as long as the call. */
typedef void stats_done(void *argument, struct bytes lines);

/* Who waits for an answer that comes later. */
struct stats_waiter {
    stats_done *done;
    void *argument;
    /* Set with STATS_LATER: what is on its way, and how to make it come to nothing until done is called. */
    void *pending;
    void (*cancel)(void *pending);
};

/* The document, as lines or as JSON, and an empty line. */
void stats_show(const struct stats *stats, bool json, struct buffer *out);

/* What it says of the archive. */
void stats_show_archive(const struct stats *stats, bool json, struct buffer *out);

struct router *stats_router(const struct stats *stats);

/* What that gateway last told of a counter of its own; 0 when it has told nothing. */
uint64_t stats_of_gateway(const struct stats *stats, const struct gateway_link *link, const char *name);

/* (stats_command.c) Answers one command line: appends lines, ended by an empty one, unless they come later. */
enum stats_outcome stats_command(struct stats *stats, struct bytes line, struct stats_waiter *waiter,
                                 struct buffer *out) MUST_CHECK;

#endif
