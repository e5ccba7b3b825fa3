/*
 * What leaves the journal, when and how; see journal_removal.h.  It owns the floors and the marks of what was
 * removed; the journal thread calls it between commits.  Its one surprising rule: the room of a message that
 * leaves may be changed in memory and not be in the index yet, so a step writes a room's marks and nothing
 * else of its row; what stands at or below them in its runs means nothing, and goes when a pass writes the
 * row.
 *
 * The recovery time is measured by the monotonic clock and from the start on, so that no jump of the wall
 * clock and no pause of the router takes from a client what it may come back for.  Age is judged by
 * journal_clock.h, against each message's own time; one from a clock that ran ahead stays longer, and so do
 * those behind it.
 */
#include "router/journal_removal.h"

#include "common/clock.h"
#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>

enum {
    STEP_US = 1000,
    REST = 4,             /* times as long as a step took */
    PAUSE_MS = 100,       /* after a step that left nothing to do */
    FULL_PAUSE_MS = 1000, /* after one for which there was no space */
    PIECE_MIN = 8,        /* rows of a step that are removed together */
    PIECE_MAX = 64,
    AGE_CHECK_MS = 60000, /* the wall clock is asked at least so often when something waits for its age */
};

/* A room whose marks move in this step; 0 for one that stays. */
struct journal_removal_room {
    struct journal_room *room;
    uint64_t removed_seq, removed_pos, logged_removed;
};

/* -- when --------------------------------------------------------------------------------------- */

static struct journal_span *span_at(struct journal_removal *removal, unsigned index)
{
    return &removal->spans[(removal->first_span + index) % (JOURNAL_SPANS + 2)];
}

static uint64_t span_length(const struct journal_removal *removal)
{
    return removal->retention.recovery_ms / JOURNAL_SPANS + 1;
}

/* Drops the spans whose time is over. */
static void advance(struct journal_removal *removal, uint64_t monotonic)
{
    while (removal->span_count) {
        const struct journal_span *oldest = span_at(removal, 0);

        if (oldest->last + removal->retention.recovery_ms > monotonic)
            break;
        removal->past = oldest->pos;
        removal->first_span = (removal->first_span + 1) % (JOURNAL_SPANS + 2);
        removal->span_count--;
    }
}

void journal_removal_committed(struct journal_removal *removal, uint64_t monotonic)
{
    struct journal_span *newest;

    advance(removal, monotonic);
    newest = removal->span_count ? span_at(removal, removal->span_count - 1) : NULL;
    if (!newest || newest->first + span_length(removal) <= monotonic) {
        assert(removal->span_count < JOURNAL_SPANS + 2);
        newest = span_at(removal, removal->span_count++);
        newest->first = monotonic;
    }
    newest->last = monotonic;
    newest->pos = removal->store->head;
}

void journal_removal_archived(struct journal_removal *removal, uint64_t pos)
{
    if (pos > removal->archived)
        removal->archived = pos;
}

/* Up to where logged messages may leave now. */
static uint64_t logged_end(const struct journal_removal *removal)
{
    return removal->past < removal->index->indexed ? removal->past : removal->index->indexed;
}

/* Up to where archived ones may leave when they are old enough or too many. */
static uint64_t archived_end(const struct journal_removal *removal)
{
    if (removal->retention.archive && removal->archived < removal->logged_floor)
        return removal->archived;
    return removal->logged_floor;
}

static bool too_many(const struct journal_removal *removal)
{
    uint64_t kept = removal->store->numbered - removal->removed;

    return removal->retention.keep_messages && kept > removal->retention.keep_messages;
}

static bool too_old(const struct journal_removal *removal, uint64_t at, uint64_t now)
{
    return removal->retention.keep_ms && at + removal->retention.keep_ms <= now;
}

