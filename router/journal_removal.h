/*
 * Removal: messages that nobody needs any more leave the journal, in small steps between commits.
 *
 * A step is one transaction of at most JOURNAL_STEP_REMOVED messages and about a millisecond, without a sync
 * of its own (the next commit's covers it; until then a power loss brings the messages back).  Steps take at
 * most a fifth of the journal thread's time.  With the messages go their segments and positions, and the
 * marks in their rooms move up; a room's counters stay.
 *
 * Two floors, both kept in table meta: every row at or below the logged floor is an archived one, and at or
 * below the archived floor there is none.  The archived floor never passes the logged one, and neither the
 * index.
 *
 * Used by the journal thread.  Times in ms; monotonic ones must not fall from call to call.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_REMOVAL_H
#define HUBBUB_ROUTER_JOURNAL_REMOVAL_H

#include "router/journal_clock.h"
#include "router/journal_index.h"

enum {
    JOURNAL_STEP_REMOVED = 256,
    JOURNAL_STEP_LOOKED = 4096, /* at rows, removed or not */
    JOURNAL_STEP_ROOMS = 64,
    JOURNAL_SPANS = 32, /* the recovery time is measured in so many */
};

/* What was committed within a span of time: no position above pos, and none later than last. */
struct journal_span {
    uint64_t first, last; /* monotonic */
    uint64_t pos;
};

struct journal_removal {
    struct journal_store *store;
    struct journal_index *index;
    struct journal_retention retention;
    struct journal_clock clock;
    sqlite3_stmt *rows, *remove, *write_room, *remove_segments, *write_meta;

    uint64_t archived; /* up to this position the archive has everything */
    uint64_t logged_floor, archived_floor;
    uint64_t removed; /* archived messages, ever */

    struct journal_span spans[JOURNAL_SPANS + 2]; /* a ring, oldest first */
    unsigned first_span, span_count;
    uint64_t past;       /* for messages up to this position the recovery time is over */
    uint64_t oldest_at;  /* of the first message above the archived floor; 0: not known */
    uint64_t not_before; /* monotonic: the next step */

    /* Of the step under way. */
    struct journal_removal_room *touched;
    unsigned touched_count;
};

/* 0, or as journal_open() with a message; journal_removal_done() in any case.  All that is given must outlive
 * it. */
int journal_removal_init(struct journal_removal *removal, struct journal_store *store,
                         struct journal_index *index, const struct journal_retention *retention,
                         uint64_t monotonic, uint64_t wall, char *message, size_t message_size) MUST_CHECK;
void journal_removal_done(struct journal_removal *removal);

/* After a commit. */
void journal_removal_committed(struct journal_removal *removal, uint64_t monotonic);

/* What the archive has; never less than before. */
void journal_removal_archived(struct journal_removal *removal, uint64_t pos);

/* The monotonic time of the next step; UINT64_MAX when nothing can become due before something is committed,
   indexed or archived. */
uint64_t journal_removal_due(struct journal_removal *removal, uint64_t monotonic, uint64_t wall);

/* One step.  0, also when the disk is full (a later one does it again); any other code as
   journal_store_commit(). */
int journal_removal_step(struct journal_removal *removal, uint64_t monotonic, uint64_t wall) MUST_CHECK;

#endif
