/*
 * The journal thread; see journal_writer.h.  The journal starts it and passes entries to it.  Its one
 * surprising rule: nothing ever waits for company.  A batch is what came in while the one before it was
 * being synced, so it grows under load and is a single entry when there is none.
 */
#include "router/journal_writer.h"

#include "common/clock.h"
#include "common/thread.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

enum {
    YIELDS_MAX = 4,       /* before a batch is taken, as long as it grows */
    PASS_DELAY_MS = 1000, /* what is in no index for so long is indexed when nothing waits */
};

/* -- one piece of work ----------------------------------------------------------------------- */

static int note_wal_frames(void *argument, sqlite3 *db, const char *name, int frames)
{
    struct journal_writer *writer = argument;

    (void)db;
    (void)name;
    writer->wal_frames = (uint64_t)frames;
    return SQLITE_OK;
}

static void count_batch(struct journal_statistics *statistics, const struct journal_outcome *outcome,
                        uint64_t nanoseconds)
{
    statistics->messages += outcome->messages;
    statistics->changes += outcome->changes;
    statistics->duplicates += outcome->duplicates;
    statistics->refused += outcome->refused;
    if (outcome->storage_full)
        statistics->storage_full = true;
    if (outcome->messages + outcome->changes == 0)
        return;
    statistics->storage_full = false;
    statistics->commits++;
    histogram_observe(&statistics->commit, nanoseconds);
    histogram_observe(&statistics->commit_size, outcome->messages + outcome->changes);
    statistics->commit_ns_last = nanoseconds;
    if (nanoseconds > statistics->commit_ns_max)
        statistics->commit_ns_max = nanoseconds;
}

static void abort_for_test(struct journal_writer *writer, const struct journal_outcome *outcome)
{
#ifdef HUBBUB_TEST_HOOKS
    if (outcome->messages && writer->abort_after_commits && --writer->abort_after_commits == 0)
        abort();
    if (outcome->changes && writer->abort_after_changes && --writer->abort_after_changes == 0)
        abort();
#else
    (void)writer;
    (void)outcome;
#endif
}

/* Commits a batch and hands it back. */
static int commit_batch(struct journal_writer *writer, struct journal_queue *batch)
{
    uint64_t lag = journal_index_lag(&writer->index);
    uint64_t started = clock_monotonic_ns();
    struct journal_outcome outcome;
    int result = journal_store_commit(&writer->store, batch->first, &outcome);
    uint64_t nanoseconds = clock_monotonic_ns() - started;
    bool wake;

    if (result)
        return result;
    abort_for_test(writer, &outcome);
    if (lag == 0)
        writer->pass_due = clock_monotonic_ms() + PASS_DELAY_MS;
    if (outcome.messages)
        journal_removal_committed(&writer->removal, clock_monotonic_ms());
    pthread_mutex_lock(&writer->mutex);
    count_batch(&writer->statistics, &outcome, nanoseconds);
    writer->statistics.unindexed = lag + outcome.messages;
    wake = !writer->done.first;
    journal_queue_move(&writer->done, batch);
    writer->committed = writer->store.head;
    if (writer->followed && outcome.messages)
        pthread_cond_signal(&writer->follow);
    pthread_mutex_unlock(&writer->mutex);
    if (wake)
        eventfd_write(writer->event, 1);
    return 0;
}

/* Lets the journal thread write the progress that was noted, some time later.  Any thread. */
static void expect_progress(struct journal_writer *writer)
{
    pthread_mutex_lock(&writer->mutex);
    if (!writer->progress_due) {
        writer->progress_due = clock_monotonic_ms() + PASS_DELAY_MS;
        pthread_cond_signal(&writer->wake);
    }
    pthread_mutex_unlock(&writer->mutex);
}

static int index_pass(struct journal_writer *writer)
{
    int result = journal_index_pass(
        &writer->index, journal_clock_now(&writer->removal.clock, clock_monotonic_ms(), clock_wall_ms()));

    writer->pass_due = clock_monotonic_ms() + PASS_DELAY_MS;
    pthread_mutex_lock(&writer->mutex);
    writer->statistics.unindexed = journal_index_lag(&writer->index);
    pthread_mutex_unlock(&writer->mutex);
    return result;
}

