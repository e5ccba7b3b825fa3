/*
 * Group commit: a batch of entries becomes numbered rows in one transaction; see journal_store.h.  It owns
 * the transaction and the head; the journal thread calls it, and at the start the index does.  Its one
 * surprising rule: numbers are taken in memory while rows are inserted, so whatever keeps the transaction
 * from being committed must put them back (undo) before anything else is numbered.
 */
#include "router/journal_store.h"

#include "common/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

int journal_store_init(struct journal_store *store, struct journal_file *file, char *message,
                       size_t message_size)
{
    static const char insert[] = "INSERT INTO message(pos, namespace, room, seq, class, deliver, meta, at, "
                                 "publish_id, event, sender_sid, sender_name, dedup_scope, attachments, "
                                 "arguments, exceptions) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
    int result;

    *store = (struct journal_store){.file = file, .head = file->head, .numbered = file->numbered};
    result = journal_rooms_init(&store->rooms, file->db);
    if (!result)
        result = journal_dedup_init(&store->dedup, file->db, file->dedup_keys);
    if (!result)
        result = journal_sessions_init(&store->sessions, file->db);
    if (!result)
        result = journal_prepare(file->db, "BEGIN IMMEDIATE", &store->begin);
    if (!result)
        result = journal_prepare(file->db, "COMMIT", &store->commit);
    if (!result)
        result = journal_prepare(file->db, "ROLLBACK", &store->rollback);
    if (!result)
        result = journal_prepare(file->db, insert, &store->insert);
    if (result)
        return journal_error_describe(file->db, file->path, "cannot be read", message, message_size);
    return 0;
}

void journal_store_done(struct journal_store *store)
{
    if (store->writing)
        journal_store_rollback(store);
    journal_rooms_done(&store->rooms);
    journal_dedup_done(&store->dedup);
    journal_sessions_done(&store->sessions);
    sqlite3_finalize(store->begin);
    sqlite3_finalize(store->commit);
    sqlite3_finalize(store->rollback);
    sqlite3_finalize(store->insert);
    *store = (struct journal_store){0};
}

int journal_store_failed(struct journal_store *store, const char *what)
{
    return journal_error_describe(store->file->db, store->file->path, what, store->failure,
                                  sizeof store->failure);
}

int journal_store_begin(struct journal_store *store)
{
    assert(!store->writing);
    if (journal_step(store->begin))
        return journal_store_failed(store, "cannot be locked for writing");
    store->writing = true;
    return 0;
}

/* Only outside a transaction. */
static int set_synchronous(struct journal_store *store, const char *pragma)
{
    if (sqlite3_exec(store->file->db, pragma, NULL, NULL, NULL))
        return journal_store_failed(store, "syncing could not be set");
    return 0;
}

int journal_store_begin_unsynced(struct journal_store *store)
{
    int result = set_synchronous(store, "PRAGMA synchronous = NORMAL");

    store->unsynced = true;
    return result ? result : journal_store_begin(store);
}

static int end_unsynced(struct journal_store *store)
{
    if (!store->unsynced)
        return 0;
    store->unsynced = false;
    return set_synchronous(store, "PRAGMA synchronous = FULL");
}

int journal_store_end(struct journal_store *store)
{
    int result;

    assert(store->writing);
    if (journal_step(store->commit)) {
        result = journal_store_failed(store, "a commit failed");
        /* The frames are on disk by the time that SQLite enlarges its index of them: this one may have
           happened. */
        if (sqlite3_extended_errcode(store->file->db) == SQLITE_IOERR_SHMSIZE)
            result = ERROR_IO;
        return result;
    }
    store->writing = false;
    return end_unsynced(store);
}

void journal_store_rollback(struct journal_store *store)
{
    /* SQLite has rolled back by itself after some errors. */
    if (!sqlite3_get_autocommit(store->file->db))
        (void)!journal_step(store->rollback);
    store->writing = false;
    if (end_unsynced(store))
        abort(); /* it only fails for want of memory, and commits must never go on without a sync */
}

