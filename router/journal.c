/*
 * The journal's threads and queues; see journal.h.  It owns the hand-over between the loop thread and the
 * journal thread, and puts the parts together: file, store (commits), index (passes), checkpoint, reader.
 * Called by the router's loop.  Its one surprising rule: nothing ever waits for company.  A batch is what
 * came in while the one before it was being synced, so it grows under load and is a single entry when there
 * is none.
 */
#include "router/journal.h"

#include "common/clock.h"
#include "common/memory.h"
#include "common/thread.h"
#include "router/journal_checkpoint.h"
#include "router/journal_index.h"
#include "router/journal_progress.h"
#include "router/journal_reader.h"
#include "router/journal_removal.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH_ENTRIES_MAX = 8192,
    BATCH_BYTES_MAX = 8 << 20,
    YIELDS_MAX = 4,       /* before a batch is taken, as long as it grows */
    PASS_DELAY_MS = 1000, /* what is in no index for so long is indexed when nothing waits */
};

struct entry_list {
    struct journal_entry *first, **end;
    uint64_t count;
};

struct journal {
    struct journal_file file;
    struct journal_checkpoint checkpoint;
    struct journal_reader *reader;
    pthread_mutex_t snapshot; /* held by the reader while it reads */
    int event;

    /* The loop thread's. */
    struct entry_list submitted;
    uint64_t head;

    /* The journal thread's, and journal_open()'s before it starts. */
    struct journal_store store;
    struct journal_index index;
    struct journal_progress progress;
    struct journal_removal removal;
    uint64_t wal_frames;
    uint64_t pass_due; /* by the monotonic clock in ms; counts while the index lags */
    unsigned abort_after_commits, abort_after_changes;

    void (*lost)(void *argument, struct journal_entry *entry);
    void *lost_argument;

    pthread_t thread;
    bool started;

    /* Guarded by mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct entry_list queue, done;
    struct journal_statistics statistics;
    uint64_t committed;
    uint64_t progress_due; /* by the monotonic clock in ms; 0 when no progress was noted */
    pthread_cond_t follow; /* for journal_wait() */
    bool followed, follow_end;
    bool stop, failed;
};

static void list_init(struct entry_list *list)
{
    list->first = NULL;
    list->end = &list->first;
    list->count = 0;
}

static void list_add(struct entry_list *list, struct journal_entry *entry)
{
    entry->next = NULL;
    *list->end = entry;
    list->end = &entry->next;
    list->count++;
}

/* Appends all of from, and empties it. */
static void list_move(struct entry_list *to, struct entry_list *from)
{
    if (from->first) {
        *to->end = from->first;
        to->end = from->end;
        to->count += from->count;
    }
    list_init(from);
}

/* Moves the front of the queue, within the limits of a batch, which gives way for the rest of a group. */
static void take_batch(struct entry_list *queue, struct entry_list *batch)
{
    uint64_t bytes = 0;
    bool more = false;

    list_init(batch);
    while (queue->first && (more || (batch->count < BATCH_ENTRIES_MAX && bytes < BATCH_BYTES_MAX))) {
        struct journal_entry *entry = queue->first;

        queue->first = entry->next;
        queue->count--;
        bytes += journal_message_bytes(&entry->message);
        more = entry->more;
        list_add(batch, entry);
    }
    if (!queue->first)
        list_init(queue);
}

