/*
 * What a client missed while it was away; see journal.h, JOURNAL_READ_MISSED.  It owns no state;
 * journal_lookup.c calls it inside its transaction.  Its one surprising rule: an archived message to the
 * whole namespace, or to its sender alone, stands in two series, its room's and the namespace's or the
 * sender's; only the latter counts, because their bounds are others than the room's.
 *
 * Each room's two series are walked from their newest end back to `from`, so what it costs is what is found,
 * and a row for each room; then the rows beyond the index, all of them.  It stops as soon as more than the
 * limit is found.
 */
#include "common/memory.h"
#include "router/journal_lookup.h"
#include "router/journal_rooms.h"

#include <stdlib.h>

struct search {
    struct journal_lookup *lookup;
    struct journal_read *read;
    const struct journal_missed_room **by_name; /* sorted */
    uint64_t indexed;
    uint64_t last; /* as SQLite can compare it */
};

enum { FROM_ROOM, FROM_NAMESPACE }; /* in a pair's seq: how a position was found */

/* A position stands at most twice in what is gathered. */
static bool too_many(const struct search *search)
{
    return search->lookup->pairs.count > 2 * (size_t)search->read->limit;
}

static void found(const struct search *search, uint64_t pos, bool wide)
{
    journal_pairs_add(&search->lookup->pairs, wide ? FROM_NAMESPACE : FROM_ROOM, pos);
}

/* Takes what lies in (from, last]; *reached when the run goes back to from. */
static int take_run(const struct search *search, struct bytes bytes, uint64_t from, bool wide, bool *reached)
{
    struct journal_run_cursor cursor = journal_run_start(bytes);
    int rc;

    while ((rc = journal_run_next(&cursor)) > 0) {
        search->lookup->looked_at++;
        if (cursor.pos <= from)
            *reached = true;
        else if (cursor.pos <= search->last)
            found(search, cursor.pos, wide);
    }
    return rc;
}

static int take_series(const struct search *search, const struct journal_lookup_room *row,
                       enum journal_series_kind kind, uint64_t from, bool wide)
{
    sqlite3_stmt *segments = search->lookup->backward;
    bool reached = false;
    int rc = SQLITE_DONE;
    int result = take_run(search, kind == JOURNAL_NUMBERED ? row->recent : row->logged, from, wide, &reached);

    sqlite3_bind_int64(segments, 1, journal_series_id(row->room_id, kind));
    sqlite3_bind_int64(segments, 2, INT64_MAX);
    while (!result && !reached && !too_many(search) && (rc = sqlite3_step(segments)) == SQLITE_ROW) {
        search->lookup->looked_at++;
        result = take_run(search, journal_column(segments, 1), from, wide, &reached);
    }
    sqlite3_reset(segments);
    return result ? result : rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : ERROR_IO;
}

static int take_room(const struct search *search, struct bytes name, uint64_t from, bool wide)
{
    struct journal_lookup_room row;
    int result = journal_lookup_room(search->lookup, search->read->namespace, name, &row);

    if (result)
        return result;
    if (from < row.removed_pos || from < row.logged_removed)
        return ERROR_NOT_FOUND;
    if (row.room_id == 0)
        return 0;
    if (!wide)
        result = take_series(search, &row, JOURNAL_NUMBERED, from, false);
    if (!result)
        result = take_series(search, &row, JOURNAL_LOGGED, from, wide);
    return result;
}

static int compare_names(struct bytes a, struct bytes b)
{
    size_t shorter = a.length < b.length ? a.length : b.length;
    int order = shorter ? memcmp(a.data, b.data, shorter) : 0;

    return order ? order : (a.length > b.length) - (a.length < b.length);
}

static int by_name(const void *a, const void *b)
{
    const struct journal_missed_room *const *first = a, *const *second = b;

    return compare_names((*first)->room, (*second)->room);
}

static const struct journal_missed_room *find_wanted(const struct search *search, struct bytes name)
{
    const struct journal_missed_room key = {.room = name}, *key_at = &key;
    const struct journal_missed_room **found_at =
        search->read->room_count ? bsearch(&key_at, search->by_name, search->read->room_count,
                                           sizeof(struct journal_missed_room *), by_name)
                                 : NULL;

    return found_at ? *found_at : NULL;
}

/* A row that no index has; only what tells where it belongs is read of it. */
static void take_row(const struct search *search, sqlite3_stmt *row)
{
    struct journal_message message = {
        .pos = (uint64_t)sqlite3_column_int64(row, 0),
        .room = journal_column(row, 3),
        .class = (enum message_class)sqlite3_column_int(row, 4),
        .deliver = (enum deliver_mode)sqlite3_column_int(row, 5),
    };
    const struct journal_missed_room *wanted;
    struct bytes name = message.room;

    if (!bytes_equal(journal_column(row, 2), search->read->namespace))
        return;
    if (message.deliver == DELIVER_NAMESPACE) {
        if (message.pos > search->read->namespace_from)
            found(search, message.pos, true);
        return;
    }
    if (message.deliver == DELIVER_SELF)
        message.sender_sid = journal_column(row, 6);
    (void)journal_rooms_logged(&message, &name);
    wanted = find_wanted(search, name);
    if (wanted && message.pos > wanted->from)
        found(search, message.pos, false);
}

