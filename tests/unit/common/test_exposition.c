/* Prometheus' text: families stay together, and whatever a label or help holds is escaped. */
#include "tests/unit/common/test.h"

#include "common/exposition.h"

#include <string.h>

static void assert_text(struct exposition *exposition, const char *expected)
{
    struct buffer out = {0};

    exposition_append(exposition, &out);
    buffer_append_char(&out, '\0');
    assert_string_equal(out.data, expected);
    buffer_done(&out);
    exposition_free(exposition);
}

static void nothing_is_nothing(void **state)
{
    (void)state;
    assert_text(exposition_new(), "");
}

static void the_suffix_is_the_type(void **state)
{
    struct exposition *exposition = exposition_new();

    (void)state;
    exposition_add(exposition, "a_total", "what a counts", UINT64_MAX);
    exposition_add(exposition, "b", "what b is", 0);
    exposition_add_real(exposition, "c_seconds", "what c is", 0.125);
    exposition_add_real(exposition, "d_bytes", "what d is", 21990311993344.0);
    assert_text(exposition,
                "# HELP a_total what a counts\n# TYPE a_total counter\na_total 18446744073709551615\n"
                "# HELP b what b is\n# TYPE b gauge\nb 0\n"
                "# HELP c_seconds what c is\n# TYPE c_seconds gauge\nc_seconds 0.125\n"
                "# HELP d_bytes what d is\n# TYPE d_bytes gauge\nd_bytes 21990311993344\n");
}

static void a_family_stays_together(void **state)
{
    struct exposition *exposition = exposition_new();

    (void)state;
    exposition_describe(exposition, "a_total", "a by reason");
    exposition_describe(exposition, "never_total", "has no sample");
    exposition_add(exposition, "a_total{reason=one}", "one", 1);
    exposition_add(exposition, "b", "b", 2);
    exposition_add(exposition, "a_total{reason=two}", "two", 3);
    exposition_add_labelled(exposition, "a_total", "reason", BYTES("three"), 4);
    assert_text(exposition, "# HELP a_total a by reason\n# TYPE a_total counter\na_total{reason=\"one\"} 1\n"
                            "a_total{reason=\"two\"} 3\na_total{reason=\"three\"} 4\n"
                            "# HELP b b\n# TYPE b gauge\nb 2\n");
}

static void without_a_description_the_name_is_the_help(void **state)
{
    struct exposition *exposition = exposition_new();

    (void)state;
    exposition_add(exposition, "a_total{reason=one}", "one", 1);
    assert_text(exposition, "# HELP a_total a_total\n# TYPE a_total counter\na_total{reason=\"one\"} 1\n");
}

static void what_would_end_a_line_or_a_label_is_escaped(void **state)
{
    struct exposition *exposition = exposition_new();

    (void)state;
    exposition_describe(exposition, "a", "two\nlines, a \\ and a \"");
    exposition_add_labelled(exposition, "a", "name", BYTES("x\"} 1\nb{y=\"\\"), 7);
    exposition_add(exposition, "a{name=}{=\"\n}", NULL, 8);
    assert_text(exposition, "# HELP a two\\nlines, a \\\\ and a \"\n# TYPE a gauge\n"
                            "a{name=\"x\\\"} 1\\nb{y=\\\"\\\\\"} 7\n"
                            "a{name=\"}{=\\\"\\n\"} 8\n");
}

static void a_histogram_counts_up_to_each_bound(void **state)
{
    static const struct histogram_bounds bounds = {.count = 2, .divisor = 1000, .upper = {1, 2500}};
    struct histogram histogram = {.bounds = &bounds};
    struct exposition *exposition = exposition_new();

    (void)state;
    histogram_observe(&histogram, 1);
    histogram_observe(&histogram, 2);
    histogram_observe(&histogram, 10000);
    exposition_add_histogram(exposition, "a_seconds", "how long", &histogram);
    assert_text(exposition, "# HELP a_seconds how long\n# TYPE a_seconds histogram\n"
                            "a_seconds_bucket{le=\"0.001\"} 1\na_seconds_bucket{le=\"2.5\"} 2\n"
                            "a_seconds_bucket{le=\"+Inf\"} 3\na_seconds_sum 10.003\na_seconds_count 3\n");
}

static void only_the_family_tells_a_counter(void **state)
{
    struct exposition *exposition = exposition_new();

    (void)state;
    exposition_add(exposition, "a{b=c_total}", NULL, 1);
    exposition_add(exposition, "_total", NULL, 2);
    assert_text(exposition, "# HELP a a\n# TYPE a gauge\na{b=\"c_total\"} 1\n"
                            "# HELP _total _total\n# TYPE _total gauge\n_total 2\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_nothing),
        cmocka_unit_test(the_suffix_is_the_type),
        cmocka_unit_test(a_family_stays_together),
        cmocka_unit_test(without_a_description_the_name_is_the_help),
        cmocka_unit_test(what_would_end_a_line_or_a_label_is_escaped),
        cmocka_unit_test(a_histogram_counts_up_to_each_bound),
        cmocka_unit_test(only_the_family_tells_a_counter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
