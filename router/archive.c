/*
 * The archive's thread; see archive.h.  It owns the follower, the client and the batch under way; router.c
 * starts and stops it, stats.c asks it.  Its one surprising rule: what MongoDB's calls may hold up for long
 * is never waited for, so at the end the thread may be left behind; then it finds stop set and only frees
 * what is its own.
 */
#include "router/archive.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/random.h"
#include "common/thread.h"
#include "router/archive_batch.h"
#include "router/journal_follower.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum {
    RETRY_FIRST_MS = 100,
    RETRY_DOUBLINGS_MAX = 16,
    GATHER_MS = 20,  /* the pause before a read that meets few messages: fewer writes save both sides work */
    IDLE_MS = 60000, /* how long to wait at most for the next message */
    STOP_SECONDS = 1,
};

const char *const archive_state_texts[ARCHIVE_STATES] = {
    [ARCHIVE_CONNECTING] = "connecting",
    [ARCHIVE_FOLLOWING] = "following",
    [ARCHIVE_RETRYING] = "retrying",
};

struct archive {
    struct archive_options options;
    struct journal *journal;
    char epoch[JOURNAL_EPOCH_LENGTH + 1];
    pthread_t thread;

    /* The thread's. */
    struct journal_follower *follower;
    struct archive_client client;
    struct archive_batch batch;
    struct archive_pace pace;
    uint64_t reached;  /* the position that the batch leads to */
    bool behind;       /* the last read left messages in the journal */
    bool indexed;      /* the indexes are there, or can't be made */
    unsigned failures; /* in a row */
    uint64_t failing_since;
    bool unreadable; /* the last one was the journal's */

    /* Guarded by mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stop, outside; /* outside: in a call that MongoDB may hold up */
    uint64_t first_at;  /* of the batch under way; 0 for none */
    struct archive_statistics statistics;
};

static bool stopped(struct archive *archive)
{
    bool stop;

    pthread_mutex_lock(&archive->mutex);
    stop = archive->stop;
    pthread_mutex_unlock(&archive->mutex);
    return stop;
}

static void go_outside(struct archive *archive)
{
    pthread_mutex_lock(&archive->mutex);
    archive->outside = true;
    pthread_mutex_unlock(&archive->mutex);
}

/* False when it has to stop: then the journal may be gone. */
static bool come_back(struct archive *archive)
{
    bool go_on;

    pthread_mutex_lock(&archive->mutex);
    archive->outside = false;
    go_on = !archive->stop;
    pthread_mutex_unlock(&archive->mutex);
    return go_on;
}

/* Waits so long, or until it has to stop. */
static void rest(struct archive *archive, uint64_t milliseconds)
{
    uint64_t due = clock_monotonic_ms() + milliseconds;
    struct timespec until = {(time_t)(due / 1000), (long)(due % 1000) * 1000000};

    pthread_mutex_lock(&archive->mutex);
    while (!archive->stop)
        if (pthread_cond_timedwait(&archive->wake, &archive->mutex, &until) == ETIMEDOUT)
            break;
    pthread_mutex_unlock(&archive->mutex);
}

/* The pause after so many failures in a row: twice the last one, and anything between half of it and all. */
static uint64_t pause_after(unsigned failures, uint64_t longest)
{
    unsigned doublings = failures - 1 < RETRY_DOUBLINGS_MAX ? failures - 1 : RETRY_DOUBLINGS_MAX;
    uint64_t pause = (uint64_t)RETRY_FIRST_MS << doublings;

    if (pause > longest)
        pause = longest;
    return pause / 2 + random_u64() % (pause / 2 + 1);
}

static void note_failure(struct archive *archive, const char *error)
{
    if (archive->failures++ == 0)
        archive->failing_since = clock_monotonic_ms();
    pthread_mutex_lock(&archive->mutex);
    if (archive->statistics.state == ARCHIVE_FOLLOWING)
        archive->statistics.state = ARCHIVE_RETRYING;
    archive->statistics.retries++;
    archive->statistics.error_at = clock_wall_ms();
    archive_copy_words(archive->statistics.error, sizeof archive->statistics.error, error);
    pthread_mutex_unlock(&archive->mutex);
}

static void rest_after_failure(struct archive *archive)
{
    rest(archive, pause_after(archive->failures, archive->options.retry_max));
}