/* When archived ones leave next, by the monotonic clock. */
static uint64_t archived_due(struct journal_removal *removal, uint64_t monotonic, uint64_t now)
{
    uint64_t left;

    if (removal->archived_floor >= archived_end(removal))
        return UINT64_MAX;
    if (too_many(removal))
        return monotonic;
    if (removal->retention.keep_ms == 0)
        return UINT64_MAX;
    if (removal->oldest_at == 0 || too_old(removal, removal->oldest_at, now))
        return monotonic;
    left = removal->oldest_at + removal->retention.keep_ms - now;
    return monotonic + (left < AGE_CHECK_MS ? left : AGE_CHECK_MS);
}

uint64_t journal_removal_due(struct journal_removal *removal, uint64_t monotonic, uint64_t wall)
{
    uint64_t now = journal_clock_now(&removal->clock, monotonic, wall);
    uint64_t due;

    if (removal->retention.recovery_ms == 0)
        return UINT64_MAX;
    advance(removal, monotonic);
    due = archived_due(removal, monotonic, now);
    if (removal->logged_floor < logged_end(removal) || journal_dedup_expired(&removal->store->dedup, now))
        due = monotonic;
    else if (removal->span_count && span_at(removal, 0)->last + removal->retention.recovery_ms < due)
        due = span_at(removal, 0)->last + removal->retention.recovery_ms;
    return due < removal->not_before ? removal->not_before : due;
}

/* -- a step ------------------------------------------------------------------------------------- */

/* NULL when no further room fits into this step. */
static struct journal_removal_room *touch(struct journal_removal *removal, struct journal_room *room)
{
    for (unsigned i = removal->touched_count; i > 0; i--)
        if (removal->touched[i - 1].room == room)
            return &removal->touched[i - 1];
    if (removal->touched_count == JOURNAL_STEP_ROOMS)
        return NULL;
    removal->touched[removal->touched_count] = (struct journal_removal_room){.room = room};
    return &removal->touched[removal->touched_count++];
}

static int touch_by_name(struct journal_removal *removal, struct bytes namespace, struct bytes name,
                         struct journal_removal_room **out)
{
    struct journal_room *room;
    int result = journal_rooms_find(&removal->store->rooms, namespace, name, &room);

    if (!result)
        *out = touch(removal, room);
    return result;
}

/* What becomes of one row. */
enum fate { FATE_STAYS, FATE_LEAVES, FATE_LATER /* the step ends before it */ };

/* A row beyond the logged floor whose recovery time is over: it leaves its room's logged series, and, unless
   it is archived, the journal. */
static int judge_logged(struct journal_removal *removal, const struct journal_message *row, uint64_t now,
                        enum fate *fate)
{
    struct journal_removal_room *touched;
    struct bytes name;
    int result;

    (void)now;
    *fate = row->class == MESSAGE_LOGGED ? FATE_LEAVES : FATE_STAYS;
    if (!journal_rooms_logged(row, &name))
        return 0;
    result = touch_by_name(removal, row->namespace, name, &touched);
    if (!result && !touched)
        *fate = FATE_LATER;
    else if (!result)
        touched->logged_removed = row->pos;
    return result;
}

/* One at or below the logged floor. */
static int judge_archived(struct journal_removal *removal, const struct journal_message *row, uint64_t now,
                          enum fate *fate)
{
    struct journal_removal_room *touched;
    int result;

    if (!too_many(removal) && !too_old(removal, row->at, now)) {
        removal->oldest_at = row->at;
        *fate = FATE_LATER;
        return 0;
    }
    result = touch_by_name(removal, row->namespace, row->room, &touched);
    if (result)
        return result;
    *fate = touched ? FATE_LEAVES : FATE_LATER;
    if (!touched)
        return 0;
    touched->removed_seq = row->seq;
    touched->removed_pos = row->pos;
    removal->removed++;
    return 0;
}

static void read_row(sqlite3_stmt *statement, struct journal_message *out)
{
    *out = (struct journal_message){
        .pos = (uint64_t)sqlite3_column_int64(statement, 0),
        .namespace = journal_column(statement, 1),
        .room = journal_column(statement, 2),
        .seq = (uint64_t)sqlite3_column_int64(statement, 3),
        .class = (enum message_class)sqlite3_column_int(statement, 4),
        .deliver = (enum deliver_mode)sqlite3_column_int(statement, 5),
        .at = (uint64_t)sqlite3_column_int64(statement, 6),
    };
    if (out->deliver == DELIVER_SELF)
        out->sender_sid = journal_column(statement, 7);
}

