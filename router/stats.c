/*
 * The stats document; see stats.h.  The stats socket shows it.  Its one
 * surprising rule: there is one document only; the text is that document without the metrics, each value on a
 * line under the names that lead to it.
 */
#include "router/stats.h"

#include "common/clock.h"
#include "common/memory.h"
#include "router/archive.h"
#include "router/backed.h"
#include "router/measures.h"
#include "router/stats_source.h"
#include "router/stats_tree.h"

#include <stdio.h>
#include <stdlib.h>

struct sample {
    uint64_t in, out;
};

struct stats {
    struct router *router;
    struct stats_sources gateways;
    uint64_t earlier; /* what gateways had delivered before this router heard of them: no part of a rate */
    struct loop_timer timer;
    struct sample samples[STATS_RATE_SECONDS + 1]; /* a ring, one a second */
    unsigned sampled;                              /* samples ever taken */
};

/* -- rates ------------------------------------------------------------------------------------ */

static uint64_t deliveries(const struct stats *stats)
{
    return stats_sources_find(&stats->gateways, "hubbub_deliveries_total");
}

static struct sample totals(const struct stats *stats)
{
    const struct counters *counters = &stats->router->counters;

    return (struct sample){.in = counters->archived + counters->logged + counters->volatiles +
                                 counters->unlogged,
                           .out = deliveries(stats)};
}

static void on_tick(void *arg)
{
    struct stats *stats = arg;

    struct sample *sample = &stats->samples[stats->sampled++ % (STATS_RATE_SECONDS + 1)];

    *sample = totals(stats);
    sample->out -= stats->earlier;
}

/* The average over the last seconds. */
static void rates(const struct stats *stats, double *in, double *out)
{
    unsigned seconds = stats->sampled > STATS_RATE_SECONDS ? STATS_RATE_SECONDS : stats->sampled - 1;
    const struct sample *newest = &stats->samples[(stats->sampled - 1) % (STATS_RATE_SECONDS + 1)];
    const struct sample *oldest = &stats->samples[(stats->sampled - 1 - seconds) % (STATS_RATE_SECONDS + 1)];

    *in = seconds ? (double)(newest->in - oldest->in) / seconds : 0;
    *out = seconds ? (double)(newest->out - oldest->out) / seconds : 0;
}

struct stats *stats_new(struct router *router)
{
    struct stats *stats = memory_zero(1, sizeof *stats);

    stats->router = router;
    on_tick(stats);
    loop_timer_init(&stats->timer, router->loop, on_tick, stats);
    loop_timer_repeat(&stats->timer, 1000);
    return stats;
}

void stats_free(struct stats *stats)
{
    if (!stats)
        return;
    loop_timer_stop(&stats->timer);
    stats_sources_done(&stats->gateways);
    free(stats);
}

int stats_take(struct stats *stats, const struct gateway_link *link, const struct wire_statistics *record)
{
    bool known = stats_sources_know(&stats->gateways, link->name);
    uint64_t before = deliveries(stats);
    int result = stats_sources_take(&stats->gateways, link->name, link->incarnation, record->counters);

    if (!known)
        stats->earlier += deliveries(stats) - before;
    return result;
}

void stats_forget(struct stats *stats, const struct gateway_link *link)
{
    stats_sources_forget(&stats->gateways, link->name);
}

/* -- the document ----------------------------------------------------------------------------- */

static void count_one(void *argument, const char *name, uint64_t value)
{
    stats_tree_count(argument, name, value);
}

static void count_measure(struct stats_tree *tree, const char *name, enum measure_unit unit, uint64_t value)
{
    if (unit == MEASURE_WHOLE)
        stats_tree_count(tree, name, value);
    else
        stats_tree_measure(tree, name, (double)value / (double)unit);
}

static void count_histogram(struct stats_tree *tree, const char *name, const char *sum_name,
                            const struct histogram *histogram)
{
    histogram_each(histogram, name, count_one, tree);
    stats_tree_measure(tree, sum_name, (double)histogram->sum / (double)histogram->bounds->divisor);
}

