/* What leaves the journal and what stays, with both clocks in the test's hand; the parts without the threads.
 */
#include "tests/unit/router/journal_fixture.h"

#include "common/clock.h"
#include "common/memory.h"
#include "router/journal_lookup.h"
#include "router/journal_removal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

enum { RECOVERY_MS = 120000, SECOND = 1000, DAY = 24 * 3600 * SECOND, UNBOUNDED = 1 << 30, BATCH = 100 };

/* A journal without its threads. */
struct parts {
    struct fixture *fixture;
    struct journal_retention retention;
    struct journal_file file;
    struct journal_store store;
    struct journal_index index;
    struct journal_removal removal;
    struct journal_lookup lookup;
    uint64_t monotonic; /* as the removal is told */
    int64_t ahead;      /* of the wall clock that it is told, before the real one */
    struct batched {
        struct journal_entry entry;
        char room[16];
    } batch[BATCH];
    unsigned batch_count;
};

static void settle(struct parts *parts);

static uint64_t wall(const struct parts *parts)
{
    return (uint64_t)((int64_t)clock_wall_ms() + parts->ahead);
}

static int try_open(struct parts *parts)
{
    struct fixture *fixture = parts->fixture;
    int result = journal_file_open(&parts->file, fixture->path, fixture->message, sizeof fixture->message);

    if (result)
        return result;
    if (journal_store_init(&parts->store, &parts->file, fixture->message, sizeof fixture->message) ||
        journal_index_init(&parts->index, &parts->store, fixture->message, sizeof fixture->message) ||
        journal_removal_init(&parts->removal, &parts->store, &parts->index, &parts->retention,
                             parts->monotonic, wall(parts), fixture->message, sizeof fixture->message) ||
        journal_lookup_init(&parts->lookup, fixture->path, fixture->message, sizeof fixture->message))
        fail_msg("%s", fixture->message);
    return 0;
}

static void open_parts(struct parts *parts)
{
    if (try_open(parts))
        fail_msg("%s", parts->fixture->message);
}

static void close_parts(struct parts *parts)
{
    settle(parts);
    journal_lookup_done(&parts->lookup);
    journal_removal_done(&parts->removal);
    journal_index_done(&parts->index);
    journal_store_done(&parts->store);
    journal_file_close(&parts->file);
}

static void pass_over(struct parts *parts)
{
    settle(parts);
    assert_int_equal(journal_index_pass(&parts->index, 0), 0);
}

/* Closes it with all in the index, as the journal does. */
static void reopen(struct parts *parts)
{
    pass_over(parts);
    close_parts(parts);
    open_parts(parts);
}

/* Puts a message into the batch, which is committed when it is full; settle() commits what is left. */
static void put(struct parts *parts, struct text text)
{
    struct batched *batched = &parts->batch[parts->batch_count++];
    struct journal_entry *entry = &batched->entry;

    snprintf(batched->room, sizeof batched->room, "%s", text.room);
    *entry = (struct journal_entry){.kind = JOURNAL_WRITE};
    entry->message = (struct journal_message){
        .namespace = bytes_from_text(text.namespace ? text.namespace : "/"),
        .room = bytes_from_text(batched->room),
        .publish_id = BYTES("made-by-gateway"),
        .event = BYTES("msg"),
        .arguments = bytes_from_text(text.arguments ? text.arguments : "{}"),
        .sender_sid = bytes_from_text(text.sender_sid ? text.sender_sid : "sid-of-sender"),
        .sender_name = BYTES("alice"),
        .class = text.class ? text.class : MESSAGE_ARCHIVED,
        .deliver = text.deliver,
    };
    if (parts->batch_count > 1)
        parts->batch[parts->batch_count - 2].entry.next = entry;
    if (parts->batch_count == BATCH)
        settle(parts);
}

static void settle(struct parts *parts)
{
    struct journal_outcome outcome;

    if (parts->batch_count == 0)
        return;
    assert_int_equal(journal_store_commit(&parts->store, &parts->batch[0].entry, &outcome), 0);
    assert_int_equal(outcome.messages, parts->batch_count);
    parts->batch_count = 0;
    journal_removal_committed(&parts->removal, parts->monotonic);
}

