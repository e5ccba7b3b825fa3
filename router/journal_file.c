/*
 * The journal's file on disk: lock, checks, connections, rows.  It owns the file as a whole, journal_schema.c
 * knows its tables; journal.c opens and closes it, the store, the index and the reader use its helpers.  Its
 * one surprising rule: a new file is made whole in a transaction of the old rollback kind and turned to WAL
 * only then, so a crash leaves either an empty file or a complete one, and one header says whose it is.
 */
#include "router/journal_file.h"

#include "common/buffer.h"
#include "common/memory.h"
#include "router/journal_schema.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WRITER_CACHE_KIB = 2048,
    BUSY_TIMEOUT_MS = 5000,           /* somebody writes to the file by hand */
    WHOLE_CHECK_BYTES_MAX = 64 << 20, /* a check of every page reads about 1 GB a second */
    INDEX_RESERVED_BYTES = 1 << 20,   /* of the -shm file: serves a WAL of 500 MB */
    ROWS_CHECKED_MAX = 65536,         /* of what is indexed */
    WAL_KEPT_BYTES = 64 << 20,        /* what a longer WAL is cut back to when it starts over */
};

static bool lacks_space(int code)
{
    return code == ENOSPC || code == EDQUOT || code == EFBIG;
}

/* Why the last write to the WAL failed.  sqlite3_system_errno() is not set by a statement's step. */
static int wal_errno(sqlite3 *db)
{
    sqlite3_file *wal = NULL;
    int code = 0;

    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) || !wal || !wal->pMethods ||
        wal->pMethods->xFileControl(wal, SQLITE_FCNTL_LAST_ERRNO, &code))
        return 0;
    return code;
}

int journal_error(sqlite3 *db)
{
    switch (sqlite3_extended_errcode(db) & 0xff) {
    case SQLITE_FULL:
        return ERROR_NO_SPACE;
    case SQLITE_IOERR:
        /* Writes that the system refused as a whole; a failed sync is another matter: its outcome is
           unknown. */
        if (sqlite3_extended_errcode(db) == SQLITE_IOERR_SHMSIZE ||
            (sqlite3_extended_errcode(db) == SQLITE_IOERR_WRITE && lacks_space(wal_errno(db))))
            return ERROR_NO_SPACE;
        return ERROR_IO;
    case SQLITE_CORRUPT:
        return ERROR_CORRUPT;
    case SQLITE_NOTADB:
        return ERROR_FOREIGN;
    case SQLITE_BUSY:
        return ERROR_LOCKED;
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        /* SQLite had no complaint: a check of our own failed. */
        return ERROR_CORRUPT;
    default:
        return ERROR_IO;
    }
}

int journal_error_describe(sqlite3 *db, const char *path, const char *what, char *message,
                           size_t message_size)
{
    int error = journal_error(db);

    int code = sqlite3_extended_errcode(db);

    if (error == ERROR_FOREIGN)
        snprintf(message, message_size, "%s: not a Hubbub journal: no SQLite file at all", path);
    else if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) /* it knows of no error */
        snprintf(message, message_size, "%s: damaged: %s", path, what);
    else
        snprintf(message, message_size, "%s: %s%s: %s (SQLite result %d)", path,
                 error == ERROR_CORRUPT ? "damaged: " : "", what, sqlite3_errmsg(db), code);
    return error;
}

int journal_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out)
{
    return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) ? journal_error(db) : 0;
}

int journal_step(sqlite3_stmt *statement)
{
    int rc = sqlite3_step(statement);
    int result = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : journal_error(sqlite3_db_handle(statement));

    sqlite3_reset(statement);
    return result;
}

void journal_bind_text(sqlite3_stmt *statement, int column, struct bytes bytes)
{
    sqlite3_bind_text(statement, column, bytes.length ? bytes.data : "", (int)bytes.length, SQLITE_STATIC);
}

void journal_bind_blob(sqlite3_stmt *statement, int column, struct bytes bytes)
{
    sqlite3_bind_blob(statement, column, bytes.length ? bytes.data : "", (int)bytes.length, SQLITE_STATIC);
}

struct bytes journal_column(sqlite3_stmt *statement, int column)
{
    const char *data = sqlite3_column_blob(statement, column);

    return (struct bytes){data, (size_t)sqlite3_column_bytes(statement, column)};
}

