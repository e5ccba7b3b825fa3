/*
 * Which ids of clients were seen; see journal_dedup.h.  It owns table dedup; the store asks and adds, the
 * index has it written.  Its one surprising rule: an id is known by 128 bits of a hash under the file's own
 * secret keys, and nothing compares the text: two ids that collide cannot be found, let alone by chance.
 *
 * Rows lie by the day of their message (the bucket), so that expired ones go in runs of neighbours, and a
 * look-up asks the last two days.  Brief ids have no rows: the messages themselves bring them back at a
 * start.
 */
#include "router/journal_dedup.h"

#include "common/hash.h"
#include "common/memory.h"

#include <stdlib.h>

enum { EXPIRED_AT_ONCE = 1024 };

static const uint64_t window_ms = (uint64_t)JOURNAL_DEDUP_HOURS * 3600 * 1000;

static struct bytes id_key(const void *entry)
{
    const struct journal_dedup_id *id = entry;

    return bytes_make(id->key, sizeof id->key);
}

static uint64_t bucket_of(uint64_t at)
{
    return at / window_ms;
}

int journal_dedup_init(struct journal_dedup *dedup, sqlite3 *db, const uint64_t hash_keys[4])
{
    sqlite3_stmt *bounds = NULL;
    int result;

    *dedup = (struct journal_dedup){.hash_keys = hash_keys};
    table_init(&dedup->table, id_key);
    result =
        journal_prepare(db, "SELECT pos, seq, at FROM dedup WHERE bucket = ?1 AND id = ?2", &dedup->find);
    if (!result)
        result =
            journal_prepare(db, "INSERT OR REPLACE INTO dedup VALUES (?1, ?2, ?3, ?4, ?5)", &dedup->insert);
    if (!result)
        result = journal_prepare(db,
                                 "DELETE FROM dedup WHERE (bucket, id) IN "
                                 "(SELECT bucket, id FROM dedup WHERE bucket <= ?1 ORDER BY bucket, id "
                                 "LIMIT ?2)",
                                 &dedup->expire);
    if (!result)
        result = journal_prepare(
            db, "SELECT (SELECT min(bucket) FROM dedup), (SELECT max(bucket) FROM dedup)", &bounds);
    if (!result) {
        if (sqlite3_step(bounds) == SQLITE_ROW) {
            dedup->stored = sqlite3_column_type(bounds, 0) != SQLITE_NULL;
            dedup->oldest = (uint64_t)sqlite3_column_int64(bounds, 0);
            dedup->newest = (uint64_t)sqlite3_column_int64(bounds, 1);
        } else {
            result = journal_error(db);
        }
    }
    sqlite3_finalize(bounds);
    return result;
}

void journal_dedup_done(struct journal_dedup *dedup)
{
    for (size_t i = 0; i < dedup->count; i++)
        free(dedup->ids[i]);
    free(dedup->ids);
    while (dedup->brief_count)
        free(dedup->brief[(dedup->brief_first + --dedup->brief_count) % JOURNAL_BRIEF_MAX]);
    free(dedup->brief);
    table_done(&dedup->table);
    buffer_done(&dedup->text);
    sqlite3_finalize(dedup->find);
    sqlite3_finalize(dedup->insert);
    sqlite3_finalize(dedup->expire);
    *dedup = (struct journal_dedup){0};
}

static void append_part(struct buffer *text, struct bytes part)
{
    uint32_t length = (uint32_t)part.length;

    buffer_append(text, &length, sizeof length);
    buffer_append_bytes(text, part);
}

static void make_key(struct journal_dedup *dedup, struct bytes namespace, struct bytes scope, struct bytes id,
                     char key[JOURNAL_DEDUP_KEY_LENGTH])
{
    uint64_t halves[2];

    buffer_clear(&dedup->text);
    append_part(&dedup->text, namespace);
    append_part(&dedup->text, scope);
    append_part(&dedup->text, id);
    for (int i = 0; i < 2; i++)
        halves[i] = hash_bytes_keyed(buffer_bytes(&dedup->text), dedup->hash_keys[2 * i],
                                     dedup->hash_keys[2 * i + 1]);
    memcpy(key, halves, sizeof halves);
}

static bool is_brief(struct bytes scope)
{
    return scope.length && scope.data[0] == JOURNAL_BRIEF;
}

static bool counts(const struct journal_first *first, uint64_t now)
{
    return first->at + window_ms > now;
}

