/*
 * Ids that count once: in memory until the index pass writes them, in table dedup after that.  Those of a
 * brief scope are in memory only, as many as fit.  Additions of a batch can be undone until
 * journal_dedup_keep().
 */
#ifndef HUBBUB_ROUTER_JOURNAL_DEDUP_H
#define HUBBUB_ROUTER_JOURNAL_DEDUP_H

#include "common/buffer.h"
#include "common/table.h"
#include "router/journal_file.h"

enum { JOURNAL_DEDUP_KEY_LENGTH = 16 };

/* What the first message with an id got. */
struct journal_first {
    uint64_t pos, seq, at;
};

struct journal_dedup_id {
    char key[JOURNAL_DEDUP_KEY_LENGTH];
    struct journal_first first;
};

struct journal_dedup {
    sqlite3_stmt *find, *insert, *expire;
    const uint64_t *hash_keys;
    struct table table;              /* of the ids in memory */
    struct journal_dedup_id **ids;   /* those that the file is to get, as they came */
    size_t count, capacity, kept;    /* the first kept of them are of finished batches */
    struct journal_dedup_id **brief; /* a ring of JOURNAL_BRIEF_MAX, once there are any */
    size_t brief_first, brief_count;
    size_t brief_added;      /* of them by the batch under way */
    uint64_t oldest, newest; /* buckets that the file may hold */
    uint64_t cleared;        /* the transaction under way leaves none below this one; 0: it may */
    bool stored;             /* the file holds any */
    struct buffer text;      /* scratch */
};

/* 0 or journal_error(); journal_dedup_done() in any case.  The hash keys must outlive it. */
int journal_dedup_init(struct journal_dedup *dedup, sqlite3 *db, const uint64_t hash_keys[4]) MUST_CHECK;
void journal_dedup_done(struct journal_dedup *dedup);

/* Takes the brief ids of the newest rows up to that position into memory, before any other is added.  0 or
   journal_error(). */
int journal_dedup_load(struct journal_dedup *dedup, sqlite3 *db, uint64_t pos) MUST_CHECK;

/*
 * Looks an id up; now is the wall clock in ms.
 *   0             it is new, or older than JOURNAL_DEDUP_HOURS; key is what journal_dedup_add() wants
 *   ERROR_EXISTS  first says what came of it
 *   or journal_error()
 */
int journal_dedup_find(struct journal_dedup *dedup, struct bytes namespace, struct bytes scope,
                       struct bytes id, uint64_t now, char key[JOURNAL_DEDUP_KEY_LENGTH],
                       struct journal_first *first) MUST_CHECK;

void journal_dedup_add(struct journal_dedup *dedup, struct bytes scope,
                       const char key[JOURNAL_DEDUP_KEY_LENGTH], const struct journal_first *first);

/* The end of a batch: its additions stay, or are undone. */
void journal_dedup_keep(struct journal_dedup *dedup);
void journal_dedup_undo(struct journal_dedup *dedup);

/* Whether the file holds ids that expired; now as for journal_dedup_find(), but one to be believed. */
bool journal_dedup_expired(const struct journal_dedup *dedup, uint64_t now);

/* Within a transaction: removes some of them.  0 or journal_error(). */
int journal_dedup_expire(struct journal_dedup *dedup, uint64_t now) MUST_CHECK;

/* After that transaction is committed. */
void journal_dedup_removed(struct journal_dedup *dedup);

/* Within the pass's transaction: writes what memory holds and removes some expired ids.  0 or
   journal_error(). */
int journal_dedup_write(struct journal_dedup *dedup, uint64_t now) MUST_CHECK;

/* After the pass's transaction is committed: memory forgets what is in the file. */
void journal_dedup_written(struct journal_dedup *dedup);

#endif
