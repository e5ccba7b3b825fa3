/*
 * The stats document and the commands that show it; see stats.h.  The stats socket calls it.  Its one
 * surprising rule: there is one document only; the text is that document without the metrics, each value on a
 * line under the names that lead to it.
 */
#include "router/stats.h"

#include "common/clock.h"
#include "common/memory.h"
#include "router/archive.h"
#include "router/backed.h"
#include "router/inquiry.h"
#include "router/measures.h"
#include "router/stats_source.h"
#include "router/stats_tree.h"
#include "router/transcript.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROOMS_SHOWN = 200 };

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

static const char help[] = "stats       what this stack does, one value a line\n"
                           "stats json  the same, and every metric, as one JSON document\n"
                           "rooms       the largest rooms: namespace, members, gateways, seq, name\n"
                           "gateways    name, state, sockets, unacknowledged bytes, version\n"
                           "backends    name, state, sockets, tasks, unacknowledged bytes, namespaces\n"
                           "socket SID  one socket: namespace, from, gateway, rooms, handshake\n"
                           "history {\"room\":R}  a page of a room's history, one message a line\n"
                           "help        this\n"
                           "quit        hang up\n\n";

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
        stats_tree_measure(tree, name, (double)value / unit);
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

static struct stats_tree *describe(const struct stats *stats)
{
    const struct router *router = stats->router;
    struct stats_tree *tree = stats_tree_new();
    struct sample total = totals(stats);
    double in, out;

    rates(stats, &in, &out);
    count(stats, tree);
    stats_tree_text(tree, "version", HUBBUB_VERSION);
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
    stats_tree_labels(tree, "recoveries", "hubbub_recoveries_total");
    stats_tree_labels(tree, "dropped", "hubbub_dropped_total");
    stats_tree_labels(tree, "refused", "hubbub_refused_total");
    stats_tree_labels(tree, "closed", "hubbub_closed_total");
    return tree;
}

/* -- commands --------------------------------------------------------------------------------- */

static void show_stats(struct stats *stats, struct buffer *out)
{
    struct stats_tree *tree = describe(stats);

    stats_tree_append_lines(out, tree);
    buffer_append_char(out, '\n');
    stats_tree_free(tree);
}

static void show_json(struct stats *stats, struct buffer *out)
{
    struct stats_tree *tree = describe(stats);

    stats_tree_append_json(out, tree);
    buffer_append_literal(out, "\n\n");
    stats_tree_free(tree);
}

/* The rooms with the most members, in descending order; gives how many there are in all. */
static unsigned largest_rooms(const struct router *router, const struct room *largest[ROOMS_SHOWN],
                              unsigned *shown)
{
    const struct room *room;
    unsigned count = 0, all = 0;
    uint32_t cursor = 0;

    while ((room = table_next(&router->rooms.table, &cursor))) {
        unsigned at;

        if (room->members == 0)
            continue;
        all++;
        if (count == ROOMS_SHOWN && largest[count - 1]->members >= room->members)
            continue;
        if (count < ROOMS_SHOWN)
            count++;
        for (at = count - 1; at > 0 && largest[at - 1]->members < room->members; at--)
            largest[at] = largest[at - 1];
        largest[at] = room;
    }
    *shown = count;
    return all;
}

static void show_rooms(struct stats *stats, struct buffer *out)
{
    const struct room *largest[ROOMS_SHOWN];
    unsigned shown, all = largest_rooms(stats->router, largest, &shown);

    for (unsigned i = 0; i < shown; i++) {
        const struct room *room = largest[i];

        buffer_append_bytes(out, room->namespace->name);
        buffer_printf(out, " %u %u %llu ", room->members, room->link_count,
                      (unsigned long long)room->last_seq);
        buffer_append_bytes(out, room_name(room));
        buffer_append_char(out, '\n');
    }
    if (all > shown)
        buffer_printf(out, "and %u more\n", all - shown);
    buffer_append_char(out, '\n');
}