/* What is not counted, but looked at now. */
static void count_measures(const struct router *router, struct stats_tree *tree)
{
    struct measures measures;

    measures_take(router, &measures);
#define X(field, unit, name, meaning, action) count_measure(tree, name, unit, measures.field);
    MEASURE_TABLE(X)
#undef X
#define X(field, limits, name, meaning, action) count_histogram(tree, name, name "_sum", &measures.field);
    HISTOGRAM_TABLE(X)
#undef X
}

/* Every counter under its full name; those of gateways and of the router with one name are added up. */
static void count(const struct stats *stats, struct stats_tree *tree)
{
    const struct router *router = stats->router;
    char name[STATS_NAME_LENGTH_MAX + 1];

#define X(field, text, meaning, action) stats_tree_count(tree, text, router->counters.field);
    COUNTER_TABLE(X)
#undef X
    for (unsigned code = 0; code < REFUSAL_CODES; code++) {
        snprintf(name, sizeof name, "hubbub_refused_total{code=%s}", refusal_text(code));
        stats_tree_count(tree, name, router->counters.refused[code]);
    }
    for (unsigned i = 0; i < stats->gateways.name_count; i++)
        stats_tree_count(tree, stats->gateways.names[i].text, stats_sources_sum(&stats->gateways, i));
    count_measures(router, tree);
}

static void describe_journal(const struct stats *stats, struct stats_tree *tree)
{
    struct journal_statistics journal;

    journal_statistics(stats->router->journal, &journal);
    stats_tree_number(tree, "journal.head", stats->router->released);
    stats_tree_number(tree, "journal.tail", journal.logged_floor + 1);
    stats_tree_number(tree, "journal.removed", journal.removed);
    stats_tree_number(tree, "journal.waiting", journal.waiting);
    stats_tree_number(tree, "journal.unindexed", journal.unindexed);
    stats_tree_number(tree, "journal.commits", journal.commits);
    stats_tree_real(tree, "journal.commit_ms.average",
                    journal.commits ? (double)journal.commit.sum / (double)journal.commits / 1e6 : 0);
    stats_tree_real(tree, "journal.commit_ms.maximum", (double)journal.commit_ns_max / 1e6);
    stats_tree_real(tree, "journal.commit_ms.last", (double)journal.commit_ns_last / 1e6);
    stats_tree_flag(tree, "journal.storage_full", journal.storage_full);
}

static void describe_archive(const struct stats *stats, struct stats_tree *tree)
{
    const struct router *router = stats->router;
    struct archive_statistics archive = {0};

    if (router->archive)
        archive_statistics(router->archive, &archive);
    stats_tree_text(tree, "archive.state", router->archive ? archive_state_texts[archive.state] : "none");
    stats_tree_number(tree, "archive.archived", archive.archived + archive.known);
    stats_tree_number(tree, "archive.position", archive.position);
    stats_tree_number(tree, "archive.noted", journal_archived_position(router->journal));
    stats_tree_number(tree, "archive.lag.messages", archive.lag_messages);
    stats_tree_real(tree, "archive.lag.seconds", (double)archive.lag_ms / 1e3);
    stats_tree_number(tree, "archive.retries", archive.retries);
    stats_tree_number(tree, "archive.dead_letters", journal_dead_letters(router->journal));
    stats_tree_text(tree, "archive.last_error", archive.error);
    stats_tree_real(tree, "archive.last_error_seconds_ago",
                    archive.error_at ? (double)(clock_wall_ms() - archive.error_at) / 1e3 : 0);
}