/* A part of the log that a step looks at. */
struct stretch {
    uint64_t floor, end;      /* rows above floor and up to end */
    enum message_class class; /* of those that leave */
    int (*judge)(struct journal_removal *removal, const struct journal_message *row, uint64_t now,
                 enum fate *fate);
    unsigned looked, left; /* rows of the step so far */
    bool over;             /* no more of it in this step */
};

/* Judges the next rows, at most that many, and moves the floor over them. */
static int judge_some(struct journal_removal *removal, struct stretch *stretch, unsigned count, uint64_t now)
{
    while (count-- && !stretch->over) {
        int rc = sqlite3_step(removal->rows), result;
        enum fate fate = FATE_STAYS;
        struct journal_message row;

        if (rc == SQLITE_DONE) {
            stretch->floor = stretch->end;
            stretch->over = true;
            return 0;
        }
        if (rc != SQLITE_ROW)
            return journal_error(removal->store->file->db);
        read_row(removal->rows, &row);
        result = stretch->judge(removal, &row, now, &fate);
        if (result)
            return result;
        stretch->over = fate == FATE_LATER;
        if (stretch->over)
            return 0;
        stretch->floor = row.pos;
        stretch->left += fate == FATE_LEAVES;
        stretch->over = ++stretch->looked == JOURNAL_STEP_LOOKED || stretch->left == JOURNAL_STEP_REMOVED;
    }
    return 0;
}

static int remove_rows(struct journal_removal *removal, const struct stretch *stretch, uint64_t floor)
{
    sqlite3_bind_int64(removal->remove, 1, (sqlite3_int64)floor);
    sqlite3_bind_int64(removal->remove, 2, (sqlite3_int64)stretch->floor);
    sqlite3_bind_int(removal->remove, 3, (int)stretch->class);
    return journal_step(removal->remove);
}

/* Moves the stretch's floor up as far as the step's limits allow.  Rows go in pieces, small ones at first:
   how long they take is known only afterwards, and large messages take long. */
static int sweep(struct journal_removal *removal, struct stretch *stretch, uint64_t now)
{
    uint64_t started = clock_monotonic_ns();
    unsigned piece = PIECE_MIN;
    int result = 0;

    sqlite3_bind_int64(removal->rows, 1, (sqlite3_int64)stretch->floor);
    sqlite3_bind_int64(removal->rows, 2, (sqlite3_int64)stretch->end);
    while (!result && !stretch->over) {
        uint64_t floor = stretch->floor;
        unsigned left = stretch->left;

        result = judge_some(removal, stretch, piece, now);
        if (!result && stretch->left > left)
            result = remove_rows(removal, stretch, floor);
        if (clock_monotonic_ns() - started >= (uint64_t)STEP_US * 1000)
            stretch->over = true;
        else if (piece < PIECE_MAX)
            piece *= 2;
    }
    sqlite3_reset(removal->rows);
    return result;
}

static int write_mark(struct journal_removal *removal, const struct journal_removal_room *touched)
{
    const struct journal_room *room = touched->room;
    const uint64_t marks[JOURNAL_SERIES] = {touched->removed_seq, touched->logged_removed};
    int result = 0;

    sqlite3_bind_int64(removal->write_room, 1, (sqlite3_int64)room->room_id);
    sqlite3_bind_int64(removal->write_room, 2, (sqlite3_int64)touched->removed_seq);
    sqlite3_bind_int64(removal->write_room, 3, (sqlite3_int64)touched->removed_pos);
    sqlite3_bind_int64(removal->write_room, 4, (sqlite3_int64)touched->logged_removed);
    for (int kind = 0; kind < JOURNAL_SERIES; kind++) {
        /* Memory's run holds all of the row's, and what no pass has written yet. */
        bool emptied = room->series[kind].run.last_seq <= marks[kind];

        sqlite3_bind_int(removal->write_room, 5 + kind, emptied);
    }
    result = journal_step(removal->write_room);
    for (int kind = 0; kind < JOURNAL_SERIES && !result; kind++) {
        if (marks[kind] == 0)
            continue;
        sqlite3_bind_int64(removal->remove_segments, 1, journal_series_id(room->room_id, kind));
        sqlite3_bind_int64(removal->remove_segments, 2, (sqlite3_int64)marks[kind]);
        result = journal_step(removal->remove_segments);
    }
    return result;
}

