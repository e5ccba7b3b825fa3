/*
 * From JSON to msgpack: exact bytes, each text also cut at every byte; numbers of every size; what a
 * placeholder becomes; and the way back for whatever came from msgpack.
 */
#include "common/memory.h"
#include "proto/json_msgpack.h"
#include "proto/msgpack_json.h"
#include "proto/socketio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct {
    const char *json;
    struct bytes msgpack;
} good[] = {
    {"null", BYTES("\xc0")},
    {" true ", BYTES("\xc3")},
    {"\t\r\nfalse", BYTES("\xc2")},
    {"0", BYTES("\x00")},
    {"-1", BYTES("\xff")},
    {"128", BYTES("\xcc\x80")},
    {"-32769", BYTES("\xd2\xff\xff\x7f\xff")},
    {"9007199254740993", BYTES("\xcf\x00\x20\x00\x00\x00\x00\x00\x01")},
    {"18446744073709551615", BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff")},
    {"18446744073709551616", BYTES("\xcb\x43\xf0\x00\x00\x00\x00\x00\x00")},
    {"99999999999999999999", BYTES("\xcb\x44\x15\xaf\x1d\x78\xb5\x8c\x40")},
    {"-9223372036854775808", BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00")},
    {"-9223372036854775809", BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00")}, /* the nearest double */
    {"-9223372036854777856", BYTES("\xcb\xc3\xe0\x00\x00\x00\x00\x00\x01")},
    {"5.0", BYTES("\x05")},
    {"1e3", BYTES("\xcd\x03\xe8")},
    {"-1E+2", BYTES("\xd0\x9c")},
    {"1e18", BYTES("\xcf\x0d\xe0\xb6\xb3\xa7\x64\x00\x00")},
    {"1e20", BYTES("\xcb\x44\x15\xaf\x1d\x78\xb5\x8c\x40")},
    {"-0", BYTES("\xcb\x80\x00\x00\x00\x00\x00\x00\x00")},
    {"-0.0", BYTES("\xcb\x80\x00\x00\x00\x00\x00\x00\x00")},
    {"0.1", BYTES("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a")},
    {"4.94065645841247e-324", BYTES("\xcb\x00\x00\x00\x00\x00\x00\x00\x01")},
    {"1e400", BYTES("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00")},
    {"0.1000000000000000055511151231257827021181583404541015625",
     BYTES("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a")},
    {"\"\"", BYTES("\xa0")},
    {"\"abc\"", BYTES("\xa3"
                      "abc")},
    {"\"\xc3\xa4\"", BYTES("\xa2\xc3\xa4")},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\"", BYTES("\xaa\"\\/\b\f\n\r\t\xc3\xa4")},
    {"\"\\ud83d\\ude00\\u0000\"", BYTES("\xa5\xf0\x9f\x98\x80\x00")},
    {"\"\\ud800\"", BYTES("\xa3\xef\xbf\xbd")},
    {"\"a\\udc00\\ud800\\u0041\"", BYTES("\xa8"
                                         "a\xef\xbf\xbd\xef\xbf\xbd"
                                         "A")},
    {"\"0123456789abcdef0123456789abcdef\"", BYTES("\xd9\x20"
                                                   "0123456789abcdef0123456789abcdef")},
    /* Shorter than its text by what decides about its head. */
    {"\"0123456789abcdef0123456789ab\\u0063\"", BYTES("\xbd"
                                                      "0123456789abcdef0123456789abc")},
    {"[]", BYTES("\x90")},
    {"[ ]", BYTES("\x90")},
    {"{}", BYTES("\x80")},
    {"{ }", BYTES("\x80")},
    {"[1,[2,[]],{}]", BYTES("\x93\x01\x92\x02\x90\x80")},
    {" [ 1 , \"a\" ] ", BYTES("\x92\x01\xa1"
                              "a")},
    {"{\"b\":1,\"a\":{\"\":null}}", BYTES("\x82\xa1"
                                          "b\x01\xa1"
                                          "a\x81\xa0\xc0")},
    {"{\"a\":1,\"a\":[true]}", BYTES("\x82\xa1"
                                     "a\x01\xa1"
                                     "a\x91\xc3")},
    {"[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14]",
     BYTES("\x9f\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e")},
    {"[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,[15]]",
     BYTES("\xdc\x00\x10\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x91\x0f")},
    /* Without attachments a placeholder is an object. */
    {"{\"_placeholder\":true,\"num\":0}", BYTES("\x82\xac_placeholder\xc3\xa3num\x00")},
};

static const char *const bad[] = {
    "",        " ",         "nul",         "nulll",      "True",      "-",     "+1",    "01",
    "-01",     "1.",        ".5",          "1e",         "1e+",       "0x10",  "\"",    "\"\\\"",
    "\"\\x\"", "\"\\u12\"", "\"\\u123g\"", "\"\x01\"",   "\"a\nb\"",  "[",     "[1",    "[1,",
    "[1,]",    "[,1]",      "[1 2]",       "[1}",        "]",         "1]",    "{",     "{\"a\"",
    "{\"a\":", "{\"a\":1",  "{\"a\":1,",   "{\"a\":1,}", "{\"a\" 1}", "{1:2}", "{a:1}", "{\"a\":1]",
    "{,}",     "1 2",       "[] []",       "NaN",        "Infinity",
};

static int convert(const char *json, size_t length, struct bytes attachments, struct buffer *out)
{
    char *copy = memory_new(length + !length);
    int code;

    if (length)
        memcpy(copy, json, length);
    buffer_clear(out);
    buffer_append_char(out, '#');
    code = json_msgpack_append(bytes_make(copy, length), attachments, out);
    assert_int_equal(out->data[0], '#');
    buffer_consume(out, 1);
    if (code)
        assert_int_equal(out->length, 0);
    free(copy);
    return code;
}

static void expect(const struct buffer *out, struct bytes bytes)
{
    assert_int_equal(out->length, bytes.length);
    assert_memory_equal(out->data, bytes.data, bytes.length);
}

static void writes_exactly_these_bytes(void **state)
{
    struct buffer out = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        size_t length = strlen(good[i].json);
        struct json_value value;

        for (size_t part = 0; part < length; part++) /* digits end anywhere, for instance */
            assert_int_equal(convert(good[i].json, part, (struct bytes){0}, &out),
                             json_scan(bytes_make(good[i].json, part), &value));
        assert_int_equal(convert(good[i].json, length, (struct bytes){0}, &out), 0);
        expect(&out, good[i].msgpack);
    }
    buffer_done(&out);
}

static void refuses_what_is_no_json(void **state)
{
    struct buffer out = {0};
    struct json_value value;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(json_scan(bytes_from_text(bad[i]), &value), ERROR_MALFORMED);
        assert_int_equal(convert(bad[i], strlen(bad[i]), (struct bytes){0}, &out), ERROR_MALFORMED);
    }
    buffer_done(&out);
}

