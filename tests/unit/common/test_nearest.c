/* Which name was meant. */
#include "tests/unit/common/test.h"

#include "common/nearest.h"

#include <string.h>

/* Among ping_interval, ping_timeout, port, gateways, and a. */
static const char *meant(const char *word)
{
    static const char *const names[] = {"ping_interval", "ping_timeout", "port", "gateways", "a"};
    struct nearest nearest;

    nearest_init(&nearest, word);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        nearest_offer(&nearest, names[i]);
    return nearest_found(&nearest);
}

static void slips_of_the_fingers_are_seen_through(void **state)
{
    (void)state;
    assert_string_equal(meant("ping_intervall"), "ping_interval");
    assert_string_equal(meant("ping-interval"), "ping_interval");
    assert_string_equal(meant("pingtimeout"), "ping_timeout");
    assert_string_equal(meant("prot"), "port");
    assert_string_equal(meant("pot"), "port");
    assert_string_equal(meant("getaways"), "gateways");
    assert_string_equal(meant("port"), "port");
}

static void other_words_mean_nothing(void **state)
{
    static const char longest[] = "ping_intervalping_intervalping_intervalping_intervalping_interval";

    (void)state;
    assert_null(meant("colour"));
    assert_null(meant(""));
    assert_null(meant("sockets"));
    assert_true(strlen(longest) > NEAREST_WORD_MAX);
    assert_null(meant(longest));
}

static void of_equally_near_names_the_first_is_meant(void **state)
{
    struct nearest nearest;

    (void)state;
    nearest_init(&nearest, "cat");
    assert_null(nearest_found(&nearest));
    nearest_offer(&nearest, "car");
    nearest_offer(&nearest, "can");
    assert_string_equal(nearest_found(&nearest), "car");
    nearest_offer(&nearest, "cat");
    assert_string_equal(nearest_found(&nearest), "cat");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slips_of_the_fingers_are_seen_through),
        cmocka_unit_test(other_words_mean_nothing),
        cmocka_unit_test(of_equally_near_names_the_first_is_meant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
