/* The helpers for JSON. */
#include "app/hubbub.h"
#include "tests/unit/common/test.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void assert_found(const char *json, const char *path, const char *expected)
{
    const char *found;
    size_t length;

    assert_int_equal(hubbub_json_find(json, path, &found, &length), 0);
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(found, expected, length);
    assert_true(found >= json && found + length <= json + strlen(json));
}

static void test_find(void **state)
{
    const char *found = "untouched";
    size_t length = 1;

    (void)state;
    assert_found("1, \"two\" ,{\"a\":{\"b\":[3]}}", "$", "1");
    assert_found("1, \"two\" ,{\"a\":{\"b\":[3]}}", "$2", "\"two\"");
    assert_found("1, \"two\" ,{\"a\":{\"b\":[3]}}", "$3.a.b", "[3]");
    assert_found("{\"token\":null}", "$.token", "null");
    assert_int_equal(hubbub_json_find("1", "$2", &found, &length), HUBBUB_ERROR_NOT_FOUND);
    assert_int_equal(hubbub_json_find("", "$", &found, &length), HUBBUB_ERROR_NOT_FOUND);
    assert_int_equal(hubbub_json_find("{}", "$.a", &found, &length), HUBBUB_ERROR_NOT_FOUND);
    assert_int_equal(hubbub_json_find("{", "$", &found, &length), HUBBUB_ERROR_JSON);
    assert_int_equal(hubbub_json_find("1],[2", "$", &found, &length), HUBBUB_ERROR_JSON);
    assert_int_equal(hubbub_json_find("\"\xff\"", "$", &found, &length), HUBBUB_ERROR_JSON);
    assert_int_equal(hubbub_json_find("{\"a\":1,\"a\":2}", "$.a", &found, &length), HUBBUB_ERROR_JSON);
    assert_int_equal(hubbub_json_find("1", "a", &found, &length), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_json_find("1", NULL, &found, &length), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_json_find(NULL, "$", &found, &length), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(hubbub_json_find("1", "$", NULL, &length), HUBBUB_ERROR_ARGUMENT);
    assert_string_equal(found, "untouched");
    assert_int_equal(length, 1);
}

static void assert_text(const char *json, const char *expected)
{
    char *text = hubbub_json_text(json, "$");

    if (expected)
        assert_string_equal(text, expected);
    else
        assert_null(text);
    free(text);
}

static void test_text(void **state)
{
    (void)state;
    assert_text("\"a\\n\\u00e9\\ud83d\\ude00\"", "a\n\xc3\xa9\xf0\x9f\x98\x80");
    assert_text("\"\"", "");
    assert_text("1", NULL);
    assert_text("\"\\u0000\"", NULL);
    assert_text("\"\\ud800\"", NULL);
    assert_text("", NULL);
    assert_text(NULL, NULL);
}

static void test_integer(void **state)
{
    long long number = 7;

    (void)state;
    assert_int_equal(hubbub_json_integer("{\"n\":-12}", "$.n", &number), 0);
    assert_int_equal(number, -12);
    assert_int_equal(hubbub_json_integer("1.5", "$", &number), HUBBUB_ERROR_NOT_FOUND);
    assert_int_equal(hubbub_json_integer("\"1\"", "$", &number), HUBBUB_ERROR_NOT_FOUND);
    assert_int_equal(hubbub_json_integer("9007199254740992", "$", &number), HUBBUB_ERROR_NOT_FOUND);
    assert_int_equal(hubbub_json_integer("1", "$", NULL), HUBBUB_ERROR_ARGUMENT);
    assert_int_equal(number, -12);
}

#pragma GCC diagnostic ignored "-Wformat" /* some of these are wrong on purpose */
#pragma GCC diagnostic ignored "-Wformat-zero-length"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wformat-overflow"
#endif

#define assert_json(expected, ...)                                                                           \
    do {                                                                                                     \
        char *made = hubbub_json(__VA_ARGS__);                                                               \
                                                                                                             \
        assert_string_equal(made ? made : "(none)", expected);                                               \
        free(made);                                                                                          \
    } while (0)

static void test_writing(void **state)
{
    (void)state;
    assert_json("{\"from\":\"a\\\"b\\n\",\"count\":3}", "{\"from\":%s,\"count\":%d}", "a\"b\n", 3);
    assert_json("null,\"ab\",\"abc\"", "%s,%.*s,%.*s", (char *)NULL, 2, "abc", -1, "abc");
    assert_json("-1,4294967295,-9223372036854775808,18446744073709551615,7", "%i,%u,%lld,%llu,%zu", -1,
                UINT_MAX, LLONG_MIN, ULLONG_MAX, (size_t)7);
    assert_json("\"100%\"", "\"100%%\"");
    assert_json("", "");
    assert_json("(none)", "%x", 1);
    assert_json("(none)", "%f", 1.0);
    assert_json("(none)", "%");
    assert_json("(none)", "%s", "\xff");
    assert_json("(none)", "{\"a\":%d", 1);
    assert_json("(none)", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find), cmocka_unit_test(test_text),
                                       cmocka_unit_test(test_integer), cmocka_unit_test(test_writing)};

    return cmocka_run_group_tests_name("app/json", tests, NULL, NULL);
}