void journal_row(sqlite3_stmt *statement, struct journal_message *out)
{
    *out = (struct journal_message){
        .pos = (uint64_t)sqlite3_column_int64(statement, 0),
        .namespace = journal_column(statement, 1),
        .room = journal_column(statement, 2),
        .seq = (uint64_t)sqlite3_column_int64(statement, 3),
        .class = (enum message_class)sqlite3_column_int(statement, 4),
        .deliver = (enum deliver_mode)sqlite3_column_int(statement, 5),
        .meta = sqlite3_column_int(statement, 6) != 0,
        .at = (uint64_t)sqlite3_column_int64(statement, 7),
        .publish_id = journal_column(statement, 8),
        .event = journal_column(statement, 9),
        .sender_sid = journal_column(statement, 10),
        .sender_name = journal_column(statement, 11),
        .attachments = journal_column(statement, 12),
        .arguments = journal_column(statement, 13),
        .own_id = sqlite3_column_int(statement, 14) != 0,
        .except = journal_column(statement, 15),
    };
}

uint64_t journal_message_bytes(const struct journal_message *message)
{
    return message->namespace.length + message->room.length + message->publish_id.length +
           message->event.length + message->arguments.length + message->attachments.length +
           message->except.length + message->sender_sid.length + message->sender_name.length;
}

int journal_file_execute(struct journal_file *file, const char *sql, const char *what, char *message,
                         size_t message_size)
{
    if (sqlite3_exec(file->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    return journal_error_describe(file->db, file->path, what, message, message_size);
}

int journal_file_number(struct journal_file *file, const char *sql, uint64_t *out, char *message,
                        size_t message_size)
{
    sqlite3_stmt *statement = NULL;
    int result = 0;

    if (sqlite3_prepare_v2(file->db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        *out = (uint64_t)sqlite3_column_int64(statement, 0);
    else
        result = journal_error_describe(file->db, file->path, "cannot be read", message, message_size);
    sqlite3_finalize(statement);
    return result;
}

/* Messages are not for everyone who may look into the folder; SQLite gives its other files the same mode. Only
 * a new file is opened: closing one that SQLite has open would let go of its locks. */
static void make_private(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
}

int journal_file_connect(const char *path, int cache_kib, sqlite3 **out, char *message, size_t message_size)
{
    char pragmas[256];
    sqlite3 *db = NULL;
    int result = 0;

    snprintf(pragmas, sizeof pragmas,
             "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -%d;"
             "PRAGMA temp_store = MEMORY; PRAGMA secure_delete = OFF; PRAGMA trusted_schema = OFF;"
             "PRAGMA journal_size_limit = %d",
             cache_kib, WAL_KEPT_BYTES);
    make_private(path);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL))
        goto failed;
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
    if (sqlite3_exec(db, pragmas, NULL, NULL, NULL))
        goto failed;
    *out = db;
    return 0;
failed:
    result = journal_error_describe(db, path, "cannot be opened", message, message_size);
    sqlite3_close(db);
    return result;
}

/* The path of a file that lies beside the journal; free() it. */
static char *beside(const struct journal_file *file, const char *suffix)
{
    struct buffer path = {0};

    buffer_append_text(&path, file->path);
    buffer_append(&path, suffix, strlen(suffix) + 1);
    return path.data;
}

/* A lock file of our own beside it: SQLite's locks are for single transactions, and must let people look. */
static int take_lock(struct journal_file *file, char *message, size_t message_size)
{
    char *path = beside(file, "-lock");
    int result = 0;

    file->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file->lock_fd < 0) {
        result = lacks_space(errno) ? ERROR_NO_SPACE : ERROR_IO;
        snprintf(message, message_size, "%s: cannot be opened: %s", path, strerror(errno));
    } else if (flock(file->lock_fd, LOCK_EX | LOCK_NB)) {
        result = errno == EWOULDBLOCK ? ERROR_LOCKED : ERROR_IO;
        snprintf(message, message_size, "%s: %s", file->path,
                 errno == EWOULDBLOCK ? "another router has this journal open" : strerror(errno));
    }
    free(path);
    return result;
}

/* Every page of a small file; of a large one what the start reads anyway: the schema, the head, the rows that
   the index lacks. */
static int check_pages(struct journal_file *file, char *message, size_t message_size)
{
    sqlite3_stmt *statement = NULL;
    struct stat status;
    int rc, result = 0;

    if (stat(file->path, &status) || status.st_size > WHOLE_CHECK_BYTES_MAX)
        return 0;
    rc = sqlite3_prepare_v2(file->db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc != SQLITE_ROW) {
        result = journal_error_describe(file->db, file->path, "cannot be checked", message, message_size);
    } else if (!bytes_equal_text(journal_column(statement, 0), "ok")) {
        result = ERROR_CORRUPT;
        snprintf(message, message_size, "%s: damaged: %s", file->path,
                 (const char *)sqlite3_column_text(statement, 0));
        for (char *c = message; *c; c++)
            if (*c == '\n')
                *c = ' ';
    }
    sqlite3_finalize(statement);
    return result;
}

/* Numbers of table meta; those that a file may lack are 0 then. */
static const struct {
    const char *key;
    size_t offset;
} numbers[] = {
    {"indexed", offsetof(struct journal_file, indexed)},
    {"logged_floor", offsetof(struct journal_file, logged_floor)},
    {"archived_floor", offsetof(struct journal_file, archived_floor)},
    {"removed", offsetof(struct journal_file, removed)},
    {"numbered", offsetof(struct journal_file, numbered)},
};

/* Whether it is one of the numbers. */
static bool load_number(struct journal_file *file, struct bytes key, sqlite3_stmt *row)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (!bytes_equal_text(key, numbers[i].key))
            continue;
        *(uint64_t *)(void *)((char *)file + numbers[i].offset) = (uint64_t)sqlite3_column_int64(row, 1);
        return true;
    }
    return false;
}