static int note_wal_frames(void *argument, sqlite3 *db, const char *name, int frames)
{
    struct journal *journal = argument;

    (void)db;
    (void)name;
    journal->wal_frames = (uint64_t)frames;
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

static void abort_for_test(struct journal *journal, const struct journal_outcome *outcome)
{
#ifdef HUBBUB_TEST_HOOKS
    if (outcome->messages && journal->abort_after_commits && --journal->abort_after_commits == 0)
        abort();
    if (outcome->changes && journal->abort_after_changes && --journal->abort_after_changes == 0)
        abort();
#else
    (void)journal;
    (void)outcome;
#endif
}

/* Commits a batch and hands it back. */
static int commit_batch(struct journal *journal, struct entry_list *batch)
{
    uint64_t lag = journal_index_lag(&journal->index);
    uint64_t started = clock_monotonic_ns();
    struct journal_outcome outcome;
    int result = journal_store_commit(&journal->store, batch->first, &outcome);
    uint64_t nanoseconds = clock_monotonic_ns() - started;
    bool wake;

    if (result)
        return result;
    abort_for_test(journal, &outcome);
    if (lag == 0)
        journal->pass_due = clock_monotonic_ms() + PASS_DELAY_MS;
    if (outcome.messages)
        journal_removal_committed(&journal->removal, clock_monotonic_ms());
    pthread_mutex_lock(&journal->mutex);
    count_batch(&journal->statistics, &outcome, nanoseconds);
    journal->statistics.unindexed = lag + outcome.messages;
    wake = !journal->done.first;
    list_move(&journal->done, batch);
    journal->committed = journal->store.head;
    if (journal->followed && outcome.messages)
        pthread_cond_signal(&journal->follow);
    pthread_mutex_unlock(&journal->mutex);
    if (wake)
        eventfd_write(journal->event, 1);
    return 0;
}

/* Lets the journal thread write the progress that was noted, some time later.  Any thread. */
static void expect_progress(struct journal *journal)
{
    pthread_mutex_lock(&journal->mutex);
    if (!journal->progress_due) {
        journal->progress_due = clock_monotonic_ms() + PASS_DELAY_MS;
        pthread_cond_signal(&journal->wake);
    }
    pthread_mutex_unlock(&journal->mutex);
}

static int index_pass(struct journal *journal)
{
    int result = journal_index_pass(
        &journal->index, journal_clock_now(&journal->removal.clock, clock_monotonic_ms(), clock_wall_ms()));

    journal->pass_due = clock_monotonic_ms() + PASS_DELAY_MS;
    pthread_mutex_lock(&journal->mutex);
    journal->statistics.unindexed = journal_index_lag(&journal->index);
    pthread_mutex_unlock(&journal->mutex);
    return result;
}

/* Writes how far the archive got, when that is due.  What a full disk does not take is due again later. */
static int write_progress(struct journal *journal)
{
    bool due;
    int result;

    pthread_mutex_lock(&journal->mutex);
    due = journal->progress_due && clock_monotonic_ms() >= journal->progress_due;
    if (due)
        journal->progress_due = 0;
    pthread_mutex_unlock(&journal->mutex);
    if (!due)
        return 0;
    result = journal_progress_write(&journal->progress, &journal->store);
    journal_removal_archived(&journal->removal, journal_progress_position(&journal->progress));
    if (!result && journal_progress_pending(&journal->progress))
        expect_progress(journal);
    return result;
}

static void show_floors(struct journal *journal)
{
    journal->statistics.logged_floor = journal->removal.logged_floor;
    journal->statistics.archived_floor = journal->removal.archived_floor;
    journal->statistics.removed = journal->removal.removed;
}

/* A step of removal, when one is due. */
static int remove_some(struct journal *journal)
{
    struct journal_removal *removal = &journal->removal;
    uint64_t now = clock_monotonic_ms(), wall = clock_wall_ms(), started, nanoseconds;
    int result;

    if (journal_removal_due(removal, now, wall) > now)
        return 0;
    started = clock_monotonic_ns();
    result = journal_removal_step(removal, now, wall);
    nanoseconds = clock_monotonic_ns() - started;
    pthread_mutex_lock(&journal->mutex);
    show_floors(journal);
    histogram_observe(&journal->statistics.removal, nanoseconds);
    if (nanoseconds > journal->statistics.removal_ns_max)
        journal->statistics.removal_ns_max = nanoseconds;
    pthread_mutex_unlock(&journal->mutex);
    return result;
}

/*
 * Passes are short, a few milliseconds.  An id of a client weighs more than the rest of a message, because
 * its place in the table is anywhere; the more of them a pass has, the more of them share a page.  So where a
 * single commit is as long as a pass, passes are longer too.
 */
static bool pass_is_worth_it(const struct journal *journal, uint64_t committed)
{
    enum { ID_WEIGHT = 4, COMMITS_A_PASS = 4 };
    uint64_t lag = journal_index_lag(&journal->index), ids = journal->store.dedup.count;

    return lag >= JOURNAL_UNINDEXED_MAX ||
           (lag + (ID_WEIGHT - 1) * ids >= JOURNAL_UNINDEXED_MAX && ids >= COMMITS_A_PASS * committed);
}

/* What the file needs besides, in small pieces. */
static int tidy_up(struct journal *journal)
{
    int result = write_progress(journal);

    if (!result)
        result = remove_some(journal);
    if (!result)
        journal_checkpoint_between_commits(&journal->checkpoint, journal->file.db, journal->wal_frames,
                                           &journal->snapshot);
    return result;
}

/* What is done between two commits.  When the disk is full a pass is left to the clock. */
static int work(struct journal *journal, struct entry_list *batch)
{
    uint64_t count = batch->count;
    int result = commit_batch(journal, batch);

    if (!result && pass_is_worth_it(journal, count) && !journal->statistics.storage_full)
        result = index_pass(journal);
    return result ? result : tidy_up(journal);
}

/* What is done when nothing waits. */
static int idle_work(struct journal *journal)
{
    int result = 0;

    if (journal_index_lag(&journal->index) && clock_monotonic_ms() >= journal->pass_due)
        result = index_pass(journal);
    return result ? result : tidy_up(journal);
}

/* Waits for entries, or until something else is due; true for the latter.  The mutex is held. */
static bool wait_for_work(struct journal *journal)
{
    uint64_t due = journal_removal_due(&journal->removal, clock_monotonic_ms(), clock_wall_ms());
    struct timespec until;

    if (journal_index_lag(&journal->index) && journal->pass_due < due)
        due = journal->pass_due;
    if (journal->progress_due && journal->progress_due < due)
        due = journal->progress_due;
    if (due == UINT64_MAX) {
        pthread_cond_wait(&journal->wake, &journal->mutex);
        return false;
    }
    until = (struct timespec){(time_t)(due / 1000), (long)(due % 1000) * 1000000};
    return pthread_cond_timedwait(&journal->wake, &journal->mutex, &until) == ETIMEDOUT;
}

/* Where processors are scarce, whoever waits for this one now adds to the batch: fewer and larger commits.
   Costs next to nothing where they are not. The mutex is held, but not meanwhile. */
static void let_others_add(struct journal *journal)
{
    uint64_t before;
    int turns = 0;

    do {
        before = journal->queue.count;
        pthread_mutex_unlock(&journal->mutex);
        sched_yield();
        pthread_mutex_lock(&journal->mutex);
    } while (journal->queue.count > before && ++turns < YIELDS_MAX);
}

static void *run(void *argument)
{
    struct journal *journal = argument;
    struct entry_list batch;
    int result = 0;

    list_init(&batch);
    pthread_setname_np(pthread_self(), "journal");
    pthread_mutex_lock(&journal->mutex);
    while (!result && (journal->queue.first || !journal->stop)) {
        bool due = false;

        if (!journal->queue.first)
            due = wait_for_work(journal);
        let_others_add(journal);
        take_batch(&journal->queue, &batch);
        if (!batch.first && !due)
            continue;
        pthread_mutex_unlock(&journal->mutex);
        result = batch.first ? work(journal, &batch) : idle_work(journal);
        pthread_mutex_lock(&journal->mutex);
    }
    pthread_mutex_unlock(&journal->mutex);
    if (!result && journal_index_lag(&journal->index))
        result = index_pass(journal);
    if (!result)
        result = journal_progress_write(&journal->progress, &journal->store);
    if (result) {
        pthread_mutex_lock(&journal->mutex);
        journal->failed = true;
        list_move(&batch, &journal->queue);
        list_move(&journal->queue, &batch); /* in front */
        eventfd_write(journal->event, 1);
        pthread_mutex_unlock(&journal->mutex);
    }
    return NULL;
}

/* Hands out the newest messages, as many as fit, and none where the log is not whole. */
static int replay_recent(struct journal *journal, const struct journal_options *options,
                         void (*recent)(void *argument, const struct journal_message *message),
                         void *argument, char *message, size_t message_size)
{
    sqlite3 *db = journal->file.db;
    sqlite3_stmt *backward = NULL, *forward = NULL;
    struct journal_message row;
    uint64_t bytes = 0, first = journal->store.head + 1;
    int rc = SQLITE_DONE;
    int result = journal_prepare(
        db, "SELECT " JOURNAL_COLUMNS " FROM message WHERE pos > ?1 ORDER BY pos DESC", &backward);

    if (!result)
        result = journal_prepare(db, "SELECT " JOURNAL_COLUMNS " FROM message WHERE pos >= ?1 ORDER BY pos",
                                 &forward);
    if (!result)
        sqlite3_bind_int64(backward, 1, (sqlite3_int64)journal->file.logged_floor);
    while (!result && (rc = sqlite3_step(backward)) == SQLITE_ROW) {
        journal_row(backward, &row);
        bytes += journal_message_bytes(&row);
        if (bytes > options->recent_bytes) {
            rc = SQLITE_DONE;
            break;
        }
        first = row.pos;
    }
    if (!result && rc == SQLITE_DONE) {
        sqlite3_bind_int64(forward, 1, (sqlite3_int64)first);
        while ((rc = sqlite3_step(forward)) == SQLITE_ROW) {
            journal_row(forward, &row);
            recent(argument, &row);
        }
    }
    if (result || rc != SQLITE_DONE)
        result = journal_error_describe(db, journal->file.path, "cannot be read", message, message_size);
    sqlite3_finalize(backward);
    sqlite3_finalize(forward);
    return result;
}

static int start_threads(struct journal *journal, char *message, size_t message_size)
{
    int result = journal_checkpoint_start(&journal->checkpoint, journal->file.path, message, message_size);
    if (!result)
        result = journal_reader_start(journal->file.path, &journal->snapshot, journal->event,
                                      &journal->reader, message, message_size);
    if (!result) {
        thread_start(&journal->thread, run, journal);
        journal->started = true;
    }
    return result;
}

static void init_locks(struct journal *journal)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&journal->wake, &attributes);
    pthread_cond_init(&journal->follow, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&journal->mutex, NULL);
    pthread_mutex_init(&journal->snapshot, NULL);
}

