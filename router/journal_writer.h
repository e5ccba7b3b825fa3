/*
 * The journal thread: commits, and between them what the file needs besides (index passes, removal, how far
 * the archive got, checkpoints).
 *
 *   journal_writer_init -> _open -> _start -> _stop -> _done
 *
 * _stop and _done take a writer that any of the former has failed on.  Once it is started the loop thread
 * hands entries over and collects them; followers may wait for what is committed.  Codes and messages are
 * those of journal_open().
 */
#ifndef HUBBUB_ROUTER_JOURNAL_WRITER_H
#define HUBBUB_ROUTER_JOURNAL_WRITER_H

#include "router/journal_checkpoint.h"
#include "router/journal_progress.h"
#include "router/journal_queue.h"
#include "router/journal_removal.h"

struct journal_writer {
    struct journal_file *file;
    struct journal_checkpoint checkpoint;
    pthread_mutex_t *snapshot; /* held by readers while they read */
    int event;

    /* The journal thread's, and journal_writer_open()'s before it starts. */
    struct journal_store store;
    struct journal_index index;
    struct journal_progress progress;
    struct journal_removal removal;
    uint64_t wal_frames;
    uint64_t pass_due; /* by the monotonic clock in ms; counts while the index lags */
    unsigned abort_after_commits, abort_after_changes;

    pthread_t thread;
    bool started;

    /* Guarded by mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct journal_queue queue, done;
    struct journal_statistics statistics;
    uint64_t committed;
    uint64_t progress_due; /* by the monotonic clock in ms; 0 when no progress was noted */
    pthread_cond_t follow; /* for journal_writer_wait() */
    bool followed, follow_end;
    bool stop, failed;
};

/* The writer is zeroed memory that stays where it is. */
void journal_writer_init(struct journal_writer *writer);

/*
 * Prepares all parts and brings the index up to date.  file, which is open, event, an eventfd that is
 * written to when entries have come back, and snapshot must outlive the writer.
 */
int journal_writer_open(struct journal_writer *writer, const struct journal_options *options,
                        struct journal_file *file, int event, pthread_mutex_t *snapshot, char *message,
                        size_t message_size) MUST_CHECK;

/* Starts the threads. */
int journal_writer_start(struct journal_writer *writer, char *message, size_t message_size) MUST_CHECK;

/* Commits what was handed over, and stops them. */
void journal_writer_stop(struct journal_writer *writer);

/* Frees it all; adds to lost, in order, the entries that were not collected. */
void journal_writer_done(struct journal_writer *writer, struct journal_queue *lost);

/* -- the loop thread ------------------------------------------------------------------------- */

/* Hands entries over, and empties the list. */
void journal_writer_submit(struct journal_writer *writer, struct journal_queue *entries);

/* Adds those that have come back to done, in order.  0, or ERROR_IO: as journal_collect(). */
int journal_writer_collect(struct journal_writer *writer, struct journal_queue *done) MUST_CHECK;

/* -- any thread ------------------------------------------------------------------------------ */

/* All but what is told of files and reads. */
void journal_writer_statistics(struct journal_writer *writer, struct journal_statistics *out);

/* As journal_tail(), journal_committed(), journal_wait() and journal_wait_end(), journal_archived(). */
uint64_t journal_writer_tail(struct journal_writer *writer);
uint64_t journal_writer_committed(struct journal_writer *writer);
bool journal_writer_wait(struct journal_writer *writer, uint64_t pos, uint64_t milliseconds);
void journal_writer_wait_end(struct journal_writer *writer);
int journal_writer_archived(struct journal_writer *writer, uint64_t pos, const struct journal_letter *letters,
                            size_t count) MUST_CHECK;

#endif
