/*
 * Counters that gateways report; see stats_source.h.  Used by stats.c.  Its one surprising rule: what counts
 * up never goes down here, so a gateway that ends, or starts anew under its name, leaves its totals behind.
 */
#include "router/stats_source.h"

#include "common/memory.h"
#include "proto/rules.h"

#include <stdlib.h>

void stats_sources_done(struct stats_sources *sources)
{
    for (unsigned i = 0; i < sources->name_count; i++)
        free(sources->names[i].text);
    for (unsigned i = 0; i < sources->source_count; i++) {
        free(sources->sources[i]->gateway);
        free(sources->sources[i]);
    }
    free(sources->sources);
    *sources = (struct stats_sources){0};
}

/* STATS_NAMES_MAX when it is not there. */
static unsigned find_name(const struct stats_sources *sources, struct bytes name)
{
    for (unsigned i = 0; i < sources->name_count; i++)
        if (bytes_equal_text(name, sources->names[i].text))
            return i;
    return STATS_NAMES_MAX;
}

static bool ends_in(const char *text, size_t length, const char *suffix)
{
    size_t suffix_length = strlen(suffix);

    return length > suffix_length && memcmp(text + length - suffix_length, suffix, suffix_length) == 0;
}

/* Counters, and the counts of histograms. */
static bool counts_up(const char *text)
{
    size_t family = strcspn(text, "{");

    return ends_in(text, family, "_total") || ends_in(text, family, "_bucket") ||
           ends_in(text, family, "_count");
}

/* STATS_NAMES_MAX when it can't be added.  guess: where it is likely to be. */
static unsigned get_name(struct stats_sources *sources, struct bytes name, unsigned guess)
{
    bool guessed = guess < sources->name_count && bytes_equal_text(name, sources->names[guess].text);
    unsigned at = guessed ? guess : find_name(sources, name);
    struct stats_name *added;

    if (at < STATS_NAMES_MAX || sources->name_count == STATS_NAMES_MAX ||
        name.length > STATS_NAME_LENGTH_MAX || !room_name_valid(name))
        return at;
    added = &sources->names[sources->name_count];
    added->text = memory_text(name.data, name.length);
    added->total = counts_up(added->text);
    return sources->name_count++;
}

static struct stats_source *find_source(const struct stats_sources *sources, const char *gateway)
{
    for (unsigned i = 0; i < sources->source_count; i++)
        if (strcmp(sources->sources[i]->gateway, gateway) == 0)
            return sources->sources[i];
    return NULL;
}

static void retire(struct stats_sources *sources, struct stats_source *source)
{
    for (unsigned i = 0; i < sources->name_count; i++) {
        if (sources->names[i].total)
            sources->names[i].retired += source->values[i];
        source->values[i] = 0;
    }
}

static void drop(struct stats_sources *sources, unsigned at)
{
    struct stats_source *source = sources->sources[at];

    retire(sources, source);
    sources->sources[at] = sources->sources[--sources->source_count];
    free(source->gateway);
    free(source);
}

/* NULL when there are too many. */
static struct stats_source *add_source(struct stats_sources *sources, const char *gateway,
                                       uint64_t incarnation)
{
    struct stats_source *source;

    for (unsigned i = 0; sources->source_count == STATS_SOURCES_MAX && i < STATS_SOURCES_MAX; i++)
        if (sources->sources[i]->gone)
            drop(sources, i);
    if (sources->source_count == STATS_SOURCES_MAX)
        return NULL;
    source = memory_zero(1, sizeof *source);
    source->gateway = memory_text(gateway, strlen(gateway));
    source->incarnation = incarnation;
    sources->sources =
        memory_resize(sources->sources, (sources->source_count + 1) * sizeof(struct stats_source *));
    sources->sources[sources->source_count++] = source;
    return source;
}

int stats_sources_take(struct stats_sources *sources, const char *gateway, uint64_t incarnation,
                       struct bytes counters)
{
    struct stats_source *source = find_source(sources, gateway);
    struct wire_reader list;
    int count = wire_list_open(&list, counters);
    unsigned guess = 0;

    if (count < 0 || count % 2)
        return ERROR_MALFORMED;
    if (!source)
        source = add_source(sources, gateway, incarnation);
    if (!source)
        return 0;
    source->gone = false;
    if (source->incarnation != incarnation) {
        retire(sources, source);
        source->incarnation = incarnation;
    }
    for (; count > 0; count -= 2) {
        struct bytes name;
        uint64_t value;
        unsigned at;

        if (wire_list_text(&list, &name) < 0 || wire_list_u64(&list, &value) < 0)
            return ERROR_MALFORMED;
        at = get_name(sources, name, guess);
        guess = at + 1; /* names come in the same order each time */
        if (at < STATS_NAMES_MAX)
            source->values[at] = value;
    }
    return 0;
}

bool stats_sources_know(const struct stats_sources *sources, const char *gateway)
{
    return find_source(sources, gateway) != NULL;
}

void stats_sources_forget(struct stats_sources *sources, const char *gateway)
{
    struct stats_source *source = find_source(sources, gateway);

    if (!source)
        return;
    source->gone = true;
    for (unsigned i = 0; i < sources->name_count; i++)
        if (!sources->names[i].total)
            source->values[i] = 0;
}

uint64_t stats_sources_sum(const struct stats_sources *sources, unsigned index)
{
    uint64_t sum = sources->names[index].retired;

    for (unsigned i = 0; i < sources->source_count; i++)
        sum += sources->sources[i]->values[index];
    return sum;
}

uint64_t stats_sources_of(const struct stats_sources *sources, const char *gateway, const char *name)
{
    const struct stats_source *source = find_source(sources, gateway);
    unsigned at = find_name(sources, bytes_from_text(name));

    return source && at < STATS_NAMES_MAX ? source->values[at] : 0;
}

uint64_t stats_sources_find(const struct stats_sources *sources, const char *name)
{
    unsigned at = find_name(sources, bytes_from_text(name));

    return at < STATS_NAMES_MAX ? stats_sources_sum(sources, at) : 0;
}