int journal_open(const struct journal_options *options,
                 void (*recent)(void *argument, const struct journal_message *message), void *argument,
                 struct journal **out, char *message, size_t message_size)
{
    struct journal *journal = memory_zero(1, sizeof *journal);
    int result;

    init_locks(journal);
    journal->statistics.commit.bounds = journal->statistics.removal.bounds = &histogram_seconds;
    journal->statistics.commit_size.bounds = &histogram_sizes;
    journal->file.lock_fd = journal->file.index_fd = -1;
    list_init(&journal->submitted);
    list_init(&journal->queue);
    list_init(&journal->done);
    journal->lost = options->lost;
    journal->lost_argument = argument;
    journal->abort_after_commits = options->abort_after_commits;
    journal->abort_after_changes = options->abort_after_changes;
    journal->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (journal->event < 0) {
        snprintf(message, message_size, "%s: no eventfd: %s", options->path, strerror(errno));
        result = ERROR_IO;
    } else {
        result = journal_file_open(&journal->file, options->path, message, message_size);
    }
    if (!result) {
        sqlite3_wal_hook(journal->file.db, note_wal_frames, journal);
        result = journal_store_init(&journal->store, &journal->file, message, message_size);
    }
    if (!result)
        result = journal_index_init(&journal->index, &journal->store, message, message_size);
    if (!result)
        result =
            journal_removal_init(&journal->removal, &journal->store, &journal->index, &options->retention,
                                 clock_monotonic_ms(), clock_wall_ms(), message, message_size);
    if (!result)
        result = journal_progress_init(&journal->progress, &journal->file, message, message_size);
    if (!result)
        journal_removal_archived(&journal->removal, journal_progress_position(&journal->progress));
    if (!result && recent)
        result = replay_recent(journal, options, recent, argument, message, message_size);
    if (!result && options->session) {
        result = journal_sessions_load(journal->file.db, options->session, argument);
        if (result)
            journal_error_describe(journal->file.db, options->path, "its sessions cannot be read", message,
                                   message_size);
    }
    if (!result) {
        journal->head = journal->committed = journal->store.head;
        journal->statistics.unindexed = journal_index_lag(&journal->index);
        show_floors(journal);
        result = start_threads(journal, message, message_size);
    }
    if (result) {
        journal_close(journal);
        return result;
    }
    *out = journal;
    return 0;
}

