/* Open addressing with linear probing and backward-shift removal, so there are no tombstones; see table.h. */
#include "common/table.h"

#include "common/hash.h"
#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>

void table_init(struct table *table, table_key *key)
{
    *table = (struct table){.key = key};
}

void table_done(struct table *table)
{
    free(table->entries);
    free(table->hashes);
    table_init(table, table->key);
}

static void place(struct table *table, uint32_t hash, void *entry)
{
    uint32_t slot = hash & table->mask;

    while (table->entries[slot])
        slot = (slot + 1) & table->mask;
    table->entries[slot] = entry;
    table->hashes[slot] = hash;
}

static void resize(struct table *table, uint32_t slots)
{
    struct table old = *table;

    table->entries = memory_zero(slots, sizeof *table->entries);
    table->hashes = memory_zero(slots, sizeof *table->hashes);
    table->mask = slots - 1;
    if (old.entries)
        for (uint32_t i = 0; i <= old.mask; i++)
            if (old.entries[i])
                place(table, old.hashes[i], old.entries[i]);
    free(old.entries);
    free(old.hashes);
}

void *table_find(const struct table *table, struct bytes key)
{
    if (table->count == 0)
        return NULL;

    uint32_t hash = (uint32_t)hash_bytes(key);

    for (uint32_t slot = hash & table->mask; table->entries[slot]; slot = (slot + 1) & table->mask)
        if (table->hashes[slot] == hash && bytes_equal(table->key(table->entries[slot]), key))
            return table->entries[slot];
    return NULL;
}

void table_insert(struct table *table, void *entry)
{
    if (!table->entries)
        resize(table, 16);
    else if (table->count >= (table->mask + 1) / 4 * 3)
        resize(table, (table->mask + 1) * 2);
    place(table, (uint32_t)hash_bytes(table->key(entry)), entry);
    table->count++;
}

void table_remove(struct table *table, void *entry)
{
    uint32_t hole = (uint32_t)hash_bytes(table->key(entry)) & table->mask;

    assert(table->count > 0);
    while (table->entries[hole] != entry) {
        assert(table->entries[hole]);
        hole = (hole + 1) & table->mask;
    }
    /* Close the gap: move back every later entry of the run that may live in the hole. */
    for (uint32_t slot = (hole + 1) & table->mask; table->entries[slot]; slot = (slot + 1) & table->mask) {
        uint32_t home = table->hashes[slot] & table->mask;

        if (((slot - home) & table->mask) < ((slot - hole) & table->mask))
            continue;
        table->entries[hole] = table->entries[slot];
        table->hashes[hole] = table->hashes[slot];
        hole = slot;
    }
    table->entries[hole] = NULL;
    table->count--;
}

void *table_next(const struct table *table, uint32_t *cursor)
{
    if (!table->entries)
        return NULL;
    while (*cursor <= table->mask) {
        void *entry = table->entries[(*cursor)++];

        if (entry)
            return entry;
    }
    return NULL;
}

/*
 * A step begins and ends behind an empty slot.  Whoever sits behind it then has its home there, so the removal
 * of others can move it neither into what was visited nor, as the walk goes once around, beyond its end.
 */
static bool begin_walk(const struct table *table, struct table_walk *walk)
{
    bool again = walk->begun;
    uint32_t empty = 0;

    while (table->entries[empty]) /* there is one: at most three quarters are full */
        empty++;
    *walk = (struct table_walk){
        .mask = table->mask, .at = (empty + 1) & table->mask, .left = table->mask, .begun = true};
    return again;
}

enum table_walked table_walk(const struct table *table, struct table_walk *walk, uint32_t slots,
                             void (*visit)(void *entry, void *argument), void *argument)
{
    void *entry = NULL;

    if (!table->entries)
        return TABLE_WALK_DONE;
    if ((!walk->begun || walk->mask != table->mask) && begin_walk(table, walk))
        return TABLE_WALK_AGAIN;
    for (; walk->left && (slots || entry); walk->left--, slots -= slots > 0) {
        entry = table->entries[walk->at];
        walk->at = (walk->at + 1) & walk->mask;
        if (entry)
            visit(entry, argument);
    }
    return walk->left ? TABLE_WALK_MORE : TABLE_WALK_DONE;
}
