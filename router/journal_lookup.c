/*
 * Pages of rooms and ranges of the log; see journal_lookup.h.  It owns the reader's connection, its
 * statements and the memory of results; the reader's thread calls it.  Its one surprising rule: a page is
 * gathered as (seq, pos) pairs first, from the end that is asked for, and stops when it has one pair more
 * than the limit; only then are the messages themselves looked at.
 *
 * The pairs stand in the room's segments, in the run of its own row, and in the rows that the index lacks,
 * which follow each other in seq.
 */
#include "router/journal_lookup.h"

#include "common/buffer.h"
#include "common/memory.h"
#include "router/journal_run.h"

#include <stdlib.h>

enum {
    CACHE_KIB = 1024,
    PAGE_MAX = 200,
    CHUNK_BYTES = 32 << 10,
};

/* Where the bytes of a result's messages lie; messages never move once they are in one. */
struct chunk {
    struct chunk *older;
    size_t used, size;
    char data[];
};

static const struct {
    size_t offset;
    const char *sql;
} statements[] = {
    {offsetof(struct journal_lookup, begin), "BEGIN"},
    {offsetof(struct journal_lookup, end), "COMMIT"},
    {offsetof(struct journal_lookup, meta), "SELECT value FROM meta WHERE key = ?1"},
    {offsetof(struct journal_lookup, room),
     "SELECT room_id, last_seq, removed_seq, removed_pos, logged_removed, recent, logged FROM room "
     "WHERE namespace = ?1 AND name = ?2"},
    {offsetof(struct journal_lookup, backward),
     "SELECT last_seq, positions FROM segment WHERE room_id = ?1 AND first_seq < ?2 "
     "ORDER BY first_seq DESC"},
    {offsetof(struct journal_lookup, forward),
     "SELECT last_seq, positions FROM segment WHERE room_id = ?1 AND first_seq >= "
     "(SELECT ifnull(max(first_seq), 0) FROM segment WHERE room_id = ?1 AND first_seq <= ?2) "
     "ORDER BY first_seq"},
    {offsetof(struct journal_lookup, beyond),
     "SELECT pos, seq, namespace, room, class, deliver, sender_sid FROM message WHERE pos > ?1 ORDER BY pos"},
    {offsetof(struct journal_lookup, message), "SELECT " JOURNAL_COLUMNS " FROM message WHERE pos = ?1"},
    {offsetof(struct journal_lookup, range),
     "SELECT " JOURNAL_COLUMNS " FROM message WHERE pos BETWEEN ?1 AND ?2 ORDER BY pos"},
};

enum { STATEMENTS = sizeof statements / sizeof *statements };

static sqlite3_stmt **statement_at(struct journal_lookup *lookup, int i)
{
    return (sqlite3_stmt **)(void *)((char *)lookup + statements[i].offset);
}

void journal_pairs_add(struct journal_pairs *pairs, uint64_t seq, uint64_t pos)
{
    if (pairs->count == pairs->capacity) {
        pairs->capacity = pairs->capacity ? pairs->capacity * 2 : 256;
        pairs->items = memory_resize(pairs->items, pairs->capacity * sizeof *pairs->items);
    }
    pairs->items[pairs->count++] = (struct journal_pair){seq, pos};
}

int journal_lookup_meta(struct journal_lookup *lookup, const char *key, uint64_t *out)
{
    int rc;

    sqlite3_reset(lookup->meta);
    journal_bind_text(lookup->meta, 1, bytes_from_text(key));
    rc = sqlite3_step(lookup->meta);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return ERROR_IO;
    *out = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(lookup->meta, 0) : 0;
    return 0;
}

int journal_lookup_room(struct journal_lookup *lookup, struct bytes namespace, struct bytes name,
                        struct journal_lookup_room *out)
{
    sqlite3_stmt *row = lookup->room;
    int rc;

