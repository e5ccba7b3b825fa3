/* Counters that gateways report: sums, gauges and totals, and gateways that go and come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/stats_source.h"

#include "common/memory.h"

#include <stdio.h>
#include <stdlib.h>

static int set_up(void **state)
{
    *state = memory_zero(1, sizeof(struct stats_sources));
    return 0;
}

static int tear_down(void **state)
{
    stats_sources_done(*state);
    free(*state);
    return 0;
}

static void report(struct stats_sources *sources, const char *gateway, uint64_t incarnation, uint64_t total,
                   uint64_t gauge)
{
    struct wire_list list = {0};

    wire_list_put_text(&list, BYTES("x_total{reason=a_total_b}"));
    wire_list_put_u64(&list, total);
    wire_list_put_text(&list, BYTES("gauge{x=_total}"));
    wire_list_put_u64(&list, gauge);
    assert_int_equal(stats_sources_take(sources, gateway, incarnation, wire_list_finish(&list)), 0);
    wire_list_done(&list);
}

static void check(const struct stats_sources *sources, uint64_t total, uint64_t gauge)
{
    assert_int_equal(stats_sources_find(sources, "x_total{reason=a_total_b}"), total);
    assert_int_equal(stats_sources_find(sources, "gauge{x=_total}"), gauge);
}

static void test_equal_names_are_added_up(void **state)
{
    struct stats_sources *sources = *state;

    check(sources, 0, 0);
    report(sources, "g1", 1, 10, 5);
    report(sources, "g2", 2, 20, 6);
    check(sources, 30, 11);
    report(sources, "g1", 1, 11, 1);
    check(sources, 31, 7);
}

static void test_a_gateway_that_is_gone_leaves_its_totals(void **state)
{
    struct stats_sources *sources = *state;

    report(sources, "g1", 1, 10, 5);
    stats_sources_forget(sources, "g1");
    stats_sources_forget(sources, "never there");
    check(sources, 10, 0);
    report(sources, "g1", 1, 12, 4);
    check(sources, 12, 4);
}

static void test_another_process_under_the_name_counts_anew(void **state)
{
    struct stats_sources *sources = *state;

    report(sources, "g1", 1, 10, 5);
    report(sources, "g1", 2, 1, 2);
    check(sources, 11, 2);
    stats_sources_forget(sources, "g1");
    report(sources, "g1", 3, 1, 3);
    check(sources, 12, 3);
}

static void report_two(struct stats_sources *sources, uint64_t incarnation, const char *first, uint64_t value,
                       const char *second, uint64_t other)
{
    struct wire_list list = {0};

    wire_list_put_text(&list, bytes_from_text(first));
    wire_list_put_u64(&list, value);
    wire_list_put_text(&list, bytes_from_text(second));
    wire_list_put_u64(&list, other);
    assert_int_equal(stats_sources_take(sources, "g1", incarnation, wire_list_finish(&list)), 0);
    wire_list_done(&list);
}

static void test_counts_of_histograms_count_up(void **state)
{
    struct stats_sources *sources = *state;

    report_two(sources, 1, "a_seconds_bucket{le=0.1}", 3, "a_seconds_count", 4);
    report_two(sources, 2, "a_seconds_bucket{le=0.1}", 1, "a_seconds_count", 1);
    assert_int_equal(stats_sources_find(sources, "a_seconds_bucket{le=0.1}"), 4);
    assert_int_equal(stats_sources_find(sources, "a_seconds_count"), 5);
}

static void test_names_may_come_in_any_order(void **state)
{
    struct stats_sources *sources = *state;

    report_two(sources, 1, "a", 1, "b", 2);
    report_two(sources, 1, "b", 3, "c", 4);
    report_two(sources, 1, "c", 5, "a", 6);
    assert_int_equal(stats_sources_find(sources, "a"), 6);
    assert_int_equal(stats_sources_find(sources, "b"), 3);
    assert_int_equal(stats_sources_find(sources, "c"), 5);
}

static void test_malformed_lists(void **state)
{
    struct stats_sources *sources = *state;
    struct wire_list list = {0};

    wire_list_put_text(&list, BYTES("x_total"));
    assert_int_equal(stats_sources_take(sources, "g1", 1, wire_list_finish(&list)), ERROR_MALFORMED);
    wire_list_put_text(&list, BYTES("no number"));
    assert_int_equal(stats_sources_take(sources, "g1", 1, wire_list_finish(&list)), ERROR_MALFORMED);
    assert_int_equal(stats_sources_take(sources, "g1", 1, BYTES("\xc0")), ERROR_MALFORMED);
    wire_list_done(&list);
}

static void test_too_many_names_are_passed_over(void **state)
{
    struct stats_sources *sources = *state;
    struct wire_list list = {0};
    char name[STATS_NAME_LENGTH_MAX + 2];

    memset(name, 'x', sizeof name);
    wire_list_put_text(&list, bytes_make(name, sizeof name - 1));
    wire_list_put_u64(&list, 1);
    wire_list_put_text(&list, BYTES("bad\n"));
    wire_list_put_u64(&list, 1);
    for (unsigned i = 0; i < STATS_NAMES_MAX + 10; i++) {
        int length = snprintf(name, sizeof name, "n%u", i);

        wire_list_put_text(&list, bytes_make(name, (size_t)length));
        wire_list_put_u64(&list, i);
    }
    assert_int_equal(stats_sources_take(sources, "g1", 1, wire_list_finish(&list)), 0);
    assert_int_equal(sources->name_count, STATS_NAMES_MAX);
    assert_int_equal(stats_sources_find(sources, "n511"), 511);
    assert_int_equal(stats_sources_find(sources, "n512"), 0);
    wire_list_done(&list);
}

static void test_too_many_gateways(void **state)
{
    struct stats_sources *sources = *state;
    char name[16];

    for (unsigned i = 0; i <= STATS_SOURCES_MAX; i++) {
        snprintf(name, sizeof name, "g%u", i);
        report(sources, name, 1, 1, 1);
    }
    check(sources, STATS_SOURCES_MAX, STATS_SOURCES_MAX);
    stats_sources_forget(sources, "g0");
    stats_sources_forget(sources, "g4095");
    report(sources, "another", 1, 1, 1);
    report(sources, "one more", 1, 1, 1);
    check(sources, STATS_SOURCES_MAX + 2, STATS_SOURCES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_equal_names_are_added_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_gateway_that_is_gone_leaves_its_totals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_process_under_the_name_counts_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_counts_of_histograms_count_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names_may_come_in_any_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_malformed_lists, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_many_names_are_passed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_many_gateways, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