static int find_stored(struct journal_dedup *dedup, uint64_t bucket, const char *key, uint64_t now,
                       struct journal_first *first)
{
    sqlite3_stmt *statement = dedup->find;
    struct journal_first found;
    int rc, result = 0;

    sqlite3_bind_int64(statement, 1, (sqlite3_int64)bucket);
    journal_bind_blob(statement, 2, bytes_make(key, JOURNAL_DEDUP_KEY_LENGTH));
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        found = (struct journal_first){(uint64_t)sqlite3_column_int64(statement, 0),
                                       (uint64_t)sqlite3_column_int64(statement, 1),
                                       (uint64_t)sqlite3_column_int64(statement, 2)};
        if (counts(&found, now)) {
            *first = found;
            result = ERROR_EXISTS;
        }
    } else if (rc != SQLITE_DONE) {
        result = journal_error(sqlite3_db_handle(statement));
    }
    sqlite3_reset(statement);
    return result;
}

int journal_dedup_find(struct journal_dedup *dedup, struct bytes namespace, struct bytes scope,
                       struct bytes id, uint64_t now, char key[JOURNAL_DEDUP_KEY_LENGTH],
                       struct journal_first *first)
{
    uint64_t today = bucket_of(now);
    struct journal_dedup_id *known;
    int result = 0;

    make_key(dedup, namespace, scope, id, key);
    known = table_find(&dedup->table, bytes_make(key, JOURNAL_DEDUP_KEY_LENGTH));
    if (known) {
        /* However the clock jumped: it came a moment ago. */
        *first = known->first;
        return ERROR_EXISTS;
    }
    if (!dedup->stored || is_brief(scope))
        return 0;
    /* Tomorrow as well: the clock may have been set back. */
    for (uint64_t bucket = today + 1; bucket + 1 >= today && bucket >= dedup->oldest && !result; bucket--) {
        if (bucket <= dedup->newest)
            result = find_stored(dedup, bucket, key, now, first);
        if (bucket == 0)
            break;
    }
    return result;
}

static void forget(struct journal_dedup *dedup, struct journal_dedup_id *id)
{
    table_remove(&dedup->table, id);
    free(id);
}

static struct journal_dedup_id **brief_at(struct journal_dedup *dedup, size_t index)
{
    return &dedup->brief[(dedup->brief_first + index) % JOURNAL_BRIEF_MAX];
}

static void add_brief(struct journal_dedup *dedup, struct journal_dedup_id *id)
{
    if (!dedup->brief)
        dedup->brief = memory_new(JOURNAL_BRIEF_MAX * sizeof *dedup->brief);
    if (dedup->brief_count == JOURNAL_BRIEF_MAX) {
        forget(dedup, *brief_at(dedup, 0));
        dedup->brief_first = (dedup->brief_first + 1) % JOURNAL_BRIEF_MAX;
        dedup->brief_count--;
    }
    *brief_at(dedup, dedup->brief_count++) = id;
    if (dedup->brief_added < JOURNAL_BRIEF_MAX)
        dedup->brief_added++;
}

void journal_dedup_add(struct journal_dedup *dedup, struct bytes scope,
                       const char key[JOURNAL_DEDUP_KEY_LENGTH], const struct journal_first *first)
{
    struct journal_dedup_id *id = memory_new(sizeof *id);

    memcpy(id->key, key, sizeof id->key);
    id->first = *first;
    if (is_brief(scope)) {
        add_brief(dedup, id);
        table_insert(&dedup->table, id);
        return;
    }
    if (dedup->count == dedup->capacity) {
        dedup->capacity = dedup->capacity ? dedup->capacity * 2 : 64;
        dedup->ids = memory_resize(dedup->ids, dedup->capacity * sizeof *dedup->ids);
    }
    dedup->ids[dedup->count++] = id;
    table_insert(&dedup->table, id);
}

void journal_dedup_keep(struct journal_dedup *dedup)
{
    dedup->kept = dedup->count;
    dedup->brief_added = 0;
}

static void forget_down_to(struct journal_dedup *dedup, size_t count)
{
    while (dedup->count > count)
        forget(dedup, dedup->ids[--dedup->count]);
}

void journal_dedup_undo(struct journal_dedup *dedup)
{
    forget_down_to(dedup, dedup->kept);
    for (; dedup->brief_added; dedup->brief_added--)
        forget(dedup, *brief_at(dedup, --dedup->brief_count));
}