/* Writes how far the archive got, when that is due.  What a full disk does not take is due again later. */
static int write_progress(struct journal_writer *writer)
{
    bool due;
    int result;

    pthread_mutex_lock(&writer->mutex);
    due = writer->progress_due && clock_monotonic_ms() >= writer->progress_due;
    if (due)
        writer->progress_due = 0;
    pthread_mutex_unlock(&writer->mutex);
    if (!due)
        return 0;
    result = journal_progress_write(&writer->progress, &writer->store);
    journal_removal_archived(&writer->removal, journal_progress_position(&writer->progress));
    if (!result && journal_progress_pending(&writer->progress))
        expect_progress(writer);
    return result;
}

static void show_floors(struct journal_writer *writer)
{
    writer->statistics.logged_floor = writer->removal.logged_floor;
    writer->statistics.archived_floor = writer->removal.archived_floor;
    writer->statistics.removed = writer->removal.removed;
}

/* A step of removal, when one is due. */
static int remove_some(struct journal_writer *writer)
{
    struct journal_removal *removal = &writer->removal;
    uint64_t now = clock_monotonic_ms(), wall = clock_wall_ms(), started, nanoseconds;
    int result;

    if (journal_removal_due(removal, now, wall) > now)
        return 0;
    started = clock_monotonic_ns();
    result = journal_removal_step(removal, now, wall);
    nanoseconds = clock_monotonic_ns() - started;
    pthread_mutex_lock(&writer->mutex);
    show_floors(writer);
    histogram_observe(&writer->statistics.removal, nanoseconds);
    if (nanoseconds > writer->statistics.removal_ns_max)
        writer->statistics.removal_ns_max = nanoseconds;
    pthread_mutex_unlock(&writer->mutex);
    return result;
}

/*
 * Passes are short, a few milliseconds.  An id of a client weighs more than the rest of a message, because
 * its place in the table is anywhere; the more of them a pass has, the more of them share a page.  So where a
 * single commit is as long as a pass, passes are longer too.
 */
static bool pass_is_worth_it(const struct journal_writer *writer, uint64_t committed)
{
    enum { ID_WEIGHT = 4, COMMITS_A_PASS = 4 };
    uint64_t lag = journal_index_lag(&writer->index), ids = writer->store.dedup.count;

    return lag >= JOURNAL_UNINDEXED_MAX ||
           (lag + (ID_WEIGHT - 1) * ids >= JOURNAL_UNINDEXED_MAX && ids >= COMMITS_A_PASS * committed);
}

/* What the file needs besides, in small pieces. */
static int tidy_up(struct journal_writer *writer)
{
    int result = write_progress(writer);

    if (!result)
        result = remove_some(writer);
    if (!result)
        journal_checkpoint_between_commits(&writer->checkpoint, writer->file->db, writer->wal_frames,
                                           writer->snapshot);
    return result;
}

/* What is done between two commits.  When the disk is full a pass is left to the clock. */
static int work(struct journal_writer *writer, struct journal_queue *batch)
{
    uint64_t count = batch->count;
    int result = commit_batch(writer, batch);

    if (!result && pass_is_worth_it(writer, count) && !writer->statistics.storage_full)
        result = index_pass(writer);
    return result ? result : tidy_up(writer);
}

/* What is done when nothing waits. */
static int idle_work(struct journal_writer *writer)
{
    int result = 0;

    if (journal_index_lag(&writer->index) && clock_monotonic_ms() >= writer->pass_due)
        result = index_pass(writer);
    return result ? result : tidy_up(writer);
}

/* -- the thread ------------------------------------------------------------------------------- */