/* A list of the numbers below count, twice in each other. */
static struct buffer list_of(unsigned count)
{
    struct buffer json = {0};

    for (int twice = 0; twice < 2; twice++) {
        buffer_append_char(&json, '[');
        for (unsigned i = 0; i + 1 < count; i++) {
            buffer_append_u64(&json, i);
            buffer_append_char(&json, ',');
        }
    }
    buffer_append_literal(&json, "0]]");
    return json;
}

static void moves_what_is_in_large_containers(void **state)
{
    static const unsigned counts[] = {1, 15, 16, 17, 255, 65535, 65536};
    struct wire_list attachments = {0};
    struct buffer out = {0}, back = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(counts); i++) {
        struct buffer json = list_of(counts[i]);
        struct msgpack_cursor cursor;

        assert_int_equal(convert(json.data, json.length, (struct bytes){0}, &out), 0);
        cursor = msgpack_cursor_make(buffer_bytes(&out));
        buffer_clear(&back);
        assert_int_equal(msgpack_json_append(&cursor, JSON_DEPTH_MAX, SIZE_MAX, &back, &attachments), 0);
        expect(&back, buffer_bytes(&json));
        buffer_done(&json);
    }
    buffer_done(&out);
    buffer_done(&back);
}

static void goes_as_deep_as_the_broker_does(void **state)
{
    struct buffer json = {0}, out = {0};

    (void)state;
    for (unsigned depth = JSON_MSGPACK_DEPTH_MAX; depth <= JSON_MSGPACK_DEPTH_MAX + 1; depth++) {
        buffer_clear(&json);
        for (unsigned i = 0; i < depth; i++)
            buffer_append_char(&json, '[');
        for (unsigned i = 0; i < depth; i++)
            buffer_append_char(&json, ']');
        assert_int_equal(convert(json.data, json.length, (struct bytes){0}, &out),
                         depth == JSON_MSGPACK_DEPTH_MAX ? 0 : ERROR_TOO_DEEP);
    }
    buffer_done(&json);
    buffer_done(&out);
}

#define BLOB "\xc4\x03\x01\x02\x03"