/* Those that did not come back, in order. */
static void take_lost(struct journal *journal, struct entry_list *lost)
{
    list_init(lost);
    list_move(lost, &journal->done);
    list_move(lost, &journal->queue);
    list_move(lost, &journal->submitted);
    if (!journal->lost)
        list_init(lost);
}

void journal_close(struct journal *journal)
{
    struct journal_read *reads, *next;
    struct journal_entry *entry, *behind;
    struct entry_list lost;
    void (*give)(void *argument, struct journal_entry *entry);
    void *argument;

    if (!journal)
        return;
    if (journal->started) {
        journal_flush(journal);
        pthread_mutex_lock(&journal->mutex);
        journal->stop = true;
        pthread_cond_signal(&journal->wake);
        pthread_mutex_unlock(&journal->mutex);
        pthread_join(journal->thread, NULL);
    }
    journal_checkpoint_stop(&journal->checkpoint);
    reads = journal_reader_stop(journal->reader);
    journal_progress_done(&journal->progress);
    journal_removal_done(&journal->removal);
    journal_index_done(&journal->index);
    journal_store_done(&journal->store);
    journal_file_close(&journal->file);
    if (journal->event >= 0)
        close(journal->event);
    pthread_mutex_destroy(&journal->mutex);
    pthread_mutex_destroy(&journal->snapshot);
    pthread_cond_destroy(&journal->wake);
    pthread_cond_destroy(&journal->follow);
    take_lost(journal, &lost);
    give = journal->lost;
    argument = journal->lost_argument;
    free(journal);
    for (entry = lost.first; entry; entry = behind) {
        behind = entry->next;
        give(argument, entry);
    }
    for (; reads; reads = next) {
        next = reads->next;
        reads->done(reads, reads->argument);
    }
}

