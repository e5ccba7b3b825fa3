/*
 * Things under small numbers that are never used twice: a slot and its generation.
 *
 * A number is the slot in its low 32 bits and the slot's generation, from 1, in the high ones, so a number
 * whose thing is gone finds nothing, though the slot may serve another by then.  Never 0.  The table holds
 * pointers only; 12 bytes a slot and 4 for each that is free.  One thread.
 */
#ifndef HUBBUB_COMMON_SLOT_TABLE_H
#define HUBBUB_COMMON_SLOT_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* Zero-initialised is empty. */
struct slot_table {
    void **things;
    uint32_t *generations;
    uint32_t *free;
    uint32_t count; /* of things */
    uint32_t slots, slot_capacity, free_count, free_capacity;
};

/* Frees the table, not the things. */
void slot_table_done(struct slot_table *table);

/* Puts a thing (not NULL) into a slot and returns its number. */
uint64_t slot_table_add(struct slot_table *table, void *thing);

/* Takes out what is there under that number; it must be. */
void slot_table_remove(struct slot_table *table, uint64_t number);

/* NULL when it is gone. */
static inline void *slot_table_find(const struct slot_table *table, uint64_t number)
{
    uint32_t slot = (uint32_t)number;

    return slot < table->slots && table->generations[slot] == number >> 32 ? table->things[slot] : NULL;
}

/* What is in a slot now; NULL when nothing is. */
static inline void *slot_table_at(const struct slot_table *table, uint32_t slot)
{
    return slot < table->slots ? table->things[slot] : NULL;
}

/* Walks all: *cursor starts at 0, ends with NULL.  Things may come and go meanwhile. */
void *slot_table_next(const struct slot_table *table, uint32_t *cursor);

#endif