static void fill(struct parts *parts, const char *room, enum message_class class, unsigned count)
{
    while (count--)
        put(parts, (struct text){.room = room, .class = class});
    settle(parts);
}

/* Lets time go by: steps as they become due, until the end of the span. */
static unsigned go_on(struct parts *parts, uint64_t milliseconds)
{
    uint64_t end = parts->monotonic + milliseconds;
    unsigned steps = 0;

    for (;;) {
        uint64_t due = journal_removal_due(&parts->removal, parts->monotonic, wall(parts));

        if (due > end)
            break;
        if (due > parts->monotonic) {
            parts->ahead += (int64_t)(due - parts->monotonic);
            parts->monotonic = due;
        }
        assert_int_equal(journal_removal_step(&parts->removal, parts->monotonic, wall(parts)), 0);
        parts->removal.not_before = 0; /* how long it rests is up to the machine */
        steps++;
    }
    parts->ahead += (int64_t)(end - parts->monotonic);
    parts->monotonic = end;
    return steps;
}

static uint64_t number(struct parts *parts, const char *sql)
{
    uint64_t out = 0;

    if (journal_file_number(&parts->file, sql, &out, parts->fixture->message, sizeof parts->fixture->message))
        fail_msg("%s", parts->fixture->message);
    return out;
}

static struct journal_read page(struct parts *parts, const char *room, uint64_t before, uint64_t after,
                                unsigned limit)
{
    struct journal_read read = {.kind = JOURNAL_READ_PAGE,
                                .namespace = BYTES("/"),
                                .room = bytes_from_text(room),
                                .before = before,
                                .after = after,
                                .limit = limit};

    journal_lookup_answer(&parts->lookup, &read);
    assert_int_equal(read.result, 0);
    return read;
}

static void assert_page(struct parts *parts, const char *room, uint64_t before, uint64_t after,
                        unsigned limit, uint64_t first, uint64_t last, bool more, uint64_t first_seq)
{
    struct journal_read read = page(parts, room, before, after, limit);

    assert_int_equal(read.count, last + 1 - first);
    for (size_t i = 0; i < read.count; i++)
        assert_int_equal(read.messages[i].seq, first + i);
    assert_int_equal(read.more, more);
    assert_int_equal(read.first_seq, first_seq);
    journal_read_free(&read);
}

/* What a client in one room missed; -1 when that cannot be known any more. */
static int missed(struct parts *parts, const char *room, uint64_t from, uint64_t namespace_from)
{
    struct journal_missed_room rooms[] = {{bytes_from_text(room), from}};
    struct journal_read read = {.kind = JOURNAL_READ_MISSED,
                                .namespace = BYTES("/"),
                                .rooms = rooms,
                                .room_count = 1,
                                .namespace_from = namespace_from,
                                .last = UINT64_MAX,
                                .limit = UNBOUNDED,
                                .max_bytes = UNBOUNDED};
    int count;

    journal_lookup_answer(&parts->lookup, &read);
    if (read.result == ERROR_NOT_FOUND)
        return -1;
    assert_int_equal(read.result, 0);
    assert_true(read.complete);
    count = (int)read.count;
    journal_read_free(&read);
    return count;
}

static int range(struct parts *parts, uint64_t first, uint64_t last, size_t *count)
{
    struct journal_read read = {
        .kind = JOURNAL_READ_RANGE, .first = first, .last = last, .max_bytes = UNBOUNDED};

    journal_lookup_answer(&parts->lookup, &read);
    *count = read.count;
    journal_read_free(&read);
    return read.result;
}

static void nothing_leaves_without_bounds(void **state)
{
    struct parts parts = {.fixture = *state, .monotonic = 5000};

    open_parts(&parts);
    fill(&parts, "a", MESSAGE_LOGGED, 300);
    fill(&parts, "a", MESSAGE_ARCHIVED, 300);
    pass_over(&parts);
    assert_int_equal(go_on(&parts, 100ULL * DAY), 0);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message"), 600);
    close_parts(&parts);
}

