/* Batch numbers and credit: what a link must not take, and that every byte given out comes back. */
#include "proto/wire_flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { LINK = 77 };

static void numbers_count_up_each_way(void **state)
{
    struct wire_flow flow = {0};

    (void)state;
    wire_flow_reset(&flow, LINK);
    for (uint64_t i = 1; i <= 100; i++) {
        assert_int_equal(wire_flow_send(&flow, 10), i);
        assert_int_equal(wire_flow_receive(&flow, LINK, i, 0), 0);
        assert_int_equal(flow.received, i);
    }
    assert_int_equal(flow.unacknowledged_bytes, 1000);
    wire_flow_done(&flow);
}

static void what_does_not_follow_is_refused_and_changes_nothing(void **state)
{
    static const struct {
        uint64_t link, number, acknowledged;
    } wrong[] = {
        {LINK, 2, 5}, /* a repeat */
        {LINK, 1, 5},
        {LINK, 0, 5},
        {LINK, 4, 5}, /* a gap */
        {LINK, UINT64_MAX, 5},
        {LINK + 1, 3, 5}, /* another link */
        {0, 3, 5},
        {LINK, 3, 11}, /* of what was never sent */
        {LINK, 3, UINT64_MAX},
        {LINK, 3, 4}, /* taken back */
        {LINK, 3, 0},
    };
    struct wire_flow flow = {0};

    (void)state;
    wire_flow_reset(&flow, LINK);
    for (int i = 0; i < 10; i++)
        wire_flow_send(&flow, 100);
    assert_int_equal(wire_flow_receive(&flow, LINK, 1, 0), 0);
    assert_int_equal(wire_flow_receive(&flow, LINK, 2, 5), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct wire_flow before = flow;

        assert_int_equal(wire_flow_receive(&flow, wrong[i].link, wrong[i].number, wrong[i].acknowledged),
                         ERROR_PROTOCOL);
        assert_memory_equal(&flow, &before, sizeof flow);
    }
    assert_int_equal(wire_flow_receive(&flow, LINK, 3, 10), 0);
    assert_int_equal(flow.unacknowledged_bytes, 0);
    wire_flow_done(&flow);
}

/* Many more in flight than the ring starts with, acknowledged in steps of every size. */
static void credit_comes_back_to_the_byte(void **state)
{
    (void)state;
    for (uint64_t step = 1; step < 700; step += 37) {
        struct wire_flow flow = {0};
        uint64_t number = 0, expected = 0;

        wire_flow_reset(&flow, LINK);
        for (uint64_t i = 1; i <= 500; i++) {
            assert_int_equal(wire_flow_send(&flow, i), i);
            expected += i;
            assert_int_equal(flow.unacknowledged_bytes, expected);
        }
        for (uint64_t done = 0; done < 500;) {
            uint64_t to = done + step < 500 ? done + step : 500;

            for (uint64_t i = done + 1; i <= to; i++)
                expected -= i;
            assert_int_equal(wire_flow_receive(&flow, LINK, ++number, to), 0);
            assert_int_equal(flow.unacknowledged_bytes, expected);
            done = to;
        }
        assert_int_equal(expected, 0);
        wire_flow_done(&flow);
    }
}

/* The ring turns many times, and grows when its oldest entry is not at its start. */
static void the_ring_grows_where_it_stands(void **state)
{
    struct wire_flow flow = {0};
    uint64_t oldest = 0, number = 0, expected = 0;

    (void)state;
    wire_flow_reset(&flow, LINK);
    for (uint64_t i = 1; i <= 5000; i++) {
        wire_flow_send(&flow, 1000 + i);
        expected += 1000 + i;
        if (i % 3 == 0) { /* two of three come back */
            expected -= 1000 + oldest + 1 + 1000 + oldest + 2;
            oldest += 2;
            assert_int_equal(wire_flow_receive(&flow, LINK, ++number, oldest), 0);
        }
        assert_int_equal(flow.unacknowledged_bytes, expected);
    }
    assert_int_equal(wire_flow_receive(&flow, LINK, ++number, 5000), 0);
    assert_int_equal(flow.unacknowledged_bytes, 0);
    wire_flow_done(&flow);
}

static void a_steady_link_keeps_its_ring(void **state)
{
    struct wire_flow flow = {0};
    uint32_t mask;

    (void)state;
    wire_flow_reset(&flow, LINK);
    wire_flow_send(&flow, 1);
    mask = flow.ring_mask;
    for (uint64_t i = 1; i <= 10000; i++) {
        wire_flow_send(&flow, 1);
        assert_int_equal(wire_flow_receive(&flow, LINK, i, i), 0);
    }
    assert_int_equal(flow.ring_mask, mask);
    assert_int_equal(flow.unacknowledged_bytes, 1);
    wire_flow_done(&flow);
}

static void a_new_link_starts_from_nothing(void **state)
{
    struct wire_flow flow = {0};

    (void)state;
    for (uint64_t link = 1; link <= 3; link++) {
        wire_flow_reset(&flow, link);
        assert_int_equal(flow.unacknowledged_bytes, 0);
        assert_int_equal(flow.received, 0);
        for (uint64_t i = 1; i <= 100 * link; i++) /* more in flight on each: the ring outlives its link */
            assert_int_equal(wire_flow_send(&flow, 5), i);
        assert_int_equal(flow.unacknowledged_bytes, 500 * link);
        assert_int_equal(wire_flow_receive(&flow, link - 1, 1, 0), ERROR_PROTOCOL);
        assert_int_equal(wire_flow_receive(&flow, link, 1, 50), 0);
    }
    wire_flow_done(&flow);
    wire_flow_done(&flow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_count_up_each_way),
        cmocka_unit_test(what_does_not_follow_is_refused_and_changes_nothing),
        cmocka_unit_test(credit_comes_back_to_the_byte),
        cmocka_unit_test(the_ring_grows_where_it_stands),
        cmocka_unit_test(a_steady_link_keeps_its_ring),
        cmocka_unit_test(a_new_link_starts_from_nothing),
    };

    return cmocka_run_group_tests_name("proto wire_flow", tests, NULL, NULL);
}
