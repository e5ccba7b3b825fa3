/*
 * Pages of rooms and ranges of the log, read beside the writer; see journal_reader.h.  It owns a connection,
 * a thread and the memory of results; journal.c hands reads in and out.  Its one surprising rule: each read
 * is one transaction, so the index and the rows beyond it that it puts together are of one moment.
 *
 * A page gathers (seq, pos) pairs from the room's segments, the run in its own row, and the rows that the
 * index lacks, which follow each other in seq; it starts at the end that is asked for and stops when it has
 * one pair more than the limit.
 */
#include "router/journal_reader.h"

#include "common/memory.h"
#include "router/journal_run.h"

#include <stdlib.h>
#include <sys/eventfd.h>

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

struct pair {
    uint64_t seq, pos;
};

struct pairs {
    struct pair *items;
    size_t count, capacity;
};

struct journal_reader {
    sqlite3 *db;
    sqlite3_stmt *begin, *end, *indexed, *room, *backward, *forward, *beyond, *message, *range;
    pthread_t thread;
    pthread_mutex_t *snapshot;
    int event;
    struct pairs pairs; /* scratch: of the page */
    struct pairs run;   /* scratch: of one run */

    /* Guarded by mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct journal_read *queue, **queue_end;
    struct journal_read *done, **done_end;
    unsigned waiting; /* handed in and not yet collected */
    uint64_t rows;
    bool stop;

    uint64_t looked_at; /* rows of the read under way */
};

static const struct {
    size_t offset;
    const char *sql;
} statements[] = {
    {offsetof(struct journal_reader, begin), "BEGIN"},
    {offsetof(struct journal_reader, end), "COMMIT"},
    {offsetof(struct journal_reader, indexed), "SELECT value FROM meta WHERE key = 'indexed'"},
    {offsetof(struct journal_reader, room),
     "SELECT room_id, last_seq, recent FROM room WHERE namespace = ?1 AND name = ?2"},
    {offsetof(struct journal_reader, backward),
     "SELECT last_seq, positions FROM segment WHERE room_id = ?1 AND first_seq < ?2 "
     "ORDER BY first_seq DESC"},
    {offsetof(struct journal_reader, forward),
     "SELECT last_seq, positions FROM segment WHERE room_id = ?1 AND first_seq >= "
     "(SELECT ifnull(max(first_seq), 0) FROM segment WHERE room_id = ?1 AND first_seq <= ?2) "
     "ORDER BY first_seq"},
    {offsetof(struct journal_reader, beyond),
     "SELECT seq, pos, namespace, room, class FROM message WHERE pos > ?1 ORDER BY pos"},
    {offsetof(struct journal_reader, message), "SELECT " JOURNAL_COLUMNS " FROM message WHERE pos = ?1"},
    {offsetof(struct journal_reader, range),
     "SELECT " JOURNAL_COLUMNS " FROM message WHERE pos BETWEEN ?1 AND ?2 ORDER BY pos"},
};

enum { STATEMENTS = sizeof statements / sizeof *statements };

static sqlite3_stmt **statement_at(struct journal_reader *reader, int i)
{
    return (sqlite3_stmt **)(void *)((char *)reader + statements[i].offset);
}

static void add_pair(struct pairs *pairs, uint64_t seq, uint64_t pos)
{
    if (pairs->count == pairs->capacity) {
        pairs->capacity = pairs->capacity ? pairs->capacity * 2 : 256;
        pairs->items = memory_resize(pairs->items, pairs->capacity * sizeof *pairs->items);
    }
    pairs->items[pairs->count++] = (struct pair){seq, pos};
}

/* The bounds of a page, exclusive; before is above every number when there is none. */
struct bounds {
    uint64_t after, before;
    size_t enough; /* pairs */
    bool backward;
};

/* Takes from reader->run, which ascends, as much as is still wanted; a backward page is gathered newest
   first. */
static void take_pairs(struct journal_reader *reader, const struct bounds *bounds)
{
    const struct pairs *run = &reader->run;

    for (size_t i = 0; i < run->count && reader->pairs.count < bounds->enough; i++) {
        const struct pair *pair = &run->items[bounds->backward ? run->count - 1 - i : i];

        add_pair(&reader->pairs, pair->seq, pair->pos);
    }
}