static int write_number(struct journal_removal *removal, const char *key, uint64_t value)
{
    journal_bind_text(removal->write_meta, 1, bytes_from_text(key));
    sqlite3_bind_int64(removal->write_meta, 2, (sqlite3_int64)value);
    return journal_step(removal->write_meta);
}

/* Within a transaction: looks at the stretch and writes what came of it. */
static int sweep_and_write(struct journal_removal *removal, struct stretch *stretch, const char *key,
                           uint64_t now)
{
    int result = sweep(removal, stretch, now);

    for (unsigned i = 0; i < removal->touched_count && !result; i++)
        result = write_mark(removal, &removal->touched[i]);
    if (!result)
        result = write_number(removal, key, stretch->floor);
    if (!result)
        result = write_number(removal, "removed", removal->removed);
    return result;
}

/* After the step is committed: memory forgets what is gone. */
static void forget(struct journal_removal *removal)
{
    for (unsigned i = 0; i < removal->touched_count; i++) {
        const struct journal_removal_room *touched = &removal->touched[i];

        journal_run_drop_to(&touched->room->series[JOURNAL_NUMBERED].run, touched->removed_seq);
        journal_run_drop_to(&touched->room->series[JOURNAL_LOGGED].run, touched->logged_removed);
    }
}

/* One stretch, as a transaction; *floor moves when it is committed. */
static int step(struct journal_removal *removal, struct stretch *stretch, const char *key, uint64_t *floor,
                uint64_t now)
{
    struct journal_store *store = removal->store;
    uint64_t removed = removal->removed;
    int result = journal_store_begin_unsynced(store);

    removal->touched_count = 0;
    if (!result) {
        result = sweep_and_write(removal, stretch, key, now);
        if (result)
            journal_store_failed(store, "messages could not be removed");
    }
    if (!result)
        result = journal_store_end(store);
    if (result) {
        removal->removed = removed;
        return result;
    }
    *floor = stretch->floor;
    forget(removal);
    return 0;
}

static int step_logged(struct journal_removal *removal, uint64_t now)
{
    struct stretch stretch = {.floor = removal->logged_floor,
                              .end = logged_end(removal),
                              .class = MESSAGE_LOGGED,
                              .judge = judge_logged};

    return step(removal, &stretch, "logged_floor", &removal->logged_floor, now);
}

static int step_archived(struct journal_removal *removal, uint64_t now)
{
    struct stretch stretch = {.floor = removal->archived_floor,
                              .end = archived_end(removal),
                              .class = MESSAGE_ARCHIVED,
                              .judge = judge_archived};

    removal->oldest_at = 0;
    return step(removal, &stretch, "archived_floor", &removal->archived_floor, now);
}

static int step_ids(struct journal_removal *removal, uint64_t now)
{
    struct journal_store *store = removal->store;
    int result = journal_store_begin_unsynced(store);

    if (!result && journal_dedup_expire(&store->dedup, now)) {
        journal_store_failed(store, "ids could not be removed");
        result = journal_error(store->file->db);
    }
    if (!result)
        result = journal_store_end(store);
    if (!result)
        journal_dedup_removed(&store->dedup);
    return result;
}

