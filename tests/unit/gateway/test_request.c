/* The ring of unanswered requests. */
#include "gateway/request.h"

#include "proto/socketio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct request *add(struct request_queue *queue, uint64_t socket)
{
    return requests_add(queue, REQUEST_EVENT, socket, SOCKETIO_NO_ACK, BYTES("record"), 0);
}

static void numbers_count_up_and_are_found(void **state)
{
    struct request_queue queue;

    (void)state;
    requests_init(&queue);
    for (uint64_t i = 1; i <= 1000; i++) {
        assert_int_equal(requests_next(&queue), i);
        add(&queue, i * 10);
    }
    for (uint64_t i = 1; i <= 1000; i++)
        assert_int_equal(requests_find(&queue, i)->socket, i * 10);
    assert_null(requests_find(&queue, 0));
    assert_null(requests_find(&queue, 1001));
    assert_true(queue.bytes > 6000); /* the records, and what keeping them costs */
    assert_int_equal(queue.count, 1000);
    requests_done(&queue);
}

static void answers_out_of_order_leave_the_others_in_place(void **state)
{
    struct request_queue queue;
    uint64_t cursor = 0;

    (void)state;
    requests_init(&queue);
    for (uint64_t i = 1; i <= 5; i++)
        add(&queue, i);
    requests_finish(&queue, requests_find(&queue, 2));
    requests_finish(&queue, requests_find(&queue, 4));
    assert_null(requests_find(&queue, 2));
    assert_int_equal(queue.first, 1);
    requests_finish(&queue, requests_find(&queue, 1)); /* takes the finished one behind it along */
    assert_int_equal(queue.first, 3);
    assert_int_equal(requests_walk(&queue, &cursor)->socket, 3);
    assert_int_equal(requests_walk(&queue, &cursor)->socket, 5);
    assert_null(requests_walk(&queue, &cursor));
    requests_done(&queue);
}

static void the_ring_turns_without_growing(void **state)
{
    struct request_queue queue;
    uint32_t mask;

    (void)state;
    requests_init(&queue);
    mask = queue.mask;
    for (uint64_t i = 1; i <= 10000; i++) {
        add(&queue, i);
        if (i > 8)
            requests_finish(&queue, requests_find(&queue, i - 8));
    }
    assert_int_equal(queue.mask, mask);
    assert_int_equal(queue.count, 8);
    requests_done(&queue);
}

static void walking_survives_finishing(void **state)
{
    struct request_queue queue;
    struct request *request;
    uint64_t cursor = 0, seen = 0;

    (void)state;
    requests_init(&queue);
    for (uint64_t i = 1; i <= 100; i++)
        add(&queue, i);
    while ((request = requests_walk(&queue, &cursor))) {
        assert_int_equal(request->socket, ++seen);
        requests_finish(&queue, request);
    }
    assert_int_equal(seen, 100);
    assert_int_equal(queue.bytes, 0);
    assert_int_equal(requests_next(&queue), 101);
    requests_done(&queue);
}

/* A backend takes minutes for some, and others come and go meanwhile. */
static void what_stays_open_does_not_stretch_the_ring(void **state)
{
    enum { OPEN = 1000, STEP = 100 };
    struct request_queue queue;
    struct request *request;
    uint32_t mask, capacity;
    uint64_t cursor = 0, seen = 0;

    (void)state;
    requests_init(&queue);
    mask = queue.mask;
    for (uint64_t i = 1; i <= OPEN * STEP; i++) {
        assert_int_equal(requests_next(&queue), i);
        add(&queue, i * 10);
        if (i % STEP)
            requests_finish(&queue, requests_find(&queue, i));
    }
    assert_int_equal(queue.mask, mask);
    assert_int_equal(queue.count, OPEN);
    while ((request = requests_walk(&queue, &cursor))) { /* in the order of their numbers */
        seen += STEP;
        assert_int_equal(cursor - 1, seen);
        assert_int_equal(request->socket, seen * 10);
        assert_ptr_equal(requests_find(&queue, seen), request);
        assert_null(requests_find(&queue, seen - 1));
    }
    assert_int_equal(seen, OPEN * STEP);

    /* What is finished there gives its place to others. */
    capacity = queue.late_capacity;
    for (uint64_t round = 1; round <= 10; round++) {
        cursor = 0;
        while ((request = requests_walk(&queue, &cursor)))
            requests_finish(&queue, request);
        assert_int_equal(queue.count, 0);
        assert_int_equal(queue.bytes, 0);
        for (uint64_t i = 1; i <= (OPEN / 2) * STEP; i++) {
            add(&queue, i);
            if (i % STEP)
                requests_finish(&queue, requests_find(&queue, requests_next(&queue) - 1));
        }
        assert_int_equal(queue.count, OPEN / 2);
    }
    assert_int_equal(queue.late_capacity, capacity);
    assert_int_equal(queue.mask, mask);
    requests_done(&queue);
}

/* When most stay open, the ring is the right place for them. */
static void a_full_ring_grows_when_most_of_it_is_open(void **state)
{
    struct request_queue queue;

    (void)state;
    requests_init(&queue);
    for (uint64_t i = 1; i <= 10000; i++) {
        add(&queue, i);
        if (i % 2)
            requests_finish(&queue, requests_find(&queue, i));
    }
    assert_int_equal(queue.count, 5000);
    for (uint64_t i = 1; i <= 10000; i++) {
        struct request *request = requests_find(&queue, i);

        assert_int_equal(request != NULL, i % 2 == 0);
        if (request)
            requests_finish(&queue, request);
    }
    assert_int_equal(queue.count, 0);
    requests_done(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_count_up_and_are_found),
        cmocka_unit_test(answers_out_of_order_leave_the_others_in_place),
        cmocka_unit_test(the_ring_turns_without_growing),
        cmocka_unit_test(walking_survives_finishing),
        cmocka_unit_test(what_stays_open_does_not_stretch_the_ring),
        cmocka_unit_test(a_full_ring_grows_when_most_of_it_is_open),
    };

    return cmocka_run_group_tests_name("gateway request", tests, NULL, NULL);
}
