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
