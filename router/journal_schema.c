/*
 * The tables of the journal's file; see journal_schema.h.  It owns their texts and versions; journal_file.c
 * calls it when a file is opened.  Its one surprising rule: SQLite keeps a table's text, also through ALTER
 * TABLE, and the start compares it; so the change that makes a table of version N must leave exactly the text
 * that stands here for N.  A test upgrades a file of each version.
 *
 * message   the log itself, in pos order; only sessions are written with it.  exceptions is journal.h's
 *           except, NULL for none (the shorter word is one of SQL's).
 * room      a room's counters and, in recent, the run (journal_run.h) of its newest archived messages.
 *           What was removed of them goes up to removed_seq and removed_pos; pairs at or below those mean
 *           nothing any more.  logged is the run of the newest messages of its second series, logged_removed
 *           the position up to which that one was cut.
 * segment   older messages of a series, one run a row: with the room's id those of the archived ones, by seq;
 *           with its negative those of the second series, whose pairs are (pos, pos).
 * dedup     ids of clients that count once, by the day (bucket) of their message; id is a keyed hash.
 * dead_letter   archived messages that MongoDB refused for good, whole, with its code and words.
 * session   who may come back, and in session_room their rooms: written with the commits, as messages are.
 * meta      epoch; dedup_keys, the keys of those hashes; indexed, the position up to which room, segment
 *           and dedup hold what message says; numbered, how many archived messages were ever written up to
 *           there.  Beyond it they are brought up to date from message alone, which is why a row keeps its
 *           dedup_scope; rows at or below it may be removed.  logged_floor and archived_floor, up to where
 *           logged and archived messages were, and removed, how many archived ones (journal_removal.h).
 *           logged_from, the position at or below which logged messages are in no series, because the file
 *           is older than these.  archived, up to where MongoDB has all archived messages; seeded, 1 when
 *           the rooms of an older archive were put in.  A number that is not there is 0.
 *
 * The second series of a room holds what no seq leads to: its logged messages.  That of the room "" holds
 * what goes to the whole namespace, that of a sid what goes to its socket alone, archived or not.  It is
 * there for recovery and is cut when its time is over.
 *
 * The space of what was removed goes to SQLite's list of free pages, and new messages take it from there; the
 * file never shrinks.  auto_vacuum would give it back, but keeps a map of all pages and moves some of them in
 * each commit; and whoever needed that space once will again.
 */
#include "router/journal_schema.h"

#include "common/random.h"

#include <stdio.h>

enum {
    APPLICATION_ID = 0x48756262, /* "Hubb" */
    SCHEMA_VERSION = 3,
    VERSION_SPAN_END = SCHEMA_VERSION + 1,
};

/* The texts must stay as SQLite stores them.  No NOT NULL and no CHECK: they would cost time on every row,
   and the one writer knows what it writes. */
