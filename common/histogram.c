/*
 * The ranges of histograms; see histogram.h.  Gateways, the router's loop and its journal count with them.
 * Their one surprising rule: the ranges never change from one version to the next without need, because
 * Prometheus can't add up histograms of different ranges.
 */
#include "common/histogram.h"

#include <stdio.h>

enum { NAME_MAX_LENGTH = 128 };

#define MICROSECONDS(n) ((n)*1000ULL)
#define MILLISECONDS(n) ((n)*1000000ULL)

const struct histogram_bounds histogram_seconds = {
    .count = 16,
    .divisor = 1000000000,
    .upper = {MICROSECONDS(100), MICROSECONDS(250), MICROSECONDS(500), MILLISECONDS(1), MICROSECONDS(2500),
              MILLISECONDS(5), MILLISECONDS(10), MILLISECONDS(25), MILLISECONDS(50), MILLISECONDS(100),
              MILLISECONDS(250), MILLISECONDS(500), MILLISECONDS(1000), MILLISECONDS(2500),
              MILLISECONDS(5000), MILLISECONDS(10000)},
};

const struct histogram_bounds histogram_sizes = {
    .count = 13,
    .divisor = 1,
    .upper = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000},
};

uint64_t histogram_count(const struct histogram *histogram)
{
    uint64_t count = 0;

    for (unsigned i = 0; i <= histogram->bounds->count; i++)
        count += histogram->counts[i];
    return count;
}

void histogram_each(const struct histogram *histogram, const char *name,
                    void (*each)(void *argument, const char *name, uint64_t value), void *argument)
{
    const struct histogram_bounds *bounds = histogram->bounds;
    char text[NAME_MAX_LENGTH];
    uint64_t count = 0;

    for (unsigned i = 0; i < bounds->count; i++) {
        count += histogram->counts[i];
        snprintf(text, sizeof text, "%s_bucket{le=%.9g}", name,
                 (double)bounds->upper[i] / (double)bounds->divisor);
        each(argument, text, count);
    }
    count += histogram->counts[bounds->count];
    snprintf(text, sizeof text, "%s_bucket{le=+Inf}", name);
    each(argument, text, count);
    snprintf(text, sizeof text, "%s_count", name);
    each(argument, text, count);
}
