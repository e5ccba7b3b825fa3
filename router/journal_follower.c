/*
 * Following the log; see journal_follower.h.  It owns a connection and a statement; the archive's thread uses
 * it.  Its one surprising rule: it reads while it holds the journal's `snapshot`, as the reader does, because
 * whoever reads in an old part of the WAL keeps it from being started over.
 */
#include "router/journal_follower.h"

#include "common/memory.h"
#include "router/journal_file.h"

#include <pthread.h>
#include <stdlib.h>

enum { CACHE_KIB = 256 };

struct journal_follower {
    sqlite3 *db;
    sqlite3_stmt *rows;
    pthread_mutex_t *snapshot;
};

int journal_follower_open(struct journal *journal, struct journal_follower **out, char *message,
                          size_t message_size)
{
    static const char rows[] = "SELECT " JOURNAL_COLUMNS " FROM message WHERE pos > ?1 ORDER BY pos LIMIT ?2";
    struct journal_follower *follower = memory_zero(1, sizeof *follower);
    const char *path = journal_path(journal);
    int result = journal_file_connect(path, CACHE_KIB, &follower->db, message, message_size);

    follower->snapshot = journal_snapshot(journal);
    if (!result && (sqlite3_exec(follower->db, "PRAGMA query_only = ON", NULL, NULL, NULL) ||
                    journal_prepare(follower->db, rows, &follower->rows)))
        result = journal_error_describe(follower->db, path, "cannot be read", message, message_size);
    if (result) {
        journal_follower_close(follower);
        return result;
    }
    *out = follower;
    return 0;
}

void journal_follower_close(struct journal_follower *follower)
{
    if (!follower)
        return;
    sqlite3_finalize(follower->rows);
    sqlite3_close(follower->db);
    free(follower);
}

int journal_follower_read(struct journal_follower *follower, uint64_t after,
                          const struct journal_follower_limits *limits,
                          void (*row)(void *argument, const struct journal_message *message), void *argument,
                          uint64_t *reached)
{
    uint64_t bytes = 0, last = after;
    struct journal_message message;
    int rc = SQLITE_ROW;

    pthread_mutex_lock(follower->snapshot);
    sqlite3_bind_int64(follower->rows, 1, (sqlite3_int64)after);
    sqlite3_bind_int64(follower->rows, 2, (sqlite3_int64)limits->rows);
    while (bytes <= limits->bytes && (rc = sqlite3_step(follower->rows)) == SQLITE_ROW) {
        journal_row(follower->rows, &message);
        bytes += journal_message_bytes(&message);
        last = message.pos;
        row(argument, &message);
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        rc = journal_error(follower->db);
    else
        rc = 0;
    sqlite3_reset(follower->rows);
    pthread_mutex_unlock(follower->snapshot);
    if (rc)
        return rc;
    *reached = last;
    return 0;
}
