/* The gateways' counters: each gateway's own, and their sums by name. */
#ifndef HUBBUB_ROUTER_STATS_SOURCE_H
#define HUBBUB_ROUTER_STATS_SOURCE_H

#include "common/bytes.h"
#include "common/error.h"
#include "router/stats.h"

/* A counter's name, and what gateways that are gone had counted under it. */
struct stats_name {
    char *text;
    uint64_t retired;
    bool total; /* counts up for ever, as opposed to a gauge */
};

/* One gateway's values, by the index of the name. */
struct stats_source {
    char *gateway;
    uint64_t incarnation;
    bool gone;
    uint64_t values[STATS_NAMES_MAX];
};

/* Zero-initialised is empty. */
struct stats_sources {
    struct stats_name names[STATS_NAMES_MAX];
    unsigned name_count;
    struct stats_source **sources;
    unsigned source_count;
};

void stats_sources_done(struct stats_sources *sources);

/* Replaces a gateway's values.  0, or ERROR_MALFORMED: the values are partly replaced then.  What is beyond
 * the limits is passed over. */
int stats_sources_take(struct stats_sources *sources, const char *gateway, uint64_t incarnation,
                       struct bytes counters) MUST_CHECK;

/* Whether a gateway of that name has ever told any. */
bool stats_sources_know(const struct stats_sources *sources, const char *gateway);

/* The gateway is gone: its gauges count no more.  It may come back. */
void stats_sources_forget(struct stats_sources *sources, const char *gateway);

/* The sum under the name of that index. */
uint64_t stats_sources_sum(const struct stats_sources *sources, unsigned index);

/* What that gateway has under the name; 0 when it has told none. */
uint64_t stats_sources_of(const struct stats_sources *sources, const char *gateway, const char *name);

/* The sum by name; 0 when no gateway has it. */
uint64_t stats_sources_find(const struct stats_sources *sources, const char *name);

#endif
