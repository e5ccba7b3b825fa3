/*
 * The thread that answers reads; see journal_reader.h.  It owns a connection, the thread and the queues;
 * journal.c hands reads in and out, journal_lookup.c and journal_missed.c find what is asked for.  Its one
 * surprising rule: each read is one transaction, so the index and the rows beyond it that are put together
 * are of one moment.
 */
#include "router/journal_reader.h"

#include "common/memory.h"
#include "common/thread.h"
#include "router/journal_lookup.h"

#include <stdlib.h>
#include <sys/eventfd.h>

struct journal_reader {
    struct journal_lookup lookup;
    pthread_t thread;
    pthread_mutex_t *snapshot;
    int event;

    /* Guarded by mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct journal_read *queue, **queue_end;
    struct journal_read *done, **done_end;
    unsigned waiting; /* handed in and not yet collected */
    uint64_t rows;
    bool stop;
};

static void answer(struct journal_reader *reader, struct journal_read *read)
{
    pthread_mutex_lock(reader->snapshot);
    journal_lookup_answer(&reader->lookup, read);
    pthread_mutex_unlock(reader->snapshot);
}

static void *run(void *argument)
{
    struct journal_reader *reader = argument;

    pthread_setname_np(pthread_self(), "journal-read");
    pthread_mutex_lock(&reader->mutex);
    while (!reader->stop) {
        struct journal_read *read = reader->queue;

        if (!read) {
            pthread_cond_wait(&reader->wake, &reader->mutex);
            continue;
        }
        reader->queue = read->next;
        if (!reader->queue)
            reader->queue_end = &reader->queue;
        pthread_mutex_unlock(&reader->mutex);
        answer(reader, read);
        pthread_mutex_lock(&reader->mutex);
        read->next = NULL;
        *reader->done_end = read;
        reader->done_end = &read->next;
        reader->rows += reader->lookup.looked_at;
        eventfd_write(reader->event, 1);
    }
    pthread_mutex_unlock(&reader->mutex);
    return NULL;
}

int journal_reader_start(const char *path, pthread_mutex_t *snapshot, int event, struct journal_reader **out,
                         char *message, size_t message_size)
{
    struct journal_reader *reader = memory_zero(1, sizeof *reader);
    int result;

    reader->snapshot = snapshot;
    reader->event = event;
    reader->queue_end = &reader->queue;
    reader->done_end = &reader->done;
    result = journal_lookup_init(&reader->lookup, path, message, message_size);
    if (result) {
        journal_lookup_done(&reader->lookup);
        free(reader);
        return result;
    }
    pthread_mutex_init(&reader->mutex, NULL);
    pthread_cond_init(&reader->wake, NULL);
    thread_start(&reader->thread, run, reader);
    *out = reader;
    return 0;
}

struct journal_read *journal_reader_stop(struct journal_reader *reader)
{
    struct journal_read *left;

    if (!reader)
        return NULL;
    pthread_mutex_lock(&reader->mutex);
    reader->stop = true;
    pthread_cond_signal(&reader->wake);
    pthread_mutex_unlock(&reader->mutex);
    pthread_join(reader->thread, NULL);
    for (struct journal_read *read = reader->queue; read; read = read->next) {
        read->messages = NULL;
        read->memory = NULL;
        read->count = 0;
        read->result = ERROR_CLOSED;
    }
    *reader->done_end = reader->queue;
    left = reader->done;
    pthread_mutex_destroy(&reader->mutex);
    pthread_cond_destroy(&reader->wake);
    journal_lookup_done(&reader->lookup);
    free(reader);
    return left;
}

int journal_reader_submit(struct journal_reader *reader, struct journal_read *read)
{
    int result = 0;

    pthread_mutex_lock(&reader->mutex);
    if (reader->waiting >= JOURNAL_READS_WAITING_MAX) {
        result = ERROR_BUSY;
    } else {
        reader->waiting++;
        read->next = NULL;
        *reader->queue_end = read;
        reader->queue_end = &read->next;
        pthread_cond_signal(&reader->wake);
    }
    pthread_mutex_unlock(&reader->mutex);
    return result;
}

struct journal_read *journal_reader_collect(struct journal_reader *reader)
{
    struct journal_read *done;

    pthread_mutex_lock(&reader->mutex);
    done = reader->done;
    for (struct journal_read *read = done; read; read = read->next)
        reader->waiting--;
    reader->done = NULL;
    reader->done_end = &reader->done;
    pthread_mutex_unlock(&reader->mutex);
    return done;
}

uint64_t journal_reader_rows(struct journal_reader *reader)
{
    uint64_t rows;

    pthread_mutex_lock(&reader->mutex);
    rows = reader->rows;
    pthread_mutex_unlock(&reader->mutex);
    return rows;
}