static const struct table {
    const char *name, *sql;
    unsigned since, until; /* of these versions; until is exclusive */
    const char *change;    /* makes it from the table of that name before `since`; NULL: sql makes it */
} tables[] = {
    {"message",
     "CREATE TABLE message(pos INTEGER PRIMARY KEY, namespace TEXT, room TEXT, seq INTEGER,"
     " class INTEGER, deliver INTEGER, meta INTEGER, at INTEGER, publish_id TEXT, event TEXT,"
     " sender_sid TEXT, sender_name TEXT, dedup_scope TEXT, attachments BLOB, arguments TEXT)",
     1, 3, NULL},
    {"message",
     "CREATE TABLE message(pos INTEGER PRIMARY KEY, namespace TEXT, room TEXT, seq INTEGER,"
     " class INTEGER, deliver INTEGER, meta INTEGER, at INTEGER, publish_id TEXT, event TEXT,"
     " sender_sid TEXT, sender_name TEXT, dedup_scope TEXT, attachments BLOB, arguments TEXT, exceptions "
     "BLOB)",
     3, VERSION_SPAN_END, "ALTER TABLE message ADD COLUMN exceptions BLOB"},
    {"room",
     "CREATE TABLE room(room_id INTEGER PRIMARY KEY, namespace TEXT, name TEXT, last_seq INTEGER,"
     " last_at INTEGER, recent BLOB, UNIQUE(namespace, name))",
     1, 2, NULL},
    {"room",
     "CREATE TABLE room(room_id INTEGER PRIMARY KEY, namespace TEXT, name TEXT, last_seq INTEGER,"
     " last_at INTEGER, recent BLOB, removed_seq INTEGER, removed_pos INTEGER, logged BLOB,"
     " logged_removed INTEGER, UNIQUE(namespace, name))",
     2, VERSION_SPAN_END,
     "ALTER TABLE room ADD COLUMN removed_seq INTEGER;"
     "ALTER TABLE room ADD COLUMN removed_pos INTEGER;"
     "ALTER TABLE room ADD COLUMN logged BLOB;"
     "ALTER TABLE room ADD COLUMN logged_removed INTEGER"},
    {"segment",
     "CREATE TABLE segment(room_id INTEGER, first_seq INTEGER, last_seq INTEGER, positions BLOB,"
     " PRIMARY KEY(room_id, first_seq)) WITHOUT ROWID",
     1, VERSION_SPAN_END, NULL},
    {"dedup",
     "CREATE TABLE dedup(bucket INTEGER, id BLOB, pos INTEGER, seq INTEGER, at INTEGER,"
     " PRIMARY KEY(bucket, id)) WITHOUT ROWID",
     1, VERSION_SPAN_END, NULL},
    {"dead_letter",
     "CREATE TABLE dead_letter(pos INTEGER PRIMARY KEY, namespace TEXT, room TEXT, seq INTEGER,"
     " deliver INTEGER, meta INTEGER, at INTEGER, publish_id TEXT, event TEXT, sender_sid TEXT,"
     " sender_name TEXT, attachments BLOB, arguments TEXT, refused_at INTEGER, code INTEGER, error TEXT)",
     2, 3, NULL},
    {"dead_letter",
     "CREATE TABLE dead_letter(pos INTEGER PRIMARY KEY, namespace TEXT, room TEXT, seq INTEGER,"
     " deliver INTEGER, meta INTEGER, at INTEGER, publish_id TEXT, event TEXT, sender_sid TEXT,"
     " sender_name TEXT, attachments BLOB, arguments TEXT, refused_at INTEGER, code INTEGER, error TEXT,"
     " exceptions BLOB)",
     3, VERSION_SPAN_END, "ALTER TABLE dead_letter ADD COLUMN exceptions BLOB"},
    {"session",
     "CREATE TABLE session(id INTEGER PRIMARY KEY, sid TEXT, secret TEXT, namespace TEXT, sender TEXT,"
     " generation INTEGER, connected_pos INTEGER)",
     2, 3, NULL},
    {"session",
     "CREATE TABLE session(id INTEGER PRIMARY KEY, sid TEXT, secret TEXT, namespace TEXT, sender TEXT,"
     " generation INTEGER, connected_pos INTEGER, data TEXT)",
     3, VERSION_SPAN_END, "ALTER TABLE session ADD COLUMN data TEXT"},
    {"session_room",
     "CREATE TABLE session_room(session INTEGER, room TEXT, joined_pos INTEGER, watch INTEGER,"
     " PRIMARY KEY(session, room)) WITHOUT ROWID",
     2, VERSION_SPAN_END, NULL},
    {"meta", "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID", 1, VERSION_SPAN_END, NULL},
};

enum { TABLES = sizeof tables / sizeof *tables };

/* What else a file of the version before needs, after its tables. */
static const char *const changes[VERSION_SPAN_END] = {
    [2] = "INSERT INTO meta SELECT 'logged_from', value FROM meta WHERE key = 'indexed';"
          "INSERT INTO meta SELECT 'numbered', ifnull(sum(last_seq), 0) FROM room",
    [3] = "", /* they begin without exceptions and data */
};

