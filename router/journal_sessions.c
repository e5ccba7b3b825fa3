/*
 * Sessions in the journal's file; see journal_sessions.h.  The store calls it for changes, journal_open() for
 * what there is.  Its one surprising rule: a change of a row that is not there is no error, as a full disk
 * may have refused the change that was to make it; SAVE then brings it all.
 */
#include "router/journal_sessions.h"

#include "common/buffer.h"
#include "common/memory.h"

#include <stdlib.h>

int journal_sessions_init(struct journal_sessions *sessions, sqlite3 *db)
{
    const struct {
        sqlite3_stmt **statement;
        const char *sql;
    } statements[] = {
        {&sessions->save, "INSERT OR REPLACE INTO session VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"},
        {&sessions->generation, "UPDATE session SET generation = ?2 WHERE id = ?1"},
        {&sessions->data, "UPDATE session SET data = ?2 WHERE id = ?1"},
        {&sessions->remove, "DELETE FROM session WHERE id = ?1"},
        {&sessions->remove_rooms, "DELETE FROM session_room WHERE session = ?1"},
        {&sessions->join, "INSERT INTO session_room VALUES (?1, ?2, ?3, ?4) "
                          "ON CONFLICT (session, room) DO UPDATE SET watch = ?4"},
        {&sessions->move,
         "UPDATE session_room SET joined_pos = ?3, watch = ?4 WHERE session = ?1 AND room = ?2"},
        {&sessions->leave, "DELETE FROM session_room WHERE session = ?1 AND room = ?2"},
    };
    int result = 0;

    *sessions = (struct journal_sessions){0};
    for (size_t i = 0; i < sizeof statements / sizeof *statements && !result; i++)
        result = journal_prepare(db, statements[i].sql, statements[i].statement);
    return result;
}

void journal_sessions_done(struct journal_sessions *sessions)
{
    sqlite3_finalize(sessions->save);
    sqlite3_finalize(sessions->generation);
    sqlite3_finalize(sessions->data);
    sqlite3_finalize(sessions->remove);
    sqlite3_finalize(sessions->remove_rooms);
    sqlite3_finalize(sessions->join);
    sqlite3_finalize(sessions->move);
    sqlite3_finalize(sessions->leave);
    *sessions = (struct journal_sessions){0};
}

static sqlite3_int64 position(uint64_t stated, uint64_t here)
{
    return (sqlite3_int64)(stated == JOURNAL_HERE ? here : stated);
}

static void bind_data(sqlite3_stmt *statement, int column, struct bytes data)
{
    if (data.length)
        journal_bind_text(statement, column, data);
    else
        sqlite3_bind_null(statement, column);
}

static int step_with_id(sqlite3_stmt *statement, uint64_t id)
{
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)id);
    return journal_step(statement);
}

static int step_with_room(sqlite3_stmt *statement, uint64_t id, const struct journal_session_room *room,
                          uint64_t pos)
{
    journal_bind_text(statement, 2, room->room);
    sqlite3_bind_int64(statement, 3, position(room->joined_pos, pos));
    sqlite3_bind_int(statement, 4, room->watch);
    return step_with_id(statement, id);
}

static int save(struct journal_sessions *sessions, const struct journal_session *session, bool is_new,
                uint64_t pos)
{
    sqlite3_stmt *statement = sessions->save;
    int result;

    journal_bind_text(statement, 2, session->sid);
    journal_bind_text(statement, 3, session->secret);
    journal_bind_text(statement, 4, session->namespace);
    journal_bind_text(statement, 5, session->from);
    sqlite3_bind_int64(statement, 6, (sqlite3_int64)session->generation);
    sqlite3_bind_int64(statement, 7, position(session->connected_pos, pos));
    bind_data(statement, 8, session->data);
    result = step_with_id(statement, session->id);
    if (!result && !is_new)
        result = step_with_id(sessions->remove_rooms, session->id);
    for (size_t i = 0; i < session->room_count && !result; i++)
        result = step_with_room(sessions->join, session->id, &session->rooms[i], pos);
    return result;
}

