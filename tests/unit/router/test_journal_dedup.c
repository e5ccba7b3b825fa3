/*
 * When an id counts and when it does not any more, with the clock in the test's hand: journal_dedup.h on the
 * tables of a file that a journal has made.
 */
#include "tests/unit/router/journal_fixture.h"

#include "router/journal_dedup.h"

#include <stdio.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

static const uint64_t hour = 3600 * 1000, window = (uint64_t)JOURNAL_DEDUP_HOURS * 3600 * 1000;
static const uint64_t hash_keys[4] = {1, 2, 3, 4};

struct ids {
    struct fixture *fixture;
    sqlite3 *db;
    struct journal_dedup dedup;
};

static void ids_begin(struct ids *ids)
{
    assert_int_equal(sqlite3_open(ids->fixture->path, &ids->db), SQLITE_OK);
    assert_int_equal(journal_dedup_init(&ids->dedup, ids->db, hash_keys), 0);
}

static void ids_end(struct ids *ids)
{
    journal_dedup_done(&ids->dedup);
    assert_int_equal(sqlite3_close(ids->db), SQLITE_OK);
}

static void ids_open(struct ids *ids, struct fixture *fixture)
{
    fixture_open(fixture);
    fixture_close(fixture);
    ids->fixture = fixture;
    ids_begin(ids);
}

static void ids_reopen(struct ids *ids)
{
    ids_end(ids);
    ids_begin(ids);
}

/* 0, or the position of the first. */
static uint64_t find(struct ids *ids, const char *id, uint64_t now)
{
    char key[JOURNAL_DEDUP_KEY_LENGTH];
    struct journal_first first = {0, 0, 0};
    int result =
        journal_dedup_find(&ids->dedup, BYTES("/"), BYTES("s:alice"), bytes_from_text(id), now, key, &first);

    assert_true(result == 0 || result == ERROR_EXISTS);
    assert_int_equal(result == ERROR_EXISTS, first.pos != 0);
    return first.pos;
}

static void add(struct ids *ids, const char *id, uint64_t pos, uint64_t at)
{
    struct journal_first first = {pos, pos + 1000, at};
    char key[JOURNAL_DEDUP_KEY_LENGTH];
    struct journal_first ignored;

    assert_int_equal(
        journal_dedup_find(&ids->dedup, BYTES("/"), BYTES("s:alice"), bytes_from_text(id), at, key, &ignored),
        0);
    journal_dedup_add(&ids->dedup, BYTES("s:alice"), key, &first);
    journal_dedup_keep(&ids->dedup);
}

static void write_pass(struct ids *ids, uint64_t now)
{
    assert_int_equal(journal_dedup_write(&ids->dedup, now), 0);
    journal_dedup_written(&ids->dedup);
}

