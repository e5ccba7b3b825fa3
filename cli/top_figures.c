/*
 * What the head of the live view says; see top_figures.h.  Pure: a test feeds it documents.  Its one
 * surprising rule: what a router does not tell counts as 0, so that one of another version shows what it has.
 */
#include "cli/top_figures.h"

#include <string.h>

enum { COUNT_WHOLE = 100000, NAME_MAX_BYTES = 64 };

/* The value at names joined by dots. */
static const json_t *find(const json_t *document, const char *path)
{
    while (document && *path) {
        char name[NAME_MAX_BYTES];
        size_t length = strcspn(path, ".");

        if (length >= sizeof name)
            return NULL;
        memcpy(name, path, length);
        name[length] = '\0';
        document = json_object_get(document, name);
        path += length + (path[length] == '.');
    }
    return document;
}

static double number(const json_t *stats, const char *path)
{
    return json_number_value(find(stats, path));
}

static const char *text(const json_t *stats, const char *path)
{
    const char *value = json_string_value(find(stats, path));

    return value ? value : "";
}

static void append_scaled(struct buffer *out, double value, double step, const char *const *units)
{
    while (units[1] && value >= step) {
        value /= step;
        units++;
    }
    buffer_printf(out, value < 99.95 ? "%.1f%s" : "%.0f%s", value, *units);
}

void top_figures_count(struct buffer *out, double value)
{
    static const char *const units[] = {"k", "M", "G", "T", NULL};

    if (value < COUNT_WHOLE)
        buffer_printf(out, "%.0f", value);
    else
        append_scaled(out, value / 1000, 1000, units);
}

void top_figures_bytes(struct buffer *out, double value)
{
    static const char *const units[] = {" KB", " MB", " GB", " TB", NULL};

    if (value < 1024)
        buffer_printf(out, "%.0f B", value);
    else
        append_scaled(out, value / 1024, 1024, units);
}

static void append_duration(struct buffer *out, double seconds)
{
    unsigned long long whole = (unsigned long long)seconds;

    if (whole >= 86400)
        buffer_printf(out, "%llu d %llu h", whole / 86400, whole / 3600 % 24);
    else if (whole >= 3600)
        buffer_printf(out, "%llu h %llu min", whole / 3600, whole / 60 % 60);
    else if (whole >= 60)
        buffer_printf(out, "%llu min %llu s", whole / 60, whole % 60);
    else
        buffer_printf(out, "%llu s", whole);
}

static void append_count_of(struct buffer *out, const json_t *stats, const char *path, const char *before)
{
    buffer_append_text(out, before);
    top_figures_count(out, number(stats, path));
}

void top_figures_title(struct buffer *out, const json_t *stats)
{
    buffer_append_literal(out, "hubbub top");
    if (!stats)
        return;
    buffer_printf(out, "  router %s, up ", text(stats, "version"));
    append_duration(out, number(stats, "uptime_seconds"));
}

/* How many are live and are not being emptied. */
static size_t count_up(const json_t *gateways)
{
    const json_t *row;
    size_t i, count = 0;

    json_array_foreach(gateways, i, row) count +=
        strcmp(text(row, "state"), "live") == 0 && !json_is_true(find(row, "draining"));
    return count;
}

void top_figures_clients(struct buffer *out, const json_t *stats, const json_t *gateways)
{
    if (!stats)
        return;
    append_count_of(out, stats, "connections", "connections ");
    append_count_of(out, stats, "sockets", "  sockets ");
    append_count_of(out, stats, "rooms", "  rooms ");
    append_count_of(out, stats, "members", "  members ");
    if (gateways)
        buffer_printf(out, "  gateways up %zu/%zu", count_up(gateways), json_array_size(gateways));
    else
        append_count_of(out, stats, "gateways", "  gateways ");
    append_count_of(out, stats, "backends", "  backends ");
}

void top_figures_messages(struct buffer *out, const json_t *stats)
{
    if (!stats)
        return;
    buffer_printf(out, "messages in %.1f/s, out %.1f/s", number(stats, "messages.in.per_second"),
                  number(stats, "messages.out.per_second"));
    buffer_printf(out, "  commit %.1f ms, average %.1f, worst %.1f", number(stats, "journal.commit_ms.last"),
                  number(stats, "journal.commit_ms.average"), number(stats, "journal.commit_ms.maximum"));
}

void top_figures_storage(struct buffer *out, const json_t *stats)
{
    const char *state = text(stats, "archive.state");

    if (!stats)
        return;
    if (json_is_true(find(stats, "journal.storage_full")))
        buffer_append_literal(out, "DISK FULL  ");
    if (strcmp(state, "none") == 0) {
        buffer_append_literal(out, "archive none");
    } else {
        buffer_printf(out, "archive %s", state);
        append_count_of(out, stats, "archive.lag.messages", ", behind by ");
        buffer_printf(out, " messages, %.1f s", number(stats, "archive.lag.seconds"));
    }
    if (number(stats, "archive.dead_letters") > 0)
        append_count_of(out, stats, "archive.dead_letters", "  dead letters ");
    append_count_of(out, stats, "journal.waiting", "  journal waiting ");
}