static void logged_messages_leave_when_the_recovery_time_is_over(void **state)
{
    struct parts parts = {.fixture = *state, .monotonic = 5000, .retention = {.recovery_ms = RECOVERY_MS}};
    size_t count;

    open_parts(&parts);
    fill(&parts, "a", MESSAGE_LOGGED, 100); /* 1 to 100 */
    fill(&parts, "a", MESSAGE_ARCHIVED, 100);
    put(&parts, (struct text){.room = "other", .class = MESSAGE_LOGGED}); /* 201 */
    pass_over(&parts);
    go_on(&parts, RECOVERY_MS - SECOND);
    assert_int_equal(parts.removal.logged_floor, 0);
    fill(&parts, "a", MESSAGE_LOGGED, 100); /* 202 to 301 */
    pass_over(&parts);
    assert_int_equal(range(&parts, 1, 301, &count), 0);
    assert_int_equal(count, 301);
    assert_int_equal(missed(&parts, "a", 0, 0), 300);

    go_on(&parts, SECOND);
    assert_int_equal(parts.removal.logged_floor, 201);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message WHERE class = 2"), 100);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message WHERE class = 1"), 100);
    assert_page(&parts, "a", 0, 0, 200, 1, 100, false, 1);
    assert_int_equal(range(&parts, 201, 301, &count), ERROR_NOT_FOUND);
    assert_int_equal(range(&parts, 202, 301, &count), 0);
    assert_int_equal(count, 100);
    /* Of the room that a client is in; others are not its business. */
    assert_int_equal(missed(&parts, "a", 99, 0), -1);
    assert_int_equal(missed(&parts, "a", 100, 0), 200);
    assert_int_equal(missed(&parts, "a", 250, 0), 51);
    assert_int_equal(missed(&parts, "other", 200, 0), -1);
    assert_int_equal(missed(&parts, "other", 201, 0), 0);
    assert_int_equal(missed(&parts, "nowhere", 0, 0), 0);

    go_on(&parts, RECOVERY_MS);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message WHERE class = 2"), 0);
    assert_int_equal(number(&parts, "SELECT count(*) FROM segment WHERE room_id < 0"), 0);
    assert_int_equal(number(&parts, "SELECT max(length(logged)) FROM room"), 0);
    assert_int_equal(missed(&parts, "a", 300, 0), -1);
    assert_int_equal(missed(&parts, "a", 301, 0), 0);
    close_parts(&parts);
}

static void what_went_to_the_namespace_leaves_its_series_and_stays_in_its_room(void **state)
{
    struct parts parts = {.fixture = *state, .monotonic = 5000, .retention = {.recovery_ms = RECOVERY_MS}};

    open_parts(&parts);
    put(&parts, (struct text){.room = "a", .deliver = DELIVER_NAMESPACE});
    put(&parts, (struct text){.room = "", .class = MESSAGE_LOGGED, .deliver = DELIVER_NAMESPACE});
    put(&parts, (struct text){.room = "a", .class = MESSAGE_LOGGED, .deliver = DELIVER_SELF});
    pass_over(&parts);
    assert_int_equal(missed(&parts, "b", 0, 0), 2);
    assert_int_equal(missed(&parts, "sid-of-sender", 0, 2), 1);
    go_on(&parts, RECOVERY_MS);
    assert_int_equal(missed(&parts, "b", 0, 1), -1);
    assert_int_equal(missed(&parts, "b", 0, 2), 0);
    assert_int_equal(missed(&parts, "sid-of-sender", 2, 2), -1);
    assert_int_equal(missed(&parts, "sid-of-sender", 3, 2), 0);
    assert_page(&parts, "a", 0, 0, 200, 1, 1, false, 1);
    close_parts(&parts);
}