    sqlite3_reset(row);
    journal_bind_text(row, 1, namespace);
    journal_bind_text(row, 2, name);
    rc = sqlite3_step(row);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return ERROR_IO;
    *out = (struct journal_lookup_room){0};
    if (rc == SQLITE_DONE)
        return 0;
    lookup->looked_at++;
    *out = (struct journal_lookup_room){
        .room_id = (uint64_t)sqlite3_column_int64(row, 0),
        .last_seq = (uint64_t)sqlite3_column_int64(row, 1),
        .removed_seq = (uint64_t)sqlite3_column_int64(row, 2),
        .removed_pos = (uint64_t)sqlite3_column_int64(row, 3),
        .logged_removed = (uint64_t)sqlite3_column_int64(row, 4),
        .recent = journal_column(row, 5),
        .logged = journal_column(row, 6),
    };
    return 0;
}

/* The bounds of a page, exclusive; before is above every number when there is none. */
struct bounds {
    uint64_t after, before;
    size_t enough; /* pairs */
    bool backward;
};

/* Takes from lookup->run, which ascends, as much as is still wanted; a backward page is gathered newest
   first. */
static void take_pairs(struct journal_lookup *lookup, const struct bounds *bounds)
{
    const struct journal_pairs *run = &lookup->run;

    for (size_t i = 0; i < run->count && lookup->pairs.count < bounds->enough; i++) {
        const struct journal_pair *pair = &run->items[bounds->backward ? run->count - 1 - i : i];

        journal_pairs_add(&lookup->pairs, pair->seq, pair->pos);
    }
}

static int take_run(struct journal_lookup *lookup, const struct bounds *bounds, struct bytes bytes)
{
    struct journal_run_cursor cursor = journal_run_start(bytes);
    struct journal_pairs *run = &lookup->run;
    int rc;

    run->count = 0;
    while ((rc = journal_run_next(&cursor)) > 0) {
        lookup->looked_at++;
        if (cursor.seq > bounds->after && cursor.seq < bounds->before)
            journal_pairs_add(run, cursor.seq, cursor.pos);
    }
    if (rc == 0)
        take_pairs(lookup, bounds);
    return rc;
}

static int take_segments(struct journal_lookup *lookup, const struct bounds *bounds, uint64_t room_id)
{
    sqlite3_stmt *statement = bounds->backward ? lookup->backward : lookup->forward;
    int rc, result = 0;

    sqlite3_bind_int64(statement, 1, (sqlite3_int64)room_id);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)(bounds->backward ? bounds->before : bounds->after));
    while (!result && lookup->pairs.count < bounds->enough && (rc = sqlite3_step(statement)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW) {
            result = ERROR_IO;
            break;
        }
        lookup->looked_at++;
        if (bounds->backward && (uint64_t)sqlite3_column_int64(statement, 0) <= bounds->after)
            break;
        result = take_run(lookup, bounds, journal_column(statement, 1));
    }
    sqlite3_reset(statement);
    return result;
}

/* Rows that no index has: few, so all of them are looked at.  *first: the lowest of the room's numbers there,
 * or 0. */
static int take_beyond(struct journal_lookup *lookup, const struct bounds *bounds,
                       const struct journal_read *read, uint64_t indexed, uint64_t *first)
{
    sqlite3_stmt *statement = lookup->beyond;
    struct journal_pairs *run = &lookup->run;
    int rc;

    run->count = 0;
    *first = 0;
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)indexed);
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        uint64_t seq = (uint64_t)sqlite3_column_int64(statement, 1);

        lookup->looked_at++;
        if (seq == 0 || !bytes_equal(journal_column(statement, 3), read->room) ||
            !bytes_equal(journal_column(statement, 2), read->namespace))
            continue;
        if (*first == 0)
            *first = seq;
        if (seq > bounds->after && seq < bounds->before)
            journal_pairs_add(run, seq, (uint64_t)sqlite3_column_int64(statement, 0));
    }
    sqlite3_reset(statement);
    if (rc != SQLITE_DONE)
        return ERROR_IO;
    take_pairs(lookup, bounds);
    return 0;
}

static int gather_backward(struct journal_lookup *lookup, const struct bounds *bounds,
                           const struct journal_read *read, const struct journal_lookup_room *room,
                           uint64_t indexed)
{
    uint64_t ignored;
    int result = 0;

    if (bounds->before > room->last_seq + 1)
        result = take_beyond(lookup, bounds, read, indexed, &ignored);
    if (!result && lookup->pairs.count < bounds->enough)
        result = take_run(lookup, bounds, room->recent);
    if (!result)
        result = take_segments(lookup, bounds, room->room_id);
    return result;
}

