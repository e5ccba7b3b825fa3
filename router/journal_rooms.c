/*
 * Rooms as the journal thread knows them; see journal_rooms.h.  It owns the counters from which numbers are
 * made; the store counts messages in, the index writes the rooms that changed.  Its one surprising rule: a
 * room that nobody ever wrote to is remembered as well (with last_seq 0), so that joins to it do not ask the
 * file each time.
 */
#include "router/journal_rooms.h"

#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>

struct journal_rooms_undo {
    struct journal_room *room;
    uint64_t last_seq, last_at;
    struct journal_run_mark runs[JOURNAL_SERIES];
};

static struct bytes room_key(const void *entry)
{
    const struct journal_room *room = entry;

    return bytes_make(room->key, room->key_length);
}

struct bytes journal_room_namespace(const struct journal_room *room)
{
    return bytes_make(room->key + 2, room->namespace_length);
}

struct bytes journal_room_name(const struct journal_room *room)
{
    size_t start = 2 + (size_t)room->namespace_length;

    return bytes_make(room->key + start, room->key_length - start);
}

int journal_rooms_init(struct journal_rooms *rooms, sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;
    int result;

    *rooms = (struct journal_rooms){0};
    table_init(&rooms->table, room_key);
    result = journal_prepare(db,
                             "SELECT room_id, last_seq, last_at, recent, logged, removed_seq, logged_removed "
                             "FROM room WHERE namespace = ?1 AND name = ?2",
                             &rooms->load);
    if (!result)
        result = journal_prepare(db, "DELETE FROM room WHERE namespace = ?1 AND name = ?2 AND last_seq = 0",
                                 &rooms->remove);
    if (!result)
        result = journal_prepare(db,
                                 "DELETE FROM segment WHERE room_id = (SELECT -room_id FROM room "
                                 "WHERE namespace = ?1 AND name = ?2 AND last_seq = 0)",
                                 &rooms->remove_segments);
    if (!result)
        result = journal_prepare(db, "SELECT ifnull(max(room_id), 0) + 1 FROM room", &statement);
    if (!result) {
        if (sqlite3_step(statement) == SQLITE_ROW)
            rooms->next_room_id = (uint64_t)sqlite3_column_int64(statement, 0);
        else
            result = journal_error(db);
    }
    sqlite3_finalize(statement);
    return result;
}

static void room_free(struct journal_room *room)
{
    for (int i = 0; i < JOURNAL_SERIES; i++)
        journal_run_done(&room->series[i].run);
    free(room);
}

void journal_rooms_done(struct journal_rooms *rooms)
{
    struct journal_room *older;

    for (struct journal_room *room = rooms->newest; room; room = older) {
        older = room->older;
        room_free(room);
    }
    table_done(&rooms->table);
    buffer_done(&rooms->key);
    free(rooms->undo);
    free(rooms->unindexed);
    sqlite3_finalize(rooms->load);
    sqlite3_finalize(rooms->remove);
    sqlite3_finalize(rooms->remove_segments);
    *rooms = (struct journal_rooms){0};
}

static void link_newest(struct journal_rooms *rooms, struct journal_room *room)
{
    room->newer = NULL;
    room->older = rooms->newest;
    if (rooms->newest)
        rooms->newest->newer = room;
    else
        rooms->oldest = room;
    rooms->newest = room;
}

static void unlink_room(struct journal_rooms *rooms, struct journal_room *room)
{
    if (room->newer)
        room->newer->older = room->older;
    else
        rooms->newest = room->older;
    if (room->older)
        room->older->newer = room->newer;
    else
        rooms->oldest = room->newer;
}

static int load(struct journal_rooms *rooms, struct journal_room *room)
{
    sqlite3_stmt *statement = rooms->load;
    int rc, result = 0;

    journal_bind_text(statement, 1, journal_room_namespace(room));
    journal_bind_text(statement, 2, journal_room_name(room));
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        room->room_id = (uint64_t)sqlite3_column_int64(statement, 0);
        room->last_seq = (uint64_t)sqlite3_column_int64(statement, 1);
        room->last_at = (uint64_t)sqlite3_column_int64(statement, 2);
        result = journal_run_load(&room->series[JOURNAL_NUMBERED].run, journal_column(statement, 3));
        if (!result)
            result = journal_run_load(&room->series[JOURNAL_LOGGED].run, journal_column(statement, 4));
        if (!result && room->series[JOURNAL_NUMBERED].run.last_seq > room->last_seq)
            result = ERROR_CORRUPT;
        journal_run_drop_to(&room->series[JOURNAL_NUMBERED].run,
                            (uint64_t)sqlite3_column_int64(statement, 5));
        journal_run_drop_to(&room->series[JOURNAL_LOGGED].run, (uint64_t)sqlite3_column_int64(statement, 6));
    } else if (rc == SQLITE_DONE) {
        room->room_id = rooms->next_room_id++;
    } else {
        result = journal_error(sqlite3_db_handle(statement));
    }
    sqlite3_reset(statement);
    return result;
}

/* The one in memory, or NULL; its key stands in rooms->key. */
static struct journal_room *find_loaded(struct journal_rooms *rooms, struct bytes namespace,
                                        struct bytes name)
{
    buffer_clear(&rooms->key);
    buffer_append_char(&rooms->key, (char)(namespace.length & 0xff));
    buffer_append_char(&rooms->key, (char)(namespace.length >> 8));
    buffer_append_bytes(&rooms->key, namespace);
    buffer_append_bytes(&rooms->key, name);
    assert(rooms->key.length <= UINT16_MAX);
    return table_find(&rooms->table, buffer_bytes(&rooms->key));
}

