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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_finds_nothing),
        cmocka_unit_test(it_agrees_with_a_list_through_random_changes),
        cmocka_unit_test(a_walk_meets_every_entry_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
