/* The times of publishes: what counts as one, from when, and until when. */
#include "common/clock.h"
#include "tests/unit/gateway/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

enum { MANY = 1000 };

static struct gateway *gateway;

static int set_up(void **state)
{
    (void)state;
    gateway = fixture_start();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_stop(gateway);
    return 0;
}

static void answer(enum request_kind kind, uint64_t taken, struct bytes text)
{
    publishing_note(gateway, &(struct request){.kind = (uint8_t)kind, .taken = taken}, text);
}

static uint64_t published(void)
{
    return histogram_count(&gateway->histograms.publish);
}

static void only_events_that_were_not_refused_count(void **state)
{
    static const enum request_kind others[] = {REQUEST_CONNECT,  REQUEST_JOIN,     REQUEST_LEAVE,
                                               REQUEST_HISTORY,  REQUEST_PRESENCE, REQUEST_CALL,
                                               REQUEST_RESPONSE, REQUEST_PUBLISH,  REQUEST_LOOK};
    uint64_t now = loop_now_ns(gateway->loop);

    (void)state;
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
        answer(others[i], now, BYTES("{\"ok\":true}"));
    answer(REQUEST_EVENT, now, BYTES("{\"ok\":false,\"error\":{\"code\":\"busy\"}}"));
    publishing_settle(gateway);
    assert_int_equal(published(), 0);
    answer(REQUEST_EVENT, now, BYTES("{\"ok\":true,\"id\":\"a\",\"seq\":1,\"at\":1}"));
    answer(REQUEST_EVENT, now, (struct bytes){0}); /* DONE */
    publishing_settle(gateway);
    assert_int_equal(published(), 2);
    publishing_settle(gateway);
    assert_int_equal(published(), 2);
}

static void it_lasts_until_all_is_written(void **state)
{
    const uint64_t second = 1000000000;
    uint64_t before = clock_monotonic_ns(), most;

    (void)state;
    answer(REQUEST_EVENT, before - 2 * second, (struct bytes){0});
    assert_int_equal(published(), 0);
    usleep(20000); /* the turn goes on */
    publishing_settle(gateway);
    most = clock_monotonic_ns() - before + 2 * second;
    assert_int_equal(published(), 1);
    assert_in_range(gateway->histograms.publish.sum, 2 * second + 20000000, most);
}

static void a_request_lasts_until_the_turn_of_its_answer(void **state)
{
    uint64_t now = loop_now_ns(gateway->loop);

    (void)state;
    answer(REQUEST_JOIN, now - 5000000, BYTES("{\"ok\":true}"));
    answer(REQUEST_EVENT, now - 1000000, BYTES("{\"ok\":false}"));
    answer(REQUEST_CALL, now - 9000000, BYTES("{\"ok\":true}")); /* as long as a backend likes */
    assert_int_equal(histogram_count(&gateway->histograms.request), 2);
    assert_int_equal(gateway->histograms.request.sum, 6000000);
}

static void any_number_may_be_settled_in_one_turn(void **state)
{
    (void)state;
    for (int i = 0; i < MANY; i++)
        answer(REQUEST_EVENT, loop_now_ns(gateway->loop), (struct bytes){0});
    publishing_settle(gateway);
    assert_int_equal(published(), MANY);
}

int main(void)
{
#define PUBLISHING(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        PUBLISHING(only_events_that_were_not_refused_count),
        PUBLISHING(it_lasts_until_all_is_written),
        PUBLISHING(a_request_lasts_until_the_turn_of_its_answer),
        PUBLISHING(any_number_may_be_settled_in_one_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
