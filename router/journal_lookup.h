/*
 * Finding messages by a connection of its own, beside the writer: what the reader's thread does with a read.
 *
 * Used by one thread.  journal_lookup.c has pages and ranges, journal_missed.c what a client missed; what
 * they share stands below.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_LOOKUP_H
#define HUBBUB_ROUTER_JOURNAL_LOOKUP_H

#include "router/journal_file.h"

struct journal_pair {
    uint64_t seq, pos;
};

struct journal_pairs {
    struct journal_pair *items;
    size_t count, capacity;
};

struct journal_lookup {
    sqlite3 *db;
    sqlite3_stmt *begin, *end, *meta, *room, *backward, *forward, *beyond, *message, *range;
    struct journal_pairs pairs; /* scratch: of the read */
    struct journal_pairs run;   /* scratch: of one run */
    size_t capacity;            /* of the messages of the read under way */
    uint64_t looked_at;         /* rows and pairs of the read under way */
};

/* Connects.  0, or as journal_open() with a message; journal_lookup_done() in any case. */
int journal_lookup_init(struct journal_lookup *lookup, const char *path, char *message,
                        size_t message_size) MUST_CHECK;
void journal_lookup_done(struct journal_lookup *lookup);

/* Sets what comes back in a read, all of it from one transaction. */
void journal_lookup_answer(struct journal_lookup *lookup, struct journal_read *read);

/* -- for journal_missed.c ---------------------------------------------------------------------- */

/* What a room's row says; zero for a room that has none.  The runs are valid until the next is asked for. */
struct journal_lookup_room {
    uint64_t room_id;
    uint64_t last_seq, removed_seq;
    uint64_t removed_pos, logged_removed;
    struct bytes recent, logged;
};

/* A number of table meta; 0 for a key that is not there. */
int journal_lookup_meta(struct journal_lookup *lookup, const char *key, uint64_t *out) MUST_CHECK;

int journal_lookup_room(struct journal_lookup *lookup, struct bytes namespace, struct bytes name,
                        struct journal_lookup_room *out) MUST_CHECK;

void journal_pairs_add(struct journal_pairs *pairs, uint64_t seq, uint64_t pos);

/* Copies a row into the read's result. */
void journal_lookup_add(struct journal_lookup *lookup, struct journal_read *read,
                        const struct journal_message *row);

/* JOURNAL_READ_MISSED.  0, ERROR_NOT_FOUND or ERROR_IO. */
int journal_lookup_missed(struct journal_lookup *lookup, struct journal_read *read) MUST_CHECK;

#endif