/* A failure of MongoDB that may pass: says so once, drops the client, and waits. */
static void fail(struct archive *archive, const char *error)
{
    if (archive->failures == 0)
        log_warn("the archive is out of reach: messages stay in the journal", "error=%s", error);
    note_failure(archive, error);
    go_outside(archive);
    archive_client_close(&archive->client); /* says goodbye, and waits for an answer */
    if (come_back(archive))
        rest_after_failure(archive);
}

/* One of the journal: not MongoDB's fault. */
static void fail_to_read(struct archive *archive, int error)
{
    if (!archive->unreadable)
        log_error("the journal can't be read for the archive", "error=%s", error_text(error));
    archive->unreadable = true;
    note_failure(archive, "the journal can't be read");
    rest_after_failure(archive);
}

static void succeed(struct archive *archive)
{
    if (archive->unreadable)
        log_info("the journal can be read for the archive again", "retries=%u", archive->failures);
    else if (archive->failures)
        log_info("the archive is within reach", "after_ms=%llu retries=%u",
                 (unsigned long long)(clock_monotonic_ms() - archive->failing_since), archive->failures);
    archive->failures = 0;
    archive->unreadable = false;
    pthread_mutex_lock(&archive->mutex);
    archive->statistics.state = ARCHIVE_FOLLOWING;
    pthread_mutex_unlock(&archive->mutex);
}

/* Whether the server understood, and just won't. */
static bool is_refusal(const bson_error_t *error)
{
    return error->domain == MONGOC_ERROR_SERVER && !archive_code_passes(error->code);
}

static int connect_to_server(struct archive *archive)
{
    bson_error_t reason = {0};
    int result;

    go_outside(archive);
    result = archive_client_open(&archive->client, &archive->options.place, &reason);
    if (!result && !archive->indexed)
        result = archive_client_make_indexes(&archive->client, &reason);
    if (!come_back(archive))
        return ERROR_CLOSED;
    if (result) {
        if (!is_refusal(&reason)) {
            fail(archive, reason.message);
            return ERROR_AGAIN;
        }
        log_warn("the archive's indexes can't be made: reading from it will be slow", "code=%u error=%s",
                 reason.code, reason.message);
    }
    archive->indexed = true;
    if (archive->batch.count == 0)
        succeed(archive); /* otherwise the batch will show */
    return 0;
}

static void take_row(void *argument, const struct journal_message *message)
{
    struct archive *archive = argument;

    if (message->class == MESSAGE_ARCHIVED)
        archive_batch_add(&archive->batch, message, bytes_from_text(archive->epoch));
}

/* Reads the next rows; a batch may stay empty although the position goes on. */
static int fill(struct archive *archive)
{
    struct journal_follower_limits limits = {archive->options.batch, archive->options.batch_bytes};
    uint64_t committed = journal_committed(archive->journal);
    int result = journal_follower_read(archive->follower, archive->reached, &limits, take_row, archive,
                                       &archive->reached);

    if (result) {
        archive_batch_clear(&archive->batch);
        fail_to_read(archive, result);
        return result;
    }
    if (archive->unreadable)
        succeed(archive); /* what MongoDB says shows next */
    archive->behind = archive->reached < committed;
    pthread_mutex_lock(&archive->mutex);
    archive->first_at = archive->batch.count ? archive->batch.first_at : 0;
    pthread_mutex_unlock(&archive->mutex);
    return 0;
}

static void log_letters(const struct journal_letter *letters, size_t count)
{
    for (size_t i = 0; i < count; i++)
        log_error("MongoDB refuses a message for good: it is in table dead_letter", "pos=%llu code=%d",
                  (unsigned long long)letters[i].pos, letters[i].code);
}

/* Everything up to `reached` is settled: the journal may know. */
static int note_progress(struct archive *archive)
{
    struct archive_batch *batch = &archive->batch;
    struct journal_letter *letters = memory_new((batch->refused + 1) * sizeof *letters);
    int result;

    archive_batch_letters(batch, letters);
    result = journal_archived(archive->journal, archive->reached, letters, batch->refused);
    if (!result) {
        log_letters(letters, batch->refused);
        pthread_mutex_lock(&archive->mutex);
        archive->statistics.archived += batch->stored;
        archive->statistics.known += batch->known;
        archive->statistics.refused += batch->refused;
        archive->statistics.writes += batch->count > 0;
        archive->statistics.position = archive->reached;
        archive->first_at = 0;
        pthread_mutex_unlock(&archive->mutex);
        archive_batch_clear(batch);
    }
    free(letters);
    return result;
}

