/* Answers of history: what one has room for, and how messages with attachments become one packet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/socketio.h"
#include "router/listing.h"

#include <stdlib.h>

#define NUMBERED(num) "{\"_placeholder\":true,\"num\":" #num "}"

enum { MANY = LISTING_MAX, AMPLE = 1 << 20 };

static struct journal_message messages[MANY];
static struct wire_list lists[MANY];
static struct listing listing;

static int start(void **state)
{
    (void)state;
    listing = (struct listing){0};
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        wire_list_done(&lists[i]);
    return 0;
}

/* The next message of the room, with so many attachments. */
static void add(const char *arguments, unsigned attachments)
{
    unsigned at = listing.count;
    char data[2] = {(char)('A' + at)};

    for (unsigned i = 0; i < attachments; i++) {
        data[1] = (char)('0' + i);
        wire_list_put_blob(&lists[at], bytes_make(data, 2));
    }
    messages[at] = (struct journal_message){.seq = at + 1,
                                            .publish_id = BYTES("i"),
                                            .event = BYTES("e"),
                                            .sender_name = BYTES("f"),
                                            .arguments = bytes_from_text(arguments),
                                            .attachments = wire_list_finish(&lists[at])};
    listing.items[listing.count++] = &messages[at];
}

static void assert_shows(unsigned first, unsigned last, bool more)
{
    assert_int_equal(listing.count, last - first + 1);
    for (unsigned i = 0; i < listing.count; i++)
        assert_int_equal(listing.items[i]->seq, first + i);
    assert_int_equal(listing.more, more);
}

/* Bounds a copy from either end. */
static void assert_bounded(size_t limit, unsigned oldest_last, unsigned newest_first)
{
    struct listing whole = listing;
    unsigned count = whole.count;

    listing_bound(&listing, false, limit);
    assert_shows(1, oldest_last, oldest_last < count);
    listing = whole;
    listing_bound(&listing, true, limit);
    assert_shows(newest_first, count, newest_first > 1);
    listing = whole;
}

static void what_has_room_stays(void **state)
{
    (void)state;
    listing_bound(&listing, true, 0);
    assert_int_equal(listing.count, 0);
    assert_false(listing.more);
    for (unsigned i = 0; i < MANY; i++)
        add("1", 0);
    assert_bounded(AMPLE, MANY, 1);
    listing.more = true;
    listing_bound(&listing, false, AMPLE);
    assert_shows(1, MANY, true);
}

static void attachments_count_for_the_limit_in_bytes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        add("1", 1);
    assert_bounded(1, 1, 4); /* one always stays */
    listing_bound(&listing, false, 3 * (128 + 1 + 3 + messages[0].attachments.length));
    assert_shows(1, 3, true);
}

static void an_answer_ends_before_the_eleventh_attachment(void **state)
{
    (void)state;
    add(NUMBERED(0), 4);
    add("1", 0);
    add(NUMBERED(0), 6);
    add("1", 0);
    add(NUMBERED(0), 1);
    add(NUMBERED(0), 9);
    add(NUMBERED(0), 10);
    assert_bounded(AMPLE, 4, 7);
    listing.count = 6;
    assert_bounded(AMPLE, 4, 4);
    listing.count = 4;
    assert_bounded(AMPLE, 4, 1);
}

static void what_would_be_misread_stands_apart(void **state)
{
    (void)state;
    add(NUMBERED(0), 0);
    add("1", 0);
    add(NUMBERED(0), 1);
    add("2", 0);
    add("[{\"num\":3,\"_placeholder\":true}]", 0);
    add(NUMBERED(5), 0);
    assert_bounded(AMPLE, 2, 4);
    listing.count = 5;
    assert_bounded(AMPLE, 2, 4);
    listing.count = 4;
    assert_bounded(AMPLE, 2, 2);
    listing.count = 3;
    assert_bounded(AMPLE, 2, 2);
    listing.count = 2;
    assert_bounded(AMPLE, 2, 1); /* without attachments nothing is misread */
}

static void placeholders_count_through_all_messages(void **state)
{
    struct wire_list attachments = {0};
    struct wire_reader reader;
    struct bytes attachment;
    struct buffer out = {0};
    static const char *const expected[] = {"A0", "A1", "C0"};

    (void)state;
    add(NUMBERED(1) "," NUMBERED(0), 2);
    add("\"plain\"", 0);
    add("[" NUMBERED(0) "]," NUMBERED(0), 1);
    listing_append(&listing, &out, &attachments);
    buffer_append_char(&out, '\0');
    assert_string_equal(
        out.data,
        "{\"seq\":1,\"id\":\"i\",\"event\":\"e\",\"from\":\"f\",\"at\":0,\"args\":[" NUMBERED(1) "," NUMBERED(
            0) "]},{\"seq\":2,\"id\":\"i\",\"event\":\"e\",\"from\":\"f\",\"at\":0,\"args\":[\"plain\"]},"
               "{\"seq\":3,\"id\":\"i\",\"event\":\"e\",\"from\":\"f\",\"at\":0,\"args\":[[" NUMBERED(
                   2) "]," NUMBERED(2) "]}");
    assert_int_equal(wire_list_open(&reader, wire_list_finish(&attachments)), 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(wire_list_text(&reader, &attachment), 0);
        assert_true(bytes_equal_text(attachment, expected[i]));
    }
    wire_list_done(&attachments);
    buffer_done(&out);
}

static void without_attachments_nothing_changes(void **state)
{
    struct wire_list attachments = {0};
    struct buffer out = {0};

    (void)state;
    listing_append(&listing, &out, &attachments);
    assert_int_equal(out.length, 0);
    add("1", 0);
    add(NUMBERED(7), 0);
    listing_append(&listing, &out, &attachments);
    assert_non_null(memmem(out.data, out.length, NUMBERED(7), sizeof NUMBERED(7) - 1));
    assert_int_equal(wire_list_finish(&attachments).length, 0);
    buffer_done(&out);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(what_has_room_stays),
        TEST(attachments_count_for_the_limit_in_bytes),
        TEST(an_answer_ends_before_the_eleventh_attachment),
        TEST(what_would_be_misread_stands_apart),
        TEST(placeholders_count_through_all_messages),
        TEST(without_attachments_nothing_changes),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
