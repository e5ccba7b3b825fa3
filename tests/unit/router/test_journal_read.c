/* Pages of a room and ranges of the log, wherever the index stands. */
#include "tests/unit/router/journal_fixture.h"

#include "router/journal_index.h"

#include <poll.h>
#include <stdio.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* The page holds exactly the room's seqs first to last, ascending, with the arguments of fixture_fill(). */
static void assert_page(struct fixture *fixture, const char *room, uint64_t before, uint64_t after,
                        unsigned limit, uint64_t first, uint64_t last, bool more)
{
    struct journal_read read = fixture_page(fixture, room, before, after, limit);

    assert_int_equal(read.count, last + 1 - first);
    for (size_t i = 0; i < read.count; i++) {
        char number[16];

        snprintf(number, sizeof number, "%llu", (unsigned long long)(first + i));
        assert_int_equal(read.messages[i].seq, first + i);
        assert_true(bytes_equal_text(read.messages[i].arguments, number));
        assert_true(bytes_equal_text(read.messages[i].room, room));
    }
    assert_int_equal(read.more, more);
    journal_read_free(&read);
    assert_null(read.messages);
}

/* All bounds of a room of count messages numbered from 1. */
static void check_pages(struct fixture *fixture, const char *room, uint64_t count)
{
    assert_page(fixture, room, 0, 0, 50, count - 49, count, true);
    assert_page(fixture, room, 0, 0, 200, count > 200 ? count - 199 : 1, count, count > 200);
    assert_page(fixture, room, 11, 0, 50, 1, 10, false);
    assert_page(fixture, room, 11, 0, 10, 1, 10, false);
    assert_page(fixture, room, 11, 0, 9, 2, 10, true);
    assert_page(fixture, room, 0, count - 5, 50, count - 4, count, false);
    assert_page(fixture, room, 0, 3, 5, 4, 8, true);
    assert_page(fixture, room, 0, count, 50, 1, 0, false);
    assert_page(fixture, room, 1, 0, 50, 1, 0, false);
    assert_page(fixture, room, count + 1000, 0, 3, count - 2, count, true);
    assert_page(fixture, room, 20, 10, 50, 11, 19, false);
    assert_page(fixture, room, 20, 10, 5, 15, 19, true);
    assert_page(fixture, room, UINT64_MAX, 0, 1, count, count, true);
    assert_page(fixture, room, 0, UINT64_MAX, 1, 1, 0, false);
    for (uint64_t seq = 1; seq < count; seq += 17) {
        assert_page(fixture, room, seq + 1, 0, 1, seq, seq, seq > 1);
        assert_page(fixture, room, 0, seq, 1, seq + 1, seq + 1, seq + 1 < count);
    }
}

static void fill_two_rooms(struct fixture *fixture, unsigned first, unsigned last)
{
    for (unsigned i = first; i <= last; i++) {
        char number[16];

        snprintf(number, sizeof number, "%u", i);
        fixture_publish(fixture, (struct text){.room = "a", .arguments = number});
        fixture_publish(fixture, (struct text){.room = "b", .arguments = number});
    }
    fixture_wait(fixture);
}

static void pages_see_what_is_in_no_index(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    fill_two_rooms(fixture, 1, 60);
    check_pages(fixture, "a", 60);
}

static void pages_see_what_is_in_the_rooms_row(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    fill_two_rooms(fixture, 1, JOURNAL_SEGMENT_MIN - 1);
    fixture_reopen(fixture);
    check_pages(fixture, "b", JOURNAL_SEGMENT_MIN - 1);
}

static void pages_join_segments_row_and_what_is_in_no_index(void **state)
{
    struct fixture *fixture = *state;
    unsigned count = 0;

    fixture_open(fixture);
    for (unsigned i = 0; i < 12; i++) {
        unsigned more = i == 5 ? 600 : 10 * i + 1;

        fill_two_rooms(fixture, count + 1, count + more);
        count += more;
        if (count > 50)
            check_pages(fixture, "a", count);
        fixture_reopen(fixture);
    }
    fill_two_rooms(fixture, count + 1, count + 5);
    check_pages(fixture, "a", count + 5);
    fixture_reopen(fixture);
    check_pages(fixture, "a", count + 5);
    check_pages(fixture, "b", count + 5);
    fixture_close(fixture);
    assert_true(fixture_number(fixture, "SELECT count(*) FROM segment") > 2);
    assert_true(fixture_number(fixture, "SELECT max(length(recent)) FROM room") > 0);
    /* Quiet growth must not leave a trail of short segments. */
    assert_true(fixture_number(fixture, "SELECT min(last_seq - first_seq + 1) FROM segment") >=
                JOURNAL_SEGMENT_MIN);
    assert_true(fixture_number(fixture, "SELECT max(last_seq - first_seq + 1) FROM segment") <=
                JOURNAL_SEGMENT_MAX);
}