static int take_run(struct journal_reader *reader, const struct bounds *bounds, struct bytes bytes)
{
    struct journal_run_cursor cursor = journal_run_start(bytes);
    struct pairs *run = &reader->run;
    int rc;

    run->count = 0;
    while ((rc = journal_run_next(&cursor)) > 0) {
        reader->looked_at++;
        if (cursor.seq > bounds->after && cursor.seq < bounds->before)
            add_pair(run, cursor.seq, cursor.pos);
    }
    if (rc == 0)
        take_pairs(reader, bounds);
    return rc;
}

static int take_segments(struct journal_reader *reader, const struct bounds *bounds, uint64_t room_id)
{
    sqlite3_stmt *statement = bounds->backward ? reader->backward : reader->forward;
    int rc, result = 0;

    sqlite3_bind_int64(statement, 1, (sqlite3_int64)room_id);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)(bounds->backward ? bounds->before : bounds->after));
    while (!result && reader->pairs.count < bounds->enough && (rc = sqlite3_step(statement)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW) {
            result = ERROR_IO;
            break;
        }
        reader->looked_at++;
        if (bounds->backward && (uint64_t)sqlite3_column_int64(statement, 0) <= bounds->after)
            break;
        result = take_run(reader, bounds, journal_column(statement, 1));
    }
    sqlite3_reset(statement);
    return result;
}

/* Rows that no index has: few, so all of them are looked at. */
static int take_beyond(struct journal_reader *reader, const struct bounds *bounds,
                       const struct journal_read *read, uint64_t indexed)
{
    sqlite3_stmt *statement = reader->beyond;
    struct pairs *run = &reader->run;
    int rc;

    run->count = 0;
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)indexed);
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        uint64_t seq = (uint64_t)sqlite3_column_int64(statement, 0);

        reader->looked_at++;
        if (seq > bounds->after && seq < bounds->before &&
            bytes_equal(journal_column(statement, 3), read->room) &&
            bytes_equal(journal_column(statement, 2), read->namespace) &&
            sqlite3_column_int(statement, 4) == MESSAGE_ARCHIVED)
            add_pair(run, seq, (uint64_t)sqlite3_column_int64(statement, 1));
    }
    sqlite3_reset(statement);
    if (rc != SQLITE_DONE)
        return ERROR_IO;
    take_pairs(reader, bounds);
    return 0;
}