const char *journal_epoch(const struct journal *journal)
{
    return journal->file.epoch;
}

uint64_t journal_head(const struct journal *journal)
{
    return journal->head;
}

uint64_t journal_tail(const struct journal *journal)
{
    struct journal *locked = (struct journal *)journal;
    uint64_t tail;

    pthread_mutex_lock(&locked->mutex);
    tail = journal->statistics.logged_floor + 1;
    pthread_mutex_unlock(&locked->mutex);
    return tail;
}

void journal_submit(struct journal *journal, struct journal_entry *entry)
{
    list_add(&journal->submitted, entry);
}

void journal_flush(struct journal *journal)
{
    bool wake;

    if (!journal->submitted.first)
        return;
    pthread_mutex_lock(&journal->mutex);
    journal->statistics.waiting += journal->submitted.count;
    wake = !journal->queue.first;
    list_move(&journal->queue, &journal->submitted);
    pthread_mutex_unlock(&journal->mutex);
    if (wake)
        pthread_cond_signal(&journal->wake);
}

int journal_fd(const struct journal *journal)
{
    return journal->event;
}

int journal_collect(struct journal *journal, void (*done)(void *argument, struct journal_entry *entry),
                    void *argument)
{
    struct entry_list entries;
    struct journal_read *reads;
    eventfd_t ignored;
    bool failed;

    list_init(&entries);
    eventfd_read(journal->event, &ignored);
    pthread_mutex_lock(&journal->mutex);
    list_move(&entries, &journal->done);
    journal->statistics.waiting -= entries.count;
    failed = journal->failed;
    pthread_mutex_unlock(&journal->mutex);
    reads = journal_reader_collect(journal->reader);

    while (entries.first) {
        struct journal_entry *entry = entries.first;

        entries.first = entry->next;
        if (entry->kind == JOURNAL_WRITE && entry->result == 0)
            journal->head = entry->message.pos;
        done(argument, entry);
    }
    while (reads) {
        struct journal_read *read = reads;

        reads = read->next;
        read->done(read, read->argument);
    }
    return failed ? ERROR_IO : 0;
}

