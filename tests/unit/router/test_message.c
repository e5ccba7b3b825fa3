/* Messages as JSON: payloads, history entries and answers, and the space that a payload is completed in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/message.h"

#include "common/memory.h"
#include "proto/wire.h"

#include <stdlib.h>

static struct namespace_config config = {.entry = {"/", 1}};
static const struct namespace_list list = {&config, 1};
static struct namespace_table table;

static void make_rooms(struct rooms *rooms)
{
    namespace_table_init(&table, &list, 1);
    rooms_init(rooms, &table, 0);
}

static void free_rooms(struct rooms *rooms)
{
    rooms_done(rooms);
    namespace_table_done(&table);
}

static struct journal_message sample(struct bytes room)
{
    return (struct journal_message){.pos = 7,
                                    .seq = 3,
                                    .at = 1700000000000,
                                    .namespace = BYTES("/"),
                                    .room = room,
                                    .publish_id = BYTES("id \"1\""),
                                    .event = BYTES("a \\ b"),
                                    .arguments = BYTES("{\"x\":1} , 2"),
                                    .sender_sid = BYTES("sid"),
                                    .sender_name = BYTES("ann"),
                                    .class = MESSAGE_ARCHIVED,
                                    .meta = true};
}

static void check_text(struct buffer *out, const char *expected)
{
    assert_int_equal(out->length, strlen(expected));
    assert_memory_equal(out->data, expected, out->length);
    buffer_clear(out);
}

/* Both ways to make a payload must give the same. */
static void check_payload(const struct journal_message *fields, const char *epoch, const char *expected)
{
    struct rooms rooms;
    struct buffer out = {0};
    struct message *message;

    make_rooms(&rooms);
    message = message_new(fields, rooms_get(&rooms, namespace_find(&table, BYTES("/")), fields->room),
                          BYTES("scope"));
    assert_true(bytes_equal(message->ticket.entry.message.arguments, fields->arguments));
    assert_true(bytes_equal(message->ticket.entry.message.publish_id, fields->publish_id));
    assert_true(bytes_equal(message->ticket.entry.message.event, fields->event));
    assert_true(bytes_equal(message->ticket.entry.message.attachments, fields->attachments));
    assert_true(bytes_equal(message->ticket.entry.message.except, fields->except));
    assert_true(bytes_equal(message->ticket.entry.message.sender_sid, fields->sender_sid));
    assert_true(bytes_equal(message->ticket.entry.message.sender_name, fields->sender_name));
    assert_true(bytes_equal(message->ticket.entry.dedup_scope, BYTES("scope")));
    message_finish(message, epoch);
    buffer_append_bytes(&out, message_payload(message));
    check_text(&out, expected);
    message_append_payload(&out, fields, epoch);
    check_text(&out, expected);
    buffer_done(&out);
    free(message);
    free_rooms(&rooms);
}

static void test_payloads(void **state)
{
    struct journal_message fields = sample(BYTES("r\"m"));

    (void)state;
    check_payload(
        &fields, "epoch123",
        "[\"a \\\\ b\",{\"x\":1} , 2,{\"room\":\"r\\\"m\",\"seq\":3,\"id\":\"id \\\"1\\\"\",\"from\":\"ann\","
        "\"at\":1700000000000},\"epoch123.7\"]");
    fields.class = MESSAGE_LOGGED;
    check_payload(&fields, NULL,
                  "[\"a \\\\ b\",{\"x\":1} , 2,{\"room\":\"r\\\"m\",\"id\":\"id \\\"1\\\"\",\"from\":\"ann\","
                  "\"at\":1700000000000}]");
    fields.class = MESSAGE_VOLATILE;
    fields.publish_id = (struct bytes){0};
    check_payload(&fields, NULL,
                  "[\"a \\\\ b\",{\"x\":1} , 2,{\"room\":\"r\\\"m\",\"from\":\"ann\",\"at\":1700000000000}]");
    fields.sender_name = (struct bytes){0};
    fields.except = BYTES("\x91\xa1x");
    check_payload(&fields, NULL, "[\"a \\\\ b\",{\"x\":1} , 2,{\"room\":\"r\\\"m\",\"at\":1700000000000}]");
    fields.meta = false;
    check_payload(&fields, "e", "[\"a \\\\ b\",{\"x\":1} , 2,\"e.7\"]");
    fields.arguments = (struct bytes){0};
    check_payload(&fields, "e", "[\"a \\\\ b\",\"e.7\"]");
    check_payload(&fields, NULL, "[\"a \\\\ b\"]");
}