static void archived_messages_beyond_the_number_leave(void **state)
{
    struct parts parts = {.fixture = *state,
                          .monotonic = 5000,
                          .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 500}};

    open_parts(&parts);
    for (int i = 0; i < 1000; i++) {
        put(&parts, (struct text){.room = i % 10 ? "a" : "b"});
        put(&parts, (struct text){.room = "a", .class = MESSAGE_LOGGED}); /* these do not count */
    }
    pass_over(&parts);
    go_on(&parts, RECOVERY_MS - SECOND);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message"), 2000);
    go_on(&parts, 2 * RECOVERY_MS);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message WHERE class = 1"), 500);
    assert_int_equal(number(&parts, "SELECT min(pos) FROM message WHERE class = 1"), 1001);
    assert_int_equal(parts.removal.removed, 500);
    assert_page(&parts, "a", 0, 0, 200, 701, 900, true, 451);
    assert_page(&parts, "a", 0, 1, 10, 451, 460, true, 451);
    assert_page(&parts, "a", 500, 0, 100, 451, 499, false, 451);
    assert_page(&parts, "a", 451, 0, 100, 1, 0, false, 451);
    assert_page(&parts, "a", 10, 0, 100, 1, 0, false, 451);
    assert_page(&parts, "b", 0, 0, 200, 51, 100, false, 51);
    assert_true(number(&parts, "SELECT ifnull(min(last_seq), 451) FROM segment WHERE room_id = "
                               "(SELECT room_id FROM room WHERE name = 'a')") >= 451);
    assert_int_equal(missed(&parts, "b", 980, 2000), -1);
    assert_int_equal(missed(&parts, "b", 981, 2000), 50);

    /* The count goes on after a start. */
    reopen(&parts);
    assert_int_equal(parts.removal.removed, 500);
    fill(&parts, "b", MESSAGE_ARCHIVED, 20);
    pass_over(&parts);
    go_on(&parts, 2 * RECOVERY_MS);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message WHERE class = 1"), 500);
    assert_int_equal(parts.removal.removed, 520);
    close_parts(&parts);
}

static void archived_messages_beyond_the_age_leave(void **state)
{
    struct parts parts = {.fixture = *state,
                          .monotonic = 5000,
                          .retention = {.recovery_ms = RECOVERY_MS, .keep_ms = 7ULL * DAY}};

    open_parts(&parts);
    fill(&parts, "a", MESSAGE_ARCHIVED, 400);
    pass_over(&parts);
    go_on(&parts, 3ULL * DAY);
    /* The store goes by the real clock: what it writes from now on is made as young as it should be. */
    assert_int_equal(number(&parts, "SELECT count(*) FROM message"), 400);
    fill(&parts, "b", MESSAGE_ARCHIVED, 10);
    pass_over(&parts);
    assert_int_equal(sqlite3_exec(parts.file.db, "UPDATE message SET at = at + 3 * 86400000 WHERE room = 'b'",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    go_on(&parts, 4ULL * DAY - 10 * SECOND);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message"), 410);
    go_on(&parts, 2 * 60 * SECOND);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message"), 10);
    assert_int_equal(parts.removal.archived_floor, 400);
    go_on(&parts, 3ULL * DAY);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message"), 0);
    close_parts(&parts);
}

static void nothing_leaves_before_the_archive_has_it(void **state)
{
    struct parts parts = {.fixture = *state,
                          .monotonic = 5000,
                          .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 10, .archive = true}};

    open_parts(&parts);
    fill(&parts, "a", MESSAGE_ARCHIVED, 300);
    pass_over(&parts);
    go_on(&parts, DAY);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message"), 300);
    journal_removal_archived(&parts.removal, 120);
    go_on(&parts, SECOND);
    assert_int_equal(number(&parts, "SELECT min(pos) FROM message"), 121);
    journal_removal_archived(&parts.removal, 100); /* a late word */
    journal_removal_archived(&parts.removal, 300);
    go_on(&parts, SECOND);
    assert_int_equal(number(&parts, "SELECT min(pos) FROM message"), 291);
    close_parts(&parts);
}

static void what_is_not_indexed_stays(void **state)
{
    struct parts parts = {
        .fixture = *state, .monotonic = 5000, .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 1}};

    open_parts(&parts);
    fill(&parts, "a", MESSAGE_ARCHIVED, 10);
    pass_over(&parts);
    fill(&parts, "a", MESSAGE_ARCHIVED, 10);
    fill(&parts, "a", MESSAGE_LOGGED, 10);
    go_on(&parts, DAY);
    assert_int_equal(number(&parts, "SELECT min(pos) FROM message"), 11);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message"), 20);
    /* As a crash leaves it. */
    close_parts(&parts);
    open_parts(&parts);
    assert_int_equal(parts.store.head, 30);
    assert_page(&parts, "a", 0, 0, 200, 11, 20, false, 11);
    fill(&parts, "a", MESSAGE_ARCHIVED, 1);
    assert_page(&parts, "a", 0, 0, 200, 11, 21, false, 11);
    close_parts(&parts);
}

