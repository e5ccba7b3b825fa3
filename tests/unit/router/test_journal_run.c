/* Runs of (seq, pos): what is appended comes out, and no bytes from a file are believed. */
#include "tests/unit/router/journal_fixture.h"

#include "router/journal_run.h"

#include <string.h>

static void pairs_come_out_as_they_went_in(void **state)
{
    static const uint64_t seqs[] = {1, 2, 130, 131, 70000, 1ULL << 40, (1ULL << 62) + 5};
    struct journal_run run = {0};
    struct journal_run_cursor cursor;

    (void)state;
    for (size_t i = 0; i < 7; i++)
        journal_run_append(&run, seqs[i], seqs[i] + 3);
    assert_int_equal(run.count, 7);
    cursor = journal_run_start(buffer_bytes(&run.bytes));
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(journal_run_next(&cursor), 1);
        assert_true(cursor.seq == seqs[i] && cursor.pos == seqs[i] + 3);
    }
    assert_int_equal(journal_run_next(&cursor), 0);
    journal_run_done(&run);
}

static void dropping_the_front_and_rewinding_keep_the_rest(void **state)
{
    struct journal_run run = {0}, copy = {0};
    struct journal_run_cursor cursor;
    struct journal_run_mark mark;

    (void)state;
    for (uint64_t i = 1; i <= 300; i++)
        journal_run_append(&run, i, i * 1000);
    mark = journal_run_mark(&run);
    journal_run_append(&run, 301, 400000);
    journal_run_rewind(&run, &mark);
    journal_run_drop(&run, 256);
    assert_int_equal(run.count, 44);
    assert_int_equal(run.last_seq, 300);
    cursor = journal_run_start(buffer_bytes(&run.bytes));
    assert_int_equal(journal_run_next(&cursor), 1);
    assert_int_equal(cursor.seq, 257);
    assert_int_equal(cursor.pos, 257000);

    assert_int_equal(journal_run_load(&copy, buffer_bytes(&run.bytes)), 0);
    assert_int_equal(copy.count, 44);
    assert_int_equal(copy.last_pos, 300000);
    journal_run_done(&run);
    journal_run_done(&copy);
}

static void damaged_bytes_are_refused_and_leave_it_empty(void **state)
{
    static const struct bytes damaged[] = {
        {"\x01", 1},                                          /* half a pair */
        {"\x01\x80", 2},                                      /* half a number */
        {"\x01\x01\x00\x01", 4},                              /* seq does not ascend */
        {"\x01\x01\x01\x00", 4},                              /* pos does not ascend */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01", 11}, /* longer than a number can be */
    };
    struct journal_run run = {0};

    (void)state;
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        assert_int_equal(journal_run_load(&run, damaged[i]), ERROR_CORRUPT);
        assert_int_equal(run.count, 0);
        assert_int_equal(run.bytes.length, 0);
    }
    assert_int_equal(journal_run_load(&run, (struct bytes){0}), 0);
    journal_run_done(&run);
}

static void every_cut_of_a_run_is_whole_pairs_or_damage(void **state)
{
    struct journal_run run = {0}, cut = {0};
    size_t whole = 0;

    (void)state;
    for (uint64_t i = 1; i <= 20; i++)
        journal_run_append(&run, i * 100, i * 100000);
    for (size_t length = 0; length <= run.bytes.length; length++) {
        int result = journal_run_load(&cut, bytes_make(run.bytes.data, length));

        assert_true(result == 0 || result == ERROR_CORRUPT);
        if (result == 0)
            whole++;
    }
    assert_int_equal(whole, 21);
    journal_run_done(&run);
    journal_run_done(&cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_come_out_as_they_went_in),
        cmocka_unit_test(dropping_the_front_and_rewinding_keep_the_rest),
        cmocka_unit_test(damaged_bytes_are_refused_and_leave_it_empty),
        cmocka_unit_test(every_cut_of_a_run_is_whole_pairs_or_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
