/*
 * The archive's progress in the journal's file; see journal_progress.h.  It owns meta's key archived and
 * table dead_letter; journal.c calls it.  Its one surprising rule: a letter is copied from its row by SQLite,
 * within the transaction that lets the position pass it, so the row may leave the journal after that and not
 * before.
 */
#include "router/journal_progress.h"

#include "common/clock.h"
#include "common/memory.h"

#include <stdlib.h>

enum { LETTERS_MAX = 1024 }; /* not in the file yet */

struct journal_buried {
    struct journal_buried *next;
    uint64_t pos;
    int code;
    char error[JOURNAL_LETTER_ERROR_MAX + 1];
};

static int query_number(struct journal_file *file, const char *sql, uint64_t *out)
{
    sqlite3_stmt *statement = NULL;
    int result = journal_prepare(file->db, sql, &statement);

    if (!result) {
        if (sqlite3_step(statement) == SQLITE_ROW)
            *out = (uint64_t)sqlite3_column_int64(statement, 0);
        else
            result = journal_error(file->db);
    }
    sqlite3_finalize(statement);
    return result;
}

int journal_progress_init(struct journal_progress *progress, struct journal_file *file, char *message,
                          size_t message_size)
{
    static const char bury[] =
        "INSERT OR IGNORE INTO dead_letter SELECT pos, namespace, room, seq, deliver, meta, at, publish_id, "
        "event, sender_sid, sender_name, attachments, arguments, ?2, ?3, ?4, exceptions FROM message "
        "WHERE pos = ?1";
    int result;

    *progress = (struct journal_progress){0};
    pthread_mutex_init(&progress->mutex, NULL);
    result = query_number(file, "SELECT ifnull((SELECT value FROM meta WHERE key = 'archived'), 0)",
                          &progress->written);
    if (!result)
        result = query_number(file, "SELECT count(*) FROM dead_letter", &progress->dead_letters);
    if (!result)
        result = journal_prepare(file->db, "INSERT OR REPLACE INTO meta VALUES ('archived', ?1)",
                                 &progress->write);
    if (!result)
        result = journal_prepare(file->db, bury, &progress->bury);
    progress->wanted = progress->written;
    if (result)
        return journal_error_describe(file->db, file->path, "cannot be read", message, message_size);
    return 0;
}

static void free_letters(struct journal_buried *letters)
{
    while (letters) {
        struct journal_buried *next = letters->next;

        free(letters);
        letters = next;
    }
}

void journal_progress_done(struct journal_progress *progress)
{
    free_letters(progress->letters);
    sqlite3_finalize(progress->write);
    sqlite3_finalize(progress->bury);
    pthread_mutex_destroy(&progress->mutex);
    *progress = (struct journal_progress){0};
}

static struct journal_buried *buried_new(const struct journal_letter *letter)
{
    struct journal_buried *buried = memory_zero(1, sizeof *buried);
    size_t length = strnlen(letter->error, JOURNAL_LETTER_ERROR_MAX);

    buried->pos = letter->pos;
    buried->code = letter->code;
    memcpy(buried->error, letter->error, length);
    return buried;
}

int journal_progress_note(struct journal_progress *progress, uint64_t pos,
                          const struct journal_letter *letters, size_t count)
{
    int result = 0;

    pthread_mutex_lock(&progress->mutex);
    if (count && progress->letter_count >= LETTERS_MAX) {
        result = ERROR_BUSY;
    } else {
        for (size_t i = 0; i < count; i++) {
            struct journal_buried *buried = buried_new(&letters[i]);

            buried->next = progress->letters;
            progress->letters = buried;
        }
        progress->letter_count += count;
        progress->wanted = pos;
    }
    pthread_mutex_unlock(&progress->mutex);
    return result;
}

bool journal_progress_pending(struct journal_progress *progress)
{
    bool pending;

    pthread_mutex_lock(&progress->mutex);
    pending = progress->wanted != progress->written || progress->letters;
    pthread_mutex_unlock(&progress->mutex);
    return pending;
}

uint64_t journal_progress_position(struct journal_progress *progress)
{
    uint64_t position;

    pthread_mutex_lock(&progress->mutex);
    position = progress->written;
    pthread_mutex_unlock(&progress->mutex);
    return position;
}

uint64_t journal_progress_dead_letters(struct journal_progress *progress)
{
    uint64_t count;

    pthread_mutex_lock(&progress->mutex);
    count = progress->dead_letters;
    pthread_mutex_unlock(&progress->mutex);
    return count;
}

static int bury(struct journal_progress *progress, const struct journal_buried *letter, uint64_t now)
{
    sqlite3_bind_int64(progress->bury, 1, (sqlite3_int64)letter->pos);
    sqlite3_bind_int64(progress->bury, 2, (sqlite3_int64)now);
    sqlite3_bind_int(progress->bury, 3, letter->code);
    journal_bind_text(progress->bury, 4, bytes_from_text(letter->error));
    return journal_step(progress->bury);
}

static int write_all(struct journal_progress *progress, struct journal_store *store,
                     const struct journal_buried *letters, uint64_t pos, uint64_t *buried)
{
    uint64_t now = clock_wall_ms();
    int result = journal_store_begin(store);

    for (const struct journal_buried *letter = letters; letter && !result; letter = letter->next) {
        result = bury(progress, letter, now);
        *buried += result ? 0 : (uint64_t)sqlite3_changes(store->file->db);
    }
    if (!result) {
        sqlite3_bind_int64(progress->write, 1, (sqlite3_int64)pos);
        result = journal_step(progress->write);
    }
    if (result && store->writing)
        journal_store_failed(store, "the archive's progress could not be written");
    return result ? result : journal_store_end(store);
}

int journal_progress_write(struct journal_progress *progress, struct journal_store *store)
{
    struct journal_buried *letters, **end;
    size_t letter_count;
    uint64_t pos, buried = 0;
    int result;

    pthread_mutex_lock(&progress->mutex);
    pos = progress->wanted;
    letters = progress->letters;
    letter_count = progress->letter_count;
    progress->letters = NULL;
    pthread_mutex_unlock(&progress->mutex);
    if (pos == progress->written && !letters)
        return 0;
    result = write_all(progress, store, letters, pos, &buried);
    if (result == ERROR_NO_SPACE)
        journal_store_rollback(store);
    pthread_mutex_lock(&progress->mutex);
    if (result) {
        for (end = &progress->letters; *end; end = &(*end)->next)
            continue;
        *end = letters;
        letters = NULL;
    } else {
        progress->letter_count -= letter_count;
        progress->dead_letters += buried;
        progress->written = pos;
    }
    pthread_mutex_unlock(&progress->mutex);
    free_letters(letters);
    return result == ERROR_NO_SPACE ? 0 : result;
}
