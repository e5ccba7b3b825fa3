/*
 * Numbers for a new journal; see journal_seed.h.  It owns the file while it is open here; archive_seed.c
 * calls it before the journal is opened.  Its one surprising rule: a room that is seeded looks like one whose
 * messages were all removed, and meta's key seeded tells that it needs no second time.
 */
#include "router/journal_seed.h"

static int fail(struct journal_seed *seed, char *message, size_t message_size)
{
    int result = journal_error_describe(seed->file.db, seed->file.path,
                                        "the archive's numbers could not be written", message, message_size);

    journal_seed_abandon(seed);
    return result;
}

int journal_seed_begin(struct journal_seed *seed, const char *path, char *message, size_t message_size)
{
    static const char insert[] =
        "INSERT INTO room(namespace, name, last_seq, last_at, recent, removed_seq, removed_pos) "
        "VALUES (?1, ?2, ?3, ?4, x'', ?3, 0) "
        "ON CONFLICT (namespace, name) DO UPDATE SET last_seq = max(last_seq, ?3), "
        "last_at = max(last_at, ?4), removed_seq = max(removed_seq, ?3)";
    uint64_t seeded = 0;
    int result;

    *seed = (struct journal_seed){0};
    result = journal_file_open(&seed->file, path, message, message_size);
    if (result)
        return result;
    result = journal_file_number(&seed->file, "SELECT count(*) FROM meta WHERE key = 'seeded'", &seeded,
                                 message, message_size);
    if (!result && (seeded || seed->file.head))
        result = ERROR_EXISTS;
    if (result) {
        journal_seed_abandon(seed);
        return result;
    }
    if (journal_prepare(seed->file.db, insert, &seed->insert) ||
        sqlite3_exec(seed->file.db, "BEGIN IMMEDIATE", NULL, NULL, NULL))
        return fail(seed, message, message_size);
    return 0;
}

int journal_seed_room(struct journal_seed *seed, struct bytes namespace, struct bytes room, uint64_t seq,
                      uint64_t at)
{
    journal_bind_text(seed->insert, 1, namespace);
    journal_bind_text(seed->insert, 2, room);
    sqlite3_bind_int64(seed->insert, 3, (sqlite3_int64)seq);
    sqlite3_bind_int64(seed->insert, 4, (sqlite3_int64)at);
    return journal_step(seed->insert);
}

int journal_seed_restart(struct journal_seed *seed)
{
    return sqlite3_exec(seed->file.db, "ROLLBACK; BEGIN IMMEDIATE", NULL, NULL, NULL)
               ? journal_error(seed->file.db)
               : 0;
}

int journal_seed_end(struct journal_seed *seed, char *message, size_t message_size)
{
    if (sqlite3_exec(seed->file.db, "INSERT INTO meta VALUES ('seeded', 1); COMMIT", NULL, NULL, NULL))
        return fail(seed, message, message_size);
    journal_seed_abandon(seed);
    return 0;
}

void journal_seed_abandon(struct journal_seed *seed)
{
    sqlite3_finalize(seed->insert);
    journal_file_close(&seed->file);
    *seed = (struct journal_seed){0};
}