static void counters_survive_when_all_is_gone(void **state)
{
    struct parts parts = {
        .fixture = *state, .monotonic = 5000, .retention = {.recovery_ms = RECOVERY_MS, .keep_ms = SECOND}};

    open_parts(&parts);
    fill(&parts, "a", MESSAGE_ARCHIVED, 300);
    fill(&parts, "b", MESSAGE_ARCHIVED, 3);
    pass_over(&parts);
    go_on(&parts, DAY);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message"), 0);
    assert_int_equal(number(&parts, "SELECT count(*) FROM segment"), 0);
    assert_int_equal(number(&parts, "SELECT max(length(recent)) FROM room"), 0);
    assert_int_equal(number(&parts, "SELECT count(*) FROM room WHERE last_at > 0"), 2);
    assert_page(&parts, "a", 0, 0, 50, 1, 0, false, 0);
    reopen(&parts);
    assert_int_equal(parts.store.head, 303);
    assert_int_equal(parts.removal.logged_floor, 303);
    assert_page(&parts, "a", 0, 0, 50, 1, 0, false, 0);
    fill(&parts, "a", MESSAGE_ARCHIVED, 2);
    assert_page(&parts, "a", 0, 0, 50, 301, 302, false, 301);
    reopen(&parts);
    assert_page(&parts, "a", 0, 0, 50, 301, 302, false, 301);
    assert_page(&parts, "a", 0, 7, 1, 301, 301, true, 301);
    assert_page(&parts, "b", 0, 0, 50, 1, 0, false, 0);
    close_parts(&parts);
}

static void a_start_gives_the_recovery_time_anew(void **state)
{
    struct parts parts = {.fixture = *state, .monotonic = 5000, .retention = {.recovery_ms = RECOVERY_MS}};

    open_parts(&parts);
    fill(&parts, "a", MESSAGE_LOGGED, 10);
    pass_over(&parts);
    for (int i = 0; i < 5; i++) {
        go_on(&parts, RECOVERY_MS - SECOND);
        reopen(&parts);
        assert_int_equal(number(&parts, "SELECT count(*) FROM message"), 10);
    }
    /* Another machine's monotonic clock. */
    close_parts(&parts);
    parts.monotonic = 17;
    open_parts(&parts);
    go_on(&parts, RECOVERY_MS - SECOND);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message"), 10);
    go_on(&parts, SECOND);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message"), 0);
    close_parts(&parts);
}

static void steps_are_small(void **state)
{
    struct parts parts = {
        .fixture = *state, .monotonic = 5000, .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 1}};
    uint64_t left = 3000;

    open_parts(&parts);
    for (int i = 0; i < 3000; i++) {
        char room[16];

        snprintf(room, sizeof room, "%d", i % 1000);
        put(&parts, (struct text){.room = room, .class = i % 2 ? MESSAGE_LOGGED : MESSAGE_ARCHIVED});
    }
    pass_over(&parts);
    parts.monotonic += RECOVERY_MS;
    while (left > 1) {
        uint64_t now;

        parts.monotonic += 60 * SECOND;
        assert_true(journal_removal_due(&parts.removal, parts.monotonic, wall(&parts)) <= parts.monotonic);
        assert_int_equal(journal_removal_step(&parts.removal, parts.monotonic, wall(&parts)), 0);
        now = number(&parts, "SELECT count(*) FROM message");
        assert_true(left - now <= JOURNAL_STEP_REMOVED);
        assert_true(parts.removal.touched_count <= JOURNAL_STEP_ROOMS);
        left = now;
    }
    assert_int_equal(journal_removal_due(&parts.removal, parts.monotonic, wall(&parts)), UINT64_MAX);
    close_parts(&parts);
}

