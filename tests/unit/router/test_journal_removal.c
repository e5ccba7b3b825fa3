/* What leaves the journal and what stays, with both clocks in the test's hand. */
#include "tests/unit/router/journal_parts.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

static void nothing_leaves_without_bounds(void **state)
{
    struct parts parts = {.fixture = *state, .monotonic = 5000};

    parts_open(&parts);
    parts_fill(&parts, "a", MESSAGE_LOGGED, 300);
    parts_fill(&parts, "a", MESSAGE_ARCHIVED, 300);
    parts_pass(&parts);
    assert_int_equal(parts_go_on(&parts, 100ULL * DAY), 0);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message"), 600);
    parts_close(&parts);
}

static void logged_messages_leave_when_the_recovery_time_is_over(void **state)
{
    struct parts parts = {.fixture = *state, .monotonic = 5000, .retention = {.recovery_ms = RECOVERY_MS}};
    size_t count;

    parts_open(&parts);
    parts_fill(&parts, "a", MESSAGE_LOGGED, 100); /* 1 to 100 */
    parts_fill(&parts, "a", MESSAGE_ARCHIVED, 100);
    parts_put(&parts, (struct text){.room = "other", .class = MESSAGE_LOGGED}); /* 201 */
    parts_pass(&parts);
    parts_go_on(&parts, RECOVERY_MS - SECOND);
    assert_int_equal(parts.removal.logged_floor, 0);
    parts_fill(&parts, "a", MESSAGE_LOGGED, 100); /* 202 to 301 */
    parts_pass(&parts);
    assert_int_equal(parts_range(&parts, 1, 301, &count), 0);
    assert_int_equal(count, 301);
    assert_int_equal(parts_missed(&parts, "a", 0, 0), 300);

    parts_go_on(&parts, SECOND);
    assert_int_equal(parts.removal.logged_floor, 201);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message WHERE class = 2"), 100);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message WHERE class = 1"), 100);
    parts_assert_page(&parts, "a", 0, 0, 200, 1, 100, false, 1);
    assert_int_equal(parts_range(&parts, 201, 301, &count), ERROR_NOT_FOUND);
    assert_int_equal(parts_range(&parts, 202, 301, &count), 0);
    assert_int_equal(count, 100);
    /* Of the room that a client is in; others are not its business. */
    assert_int_equal(parts_missed(&parts, "a", 99, 0), -1);
    assert_int_equal(parts_missed(&parts, "a", 100, 0), 200);
    assert_int_equal(parts_missed(&parts, "a", 250, 0), 51);
    assert_int_equal(parts_missed(&parts, "other", 200, 0), -1);
    assert_int_equal(parts_missed(&parts, "other", 201, 0), 0);
    assert_int_equal(parts_missed(&parts, "nowhere", 0, 0), 0);

    parts_go_on(&parts, RECOVERY_MS);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message WHERE class = 2"), 0);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM segment WHERE room_id < 0"), 0);
    assert_int_equal(parts_number(&parts, "SELECT max(length(logged)) FROM room"), 0);
    assert_int_equal(parts_missed(&parts, "a", 300, 0), -1);
    assert_int_equal(parts_missed(&parts, "a", 301, 0), 0);
    parts_close(&parts);
}

static void what_went_to_the_namespace_leaves_its_series_and_stays_in_its_room(void **state)
{
    struct parts parts = {.fixture = *state, .monotonic = 5000, .retention = {.recovery_ms = RECOVERY_MS}};

    parts_open(&parts);
    parts_put(&parts, (struct text){.room = "a", .deliver = DELIVER_NAMESPACE});
    parts_put(&parts, (struct text){.room = "", .class = MESSAGE_LOGGED, .deliver = DELIVER_NAMESPACE});
    parts_put(&parts, (struct text){.room = "a", .class = MESSAGE_LOGGED, .deliver = DELIVER_SELF});
    parts_pass(&parts);
    assert_int_equal(parts_missed(&parts, "b", 0, 0), 2);
    assert_int_equal(parts_missed(&parts, "sid-of-sender", 0, 2), 1);
    parts_go_on(&parts, RECOVERY_MS);
    assert_int_equal(parts_missed(&parts, "b", 0, 1), -1);
    assert_int_equal(parts_missed(&parts, "b", 0, 2), 0);
    assert_int_equal(parts_missed(&parts, "sid-of-sender", 2, 2), -1);
    assert_int_equal(parts_missed(&parts, "sid-of-sender", 3, 2), 0);
    parts_assert_page(&parts, "a", 0, 0, 200, 1, 1, false, 1);
    parts_close(&parts);
}

