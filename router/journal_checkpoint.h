/*
 * Checkpoints: moving committed pages from the WAL into the file, outside the commits.
 *
 * A thread of its own copies while commits go on; what came in meanwhile is little, and the journal thread
 * copies that itself between two commits, so that the next one finds the WAL copied whole and starts it over.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_CHECKPOINT_H
#define HUBBUB_ROUTER_JOURNAL_CHECKPOINT_H

#include "router/journal_file.h"

#include <pthread.h>

enum {
    JOURNAL_CHECKPOINT_FRAMES = 1000, /* new ones in the WAL that start the thread */
    JOURNAL_WAL_FRAMES = 4000,        /* a WAL of this length (16 MB) is started over when possible */
    JOURNAL_WAL_FRAMES_MAX = 16000,   /* and at this one however much is left to copy */
};

struct journal_checkpoint {
    sqlite3 *db; /* the thread's */
    pthread_t thread;
    bool started;

    /* Guarded by mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool wanted, stop;
    uint64_t copied; /* frames of the WAL that are in the file */
    uint64_t count;
};

/* Connects and starts the thread.  0, or as journal_open() with a message and nothing left to stop. */
int journal_checkpoint_start(struct journal_checkpoint *checkpoint, const char *path, char *message,
                             size_t message_size) MUST_CHECK;
/* Waits for the thread and closes its connection.  A zeroed struct is fine. */
void journal_checkpoint_stop(struct journal_checkpoint *checkpoint);

/*
 * The journal thread calls this between two commits with the WAL's length in frames.  May copy the rest
 * itself on db, its own connection, unless `snapshot` is taken: whoever reads holds that mutex, because a
 * reader in an old part of the WAL keeps it from being started over.
 */
void journal_checkpoint_between_commits(struct journal_checkpoint *checkpoint, sqlite3 *db, uint64_t frames,
                                        pthread_mutex_t *snapshot);

/* Checkpoints since the start, of both threads.  Any thread. */
uint64_t journal_checkpoint_count(struct journal_checkpoint *checkpoint);

#endif