static void a_step_rests_four_times_as_long_as_it_took(void **state)
{
    struct parts parts = {
        .fixture = *state, .monotonic = 5000, .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 1}};
    char text[20001];
    uint64_t started, took, due;

    memset(text, '7', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    open_parts(&parts);
    for (int i = 0; i < 600; i++)
        put(&parts, (struct text){.room = "a", .arguments = text});
    pass_over(&parts);
    parts.monotonic += RECOVERY_MS;
    /* The first ones move the logged floor. */
    do {
        parts.monotonic += SECOND;
        started = clock_monotonic_ns();
        assert_int_equal(journal_removal_step(&parts.removal, parts.monotonic, wall(&parts)), 0);
    } while (parts.removal.removed == 0);
    took = clock_monotonic_ns() - started;
    due = journal_removal_due(&parts.removal, parts.monotonic, wall(&parts));
    assert_true(parts.removal.removed < 599);
    assert_true(due > parts.monotonic);
    assert_true(due - parts.monotonic <= 5 * took / 1000000 + 1);
    close_parts(&parts);
}

static void space_is_used_again(void **state)
{
    struct parts parts = {.fixture = *state,
                          .monotonic = 5000,
                          .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 1000}};
    uint64_t pages = 0;

    open_parts(&parts);
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 1000; i++)
            put(&parts, (struct text){.room = i % 7 ? "a" : "b",
                                      .class = i % 3 ? MESSAGE_ARCHIVED : MESSAGE_LOGGED,
                                      .arguments = "\"some words of a usual length, and more\""});
        pass_over(&parts);
        go_on(&parts, 2 * RECOVERY_MS);
        if (round == 4)
            pages = number(&parts, "PRAGMA page_count");
    }
    assert_int_equal(number(&parts, "SELECT count(*) FROM message"), 1000);
    assert_true(number(&parts, "PRAGMA page_count") <= pages + pages / 5);
    close_parts(&parts);
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

    open_parts(&parts);
    fill(&parts, "a", MESSAGE_ARCHIVED, 500);
    fill(&parts, "a", MESSAGE_LOGGED, 500);
    pass_over(&parts);
    parts.monotonic += RECOVERY_MS;
    snprintf(wal_path, sizeof wal_path, "%s-wal", parts.fixture->path);
    assert_int_equal(stat(wal_path, &status), 0);
    set_file_limit((rlim_t)status.st_size);
    for (int i = 0; i < 3; i++) {
        assert_true(journal_removal_due(&parts.removal, parts.monotonic, wall(&parts)) <= parts.monotonic);
        assert_int_equal(journal_removal_step(&parts.removal, parts.monotonic, wall(&parts)), 0);
        assert_int_equal(journal_removal_due(&parts.removal, parts.monotonic, wall(&parts)),
                         parts.monotonic + SECOND);
        parts.monotonic += SECOND;
    }
    set_file_limit(RLIM_INFINITY);
    assert_int_equal(parts.removal.logged_floor, 0);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message"), 1000);
    assert_int_equal(number(&parts, "PRAGMA synchronous"), 2);
    go_on(&parts, 10 * SECOND);
    assert_int_equal(number(&parts, "SELECT count(*) FROM message"), 10);
    assert_int_equal(number(&parts, "PRAGMA synchronous"), 2);
    close_parts(&parts);
}

