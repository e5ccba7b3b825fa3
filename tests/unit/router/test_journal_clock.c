/* A wall clock that jumps: what the journal believes of it, and the times that messages get.  The wall clock
   of the whole program is the test's: the linker puts __wrap_clock_wall_ms() in its place. */
#include "tests/unit/router/journal_fixture.h"

#include "common/clock.h"
#include "router/journal_clock.h"

#include <stdatomic.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

uint64_t __wrap_clock_wall_ms(void);

static const int64_t hour = 3600 * 1000;

static _Atomic int64_t wall = 1700000000000;

uint64_t __wrap_clock_wall_ms(void)
{
    return (uint64_t)wall;
}

/* Both clocks go on by so much, in steps of a minute. */
static uint64_t go_on(struct journal_clock *clock, uint64_t *monotonic, uint64_t *now, int64_t milliseconds)
{
    uint64_t believed = 0;

    for (int64_t gone = 0; gone < milliseconds; gone += 60000) {
        *monotonic += 60000;
        *now += 60000;
        believed = journal_clock_now(clock, *monotonic, *now);
    }
    return believed;
}

static void a_steady_clock_is_believed(void **state)
{
    struct journal_clock clock;
    uint64_t monotonic = 1000, now = 1700000000000, believed;

    (void)state;
    journal_clock_init(&clock, monotonic, now, 0);
    assert_int_equal(journal_clock_now(&clock, monotonic, now), now);
    believed = go_on(&clock, &monotonic, &now, 30 * hour);
    assert_int_equal(believed, now);
}

static void a_jump_forward_is_believed_when_it_lasted(void **state)
{
    struct journal_clock clock;
    uint64_t monotonic = 1000, now = 1700000000000, believed;

    (void)state;
    journal_clock_init(&clock, monotonic, now, 0);
    go_on(&clock, &monotonic, &now, hour / 2);
    now += 1000 * hour;
    believed = go_on(&clock, &monotonic, &now, hour - 60000);
    assert_int_equal(believed, now - 1000 * hour);
    believed = go_on(&clock, &monotonic, &now, hour);
    assert_int_equal(believed, now);
}

static void a_jump_forward_and_back_is_never_believed(void **state)
{
    struct journal_clock clock;
    uint64_t monotonic = 1000, now = 1700000000000, believed;

    (void)state;
    journal_clock_init(&clock, monotonic, now, 0);
    for (int i = 0; i < 50; i++) {
        now += hour;
        believed = go_on(&clock, &monotonic, &now, hour * 9 / 10);
        assert_int_equal(believed, now - hour);
        now -= hour;
        believed = go_on(&clock, &monotonic, &now, hour / 10);
        assert_int_equal(believed, now);
    }
}

static void a_jump_back_is_believed_at_once(void **state)
{
    struct journal_clock clock;
    uint64_t monotonic = 1000, now = 1700000000000, believed;

    (void)state;
    journal_clock_init(&clock, monotonic, now, 0);
    go_on(&clock, &monotonic, &now, hour);
    now -= 1000 * hour;
    assert_int_equal(journal_clock_now(&clock, monotonic, now), now);
    believed = go_on(&clock, &monotonic, &now, 3 * hour);
    assert_int_equal(believed, now);
}

static void a_start_goes_on_from_the_newest_message(void **state)
{
    struct journal_clock clock;
    uint64_t monotonic = 1000, now = 1700000000000, newest = now - 100 * hour, believed;

    (void)state;
    journal_clock_init(&clock, monotonic, now, newest);
    believed = go_on(&clock, &monotonic, &now, hour - 60000);
    assert_int_equal(believed, newest + hour - 60000);
    believed = go_on(&clock, &monotonic, &now, hour);
    assert_int_equal(believed, now);
    /* One from a clock that ran ahead says nothing. */
    journal_clock_init(&clock, monotonic, now, now + hour);
    assert_int_equal(journal_clock_now(&clock, monotonic, now), now);
}

static void times_never_fall_within_a_room(void **state)
{
    static const int64_t jumps[] = {0, hour, 1, -hour, -hour, 5, 2 * hour, -100 * hour, 1};
    struct fixture *fixture = *state;
    uint64_t last[2] = {0, 0};

    fixture_open(fixture);
    for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        struct journal_entry *entries[2];

        wall += jumps[i];
        entries[0] = fixture_publish(fixture, (struct text){.room = "a"});
        entries[1] =
            fixture_publish(fixture, (struct text){.room = "b", .class = i % 2 ? MESSAGE_LOGGED : 0});
        fixture_wait(fixture);
        for (int room = 0; room < 2; room++) {
            uint64_t expected = (uint64_t)wall > last[room] ? (uint64_t)wall : last[room];

            assert_int_equal(entries[room]->message.at, expected);
            last[room] = expected;
        }
        if (i % 3 == 2)
            fixture_reopen(fixture);
    }
    /* A room that is new takes the clock as it is. */
    fixture_publish(fixture, (struct text){.room = "c"});
    fixture_wait(fixture);
    assert_int_equal(fixture->back[fixture->back_count - 1]->message.at, wall);
    fixture_close(fixture);
    fixture_check_numbers(fixture);
}

static void a_jump_forward_removes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct journal_options options = {.path = fixture->path,
                                      .retention = {.recovery_ms = 1, .keep_ms = 7 * 24 * (uint64_t)hour}};
    struct journal_statistics statistics;

    assert_int_equal(
        journal_open(&options, NULL, NULL, &fixture->journal, fixture->message, sizeof fixture->message), 0);
    fixture_fill(fixture, "a", 100);
    wall += 1000 * 24 * hour;
    /* Until removal has looked at them: logged ones leave by the monotonic clock, archived ones stay. */
    do {
        fixture_publish(fixture, (struct text){.room = "b", .class = MESSAGE_LOGGED});
        fixture_wait(fixture);
        journal_statistics(fixture->journal, &statistics);
    } while (statistics.logged_floor < 101);
    for (int i = 0; i < 300; i++) {
        fixture_publish(fixture, (struct text){.room = "b", .class = MESSAGE_LOGGED});
        fixture_wait(fixture);
    }
    journal_statistics(fixture->journal, &statistics);
    assert_int_equal(statistics.removed, 0);
    fixture_close(fixture);
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM message WHERE class = 1"), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_steady_clock_is_believed),
        TEST(a_jump_forward_is_believed_when_it_lasted),
        TEST(a_jump_forward_and_back_is_never_believed),
        TEST(a_jump_back_is_believed_at_once),
        TEST(a_start_goes_on_from_the_newest_message),
        TEST(times_never_fall_within_a_room),
        TEST(a_jump_forward_removes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