static uint64_t stored(struct ids *ids)
{
    sqlite3_stmt *statement;
    uint64_t count;

    assert_int_equal(sqlite3_prepare_v2(ids->db, "SELECT count(*) FROM dedup", -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    count = (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return count;
}

static void an_id_counts_to_the_millisecond_at_any_time_of_day(void **state)
{
    /* The days of the file begin at multiples of the window: right at one, behind it, and before the next. */
    static const uint64_t parts[] = {0, 1, 7 * 3600 * 1000, 23 * 3600 * 1000 + 3599999, 86399999};
    struct ids ids;

    ids_open(&ids, *state);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        uint64_t at = (20000 + 10 * i) * window + parts[i];
        char id[32];

        snprintf(id, sizeof id, "message-%zu", i);
        add(&ids, id, i + 1, at);
        write_pass(&ids, at);
        assert_int_equal(find(&ids, id, at), i + 1);
        assert_int_equal(find(&ids, id, at + window / 2), i + 1);
        assert_int_equal(find(&ids, id, at + window - 1), i + 1);
        assert_int_equal(find(&ids, id, at + window), 0);
        assert_int_equal(find(&ids, id, at + 2 * window), 0);
        ids_reopen(&ids);
        assert_int_equal(find(&ids, id, at + window - 1), i + 1);
        assert_int_equal(find(&ids, id, at + window), 0);
    }
    ids_end(&ids);
}

static void an_expired_id_counts_anew_from_its_second_message(void **state)
{
    const uint64_t at = 20000 * window + 5 * hour;
    struct ids ids;

    ids_open(&ids, *state);
    add(&ids, "message-1", 1, at);
    write_pass(&ids, at);
    add(&ids, "message-1", 2, at + window);
    assert_int_equal(find(&ids, "message-1", at + window), 2);
    write_pass(&ids, at + window);
    assert_int_equal(find(&ids, "message-1", at + 2 * window - 1), 2);
    assert_int_equal(find(&ids, "message-1", at + 2 * window), 0);
    ids_end(&ids);
}

static void a_clock_that_jumps_an_hour_forgets_nothing_young(void **state)
{
    /* An hour on either side of a day's end. */
    const uint64_t at = 20000 * window + hour / 2;
    struct ids ids;

    ids_open(&ids, *state);
    add(&ids, "message-1", 1, at);
    assert_int_equal(find(&ids, "message-1", at - hour), 1);
    assert_int_equal(find(&ids, "message-1", at + hour), 1);
    write_pass(&ids, at - hour);
    assert_int_equal(find(&ids, "message-1", at - hour), 1);
    assert_int_equal(find(&ids, "message-1", at - 24 * hour), 1);
    assert_int_equal(find(&ids, "message-1", at + hour), 1);
    ids_end(&ids);
}

static void what_memory_holds_counts_whatever_the_clock_says(void **state)
{
    const uint64_t at = 20000 * window;
    struct ids ids;

    ids_open(&ids, *state);
    add(&ids, "message-1", 1, at);
    assert_int_equal(find(&ids, "message-1", at + 100 * window), 1);
    assert_int_equal(find(&ids, "message-1", at - 100 * window), 1);
    ids_end(&ids);
}

static void what_was_undone_is_new(void **state)
{
    const struct journal_first first = {7, 7, 20000 * (uint64_t)86400000};
    struct ids ids;
    char key[JOURNAL_DEDUP_KEY_LENGTH];
    struct journal_first ignored;

    ids_open(&ids, *state);
    add(&ids, "message-1", 1, first.at);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(journal_dedup_find(&ids.dedup, BYTES("/"), BYTES("s:alice"), BYTES("message-2"),
                                            first.at, key, &ignored),
                         0);
        journal_dedup_add(&ids.dedup, BYTES("s:alice"), key, &first);
        assert_int_equal(find(&ids, "message-2", first.at), 7);
        journal_dedup_undo(&ids.dedup);
        assert_int_equal(find(&ids, "message-2", first.at), 0);
        assert_int_equal(find(&ids, "message-1", first.at), 1);
    }
    write_pass(&ids, first.at);
    assert_int_equal(stored(&ids), 1);
    ids_end(&ids);
}

static void expired_ids_leave_in_steps_and_no_others(void **state)
{
    enum { OLD = 2500, YOUNG = 100 };
    const uint64_t at = 20000 * window + 5 * hour;
    struct ids ids;
    uint64_t before;

    ids_open(&ids, *state);
    for (unsigned i = 0; i < OLD; i++) {
        char id[32];

        snprintf(id, sizeof id, "old-%06u", i);
        add(&ids, id, i + 1, at);
    }
    write_pass(&ids, at);
    for (unsigned i = 0; i < YOUNG; i++) {
        char id[32];

        snprintf(id, sizeof id, "young-%06u", i);
        add(&ids, id, OLD + i + 1, at + window + hour);
    }
    write_pass(&ids, at + window + hour);
    assert_int_equal(stored(&ids), OLD + YOUNG);
    do {
        before = stored(&ids);
        write_pass(&ids, at + 2 * window);
        assert_true(before - stored(&ids) <= 1100);
    } while (stored(&ids) < before);
    assert_int_equal(stored(&ids), YOUNG);
    assert_int_equal(find(&ids, "young-000000", at + 2 * window), OLD + 1);
    assert_int_equal(find(&ids, "young-000099", at + 2 * window), OLD + YOUNG);
    ids_end(&ids);
}

static int find_brief(struct ids *ids, unsigned number, char key[JOURNAL_DEDUP_KEY_LENGTH])
{
    struct journal_first first;
    char id[32];

    snprintf(id, sizeof id, "brief-%06u", number);
    return journal_dedup_find(&ids->dedup, BYTES("/"), BYTES("~0"), bytes_from_text(id), window, key, &first);
}

static void add_brief(struct ids *ids, unsigned number)
{
    char key[JOURNAL_DEDUP_KEY_LENGTH];

    assert_int_equal(find_brief(ids, number, key), 0);
    journal_dedup_add(&ids->dedup, BYTES("~0"), key, &(struct journal_first){number + 1, 0, window});
}

static void brief_ids_leave_memory_one_by_one_and_have_no_rows(void **state)
{
    char key[JOURNAL_DEDUP_KEY_LENGTH];
    struct ids ids;

    ids_open(&ids, *state);
    add(&ids, "message-1", 1, window);
    for (unsigned i = 0; i < JOURNAL_BRIEF_MAX; i++)
        add_brief(&ids, i);
    journal_dedup_keep(&ids.dedup);
    assert_int_equal(find_brief(&ids, 0, key), ERROR_EXISTS);
    add_brief(&ids, JOURNAL_BRIEF_MAX);
    assert_int_equal(find_brief(&ids, JOURNAL_BRIEF_MAX, key), ERROR_EXISTS);
    journal_dedup_undo(&ids.dedup);
    assert_int_equal(find_brief(&ids, JOURNAL_BRIEF_MAX, key), 0);
    add_brief(&ids, JOURNAL_BRIEF_MAX);
    journal_dedup_keep(&ids.dedup);
    assert_int_equal(find_brief(&ids, 0, key), 0);
    assert_int_equal(find_brief(&ids, 1, key), ERROR_EXISTS);
    write_pass(&ids, window);
    assert_int_equal(find_brief(&ids, 1, key), ERROR_EXISTS);
    assert_int_equal(stored(&ids), 1);
    assert_int_equal(find(&ids, "message-1", window), 1);
    ids_end(&ids);
}

/* As on a full disk. */
static void what_could_not_be_removed_is_removed_later(void **state)
{
    const uint64_t at = 20000 * window, now = at + 2 * window;
    struct ids ids;

    ids_open(&ids, *state);
    add(&ids, "message-1", 1, at);
    write_pass(&ids, at);
    assert_true(journal_dedup_expired(&ids.dedup, now));
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(sqlite3_exec(ids.db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(pass ? journal_dedup_write(&ids.dedup, now) : journal_dedup_expire(&ids.dedup, now),
                         0);
        assert_int_equal(sqlite3_exec(ids.db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        assert_true(journal_dedup_expired(&ids.dedup, now));
    }
    assert_int_equal(sqlite3_exec(ids.db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(journal_dedup_expire(&ids.dedup, now), 0);
    assert_int_equal(sqlite3_exec(ids.db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    journal_dedup_removed(&ids.dedup);
    assert_int_equal(stored(&ids), 0);
    assert_false(journal_dedup_expired(&ids.dedup, now));
    ids_end(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_id_counts_to_the_millisecond_at_any_time_of_day),
        TEST(an_expired_id_counts_anew_from_its_second_message),
        TEST(a_clock_that_jumps_an_hour_forgets_nothing_young),
        TEST(what_memory_holds_counts_whatever_the_clock_says),
        TEST(what_was_undone_is_new),
        TEST(expired_ids_leave_in_steps_and_no_others),
        TEST(brief_ids_leave_memory_one_by_one_and_have_no_rows),
        TEST(what_could_not_be_removed_is_removed_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