const char *journal_failure(const struct journal *journal)
{
    return journal->store.failure;
}

static uint64_t file_bytes(const char *path, const char *suffix)
{
    char name[4096];
    struct stat status;

    snprintf(name, sizeof name, "%s%s", path, suffix);
    return stat(name, &status) ? 0 : (uint64_t)status.st_size;
}

void journal_statistics(const struct journal *journal, struct journal_statistics *out)
{
    struct journal *locked = (struct journal *)journal;

    pthread_mutex_lock(&locked->mutex);
    *out = journal->statistics;
    pthread_mutex_unlock(&locked->mutex);
    out->checkpoints = journal_checkpoint_count(&locked->checkpoint);
    out->rows_read = journal_reader_rows(locked->reader);
    out->file_bytes = file_bytes(journal->file.path, "");
    out->wal_bytes = file_bytes(journal->file.path, "-wal");
}

int journal_read(struct journal *journal, struct journal_read *read)
{
    return journal_reader_submit(journal->reader, read);
}

bool journal_wait(struct journal *journal, uint64_t pos, uint64_t milliseconds)
{
    uint64_t due = clock_monotonic_ms() + milliseconds;
    struct timespec until = {(time_t)(due / 1000), (long)(due % 1000) * 1000000};
    bool beyond;

    pthread_mutex_lock(&journal->mutex);
    journal->followed = true;
    while (journal->committed <= pos && !journal->follow_end)
        if (pthread_cond_timedwait(&journal->follow, &journal->mutex, &until) == ETIMEDOUT)
            break;
    beyond = journal->committed > pos && !journal->follow_end;
    journal->followed = journal->follow_end = false;
    pthread_mutex_unlock(&journal->mutex);
    return beyond;
}

void journal_wait_end(struct journal *journal)
{
    pthread_mutex_lock(&journal->mutex);
    journal->follow_end = true;
    pthread_cond_signal(&journal->follow);
    pthread_mutex_unlock(&journal->mutex);
}

uint64_t journal_committed(const struct journal *journal)
{
    struct journal *locked = (struct journal *)journal;
    uint64_t committed;

    pthread_mutex_lock(&locked->mutex);
    committed = journal->committed;
    pthread_mutex_unlock(&locked->mutex);
    return committed;
}

int journal_archived(struct journal *journal, uint64_t pos, const struct journal_letter *letters,
                     size_t count)
{
    int result = journal_progress_note(&journal->progress, pos, letters, count);

    if (!result)
        expect_progress(journal);
    return result;
}

uint64_t journal_archived_position(const struct journal *journal)
{
    return journal_progress_position(&((struct journal *)journal)->progress);
}

uint64_t journal_dead_letters(const struct journal *journal)
{
    return journal_progress_dead_letters(&((struct journal *)journal)->progress);
}

const char *journal_path(const struct journal *journal)
{
    return journal->file.path;
}

pthread_mutex_t *journal_snapshot(struct journal *journal)
{
    return &journal->snapshot;
}