/* The longest of everything must fit what was reserved: message_finish() asserts it. */
static void test_the_largest_tail(void **state)
{
    char quotes[ROOM_NAME_MAX], controls[ROOM_NAME_MAX];
    struct journal_message fields = sample(bytes_make(quotes, sizeof quotes));
    struct rooms rooms;
    struct message *message;
    struct buffer out = {0};

    (void)state;
    memset(quotes, '"', sizeof quotes);
    memset(controls, '\x01', sizeof controls);
    fields.pos = fields.seq = fields.at = UINT64_MAX;
    fields.publish_id = fields.sender_name = bytes_make(controls, sizeof controls);
    fields.event = bytes_make(controls, sizeof controls);
    fields.arguments = BYTES("null");
    make_rooms(&rooms);
    message = message_new(&fields, rooms_get(&rooms, namespace_find(&table, BYTES("/")), fields.room),
                          (struct bytes){0});
    message_finish(message, "12345678");
    message_append_payload(&out, &fields, "12345678");
    assert_true(bytes_equal(message_payload(message), buffer_bytes(&out)));
    assert_true(out.length <= message->payload_capacity);
    buffer_done(&out);
    free(message);
    free_rooms(&rooms);
}

/* Only what stands for an attachment is renumbered, and only in a message that has some. */
static void test_entries_with_attachments(void **state)
{
    struct journal_message fields = sample(BYTES("r"));
    struct wire_list attachments = {0};
    struct buffer out = {0};

    (void)state;
    fields.arguments = BYTES("{\"num\":1,\"_placeholder\":true},{\"num\":1}");
    assert_int_equal(message_attachments(&fields), 0);
    message_append_entry(&out, &fields, 7);
    check_text(
        &out,
        "{\"seq\":3,\"id\":\"id \\\"1\\\"\",\"event\":\"a \\\\ b\",\"from\":\"ann\",\"at\":1700000000000,"
        "\"args\":[{\"num\":1,\"_placeholder\":true},{\"num\":1}]}");
    wire_list_put_blob(&attachments, BYTES("zero"));
    wire_list_put_blob(&attachments, BYTES(""));
    fields.attachments = wire_list_finish(&attachments);
    assert_int_equal(message_attachments(&fields), 2);
    message_append_entry(&out, &fields, 7);
    check_text(
        &out,
        "{\"seq\":3,\"id\":\"id \\\"1\\\"\",\"event\":\"a \\\\ b\",\"from\":\"ann\",\"at\":1700000000000,"
        "\"args\":[{\"num\":8,\"_placeholder\":true},{\"num\":1}]}");
    /* What members get, and what is kept, is as it came. */
    check_payload(
        &fields, "e",
        "[\"a \\\\ b\",{\"num\":1,\"_placeholder\":true},{\"num\":1},{\"room\":\"r\",\"seq\":3,\"id\":"
        "\"id \\\"1\\\"\",\"from\":\"ann\",\"at\":1700000000000},\"e.7\"]");
    wire_list_done(&attachments);
    buffer_done(&out);
}

static void test_entries_and_answers(void **state)
{
    struct journal_message fields = sample(BYTES("r"));
    struct buffer out = {0};

    (void)state;
    message_append_entry(&out, &fields, 3);
    check_text(
        &out,
        "{\"seq\":3,\"id\":\"id \\\"1\\\"\",\"event\":\"a \\\\ b\",\"from\":\"ann\",\"at\":1700000000000,"
        "\"args\":[{\"x\":1} , 2]}");
    message_append_answer(&out, &fields);
    check_text(&out, "{\"ok\":true,\"id\":\"id \\\"1\\\"\",\"seq\":3,\"at\":1700000000000}");
    fields.class = MESSAGE_LOGGED;
    message_append_answer(&out, &fields);
    check_text(&out, "{\"ok\":true}");
    buffer_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_payloads),
        cmocka_unit_test(test_the_largest_tail),
        cmocka_unit_test(test_entries_and_answers),
        cmocka_unit_test(test_entries_with_attachments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