/* Waits for entries, or until something else is due; true for the latter.  The mutex is held. */
static bool wait_for_work(struct journal_writer *writer)
{
    uint64_t due = journal_removal_due(&writer->removal, clock_monotonic_ms(), clock_wall_ms());
    struct timespec until;

    if (journal_index_lag(&writer->index) && writer->pass_due < due)
        due = writer->pass_due;
    if (writer->progress_due && writer->progress_due < due)
        due = writer->progress_due;
    if (due == UINT64_MAX) {
        pthread_cond_wait(&writer->wake, &writer->mutex);
        return false;
    }
    until = (struct timespec){(time_t)(due / 1000), (long)(due % 1000) * 1000000};
    return pthread_cond_timedwait(&writer->wake, &writer->mutex, &until) == ETIMEDOUT;
}

/* Where processors are scarce, whoever waits for this one now adds to the batch: fewer and larger commits.
   Costs next to nothing where they are not. The mutex is held, but not meanwhile. */
static void let_others_add(struct journal_writer *writer)
{
    uint64_t before;
    int turns = 0;

    do {
        before = writer->queue.count;
        pthread_mutex_unlock(&writer->mutex);
        sched_yield();
        pthread_mutex_lock(&writer->mutex);
    } while (writer->queue.count > before && ++turns < YIELDS_MAX);
}

static void *run(void *argument)
{
    struct journal_writer *writer = argument;
    struct journal_queue batch;
    int result = 0;

    journal_queue_init(&batch);
    pthread_setname_np(pthread_self(), "journal");
    pthread_mutex_lock(&writer->mutex);
    while (!result && (writer->queue.first || !writer->stop)) {
        bool due = false;

        if (!writer->queue.first)
            due = wait_for_work(writer);
        let_others_add(writer);
        journal_queue_take_batch(&writer->queue, &batch);
        if (!batch.first && !due)
            continue;
        pthread_mutex_unlock(&writer->mutex);
        result = batch.first ? work(writer, &batch) : idle_work(writer);
        pthread_mutex_lock(&writer->mutex);
    }
    pthread_mutex_unlock(&writer->mutex);
    if (!result && journal_index_lag(&writer->index))
        result = index_pass(writer);
    if (!result)
        result = journal_progress_write(&writer->progress, &writer->store);
    if (result) {
        pthread_mutex_lock(&writer->mutex);
        writer->failed = true;
        journal_queue_move(&batch, &writer->queue);
        journal_queue_move(&writer->queue, &batch); /* in front */
        eventfd_write(writer->event, 1);
        pthread_mutex_unlock(&writer->mutex);
    }
    return NULL;
}

/* -- its life -------------------------------------------------------------------------------- */

void journal_writer_init(struct journal_writer *writer)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&writer->wake, &attributes);
    pthread_cond_init(&writer->follow, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&writer->mutex, NULL);
    journal_queue_init(&writer->queue);
    journal_queue_init(&writer->done);
    writer->statistics.commit.bounds = writer->statistics.removal.bounds = &histogram_seconds;
    writer->statistics.commit_size.bounds = &histogram_sizes;
}

int journal_writer_open(struct journal_writer *writer, const struct journal_options *options,
                        struct journal_file *file, int event, pthread_mutex_t *snapshot, char *message,
                        size_t message_size)
{
    int result;

    writer->file = file;
    writer->event = event;
    writer->snapshot = snapshot;
    writer->abort_after_commits = options->abort_after_commits;
    writer->abort_after_changes = options->abort_after_changes;
    sqlite3_wal_hook(file->db, note_wal_frames, writer);
    result = journal_store_init(&writer->store, file, message, message_size);
    if (!result)
        result = journal_index_init(&writer->index, &writer->store, message, message_size);
    if (!result)
        result = journal_removal_init(&writer->removal, &writer->store, &writer->index, &options->retention,
                                      clock_monotonic_ms(), clock_wall_ms(), message, message_size);
    if (!result)
        result = journal_progress_init(&writer->progress, file, message, message_size);
    if (result)
        return result;
    journal_removal_archived(&writer->removal, journal_progress_position(&writer->progress));
    writer->committed = writer->store.head;
    writer->statistics.unindexed = journal_index_lag(&writer->index);
    show_floors(writer);
    return 0;
}