int journal_sessions_apply(struct journal_sessions *sessions, const struct journal_change *change,
                           uint64_t pos)
{
    const struct journal_session *session = &change->session;
    int result;

    switch (change->kind) {
    case JOURNAL_SESSION_NEW:
    case JOURNAL_SESSION_SAVE:
        return save(sessions, session, change->kind == JOURNAL_SESSION_NEW, pos);
    case JOURNAL_SESSION_GENERATION:
        sqlite3_bind_int64(sessions->generation, 2, (sqlite3_int64)session->generation);
        return step_with_id(sessions->generation, session->id);
    case JOURNAL_SESSION_DATA:
        bind_data(sessions->data, 2, session->data);
        return step_with_id(sessions->data, session->id);
    case JOURNAL_SESSION_REMOVE:
        result = step_with_id(sessions->remove_rooms, session->id);
        return result ? result : step_with_id(sessions->remove, session->id);
    case JOURNAL_ROOM_JOIN:
        return step_with_room(sessions->join, session->id, session->rooms, pos);
    case JOURNAL_ROOM_MOVE:
        return step_with_room(sessions->move, session->id, session->rooms, pos);
    case JOURNAL_ROOM_LEAVE:
        journal_bind_text(sessions->leave, 2, session->rooms->room);
        return step_with_id(sessions->leave, session->id);
    }
    abort();
}

/* -- loading ---------------------------------------------------------------------------------- */

/* The rooms of one session; their names lie in texts. */
struct room_list {
    struct journal_session_room *rooms;
    size_t *starts; /* of the names, as texts may move while it grows */
    size_t count, capacity;
    struct buffer texts;
};

static void room_list_done(struct room_list *list)
{
    free(list->rooms);
    free(list->starts);
    buffer_done(&list->texts);
}

static void room_list_add(struct room_list *list, sqlite3_stmt *row)
{
    struct bytes name = journal_column(row, 0);

    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 16;
        list->rooms = memory_resize(list->rooms, list->capacity * sizeof *list->rooms);
        list->starts = memory_resize(list->starts, list->capacity * sizeof *list->starts);
    }
    list->starts[list->count] = list->texts.length;
    list->rooms[list->count++] =
        (struct journal_session_room){.room = name,
                                      .joined_pos = (uint64_t)sqlite3_column_int64(row, 1),
                                      .watch = sqlite3_column_int(row, 2) != 0};
    buffer_append_bytes(&list->texts, name);
}

static int load_rooms(sqlite3_stmt *rows, uint64_t id, struct room_list *list)
{
    int rc;

    list->count = 0;
    buffer_clear(&list->texts);
    sqlite3_bind_int64(rows, 1, (sqlite3_int64)id);
    while ((rc = sqlite3_step(rows)) == SQLITE_ROW)
        room_list_add(list, rows);
    sqlite3_reset(rows);
    for (size_t i = 0; i < list->count; i++)
        list->rooms[i].room.data = list->texts.data + list->starts[i];
    return rc == SQLITE_DONE ? 0 : journal_error(sqlite3_db_handle(rows));
}

/* A full disk may have refused the session, and taken its room. */
static int delete_orphans(sqlite3 *db)
{
    static const char sql[] = "DELETE FROM session_room WHERE session NOT IN (SELECT id FROM session)";

    return sqlite3_exec(db, sql, NULL, NULL, NULL) ? journal_error(db) : 0;
}

int journal_sessions_load(sqlite3 *db, void (*loaded)(void *argument, const struct journal_session *session),
                          void *argument)
{
    sqlite3_stmt *sessions = NULL, *rows = NULL;
    struct room_list list = {0};
    int rc = SQLITE_DONE;
    int result = delete_orphans(db);

    if (!result)
        result = journal_prepare(
            db,
            "SELECT id, sid, secret, namespace, sender, generation, connected_pos, data FROM session "
            "ORDER BY id",
            &sessions);
    if (!result)
        result = journal_prepare(
            db, "SELECT room, joined_pos, watch FROM session_room WHERE session = ?1 ORDER BY room", &rows);
    while (!result && (rc = sqlite3_step(sessions)) == SQLITE_ROW) {
        struct journal_session session = {
            .id = (uint64_t)sqlite3_column_int64(sessions, 0),
            .sid = journal_column(sessions, 1),
            .secret = journal_column(sessions, 2),
            .namespace = journal_column(sessions, 3),
            .from = journal_column(sessions, 4),
            .generation = (uint64_t)sqlite3_column_int64(sessions, 5),
            .connected_pos = (uint64_t)sqlite3_column_int64(sessions, 6),
            .data = journal_column(sessions, 7),
        };

        result = load_rooms(rows, session.id, &list);
        session.rooms = list.rooms;
        session.room_count = list.count;
        if (!result)
            loaded(argument, &session);
    }
    if (!result && rc != SQLITE_DONE)
        result = journal_error(db);
    sqlite3_finalize(sessions);
    sqlite3_finalize(rows);
    room_list_done(&list);
    return result;
}
