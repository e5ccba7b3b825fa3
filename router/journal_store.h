/*
 * The journal thread's writer: numbers a batch of entries and commits it.
 *
 * It holds the memory that numbers are made from (rooms, ids of clients) and the transaction; the index
 * (journal_index.h) brings the tables up to date that look messages up.  Used by one thread at a time.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_STORE_H
#define HUBBUB_ROUTER_JOURNAL_STORE_H

#include "router/journal_dedup.h"
#include "router/journal_rooms.h"
#include "router/journal_sessions.h"

struct journal_store {
    struct journal_file *file;
    struct journal_rooms rooms;
    struct journal_dedup dedup;
    struct journal_sessions sessions;
    sqlite3_stmt *begin, *commit, *rollback, *insert;
    uint64_t head;     /* the last committed position */
    uint64_t numbered; /* archived messages, ever */
    bool writing;      /* a transaction is open */
    bool unsynced;     /* and is not to be synced */
    char failure[256];
};

/* What became of a batch. */
struct journal_outcome {
    uint64_t messages, duplicates, refused;
    uint64_t archived; /* of the messages */
    uint64_t changes;  /* of sessions */
    bool storage_full; /* for want of space nothing was written */
};

/* 0, or as journal_open(), with a message; journal_store_done() in any case.  The file must outlive it. */
int journal_store_init(struct journal_store *store, struct journal_file *file, char *message,
                       size_t message_size) MUST_CHECK;
void journal_store_done(struct journal_store *store);

/*
 * Numbers and commits the entries, a list by next, and sets what comes back in them; no row is written for a
 * batch of passes and duplicates only.  0, also when the disk is full: then no entry was kept and no number
 * taken.  Any other code (ERROR_IO, ERROR_CORRUPT, ERROR_LOCKED) means that nobody knows what is on
 * disk: store->failure says why, and neither the entries nor the store may be used any more.
 */
int journal_store_commit(struct journal_store *store, struct journal_entry *entries,
                         struct journal_outcome *out) MUST_CHECK;

/*
 * A transaction of the caller's on file->db.  Begin and commit return 0; ERROR_NO_SPACE, after
 * which the caller must roll back; or another code with store->failure set.
 */
int journal_store_begin(struct journal_store *store) MUST_CHECK;
/* The same for what can be done again: its commit is not synced, but by the next one that is.  A power loss
   takes it back whole, and nothing that came before it. */
int journal_store_begin_unsynced(struct journal_store *store) MUST_CHECK;
int journal_store_end(struct journal_store *store) MUST_CHECK;
void journal_store_rollback(struct journal_store *store);

/* Notes the connection's last error, with a word on what was done, in store->failure.  Returns
 * journal_error(). */
int journal_store_failed(struct journal_store *store, const char *what);

#endif
