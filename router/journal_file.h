/*
 * The journal's file: the lock, the schema, the checks at the start, connections and rows.
 * Nothing here outlives a call except what struct journal_file holds; no threads.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_FILE_H
#define HUBBUB_ROUTER_JOURNAL_FILE_H

#include "router/journal.h"

#include <sqlite3.h>

/* What every reader of whole rows selects, in the order that journal_row() expects. */
#define JOURNAL_COLUMNS                                                                                      \
    "pos, namespace, room, seq, class, deliver, meta, at, publish_id, event, sender_sid, sender_name, "      \
    "attachments, arguments, dedup_scope IS NOT NULL, exceptions"

struct journal_file {
    char *path;
    int lock_fd;
    int index_fd; /* holds the reserved blocks of the -shm file; see journal_file_reserve() */
    sqlite3 *db;  /* the writer's connection */
    char epoch[JOURNAL_EPOCH_LENGTH + 1];
    uint64_t dedup_keys[4]; /* of the hashes in table dedup */
    /* As they were when the file was opened. */
    uint64_t indexed;                               /* the rows up to this position are in the room index */
    uint64_t head;                                  /* as in journal.h */
    uint64_t logged_floor, archived_floor, removed; /* see journal_removal.h */
    uint64_t numbered;                              /* archived messages up to indexed, ever */
};

/*
 * Takes the lock, opens or makes the file and checks it.  Codes and message as journal_open(); on failure
 * nothing stays open.  The file must be closed by journal_file_close(), after every other connection.
 */
int journal_file_open(struct journal_file *file, const char *path, char *message,
                      size_t message_size) MUST_CHECK;
void journal_file_close(struct journal_file *file);

/*
 * Looks whether it is a journal and is whole, as far as journal_file_open() does that before it reads rows: whose
 * file, its tables, the pages of a small one.  Nothing is written, and a router may have it open.  0; ERROR_NOT_FOUND
 * without a message when there is no file, or an empty one; else a code with a message.
 */
int journal_file_look(const char *path, char *message, size_t message_size) MUST_CHECK;

/*
 * Opens one more connection to a file that is open, with a page cache of that many KiB.
 * Returns 0 or what journal_error() says, with a message.
 */
int journal_file_connect(const char *path, int cache_kib, sqlite3 **out, char *message,
                         size_t message_size) MUST_CHECK;

/* What the connection's last error means to us: ERROR_NO_SPACE, ERROR_CORRUPT (also when SQLite saw no error,
   but a check of ours did), ERROR_FOREIGN, ERROR_LOCKED or ERROR_IO. */
int journal_error(sqlite3 *db);

/* The same, and one line about it in message: "PATH: what: SQLite's words". */
int journal_error_describe(sqlite3 *db, const char *path, const char *what, char *message,
                           size_t message_size);

/* Runs statements; `what` was not possible when one fails.  0, or journal_error() with a message. */
int journal_file_execute(struct journal_file *file, const char *sql, const char *what, char *message,
                         size_t message_size) MUST_CHECK;

/* One number from a statement without parameters; there must be a row. */
int journal_file_number(struct journal_file *file, const char *sql, uint64_t *out, char *message,
                        size_t message_size) MUST_CHECK;

/* Prepares a statement that is kept.  0 or journal_error(). */
int journal_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out) MUST_CHECK;

/* Steps a statement that returns no rows, and resets it.  0 or journal_error(). */
int journal_step(sqlite3_stmt *statement) MUST_CHECK;

/* Binds bytes without a copy: they must stay until the statement is reset.  Empty is '' (x'' for a blob). */
void journal_bind_text(sqlite3_stmt *statement, int column, struct bytes bytes);
void journal_bind_blob(sqlite3_stmt *statement, int column, struct bytes bytes);

/* A column's bytes, valid until the next step or reset. */
struct bytes journal_column(sqlite3_stmt *statement, int column);

/* Reads the current row of a SELECT of JOURNAL_COLUMNS; the bytes are valid until the next step or reset. */
void journal_row(sqlite3_stmt *statement, struct journal_message *out);

/* The bytes of all of a message's texts together: what limits count. */
uint64_t journal_message_bytes(const struct journal_message *message);

#endif
