/*
 * How far the archive got, in the journal's file: the position up to which all is archived, and the letters
 * that the archive refused for good (table dead_letter).
 *
 * The archive's thread notes, the journal thread writes, behind the commits and seldom: after a crash the
 * archive begins a little before where it was, which its documents' ids make harmless.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_PROGRESS_H
#define HUBBUB_ROUTER_JOURNAL_PROGRESS_H

#include "router/journal_store.h"

#include <pthread.h>

struct journal_progress {
    sqlite3_stmt *write, *bury;

    /* Guarded by mutex; written is the journal thread's to change. */
    pthread_mutex_t mutex;
    uint64_t written, wanted;       /* positions: in the file, and noted */
    struct journal_buried *letters; /* not in the file yet */
    size_t letter_count;
    uint64_t dead_letters; /* rows of the table */
};

/* Prepares, and reads what the file says.  0, or as journal_open() with a message; journal_progress_done() in
   any case. */
int journal_progress_init(struct journal_progress *progress, struct journal_file *file, char *message,
                          size_t message_size) MUST_CHECK;
void journal_progress_done(struct journal_progress *progress);

/* As journal_archived().  Any thread. */
int journal_progress_note(struct journal_progress *progress, uint64_t pos,
                          const struct journal_letter *letters, size_t count) MUST_CHECK;

/* Writes what was noted, in a transaction of its own, if there is anything.  0, also when the disk is full (a
   later call does it), or any other code as journal_store_commit().  The journal thread's. */
int journal_progress_write(struct journal_progress *progress, struct journal_store *store) MUST_CHECK;

/* Whether something noted is not in the file.  Any thread. */
bool journal_progress_pending(struct journal_progress *progress);

/* The position that is in the file, and the rows of table dead_letter.  Any thread. */
uint64_t journal_progress_position(struct journal_progress *progress);
uint64_t journal_progress_dead_letters(struct journal_progress *progress);

#endif
