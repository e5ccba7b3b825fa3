/* The journal's queues: order, and what one commit takes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/journal_queue.h"

#include "common/memory.h"

#include <stdlib.h>

enum { COUNT = JOURNAL_BATCH_ENTRIES_MAX + 100 };

struct fixture {
    struct journal_queue queue, batch;
    struct journal_entry *entries;
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_zero(1, sizeof *fixture);

    fixture->entries = memory_zero(COUNT, sizeof *fixture->entries);
    journal_queue_init(&fixture->queue);
    journal_queue_init(&fixture->batch);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    free(fixture->entries);
    free(fixture);
    return 0;
}

static void add(struct fixture *fixture, unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++)
        journal_queue_add(&fixture->queue, &fixture->entries[i]);
}

/* Takes them all: the entries first to end, in order. */
static void assert_holds(struct fixture *fixture, struct journal_queue *queue, unsigned first, unsigned end)
{
    assert_int_equal(queue->count, end - first);
    for (unsigned i = first; i < end; i++)
        assert_ptr_equal(journal_queue_take(queue), &fixture->entries[i]);
    assert_null(journal_queue_take(queue));
    assert_int_equal(queue->count, 0);
}

static void entries_keep_their_order(void **state)
{
    struct fixture *fixture = *state;

    add(fixture, 0, 3);
    assert_holds(fixture, &fixture->queue, 0, 3);
    add(fixture, 3, 5); /* behind the last that was taken */
    assert_holds(fixture, &fixture->queue, 3, 5);
}

static void one_queue_goes_behind_another(void **state)
{
    struct fixture *fixture = *state;

    add(fixture, 0, 2);
    journal_queue_move(&fixture->batch, &fixture->queue);
    journal_queue_move(&fixture->batch, &fixture->queue); /* nothing */
    add(fixture, 2, 4);
    journal_queue_move(&fixture->batch, &fixture->queue);
    assert_null(fixture->queue.first);
    assert_holds(fixture, &fixture->batch, 0, 4);
    add(fixture, 4, 5);
    assert_holds(fixture, &fixture->queue, 4, 5);
}

static void a_batch_has_so_many_entries(void **state)
{
    struct fixture *fixture = *state;

    add(fixture, 0, COUNT);
    journal_queue_take_batch(&fixture->queue, &fixture->batch);
    assert_holds(fixture, &fixture->batch, 0, JOURNAL_BATCH_ENTRIES_MAX);
    journal_queue_take_batch(&fixture->queue, &fixture->batch);
    assert_holds(fixture, &fixture->batch, JOURNAL_BATCH_ENTRIES_MAX, COUNT);
    journal_queue_take_batch(&fixture->queue, &fixture->batch);
    assert_holds(fixture, &fixture->batch, 0, 0);
}

static void a_batch_ends_with_the_message_that_fills_it(void **state)
{
    struct fixture *fixture = *state;
    char *text = memory_zero(1, JOURNAL_BATCH_BYTES_MAX - 1);

    fixture->entries[0].message.arguments = bytes_make(text, JOURNAL_BATCH_BYTES_MAX - 1);
    fixture->entries[1].message.arguments = bytes_make(text, 1);
    add(fixture, 0, 3);
    journal_queue_take_batch(&fixture->queue, &fixture->batch);
    assert_holds(fixture, &fixture->batch, 0, 2);
    assert_holds(fixture, &fixture->queue, 2, 3);
    free(text);
}

static void a_group_is_never_parted(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = JOURNAL_BATCH_ENTRIES_MAX - 2; i < JOURNAL_BATCH_ENTRIES_MAX + 9; i++)
        fixture->entries[i].more = true; /* the last of the group is the one behind these */
    add(fixture, 0, COUNT);
    journal_queue_take_batch(&fixture->queue, &fixture->batch);
    assert_holds(fixture, &fixture->batch, 0, JOURNAL_BATCH_ENTRIES_MAX + 10);
    assert_holds(fixture, &fixture->queue, JOURNAL_BATCH_ENTRIES_MAX + 10, COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(entries_keep_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_queue_goes_behind_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_batch_has_so_many_entries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_batch_ends_with_the_message_that_fills_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_group_is_never_parted, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
