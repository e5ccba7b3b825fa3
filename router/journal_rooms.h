/*
 * The journal thread's memory of rooms: their counters, and what of them is not in the room index yet.
 *
 * A room is loaded from the file when it is first asked for and forgotten when too many others were used
 * since; one with something to index stays.  Changes of a batch can be undone until journal_rooms_keep().
 */
#ifndef HUBBUB_ROUTER_JOURNAL_ROOMS_H
#define HUBBUB_ROUTER_JOURNAL_ROOMS_H

#include "common/table.h"
#include "router/journal_file.h"
#include "router/journal_run.h"

enum { JOURNAL_ROOMS_CACHED_MAX = 16384 };

/* What leads to messages of a room. */
enum journal_series_kind {
    JOURNAL_NUMBERED, /* its archived messages, as (seq, pos) */
    JOURNAL_LOGGED,   /* what no seq leads to, as (pos, pos); see journal_rooms_logged() */
    JOURNAL_SERIES
};

struct journal_series {
    struct journal_run run; /* messages that are in no segment yet */
    uint32_t flushed;       /* pairs of run that the pass under way writes as segments */
};

struct journal_room {
    struct journal_room *newer, *older; /* by last use */
    uint64_t room_id;
    uint64_t last_seq, last_at;
    struct journal_series series[JOURNAL_SERIES];
    uint32_t changed_in; /* the batch that changed it last */
    bool unindexed;      /* listed in journal_rooms.unindexed */
    bool forgotten;      /* its row is deleted; none is written before it gets another message */
    uint16_t namespace_length;
    uint16_t key_length;
    char key[]; /* the namespace's length in two bytes, namespace, name */
};

struct journal_rooms {
    sqlite3_stmt *load, *remove, *remove_segments;
    struct table table;
    struct journal_room *newest, *oldest;
    uint64_t next_room_id;
    struct buffer key; /* scratch */
    uint32_t batch;

    /* What the batch changed, as it was before. */
    struct journal_rooms_undo *undo;
    size_t undo_count, undo_capacity;

    /* Rooms that differ from their row in the file. */
    struct journal_room **unindexed;
    size_t unindexed_count, unindexed_capacity;
};

/* 0 or journal_error(); journal_rooms_done() in any case. */
int journal_rooms_init(struct journal_rooms *rooms, sqlite3 *db) MUST_CHECK;
void journal_rooms_done(struct journal_rooms *rooms);

/* Finds or loads or makes one; valid until journal_rooms_trim().  0, or journal_error(), or ERROR_CORRUPT.
   Namespace and name are at most 65,000 bytes together. */
int journal_rooms_find(struct journal_rooms *rooms, struct bytes namespace, struct bytes name,
                       struct journal_room **out) MUST_CHECK;

struct bytes journal_room_namespace(const struct journal_room *room);
struct bytes journal_room_name(const struct journal_room *room);

/*
 * The room in whose logged series a message stands; false when in none.  A message to the whole namespace,
 * archived or not, stands in that of the room "", one to its sender alone in that of the sender's sid, any
 * other logged one in its room's.
 */
bool journal_rooms_logged(const struct journal_message *message, struct bytes *name);

/* What table segment calls a series: the room's id, or its negative. */
static inline int64_t journal_series_id(uint64_t room_id, enum journal_series_kind kind)
{
    return kind == JOURNAL_LOGGED ? -(int64_t)room_id : (int64_t)room_id;
}

/*
 * Counts a message of the room in, of which class, pos, at, deliver and the sender's sid are read: an
 * archived one gets the number after last_seq, others have none.  Codes as journal_rooms_find(), with nothing
 * counted.
 */
int journal_rooms_count(struct journal_rooms *rooms, struct journal_room *room,
                        const struct journal_message *message) MUST_CHECK;

/*
 * Within a transaction: deletes the row of a room, with its segments, that never had an archived message and
 * that nobody will ask for any more.  That of a sid is there for recovery alone; where many sockets come and
 * go their rows would be without end.  0 or journal_error().
 */
int journal_rooms_forget(struct journal_rooms *rooms, struct bytes namespace, struct bytes name) MUST_CHECK;

/* The end of a batch: its changes stay, or are undone. */
void journal_rooms_keep(struct journal_rooms *rooms);
void journal_rooms_undo(struct journal_rooms *rooms);

/* After a pass is committed: drops what it flushed from the runs and empties the list of unindexed rooms. */
void journal_rooms_indexed(struct journal_rooms *rooms);

/* Forgets rooms beyond the limit.  Not within a batch. */
void journal_rooms_trim(struct journal_rooms *rooms);

#endif