static uint64_t rows_read(struct fixture *fixture)
{
    struct journal_statistics statistics;

    journal_statistics(fixture->journal, &statistics);
    return statistics.rows_read;
}

static void a_page_costs_the_same_at_both_ends_of_a_long_room(void **state)
{
    static const struct {
        uint64_t before, after, first;
        bool more;
    } pages[] = {{0, 0, 9951, true},    {51, 0, 1, false},     {0, 1, 2, true},
                 {5001, 0, 4951, true}, {0, 5000, 5001, true}, {0, 9950, 9951, false}};
    struct fixture *fixture = *state;

    fixture_open(fixture);
    fixture_fill(fixture, "a", 10000);
    fixture_reopen(fixture);
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        uint64_t before = rows_read(fixture);

        assert_page(fixture, "a", pages[i].before, pages[i].after, 50, pages[i].first, pages[i].first + 49,
                    pages[i].more);
        assert_true(rows_read(fixture) - before <= 50 + 2 * (JOURNAL_SEGMENT_MAX + 1));
    }
}

static void pages_hold_archived_messages_only(void **state)
{
    struct fixture *fixture = *state;
    struct journal_read read;

    fixture_open(fixture);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 300; i++)
            fixture_publish(fixture, (struct text){.room = "a", .class = i % 100 ? MESSAGE_LOGGED : 0});
        fixture_wait(fixture);
        if (round == 0)
            fixture_reopen(fixture);
    }
    read = fixture_page(fixture, "a", 0, 0, 4);
    assert_int_equal(read.count, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(read.messages[i].seq, 3 + i);
        assert_int_equal(read.messages[i].pos, 201 + 100 * i);
    }
    assert_true(read.more);
    journal_read_free(&read);
    read = fixture_page(fixture, "a", 0, 1, 50);
    assert_int_equal(read.count, 5);
    assert_int_equal(read.messages[0].seq, 2);
    assert_int_equal(read.messages[0].pos, 101);
    assert_false(read.more);
    journal_read_free(&read);
}

static void an_unknown_room_has_no_messages(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    fixture_fill(fixture, "a", 3);
    assert_page(fixture, "b", 0, 0, 50, 1, 0, false);
}

static void a_range_holds_every_row_up_to_its_bytes(void **state)
{
    struct fixture *fixture = *state;
    struct journal_read read;
    uint64_t bytes;

    fixture_open(fixture);
    fill_two_rooms(fixture, 1, 100);
    read = fixture_range(fixture, 3, 10, 1 << 20);
    assert_int_equal(read.count, 8);
    assert_true(read.complete);
    assert_int_equal(read.messages[0].pos, 3);
    assert_int_equal(read.messages[7].pos, 10);
    assert_true(bytes_equal_text(read.messages[7].room, "b"));
    journal_read_free(&read);

    bytes = sizeof "/" - 1 + sizeof "a" - 1 + sizeof "made-by-gateway" - 1 + sizeof "msg" - 1 + 1 +
            sizeof "sid-of-sender" - 1 + sizeof "alice" - 1;
    read = fixture_range(fixture, 1, 18, 5 * bytes);
    assert_int_equal(read.count, 5);
    assert_false(read.complete);
    journal_read_free(&read);
    read = fixture_range(fixture, 1, 5, 5 * bytes);
    assert_int_equal(read.count, 5);
    assert_true(read.complete);
    journal_read_free(&read);
    read = fixture_range(fixture, 1, 5, 0);
    assert_int_equal(read.count, 0);
    assert_false(read.complete);
    journal_read_free(&read);
    read = fixture_range(fixture, 201, UINT64_MAX, 1 << 20);
    assert_int_equal(read.count, 0);
    assert_true(read.complete);
    journal_read_free(&read);
}

static void texts_larger_than_a_chunk_stay_whole(void **state)
{
    enum { LENGTH = 300000 };
    struct fixture *fixture = *state;
    char *text = test_malloc(LENGTH + 1);
    struct journal_read read;

    for (int i = 0; i < LENGTH; i++)
        text[i] = (char)('a' + i % 23);
    text[LENGTH] = '\0';
    fixture_open(fixture);
    for (int i = 0; i < 3; i++)
        fixture_publish(fixture, (struct text){.room = "a", .arguments = i == 1 ? text : "1"});
    fixture_wait(fixture);
    read = fixture_page(fixture, "a", 0, 0, 3);
    assert_int_equal(read.count, 3);
    assert_true(bytes_equal_text(read.messages[0].arguments, "1"));
    assert_true(bytes_equal_text(read.messages[1].arguments, text));
    assert_true(bytes_equal_text(read.messages[2].arguments, "1"));
    journal_read_free(&read);
    test_free(text);
}