static void show_gateways(struct stats *stats, struct buffer *out)
{
    const struct links *links = &stats->router->links;

    for (uint32_t i = 0; i < links->count; i++) {
        const struct gateway_link *link = links->all[i];

        buffer_printf(out, "%s %s %u %llu %s\n", link->name, link_state_text(link->state),
                      link->sessions.by_socket.count,
                      (unsigned long long)link->peer.flow.unacknowledged_bytes, link->version);
    }
    buffer_append_char(out, '\n');
}

/* What it was asked and has not answered. */
static unsigned count_tasks(const struct backend *backend)
{
    unsigned count = 0;

    for (const struct backed *backed = backend->first; backed; backed = backed->next)
        for (const struct task *task = backed->first; task; task = task->next)
            count += task->sent && !task->parked;
    return count;
}

static void show_backends(struct stats *stats, struct buffer *out)
{
    const struct backends *backends = stats->router->backends;

    for (uint32_t i = 0; i < backends->count; i++) {
        const struct backend *backend = backends->all[i];

        buffer_printf(out, "%s %s %u %u %llu ", backend->name, backend_state_text(backend->state),
                      backend->sockets, count_tasks(backend),
                      (unsigned long long)backend->peer.flow.unacknowledged_bytes);
        for (uint32_t j = 0; j < backend->namespace_count; j++) {
            if (j)
                buffer_append_char(out, ',');
            buffer_append_bytes(out, backend->namespaces[j]);
        }
        buffer_append_char(out, '\n');
    }
    buffer_append_char(out, '\n');
}

static void show_help(struct stats *stats, struct buffer *out)
{
    (void)stats;
    buffer_append_literal(out, help);
}

static const struct {
    const char *name;
    void (*show)(struct stats *stats, struct buffer *out);
} commands[] = {
    {"stats", show_stats},       {"stats json", show_json},   {"rooms", show_rooms},
    {"gateways", show_gateways}, {"backends", show_backends}, {"help", show_help},
};

static void cancel_inquiry(void *pending)
{
    inquiry_cancel(pending);
}

static void cancel_transcript(void *pending)
{
    transcript_cancel(pending);
}

static enum stats_outcome start_inquiry(struct stats *stats, struct bytes sid, struct stats_waiter *waiter,
                                        struct buffer *out)
{
    waiter->pending = inquiry_start(stats->router, sid, waiter->done, waiter->argument, out);
    waiter->cancel = cancel_inquiry;
    return waiter->pending ? STATS_LATER : STATS_ANSWERED;
}

static enum stats_outcome start_transcript(struct stats *stats, struct bytes question,
                                           struct stats_waiter *waiter, struct buffer *out)
{
    waiter->pending = transcript_start(stats->router, question, waiter->done, waiter->argument, out);
    waiter->cancel = cancel_transcript;
    return waiter->pending ? STATS_LATER : STATS_ANSWERED;
}

/* What stands behind the first word. */
static const struct {
    struct bytes word;
    enum stats_outcome (*start)(struct stats *stats, struct bytes rest, struct stats_waiter *waiter,
                                struct buffer *out);
} questions[] = {
    {{"socket ", 7}, start_inquiry},
    {{"history ", 8}, start_transcript},
};

enum stats_outcome stats_command(struct stats *stats, struct bytes line, struct stats_waiter *waiter,
                                 struct buffer *out)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (bytes_equal_text(line, commands[i].name)) {
            commands[i].show(stats, out);
            return STATS_ANSWERED;
        }
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        struct bytes word = questions[i].word;

        if (bytes_starts_with(line, word))
            return questions[i].start(stats, bytes_make(line.data + word.length, line.length - word.length),
                                      waiter, out);
    }
    if (bytes_equal_text(line, "quit")) {
        buffer_append_char(out, '\n');
        return STATS_HANG_UP;
    }
    buffer_append_literal(out, "error unknown command; try help\n\n");
    return STATS_ANSWERED;
}
