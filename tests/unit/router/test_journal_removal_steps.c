/* How messages leave the journal: in small steps, beside everything else, and on a full or a damaged disk. */
#include "tests/unit/router/journal_parts.h"

#include "common/clock.h"
#include "common/memory.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

static void steps_are_small(void **state)
{
    struct parts parts = {
        .fixture = *state, .monotonic = 5000, .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 1}};
    uint64_t left = 3000;

    parts_open(&parts);
    for (int i = 0; i < 3000; i++) {
        char room[16];

        snprintf(room, sizeof room, "%d", i % 1000);
        parts_put(&parts, (struct text){.room = room, .class = i % 2 ? MESSAGE_LOGGED : MESSAGE_ARCHIVED});
    }
    parts_pass(&parts);
    parts.monotonic += RECOVERY_MS;
    while (left > 1) {
        uint64_t now;

        parts.monotonic += 60 * SECOND;
        assert_true(journal_removal_due(&parts.removal, parts.monotonic, parts_wall(&parts)) <=
                    parts.monotonic);
        assert_int_equal(journal_removal_step(&parts.removal, parts.monotonic, parts_wall(&parts)), 0);
        now = parts_number(&parts, "SELECT count(*) FROM message");
        assert_true(left - now <= JOURNAL_STEP_REMOVED);
        assert_true(parts.removal.touched_count <= JOURNAL_STEP_ROOMS);
        left = now;
    }
    assert_int_equal(journal_removal_due(&parts.removal, parts.monotonic, parts_wall(&parts)), UINT64_MAX);
    parts_close(&parts);
}

static void a_step_rests_four_times_as_long_as_it_took(void **state)
{
    struct parts parts = {
        .fixture = *state, .monotonic = 5000, .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 1}};
    char text[20001];
    uint64_t started, took, due;

    memset(text, '7', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    parts_open(&parts);
    for (int i = 0; i < 600; i++)
        parts_put(&parts, (struct text){.room = "a", .arguments = text});
    parts_pass(&parts);
    parts.monotonic += RECOVERY_MS;
    /* The first ones move the logged floor. */
    do {
        parts.monotonic += SECOND;
        started = clock_monotonic_ns();
        assert_int_equal(journal_removal_step(&parts.removal, parts.monotonic, parts_wall(&parts)), 0);
    } while (parts.removal.removed == 0);
    took = clock_monotonic_ns() - started;
    due = journal_removal_due(&parts.removal, parts.monotonic, parts_wall(&parts));
    assert_true(parts.removal.removed < 599);
    assert_true(due > parts.monotonic);
    assert_true(due - parts.monotonic <= 5 * took / 1000000 + 1);
    parts_close(&parts);
}

static void space_is_used_again(void **state)
{
    struct parts parts = {.fixture = *state,
                          .monotonic = 5000,
                          .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 1000}};
    uint64_t pages = 0;

    parts_open(&parts);
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 1000; i++)
            parts_put(&parts, (struct text){.room = i % 7 ? "a" : "b",
                                            .class = i % 3 ? MESSAGE_ARCHIVED : MESSAGE_LOGGED,
                                            .arguments = "\"some words of a usual length, and more\""});
        parts_pass(&parts);
        parts_go_on(&parts, 2 * RECOVERY_MS);
        if (round == 4)
            pages = parts_number(&parts, "PRAGMA page_count");
    }
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message"), 1000);
    assert_true(parts_number(&parts, "PRAGMA page_count") <= pages + pages / 5);
    parts_close(&parts);
}

static void set_file_limit(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_puts_it_off(void **state)
{
    struct parts parts = {
        .fixture = *state, .monotonic = 5000, .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 10}};
    struct stat status;
    char wal_path[128];

    parts_open(&parts);
    parts_fill(&parts, "a", MESSAGE_ARCHIVED, 500);
    parts_fill(&parts, "a", MESSAGE_LOGGED, 500);
    parts_pass(&parts);
    parts.monotonic += RECOVERY_MS;
    snprintf(wal_path, sizeof wal_path, "%s-wal", parts.fixture->path);
    assert_int_equal(stat(wal_path, &status), 0);
    set_file_limit((rlim_t)status.st_size);
    for (int i = 0; i < 3; i++) {
        assert_true(journal_removal_due(&parts.removal, parts.monotonic, parts_wall(&parts)) <=
                    parts.monotonic);
        assert_int_equal(journal_removal_step(&parts.removal, parts.monotonic, parts_wall(&parts)), 0);
        assert_int_equal(journal_removal_due(&parts.removal, parts.monotonic, parts_wall(&parts)),
                         parts.monotonic + SECOND);
        parts.monotonic += SECOND;
    }
    set_file_limit(RLIM_INFINITY);
    assert_int_equal(parts.removal.logged_floor, 0);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message"), 1000);
    assert_int_equal(parts_number(&parts, "PRAGMA synchronous"), 2);
    parts_go_on(&parts, 10 * SECOND);
    assert_int_equal(parts_number(&parts, "SELECT count(*) FROM message"), 10);
    assert_int_equal(parts_number(&parts, "PRAGMA synchronous"), 2);
    parts_close(&parts);
}