/* Whom the gateways have sent away before it came to anything, and what came of their reloads. */
static void describe_doors(struct stats_tree *tree)
{
    static const struct {
        const char *path, *metric;
    } rows[] = {
        {"reloads.gateways.ok", "hubbub_config_reloads_total{result=ok}"},
        {"reloads.gateways.failed", "hubbub_config_reloads_total{result=failed}"},
        {"turned_away.origins", "hubbub_origins_refused_total"},
        {"turned_away.max_connections", "hubbub_refused_connections_total"},
        {"turned_away.connects_per_second", "hubbub_address_refused_total{limit=connects_per_second}"},
        {"turned_away.max_connections_per_address",
         "hubbub_address_refused_total{limit=max_connections_per_address}"},
        {"turned_away.token_missing", "hubbub_refused_total{code=token_missing}"},
        {"turned_away.token_invalid", "hubbub_refused_total{code=token_invalid}"},
        {"turned_away.token_expired", "hubbub_refused_total{code=token_expired}"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        stats_tree_number(tree, rows[i].path, stats_tree_metric(tree, rows[i].metric));
}

static struct stats_tree *describe(const struct stats *stats)
{
    const struct router *router = stats->router;
    struct stats_tree *tree = stats_tree_new();
    struct sample total = totals(stats);
    double in, out;

    rates(stats, &in, &out);
    count(stats, tree);
    stats_tree_text(tree, "version", HUBBUB_VERSION);
    stats_tree_text(tree, "reloaded", *router->reloaded ? router->reloaded : "never");
    stats_tree_text(tree, "epoch", journal_epoch(router->journal));
    stats_tree_real(tree, "uptime_seconds", (double)(loop_now(router->loop) - router->started) / 1e3);
    stats_tree_number(tree, "gateways", router->links.count);
    stats_tree_number(tree, "backends", router->backends->count);
    stats_tree_number(tree, "backend.tasks", router->backends->tasks->by_number.count);
    stats_tree_number(tree, "backend.bytes", router->backends->tasks->bytes);
    stats_tree_number(tree, "backend.waiting", stats_tree_metric(tree, "hubbub_backend_waiting"));
    stats_tree_number(tree, "connections", stats_tree_metric(tree, "hubbub_connections"));
    stats_tree_number(tree, "sockets", router->sessions.by_sid.count - router->sessions.away);
    stats_tree_number(tree, "away", router->sessions.away);
    stats_tree_number(tree, "rooms", router->rooms.table.count);
    stats_tree_number(tree, "members", router->rooms.members);
    stats_tree_real(tree, "messages.in.per_second", in);
    stats_tree_number(tree, "messages.in.total", total.in);
    stats_tree_real(tree, "messages.out.per_second", out);
    stats_tree_number(tree, "messages.out.total", total.out);
    describe_journal(stats, tree);
    describe_archive(stats, tree);
    stats_tree_number(tree, "recent.messages", router->recent.count);
    stats_tree_number(tree, "recent.bytes", router->recent.bytes);
    describe_doors(tree);
    stats_tree_labels(tree, "recoveries", "hubbub_recoveries_total");
    stats_tree_labels(tree, "dropped", "hubbub_dropped_total");
    stats_tree_labels(tree, "refused", "hubbub_refused_total");
    stats_tree_labels(tree, "closed", "hubbub_closed_total");
    return tree;
}

/* -- commands --------------------------------------------------------------------------------- */

void stats_show(const struct stats *stats, bool json, struct buffer *out)
{
    struct stats_tree *tree = describe(stats);

    if (json)
        stats_tree_append_json(out, tree);
    else
        stats_tree_append_lines(out, tree);
    buffer_append_text(out, json ? "\n\n" : "\n");
    stats_tree_free(tree);
}

void stats_show_archive(const struct stats *stats, bool json, struct buffer *out)
{
    struct stats_tree *tree = stats_tree_new();

    describe_archive(stats, tree);
    stats_tree_append_part(out, tree, "archive", json);
    buffer_append_text(out, json ? "\n\n" : "\n");
    stats_tree_free(tree);
}

struct router *stats_router(const struct stats *stats)
{
    return stats->router;
}

uint64_t stats_of_gateway(const struct stats *stats, const struct gateway_link *link, const char *name)
{
    return stats_sources_of(&stats->gateways, link->name, name);
}
