/*
 * The index pass and the catching up at the start; see journal_index.h.  It owns tables room and segment and
 * the indexed position; the journal thread calls it between commits.  Its one surprising rule: a pass reads
 * nothing back, it writes what the rooms and ids in memory say, so those must hold everything beyond
 * `indexed`.
 */
#include "router/journal_index.h"

#include <stdio.h>

/* Writes a series' full segments; *rest is what is left for the room's own row. */
static int write_segments(struct journal_index *index, struct journal_room *room,
                          enum journal_series_kind kind, struct bytes *rest)
{
    struct journal_series *series = &room->series[kind];
    struct journal_run *piece = &index->pieces[kind];
    struct journal_run_cursor cursor = journal_run_start(buffer_bytes(&series->run.bytes));
    uint64_t first_seq = 0;
    int result = 0;

    series->flushed = 0;
    journal_run_clear(piece);
    while (!result && series->run.count - series->flushed >= JOURNAL_SEGMENT_MIN &&
           journal_run_next(&cursor) > 0) {
        uint32_t whole = series->run.count - series->flushed;

        if (whole > JOURNAL_SEGMENT_MAX)
            whole = JOURNAL_SEGMENT_MAX;
        if (piece->count == 0)
            first_seq = cursor.seq;
        journal_run_append(piece, cursor.seq, cursor.pos);
        if (piece->count < whole)
            continue;
        sqlite3_bind_int64(index->write_segment, 1, journal_series_id(room->room_id, kind));
        sqlite3_bind_int64(index->write_segment, 2, (sqlite3_int64)first_seq);
        sqlite3_bind_int64(index->write_segment, 3, (sqlite3_int64)cursor.seq);
        journal_bind_blob(index->write_segment, 4, buffer_bytes(&piece->bytes));
        result = journal_step(index->write_segment);
        series->flushed += whole;
        journal_run_clear(piece);
    }
    while (series->flushed && journal_run_next(&cursor) > 0)
        journal_run_append(piece, cursor.seq, cursor.pos);
    *rest = buffer_bytes(series->flushed ? &piece->bytes : &series->run.bytes);
    return result;
}

static int write_room(struct journal_index *index, struct journal_room *room)
{
    struct bytes rest[JOURNAL_SERIES];

    if (room->forgotten) {
        for (int kind = 0; kind < JOURNAL_SERIES; kind++)
            room->series[kind].flushed = 0;
        return 0;
    }
    for (int kind = 0; kind < JOURNAL_SERIES; kind++) {
        int result = write_segments(index, room, kind, &rest[kind]);

        if (result)
            return result;
    }
    sqlite3_bind_int64(index->write_room, 1, (sqlite3_int64)room->room_id);
    journal_bind_text(index->write_room, 2, journal_room_namespace(room));
    journal_bind_text(index->write_room, 3, journal_room_name(room));
    sqlite3_bind_int64(index->write_room, 4, (sqlite3_int64)room->last_seq);
    sqlite3_bind_int64(index->write_room, 5, (sqlite3_int64)room->last_at);
    journal_bind_blob(index->write_room, 6, rest[JOURNAL_NUMBERED]);
    journal_bind_blob(index->write_room, 7, rest[JOURNAL_LOGGED]);
    return journal_step(index->write_room);
}

static int write_number(struct journal_index *index, const char *key, uint64_t value)
{
    journal_bind_text(index->write_number, 1, bytes_from_text(key));
    sqlite3_bind_int64(index->write_number, 2, (sqlite3_int64)value);
    return journal_step(index->write_number);
}

static int write_pass(struct journal_index *index, uint64_t now)
{
    struct journal_store *store = index->store;
    int result = 0;

    for (size_t i = 0; i < store->rooms.unindexed_count && !result; i++)
        result = write_room(index, store->rooms.unindexed[i]);
    if (!result)
        result = journal_dedup_write(&store->dedup, now);
    if (!result)
        result = write_number(index, "indexed", store->head);
    if (!result)
        result = write_number(index, "numbered", store->numbered);
    if (result)
        journal_store_failed(store, "the room index could not be written");
    return result;
}

int journal_index_pass(struct journal_index *index, uint64_t now)
{
    struct journal_store *store = index->store;
    int result = journal_store_begin_unsynced(store);

    if (!result)
        result = write_pass(index, now);
    if (!result)
        result = journal_store_end(store);
    if (result == ERROR_NO_SPACE) {
        journal_store_rollback(store);
        return 0;
    }
    if (result)
        return result;
    journal_rooms_indexed(&store->rooms);
    journal_dedup_written(&store->dedup);
    journal_rooms_trim(&store->rooms);
    index->indexed = store->head;
    return 0;
}

uint64_t journal_index_lag(const struct journal_index *index)
{
    return index->store->head - index->indexed;
}

/* Columns of the rows that are counted in at the start. */
enum {
    COLUMN_POS,
    COLUMN_NAMESPACE,
    COLUMN_ROOM,
    COLUMN_SEQ,
    COLUMN_CLASS,
    COLUMN_AT,
    COLUMN_ID,
    COLUMN_SCOPE,
    COLUMN_DELIVER,
    COLUMN_SENDER_SID
};

static int damaged(struct journal_index *index, uint64_t pos, const char *what, char *message,
                   size_t message_size)
{
    snprintf(message, message_size, "%s: damaged: the message at position %llu %s", index->store->file->path,
             (unsigned long long)pos, what);
    return ERROR_CORRUPT;
}