/* Gathers the pairs of a page, one more than its limit if there are as many. */
static int gather(struct journal_reader *reader, const struct bounds *bounds, const struct journal_read *read)
{
    struct bytes recent = {0};
    struct buffer copy = {0};
    uint64_t indexed, room_id = 0, last_seq = 0;
    int rc, result = 0;

    reader->pairs.count = 0;
    rc = sqlite3_step(reader->indexed);
    if (rc != SQLITE_ROW)
        return ERROR_IO;
    indexed = (uint64_t)sqlite3_column_int64(reader->indexed, 0);
    sqlite3_reset(reader->indexed);

    journal_bind_text(reader->room, 1, read->namespace);
    journal_bind_text(reader->room, 2, read->room);
    rc = sqlite3_step(reader->room);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return ERROR_IO;
    if (rc == SQLITE_ROW) {
        room_id = (uint64_t)sqlite3_column_int64(reader->room, 0);
        last_seq = (uint64_t)sqlite3_column_int64(reader->room, 1);
        recent = journal_column(reader->room, 2);
        buffer_append_bytes(&copy, recent);
        recent = buffer_bytes(&copy);
    }
    sqlite3_reset(reader->room);

    if (bounds->backward) {
        if (bounds->before > last_seq + 1)
            result = take_beyond(reader, bounds, read, indexed);
        if (!result && reader->pairs.count < bounds->enough)
            result = take_run(reader, bounds, recent);
        if (!result && room_id)
            result = take_segments(reader, bounds, room_id);
    } else {
        if (room_id)
            result = take_segments(reader, bounds, room_id);
        if (!result && reader->pairs.count < bounds->enough)
            result = take_run(reader, bounds, recent);
        if (!result && reader->pairs.count < bounds->enough)
            result = take_beyond(reader, bounds, read, indexed);
    }
    buffer_done(&copy);
    return result;
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

static void add_message(struct journal_read *read, size_t *capacity, const struct journal_message *row)
{
    struct journal_message *message;

    if (read->count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 64;
        read->messages = memory_resize(read->messages, *capacity * sizeof *read->messages);
    }
    message = &read->messages[read->count++];
    *message = *row;
    message->namespace = keep(read, row->namespace);
    message->room = keep(read, row->room);
    message->publish_id = keep(read, row->publish_id);
    message->event = keep(read, row->event);
    message->arguments = keep(read, row->arguments);
    message->attachments = keep(read, row->attachments);
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

static int read_page(struct journal_reader *reader, struct journal_read *read)
{
    size_t limit = read->limit < PAGE_MAX ? read->limit : PAGE_MAX;
    struct bounds bounds = {
        .after = read->after,
        .before = read->before && read->before < INT64_MAX ? read->before : INT64_MAX,
        .enough = limit + 1,
        .backward = !read->forward && (read->before || !read->after),
    };
    uint64_t bytes = 0;
    size_t capacity = 0;
    int result;

    if (read->after >= INT64_MAX)
        return 0;
    result = gather(reader, &bounds, read);
    if (result)
        return result;
    read->more = reader->pairs.count > limit;
    if (read->more)
        reader->pairs.count = limit;
    for (size_t i = 0; i < reader->pairs.count && !result; i++) {
        const struct pair *pair = &reader->pairs.items[i];
        struct journal_message row;

        if (read->max_bytes && bytes > read->max_bytes) {
            read->more = true;
            break;
        }
        sqlite3_bind_int64(reader->message, 1, (sqlite3_int64)pair->pos);
        result = sqlite3_step(reader->message) == SQLITE_ROW ? 0 : ERROR_IO;
        if (!result) {
            reader->looked_at++;
            journal_row(reader->message, &row);
            bytes += journal_message_bytes(&row);
            if (row.seq == pair->seq)
                add_message(read, &capacity, &row);
            else
                result = ERROR_IO;
        }
        sqlite3_reset(reader->message);
    }
    if (bounds.backward)
        reverse(read->messages, read->count);
    return result;
}

static int read_range(struct journal_reader *reader, struct journal_read *read)
{
    uint64_t last = read->last < INT64_MAX ? read->last : INT64_MAX;
    uint64_t bytes = 0;
    size_t capacity = 0;
    int rc = SQLITE_DONE;

    read->complete = true;
    if (read->first > last)
        return 0;
    sqlite3_bind_int64(reader->range, 1, (sqlite3_int64)read->first);
    sqlite3_bind_int64(reader->range, 2, (sqlite3_int64)last);
    while ((rc = sqlite3_step(reader->range)) == SQLITE_ROW) {
        struct journal_message row;

        reader->looked_at++;
        journal_row(reader->range, &row);
        bytes += journal_message_bytes(&row);
        if (bytes > read->max_bytes) {
            read->complete = false;
            rc = SQLITE_DONE;
            break;
        }
        add_message(read, &capacity, &row);
    }
    sqlite3_reset(reader->range);
    return rc == SQLITE_DONE ? 0 : ERROR_IO;
}

static void answer(struct journal_reader *reader, struct journal_read *read)
{
    read->messages = NULL;
    read->count = 0;
    read->more = false;
    read->complete = false;
    read->memory = NULL;

    pthread_mutex_lock(reader->snapshot);
    read->result = journal_step(reader->begin);
    if (!read->result) {
        read->result = read->kind == JOURNAL_READ_PAGE ? read_page(reader, read) : read_range(reader, read);
        for (int i = 0; i < STATEMENTS; i++)
            sqlite3_reset(*statement_at(reader, i));
        (void)!journal_step(reader->end);
    }
    pthread_mutex_unlock(reader->snapshot);
    if (read->result) {
        journal_read_free(read);
        read->result = ERROR_IO;
    }
}

static void *run(void *argument)
{
    struct journal_reader *reader = argument;

    pthread_setname_np(pthread_self(), "journal-read");
    pthread_mutex_lock(&reader->mutex);
    while (!reader->stop) {
        struct journal_read *read = reader->queue;

        if (!read) {
            pthread_cond_wait(&reader->wake, &reader->mutex);
            continue;
        }
        reader->queue = read->next;
        if (!reader->queue)
            reader->queue_end = &reader->queue;
        pthread_mutex_unlock(&reader->mutex);
        reader->looked_at = 0;
        answer(reader, read);
        pthread_mutex_lock(&reader->mutex);
        read->next = NULL;
        *reader->done_end = read;
        reader->done_end = &read->next;
        reader->rows += reader->looked_at;
        eventfd_write(reader->event, 1);
    }
    pthread_mutex_unlock(&reader->mutex);
    return NULL;
}

static void reader_free(struct journal_reader *reader)
{
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(*statement_at(reader, i));
    sqlite3_close(reader->db);
    free(reader->pairs.items);
    free(reader->run.items);
    free(reader);
}

int journal_reader_start(const char *path, pthread_mutex_t *snapshot, int event, struct journal_reader **out,
                         char *message, size_t message_size)
{
    struct journal_reader *reader = memory_zero(1, sizeof *reader);
    int result;

    reader->snapshot = snapshot;
    reader->event = event;
    reader->queue_end = &reader->queue;
    reader->done_end = &reader->done;
    result = journal_file_connect(path, CACHE_KIB, &reader->db, message, message_size);
    for (int i = 0; i < STATEMENTS && !result; i++)
        if (journal_prepare(reader->db, statements[i].sql, statement_at(reader, i)))
            result = journal_error_describe(reader->db, path, "cannot be read", message, message_size);
    if (result) {
        reader_free(reader);
        return result;
    }
    pthread_mutex_init(&reader->mutex, NULL);
    pthread_cond_init(&reader->wake, NULL);
    if (pthread_create(&reader->thread, NULL, run, reader))
        abort();
    *out = reader;
    return 0;
}

struct journal_read *journal_reader_stop(struct journal_reader *reader)
{
    struct journal_read *left;

    if (!reader)
        return NULL;
    pthread_mutex_lock(&reader->mutex);
    reader->stop = true;
    pthread_cond_signal(&reader->wake);
    pthread_mutex_unlock(&reader->mutex);
    pthread_join(reader->thread, NULL);
    for (struct journal_read *read = reader->queue; read; read = read->next) {
        read->messages = NULL;
        read->memory = NULL;
        read->count = 0;
        read->result = ERROR_CLOSED;
    }
    *reader->done_end = reader->queue;
    left = reader->done;
    pthread_mutex_destroy(&reader->mutex);
    pthread_cond_destroy(&reader->wake);
    reader_free(reader);
    return left;
}

int journal_reader_submit(struct journal_reader *reader, struct journal_read *read)
{
    int result = 0;

    pthread_mutex_lock(&reader->mutex);
    if (reader->waiting >= JOURNAL_READS_WAITING_MAX) {
        result = ERROR_BUSY;
    } else {
        reader->waiting++;
        read->next = NULL;
        *reader->queue_end = read;
        reader->queue_end = &read->next;
        pthread_cond_signal(&reader->wake);
    }
    pthread_mutex_unlock(&reader->mutex);
    return result;
}

struct journal_read *journal_reader_collect(struct journal_reader *reader)
{
    struct journal_read *done;

    pthread_mutex_lock(&reader->mutex);
    done = reader->done;
    for (struct journal_read *read = done; read; read = read->next)
        reader->waiting--;
    reader->done = NULL;
    reader->done_end = &reader->done;
    pthread_mutex_unlock(&reader->mutex);
    return done;
}

uint64_t journal_reader_rows(struct journal_reader *reader)
{
    uint64_t rows;

    pthread_mutex_lock(&reader->mutex);
    rows = reader->rows;
    pthread_mutex_unlock(&reader->mutex);
    return rows;
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