/* Sends the batch, and says what became of it. */
static void send_batch(struct archive *archive)
{
    bson_error_t reason = {0};
    int result;

    go_outside(archive);
    result = archive_batch_send(&archive->batch, &archive->client, &archive->pace, &reason);
    if (!come_back(archive))
        return;
    if (result) {
        fail(archive, reason.message);
        return;
    }
    succeed(archive);
    while (note_progress(archive) && !stopped(archive))
        rest(archive, RETRY_FIRST_MS); /* for the journal to write the letters that it has */
}

/* Lets a few messages become more, also when they came during a write: else a steady trickle is as many
   writes as the server can answer. */
static void gather(struct archive *archive)
{
    uint64_t waiting = journal_committed(archive->journal) - archive->reached;

    if (waiting && waiting < archive->options.batch && !archive->behind)
        rest(archive, GATHER_MS);
}

static void turn(struct archive *archive)
{
    if (archive->batch.count == 0) {
        gather(archive);
        if (stopped(archive) || fill(archive))
            return;
    }
    if (!archive->client.client && connect_to_server(archive))
        return;
    if (archive->batch.count)
        send_batch(archive);
    else if (archive->reached != archive->statistics.position) /* which is this thread's to change */
        (void)!note_progress(archive);                         /* of no letters, so it is noted */
    else
        journal_wait(archive->journal, archive->reached, IDLE_MS); /* for gather() to find some */
}

static void *run(void *argument)
{
    struct archive *archive = argument;

    pthread_setname_np(pthread_self(), "archive");
    while (!stopped(archive))
        turn(archive);
    go_outside(archive); /* for good */
    archive_client_close(&archive->client);
    archive_batch_done(&archive->batch);
    journal_follower_close(archive->follower);
    return NULL;
}

int archive_start(const struct archive_options *options, struct journal *journal, struct archive **out,
                  char *message, size_t message_size)
{
    struct archive *archive = memory_zero(1, sizeof *archive);
    pthread_condattr_t attributes;
    int result = journal_follower_open(journal, &archive->follower, message, message_size);

    if (result) {
        free(archive);
        return result;
    }
    archive->options = *options;
    archive->options.place = archive_place_copy(&options->place);
    archive->pace = (struct archive_pace){options->batch, options->batch, options->place.timeout};
    archive->journal = journal;
    memcpy(archive->epoch, journal_epoch(journal), sizeof archive->epoch);
    archive->reached = archive->statistics.position = journal_archived_position(journal);
    pthread_mutex_init(&archive->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&archive->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    thread_start(&archive->thread, run, archive);
    *out = archive;
    return 0;
}

/* The thread may look at it until the process ends. */
static struct archive *volatile left_behind;

/* Whether the thread has ended; waits a second, or longer for one that MongoDB does not hold up. */
static bool join(struct archive *archive)
{
    struct timespec until;
    bool outside;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += STOP_SECONDS;
    if (pthread_clockjoin_np(archive->thread, NULL, CLOCK_MONOTONIC, &until) == 0)
        return true;
    pthread_mutex_lock(&archive->mutex);
    outside = archive->outside;
    pthread_mutex_unlock(&archive->mutex);
    if (outside)
        pthread_detach(archive->thread);
    else
        pthread_join(archive->thread, NULL);
    return !outside;
}

void archive_stop(struct archive *archive)
{
    if (!archive)
        return;
    pthread_mutex_lock(&archive->mutex);
    archive->stop = true;
    pthread_cond_signal(&archive->wake);
    pthread_mutex_unlock(&archive->mutex);
    journal_wait_end(archive->journal);
    if (!join(archive)) {
        log_warn("MongoDB holds the archive's thread up: it is left behind");
        left_behind = archive;
        return;
    }
    pthread_mutex_destroy(&archive->mutex);
    pthread_cond_destroy(&archive->wake);
    archive_place_done(&archive->options.place);
    free(archive);
}

void archive_statistics(struct archive *archive, struct archive_statistics *out)
{
    uint64_t committed = journal_committed(archive->journal);
    uint64_t now = clock_wall_ms();

    pthread_mutex_lock(&archive->mutex);
    *out = archive->statistics;
    if (archive->first_at && now > archive->first_at)
        out->lag_ms = now - archive->first_at;
    pthread_mutex_unlock(&archive->mutex);
    out->lag_messages = committed > out->position ? committed - out->position : 0;
}