static struct journal_read read_some(struct fixture *fixture, struct journal_read read)
{
    read.kind = JOURNAL_READ_PAGE;
    read.namespace = BYTES("/");
    read.room = BYTES("a");
    fixture_read(fixture, &read);
    return read;
}

static void assert_some(struct fixture *fixture, struct journal_read wanted, uint64_t first, uint64_t last,
                        bool more)
{
    struct journal_read read = read_some(fixture, wanted);

    assert_int_equal(read.count, last + 1 - first);
    for (size_t i = 0; i < read.count; i++)
        assert_int_equal(read.messages[i].seq, first + i);
    assert_int_equal(read.more, more);
    journal_read_free(&read);
}

static void a_page_may_begin_with_the_oldest_of_all(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    assert_some(fixture, (struct journal_read){.forward = true, .limit = 3}, 1, 0, false);
    fixture_fill(fixture, "a", 20);
    assert_some(fixture, (struct journal_read){.forward = true, .limit = 3}, 1, 3, true);
    assert_some(fixture, (struct journal_read){.forward = true, .limit = 20}, 1, 20, false);
    assert_some(fixture, (struct journal_read){.forward = true, .before = 5, .limit = 3}, 1, 3, true);
    assert_some(fixture, (struct journal_read){.forward = true, .before = 4, .limit = 3}, 1, 3, false);
}

static void a_page_loads_no_more_than_its_bytes(void **state)
{
    struct fixture *fixture = *state;
    char text[1001];

    memset(text, 'x', 1000);
    text[1000] = '\0';
    fixture_open(fixture);
    for (unsigned i = 0; i < 100; i++)
        fixture_publish(fixture, (struct text){.room = "a", .arguments = text});
    fixture_wait(fixture);
    assert_some(fixture, (struct journal_read){.limit = 50, .max_bytes = 4000}, 97, 100, true);
    assert_some(fixture, (struct journal_read){.limit = 50, .max_bytes = 1}, 100, 100, true);
    assert_some(fixture, (struct journal_read){.before = 3, .limit = 50, .max_bytes = 1500}, 1, 2, false);
    assert_some(fixture, (struct journal_read){.before = 4, .limit = 50, .max_bytes = 1500}, 2, 3, true);
    assert_some(fixture, (struct journal_read){.after = 10, .limit = 50, .max_bytes = 4000}, 11, 14, true);
    assert_some(fixture, (struct journal_read){.forward = true, .limit = 50, .max_bytes = 4000}, 1, 4, true);
    assert_some(fixture, (struct journal_read){.after = 98, .limit = 50, .max_bytes = 1500}, 99, 100, false);
    assert_some(fixture, (struct journal_read){.after = 98, .limit = 50}, 99, 100, false);
}

static void a_read_sees_what_was_given_back_before_it(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    for (unsigned i = 1; i <= 200; i++) {
        char number[16];

        snprintf(number, sizeof number, "%u", i);
        fixture_publish(fixture, (struct text){.room = "a", .arguments = number});
        fixture_wait(fixture);
        assert_page(fixture, "a", 0, 0, 1, i, i, i > 1);
    }
}

static void count_done(struct journal_read *read, void *argument)
{
    unsigned *results = argument;

    results[read->result == ERROR_CLOSED]++;
    journal_read_free(read);
}

static void too_many_reads_are_refused_and_closing_ends_all(void **state)
{
    static struct journal_read reads[JOURNAL_READS_WAITING_MAX + 1];
    struct fixture *fixture = *state;
    unsigned results[2] = {0};

    fixture_open(fixture);
    fixture_fill(fixture, "a", 100);
    for (int i = 0; i <= JOURNAL_READS_WAITING_MAX; i++) {
        reads[i] = (struct journal_read){.kind = JOURNAL_READ_RANGE,
                                         .first = 1,
                                         .last = 100,
                                         .max_bytes = 1 << 20,
                                         .done = count_done,
                                         .argument = results};
        assert_int_equal(journal_read(fixture->journal, &reads[i]),
                         i < JOURNAL_READS_WAITING_MAX ? 0 : ERROR_BUSY);
    }
    fixture_close(fixture);
    assert_int_equal(results[0] + results[1], JOURNAL_READS_WAITING_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_see_what_is_in_no_index),
        TEST(pages_see_what_is_in_the_rooms_row),
        TEST(pages_join_segments_row_and_what_is_in_no_index),
        TEST(a_page_costs_the_same_at_both_ends_of_a_long_room),
        TEST(pages_hold_archived_messages_only),
        TEST(an_unknown_room_has_no_messages),
        TEST(a_range_holds_every_row_up_to_its_bytes),
        TEST(texts_larger_than_a_chunk_stay_whole),
        TEST(a_page_may_begin_with_the_oldest_of_all),
        TEST(a_page_loads_no_more_than_its_bytes),
        TEST(a_read_sees_what_was_given_back_before_it),
        TEST(too_many_reads_are_refused_and_closing_ends_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
