/*
 * The gateway's figures, from the tables of counters.h; see metrics.h.  The link calls it once a second, the
 * admin port for each scrape.  Its one surprising rule: gauges that something else knows are fetched here, and
 * are old in between.
 */
#include "gateway/metrics.h"

#include "common/exposition.h"
#include "gateway/gateway.h"
#include "gateway/tls_store.h"

#include <stdio.h>

enum { NAME_MAX_LENGTH = 96 };

static void fetch_gauges(struct gateway *gateway)
{
    struct counters *counters = &gateway->counters;

    counters->connections = gateway->connections.slots.count;
    counters->draining = drain_announced(gateway);
    counters->rooms = gateway->namespaces.room_count;
    counters->pending_requests = gateway->requests.count;
    counters->pending_bytes = gateway->requests.bytes;
    counters->link_up = link_is_live(gateway->link);
    counters->link_bytes = link_unacknowledged(gateway->link);
}

/* Those that are 0 only where asked for, and never the many statuses of HTTP. */
static void each_by_reason(const struct counters *counters, bool zeros,
                           void (*each)(void *argument, const char *name, uint64_t value), void *argument)
{
    char name[NAME_MAX_LENGTH];

#define EACH(field, show_zeros, format, label)                                                               \
    for (unsigned i = 0; i < sizeof counters->field / sizeof *counters->field; i++) {                        \
        snprintf(name, sizeof name, format, label);                                                          \
        if (counters->field[i] || (show_zeros))                                                              \
            each(argument, name, counters->field[i]);                                                        \
    }
    EACH(refused, zeros, "hubbub_refused_total{code=%s}", refusal_text(i))
    EACH(engine_refused, zeros, "hubbub_engine_refused_total{code=%u}", i)
    EACH(http_refused, false, "hubbub_http_refused_total{status=%u}", HTTP_REFUSED_FIRST + i)
    EACH(closed, zeros && i != CLOSE_NONE, "hubbub_closed_total{reason=%s}", close_reason_text(i))
#undef EACH
}

static void put_counter(void *argument, const char *name, uint64_t value)
{
    struct wire_list *list = argument;

    wire_list_put_text(list, bytes_from_text(name));
    wire_list_put_u64(list, value);
}

void metrics_put(struct gateway *gateway, struct wire_batch *batch)
{
    const struct counters *counters = &gateway->counters;
    struct wire_list list = {0};

    fetch_gauges(gateway);
#define X(field, name, meaning, action) put_counter(&list, name, counters->field);
    COUNTER_TABLE(X)
#undef X
    each_by_reason(counters, false, put_counter, &list);
    histogram_each(&gateway->histograms.publish, "hubbub_publish_seconds", put_counter, &list);
    histogram_each(&gateway->histograms.request, "hubbub_request_seconds", put_counter, &list);
    wire_put_statistics(batch, &(struct wire_statistics){.counters = wire_list_finish(&list)});
    wire_list_done(&list);
}

static void expose(void *argument, const char *name, uint64_t value)
{
    exposition_add(argument, name, NULL, value);
}

static void expose_own(const struct gateway *gateway, struct exposition *exposition)
{
    uint64_t certificate_expiry = gateway->tls ? tls_store_expiry(gateway->tls) : 0;

#define X(value, name, meaning, action)                                                                      \
    if (value)                                                                                               \
        exposition_add(exposition, name, meaning, value);
    OWN_TABLE(X)
#undef X
}

void metrics_expose(struct gateway *gateway, struct exposition *exposition)
{
    const struct counters *counters = &gateway->counters;

    fetch_gauges(gateway);
#define X(name, meaning, action) exposition_describe(exposition, name, meaning);
    FAMILY_TABLE(X)
#undef X
#define X(field, name, meaning, action) exposition_add(exposition, name, meaning, counters->field);
    COUNTER_TABLE(X)
#undef X
    each_by_reason(counters, true, expose, exposition);
    expose_own(gateway, exposition);
#define X(field, bounds, name, meaning, action)                                                              \
    exposition_add_histogram(exposition, name, meaning, &gateway->histograms.field);
    HISTOGRAM_TABLE(X)
#undef X
}