static int gather_forward(struct journal_lookup *lookup, const struct bounds *bounds,
                          const struct journal_read *read, const struct journal_lookup_room *room,
                          uint64_t indexed)
{
    uint64_t ignored;
    int result = take_segments(lookup, bounds, room->room_id);

    if (!result && lookup->pairs.count < bounds->enough)
        result = take_run(lookup, bounds, room->recent);
    if (!result && lookup->pairs.count < bounds->enough)
        result = take_beyond(lookup, bounds, read, indexed, &ignored);
    return result;
}

/* Gathers the pairs of a page, one more than its limit if there are as many. */
static int gather(struct journal_lookup *lookup, struct bounds *bounds, struct journal_read *read)
{
    struct journal_lookup_room room;
    uint64_t indexed;
    int result = journal_lookup_meta(lookup, "indexed", &indexed);

    lookup->pairs.count = 0;
    if (!result)
        result = journal_lookup_room(lookup, read->namespace, read->room, &room);
    if (result)
        return result;
    if (room.last_seq == room.removed_seq)
        return take_beyond(lookup, bounds, read, indexed, &read->first_seq);
    read->first_seq = room.removed_seq + 1;
    if (bounds->after < room.removed_seq)
        bounds->after = room.removed_seq;
    return bounds->backward ? gather_backward(lookup, bounds, read, &room, indexed)
                            : gather_forward(lookup, bounds, read, &room, indexed);
}

static struct bytes keep(struct journal_read *read, struct bytes bytes)
{
    struct chunk *chunk = read->memory;
    char *to;

    if (bytes.length == 0)
        return (struct bytes){0};
    if (!chunk || chunk->size - chunk->used < bytes.length) {
        size_t size = bytes.length > CHUNK_BYTES ? bytes.length : CHUNK_BYTES;

        chunk = memory_new(sizeof *chunk + size);
        *chunk = (struct chunk){.older = read->memory, .size = size};
        read->memory = chunk;
    }
    to = chunk->data + chunk->used;
    memcpy(to, bytes.data, bytes.length);
    chunk->used += bytes.length;
    return bytes_make(to, bytes.length);
}

void journal_lookup_add(struct journal_lookup *lookup, struct journal_read *read,
                        const struct journal_message *row)
{
    struct journal_message *message;

    if (read->count == lookup->capacity) {
        lookup->capacity = lookup->capacity ? lookup->capacity * 2 : 64;
        read->messages = memory_resize(read->messages, lookup->capacity * sizeof *read->messages);
    }
    message = &read->messages[read->count++];
    *message = *row;
    message->namespace = keep(read, row->namespace);
    message->room = keep(read, row->room);
    message->publish_id = keep(read, row->publish_id);
    message->event = keep(read, row->event);
    message->arguments = keep(read, row->arguments);
    message->attachments = keep(read, row->attachments);
    message->except = keep(read, row->except);
    message->sender_sid = keep(read, row->sender_sid);
    message->sender_name = keep(read, row->sender_name);
}

static void reverse(struct journal_message *messages, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct journal_message swapped = messages[i];

        messages[i] = messages[count - 1 - i];
        messages[count - 1 - i] = swapped;
    }
}

static int read_page(struct journal_lookup *lookup, struct journal_read *read)
{
    size_t limit = read->limit < PAGE_MAX ? read->limit : PAGE_MAX;
    struct bounds bounds = {
        .after = read->after,
        .before = read->before && read->before < INT64_MAX ? read->before : INT64_MAX,
        .enough = limit + 1,
        .backward = !read->forward && (read->before || !read->after),
    };
    uint64_t bytes = 0;
    int result;

    if (read->after >= INT64_MAX)
        return 0;
    result = gather(lookup, &bounds, read);
    if (result)
        return result;
    read->more = lookup->pairs.count > limit;
    if (read->more)
        lookup->pairs.count = limit;
    for (size_t i = 0; i < lookup->pairs.count && !result; i++) {
        const struct journal_pair *pair = &lookup->pairs.items[i];
        struct journal_message row;

        if (read->max_bytes && bytes > read->max_bytes) {
            read->more = true;
            break;
        }
        sqlite3_bind_int64(lookup->message, 1, (sqlite3_int64)pair->pos);
        result = sqlite3_step(lookup->message) == SQLITE_ROW ? 0 : ERROR_IO;
        if (!result) {
            lookup->looked_at++;
            journal_row(lookup->message, &row);
            bytes += journal_message_bytes(&row);
            if (row.seq == pair->seq)
                journal_lookup_add(lookup, read, &row);
            else
                result = ERROR_IO;
        }
        sqlite3_reset(lookup->message);
    }
    if (bounds.backward)
        reverse(read->messages, read->count);
    return result;
}

