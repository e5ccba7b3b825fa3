/* The hash table against a plain array that says who is in. */
#include "tests/unit/common/test.h"

#include "common/random.h"
#include "common/table.h"

#include <stdio.h>
#include <stdlib.h>

struct entry {
    char name[16];
    size_t length;
    bool in;
    bool seen;
};

enum { ENTRIES = 700, STEPS = 20000 };

static struct bytes entry_key(const void *entry)
{
    const struct entry *e = entry;

    return bytes_make(e->name, e->length);
}

static void an_empty_table_finds_nothing(void **state)
{
    struct table table;
    uint32_t cursor = 0;

    (void)state;
    table_init(&table, entry_key);
    assert_null(table_find(&table, BYTES("x")));
    assert_null(table_next(&table, &cursor));
    table_done(&table);
}

static void it_agrees_with_a_list_through_random_changes(void **state)
{
    static struct entry entries[ENTRIES];
    struct table table;
    uint32_t count = 0;

    (void)state;
    table_init(&table, entry_key);
    for (unsigned i = 0; i < ENTRIES; i++)
        entries[i].length = (size_t)snprintf(entries[i].name, sizeof entries[i].name, "room-%u", i);
    for (unsigned step = 0; step < STEPS; step++) {
        /* Mostly growing for the first half, mostly shrinking after it. */
        bool grow = random_u64() % 10 < (step < STEPS / 2 ? 7 : 3);
        struct entry *entry = &entries[random_u64() % ENTRIES];

        assert_ptr_equal(table_find(&table, entry_key(entry)), entry->in ? entry : NULL);
        if (grow && !entry->in) {
            table_insert(&table, entry);
            entry->in = true;
            count++;
        } else if (!grow && entry->in) {
            table_remove(&table, entry);
            entry->in = false;
            count--;
        }
        assert_int_equal(table.count, count);
    }
    for (unsigned i = 0; i < ENTRIES; i++)
        assert_ptr_equal(table_find(&table, entry_key(&entries[i])), entries[i].in ? &entries[i] : NULL);
    table_done(&table);
}

static void a_walk_meets_every_entry_once(void **state)
{
    static struct entry entries[100];
    struct table table;
    struct entry *entry;
    uint32_t cursor = 0;
    unsigned met = 0;

    (void)state;
    table_init(&table, entry_key);
    for (unsigned i = 0; i < 100; i++) {
        entries[i].length = (size_t)snprintf(entries[i].name, sizeof entries[i].name, "%u", i);
        table_insert(&table, &entries[i]);
    }
    while ((entry = table_next(&table, &cursor))) {
        assert_false(entry->seen);
        entry->seen = true;
        met++;
    }
    assert_int_equal(met, 100);
    table_done(&table);
    assert_int_equal(table.count, 0);
}

static void see(void *entry, void *argument)
{
    assert_false(((struct entry *)entry)->seen);
    ((struct entry *)entry)->seen = true;
    ++*(unsigned *)argument;
}

/* Entries come and go between the steps; those below FIXED stay. */
static unsigned walk_among_changes(struct table *table, struct entry *entries, unsigned fixed, uint32_t slots)
{
    struct table_walk walk = {0};
    enum table_walked walked;
    unsigned steps = 0, met = 0;

    do {
        walked = table_walk(table, &walk, slots, see, &met);
        steps++;
        for (unsigned i = 0; i < ENTRIES && walked == TABLE_WALK_AGAIN; i++)
            entries[i].seen = false;
        for (unsigned i = 0; i < 40 && walked != TABLE_WALK_DONE; i++) {
            struct entry *entry = &entries[fixed + random_u64() % (ENTRIES - fixed)];

            if (entry->in)
                table_remove(table, entry);
            else
                table_insert(table, entry);
            entry->in = !entry->in;
            entry->seen = false; /* as another one it may be met again */
        }
    } while (walked != TABLE_WALK_DONE);
    return steps;
}

static void a_walk_in_steps_misses_none_that_stays(void **state)
{
    enum { FIXED = 400 };
    static struct entry entries[ENTRIES];

    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        struct table table;

        table_init(&table, entry_key);
        for (unsigned i = 0; i < ENTRIES; i++) {
            entries[i].length = (size_t)snprintf(entries[i].name, sizeof entries[i].name, "%u-%u", round, i);
            entries[i].seen = false;
            entries[i].in = i < FIXED;
            if (entries[i].in)
                table_insert(&table, &entries[i]);
        }
        assert_true(walk_among_changes(&table, entries, FIXED, 1 + round % 37) > 1024 / 64);
        for (unsigned i = 0; i < FIXED; i++)
            assert_true(entries[i].seen);
        table_done(&table);
    }
}

static void a_walk_begins_anew_when_the_table_has_grown(void **state)
{
    static struct entry entries[40];
    struct table table;
    struct table_walk walk = {0};
    unsigned met = 0;

    (void)state;
    table_init(&table, entry_key);
    assert_int_equal(table_walk(&table, &walk, 4, see, &met), TABLE_WALK_DONE);
    for (unsigned i = 0; i < 40; i++) {
        entries[i].length = (size_t)snprintf(entries[i].name, sizeof entries[i].name, "%u", i);
        if (i == 10)
            assert_int_equal(table_walk(&table, &walk, 1, see, &met), TABLE_WALK_MORE);
        table_insert(&table, &entries[i]);
    }
    assert_int_equal(table_walk(&table, &walk, 1, see, &met), TABLE_WALK_AGAIN);
    for (unsigned i = 0; i < 40; i++)
        entries[i].seen = false;
    met = 0;
    while (table_walk(&table, &walk, 1, see, &met) == TABLE_WALK_MORE)
        continue;
    assert_int_equal(met, 40);
    table_done(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_finds_nothing),
        cmocka_unit_test(it_agrees_with_a_list_through_random_changes),
        cmocka_unit_test(a_walk_meets_every_entry_once),
        cmocka_unit_test(a_walk_in_steps_misses_none_that_stays),
        cmocka_unit_test(a_walk_begins_anew_when_the_table_has_grown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
