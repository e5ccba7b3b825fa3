/* Slots with generations; see slot_table.h.  Free slots are a stack: those used last are used again first. */
#include "common/slot_table.h"

#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_CAPACITY = 64 };

void slot_table_done(struct slot_table *table)
{
    free(table->things);
    free(table->generations);
    free(table->free);
    *table = (struct slot_table){0};
}

static uint32_t take_slot(struct slot_table *table)
{
    if (table->free_count)
        return table->free[--table->free_count];
    if (table->slots == table->slot_capacity) {
        table->slot_capacity = table->slot_capacity ? table->slot_capacity * 2 : FIRST_CAPACITY;
        table->things = memory_resize(table->things, table->slot_capacity * sizeof *table->things);
        table->generations =
            memory_resize(table->generations, table->slot_capacity * sizeof *table->generations);
    }
    table->generations[table->slots] = 0;
    return table->slots++;
}

uint64_t slot_table_add(struct slot_table *table, void *thing)
{
    uint32_t slot = take_slot(table);

    table->things[slot] = thing;
    table->count++;
    return (uint64_t)++table->generations[slot] << 32 | slot;
}

void slot_table_remove(struct slot_table *table, uint64_t number)
{
    assert(slot_table_find(table, number));
    table->things[(uint32_t)number] = NULL;
    table->count--;
    if (table->free_count == table->free_capacity) {
        table->free_capacity = table->free_capacity ? table->free_capacity * 2 : FIRST_CAPACITY;
        table->free = memory_resize(table->free, table->free_capacity * sizeof *table->free);
    }
    table->free[table->free_count++] = (uint32_t)number;
}

void *slot_table_next(const struct slot_table *table, uint32_t *cursor)
{
    while (*cursor < table->slots) {
        void *thing = table->things[(*cursor)++];

        if (thing)
            return thing;
    }
    return NULL;
}