static int load_meta(struct journal_file *file, char *message, size_t message_size)
{
    sqlite3_stmt *statement = NULL;
    bool epoch = false, keys = false, indexed = false;
    int rc = sqlite3_prepare_v2(file->db, "SELECT key, value FROM meta", -1, &statement, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        struct bytes key = journal_column(statement, 0);
        struct bytes value = journal_column(statement, 1);

        if (bytes_equal_text(key, "epoch") && value.length == JOURNAL_EPOCH_LENGTH) {
            memcpy(file->epoch, value.data, value.length);
            epoch = true;
        } else if (bytes_equal_text(key, "dedup_keys") && value.length == sizeof file->dedup_keys) {
            memcpy(file->dedup_keys, value.data, value.length);
            keys = true;
        } else if (load_number(file, key, statement)) {
            indexed |= bytes_equal_text(key, "indexed");
        }
        rc = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    if (rc != SQLITE_DONE)
        return journal_error_describe(file->db, file->path, "cannot be read", message, message_size);
    if (!epoch || !keys || !indexed) {
        snprintf(message, message_size, "%s: damaged: table meta lacks %s", file->path,
                 !epoch  ? "the epoch"
                 : !keys ? "the keys"
                         : "the indexed position");
        return ERROR_CORRUPT;
    }
    return 0;
}

static int floor_is_wrong(const struct journal_file *file, const char *what, uint64_t pos, char *message,
                          size_t message_size)
{
    snprintf(message, message_size, "%s: damaged: %s %llu", file->path, what, (unsigned long long)pos);
    return ERROR_CORRUPT;
}

/* Nothing lies below the archived floor; from the logged one on no position is missing, which is checked for
   the first and for the newest of those that are in the index. */
static int check_floors(struct journal_file *file, uint64_t first, char *message, size_t message_size)
{
    uint64_t from = file->logged_floor, rows = 0;
    char sql[128];
    int result;

    if (file->archived_floor > file->logged_floor || file->logged_floor > file->indexed)
        return floor_is_wrong(file, "what is removed reaches beyond what is indexed, position", file->indexed,
                              message, message_size);
    if (first && first <= file->archived_floor)
        return floor_is_wrong(file, "there is a message at a position that was removed,", first, message,
                              message_size);
    if (file->indexed - from > ROWS_CHECKED_MAX)
        from = file->indexed - ROWS_CHECKED_MAX;
    snprintf(sql, sizeof sql, "SELECT count(*) FROM message WHERE pos > %llu AND pos <= %llu",
             (unsigned long long)from, (unsigned long long)file->indexed);
    result = journal_file_number(file, sql, &rows, message, message_size);
    if (!result && rows != file->indexed - from)
        result = floor_is_wrong(file, "a message is missing beyond position", from, message, message_size);
    if (!result && from > file->logged_floor) {
        snprintf(sql, sizeof sql, "SELECT count(*) FROM message WHERE pos = %llu",
                 (unsigned long long)file->logged_floor + 1);
        result = journal_file_number(file, sql, &rows, message, message_size);
        if (!result && rows == 0)
            result = floor_is_wrong(file, "a message is missing, at position", file->logged_floor + 1,
                                    message, message_size);
    }
    return result;
}

static int load_bounds(struct journal_file *file, char *message, size_t message_size)
{
    uint64_t first = 0, last = 0;
    int result =
        journal_file_number(file, "SELECT ifnull(max(pos), 0) FROM message", &last, message, message_size);

    if (!result)
        result = journal_file_number(file, "SELECT ifnull(min(pos), 0) FROM message", &first, message,
                                     message_size);
    if (result)
        return result;
    file->head = last > file->indexed ? last : file->indexed;
    return check_floors(file, first, message, message_size);
}

/*
 * Gives the -shm file its blocks now.  SQLite enlarges it in the middle of a commit, after the sync: on a
 * full disk that would leave a commit whose outcome is unknown, and end the program where refusing is enough.
 * When there is no room even now, nothing is lost yet.  The descriptor stays open, because closing it would
 * drop SQLite's own locks on that file.
 */
static void reserve_index(struct journal_file *file)
{
    char *path = beside(file, "-shm");

    file->index_fd = open(path, O_RDWR | O_CLOEXEC);
    free(path);
    if (file->index_fd >= 0)
        (void)posix_fallocate(file->index_fd, 0, INDEX_RESERVED_BYTES);
}

static int to_wal(struct journal_file *file, char *message, size_t message_size)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(file->db, "PRAGMA journal_mode = WAL", -1, &statement, NULL);
    int result = 0;

    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc != SQLITE_ROW) {
        result = journal_error_describe(file->db, file->path, "cannot use WAL", message, message_size);
    } else if (!bytes_equal_text(journal_column(statement, 0), "wal")) {
        snprintf(message, message_size, "%s: its file system cannot hold a WAL", file->path);
        result = ERROR_IO;
    }
    sqlite3_finalize(statement);
    return result;
}