int journal_rooms_find(struct journal_rooms *rooms, struct bytes namespace, struct bytes name,
                       struct journal_room **out)
{
    struct journal_room *room = find_loaded(rooms, namespace, name);
    int result;

    if (room) {
        if (room != rooms->newest) {
            unlink_room(rooms, room);
            link_newest(rooms, room);
        }
        *out = room;
        return 0;
    }

    room = memory_zero(1, sizeof *room + rooms->key.length);
    room->namespace_length = (uint16_t) namespace.length;
    room->key_length = (uint16_t)rooms->key.length;
    memcpy(room->key, rooms->key.data, rooms->key.length);
    result = load(rooms, room);
    if (result) {
        room_free(room);
        return result;
    }
    table_insert(&rooms->table, room);
    link_newest(rooms, room);
    *out = room;
    return 0;
}

bool journal_rooms_logged(const struct journal_message *message, struct bytes *name)
{
    if (message->deliver == DELIVER_NAMESPACE)
        *name = (struct bytes){0};
    else if (message->deliver == DELIVER_SELF)
        *name = message->sender_sid;
    else if (message->class == MESSAGE_ARCHIVED)
        return false;
    else
        *name = message->room;
    return true;
}

/* Before the first change of a batch. */
static void note_for_undo(struct journal_rooms *rooms, struct journal_room *room)
{
    struct journal_rooms_undo *undo;

    room->forgotten = false;
    if (room->changed_in == rooms->batch + 1)
        return;
    if (rooms->undo_count == rooms->undo_capacity) {
        rooms->undo_capacity = rooms->undo_capacity ? rooms->undo_capacity * 2 : 64;
        rooms->undo = memory_resize(rooms->undo, rooms->undo_capacity * sizeof *rooms->undo);
    }
    undo = &rooms->undo[rooms->undo_count++];
    *undo = (struct journal_rooms_undo){.room = room, .last_seq = room->last_seq, .last_at = room->last_at};
    for (int i = 0; i < JOURNAL_SERIES; i++)
        undo->runs[i] = journal_run_mark(&room->series[i].run);
    room->changed_in = rooms->batch + 1;
}

int journal_rooms_count(struct journal_rooms *rooms, struct journal_room *room,
                        const struct journal_message *message)
{
    struct journal_room *logged = NULL;
    struct bytes name;

    if (journal_rooms_logged(message, &name)) {
        logged = room;
        if (!bytes_equal(name, message->room)) {
            int result = journal_rooms_find(rooms, message->namespace, name, &logged);

            if (result)
                return result;
        }
        note_for_undo(rooms, logged);
        journal_run_append(&logged->series[JOURNAL_LOGGED].run, message->pos, message->pos);
    }
    note_for_undo(rooms, room);
    room->last_at = message->at;
    if (message->class == MESSAGE_ARCHIVED)
        journal_run_append(&room->series[JOURNAL_NUMBERED].run, ++room->last_seq, message->pos);
    return 0;
}

static int step_named(sqlite3_stmt *statement, struct bytes namespace, struct bytes name)
{
    journal_bind_text(statement, 1, namespace);
    journal_bind_text(statement, 2, name);
    return journal_step(statement);
}

int journal_rooms_forget(struct journal_rooms *rooms, struct bytes namespace, struct bytes name)
{
    struct journal_room *room = find_loaded(rooms, namespace, name);
    int result;

    if (room && room->last_seq)
        return 0;
    result = step_named(rooms->remove_segments, namespace, name);
    if (!result)
        result = step_named(rooms->remove, namespace, name);
    if (!result && room)
        room->forgotten = true;
    return result;
}

static void end_batch(struct journal_rooms *rooms)
{
    rooms->undo_count = 0;
    rooms->batch++;
}

void journal_rooms_keep(struct journal_rooms *rooms)
{
    for (size_t i = 0; i < rooms->undo_count; i++) {
        struct journal_room *room = rooms->undo[i].room;

        if (room->unindexed)
            continue;
        if (rooms->unindexed_count == rooms->unindexed_capacity) {
            rooms->unindexed_capacity = rooms->unindexed_capacity ? rooms->unindexed_capacity * 2 : 64;
            rooms->unindexed =
                memory_resize(rooms->unindexed, rooms->unindexed_capacity * sizeof *rooms->unindexed);
        }
        rooms->unindexed[rooms->unindexed_count++] = room;
        room->unindexed = true;
    }
    end_batch(rooms);
}

void journal_rooms_undo(struct journal_rooms *rooms)
{
    for (size_t i = 0; i < rooms->undo_count; i++) {
        const struct journal_rooms_undo *undo = &rooms->undo[i];

        undo->room->last_seq = undo->last_seq;
        undo->room->last_at = undo->last_at;
        for (int k = 0; k < JOURNAL_SERIES; k++)
            journal_run_rewind(&undo->room->series[k].run, &undo->runs[k]);
    }
    end_batch(rooms);
}

void journal_rooms_indexed(struct journal_rooms *rooms)
{
    for (size_t i = 0; i < rooms->unindexed_count; i++) {
        struct journal_room *room = rooms->unindexed[i];

        for (int k = 0; k < JOURNAL_SERIES; k++)
            if (room->series[k].flushed)
                journal_run_drop(&room->series[k].run, room->series[k].flushed);
        room->unindexed = false;
    }
    rooms->unindexed_count = 0;
}

void journal_rooms_trim(struct journal_rooms *rooms)
{
    while (rooms->table.count > JOURNAL_ROOMS_CACHED_MAX && !rooms->oldest->unindexed) {
        struct journal_room *room = rooms->oldest;

        table_remove(&rooms->table, room);
        unlink_room(rooms, room);
        room_free(room);
    }
}
