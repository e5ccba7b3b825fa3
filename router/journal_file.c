/*
 * The journal's file on disk: lock, schema, checks, connections.  It owns what the file looks like; journal.c
 * opens and closes it, the store, the index and the reader use its helpers.  Its one surprising rule: a new
 * file is made whole in a transaction of the old rollback kind and turned to WAL only then, so a crash leaves
 * either an empty file or a complete one, and one header says whose it is.
 *
 * message   the log itself, in pos order; only sessions are written with it.
 * room      a room's counters and, in recent, the run (journal_run.h) of its newest archived messages.
 * segment   older archived messages of a room, one run a row.
 * dedup     ids of clients that count once, by the day (bucket) of their message; id is a keyed hash.
 * session   who may come back, and in session_room their rooms: written with the commits, as messages are.
 * meta      epoch; dedup_keys, the keys of those hashes; indexed, the position up to which room, segment and
 *           dedup hold what message says.  Beyond it they are brought up to date from message alone, which
 *           is why a row keeps its dedup_scope.  Rows at or below it may be removed, never ones beyond it.
 */
#include "router/journal_file.h"

#include "common/buffer.h"
#include "common/memory.h"
#include "common/random.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    APPLICATION_ID = 0x48756262, /* "Hubb" */
    SCHEMA_VERSION = 2,
    WRITER_CACHE_KIB = 2048,
    BUSY_TIMEOUT_MS = 5000,           /* somebody writes to the file by hand */
    WHOLE_CHECK_BYTES_MAX = 64 << 20, /* a check of every page reads about 1 GB a second */
    INDEX_RESERVED_BYTES = 1 << 20,   /* of the -shm file: serves a WAL of 500 MB */
    WAL_KEPT_BYTES = 64 << 20,        /* what a longer WAL is cut back to when it starts over */
};

/* The texts must stay as SQLite stores them: they are compared at the start.  No NOT NULL and no CHECK: they
   would cost time on every row, and the one writer knows what it writes. */
static const struct {
    const char *name, *sql;
    unsigned since; /* that schema; 0: the first */
} tables[] = {
    {"message", "CREATE TABLE message(pos INTEGER PRIMARY KEY, namespace TEXT, room TEXT, seq INTEGER,"
                " class INTEGER, deliver INTEGER, meta INTEGER, at INTEGER, publish_id TEXT, event TEXT,"
                " sender_sid TEXT, sender_name TEXT, dedup_scope TEXT, attachments BLOB, arguments TEXT)"},
    {"room", "CREATE TABLE room(room_id INTEGER PRIMARY KEY, namespace TEXT, name TEXT, last_seq INTEGER,"
             " last_at INTEGER, recent BLOB, UNIQUE(namespace, name))"},
    {"segment", "CREATE TABLE segment(room_id INTEGER, first_seq INTEGER, last_seq INTEGER, positions BLOB,"
                " PRIMARY KEY(room_id, first_seq)) WITHOUT ROWID"},
    {"dedup", "CREATE TABLE dedup(bucket INTEGER, id BLOB, pos INTEGER, seq INTEGER, at INTEGER,"
              " PRIMARY KEY(bucket, id)) WITHOUT ROWID"},
    {"session",
     "CREATE TABLE session(id INTEGER PRIMARY KEY, sid TEXT, secret TEXT, namespace TEXT, sender TEXT,"
     " generation INTEGER, connected_pos INTEGER)",
     2},
    {"session_room",
     "CREATE TABLE session_room(session INTEGER, room TEXT, joined_pos INTEGER, watch INTEGER,"
     " PRIMARY KEY(session, room)) WITHOUT ROWID",
     2},
    {"meta", "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID"},
};

enum { TABLES = sizeof tables / sizeof *tables };

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

    if (error == ERROR_FOREIGN)
        snprintf(message, message_size, "%s: not a Hubbub journal: no SQLite file at all", path);
    else
        snprintf(message, message_size, "%s: %s%s: %s (SQLite result %d)", path,
                 error == ERROR_CORRUPT ? "damaged: " : "", what, sqlite3_errmsg(db),
                 sqlite3_extended_errcode(db));
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
    };
}

uint64_t journal_message_bytes(const struct journal_message *message)
{
    return message->namespace.length + message->room.length + message->publish_id.length +
           message->event.length + message->arguments.length + message->attachments.length +
           message->sender_sid.length + message->sender_name.length;
}