int journal_file_open(struct journal_file *file, const char *path, char *message, size_t message_size)
{
    uint64_t pages = 0;
    unsigned version = 0;
    int result;

    /* SQLite's statistics of its memory cost a lock in every allocation.  Refused when it runs already: fine.
     */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    *file = (struct journal_file){.path = memory_text(path, strlen(path)), .lock_fd = -1, .index_fd = -1};
    result = take_lock(file, message, message_size);
    if (!result)
        result = journal_file_connect(path, WRITER_CACHE_KIB, &file->db, message, message_size);
    if (!result)
        result = journal_file_number(file, "PRAGMA page_count", &pages, message, message_size);
    if (!result && pages == 0)
        result = journal_schema_create(file, message, message_size);
    if (!result)
        result = journal_schema_check(file, &version, message, message_size);
    if (!result)
        result = to_wal(file, message, message_size);
    if (!result)
        result = check_pages(file, message, message_size);
    if (!result)
        result = journal_schema_upgrade(file, version, message, message_size);
    if (!result)
        result = load_meta(file, message, message_size);
    if (!result)
        result = load_bounds(file, message, message_size);
    if (result) {
        journal_file_close(file);
        return result;
    }
    reserve_index(file);
    return 0;
}

/* Opens for reading alone.  Without a WAL nobody writes there, and SQLite shall not leave the files of one. */
static int connect_to_look(struct journal_file *file, char *message, size_t message_size)
{
    char *wal = beside(file, "-wal");
    bool still = access(wal, F_OK) != 0;
    struct buffer uri = {0};
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI;
    int result = 0;

    buffer_append_literal(&uri, "file:");
    for (const char *c = file->path; *c; c++)
        if (strchr("%?#", *c))
            buffer_printf(&uri, "%%%02x", (unsigned char)*c);
        else
            buffer_append_char(&uri, *c);
    buffer_printf(&uri, "%s%c", still ? "?immutable=1" : "", '\0');
    if (sqlite3_open_v2(uri.data, &file->db, flags, NULL) ||
        sqlite3_busy_timeout(file->db, BUSY_TIMEOUT_MS) ||
        sqlite3_exec(file->db, "PRAGMA trusted_schema = OFF; BEGIN", NULL, NULL, NULL))
        result = journal_error_describe(file->db, file->path, "cannot be opened", message, message_size);
    buffer_done(&uri);
    free(wal);
    return result;
}

int journal_file_look(const char *path, char *message, size_t message_size)
{
    struct journal_file file = {.path = memory_text(path, strlen(path)), .lock_fd = -1, .index_fd = -1};
    struct stat status;
    unsigned version;
    int result = 0;

    if (stat(path, &status) == 0 ? status.st_size == 0 : errno == ENOENT)
        result = ERROR_NOT_FOUND;
    if (!result)
        result = connect_to_look(&file, message, message_size);
    if (!result)
        result = journal_schema_check(&file, &version, message, message_size);
    if (!result)
        result = check_pages(&file, message, message_size);
    journal_file_close(&file);
    return result;
}

void journal_file_close(struct journal_file *file)
{
    int rc = sqlite3_close(file->db);

    assert(rc == SQLITE_OK);
    if (file->index_fd >= 0)
        close(file->index_fd);
    if (file->lock_fd >= 0)
        close(file->lock_fd);
    free(file->path);
    *file = (struct journal_file){.lock_fd = -1, .index_fd = -1};
}