static void assert_damaged(struct parts *parts, const char *sql, const char *words)
{
    fixture_sql(parts->fixture, sql);
    assert_int_equal(parts_try_open(parts), ERROR_CORRUPT);
    if (!strstr(parts->fixture->message, words))
        fail_msg("no \"%s\" in: %s", words, parts->fixture->message);
}

static void damage_is_told_from_removal(void **state)
{
    struct parts parts = {.fixture = *state,
                          .monotonic = 5000,
                          .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 300}};

    parts_open(&parts);
    for (int i = 0; i < 600; i++)
        parts_put(&parts, (struct text){.room = "a", .class = i % 2 ? MESSAGE_ARCHIVED : MESSAGE_LOGGED});
    parts_fill(&parts, "a", MESSAGE_ARCHIVED, 100);
    parts_pass(&parts);
    parts_go_on(&parts, RECOVERY_MS);
    parts_fill(&parts, "a", MESSAGE_LOGGED, 50);
    parts_pass(&parts);
    parts_go_on(&parts, SECOND);
    assert_int_equal(parts.removal.logged_floor, 700);
    assert_int_equal(parts.removal.archived_floor, 200);
    parts_reopen(&parts);
    parts_close(&parts);

    fixture_sql(parts.fixture, "CREATE TABLE saved AS SELECT * FROM message WHERE pos IN (701, 720)");
    assert_damaged(&parts, "DELETE FROM message WHERE pos = 720", "a message is missing beyond position 700");
    fixture_sql(parts.fixture, "INSERT INTO message SELECT * FROM saved WHERE pos = 720");
    assert_damaged(&parts, "DELETE FROM message WHERE pos = 701", "a message is missing beyond position 700");
    fixture_sql(parts.fixture, "INSERT INTO message SELECT * FROM saved WHERE pos = 701");
    assert_damaged(&parts,
                   "UPDATE saved SET pos = 7; INSERT INTO message SELECT * FROM saved WHERE rowid = 1",
                   "removed, 7");
    fixture_sql(parts.fixture, "DELETE FROM message WHERE pos = 7");
    assert_damaged(&parts, "UPDATE meta SET value = 5000 WHERE key = 'logged_floor'",
                   "beyond what is indexed");
    fixture_sql(parts.fixture, "UPDATE meta SET value = 700 WHERE key = 'logged_floor'");
    parts_open(&parts);
    parts_close(&parts);
}

/* -- at random, against a model ----------------------------------------------------------------- */

enum { ROOMS = 6 };

struct known {
    int room;
    enum message_class class;
    bool wide, gone;
    uint64_t seq;
};

struct model {
    struct known items[20000];
    size_t count;
    uint64_t seed, last_seq[ROOMS];
};

static unsigned draw(struct model *model, unsigned limit)
{
    model->seed = model->seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(model->seed >> 33) % limit;
}

static void publish_some(struct parts *parts, struct model *model, unsigned count)
{
    while (count--) {
        struct known *known = &model->items[model->count++];
        char room[2] = {0};

        known->room = (int)draw(model, ROOMS);
        known->class = draw(model, 3) ? MESSAGE_ARCHIVED : MESSAGE_LOGGED;
        known->wide = draw(model, 10) == 0;
        if (known->class == MESSAGE_ARCHIVED)
            known->seq = ++model->last_seq[known->room];
        room[0] = (char)('a' + known->room);
        parts_put(parts, (struct text){.room = known->wide && known->class == MESSAGE_LOGGED ? "" : room,
                                       .class = known->class,
                                       .deliver = known->wide ? DELIVER_NAMESPACE : DELIVER_ROOM});
    }
    parts_settle(parts);
}