static uint64_t lowest_bound(const struct journal_read *read)
{
    uint64_t lowest = read->namespace_from;

    for (size_t i = 0; i < read->room_count; i++)
        if (read->rooms[i].from < lowest)
            lowest = read->rooms[i].from;
    return lowest;
}

static int take_beyond(const struct search *search)
{
    sqlite3_stmt *rows = search->lookup->beyond;
    uint64_t lowest = lowest_bound(search->read);
    int rc = SQLITE_DONE;

    if (lowest >= search->last)
        return 0;
    sqlite3_bind_int64(rows, 1, (sqlite3_int64)(lowest > search->indexed ? lowest : search->indexed));
    while (!too_many(search) && (rc = sqlite3_step(rows)) == SQLITE_ROW &&
           (uint64_t)sqlite3_column_int64(rows, 0) <= search->last) {
        search->lookup->looked_at++;
        take_row(search, rows);
    }
    sqlite3_reset(rows);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : ERROR_IO;
}

static int gather(struct search *search)
{
    const struct journal_read *read = search->read;
    uint64_t logged_from = 0;
    int result = journal_lookup_meta(search->lookup, "indexed", &search->indexed);

    if (!result)
        result = journal_lookup_meta(search->lookup, "logged_from", &logged_from);
    if (!result && lowest_bound(read) < logged_from)
        result = ERROR_NOT_FOUND;
    if (!result)
        result = take_room(search, (struct bytes){0}, read->namespace_from, true);
    for (size_t i = 0; i < read->room_count && !result && !too_many(search); i++)
        result = take_room(search, read->rooms[i].room, read->rooms[i].from, false);
    return result ? result : take_beyond(search);
}

/* Whether it was looked for where it was found. */
static bool counts(const struct search *search, const struct journal_pair *pair,
                   const struct journal_message *row)
{
    const struct journal_missed_room *wanted;

    if (row->deliver == DELIVER_NAMESPACE)
        return pair->seq == FROM_NAMESPACE;
    if (row->deliver != DELIVER_SELF)
        return true;
    wanted = find_wanted(search, row->sender_sid);
    return wanted && row->pos > wanted->from;
}

/* By position; of two that are the same, the namespace's first. */
static int by_position(const void *a, const void *b)
{
    const struct journal_pair *first = a, *second = b;

    if (first->pos != second->pos)
        return first->pos < second->pos ? -1 : 1;
    return (first->seq < second->seq) - (first->seq > second->seq);
}

static int fetch(const struct search *search)
{
    struct journal_lookup *lookup = search->lookup;
    struct journal_read *read = search->read;
    const struct journal_pairs *pairs = &lookup->pairs;
    uint64_t bytes = 0;
    int result = 0;

    for (size_t i = 0; i < pairs->count && !result && read->complete; i++) {
        const struct journal_pair *pair = &pairs->items[i];
        struct journal_message row;

        if (i && pairs->items[i - 1].pos == pair->pos)
            continue;
        sqlite3_bind_int64(lookup->message, 1, (sqlite3_int64)pair->pos);
        result = sqlite3_step(lookup->message) == SQLITE_ROW ? 0 : ERROR_IO;
        if (!result) {
            lookup->looked_at++;
            journal_row(lookup->message, &row);
            if (counts(search, pair, &row)) {
                bytes += journal_message_bytes(&row);
                if (read->count == read->limit || bytes > read->max_bytes)
                    read->complete = false;
                else
                    journal_lookup_add(lookup, read, &row);
            }
        }
        sqlite3_reset(lookup->message);
    }
    return result;
}

int journal_lookup_missed(struct journal_lookup *lookup, struct journal_read *read)
{
    struct search search = {
        .lookup = lookup, .read = read, .last = read->last < INT64_MAX ? read->last : INT64_MAX};
    int result;

    lookup->pairs.count = 0;
    search.by_name = memory_new((read->room_count + 1) * sizeof *search.by_name);
    for (size_t i = 0; i < read->room_count; i++)
        search.by_name[i] = &read->rooms[i];
    qsort(search.by_name, read->room_count, sizeof *search.by_name, by_name);
    result = gather(&search);
    if (!result)
        read->complete = !too_many(&search);
    if (!result && read->complete && lookup->pairs.count) {
        qsort(lookup->pairs.items, lookup->pairs.count, sizeof *lookup->pairs.items, by_position);
        result = fetch(&search);
    }
    free(search.by_name);
    if (!read->complete)
        journal_read_free(read);
    return result;
}