static void puts_attachments_where_their_placeholders_stand(void **state)
{
    static const struct {
        const char *json;
        struct bytes msgpack;
    } texts[] = {
        {"{\"_placeholder\":true,\"num\":0}", BYTES("\xc4\x00")},
        {"[{\"num\":1,\"_placeholder\":true},{\"_placeholder\":true,\"num\":0}]",
         BYTES("\x92" BLOB "\xc4\x00")},
        {"{\"k\":[ { \"num\" : 1 , \"_placeholder\" : true } , 5 ]}", BYTES("\x81\xa1k\x92" BLOB "\x05")},
        /* Keys beside it go with it, of equal ones the last counts, and they compare unescaped. */
        {"{\"x\":{\"y\":[1]},\"_placeholder\":true,\"num\":7,\"num\":1,\"z\":0}", BYTES(BLOB)},
        {"{\"_placeh\\u006flder\":true,\"\\u006eum\":1.0}", BYTES(BLOB)},
        {"{\"a\":{\"_placeholder\":true,\"num\":0},\"_placeholder\":true,\"num\":1}", BYTES(BLOB)},
        /* The attachment of the inner one belongs to it alone. */
        {"{\"_placeholder\":{\"_placeholder\":true,\"num\":0},\"num\":1}",
         BYTES("\x82\xac_placeholder\xc4\x00\xa3num\x01")},
        /* No placeholders, or they name nothing. */
        {"{\"_placeholder\":false,\"num\":1}", BYTES("\x82\xac_placeholder\xc2\xa3num\x01")},
        {"{\"_placeholder\":true,\"num\":2}", BYTES("\x82\xac_placeholder\xc3\xa3num\x02")},
        {"{\"_placeholder\":true,\"num\":-1}", BYTES("\x82\xac_placeholder\xc3\xa3num\xff")},
        {"{\"_placeholder\":true,\"num\":1,\"num\":\"0\"}",
         BYTES("\x83\xac_placeholder\xc3\xa3num\x01\xa3num\xa1"
               "0")},
        {"{\"_placeholder\":true,\"num\":1,\"num\":[0]}",
         BYTES("\x83\xac_placeholder\xc3\xa3num\x01\xa3num\x91\x00")},
        {"{\"_placeholder\":true,\"_placeholder\":[true],\"num\":0}",
         BYTES("\x83\xac_placeholder\xc3\xac_placeholder\x91\xc3\xa3num\x00")},
        {"[\"_placeholder\",true,\"num\",0]", BYTES("\x94\xac_placeholder\xc3\xa3num\x00")},
    };
    struct wire_list attachments = {0};
    struct buffer out = {0};

    (void)state;
    wire_list_put_blob(&attachments, BYTES(""));
    wire_list_put_blob(&attachments, BYTES("\x01\x02\x03"));
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_int_equal(convert(texts[i].json, strlen(texts[i].json), wire_list_finish(&attachments), &out),
                         0);
        expect(&out, texts[i].msgpack);
    }
    wire_list_done(&attachments);
    buffer_done(&out);
}

/* A list with a blob between two strings that make containers large. */
static void large_attachments_keep_their_place(void **state)
{
    struct wire_list attachments = {0}, again = {0};
    struct buffer json = {0}, blob = {0}, out = {0}, back = {0};
    struct msgpack_cursor cursor;

    (void)state;
    for (int i = 0; i < 70000; i++)
        buffer_append_char(&blob, (char)i);
    wire_list_put_blob(&attachments, buffer_bytes(&blob));
    buffer_append_literal(&json, "[0,1,2,3,4,5,6,7,8,9,{\"_placeholder\":true,\"num\":0},10,11,12,13,14,15]");
    assert_int_equal(convert(json.data, json.length, wire_list_finish(&attachments), &out), 0);
    cursor = msgpack_cursor_make(buffer_bytes(&out));
    assert_int_equal(msgpack_json_append(&cursor, JSON_DEPTH_MAX, SIZE_MAX, &back, &again), 0);
    expect(&back, buffer_bytes(&json));
    assert_true(bytes_equal(wire_list_finish(&again), wire_list_finish(&attachments)));
    wire_list_done(&attachments);
    wire_list_done(&again);
    buffer_done(&json);
    buffer_done(&blob);
    buffer_done(&out);
    buffer_done(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_exactly_these_bytes),
        cmocka_unit_test(refuses_what_is_no_json),
        cmocka_unit_test(moves_what_is_in_large_containers),
        cmocka_unit_test(goes_as_deep_as_the_broker_does),
        cmocka_unit_test(puts_attachments_where_their_placeholders_stand),
        cmocka_unit_test(large_attachments_keep_their_place),
    };

    return cmocka_run_group_tests_name("json_msgpack", tests, NULL, NULL);
}
