/*
 * How values spread over fixed ranges, for Prometheus: counted as they come, never looked back at.
 *
 * Observing one is a few comparisons and two additions; nothing is allocated.  No locks: of one thread, or
 * guarded by its owner's mutex.  A plain copy is a snapshot.
 */
#ifndef HUBBUB_COMMON_HISTOGRAM_H
#define HUBBUB_COMMON_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BOUNDS_MAX = 20 };

/* Upper bounds, inclusive and ascending. */
struct histogram_bounds {
    unsigned count;
    uint64_t
        divisor; /* from what is observed to what is shown: 1000000000 for nanoseconds shown as seconds */
    uint64_t upper[HISTOGRAM_BOUNDS_MAX];
};

/* From 100 us to 10 s; what is observed is nanoseconds. */
extern const struct histogram_bounds histogram_seconds;

/* From 1 to 10,000 of anything. */
extern const struct histogram_bounds histogram_sizes;

struct histogram {
    const struct histogram_bounds *bounds; /* set it, and the rest zero, before the first value */
    uint64_t
        counts[HISTOGRAM_BOUNDS_MAX + 1]; /* each its own range; the last one counted is beyond all bounds */
    uint64_t sum;
};

static inline void histogram_observe(struct histogram *histogram, uint64_t value)
{
    const struct histogram_bounds *bounds = histogram->bounds;
    unsigned at = 0;

    while (at < bounds->count && value > bounds->upper[at])
        at++;
    histogram->counts[at]++;
    histogram->sum += value;
}

/* Calls back with NAME_bucket{le=BOUND} for each bound and +Inf, which count all values up to there, and with
 * NAME_count.  The names live as long as the call. */
void histogram_each(const struct histogram *histogram, const char *name,
                    void (*each)(void *argument, const char *name, uint64_t value), void *argument);

/* How many were observed. */
uint64_t histogram_count(const struct histogram *histogram);

#endif
