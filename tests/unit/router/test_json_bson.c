/* JSON to BSON: types, what BSON can't express, and where lists end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/json_bson.h"

#include <bson/bson.h>
#include <stdlib.h>

/* The list as libbson's extended JSON, to be freed with bson_free(). */
static char *shown(struct bytes list)
{
    struct buffer out = {0};
    bson_t holder = BSON_INITIALIZER;
    bson_t view;
    char *text;

    buffer_append_literal(&out, "before");
    assert_int_equal(json_bson_append_array(&out, list, 1 << 20), 0);
    assert_memory_equal(out.data, "before", 6);
    assert_true(bson_init_static(&view, (const uint8_t *)out.data + 6, out.length - 6));
    assert_true(bson_validate(&view, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, NULL));
    bson_append_array(&holder, "list", -1, &view);
    text = bson_as_canonical_extended_json(&holder, NULL);
    assert_non_null(text);
    bson_destroy(&holder);
    buffer_done(&out);
    return text;
}

static void check(struct bytes list, const char *expected)
{
    char *text = shown(list);
    struct buffer whole = {0};

    buffer_printf(&whole, "{ \"list\" : %s }%c", expected, 0);
    assert_string_equal(text, whole.data);
    buffer_done(&whole);
    bson_free(text);
}

static void refuse(struct bytes list, int code)
{
    struct buffer out = {0};

    buffer_append_literal(&out, "before");
    assert_int_equal(json_bson_append_array(&out, list, 1 << 20), code);
    assert_int_equal(out.length, 6);
    buffer_done(&out);
}

static void values_keep_their_types(void **state)
{
    (void)state;
    check(BYTES(""), "[  ]");
    check(BYTES(" 1 , \"a\" "), "[ { \"$numberInt\" : \"1\" }, \"a\" ]");
    check(BYTES("true,false,null"), "[ true, false, null ]");
    check(BYTES("{},[],[[]],{\"a\":{}}"), "[ {  }, [  ], [ [  ] ], { \"a\" : {  } } ]");
    check(BYTES("{ \"a\" : [ 1 , { \"b\" : \"c\" } ] , \"d\" : null }"),
          "[ { \"a\" : [ { \"$numberInt\" : \"1\" }, { \"b\" : \"c\" } ], \"d\" : null } ]");
}

static void numbers_are_what_they_are_written_as(void **state)
{
    (void)state;
    check(BYTES("0,2147483647,-2147483648"),
          "[ { \"$numberInt\" : \"0\" }, { \"$numberInt\" : \"2147483647\" }, "
          "{ \"$numberInt\" : \"-2147483648\" } ]");
    check(BYTES("2147483648,-2147483649"),
          "[ { \"$numberLong\" : \"2147483648\" }, { \"$numberLong\" : \"-2147483649\" } ]");
    check(
        BYTES("9223372036854775807,-9223372036854775808"),
        "[ { \"$numberLong\" : \"9223372036854775807\" }, { \"$numberLong\" : \"-9223372036854775808\" } ]");
    check(BYTES("9223372036854775808"), "[ { \"$numberDouble\" : \"9223372036854775808.0\" } ]");
    check(BYTES("1.5,-0,1e3"), "[ { \"$numberDouble\" : \"1.5\" }, { \"$numberDouble\" : \"-0.0\" }, "
                               "{ \"$numberDouble\" : \"1000.0\" } ]");
    check(BYTES("1e-400"), "[ { \"$numberDouble\" : \"0.0\" } ]");
}

static void strings_stand_for_what_they_say(void **state)
{
    (void)state;
    check(BYTES("\"\\u00e9\\n\\\"\\\\\\ud83d\\ude00\""), "[ \"\u00e9\\n\\\"\\\\\U0001f600\" ]");
    check(BYTES("\"a\\u0000b\""), "[ \"a\\u0000b\" ]");
    check(BYTES("{\"\":1,\"k\\u0065y \\\"\":\"]},\"}"),
          "[ { \"\" : { \"$numberInt\" : \"1\" }, \"key \\\"\" : \"]},\" } ]");
}