static void bind_optional(sqlite3_stmt *statement, int column, struct bytes bytes,
                          void (*bind)(sqlite3_stmt *, int, struct bytes))
{
    if (bytes.length)
        bind(statement, column, bytes);
    else
        sqlite3_bind_null(statement, column);
}

static int begin_if_needed(struct journal_store *store)
{
    return store->writing ? 0 : journal_store_begin(store);
}

static int insert(struct journal_store *store, const struct journal_entry *entry)
{
    const struct journal_message *message = &entry->message;
    sqlite3_stmt *statement = store->insert;
    int result;

    result = begin_if_needed(store);
    if (result)
        return result;
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)message->pos);
    journal_bind_text(statement, 2, message->namespace);
    journal_bind_text(statement, 3, message->room);
    sqlite3_bind_int64(statement, 4, (sqlite3_int64)message->seq);
    sqlite3_bind_int(statement, 5, (int)message->class);
    sqlite3_bind_int(statement, 6, (int)message->deliver);
    sqlite3_bind_int(statement, 7, message->meta);
    sqlite3_bind_int64(statement, 8, (sqlite3_int64)message->at);
    journal_bind_text(statement, 9, message->publish_id);
    journal_bind_text(statement, 10, message->event);
    journal_bind_text(statement, 11, message->sender_sid);
    journal_bind_text(statement, 12, message->sender_name);
    bind_optional(statement, 13, entry->dedup_scope, journal_bind_text);
    bind_optional(statement, 14, message->attachments, journal_bind_blob);
    journal_bind_text(statement, 15, message->arguments);
    bind_optional(statement, 16, message->except, journal_bind_blob);
    if (journal_step(statement))
        return journal_store_failed(store, "a message could not be written");
    return 0;
}

static int find_room(struct journal_store *store, const struct journal_message *message,
                     struct journal_room **out)
{
    int result = journal_rooms_find(&store->rooms, message->namespace, message->room, out);

    if (result)
        journal_store_failed(store, "a room's counters could not be read");
    return result;
}

/* Looks the entry's id up.  0, whether it is known or not; then the entry's result is ERROR_EXISTS. */
static int find_first(struct journal_store *store, struct journal_entry *entry, uint64_t now,
                      char key[JOURNAL_DEDUP_KEY_LENGTH])
{
    struct journal_message *message = &entry->message;
    struct journal_first first;
    int result = journal_dedup_find(&store->dedup, message->namespace, entry->dedup_scope,
                                    message->publish_id, now, key, &first);

    if (result == ERROR_EXISTS) {
        entry->result = ERROR_EXISTS;
        message->pos = first.pos;
        message->seq = first.seq;
        message->at = first.at;
        return 0;
    }
    if (result)
        journal_store_failed(store, "an id could not be looked up");
    return result;
}

static int pass(struct journal_store *store, struct journal_entry *entry, uint64_t pos, uint64_t now)
{
    char key[JOURNAL_DEDUP_KEY_LENGTH];
    struct journal_room *room;
    int result;

    entry->result = 0;
    if (entry->dedup_scope.length > 0) {
        result = find_first(store, entry, now, key);
        if (result || entry->result)
            return result;
    }
    entry->message.pos = pos;
    entry->message.seq = 0;
    if (entry->message.room.length == 0)
        return 0;
    result = find_room(store, &entry->message, &room);
    if (!result)
        entry->message.seq = room->last_seq;
    return result;
}

static int change(struct journal_store *store, struct journal_entry *entry, uint64_t pos, uint64_t now)
{
    const struct journal_session *session = &entry->change->session;
    int result = begin_if_needed(store);

    if (result)
        return result;
    if (journal_sessions_apply(&store->sessions, entry->change, pos))
        return journal_store_failed(store, "a session could not be written");
    if (entry->change->kind == JOURNAL_SESSION_REMOVE && session->sid.length &&
        journal_rooms_forget(&store->rooms, session->namespace, session->sid))
        return journal_store_failed(store, "a session's messages could not be forgotten");
    return pass(store, entry, pos, now);
}

/* Numbers and inserts one message; repeated: the first of its group was not.  ERROR_EXISTS is a result of the
 * entry, not of the call. */