static int count_row(struct journal_index *index, sqlite3_stmt *row, uint64_t pos, char *message,
                     size_t message_size)
{
    struct journal_store *store = index->store;
    struct journal_message counted = {
        .pos = (uint64_t)sqlite3_column_int64(row, COLUMN_POS),
        .namespace = journal_column(row, COLUMN_NAMESPACE),
        .room = journal_column(row, COLUMN_ROOM),
        .seq = (uint64_t)sqlite3_column_int64(row, COLUMN_SEQ),
        .class = (enum message_class)sqlite3_column_int(row, COLUMN_CLASS),
        .at = (uint64_t)sqlite3_column_int64(row, COLUMN_AT),
        .deliver = (enum deliver_mode)sqlite3_column_int(row, COLUMN_DELIVER),
        .sender_sid = journal_column(row, COLUMN_SENDER_SID),
    };
    struct bytes scope = journal_column(row, COLUMN_SCOPE);
    bool archived = counted.class == MESSAGE_ARCHIVED;
    struct journal_room *room;
    int result;

    if (counted.pos != pos)
        return damaged(index, pos, "is missing", message, message_size);
    result = journal_rooms_find(&store->rooms, counted.namespace, counted.room, &room);
    if (result)
        return journal_error_describe(store->file->db, store->file->path, "its room index cannot be read",
                                      message, message_size);
    if (!archived && counted.class != MESSAGE_LOGGED)
        return damaged(index, pos, "is of no known class", message, message_size);
    if (counted.seq != (archived ? room->last_seq + 1 : 0))
        return damaged(index, pos, "does not follow the one before it in its room", message, message_size);
    result = journal_rooms_count(&store->rooms, room, &counted);
    if (result)
        return journal_error_describe(store->file->db, store->file->path, "its room index cannot be read",
                                      message, message_size);
    store->numbered += archived;
    if (scope.length) {
        struct journal_first first = {pos, counted.seq, counted.at};
        struct journal_first earlier;
        char key[JOURNAL_DEDUP_KEY_LENGTH];

        result = journal_dedup_find(&store->dedup, counted.namespace, scope, journal_column(row, COLUMN_ID),
                                    counted.at, key, &earlier);
        if (result == 0)
            journal_dedup_add(&store->dedup, scope, key, &first);
        else if (result != ERROR_EXISTS)
            return journal_error_describe(store->file->db, store->file->path, "its ids cannot be read",
                                          message, message_size);
    }
    return 0;
}

/* Counts in the rows from the store's head up to last. */
static int count_rows(struct journal_index *index, sqlite3_stmt *rows, uint64_t last, char *message,
                      size_t message_size)
{
    struct journal_store *store = index->store;
    uint64_t pos = store->head;
    int rc, result = 0;

    sqlite3_bind_int64(rows, 1, (sqlite3_int64)pos);
    sqlite3_bind_int64(rows, 2, (sqlite3_int64)last);
    while (!result && (rc = sqlite3_step(rows)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW)
            result = journal_error_describe(store->file->db, store->file->path, "cannot be read", message,
                                            message_size);
        else
            result = count_row(index, rows, ++pos, message, message_size);
    }
    sqlite3_reset(rows);
    if (!result && pos != last)
        result = damaged(index, pos + 1, "is missing", message, message_size);
    if (result)
        return result;
    journal_rooms_keep(&store->rooms);
    journal_dedup_keep(&store->dedup);
    store->head = last;
    return 0;
}

static int catch_up(struct journal_index *index, char *message, size_t message_size)
{
    struct journal_store *store = index->store;
    sqlite3_stmt *rows = NULL;
    int result = journal_prepare(store->file->db,
                                 "SELECT pos, namespace, room, seq, class, at, publish_id, dedup_scope, "
                                 "deliver, sender_sid FROM message WHERE pos > ?1 AND pos <= ?2 ORDER BY pos",
                                 &rows);

    if (result)
        journal_error_describe(store->file->db, store->file->path, "cannot be read", message, message_size);
    store->head = index->indexed;
    while (!result && store->head < store->file->head) {
        uint64_t last = store->head + JOURNAL_UNINDEXED_MAX;

        result = count_rows(index, rows, last < store->file->head ? last : store->file->head, message,
                            message_size);
        if (!result) {
            result = journal_index_pass(index, 0); /* nothing expires yet */
            if (result)
                snprintf(message, message_size, "%s", store->failure);
        }
    }
    sqlite3_finalize(rows);
    return result;
}

int journal_index_init(struct journal_index *index, struct journal_store *store, char *message,
                       size_t message_size)
{
    sqlite3 *db = store->file->db;
    int result;

    *index = (struct journal_index){.store = store, .indexed = store->file->indexed};
    result = journal_prepare(db,
                             "INSERT INTO room(room_id, namespace, name, last_seq, last_at, recent, logged) "
                             "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (room_id) DO UPDATE "
                             "SET last_seq = ?4, last_at = ?5, recent = ?6, logged = ?7",
                             &index->write_room);
    if (!result)
        result = journal_prepare(db, "INSERT INTO segment VALUES (?1, ?2, ?3, ?4)", &index->write_segment);
    if (!result)
        result = journal_prepare(db, "INSERT OR REPLACE INTO meta VALUES (?1, ?2)", &index->write_number);
    if (!result)
        result = journal_dedup_load(&store->dedup, db, store->file->indexed);
    if (result)
        return journal_error_describe(db, store->file->path, "cannot be read", message, message_size);
    return catch_up(index, message, message_size);
}

void journal_index_done(struct journal_index *index)
{
    sqlite3_finalize(index->write_room);
    sqlite3_finalize(index->write_segment);
    sqlite3_finalize(index->write_number);
    for (int kind = 0; kind < JOURNAL_SERIES; kind++)
        journal_run_done(&index->pieces[kind]);
    *index = (struct journal_index){0};
}