static bool of_version(const struct table *table, unsigned version)
{
    return version >= table->since && version < table->until;
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

int journal_schema_create(struct journal_file *file, char *message, size_t message_size)
{
    static const char what[] = "cannot be made";
    char header[128];
    int result;

    snprintf(header, sizeof header, "BEGIN EXCLUSIVE; PRAGMA application_id = %d; PRAGMA user_version = %d",
             APPLICATION_ID, SCHEMA_VERSION);
    result = journal_file_execute(file, header, what, message, message_size);
    for (int i = 0; i < TABLES && !result; i++)
        if (of_version(&tables[i], SCHEMA_VERSION))
            result = journal_file_execute(file, tables[i].sql, what, message, message_size);
    if (!result && insert_meta(file))
        result = journal_error_describe(file->db, file->path, what, message, message_size);
    if (!result)
        result = journal_file_execute(file, "COMMIT", what, message, message_size);
    return result;
}

static int identify(struct journal_file *file, unsigned *out, char *message, size_t message_size)
{
    uint64_t application = 0, version = 0;
    int result = journal_file_number(file, "PRAGMA application_id", &application, message, message_size);

    if (!result)
        result = journal_file_number(file, "PRAGMA user_version", &version, message, message_size);
    if (result)
        return result;
    if ((uint32_t)application != APPLICATION_ID) {
        snprintf(message, message_size,
                 "%s: not a Hubbub journal: an SQLite file with application id 0x%08x, not 0x%08x",
                 file->path, (unsigned)application, (unsigned)APPLICATION_ID);
        return ERROR_FOREIGN;
    }
    if (version < 1 || version > SCHEMA_VERSION) {
        snprintf(message, message_size, "%s: a Hubbub journal of schema %llu; this program knows schema %d",
                 file->path, (unsigned long long)version, SCHEMA_VERSION);
        return ERROR_FOREIGN;
    }
    *out = (unsigned)version;
    return 0;
}

static int check_tables(struct journal_file *file, unsigned version, char *message, size_t message_size)
{
    sqlite3_stmt *statement = NULL;
    int result = journal_prepare(file->db, "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1",
                                 &statement);

    for (int i = 0; i < TABLES && !result; i++) {
        int rc;

        if (!of_version(&tables[i], version))
            continue;
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

int journal_schema_check(struct journal_file *file, unsigned *version, char *message, size_t message_size)
{
    unsigned found;
    int result = identify(file, &found, message, message_size);

    if (!result)
        result = check_tables(file, found, message, message_size);
    if (!result)
        *version = found;
    return result;
}

/* From the version before to this one. */
static int upgrade_to(struct journal_file *file, unsigned version, char *message, size_t message_size)
{
    static const char what[] = "cannot be brought up to date";
    int result = 0;

    for (int i = 0; i < TABLES && !result; i++)
        if (tables[i].since == version)
            result = journal_file_execute(file, tables[i].change ? tables[i].change : tables[i].sql, what,
                                          message, message_size);
    if (!result)
        result = journal_file_execute(file, changes[version], what, message, message_size);
    return result;
}

int journal_schema_upgrade(struct journal_file *file, unsigned version, char *message, size_t message_size)
{
    static const char what[] = "cannot be brought up to date";
    char header[64];
    int result;

    if (version == SCHEMA_VERSION)
        return 0;
    snprintf(header, sizeof header, "BEGIN IMMEDIATE; PRAGMA user_version = %d", SCHEMA_VERSION);
    result = journal_file_execute(file, header, what, message, message_size);
    while (!result && version < SCHEMA_VERSION)
        result = upgrade_to(file, ++version, message, message_size);
    if (!result)
        result = check_tables(file, SCHEMA_VERSION, message, message_size);
    if (!result)
        result = journal_file_execute(file, "COMMIT", what, message, message_size);
    return result;
}
