/*
 * Backup and restore; see journal_copy.h.  main.c calls it in a process that is no router.  Its one surprising
 * rule: all pages are copied in a single step, hence in one read transaction: with several, SQLite begins anew
 * whenever a router commits in between, and would never come to an end.
 */
#include "router/journal_copy.h"

#include "common/buffer.h"
#include "common/random.h"
#include "router/journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000 };

/* Deletes a file that did not come about, and what SQLite made beside it. */
static void forget(const char *path)
{
    static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};
    struct buffer name = {0};

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        buffer_clear(&name);
        buffer_printf(&name, "%s%s%c", path, suffixes[i], '\0');
        unlink(name.data);
    }
    buffer_done(&name);
}

/* Makes the file, and nobody else's. */
static int create(const char *path, char *message, size_t message_size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0) {
        snprintf(message, message_size, "%s: %s", path, strerror(errno));
        return errno == EEXIST ? ERROR_EXISTS : ERROR_IO;
    }
    close(fd);
    return 0;
}

/* Whether it is a journal at all: only a restore asks which version it has. */
static int check_source(sqlite3 *db, const char *path, char *message, size_t message_size)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, "SELECT value FROM meta WHERE key = 'epoch'", -1, &statement, NULL);
    int result = 0;

    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE && code != SQLITE_ERROR && code != SQLITE_NOTADB)
        result = journal_error_describe(db, path, "cannot be read", message, message_size);
    sqlite3_finalize(statement);
    if (result || code == SQLITE_ROW)
        return result;
    snprintf(message, message_size, "%s: this is no journal", path);
    return ERROR_FOREIGN;
}

static int copy_pages(sqlite3 *from, sqlite3 *to, const char *path, char *message, size_t message_size)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");

    if (backup) {
        sqlite3_backup_step(backup, -1);
        if (sqlite3_backup_finish(backup) == SQLITE_OK)
            return 0;
    }
    return journal_error_describe(to, path, "cannot be written", message, message_size);
}

/* Copies into the file, which is there and empty. */
static int copy(const char *from, const char *to, char *message, size_t message_size)
{
    sqlite3 *source = NULL, *target = NULL;
    int result = 0;

    if (sqlite3_open_v2(from, &source, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(source, PATIENCE_MS) != SQLITE_OK)
        result = journal_error_describe(source, from, "cannot be opened", message, message_size);
    if (!result)
        result = check_source(source, from, message, message_size);
    if (!result && (sqlite3_open_v2(to, &target, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
                    sqlite3_exec(target, "PRAGMA synchronous = FULL", NULL, NULL, NULL) != SQLITE_OK))
        result = journal_error_describe(target, to, "cannot be opened", message, message_size);
    if (!result)
        result = copy_pages(source, target, to, message, message_size);
    sqlite3_close(target);
    sqlite3_close(source);
    return result;
}

static int copy_to_new(const char *from, const char *to, char *message, size_t message_size)
{
    int result;

    if (access(from, F_OK)) { /* SQLite would make it */
        snprintf(message, message_size, "%s: %s", from, strerror(errno));
        return ERROR_IO;
    }
    result = create(to, message, message_size);
    if (result)
        return result;
    result = copy(from, to, message, message_size);
    if (result)
        forget(to);
    return result;
}

int journal_backup(const char *path, const char *file, char *message, size_t message_size)
{
    return copy_to_new(path, file, message, message_size);
}

static int begin_epoch(struct journal_file *file, char *message, size_t message_size)
{
    char epoch[JOURNAL_EPOCH_LENGTH + 1], sql[192];

    random_id(epoch, JOURNAL_EPOCH_LENGTH);
    snprintf(sql, sizeof sql,
             "BEGIN; DELETE FROM session_room; DELETE FROM session; "
             "UPDATE meta SET value = '%.*s' WHERE key = 'epoch'; COMMIT",
             JOURNAL_EPOCH_LENGTH, epoch);
    return journal_file_execute(file, sql, "cannot get another epoch", message, message_size);
}

/* SQLite would take what is left of another journal's log for this one's. */
static int refuse_remains(const char *path, char *message, size_t message_size)
{
    struct buffer log = {0};
    int result = 0;

    buffer_printf(&log, "%s-wal%c", path, '\0');
    if (access(path, F_OK) && access(log.data, F_OK) == 0) {
        snprintf(message, message_size, "%s: is left of another journal; move it away", log.data);
        result = ERROR_EXISTS;
    }
    buffer_done(&log);
    return result;
}

int journal_restore(const char *file, const char *path, char *message, size_t message_size)
{
    struct journal_file restored;
    int result = refuse_remains(path, message, message_size);

    if (!result)
        result = copy_to_new(file, path, message, message_size);
    if (result)
        return result;
    result = journal_file_open(&restored, path, message, message_size);
    if (!result) {
        result = begin_epoch(&restored, message, message_size);
        journal_file_close(&restored);
    }
    if (result)
        forget(path);
    return result;
}