static void archived_messages_beyond_the_number_leave(void **state)
{
    struct parts parts = {.fixture = *state,
                          .monotonic = 5000,
                          .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 500}};

    parts_open(&parts);
    for (int i = 0; i < 1000; i++) {
        parts_put(&parts, (struct text){.room = i % 10 ? "a" : "b"});
        parts_put(&parts, (struct text){.room = "a", .class = MESSAGE_LOGGED}); /* these do not count */
    }
    parts_pass(&parts);
    parts_go_on(&parts, RECOVERY_MS - SECOND);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message"), 2000);
    parts_go_on(&parts, 2 * RECOVERY_MS);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message WHERE class = 1"), 500);
    assert_int_equal(parts_number(&parts, "SELECT min(pos) FROM message WHERE class = 1"), 1001);
    assert_int_equal(parts.removal.removed, 500);
    parts_assert_page(&parts, "a", 0, 0, 200, 701, 900, true, 451);
    parts_assert_page(&parts, "a", 0, 1, 10, 451, 460, true, 451);
    parts_assert_page(&parts, "a", 500, 0, 100, 451, 499, false, 451);
    parts_assert_page(&parts, "a", 451, 0, 100, 1, 0, false, 451);
    parts_assert_page(&parts, "a", 10, 0, 100, 1, 0, false, 451);
    parts_assert_page(&parts, "b", 0, 0, 200, 51, 100, false, 51);
    assert_true(parts_number(&parts, "SELECT ifnull(min(last_seq), 451) FROM segment WHERE room_id = "
                                     "(SELECT room_id FROM room WHERE name = 'a')") >= 451);
    assert_int_equal(parts_missed(&parts, "b", 980, 2000), -1);
    assert_int_equal(parts_missed(&parts, "b", 981, 2000), 50);

    /* The count goes on after a start. */
    parts_reopen(&parts);
    assert_int_equal(parts.removal.removed, 500);
    parts_fill(&parts, "b", MESSAGE_ARCHIVED, 20);
    parts_pass(&parts);
    parts_go_on(&parts, 2 * RECOVERY_MS);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message WHERE class = 1"), 500);
    assert_int_equal(parts.removal.removed, 520);
    parts_close(&parts);
}

static void archived_messages_beyond_the_age_leave(void **state)
{
    struct parts parts = {.fixture = *state,
                          .monotonic = 5000,
                          .retention = {.recovery_ms = RECOVERY_MS, .keep_ms = 7ULL * DAY}};

    parts_open(&parts);
    parts_fill(&parts, "a", MESSAGE_ARCHIVED, 400);
    parts_pass(&parts);
    parts_go_on(&parts, 3ULL * DAY);
    /* The store goes by the real clock: what it writes from now on is made as young as it should be. */
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message"), 400);
    parts_fill(&parts, "b", MESSAGE_ARCHIVED, 10);
    parts_pass(&parts);
    assert_int_equal(sqlite3_exec(parts.file.db, "UPDATE message SET at = at + 3 * 86400000 WHERE room = 'b'",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    parts_go_on(&parts, 4ULL * DAY - 10 * SECOND);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message"), 410);
    parts_go_on(&parts, 2 * 60 * SECOND);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message"), 10);
    assert_int_equal(parts.removal.archived_floor, 400);
    parts_go_on(&parts, 3ULL * DAY);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message"), 0);
    parts_close(&parts);
}

static void nothing_leaves_before_the_archive_has_it(void **state)
{
    struct parts parts = {.fixture = *state,
                          .monotonic = 5000,
                          .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 10, .archive = true}};

    parts_open(&parts);
    parts_fill(&parts, "a", MESSAGE_ARCHIVED, 300);
    parts_pass(&parts);
    parts_go_on(&parts, DAY);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message"), 300);
    journal_removal_archived(&parts.removal, 120);
    parts_go_on(&parts, SECOND);
    assert_int_equal(parts_number(&parts, "SELECT min(pos) FROM message"), 121);
    journal_removal_archived(&parts.removal, 100); /* a late word */
    journal_removal_archived(&parts.removal, 300);
    parts_go_on(&parts, SECOND);
    assert_int_equal(parts_number(&parts, "SELECT min(pos) FROM message"), 291);
    parts_close(&parts);
}

static void what_is_not_indexed_stays(void **state)
{
    struct parts parts = {
        .fixture = *state, .monotonic = 5000, .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 1}};

    parts_open(&parts);
    parts_fill(&parts, "a", MESSAGE_ARCHIVED, 10);
    parts_pass(&parts);
    parts_fill(&parts, "a", MESSAGE_ARCHIVED, 10);
    parts_fill(&parts, "a", MESSAGE_LOGGED, 10);
    parts_go_on(&parts, DAY);
    assert_int_equal(parts_number(&parts, "SELECT min(pos) FROM message"), 11);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message"), 20);
    /* As a crash leaves it. */
    parts_close(&parts);
    parts_open(&parts);
    assert_int_equal(parts.store.head, 30);
    parts_assert_page(&parts, "a", 0, 0, 200, 11, 20, false, 11);
    parts_fill(&parts, "a", MESSAGE_ARCHIVED, 1);
    parts_assert_page(&parts, "a", 0, 0, 200, 11, 21, false, 11);
    parts_close(&parts);
}