static int do_step(struct journal_removal *removal, uint64_t monotonic, uint64_t now)
{
    if (removal->logged_floor < logged_end(removal))
        return step_logged(removal, now);
    if (archived_due(removal, monotonic, now) <= monotonic)
        return step_archived(removal, now);
    if (journal_dedup_expired(&removal->store->dedup, now))
        return step_ids(removal, now);
    return 0;
}

int journal_removal_step(struct journal_removal *removal, uint64_t monotonic, uint64_t wall)
{
    uint64_t now = journal_clock_now(&removal->clock, monotonic, wall);
    uint64_t started = clock_monotonic_ns();
    int result;

    advance(removal, monotonic);
    result = do_step(removal, monotonic, now);
    if (result == ERROR_NO_SPACE) {
        journal_store_rollback(removal->store);
        removal->not_before = monotonic + FULL_PAUSE_MS;
        return 0;
    }
    if (result)
        return result;
    journal_rooms_trim(&removal->store->rooms);
    removal->not_before = monotonic;
    if (journal_removal_due(removal, monotonic, wall) > monotonic)
        removal->not_before += PAUSE_MS;
    else
        removal->not_before += (clock_monotonic_ns() - started) * (REST + 1) / 1000000;
    return 0;
}

/* -- start and end ------------------------------------------------------------------------------ */

static int newest_at(struct journal_file *file, uint64_t *out, char *message, size_t message_size)
{
    return journal_file_number(file, "SELECT ifnull((SELECT at FROM message ORDER BY pos DESC LIMIT 1), 0)",
                               out, message, message_size);
}

int journal_removal_init(struct journal_removal *removal, struct journal_store *store,
                         struct journal_index *index, const struct journal_retention *retention,
                         uint64_t monotonic, uint64_t wall, char *message, size_t message_size)
{
    struct journal_file *file = store->file;
    uint64_t newest = 0;
    int result;

    *removal = (struct journal_removal){
        .store = store,
        .index = index,
        .retention = *retention,
        .logged_floor = file->logged_floor,
        .archived_floor = file->archived_floor,
        .removed = file->removed,
        .touched = memory_zero(JOURNAL_STEP_ROOMS, sizeof *removal->touched),
    };
    result = newest_at(file, &newest, message, message_size);
    if (result)
        return result;
    journal_clock_init(&removal->clock, monotonic, wall, newest);
    if (store->head)
        journal_removal_committed(removal, monotonic);
    result = journal_prepare(file->db,
                             "SELECT pos, namespace, room, seq, class, deliver, at, sender_sid FROM message "
                             "WHERE pos > ?1 AND pos <= ?2 ORDER BY pos",
                             &removal->rows);
    if (!result)
        result = journal_prepare(file->db, "DELETE FROM message WHERE pos > ?1 AND pos <= ?2 AND class = ?3",
                                 &removal->remove);
    if (!result)
        result = journal_prepare(file->db,
                                 "UPDATE room SET removed_seq = max(ifnull(removed_seq, 0), ?2), "
                                 "removed_pos = max(ifnull(removed_pos, 0), ?3), "
                                 "logged_removed = max(ifnull(logged_removed, 0), ?4), "
                                 "recent = iif(?5, x'', recent), logged = iif(?6, x'', logged) "
                                 "WHERE room_id = ?1",
                                 &removal->write_room);
    if (!result)
        result = journal_prepare(
            file->db, "DELETE FROM segment WHERE room_id = ?1 AND first_seq <= ?2 AND last_seq <= ?2",
            &removal->remove_segments);
    if (!result)
        result =
            journal_prepare(file->db, "INSERT OR REPLACE INTO meta VALUES (?1, ?2)", &removal->write_meta);
    if (result)
        return journal_error_describe(file->db, file->path, "cannot be read", message, message_size);
    return 0;
}

void journal_removal_done(struct journal_removal *removal)
{
    sqlite3_finalize(removal->rows);
    sqlite3_finalize(removal->remove);
    sqlite3_finalize(removal->write_room);
    sqlite3_finalize(removal->remove_segments);
    sqlite3_finalize(removal->write_meta);
    free(removal->touched);
    *removal = (struct journal_removal){0};
}