/* What the floors say is gone must be gone, everything else must be there and be found. */
static void check(struct parts *parts, struct model *model)
{
    const struct journal_removal *removal = &parts->removal;
    uint64_t first[ROOMS] = {0}, left = 0;

    for (size_t i = 0; i < model->count; i++) {
        struct known *known = &model->items[i];
        uint64_t floor = known->class == MESSAGE_ARCHIVED ? removal->archived_floor : removal->logged_floor;

        known->gone = i + 1 <= floor;
        left += !known->gone;
        if (!known->gone && known->seq && !first[known->room])
            first[known->room] = known->seq;
    }
    assert_int_equal(parts_number(parts, "SELECT count(*) FROM message"), left);
    for (int room = 0; room < ROOMS; room++) {
        const char name[2] = {(char)('a' + room), 0};
        uint64_t last = model->last_seq[room], start = first[room];
        uint64_t after = draw(model, (unsigned)last + 2), from = draw(model, (unsigned)model->count + 1);
        uint64_t low = after >= start ? after + 1 : start;
        uint64_t namespace_from = draw(model, (unsigned)model->count + 1);
        int expected = 0;

        if (start)
            parts_assert_page(parts, name, 0, 0, 200, last - start >= 200 ? last - 199 : start, last,
                              last - start >= 200, start);
        else
            parts_assert_page(parts, name, 0, 0, 200, 1, 0, false, 0);
        if (start && after && low <= last)
            parts_assert_page(parts, name, 0, after, 1, low, low, low < last, start);
        for (size_t i = 0; i < model->count; i++) {
            const struct known *known = &model->items[i];
            bool asked = known->wide ? i + 1 > namespace_from : known->room == room && i + 1 > from;

            /* What went to the namespace leaves its series with the logged ones. */
            if (asked && (known->gone || (known->wide && i + 1 <= removal->logged_floor)))
                expected = -1;
            else if (asked && expected >= 0)
                expected++;
        }
        /* A room's own archived message to the namespace that was removed is a hole for the room, too. */
        for (size_t i = 0; i < model->count; i++)
            if (model->items[i].room == room && model->items[i].seq && model->items[i].gone && i + 1 > from)
                expected = -1;
        assert_int_equal(parts_missed(parts, name, from, namespace_from), expected);
    }
}

static void whatever_left_the_rest_is_found(void **state)
{
    struct parts parts = {.fixture = *state,
                          .monotonic = 5000,
                          .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 1500, .archive = true}};
    struct model *model = test_calloc(1, sizeof *model);

    model->seed = 42;
    parts_open(&parts);
    for (int round = 0; round < 120; round++) {
        publish_some(&parts, model, draw(model, 150));
        if (draw(model, 3) == 0)
            parts_pass(&parts);
        if (draw(model, 2))
            journal_removal_archived(&parts.removal, draw(model, (unsigned)model->count + 1));
        parts_go_on(&parts, draw(model, RECOVERY_MS / 2));
        check(&parts, model);
        if (draw(model, 8) == 0)
            parts_reopen(&parts);
        if (draw(model, 8) == 0) {
            parts_close(&parts); /* without a pass, as a crash does */
            parts_open(&parts);
        }
    }
    assert_true(parts.removal.archived_floor > 1000);
    parts_close(&parts);
    test_free(model);
}

/* -- while commits go on ------------------------------------------------------------------------ */

static void messages_leave_while_commits_go_on(void **state)
{
    struct fixture *fixture = *state;
    struct journal_options options = {.path = fixture->path,
                                      .retention = {.recovery_ms = 20, .keep_messages = 500}};
    struct journal_statistics statistics;
    unsigned published = 0;

    assert_int_equal(
        journal_open(&options, NULL, NULL, &fixture->journal, fixture->message, sizeof fixture->message), 0);
    assert_int_equal(journal_tail(fixture->journal), 1);
    do {
        for (int i = 0; i < 100; i++, published++)
            fixture_publish(fixture, (struct text){.room = "a", .class = i % 4 ? 0 : MESSAGE_LOGGED});
        fixture_wait(fixture);
        journal_statistics(fixture->journal, &statistics);
    } while (statistics.removed < 2000 || statistics.removed + 600 > published);
    assert_int_equal(journal_tail(fixture->journal), statistics.logged_floor + 1);
    assert_true(statistics.archived_floor <= statistics.logged_floor);
    fixture_reopen(fixture);
    assert_int_equal(journal_head(fixture->journal), published);
    assert_true(journal_tail(fixture->journal) > statistics.logged_floor);
    fixture_close(fixture);
    assert_int_equal(fixture_number(fixture, "SELECT max(seq) FROM message"), published / 4 * 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(steps_are_small),
        TEST(a_step_rests_four_times_as_long_as_it_took),
        TEST(space_is_used_again),
        TEST(a_full_disk_puts_it_off),
        TEST(damage_is_told_from_removal),
        TEST(whatever_left_the_rest_is_found),
        TEST(messages_leave_while_commits_go_on),
    };

    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
