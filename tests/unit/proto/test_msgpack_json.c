/*
 * From msgpack to JSON: what notepack.io 2.2 writes for values of JavaScript (its bytes, as Node 20 gave
 * them), what other encoders may write, and what has no meaning; each value also cut at every byte.
 */
#include "common/memory.h"
#include "proto/json_scan.h"
#include "proto/msgpack_json.h"
#include "proto/socketio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct {
    struct bytes msgpack;
    const char *json;
} good[] = {
    {BYTES("\xc0"), "null"},
    {BYTES("\xc2"), "false"},
    {BYTES("\xc3"), "true"},
    {BYTES("\x00"), "0"},
    {BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "18446744073709551615"},
    {BYTES("\xcf\x00\x20\x00\x00\x00\x00\x00\x01"), "9007199254740993"},
    {BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), "-9223372036854775808"},
    {BYTES("\xff"), "-1"},
    /* Floats, the shortest text that is the same number. */
    {BYTES("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a"), "0.1"},
    {BYTES("\xcb\x3f\xd3\x33\x33\x33\x33\x33\x34"), "0.30000000000000004"},
    {BYTES("\xcb\xc0\x09\x21\xfb\x54\x44\x2d\x18"), "-3.141592653589793"},
    {BYTES("\xcb\x40\x14\x00\x00\x00\x00\x00\x00"), "5"},
    {BYTES("\xcb\x80\x00\x00\x00\x00\x00\x00\x00"), "-0"},
    {BYTES("\xcb\x44\x15\xaf\x1d\x78\xb5\x8c\x40"), "100000000000000000000"},
    {BYTES("\xcb\x44\x4b\x1a\xe4\xd6\xe2\xef\x50"), "1e+21"},
    {BYTES("\xcb\x7f\xef\xff\xff\xff\xff\xff\xff"), "1.7976931348623157e+308"},
    {BYTES("\xcb\x00\x00\x00\x00\x00\x00\x00\x01"), "4.94065645841247e-324"},
    {BYTES("\xca\x3f\xc0\x00\x00"), "1.5"},
    {BYTES("\xca\x3d\xcc\xcc\xcd"), "0.10000000149011612"},
    {BYTES("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), "null"},
    {BYTES("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), "null"},
    {BYTES("\xcb\xff\xf0\x00\x00\x00\x00\x00\x00"), "null"},
    {BYTES("\xca\x7f\x80\x00\x00"), "null"},
    /* Strings, escaped as JSON.stringify() does. */
    {BYTES("\xa0"), "\"\""},
    {BYTES("\xa5 \"\\\n\x01"), "\" \\\"\\\\\\n\\u0001\""},
    {BYTES("\xa6\xc3\xa4\xf0\x9f\x98\x80"), "\"\xc3\xa4\xf0\x9f\x98\x80\""},
    {BYTES("\xd9\x01\x00"), "\"\\u0000\""},
    /* Containers. */
    {BYTES("\x90"), "[]"},
    {BYTES("\x80"), "{}"},
    {BYTES("\x93\x01\x90\x80"), "[1,[],{}]"},
    {BYTES("\x92\x92\x01\x02\x91\x03"), "[[1,2],[3]]"},
    {BYTES("\x82\xa1"
           "b\x01\xa1"
           "a\x81\xa0\xc0"),
     "{\"b\":1,\"a\":{\"\":null}}"},
    {BYTES("\x82\xa1"
           "a\x01\xa1"
           "a\x02"),
     "{\"a\":1,\"a\":2}"},
    {BYTES("\xdc\x00\x02\x01\x02"), "[1,2]"},
    {BYTES("\xdf\x00\x00\x00\x01\xa1k\x91\x01"), "{\"k\":[1]}"},
    /* undefined */
    {BYTES("\xd4\x00\x00"), "null"},
    {BYTES("\x93\xd4\x00\x00\x01\xd4\x00\x00"), "[null,1,null]"},
    {BYTES("\x81\xa1"
           "a\xd4\x00\x00"),
     "{}"},
    {BYTES("\x84\xa1"
           "a\xd4\x00\x00\xa1"
           "b\x01\xa1"
           "c\xd4\x00\x00\xa1"
           "d\x02"),
     "{\"b\":1,\"d\":2}"},
    {BYTES("\x82\xa1"
           "b\x01\xa1"
           "c\xd4\x00\x00"),
     "{\"b\":1}"},
    /* Dates */
    {BYTES("\xd7\x00\x00\x00\x00\x00\x00\x00\x00\x00"), "\"1970-01-01T00:00:00.000Z\""},
    {BYTES("\xd7\x00\xff\xff\xff\xff\xff\xff\xff\xff"), "\"1969-12-31T23:59:59.999Z\""},
    {BYTES("\xd7\x00\x00\x00\x00\xdd\x9d\x5a\x0c\x8f"), "\"2000-02-29T12:34:56.783Z\""},
    {BYTES("\xd7\x00\x00\x00\x01\x8d\x7a\x2a\xbb\x00"), "\"2024-02-05T16:47:17.248Z\""},
    {BYTES("\xd7\x00\x00\x00\xe6\x77\xd2\x1f\xdb\xff"), "\"9999-12-31T23:59:59.999Z\""},
    {BYTES("\xd7\x00\x00\x00\xe6\x77\xd2\x1f\xdc\x00"), "\"+010000-01-01T00:00:00.000Z\""},
    {BYTES("\xd7\x00\xff\xff\xc7\x75\x90\xfb\xa0\x00"), "\"0000-01-01T00:00:00.000Z\""},
    {BYTES("\xd7\x00\xff\xff\xc7\x75\x90\xfb\x9f\xff"), "\"-000001-12-31T23:59:59.999Z\""},
    {BYTES("\xd7\x00\x00\x1e\xb2\x08\xc2\xdc\x00\x00"), "\"+275760-09-13T00:00:00.000Z\""},
    {BYTES("\xd7\x00\xff\xe1\x4d\xf7\x3d\x24\x00\x00"), "\"-271821-04-20T00:00:00.000Z\""},
    {BYTES("\xd7\x00\x00\x1e\xb2\x08\xc2\xdc\x00\x01"), "null"},
    {BYTES("\xd7\x00\xff\xe1\x4d\xf7\x3d\x23\xff\xff"), "null"},
    {BYTES("\xd7\x00\x80\x00\x00\x00\x00\x00\x00\x00"), "null"},
};

static int convert_within(struct bytes msgpack, unsigned depth, size_t limit, struct buffer *out,
                          struct wire_list *attachments)
{
    char *copy = memory_new(msgpack.length + !msgpack.length);
    struct msgpack_cursor cursor;
    int code;

    if (msgpack.length)
        memcpy(copy, msgpack.data, msgpack.length);
    cursor = msgpack_cursor_make(bytes_make(copy, msgpack.length));
    buffer_clear(out);
    wire_list_clear(attachments);
    code = msgpack_json_append(&cursor, depth, limit, out, attachments);
    if (code == 0)
        assert_ptr_equal(cursor.at, cursor.end);
    free(copy);
    return code;
}

static int convert(struct bytes msgpack, size_t limit, struct buffer *out, struct wire_list *attachments)
{
    return convert_within(msgpack, JSON_DEPTH_MAX, limit, out, attachments);
}

static void expect(const struct buffer *out, const char *json)
{
    assert_int_equal(out->length, strlen(json));
    assert_memory_equal(out->data, json, out->length);
}

static void writes_what_a_text_client_would_send(void **state)
{
    struct wire_list attachments = {0};
    struct buffer out = {0};
    struct json_value value;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        for (size_t length = 0; length < good[i].msgpack.length; length++)
            assert_int_equal(convert(bytes_make(good[i].msgpack.data, length), SIZE_MAX, &out, &attachments),
                             ERROR_MALFORMED);
        assert_int_equal(convert(good[i].msgpack, SIZE_MAX, &out, &attachments), 0);
        expect(&out, good[i].json);
        assert_int_equal(json_scan(buffer_bytes(&out), &value), 0);
        assert_int_equal(attachments.count, 0);
    }
    wire_list_done(&attachments);
    buffer_done(&out);
}

static void takes_out_binaries_in_their_order(void **state)
{
    static const struct bytes expected[] = {BYTES("\x01\x02"), BYTES(""), BYTES("buffer"), BYTES("one")};
    struct bytes msgpack = BYTES("\x94\xc4\x02\x01\x02\x81\xa1k\x92\xc4\x00\xc7\x06\x00"
                                 "buffer\x05\xc8\x00\x03\x00one");
    struct wire_list attachments = {0};
    struct buffer out = {0};
    struct wire_reader list;

    (void)state;
    assert_int_equal(convert(msgpack, SIZE_MAX, &out, &attachments), 0);
    expect(&out, "[{\"_placeholder\":true,\"num\":0},{\"k\":[{\"_placeholder\":true,\"num\":1},"
                 "{\"_placeholder\":true,\"num\":2}]},5,{\"_placeholder\":true,\"num\":3}]");
    assert_int_equal(wire_list_open(&list, wire_list_finish(&attachments)), COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++) {
        struct bytes blob;

        assert_int_equal(wire_list_text(&list, &blob), 0);
        assert_true(bytes_equal(blob, expected[i]));
    }
    wire_list_done(&attachments);
    buffer_done(&out);
}

/* So many arrays in each other, and a value in the innermost. */
static struct buffer nested(unsigned depth, struct bytes value)
{
    struct buffer out = {0};

    while (depth--)
        buffer_append_char(&out, '\x91');
    buffer_append_bytes(&out, value);
    return out;
}

static int convert_nested(unsigned depth, struct bytes value, unsigned limit, struct buffer *out)
{
    struct wire_list attachments = {0};
    struct buffer msgpack = nested(depth, value);
    int code = convert_within(buffer_bytes(&msgpack), limit, SIZE_MAX, out, &attachments);

    wire_list_done(&attachments);
    buffer_done(&msgpack);
    return code;
}

static void counts_the_depth_of_the_text(void **state)
{
    static const unsigned limits[] = {1, 2, 7, JSON_DEPTH_MAX};
    struct buffer out = {0};
    struct json_value value;

    (void)state;
    for (size_t i = 0; i < COUNT(limits); i++) {
        unsigned limit = limits[i];

        assert_int_equal(convert_nested(limit, BYTES("\x01"), limit, &out), 0);
        assert_int_equal(json_scan_within(buffer_bytes(&out), limit, &value), 0);
        assert_int_equal(json_scan_within(buffer_bytes(&out), limit - 1, &value), ERROR_TOO_DEEP);
        assert_int_equal(convert_nested(limit, BYTES("\x90"), limit, &out), ERROR_TOO_DEEP);
        assert_int_equal(convert_nested(limit, BYTES("\x80"), limit, &out), ERROR_TOO_DEEP);
        assert_int_equal(convert_nested(limit - 1, BYTES("\xc4\x00"), limit, &out), 0);
        assert_int_equal(json_scan_within(buffer_bytes(&out), limit, &value), 0);
        assert_int_equal(convert_nested(limit, BYTES("\xc4\x00"), limit, &out), ERROR_TOO_DEEP);
        assert_int_equal(convert_nested(limit, BYTES("\xd4\x00\x00"), limit, &out), 0);
    }
    buffer_done(&out);
}

static void refuses_what_json_has_nothing_for(void **state)
{
    static const struct {
        struct bytes msgpack;
        int code;
    } bad[] = {
        {BYTES("\xc1"), ERROR_MALFORMED},
        {BYTES("\xd6\xff\x01\x02\x03\x04"), ERROR_UNSUPPORTED}, /* a timestamp */
        {BYTES("\xc7\x01\x05x"), ERROR_UNSUPPORTED},
        {BYTES("\xd4\x01\x00"), ERROR_UNSUPPORTED},
        {BYTES("\xd5\x00\x00\x00"), ERROR_UNSUPPORTED},
        {BYTES("\xd6\x00\x00\x00\x00\x00"), ERROR_UNSUPPORTED},
        {BYTES("\xd8\x00"
               "0123456789abcdef"),
         ERROR_UNSUPPORTED},
        {BYTES("\x81\x01\x02"), ERROR_UNSUPPORTED},
        {BYTES("\x81\xc0\x02"), ERROR_UNSUPPORTED},
        {BYTES("\x81\x90\x02"), ERROR_UNSUPPORTED},
        {BYTES("\x81\xc4\x01k\x02"), ERROR_UNSUPPORTED},
        {BYTES("\xa1\xff"), ERROR_UTF8},
        {BYTES("\xa2\xc3("), ERROR_UTF8},
        {BYTES("\xa3\xed\xa0\x80"), ERROR_UTF8}, /* a surrogate */
        {BYTES("\x81\xa1\xff\x02"), ERROR_UTF8},
        {BYTES("\x91\xa1\x80"), ERROR_UTF8},
    };
    struct wire_list attachments = {0};
    struct buffer out = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(convert(bad[i].msgpack, SIZE_MAX, &out, &attachments), bad[i].code);
    wire_list_done(&attachments);
    buffer_done(&out);
}

static void bounds_the_text_and_the_attachments(void **state)
{
    struct wire_list attachments = {0};
    struct buffer out = {0}, many = {0};

    (void)state;
    assert_int_equal(convert(BYTES("\x92\x01\x02"), 5, &out, &attachments), 0);
    assert_int_equal(convert(BYTES("\x92\x01\x02"), 4, &out, &attachments), ERROR_TOO_LARGE);
    /* A byte that becomes six. */
    assert_int_equal(convert(BYTES("\xa2\x01\x01"), 14, &out, &attachments), 0);
    assert_int_equal(convert(BYTES("\xa2\x01\x01"), 13, &out, &attachments), ERROR_TOO_LARGE);
    for (unsigned count = 0; count <= SOCKETIO_ATTACHMENTS_MAX + 1; count++) {
        buffer_clear(&many);
        buffer_append_char(&many, (char)(0x90 | count));
        for (unsigned i = 0; i < count; i++)
            buffer_append(&many, "\xc4\x01x", 3);
        assert_int_equal(convert(buffer_bytes(&many), SIZE_MAX, &out, &attachments),
                         count <= SOCKETIO_ATTACHMENTS_MAX ? 0 : ERROR_TOO_LARGE);
    }
    wire_list_done(&attachments);
    buffer_done(&out);
    buffer_done(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_what_a_text_client_would_send),
        cmocka_unit_test(takes_out_binaries_in_their_order),
        cmocka_unit_test(counts_the_depth_of_the_text),
        cmocka_unit_test(refuses_what_json_has_nothing_for),
        cmocka_unit_test(bounds_the_text_and_the_attachments),
    };

    return cmocka_run_group_tests_name("msgpack_json", tests, NULL, NULL);
}
