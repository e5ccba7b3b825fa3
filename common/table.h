/*
 * A hash table from bytes to entries that live elsewhere.
 *
 * The table holds pointers only; the key is read from the entry itself by the
 * function given at table_init(), and must not change while the entry is in.
 * Open addressing with linear probing, at most three quarters full; memory is
 * 12 bytes a slot.  Not for several threads.
 */
#ifndef HUBBUB_COMMON_TABLE_H
#define HUBBUB_COMMON_TABLE_H

#include "common/bytes.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct bytes table_key(const void *entry);

struct table {
    table_key *key;
    void **entries;
    uint32_t *hashes;
    uint32_t mask; /* slots - 1, or 0 while nothing was inserted */
    uint32_t count;
};

void table_init(struct table *table, table_key *key);

/* Frees the table, not the entries. */
void table_done(struct table *table);

/* NULL when there is none. */
void *table_find(const struct table *table, struct bytes key);

/* The key must not be in the table yet. */
void table_insert(struct table *table, void *entry);

/* Removes that very entry; it must be in the table. */
void table_remove(struct table *table, void *entry);

/*
 * Walks all entries: start with *cursor 0, ends with NULL.  Nothing may be
 * inserted or removed between the first call and the last.
 */
void *table_next(const struct table *table, uint32_t *cursor);

/*
 * A walk in steps, between which entries come and go: whoever is in the table from the first step to the last
 * is visited exactly once, others perhaps.  Zero-initialised is a walk that has not begun.
 */
struct table_walk {
    uint32_t mask, at, left; /* slots to go */
    bool begun;
};

enum table_walked {
    TABLE_WALK_MORE,
    TABLE_WALK_DONE,
    TABLE_WALK_AGAIN, /* the table has grown: nothing was visited, and the walk has begun anew */
};

/* Visits the entries of that many slots, and of few more.  visit changes nothing in the table. */
enum table_walked table_walk(const struct table *table, struct table_walk *walk, uint32_t slots,
                             void (*visit)(void *entry, void *argument), void *argument);

#endif
