/* Documents: their shape, there and back, and what is too much for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/archive_document.h"

#include "common/memory.h"

#include <stdlib.h>

static struct journal_message sample(void)
{
    return (struct journal_message){.pos = 1ULL << 40,
                                    .seq = 3,
                                    .at = 1700000000123,
                                    .namespace = BYTES("/n"),
                                    .room = BYTES("r\u00e9"),
                                    .publish_id = BYTES("id-12345"),
                                    .event = BYTES("msg"),
                                    .arguments = BYTES("{\"x\": 1} , \"two\""),
                                    .sender_sid = BYTES("sid"),
                                    .sender_name = BYTES("ann"),
                                    .deliver = DELIVER_OTHERS,
                                    .class = MESSAGE_ARCHIVED,
                                    .meta = true};
}

static const struct bytes epoch = {"epoch-12", 8};

static void write_one(const struct journal_message *message, bson_t *out)
{
    bson_init(out);
    assert_int_equal(archive_document_write(message, epoch, true, out), 0);
    assert_true(bson_validate(out, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, NULL));
}

static void check_equal(const struct journal_message *a, const struct journal_message *b)
{
    assert_int_equal(a->pos, b->pos);
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->at, b->at);
    assert_true(bytes_equal(a->namespace, b->namespace));
    assert_true(bytes_equal(a->room, b->room));
    assert_true(bytes_equal(a->publish_id, b->publish_id));
    assert_true(bytes_equal(a->event, b->event));
    assert_true(bytes_equal(a->arguments, b->arguments));
    assert_true(bytes_equal(a->attachments, b->attachments));
    assert_true(bytes_equal(a->sender_sid, b->sender_sid));
    assert_true(bytes_equal(a->sender_name, b->sender_name));
    assert_int_equal(a->deliver, b->deliver);
    assert_int_equal(a->class, b->class);
    assert_int_equal(a->meta, b->meta);
}

static void check_round_trip(const struct journal_message *message)
{
    struct archive_document back;
    struct wire_list attachments = {0};
    bson_t document;

    write_one(message, &document);
    assert_int_equal(archive_document_read(&document, &attachments, &back), 0);
    check_equal(message, &back.message);
    assert_true(bytes_equal(back.epoch, epoch));
    wire_list_done(&attachments);
    bson_destroy(&document);
}

static void a_document_has_the_shape_that_is_documented(void **state)
{
    struct journal_message message = sample();
    bson_t document;
    char *text;

    (void)state;
    write_one(&message, &document);
    text = bson_as_canonical_extended_json(&document, NULL);
    assert_string_equal(
        text, "{ \"_id\" : { \"namespace\" : \"/n\", \"room\" : \"r\u00e9\", \"epoch\" : \"epoch-12\", "
              "\"seq\" : { \"$numberLong\" : \"3\" } }, \"namespace\" : \"/n\", \"room\" : \"r\u00e9\", "
              "\"epoch\" : \"epoch-12\", \"seq\" : { \"$numberLong\" : \"3\" }, "
              "\"pos\" : { \"$numberLong\" : \"1099511627776\" }, "
              "\"at\" : { \"$date\" : { \"$numberLong\" : \"1700000000123\" } }, \"id\" : \"id-12345\", "
              "\"event\" : \"msg\", \"from\" : \"ann\", \"sid\" : \"sid\", \"deliver\" : \"others\", "
              "\"meta\" : true, "
              "\"args\" : [ { \"x\" : { \"$numberInt\" : \"1\" } }, \"two\" ], "
              "\"raw\" : \"[{\\\"x\\\": 1} , \\\"two\\\"]\" }");
    bson_free(text);
    bson_destroy(&document);
}

static void messages_come_back(void **state)
{
    struct journal_message message = sample();
    struct wire_list list = {0};

    (void)state;
    check_round_trip(&message);
    message.arguments = BYTES("");
    message.meta = false;
    message.deliver = DELIVER_NAMESPACE;
    message.room = BYTES("");
    check_round_trip(&message);
    wire_list_put_blob(&list, BYTES("\0\xff"));
    wire_list_put_blob(&list, BYTES(""));
    message.attachments = wire_list_finish(&list);
    message.arguments = BYTES("{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}");
    check_round_trip(&message);
    wire_list_done(&list);
}

static void exceptions_are_shown_and_not_read(void **state)
{
    struct journal_message message = sample(), plain = sample();
    struct wire_list list = {0}, attachments = {0};
    struct archive_document back;
    bson_iter_t iter, element;
    bson_t document;

    (void)state;
    wire_list_put_text(&list, BYTES("room"));
    wire_list_put_text(&list, BYTES("sid"));
    message.except = wire_list_finish(&list);
    write_one(&message, &document);
    assert_true(bson_iter_init_find(&iter, &document, "except"));
    assert_true(BSON_ITER_HOLDS_ARRAY(&iter) && bson_iter_recurse(&iter, &element));
    assert_true(bson_iter_next(&element));
    assert_string_equal(bson_iter_utf8(&element, NULL), "room");
    assert_true(bson_iter_next(&element));
    assert_string_equal(bson_iter_utf8(&element, NULL), "sid");
    assert_false(bson_iter_next(&element));
    assert_int_equal(archive_document_read(&document, &attachments, &back), 0);
    check_equal(&plain, &back.message);
    assert_int_equal(back.message.except.length, 0);
    bson_destroy(&document);
    wire_list_done(&attachments);
    wire_list_done(&list);
    message.except = BYTES("no msgpack");
    bson_init(&document);
    assert_int_equal(archive_document_write(&message, epoch, true, &document), ERROR_MALFORMED);
    bson_destroy(&document);
}

/* raw has them whatever args can hold, and bytes that are no text come through as well. */
static void strange_arguments_come_back_without_args(void **state)
{
    static const char *const strange[] = {"1e400",         "{\"a\":1,\"a\":2}", "{\"\\u0000\":1}",
                                          "{\"$date\":1}", "\"\\ud800\"",       "\"\xff\""};
    struct journal_message message = sample();

    (void)state;
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        bson_t document;

        message.arguments = bytes_from_text(strange[i]);
        write_one(&message, &document);
        assert_false(bson_has_field(&document, "args"));
        assert_true(bson_has_field(&document, "raw"));
        bson_destroy(&document);
        check_round_trip(&message);
    }
    message.publish_id = BYTES("\xfe\0id");
    message.sender_name = BYTES("n\0n");
    check_round_trip(&message);
}