static void assert_damaged(struct parts *parts, const char *sql, const char *words)
{
    fixture_sql(parts->fixture, sql);
    assert_int_equal(try_open(parts), ERROR_CORRUPT);
    if (!strstr(parts->fixture->message, words))
        fail_msg("no \"%s\" in: %s", words, parts->fixture->message);
}

static void damage_is_told_from_removal(void **state)
{
    struct parts parts = {.fixture = *state,
                          .monotonic = 5000,
                          .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 300}};

    open_parts(&parts);
    for (int i = 0; i < 600; i++)
        put(&parts, (struct text){.room = "a", .class = i % 2 ? MESSAGE_ARCHIVED : MESSAGE_LOGGED});
    fill(&parts, "a", MESSAGE_ARCHIVED, 100);
    pass_over(&parts);
    go_on(&parts, RECOVERY_MS);
    fill(&parts, "a", MESSAGE_LOGGED, 50);
    pass_over(&parts);
    go_on(&parts, SECOND);
    assert_int_equal(parts.removal.logged_floor, 700);
    assert_int_equal(parts.removal.archived_floor, 200);
    reopen(&parts);
    close_parts(&parts);

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
    open_parts(&parts);
    close_parts(&parts);
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
        put(parts, (struct text){.room = known->wide && known->class == MESSAGE_LOGGED ? "" : room,
                                 .class = known->class,
                                 .deliver = known->wide ? DELIVER_NAMESPACE : DELIVER_ROOM});
    }
    settle(parts);
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
    assert_int_equal(number(parts, "SELECT count(*) FROM message"), left);
    for (int room = 0; room < ROOMS; room++) {
        const char name[2] = {(char)('a' + room), 0};
        uint64_t last = model->last_seq[room], start = first[room];
        uint64_t after = draw(model, (unsigned)last + 2), from = draw(model, (unsigned)model->count + 1);
        uint64_t low = after >= start ? after + 1 : start;
        uint64_t namespace_from = draw(model, (unsigned)model->count + 1);
        int expected = 0;

        if (start)
            assert_page(parts, name, 0, 0, 200, last - start >= 200 ? last - 199 : start, last,
                        last - start >= 200, start);
        else
            assert_page(parts, name, 0, 0, 200, 1, 0, false, 0);
        if (start && after && low <= last)
            assert_page(parts, name, 0, after, 1, low, low, low < last, start);
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
        assert_int_equal(missed(parts, name, from, namespace_from), expected);
    }
}

static void whatever_left_the_rest_is_found(void **state)
{
    struct parts parts = {.fixture = *state,
                          .monotonic = 5000,
                          .retention = {.recovery_ms = RECOVERY_MS, .keep_messages = 1500, .archive = true}};
    struct model *model = test_calloc(1, sizeof *model);

    model->seed = 42;
    open_parts(&parts);
    for (int round = 0; round < 120; round++) {
        publish_some(&parts, model, draw(model, 150));
        if (draw(model, 3) == 0)
            pass_over(&parts);
        if (draw(model, 2))
            journal_removal_archived(&parts.removal, draw(model, (unsigned)model->count + 1));
        go_on(&parts, draw(model, RECOVERY_MS / 2));
        check(&parts, model);
        if (draw(model, 8) == 0)
            reopen(&parts);
        if (draw(model, 8) == 0) {
            close_parts(&parts); /* without a pass, as a crash does */
            open_parts(&parts);
        }
    }
    assert_true(parts.removal.archived_floor > 1000);
    close_parts(&parts);
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
        TEST(nothing_leaves_without_bounds),
        TEST(logged_messages_leave_when_the_recovery_time_is_over),
        TEST(what_went_to_the_namespace_leaves_its_series_and_stays_in_its_room),
        TEST(archived_messages_beyond_the_number_leave),
        TEST(archived_messages_beyond_the_age_leave),
        TEST(nothing_leaves_before_the_archive_has_it),
        TEST(what_is_not_indexed_stays),
        TEST(counters_survive_when_all_is_gone),
        TEST(a_start_gives_the_recovery_time_anew),
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