static int execute(struct journal_file *file, const char *sql, const char *what, char *message,
                   size_t message_size)
{
    if (sqlite3_exec(file->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    return journal_error_describe(file->db, file->path, what, message, message_size);
}

/* One number from a statement without parameters. */
static int query_number(struct journal_file *file, const char *sql, uint64_t *out, char *message,
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

static int insert_meta(struct journal_file *file)
{
    sqlite3_stmt *statement = NULL;
    int result = journal_prepare(file->db,
                                 "INSERT INTO meta VALUES ('epoch', ?1), ('dedup_keys', ?2), "
                                 "('indexed', 0)",
                                 &statement);

    if (!result) {
        random_id(file->epoch, JOURNAL_EPOCH_LENGTH);
        random_bytes(file->dedup_keys, sizeof file->dedup_keys);
        journal_bind_text(statement, 1, bytes_make(file->epoch, JOURNAL_EPOCH_LENGTH));
        journal_bind_blob(statement, 2, bytes_make((const char *)file->dedup_keys, sizeof file->dedup_keys));
        result = journal_step(statement);
    }
    sqlite3_finalize(statement);
    return result;
}

static int create(struct journal_file *file, char *message, size_t message_size)
{
    static const char what[] = "cannot be made";
    char header[128];
    int result;

    snprintf(header, sizeof header, "BEGIN EXCLUSIVE; PRAGMA application_id = %d; PRAGMA user_version = %d",
             APPLICATION_ID, SCHEMA_VERSION);
    result = execute(file, header, what, message, message_size);
    for (int i = 0; i < TABLES && !result; i++)
        result = execute(file, tables[i].sql, what, message, message_size);
    if (!result && insert_meta(file))
        result = journal_error_describe(file->db, file->path, what, message, message_size);
    if (!result)
        result = execute(file, "COMMIT", what, message, message_size);
    return result;
}

/* Adds what a file of an older schema lacks: tables, so that what it has stays as it is. */
static int upgrade(struct journal_file *file, unsigned version, char *message, size_t message_size)
{
    static const char what[] = "cannot be upgraded";
    char header[64];
    int result = execute(file, "BEGIN EXCLUSIVE", what, message, message_size);

    for (int i = 0; i < TABLES && !result; i++)
        if (tables[i].since > version)
            result = execute(file, tables[i].sql, what, message, message_size);
    snprintf(header, sizeof header, "PRAGMA user_version = %d; COMMIT", SCHEMA_VERSION);
    return result ? result : execute(file, header, what, message, message_size);
}

/* Whose file it is, by the header. */
static int identify(struct journal_file *file, char *message, size_t message_size)
{
    uint64_t application = 0, version = 0;
    int result = query_number(file, "PRAGMA application_id", &application, message, message_size);

    if (!result)
        result = query_number(file, "PRAGMA user_version", &version, message, message_size);
    if (result)
        return result;
    if ((uint32_t)application != APPLICATION_ID) {
        snprintf(message, message_size,
                 "%s: not a Hubbub journal: an SQLite file with application id 0x%08x, not 0x%08x",
                 file->path, (unsigned)application, (unsigned)APPLICATION_ID);
        return ERROR_FOREIGN;
    }
    if (version < SCHEMA_VERSION)
        return upgrade(file, (unsigned)version, message, message_size);
    if (version != SCHEMA_VERSION) {
        snprintf(message, message_size, "%s: a Hubbub journal of schema %llu; this program knows schema %d",
                 file->path, (unsigned long long)version, SCHEMA_VERSION);
        return ERROR_FOREIGN;
    }
    return 0;
}

static int check_schema(struct journal_file *file, char *message, size_t message_size)
{
    sqlite3_stmt *statement = NULL;
    int result = journal_prepare(file->db, "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1",
                                 &statement);

    for (int i = 0; i < TABLES && !result; i++) {
        int rc;

        journal_bind_text(statement, 1, bytes_from_text(tables[i].name));
        rc = sqlite3_step(statement);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
            result = journal_error(file->db);
            break;
        }
        if (rc == SQLITE_DONE || !bytes_equal_text(journal_column(statement, 0), tables[i].sql)) {
            snprintf(message, message_size, "%s: damaged: table %s is %s", file->path, tables[i].name,
                     rc == SQLITE_DONE ? "missing" : "not the one that this program makes");
            sqlite3_finalize(statement);
            return ERROR_CORRUPT;
        }
        sqlite3_reset(statement);
    }
    if (result)
        journal_error_describe(file->db, file->path, "its schema cannot be read", message, message_size);
    sqlite3_finalize(statement);
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
        } else if (bytes_equal_text(key, "indexed")) {
            file->indexed = (uint64_t)sqlite3_column_int64(statement, 1);
            indexed = true;
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

static int load_bounds(struct journal_file *file, char *message, size_t message_size)
{
    uint64_t first = 0, last = 0;
    int result = query_number(file, "SELECT ifnull(max(pos), 0) FROM message", &last, message, message_size);

    if (!result)
        result = query_number(file, "SELECT ifnull(min(pos), 0) FROM message", &first, message, message_size);
    if (result)
        return result;
    file->head = last > file->indexed ? last : file->indexed;
    file->tail = last ? first : file->head + 1;
    return 0;
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
    int result;

    /* SQLite's statistics of its memory cost a lock in every allocation.  Refused when it runs already: fine.
     */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    *file = (struct journal_file){.path = memory_text(path, strlen(path)), .lock_fd = -1, .index_fd = -1};
    result = take_lock(file, message, message_size);
    if (!result)
        result = journal_file_connect(path, WRITER_CACHE_KIB, &file->db, message, message_size);
    if (!result)
        result = query_number(file, "PRAGMA page_count", &pages, message, message_size);
    if (!result && pages == 0)
        result = create(file, message, message_size);
    if (!result)
        result = identify(file, message, message_size);
    if (!result)
        result = check_schema(file, message, message_size);
    if (!result)
        result = to_wal(file, message, message_size);
    if (!result)
        result = check_pages(file, message, message_size);
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