static int read_range(struct journal_lookup *lookup, struct journal_read *read)
{
    uint64_t last = read->last < INT64_MAX ? read->last : INT64_MAX;
    uint64_t logged_floor = 0, bytes = 0;
    int rc = SQLITE_DONE, result;

    read->complete = true;
    if (read->first > last)
        return 0;
    result = journal_lookup_meta(lookup, "logged_floor", &logged_floor);
    if (!result && read->first <= logged_floor)
        result = ERROR_NOT_FOUND;
    if (result)
        return result;
    sqlite3_bind_int64(lookup->range, 1, (sqlite3_int64)read->first);
    sqlite3_bind_int64(lookup->range, 2, (sqlite3_int64)last);
    while ((rc = sqlite3_step(lookup->range)) == SQLITE_ROW) {
        struct journal_message row;

        lookup->looked_at++;
        journal_row(lookup->range, &row);
        bytes += journal_message_bytes(&row);
        if (bytes > read->max_bytes) {
            read->complete = false;
            rc = SQLITE_DONE;
            break;
        }
        journal_lookup_add(lookup, read, &row);
    }
    sqlite3_reset(lookup->range);
    return rc == SQLITE_DONE ? 0 : ERROR_IO;
}

static int find(struct journal_lookup *lookup, struct journal_read *read)
{
    switch (read->kind) {
    case JOURNAL_READ_PAGE:
        return read_page(lookup, read);
    case JOURNAL_READ_RANGE:
        return read_range(lookup, read);
    case JOURNAL_READ_MISSED:
        return journal_lookup_missed(lookup, read);
    }
    return ERROR_UNSUPPORTED;
}

void journal_lookup_answer(struct journal_lookup *lookup, struct journal_read *read)
{
    read->messages = NULL;
    read->count = 0;
    read->more = false;
    read->complete = false;
    read->first_seq = 0;
    read->memory = NULL;
    lookup->capacity = 0;
    lookup->looked_at = 0;

    read->result = journal_step(lookup->begin);
    if (!read->result) {
        read->result = find(lookup, read);
        for (int i = 0; i < STATEMENTS; i++)
            sqlite3_reset(*statement_at(lookup, i));
        (void)!journal_step(lookup->end);
    }
    if (read->result) {
        journal_read_free(read);
        if (read->result != ERROR_NOT_FOUND)
            read->result = ERROR_IO;
    }
}

int journal_lookup_init(struct journal_lookup *lookup, const char *path, char *message, size_t message_size)
{
    int result;

    *lookup = (struct journal_lookup){0};
    result = journal_file_connect(path, CACHE_KIB, &lookup->db, message, message_size);
    for (int i = 0; i < STATEMENTS && !result; i++)
        if (journal_prepare(lookup->db, statements[i].sql, statement_at(lookup, i)))
            result = journal_error_describe(lookup->db, path, "cannot be read", message, message_size);
    return result;
}

void journal_lookup_done(struct journal_lookup *lookup)
{
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(*statement_at(lookup, i));
    sqlite3_close(lookup->db);
    free(lookup->pairs.items);
    free(lookup->run.items);
    *lookup = (struct journal_lookup){0};
}

void journal_read_free(struct journal_read *read)
{
    struct chunk *older;

    for (struct chunk *chunk = read->memory; chunk; chunk = older) {
        older = chunk->older;
        free(chunk);
    }
    free(read->messages);
    read->memory = NULL;
    read->messages = NULL;
    read->count = 0;
}