static int write(struct journal_store *store, struct journal_entry *entry, bool repeated, uint64_t pos,
                 uint64_t now)
{
    struct journal_message *message = &entry->message;
    bool counts_once = entry->dedup_scope.length > 0;
    bool archived = message->class == MESSAGE_ARCHIVED;
    char key[JOURNAL_DEDUP_KEY_LENGTH];
    struct journal_room *room;
    int result;

    entry->result = 0;
    if (counts_once) {
        result = find_first(store, entry, now, key);
        if (result || entry->result)
            return result;
    }
    if (repeated) {
        entry->result = ERROR_EXISTS;
        message->pos = message->seq = message->at = 0;
        return 0;
    }
    result = find_room(store, message, &room);
    if (result)
        return result;
    message->pos = pos;
    message->seq = archived ? room->last_seq + 1 : 0;
    message->at = now > room->last_at ? now : room->last_at;
    result = insert(store, entry);
    if (result)
        return result;
    result = journal_rooms_count(&store->rooms, room, message);
    if (result) {
        journal_store_failed(store, "a room's counters could not be read");
        return result;
    }
    if (counts_once)
        journal_dedup_add(&store->dedup, entry->dedup_scope, key,
                          &(struct journal_first){message->pos, message->seq, message->at});
    return 0;
}

/* After the batch was undone: passes see the numbers as they were, messages and changes are refused. */
static int refuse(struct journal_store *store, struct journal_entry *entries, uint64_t now,
                  struct journal_outcome *out)
{
    int result = 0;

    for (struct journal_entry *entry = entries; entry && !result; entry = entry->next) {
        if (entry->kind != JOURNAL_WRITE) {
            result = pass(store, entry, store->head, now);
            if (entry->kind == JOURNAL_CHANGE)
                entry->result = ERROR_NO_SPACE;
        } else if (entry->result == ERROR_EXISTS && entry->message.pos <= store->head) {
            out->duplicates++;
        } else {
            entry->result = ERROR_NO_SPACE;
            entry->message.pos = entry->message.seq = entry->message.at = 0;
            out->refused++;
        }
    }
    return result;
}

int journal_store_commit(struct journal_store *store, struct journal_entry *entries,
                         struct journal_outcome *out)
{
    struct journal_outcome outcome = {0};
    uint64_t now = clock_wall_ms();
    uint64_t pos = store->head;
    bool follows = false,
         repeated = false; /* of a group: another before this entry, and its first's outcome */
    int result = 0;

    for (struct journal_entry *entry = entries; entry; entry = entry->next)
        entry->result = 0;
    for (struct journal_entry *entry = entries; entry && !result; entry = entry->next) {
        if (entry->kind == JOURNAL_PASS) {
            result = pass(store, entry, pos, now);
            continue;
        }
        if (entry->kind == JOURNAL_CHANGE) {
            result = change(store, entry, pos, now);
            outcome.changes++;
            continue;
        }
        result = write(store, entry, follows && repeated, pos + 1, now);
        if (result)
            break;
        if (!follows)
            repeated = entry->result == ERROR_EXISTS;
        follows = entry->more;
        if (entry->result == ERROR_EXISTS) {
            outcome.duplicates++;
        } else {
            pos++;
            outcome.messages++;
            outcome.archived += entry->message.class == MESSAGE_ARCHIVED;
        }
    }
    if (!result && store->writing)
        result = journal_store_end(store);
    if (result == ERROR_NO_SPACE) {
        journal_store_rollback(store);
        journal_rooms_undo(&store->rooms);
        journal_dedup_undo(&store->dedup);
        outcome = (struct journal_outcome){.storage_full = true};
        result = refuse(store, entries, now, &outcome);
    } else if (!result) {
        store->head = pos;
        store->numbered += outcome.archived;
        journal_rooms_keep(&store->rooms);
        journal_dedup_keep(&store->dedup);
    }
    if (result)
        return result;
    journal_rooms_trim(&store->rooms);
    *out = outcome;
    return 0;
}