static void counters_survive_when_all_is_gone(void **state)
{
    struct parts parts = {
        .fixture = *state, .monotonic = 5000, .retention = {.recovery_ms = RECOVERY_MS, .keep_ms = SECOND}};

    parts_open(&parts);
    parts_fill(&parts, "a", MESSAGE_ARCHIVED, 300);
    parts_fill(&parts, "b", MESSAGE_ARCHIVED, 3);
    parts_pass(&parts);
    parts_go_on(&parts, DAY);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message"), 0);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM segment"), 0);
    assert_int_equal(parts_number(&parts, "SELECT max(length(recent)) FROM room"), 0);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM room WHERE last_at > 0"), 2);
    parts_assert_page(&parts, "a", 0, 0, 50, 1, 0, false, 0);
    parts_reopen(&parts);
    assert_int_equal(parts.store.head, 303);
    assert_int_equal(parts.removal.logged_floor, 303);
    parts_assert_page(&parts, "a", 0, 0, 50, 1, 0, false, 0);
    parts_fill(&parts, "a", MESSAGE_ARCHIVED, 2);
    parts_assert_page(&parts, "a", 0, 0, 50, 301, 302, false, 301);
    parts_reopen(&parts);
    parts_assert_page(&parts, "a", 0, 0, 50, 301, 302, false, 301);
    parts_assert_page(&parts, "a", 0, 7, 1, 301, 301, true, 301);
    parts_assert_page(&parts, "b", 0, 0, 50, 1, 0, false, 0);
    parts_close(&parts);
}

static void a_start_gives_the_recovery_time_anew(void **state)
{
    struct parts parts = {.fixture = *state, .monotonic = 5000, .retention = {.recovery_ms = RECOVERY_MS}};

    parts_open(&parts);
    parts_fill(&parts, "a", MESSAGE_LOGGED, 10);
    parts_pass(&parts);
    for (int i = 0; i < 5; i++) {
        parts_go_on(&parts, RECOVERY_MS - SECOND);
        parts_reopen(&parts);
        assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message"), 10);
    }
    /* Another machine's monotonic clock. */
    parts_close(&parts);
    parts.monotonic = 17;
    parts_open(&parts);
    parts_go_on(&parts, RECOVERY_MS - SECOND);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message"), 10);
    parts_go_on(&parts, SECOND);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message"), 0);
    parts_close(&parts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_leaves_without_bounds),
        TEST(logged_messages_leave_when_the_recovery_time_is_over),
        TEST(what_went_to_the_namespace_leaves_its_series_and_stays_in_its_room),
        TEST(archived_messages_beyond_the_number_leave),
        TEST(archived_messages_beyond_the_age_leave),
        TEST(nothing_leaves_before_the_archive_has_it),
        TEST(what_is_not_indexed_stays),
        TEST(counters_survive_when_all_is_gone),
        TEST(a_start_gives_the_recovery_time_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
