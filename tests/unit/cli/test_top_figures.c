/* The figures in the head of the live view. */
#include "tests/unit/common/test.h"

#include "cli/top_figures.h"

static void assert_text(struct buffer *out, const char *shown)
{
    if (!bytes_equal_text(buffer_bytes(out), shown))
        fail_msg("expected [%s] but got [%.*s]", shown, BYTES_PRINTF(buffer_bytes(out)));
    buffer_done(out);
}

static void assert_count(double value, const char *shown)
{
    struct buffer out = {0};

    top_figures_count(&out, value);
    assert_text(&out, shown);
}

static void assert_bytes(double value, const char *shown)
{
    struct buffer out = {0};

    top_figures_bytes(&out, value);
    assert_text(&out, shown);
}

static void numbers_stay_short(void **state)
{
    (void)state;
    assert_count(0, "0");
    assert_count(99999, "99999");
    assert_count(100000, "100k");
    assert_count(1234567, "1.2M");
    assert_count(99950000, "100M");
    assert_count(5e15, "5000T");
    assert_bytes(1023, "1023 B");
    assert_bytes(1024, "1.0 KB");
    assert_bytes(1.5 * 1024 * 1024, "1.5 MB");
}

static void assert_title(double seconds, const char *shown)
{
    json_t *stats = json_pack("{s:s, s:f}", "version", "1.2", "uptime_seconds", seconds);
    struct buffer out = {0};

    top_figures_title(&out, stats);
    json_decref(stats);
    assert_text(&out, shown);
}

static void the_time_has_two_units(void **state)
{
    struct buffer out = {0};

    (void)state;
    assert_title(59.9, "hubbub top  router 1.2, up 59 s");
    assert_title(61, "hubbub top  router 1.2, up 1 min 1 s");
    assert_title(7384, "hubbub top  router 1.2, up 2 h 3 min");
    assert_title(90000, "hubbub top  router 1.2, up 1 d 1 h");
    top_figures_title(&out, NULL);
    assert_text(&out, "hubbub top");
}

static void a_document_without_a_value_counts_as_nought(void **state)
{
    json_t *strange =
        json_pack("{s:s, s:[i], s:{s:s}}", "connections", "many", "messages", 1, "archive", "state", "none");
    struct buffer out = {0};

    (void)state;
    top_figures_clients(&out, strange, NULL);
    assert_text(&out, "connections 0  sockets 0  rooms 0  members 0  gateways 0  backends 0");
    out = (struct buffer){0};
    top_figures_messages(&out, strange);
    assert_text(&out, "messages in 0.0/s, out 0.0/s  commit 0.0 ms, average 0.0, worst 0.0");
    out = (struct buffer){0};
    top_figures_storage(&out, strange);
    assert_text(&out, "archive none  journal waiting 0");
    json_decref(strange);
    out = (struct buffer){0};
    top_figures_clients(&out, NULL, NULL);
    top_figures_messages(&out, NULL);
    top_figures_storage(&out, NULL);
    assert_text(&out, "");
}

static void only_gateways_that_take_clients_are_up(void **state)
{
    json_t *stats = json_object();
    json_t *gateways = json_pack("[{s:s, s:b}, {s:s, s:b}, {s:s}, {s:i}]", "state", "live", "draining", 0,
                                 "state", "live", "draining", 1, "state", "behind", "state", 7);
    struct buffer out = {0};

    (void)state;
    top_figures_clients(&out, stats, gateways);
    json_decref(stats);
    json_decref(gateways);
    assert_text(&out, "connections 0  sockets 0  rooms 0  members 0  gateways up 1/4  backends 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_stay_short),
        cmocka_unit_test(the_time_has_two_units),
        cmocka_unit_test(a_document_without_a_value_counts_as_nought),
        cmocka_unit_test(only_gateways_that_take_clients_are_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
