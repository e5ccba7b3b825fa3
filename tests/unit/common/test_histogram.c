/* Histograms: which range a value falls into, and what is counted up to a bound. */
#include "tests/unit/common/test.h"

#include "common/histogram.h"

#include <stdio.h>
#include <string.h>

static void a_bound_is_within_its_range(void **state)
{
    struct histogram histogram = {.bounds = &histogram_sizes};

    (void)state;
    for (unsigned i = 0; i < histogram_sizes.count; i++) {
        histogram_observe(&histogram, histogram_sizes.upper[i]);
        assert_int_equal(histogram.counts[i], 1);
        histogram_observe(&histogram, histogram_sizes.upper[i] + 1);
        assert_int_equal(histogram.counts[i], 1);
        memset(histogram.counts, 0, sizeof histogram.counts);
    }
}

static void values_beyond_all_bounds_are_counted(void **state)
{
    struct histogram histogram = {.bounds = &histogram_seconds};

    (void)state;
    histogram_observe(&histogram, UINT64_C(3600) * 1000000000);
    assert_int_equal(histogram.counts[histogram_seconds.count], 1);
    assert_int_equal(histogram_count(&histogram), 1);
    assert_int_equal(histogram.sum, UINT64_C(3600) * 1000000000);
}

static void bounds_ascend(void **state)
{
    static const struct histogram_bounds *const all[] = {&histogram_seconds, &histogram_sizes};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_in_range(all[i]->count, 1, HISTOGRAM_BOUNDS_MAX);
        for (unsigned j = 1; j < all[i]->count; j++)
            assert_true(all[i]->upper[j] > all[i]->upper[j - 1]);
    }
}

static void write_line(void *argument, const char *name, uint64_t value)
{
    char line[128];

    snprintf(line, sizeof line, "%s %llu\n", name, (unsigned long long)value);
    strcat(argument, line);
}

static void each_counts_up_to_its_bound(void **state)
{
    static const struct histogram_bounds bounds = {
        .count = 3, .divisor = 1000000000, .upper = {250000, 1000000, 2500000000}};
    struct histogram histogram = {.bounds = &bounds};
    char text[1024] = "";

    (void)state;
    histogram_observe(&histogram, 0);
    histogram_observe(&histogram, 1000000);
    histogram_observe(&histogram, 1000001);
    histogram_observe(&histogram, 2500000001);
    histogram_each(&histogram, "a_seconds", write_line, text);
    assert_string_equal(text, "a_seconds_bucket{le=0.00025} 1\na_seconds_bucket{le=0.001} 2\n"
                              "a_seconds_bucket{le=2.5} 3\na_seconds_bucket{le=+Inf} 4\na_seconds_count 4\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bound_is_within_its_range),
        cmocka_unit_test(values_beyond_all_bounds_are_counted),
        cmocka_unit_test(bounds_ascend),
        cmocka_unit_test(each_counts_up_to_its_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