/* Some servers and drivers take these for something else than a name. */
static void extended_json_is_not_interpreted(void **state)
{
    (void)state;
    refuse(BYTES("{\"$date\":{\"$numberLong\":\"5\"}}"), ERROR_UNSUPPORTED);
    refuse(BYTES("{\"a\":[{\"\\u0024oid\":\"5\"}]}"), ERROR_UNSUPPORTED);
    check(BYTES("{\"a$\":\"$date\",\"b.c\":1}"),
          "[ { \"a$\" : \"$date\", \"b.c\" : { \"$numberInt\" : \"1\" } } ]");
}

static void what_bson_cannot_express_is_refused(void **state)
{
    (void)state;
    refuse(BYTES("1e400"), ERROR_UNSUPPORTED);
    refuse(BYTES("-1e400"), ERROR_UNSUPPORTED);
    refuse(BYTES("{\"a\\u0000b\":1}"), ERROR_UNSUPPORTED);
    refuse(BYTES("{\"a\":1,\"b\":2,\"\\u0061\":3}"), ERROR_UNSUPPORTED);
    refuse(BYTES("[{\"a\":{\"x\":1,\"x\":1}}]"), ERROR_UNSUPPORTED);
    refuse(BYTES("\"\\ud800\""), ERROR_UNSUPPORTED);
    refuse(BYTES("{\"\\udc00\":1}"), ERROR_UNSUPPORTED);
    refuse(BYTES("\"\xff\""), ERROR_UTF8);
    refuse(BYTES("1,"), ERROR_MALFORMED);
    refuse(BYTES("{"), ERROR_MALFORMED);
    refuse(BYTES("1 2"), ERROR_MALFORMED);
}

/* Equal keys are found among many, and equal ones of different objects are none. */
static void many_keys_are_compared(void **state)
{
    struct buffer list = {0};

    (void)state;
    for (int twice = 0; twice < 2; twice++) {
        buffer_clear(&list);
        buffer_append_char(&list, '{');
        for (int i = 0; i < 1000; i++)
            buffer_printf(&list, "\"k%d\":{\"k1\":0,\"k2\":0},", i);
        buffer_printf(&list, "\"k%d\":1}", twice ? 500 : 1000);
        if (twice)
            refuse(buffer_bytes(&list), ERROR_UNSUPPORTED);
        else
            bson_free(shown(buffer_bytes(&list)));
    }
    buffer_done(&list);
}

static struct bytes nested(struct buffer *out, unsigned depth, const char *open, const char *close)
{
    buffer_clear(out);
    for (unsigned i = 0; i < depth; i++)
        buffer_append_text(out, open);
    buffer_append_char(out, '1');
    for (unsigned i = 0; i < depth; i++)
        buffer_append_text(out, close);
    return buffer_bytes(out);
}

static void depth_is_bounded(void **state)
{
    struct buffer list = {0};

    (void)state;
    bson_free(shown(nested(&list, JSON_BSON_DEPTH_MAX, "[", "]")));
    bson_free(shown(nested(&list, JSON_BSON_DEPTH_MAX, "{\"a\":", "}")));
    refuse(nested(&list, JSON_BSON_DEPTH_MAX + 1, "[", "]"), ERROR_TOO_DEEP);
    refuse(nested(&list, 127, "{\"a\":", "}"), ERROR_TOO_DEEP);
    refuse(nested(&list, 129, "[", "]"), ERROR_TOO_DEEP);
    buffer_done(&list);
}

static void size_is_bounded(void **state)
{
    struct buffer list = {0}, out = {0}, less = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        buffer_append_literal(&list, "[],");
    buffer_append_literal(&list, "0");
    assert_int_equal(json_bson_append_array(&out, buffer_bytes(&list), 1 << 20), 0);
    assert_int_equal(json_bson_append_array(&less, buffer_bytes(&list), out.length), 0);
    assert_int_equal(less.length, out.length);
    assert_int_equal(json_bson_append_array(&less, buffer_bytes(&list), out.length - 1), ERROR_TOO_LARGE);
    assert_int_equal(less.length, out.length);
    buffer_done(&less);
    buffer_done(&list);
    buffer_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_keep_their_types),
        cmocka_unit_test(numbers_are_what_they_are_written_as),
        cmocka_unit_test(strings_stand_for_what_they_say),
        cmocka_unit_test(extended_json_is_not_interpreted),
        cmocka_unit_test(what_bson_cannot_express_is_refused),
        cmocka_unit_test(many_keys_are_compared),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(size_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