int journal_writer_start(struct journal_writer *writer, char *message, size_t message_size)
{
    int result = journal_checkpoint_start(&writer->checkpoint, writer->file->path, message, message_size);

    if (result)
        return result;
    thread_start(&writer->thread, run, writer);
    writer->started = true;
    return 0;
}

void journal_writer_stop(struct journal_writer *writer)
{
    if (writer->started) {
        pthread_mutex_lock(&writer->mutex);
        writer->stop = true;
        pthread_cond_signal(&writer->wake);
        pthread_mutex_unlock(&writer->mutex);
        pthread_join(writer->thread, NULL);
        writer->started = false;
    }
    journal_checkpoint_stop(&writer->checkpoint);
}

void journal_writer_done(struct journal_writer *writer, struct journal_queue *lost)
{
    journal_progress_done(&writer->progress);
    journal_removal_done(&writer->removal);
    journal_index_done(&writer->index);
    journal_store_done(&writer->store);
    pthread_mutex_destroy(&writer->mutex);
    pthread_cond_destroy(&writer->wake);
    pthread_cond_destroy(&writer->follow);
    journal_queue_move(lost, &writer->done);
    journal_queue_move(lost, &writer->queue);
}

/* -- for other threads ----------------------------------------------------------------------- */

void journal_writer_submit(struct journal_writer *writer, struct journal_queue *entries)
{
    bool wake;

    pthread_mutex_lock(&writer->mutex);
    writer->statistics.waiting += entries->count;
    wake = !writer->queue.first;
    journal_queue_move(&writer->queue, entries);
    pthread_mutex_unlock(&writer->mutex);
    if (wake)
        pthread_cond_signal(&writer->wake);
}

int journal_writer_collect(struct journal_writer *writer, struct journal_queue *done)
{
    bool failed;

    pthread_mutex_lock(&writer->mutex);
    writer->statistics.waiting -= writer->done.count;
    journal_queue_move(done, &writer->done);
    failed = writer->failed;
    pthread_mutex_unlock(&writer->mutex);
    return failed ? ERROR_IO : 0;
}

void journal_writer_statistics(struct journal_writer *writer, struct journal_statistics *out)
{
    pthread_mutex_lock(&writer->mutex);
    *out = writer->statistics;
    pthread_mutex_unlock(&writer->mutex);
    out->checkpoints = journal_checkpoint_count(&writer->checkpoint);
}

uint64_t journal_writer_tail(struct journal_writer *writer)
{
    uint64_t tail;

    pthread_mutex_lock(&writer->mutex);
    tail = writer->statistics.logged_floor + 1;
    pthread_mutex_unlock(&writer->mutex);
    return tail;
}

uint64_t journal_writer_committed(struct journal_writer *writer)
{
    uint64_t committed;

    pthread_mutex_lock(&writer->mutex);
    committed = writer->committed;
    pthread_mutex_unlock(&writer->mutex);
    return committed;
}

bool journal_writer_wait(struct journal_writer *writer, uint64_t pos, uint64_t milliseconds)
{
    uint64_t due = clock_monotonic_ms() + milliseconds;
    struct timespec until = {(time_t)(due / 1000), (long)(due % 1000) * 1000000};
    bool beyond;

    pthread_mutex_lock(&writer->mutex);
    writer->followed = true;
    while (writer->committed <= pos && !writer->follow_end)
        if (pthread_cond_timedwait(&writer->follow, &writer->mutex, &until) == ETIMEDOUT)
            break;
    beyond = writer->committed > pos && !writer->follow_end;
    writer->followed = writer->follow_end = false;
    pthread_mutex_unlock(&writer->mutex);
    return beyond;
}

void journal_writer_wait_end(struct journal_writer *writer)
{
    pthread_mutex_lock(&writer->mutex);
    writer->follow_end = true;
    pthread_cond_signal(&writer->follow);
    pthread_mutex_unlock(&writer->mutex);
}

int journal_writer_archived(struct journal_writer *writer, uint64_t pos, const struct journal_letter *letters,
                            size_t count)
{
    int result = journal_progress_note(&writer->progress, pos, letters, count);

    if (!result)
        expect_progress(writer);
    return result;
}
