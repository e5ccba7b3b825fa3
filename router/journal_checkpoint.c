/*
 * When the WAL is copied into the file; see journal_checkpoint.h.  It owns a connection and a thread; the
 * journal thread tells it how long the WAL is.  Its one surprising rule: a checkpoint that fails is not an
 * error.  All is safe in the WAL, and the next one copies it again; on a full disk that is what happens.
 */
#include "router/journal_checkpoint.h"

#include "common/thread.h"

#include <stdlib.h>

enum { CACHE_KIB = 64 /* copying needs none */ };

/* Returns the frames that are in the file now; 0 when nothing could be done. */
static uint64_t copy(sqlite3 *db)
{
    int length = 0, copied = 0;

    if (sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &length, &copied) != SQLITE_OK)
        return 0;
    return copied > 0 ? (uint64_t)copied : 0;
}

static void *run(void *argument)
{
    struct journal_checkpoint *checkpoint = argument;

    pthread_setname_np(pthread_self(), "journal-copy");
    pthread_mutex_lock(&checkpoint->mutex);
    while (!checkpoint->stop) {
        uint64_t copied;

        if (!checkpoint->wanted) {
            pthread_cond_wait(&checkpoint->wake, &checkpoint->mutex);
            continue;
        }
        pthread_mutex_unlock(&checkpoint->mutex);
        copied = copy(checkpoint->db);
        pthread_mutex_lock(&checkpoint->mutex);
        checkpoint->copied = copied;
        checkpoint->count++;
        checkpoint->wanted = false;
    }
    pthread_mutex_unlock(&checkpoint->mutex);
    return NULL;
}

int journal_checkpoint_start(struct journal_checkpoint *checkpoint, const char *path, char *message,
                             size_t message_size)
{
    int result;

    *checkpoint = (struct journal_checkpoint){0};
    result = journal_file_connect(path, CACHE_KIB, &checkpoint->db, message, message_size);
    if (result)
        return result;
    pthread_mutex_init(&checkpoint->mutex, NULL);
    pthread_cond_init(&checkpoint->wake, NULL);
    thread_start(&checkpoint->thread, run, checkpoint);
    checkpoint->started = true;
    return 0;
}

void journal_checkpoint_stop(struct journal_checkpoint *checkpoint)
{
    if (!checkpoint->started)
        return;
    pthread_mutex_lock(&checkpoint->mutex);
    checkpoint->stop = true;
    pthread_cond_signal(&checkpoint->wake);
    pthread_mutex_unlock(&checkpoint->mutex);
    pthread_join(checkpoint->thread, NULL);
    pthread_mutex_destroy(&checkpoint->mutex);
    pthread_cond_destroy(&checkpoint->wake);
    sqlite3_close(checkpoint->db);
    *checkpoint = (struct journal_checkpoint){0};
}

/* Copies what is left, between two commits, unless somebody reads.  The mutex is held; the thread rests. */
static void finish(struct journal_checkpoint *checkpoint, sqlite3 *db, pthread_mutex_t *snapshot)
{
    uint64_t copied;

    if (pthread_mutex_trylock(snapshot))
        return;
    pthread_mutex_unlock(&checkpoint->mutex);
    copied = copy(db);
    pthread_mutex_unlock(snapshot);
    pthread_mutex_lock(&checkpoint->mutex);
    checkpoint->copied = copied;
    checkpoint->count++;
}

void journal_checkpoint_between_commits(struct journal_checkpoint *checkpoint, sqlite3 *db, uint64_t frames,
                                        pthread_mutex_t *snapshot)
{
    pthread_mutex_lock(&checkpoint->mutex);
    if (!checkpoint->wanted) {
        uint64_t left;

        if (frames < checkpoint->copied)
            checkpoint->copied = 0; /* it was started over */
        left = frames - checkpoint->copied;
        if (left && (frames >= JOURNAL_WAL_FRAMES_MAX ||
                     (frames >= JOURNAL_WAL_FRAMES && left < JOURNAL_CHECKPOINT_FRAMES))) {
            finish(checkpoint, db, snapshot);
        } else if (left >= JOURNAL_CHECKPOINT_FRAMES) {
            checkpoint->wanted = true;
            pthread_cond_signal(&checkpoint->wake);
        }
    }
    pthread_mutex_unlock(&checkpoint->mutex);
}

uint64_t journal_checkpoint_count(struct journal_checkpoint *checkpoint)
{
    uint64_t count;

    pthread_mutex_lock(&checkpoint->mutex);
    count = checkpoint->count;
    pthread_mutex_unlock(&checkpoint->mutex);
    return count;
}
