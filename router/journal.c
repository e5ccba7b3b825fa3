/*
 * The journal as the rest of the router sees it; see journal.h.  It puts the file, its writer and its reader
 * together, and keeps what the loop thread has of it.  Its one surprising rule: what is submitted waits here
 * for the turn's flush, so that the journal thread is woken once a turn.
 */
#include "router/journal.h"

#include "common/memory.h"
#include "router/journal_reader.h"
#include "router/journal_writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

struct journal {
    struct journal_file file;
    struct journal_writer writer;
    struct journal_reader *reader;
    pthread_mutex_t snapshot; /* held by readers while they read */
    int event;

    struct journal_queue submitted;
    uint64_t head;

    void (*lost)(void *argument, struct journal_entry *entry);
    void *lost_argument;
};

/* Hands out the newest messages, as many as fit, and none where the log is not whole. */
static int replay_recent(struct journal *journal, const struct journal_options *options,
                         void (*recent)(void *argument, const struct journal_message *message),
                         void *argument, char *message, size_t message_size)
{
    sqlite3 *db = journal->file.db;
    sqlite3_stmt *backward = NULL, *forward = NULL;
    struct journal_message row;
    uint64_t bytes = 0, first = journal->head + 1;
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

static int open_parts(struct journal *journal, const struct journal_options *options,
                      void (*recent)(void *argument, const struct journal_message *message), void *argument,
                      char *message, size_t message_size)
{
    int result = journal_file_open(&journal->file, options->path, message, message_size);

    if (!result)
        result = journal_writer_open(&journal->writer, options, &journal->file, journal->event,
                                     &journal->snapshot, message, message_size);
    if (result)
        return result;
    journal->head = journal->writer.store.head;
    if (recent)
        result = replay_recent(journal, options, recent, argument, message, message_size);
    if (!result && options->session) {
        result = journal_sessions_load(journal->file.db, options->session, argument);
        if (result)
            journal_error_describe(journal->file.db, options->path, "its sessions cannot be read", message,
                                   message_size);
    }
    if (!result)
        result = journal_reader_start(journal->file.path, &journal->snapshot, journal->event,
                                      &journal->reader, message, message_size);
    if (!result)
        result = journal_writer_start(&journal->writer, message, message_size);
    return result;
}

int journal_open(const struct journal_options *options,
                 void (*recent)(void *argument, const struct journal_message *message), void *argument,
                 struct journal **out, char *message, size_t message_size)
{
    struct journal *journal = memory_zero(1, sizeof *journal);
    int result;

    pthread_mutex_init(&journal->snapshot, NULL);
    journal_writer_init(&journal->writer);
    journal->file.lock_fd = journal->file.index_fd = -1;
    journal_queue_init(&journal->submitted);
    journal->lost = options->lost;
    journal->lost_argument = argument;
    journal->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (journal->event < 0) {
        snprintf(message, message_size, "%s: no eventfd: %s", options->path, strerror(errno));
        result = ERROR_IO;
    } else {
        result = open_parts(journal, options, recent, argument, message, message_size);
    }
    if (result) {
        journal_close(journal);
        return result;
    }
    *out = journal;
    return 0;
}

void journal_close(struct journal *journal)
{
    struct journal_read *reads, *next;
    struct journal_entry *entry;
    struct journal_queue lost;
    void (*give)(void *argument, struct journal_entry *entry);
    void *argument;

    if (!journal)
        return;
    if (journal->writer.started)
        journal_flush(journal);
    journal_writer_stop(&journal->writer);
    reads = journal_reader_stop(journal->reader);
    journal_queue_init(&lost);
    journal_writer_done(&journal->writer, &lost);
    journal_queue_move(&lost, &journal->submitted);
    journal_file_close(&journal->file);
    if (journal->event >= 0)
        close(journal->event);
    pthread_mutex_destroy(&journal->snapshot);
    give = journal->lost;
    argument = journal->lost_argument;
    free(journal);
    while (give && (entry = journal_queue_take(&lost)))
        give(argument, entry);
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
    return journal_writer_tail(&((struct journal *)journal)->writer);
}

void journal_submit(struct journal *journal, struct journal_entry *entry)
{
    journal_queue_add(&journal->submitted, entry);
}

void journal_flush(struct journal *journal)
{
    if (journal->submitted.first)
        journal_writer_submit(&journal->writer, &journal->submitted);
}

int journal_fd(const struct journal *journal)
{
    return journal->event;
}

int journal_collect(struct journal *journal, void (*done)(void *argument, struct journal_entry *entry),
                    void *argument)
{
    struct journal_queue entries;
    struct journal_entry *entry;
    struct journal_read *reads;
    eventfd_t ignored;
    int result;

    journal_queue_init(&entries);
    eventfd_read(journal->event, &ignored);
    result = journal_writer_collect(&journal->writer, &entries);
    reads = journal_reader_collect(journal->reader);

    while ((entry = journal_queue_take(&entries))) {
        if (entry->kind == JOURNAL_WRITE && entry->result == 0)
            journal->head = entry->message.pos;
        done(argument, entry);
    }
    while (reads) {
        struct journal_read *read = reads;

        reads = read->next;
        read->done(read, read->argument);
    }
    return result;
}

const char *journal_failure(const struct journal *journal)
{
    return journal->writer.store.failure;
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

    journal_writer_statistics(&locked->writer, out);
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
    return journal_writer_wait(&journal->writer, pos, milliseconds);
}

void journal_wait_end(struct journal *journal)
{
    journal_writer_wait_end(&journal->writer);
}

uint64_t journal_committed(const struct journal *journal)
{
    return journal_writer_committed(&((struct journal *)journal)->writer);
}

int journal_archived(struct journal *journal, uint64_t pos, const struct journal_letter *letters,
                     size_t count)
{
    return journal_writer_archived(&journal->writer, pos, letters, count);
}

uint64_t journal_archived_position(const struct journal *journal)
{
    return journal_progress_position(&((struct journal *)journal)->writer.progress);
}

uint64_t journal_dead_letters(const struct journal *journal)
{
    return journal_progress_dead_letters(&((struct journal *)journal)->writer.progress);
}

const char *journal_path(const struct journal *journal)
{
    return journal->file.path;
}

pthread_mutex_t *journal_snapshot(struct journal *journal)
{
    return &journal->snapshot;
}