int journal_dedup_load(struct journal_dedup *dedup, sqlite3 *db, uint64_t pos)
{
    sqlite3_stmt *rows = NULL;
    uint64_t from = pos > JOURNAL_BRIEF_MAX ? pos - JOURNAL_BRIEF_MAX : 0;
    int rc = SQLITE_DONE;
    int result =
        journal_prepare(db,
                        "SELECT pos, namespace, seq, at, publish_id, dedup_scope FROM message "
                        "WHERE pos > ?1 AND pos <= ?2 AND dedup_scope >= '~' AND dedup_scope < '\x7f' "
                        "ORDER BY pos",
                        &rows);

    if (!result) {
        sqlite3_bind_int64(rows, 1, (sqlite3_int64)from);
        sqlite3_bind_int64(rows, 2, (sqlite3_int64)pos);
        while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
            struct journal_first first = {(uint64_t)sqlite3_column_int64(rows, 0),
                                          (uint64_t)sqlite3_column_int64(rows, 2),
                                          (uint64_t)sqlite3_column_int64(rows, 3)};
            struct bytes scope = journal_column(rows, 5);
            char key[JOURNAL_DEDUP_KEY_LENGTH];

            make_key(dedup, journal_column(rows, 1), scope, journal_column(rows, 4), key);
            if (!table_find(&dedup->table, bytes_make(key, sizeof key)))
                journal_dedup_add(dedup, scope, key, &first);
        }
    }
    if (!result && rc != SQLITE_DONE)
        result = journal_error(db);
    sqlite3_finalize(rows);
    journal_dedup_keep(dedup);
    return result;
}

static int by_key(const void *a, const void *b)
{
    const struct journal_dedup_id *const *first = a, *const *second = b;

    return memcmp((*first)->key, (*second)->key, sizeof(*first)->key);
}

bool journal_dedup_expired(const struct journal_dedup *dedup, uint64_t now)
{
    uint64_t today = bucket_of(now);

    return dedup->stored && today >= 2 && dedup->oldest <= today - 2;
}

int journal_dedup_expire(struct journal_dedup *dedup, uint64_t now)
{
    uint64_t today = bucket_of(now);
    int result;

    dedup->cleared = 0;
    if (!journal_dedup_expired(dedup, now))
        return 0;
    sqlite3_bind_int64(dedup->expire, 1, (sqlite3_int64)(today - 2));
    sqlite3_bind_int64(dedup->expire, 2, EXPIRED_AT_ONCE);
    result = journal_step(dedup->expire);
    if (!result && sqlite3_changes(sqlite3_db_handle(dedup->expire)) < EXPIRED_AT_ONCE)
        dedup->cleared = today - 1;
    return result;
}

void journal_dedup_removed(struct journal_dedup *dedup)
{
    if (dedup->cleared)
        dedup->oldest = dedup->cleared;
    dedup->cleared = 0;
}

int journal_dedup_write(struct journal_dedup *dedup, uint64_t now)
{
    int result = 0;

    /* Neighbours in the table one after the other: each of its pages is visited once. */
    if (dedup->count)
        qsort(dedup->ids, dedup->count, sizeof(struct journal_dedup_id *), by_key);
    for (size_t i = 0; i < dedup->count && !result; i++) {
        const struct journal_dedup_id *id = dedup->ids[i];

        sqlite3_bind_int64(dedup->insert, 1, (sqlite3_int64)bucket_of(id->first.at));
        journal_bind_blob(dedup->insert, 2, bytes_make(id->key, sizeof id->key));
        sqlite3_bind_int64(dedup->insert, 3, (sqlite3_int64)id->first.pos);
        sqlite3_bind_int64(dedup->insert, 4, (sqlite3_int64)id->first.seq);
        sqlite3_bind_int64(dedup->insert, 5, (sqlite3_int64)id->first.at);
        result = journal_step(dedup->insert);
    }
    return result ? result : journal_dedup_expire(dedup, now);
}

void journal_dedup_written(struct journal_dedup *dedup)
{
    journal_dedup_removed(dedup);
    for (size_t i = 0; i < dedup->count; i++) {
        uint64_t bucket = bucket_of(dedup->ids[i]->first.at);

        if (!dedup->stored || bucket < dedup->oldest)
            dedup->oldest = bucket;
        if (!dedup->stored || bucket > dedup->newest)
            dedup->newest = bucket;
        dedup->stored = true;
    }
    forget_down_to(dedup, 0);
    dedup->kept = 0;
}
