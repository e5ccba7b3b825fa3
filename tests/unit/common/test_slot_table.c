/* Slots and generations. */
#include "common/slot_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MANY = 1000 };

static int things[MANY];

static void a_number_finds_its_thing_until_it_is_removed(void **state)
{
    struct slot_table table = {0};
    uint64_t numbers[MANY];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        numbers[i] = slot_table_add(&table, &things[i]);
        assert_int_not_equal(numbers[i], 0);
    }
    for (int i = 0; i < MANY; i += 2)
        slot_table_remove(&table, numbers[i]);
    assert_int_equal(table.count, MANY / 2);
    for (int i = 0; i < MANY; i++) {
        void *expected = i % 2 ? &things[i] : NULL;

        assert_ptr_equal(slot_table_find(&table, numbers[i]), expected);
        assert_ptr_equal(slot_table_at(&table, (uint32_t)numbers[i]), expected);
    }
    slot_table_done(&table);
}

static void a_slot_used_again_has_another_number(void **state)
{
    struct slot_table table = {0};
    uint64_t first = slot_table_add(&table, &things[0]), second;

    (void)state;
    slot_table_remove(&table, first);
    second = slot_table_add(&table, &things[1]);
    assert_int_equal((uint32_t)first, (uint32_t)second);
    assert_int_not_equal(first, second);
    assert_null(slot_table_find(&table, first));
    assert_ptr_equal(slot_table_find(&table, second), &things[1]);
    slot_table_done(&table);
}

static void numbers_never_given_out_find_nothing(void **state)
{
    struct slot_table table = {0};

    (void)state;
    assert_null(slot_table_find(&table, 0));
    slot_table_add(&table, &things[0]);
    assert_null(slot_table_find(&table, 0));
    assert_null(slot_table_find(&table, 5));
    assert_null(slot_table_find(&table, 2ULL << 32));
    assert_null(slot_table_at(&table, 64));
    slot_table_done(&table);
}

static void a_walk_meets_all_while_things_come_and_go(void **state)
{
    struct slot_table table = {0};
    uint64_t numbers[10];
    uint32_t cursor = 0;
    int met = 0;
    void *thing;

    (void)state;
    for (int i = 0; i < 10; i++)
        numbers[i] = slot_table_add(&table, &things[i]);
    while ((thing = slot_table_next(&table, &cursor))) {
        assert_ptr_equal(thing, &things[met]);
        slot_table_remove(&table, numbers[met++]);
    }
    assert_int_equal(met, 10);
    assert_int_equal(table.count, 0);
    slot_table_done(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_finds_its_thing_until_it_is_removed),
        cmocka_unit_test(a_slot_used_again_has_another_number),
        cmocka_unit_test(numbers_never_given_out_find_nothing),
        cmocka_unit_test(a_walk_meets_all_while_things_come_and_go),
    };

    return cmocka_run_group_tests_name("slot table", tests, NULL, NULL);
}