/* An array of BSON takes several times the room of its JSON. */
static void what_is_too_large_loses_args_first(void **state)
{
    struct journal_message message = sample();
    size_t length = 12 << 20;
    char *text = memory_new(length);
    bson_t document;

    (void)state;
    for (size_t i = 0; i < length; i++)
        text[i] = i % 2 ? ',' : '1';
    message.arguments = bytes_make(text, (3 << 20) - 1);
    write_one(&message, &document);
    assert_true(document.len <= ARCHIVE_DOCUMENT_MAX);
    assert_false(bson_has_field(&document, "args"));
    bson_destroy(&document);
    message.arguments = bytes_make(text, (1 << 20) - 1);
    write_one(&message, &document);
    assert_true(document.len <= ARCHIVE_DOCUMENT_MAX);
    assert_true(bson_has_field(&document, "args"));
    bson_destroy(&document);
    message.arguments = message.attachments = bytes_make(text, length - 1);
    bson_init(&document);
    assert_int_equal(archive_document_write(&message, epoch, true, &document), ERROR_TOO_LARGE);
    bson_destroy(&document);
    free(text);
}

static void attachments_must_be_a_list(void **state)
{
    struct journal_message message = sample();
    bson_t document = BSON_INITIALIZER;

    (void)state;
    message.attachments = BYTES("no msgpack");
    assert_int_equal(archive_document_write(&message, epoch, true, &document), ERROR_MALFORMED);
    bson_destroy(&document);
}

/* A copy of the document in which a field is left out, or is a boolean (meta: a number). */
static void spoil(const bson_t *document, const char *field, bool leave_out, bson_t *out)
{
    bson_iter_t iter;

    bson_init(out);
    assert_true(bson_iter_init(&iter, document));
    while (bson_iter_next(&iter)) {
        const char *key = bson_iter_key(&iter);

        if (strcmp(key, field) != 0)
            bson_append_iter(out, NULL, 0, &iter);
        else if (!leave_out && strcmp(key, "meta") == 0)
            bson_append_int32(out, key, -1, 1);
        else if (!leave_out)
            bson_append_bool(out, key, -1, true);
    }
}

static void every_field_is_checked(void **state)
{
    static const char *const fields[] = {"namespace", "room", "epoch", "seq",     "pos",  "at", "id",
                                         "event",     "from", "sid",   "deliver", "meta", "raw"};
    struct journal_message message = sample();
    struct wire_list attachments = {0};
    struct archive_document back = {.epoch = BYTES("untouched")};
    bson_t document, spoilt;

    (void)state;
    write_one(&message, &document);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        for (int leave_out = 0; leave_out < 2; leave_out++) {
            spoil(&document, fields[i], leave_out, &spoilt);
            assert_int_equal(archive_document_read(&spoilt, &attachments, &back), ERROR_MALFORMED);
            assert_true(bytes_equal_text(back.epoch, "untouched"));
            bson_destroy(&spoilt);
        }
    bson_append_bool(&document, "attachments", -1, true);
    assert_int_equal(archive_document_read(&document, &attachments, &back), ERROR_MALFORMED);
    bson_destroy(&document);
}

/* Some servers give a small int64 back as an int32. */
static void small_numbers_may_change_their_type(void **state)
{
    struct journal_message message = sample();
    struct wire_list attachments = {0};
    struct archive_document back;
    bson_t document, changed;

    (void)state;
    write_one(&message, &document);
    spoil(&document, "seq", true, &changed);
    bson_append_int32(&changed, "seq", -1, 3);
    assert_int_equal(archive_document_read(&changed, &attachments, &back), 0);
    assert_int_equal(back.message.seq, 3);
    bson_destroy(&changed);
    spoil(&document, "seq", true, &changed);
    bson_append_double(&changed, "seq", -1, 3);
    assert_int_equal(archive_document_read(&changed, &attachments, &back), 0);
    assert_int_equal(back.message.seq, 3);
    bson_destroy(&changed);
    bson_destroy(&document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_has_the_shape_that_is_documented),
        cmocka_unit_test(messages_come_back),
        cmocka_unit_test(exceptions_are_shown_and_not_read),
        cmocka_unit_test(strange_arguments_come_back_without_args),
        cmocka_unit_test(what_is_too_large_loses_args_first),
        cmocka_unit_test(attachments_must_be_a_list),
        cmocka_unit_test(every_field_is_checked),
        cmocka_unit_test(small_numbers_may_change_their_type),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
