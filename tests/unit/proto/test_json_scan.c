/* The JSON scanner: grammar, depth, truncation at every byte, paths, and what values stand for. */
#include "common/buffer.h"
#include "common/memory.h"
#include "proto/json_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Scans a copy that ends where its memory ends, so that sanitizers see a read beyond it. */
static int scan_copy(struct bytes text, enum json_kind *kind)
{
    char *copy = memory_new(text.length ? text.length : 1);
    struct json_value value = {0};
    int code;

    memcpy(copy, text.data, text.length);
    code = json_scan(bytes_make(copy, text.length), &value);
    if (kind)
        *kind = value.kind;
    free(copy);
    return code;
}

static const struct {
    struct bytes text;
    enum json_kind kind;
} valid[] = {
    {BYTES("null"), JSON_NULL},
    {BYTES("true"), JSON_TRUE},
    {BYTES("false"), JSON_FALSE},
    {BYTES(" \t\r\n null \t\r\n"), JSON_NULL},
    {BYTES("0"), JSON_NUMBER},
    {BYTES("-0"), JSON_NUMBER},
    {BYTES("7"), JSON_NUMBER},
    {BYTES("-120"), JSON_NUMBER},
    {BYTES("0.5"), JSON_NUMBER},
    {BYTES("10.250"), JSON_NUMBER},
    {BYTES("1e5"), JSON_NUMBER},
    {BYTES("1E+5"), JSON_NUMBER},
    {BYTES("0e-0"), JSON_NUMBER},
    {BYTES("-1.5e-300"), JSON_NUMBER},
    {BYTES("1e400"), JSON_NUMBER},
    {BYTES("123456789012345678901234567890"), JSON_NUMBER},
    {BYTES("\"\""), JSON_STRING},
    {BYTES("\"a\""), JSON_STRING},
    {BYTES("\"seven..\""), JSON_STRING},
    {BYTES("\"eight...\""), JSON_STRING},
    {BYTES("\"a text that is longer than two words of eight bytes\""), JSON_STRING},
    {BYTES("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\uABCD\\uabcd\""), JSON_STRING},
    {BYTES("\"\\u0000\""), JSON_STRING},
    {BYTES("\"\\ud83d\\ude00\""), JSON_STRING},
    {BYTES("\"\\ud800\""), JSON_STRING},
    {BYTES("\"\\udc00\\ud800\""), JSON_STRING},
    {BYTES("\"\x7f / \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\""), JSON_STRING},
    {BYTES("[]"), JSON_ARRAY},
    {BYTES("[ ]"), JSON_ARRAY},
    {BYTES("[1]"), JSON_ARRAY},
    {BYTES("[ 1 , \"a\" , null , [ ] , { } ]"), JSON_ARRAY},
    {BYTES("[[[[[]]]],[]]"), JSON_ARRAY},
    {BYTES("{}"), JSON_OBJECT},
    {BYTES("{ }"), JSON_OBJECT},
    {BYTES("{\"\":0}"), JSON_OBJECT},
    {BYTES("{\"a\":1,\"a\":2}"), JSON_OBJECT},
    {BYTES("{ \"a\" : { \"b\" : [ true , false ] } , \"c\" : \"}\" }"), JSON_OBJECT},
    {BYTES("[{\"a\":[{\"b\":{}}]},{\"c\":[]}]"), JSON_ARRAY},
    {BYTES("{\"\\u0061\\\"\":\"\\\\\"}"), JSON_OBJECT},
};

static void valid_documents(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        enum json_kind kind;

        if (scan_copy(valid[i].text, &kind) != 0)
            fail_msg("refused: %.*s", BYTES_PRINTF(valid[i].text));
        assert_int_equal(kind, valid[i].kind);
    }
}

static void truncated_documents_are_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        struct buffer text = {0};

        /* Within brackets no prefix of a document is one itself. */
        buffer_append_char(&text, '[');
        buffer_append_bytes(&text, valid[i].text);
        buffer_append_char(&text, ']');
        assert_int_equal(scan_copy(buffer_bytes(&text), NULL), 0);
        for (size_t length = 0; length < text.length; length++)
            if (scan_copy(bytes_make(text.data, length), NULL) != ERROR_MALFORMED)
                fail_msg("not malformed: %.*s", (int)length, text.data);
        buffer_done(&text);
    }
}

static const struct bytes malformed[] = {
    BYTES(""),
    BYTES(" "),
    BYTES("nul"),
    BYTES("nulll"),
    BYTES("True"),
    BYTES("undefined"),
    BYTES("NaN"),
    BYTES("Infinity"),
    BYTES("-"),
    BYTES("+1"),
    BYTES(".5"),
    BYTES("1."),
    BYTES("1.e5"),
    BYTES("-.5"),
    BYTES("01"),
    BYTES("-01"),
    BYTES("00"),
    BYTES("0x10"),
    BYTES("1e"),
    BYTES("1e+"),
    BYTES("1e5.5"),
    BYTES("1 2"),
    BYTES("1,"),
    BYTES("--1"),
    BYTES("1_000"),
    BYTES("\""),
    BYTES("\"a"),
    BYTES("a\""),
    BYTES("'a'"),
    BYTES("\"a\"b"),
    BYTES("\"a\" \"b\""),
    BYTES("\"\\\""),
    BYTES("\"\\x41\""),
    BYTES("\"\\a\""),
    BYTES("\"\\'\""),
    BYTES("\"\\U0041\""),
    BYTES("\"\\u\""),
    BYTES("\"\\u004\""),
    BYTES("\"\\u004g\""),
    BYTES("\"\\u 041\""),
    BYTES("\"\\u-041\""),
    BYTES("\"\\\n\""),
    BYTES("\"a\nb\""),
    BYTES("\"a\tb\""),
    BYTES("\"a\0b\""),
    BYTES("\"a text of some length with a \x1f in it\""),
    BYTES("["),
    BYTES("]"),
    BYTES("[1"),
    BYTES("[1,"),
    BYTES("[1,]"),
    BYTES("[,1]"),
    BYTES("[,]"),
    BYTES("[1,,2]"),
    BYTES("[1 2]"),
    BYTES("[1]]"),
    BYTES("[1}"),
    BYTES("[\"a\":1]"),
    BYTES("[1:2]"),
    BYTES("{"),
    BYTES("}"),
    BYTES("{1:2}"),
    BYTES("{a:1}"),
    BYTES("{'a':1}"),
    BYTES("{\"a\"}"),
    BYTES("{\"a\":}"),
    BYTES("{\"a\":1"),
    BYTES("{\"a\":1,}"),
    BYTES("{,\"a\":1}"),
    BYTES("{\"a\":1 \"b\":2}"),
    BYTES("{\"a\" 1}"),
    BYTES("{\"a\"::1}"),
    BYTES("{\"a\":1]"),
    BYTES("{\"a\":1}}"),
    BYTES("{\"a\":1},"),
    BYTES("{[]:1}"),
    BYTES("{null:1}"),
    BYTES("[1]x"),
    BYTES("[1]//"),
    BYTES("/**/[1]"),
    BYTES("\xef\xbb\xbf[1]"),
    BYTES("[1]\0"),
    BYTES("\f[1]"),
    BYTES("\v1"),
    BYTES("\xc2\xa0\x31"),
    BYTES("*"),
};

static void malformed_documents(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(malformed); i++) {
        struct buffer text = {0};

        if (scan_copy(malformed[i], NULL) != ERROR_MALFORMED)
            fail_msg("not malformed: %.*s", BYTES_PRINTF(malformed[i]));
        /* Within an object too. */
        buffer_append_literal(&text, "{\"k\":");
        buffer_append_bytes(&text, malformed[i]);
        buffer_append_literal(&text, "}");
        assert_int_equal(scan_copy(buffer_bytes(&text), NULL), ERROR_MALFORMED);
        buffer_done(&text);
    }
}

/* Every position of a special byte within words of eight. */
static void strings_at_every_alignment(void **state)
{
    static const char bad[] = {0, 1, '\n', 0x1f};

    (void)state;
    for (size_t length = 0; length < 40; length++)
        for (size_t at = 0; at < length; at++) {
            char text[48];

            text[0] = '"';
            memset(text + 1, 0xc3, length);
            text[length + 1] = '"';
            assert_int_equal(scan_copy(bytes_make(text, length + 2), NULL), 0);
            for (size_t i = 0; i < sizeof bad; i++) {
                text[1 + at] = bad[i];
                assert_int_equal(scan_copy(bytes_make(text, length + 2), NULL), ERROR_MALFORMED);
            }
            text[1 + at] = '"';
            assert_int_equal(scan_copy(bytes_make(text, at + 2), NULL), 0);
            assert_int_equal(scan_copy(bytes_make(text, length + 2), NULL), ERROR_MALFORMED);
            text[1 + at] = '\\';
            assert_int_equal(scan_copy(bytes_make(text, length + 2), NULL), ERROR_MALFORMED);
        }
}

static void fill_nested(struct buffer *out, const char *open, const char *close, size_t depth)
{
    for (size_t i = 0; i < depth; i++)
        buffer_append_text(out, open);
    buffer_append_char(out, '1');
    for (size_t i = 0; i < depth; i++)
        buffer_append_text(out, close);
}

static void depth_is_limited(void **state)
{
    static const struct {
        const char *open;
        const char *close;
    } brackets[] = {{"[", "]"}, {"{\"a\":", "}"}};

    (void)state;
    for (size_t i = 0; i < COUNT(brackets); i++) {
        struct buffer text = {0};

        fill_nested(&text, brackets[i].open, brackets[i].close, JSON_DEPTH_MAX);
        assert_int_equal(scan_copy(buffer_bytes(&text), NULL), 0);
        buffer_clear(&text);
        fill_nested(&text, brackets[i].open, brackets[i].close, JSON_DEPTH_MAX + 1);
        assert_int_equal(scan_copy(buffer_bytes(&text), NULL), ERROR_TOO_DEEP);
        buffer_done(&text);
    }
}

static struct json_path path_of(const char *text)
{
    struct json_path path;

    assert_int_equal(json_path_parse(bytes_from_text(text), &path), 0);
    return path;
}

static void paths_are_parsed(void **state)
{
    static const struct {
        const char *text;
        const char *canonical;
    } good[] = {
        {"$", "$"},
        {"$1", "$"},
        {"$2", "$2"},
        {"$99", "$99"},
        {"$.room", "$.room"},
        {"$1.room", "$.room"},
        {"$2.a.b", "$2.a.b"},
        {"$12.a-b.C_d.0", "$12.a-b.C_d.0"},
        {"$.1.2.3.4.5.6.7.8", "$.1.2.3.4.5.6.7.8"},
    };
    static const char *const bad[] = {"",      "room",  "$room",      "$.",    "$..a", "$.a.",
                                      "$.a b", "$.a\"", "$0",         "$01",   "$-1",  "$ ",
                                      " $",    "$.$",   "$.\xc3\xa9", "$.a/b", "$[0]", "$$"};
    static const char *const large[] = {"$100", "$99999999999999999999999", "$.1.2.3.4.5.6.7.8.9"};
    struct buffer text = {0};
    struct json_path path;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        char canonical[JSON_PATH_TEXT_MAX];
        size_t length;

        path = path_of(good[i].text);
        length = json_path_text(&path, canonical);
        assert_true(bytes_equal_text(bytes_make(canonical, length), good[i].canonical));
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(json_path_parse(bytes_from_text(bad[i]), &path), ERROR_MALFORMED);
    for (size_t i = 0; i < COUNT(large); i++)
        assert_int_equal(json_path_parse(bytes_from_text(large[i]), &path), ERROR_TOO_LARGE);
    buffer_append_literal(&text, "$.");
    for (size_t i = 0; i < JSON_PATH_KEYS_MAX; i++)
        buffer_append_char(&text, 'k');
    assert_int_equal(json_path_parse(buffer_bytes(&text), &path), 0);
    buffer_append_char(&text, 'k');
    assert_int_equal(json_path_parse(buffer_bytes(&text), &path), ERROR_TOO_LARGE);
    buffer_done(&text);
    path = (struct json_path){0};
    assert_int_equal(json_path_text(&path, (char[JSON_PATH_TEXT_MAX]){0}), 0);
}

/* One walk of an event with one path; found is the value's text, NULL for absent. */
static const struct {
    const char *event;
    const char *path;
    int code;
    const char *found;
} events[] = {
    {"[\"e\",1]", "$", 0, "1"},
    {"[\"e\"]", "$", 0, NULL},
    {"[\"e\"]", "$.a", 0, NULL},
    {"[\"e\", \"x\" ]", "$", 0, "\"x\""},
    {"[\"e\",1,{\"a\":2}]", "$2.a", 0, "2"},
    {"[\"e\",{\"a\":1},{\"a\":2}]", "$.a", 0, "1"},
    {"[\"e\",{\"a\":1},{\"a\":2}]", "$2", 0, "{\"a\":2}"},
    {"[\"e\",{\"a\":1},{\"a\":2}]", "$3.a", 0, NULL},
    {"[\"e\",{\"room\":\"r\",\"i\":1}]", "$.room", 0, "\"r\""},
    {"[\"e\",{ \"i\" : 1 , \"room\" : \"r\" }]", "$.room", 0, "\"r\""},
    {"[\"e\",{\"rooms\":1,\"roo\":2,\"\":3}]", "$.room", 0, NULL},
    {"[\"e\",{\"r\\u006fom\":\"r\"}]", "$.room", 0, "\"r\""},
    {"[\"e\",{\"room\\u0000\":\"r\"}]", "$.room", 0, NULL},
    {"[\"e\",{\"\\ud800\":\"r\"}]", "$.room", 0, NULL},
    {"[\"e\",{\"room\":{\"x\":[1,{}]}}]", "$.room", 0, "{\"x\":[1,{}]}"},
    {"[\"e\",{\"room\":[]}]", "$.room", 0, "[]"},
    {"[\"e\",{\"room\":[[2]],\"x\":1}]", "$.room", 0, "[[2]]"},
    {"[\"e\",{\"room\":null}]", "$.room", 0, "null"},
    {"[\"e\",{\"a\":{\"b\":1}}]", "$.a.b", 0, "1"},
    {"[\"e\",{\"x\":{\"b\":2},\"a\":{\"x\":3,\"b\":1}}]", "$.a.b", 0, "1"},
    {"[\"e\",{\"a\":{\"x\":{\"b\":3}},\"b\":4}]", "$.a.b", 0, NULL},
    {"[\"e\",{\"a\":[{\"b\":3}]}]", "$.a.b", 0, NULL},
    {"[\"e\",{\"a\":1,\"b\":2}]", "$.a.b", 0, NULL},
    {"[\"e\",[{\"a\":1}]]", "$.a", 0, NULL},
    {"[\"e\",\"a\"]", "$.a", 0, NULL},
    {"[\"e\",{\"x\":{\"a\":1}}]", "$.a", 0, NULL},
    {"[\"e\",{\"a\":{\"a\":{\"a\":1}}}]", "$.a", 0, "{\"a\":{\"a\":1}}"},
    {"[\"e\",{\"a\":{\"a\":{\"a\":1}}}]", "$.a.a.a", 0, "1"},
    {"[\"e\",{\"a\":{\"a\":{\"a\":1}}}]", "$.a.a.a.a", 0, NULL},
    {"[\"e\",{\"a\":{},\"c\":1}]", "$.a.c", 0, NULL},
    {"[\"e\",{\"a\":{\"b\":{}},\"b\":{\"c\":1}}]", "$.a.b.c", 0, NULL},
    {"[\"e\",{\"1\":{\"2\":{\"3\":{\"4\":{\"5\":{\"6\":{\"7\":{\"8\":true}}}}}}}}]", "$.1.2.3.4.5.6.7.8", 0,
     "true"},

    {"[\"e\",{\"a\":1,\"a\":2}]", "$.a", ERROR_EXISTS, NULL},
    {"[\"e\",{\"a\":1,\"\\u0061\":2}]", "$.a", ERROR_EXISTS, NULL},
    {"[\"e\",{\"a\":{\"b\":1},\"a\":{\"b\":1}}]", "$.a.b", ERROR_EXISTS, NULL},
    {"[\"e\",{\"a\":1,\"a\":{\"b\":1}}]", "$.a.b", ERROR_EXISTS, NULL},
    {"[\"e\",{\"a\":{\"b\":1,\"b\":2}}]", "$.a.b", ERROR_EXISTS, NULL},
    {"[\"e\",{\"a\":1,\"a\":2}]", "$.b", 0, NULL},
    {"[\"e\",{\"a\":1,\"a\":2}]", "$2.a", 0, NULL},
    {"[\"e\",{\"a\":{\"c\":1,\"c\":2,\"b\":3}}]", "$.a.b", 0, "3"},
    {"[\"e\",{\"x\":{\"a\":1,\"a\":2},\"a\":3}]", "$.a", 0, "3"},

    {"[\"e\",{\"a\":1,\"a\":2}", "$.a", ERROR_MALFORMED, NULL},
    {"[\"e\",{\"a\":1,\"a\":2}]x", "$.a", ERROR_MALFORMED, NULL},
    {"[\"e\",]", "$", ERROR_MALFORMED, NULL},
    {"[\"e\" 1]", "$", ERROR_MALFORMED, NULL},
    {"[\"e\",1", "$", ERROR_MALFORMED, NULL},
    {"[\"e\"", "$", ERROR_MALFORMED, NULL},
    {"[\"e\"}", "$", ERROR_MALFORMED, NULL},
    {"[\"e\",1}", "$", ERROR_MALFORMED, NULL},
    {"[\"e\",1]]", "$", ERROR_MALFORMED, NULL},
    {"[\"e\",1],", "$", ERROR_MALFORMED, NULL},
    {"[\"e\",{\"a\":01}]", "$.a", ERROR_MALFORMED, NULL},
};

static int walk(struct bytes text, const struct json_path *paths, size_t n, struct json_event *event,
                struct json_value *values)
{
    int code = json_event_begin(text, event);

    return code ? code : json_event_finish(event, paths, n, values);
}

static void paths_are_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(events); i++) {
        struct json_path path = path_of(events[i].path);
        struct json_value value = {.kind = JSON_TRUE};
        struct json_event event;
        int code = walk(bytes_from_text(events[i].event), &path, 1, &event, &value);

        if (code != events[i].code)
            fail_msg("%s at %s: %d", events[i].event, events[i].path, code);
        if (code) {
            /* Untouched. */
            assert_int_equal(value.kind, JSON_TRUE);
            continue;
        }
        if (!events[i].found) {
            assert_int_equal(value.kind, JSON_ABSENT);
            assert_null(value.text.data);
        } else if (value.kind == JSON_ABSENT || !bytes_equal_text(value.text, events[i].found)) {
            fail_msg("%s at %s: %.*s", events[i].event, events[i].path, BYTES_PRINTF(value.text));
        }
    }
}

static void truncated_events_are_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(events); i++) {
        struct json_path path = path_of(events[i].path);
        size_t whole = strlen(events[i].event);

        if (events[i].code == ERROR_MALFORMED)
            continue;
        for (size_t length = 0; length < whole; length++) {
            char *copy = memory_new(length + 1);
            struct json_value value;
            struct json_event event;

            memcpy(copy + 1, events[i].event, length);
            assert_int_equal(walk(bytes_make(copy + 1, length), &path, 1, &event, &value), ERROR_MALFORMED);
            free(copy);
        }
    }
}

static void several_paths_in_one_walk(void **state)
{
    struct json_path paths[] = {path_of("$.a"), path_of("$.a.b"), path_of("$.a"), path_of("$2")};
    struct json_path nowhere[] = {path_of("$.a.b"), {0}};
    struct json_value values[4];
    struct json_event event;

    (void)state;
    assert_int_equal(walk(BYTES(" [ \"e\" , {\"a\":{\"b\":1}} , 5 ] "), paths, 4, &event, values), 0);
    assert_true(bytes_equal_text(values[0].text, "{\"b\":1}"));
    assert_int_equal(values[0].kind, JSON_OBJECT);
    assert_true(bytes_equal_text(values[1].text, "1"));
    assert_int_equal(values[1].kind, JSON_NUMBER);
    assert_true(bytes_equal(values[2].text, values[0].text));
    assert_true(bytes_equal_text(values[3].text, "5"));
    assert_true(bytes_equal_text(event.name.text, "\"e\""));
    assert_true(bytes_equal_text(event.arguments, "{\"a\":{\"b\":1}} , 5"));
    assert_int_equal(event.argument_count, 2);

    assert_int_equal(walk(BYTES("[\"e\",{\"a\":{\"b\":1}}]"), nowhere, 2, &event, values), 0);
    assert_true(bytes_equal_text(values[0].text, "1"));
    assert_int_equal(values[1].kind, JSON_ABSENT);

    assert_int_equal(walk(BYTES("[\"e\"]"), NULL, 0, &event, NULL), 0);
    assert_int_equal(event.arguments.length, 0);
    assert_int_equal(event.argument_count, 0);
}

static void event_names(void **state)
{
    static const char *const bad[] = {"",     " ",         "{}",       "\"e\"",    "[]",    "[ ]",  "[null]",
                                      "[{}]", "[[\"e\"]]", "[true,1]", "[,\"e\"]", "[\"e]", "[01]", "[-]"};
    struct json_event event = {.argument_count = 77};

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(json_event_begin(bytes_from_text(bad[i]), &event), ERROR_MALFORMED);
        assert_int_equal(event.argument_count, 77);
    }
    assert_int_equal(json_event_begin(BYTES("[12,\"a\"]"), &event), 0);
    assert_int_equal(event.name.kind, JSON_NUMBER);
    assert_true(bytes_equal_text(event.name.text, "12"));
    assert_int_equal(json_event_finish(&event, NULL, 0, NULL), 0);
    assert_true(bytes_equal_text(event.arguments, "\"a\""));
}

static void depth_of_events_counts_their_array(void **state)
{
    struct json_path path = path_of("$.a");

    (void)state;
    for (size_t tracked = 0; tracked < 2; tracked++)
        for (size_t depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX; depth++) {
            struct buffer text = {0};
            struct json_value value;
            struct json_event event;

            buffer_append_literal(&text, "[\"e\",");
            fill_nested(&text, "{\"a\":", "}", depth);
            buffer_append_literal(&text, "]");
            assert_int_equal(walk(buffer_bytes(&text), &path, tracked, &event, &value),
                             depth < JSON_DEPTH_MAX ? 0 : ERROR_TOO_DEEP);
            buffer_done(&text);
        }
}

static void elements_are_walked(void **state)
{
    static const char *const want[] = {"1", "\"a,b\"", "[2,3]", "{\"k\":[]}", "null"};
    struct json_value array;
    struct json_value value;
    struct json_cursor cursor;

    (void)state;
    assert_int_equal(json_scan(BYTES("[ 1,\"a,b\" , [2,3],{\"k\":[]},null ]"), &array), 0);
    cursor = json_array_cursor(array);
    for (size_t i = 0; i < COUNT(want); i++) {
        assert_int_equal(json_cursor_next(&cursor, &value), 0);
        assert_true(bytes_equal_text(value.text, want[i]));
    }
    assert_int_equal(json_cursor_next(&cursor, &value), ERROR_NOT_FOUND);
    assert_int_equal(json_cursor_next(&cursor, &value), ERROR_NOT_FOUND);

    cursor = json_list_cursor(BYTES("1 , 2"));
    assert_int_equal(json_cursor_next(&cursor, &value), 0);
    assert_int_equal(json_cursor_next(&cursor, &value), 0);
    assert_true(bytes_equal_text(value.text, "2"));
    assert_int_equal(json_cursor_next(&cursor, &value), ERROR_NOT_FOUND);
    cursor = json_list_cursor((struct bytes){NULL, 0});
    assert_int_equal(json_cursor_next(&cursor, &value), ERROR_NOT_FOUND);
    cursor = json_array_cursor((struct json_value){BYTES("5"), JSON_NUMBER});
    assert_int_equal(json_cursor_next(&cursor, &value), ERROR_NOT_FOUND);
    cursor = json_list_cursor(BYTES("1 2"));
    assert_int_equal(json_cursor_next(&cursor, &value), 0);
    assert_int_equal(json_cursor_next(&cursor, &value), ERROR_MALFORMED);
}

static void members_of_an_object(void **state)
{
    static const char *const bad[] = {"{\"a\":1,}", "{,}",   "{\"a\"}", "{\"a\":}",
                                      "{\"a\" 1}",  "{1:1}", "{[]:1}",  "{\"a\":1 \"b\":2}"};
    struct json_value object = {BYTES("{ \"a\" : 1 , \"b\":{\"a\":[2]},\"a\":null }"), JSON_OBJECT}, key,
                      value;
    struct json_cursor cursor = json_object_cursor(object);

    (void)state;
    assert_int_equal(json_member_next(&cursor, &key, &value), 0);
    assert_true(json_string_is(key, BYTES("a")) && value.kind == JSON_NUMBER);
    assert_int_equal(json_member_next(&cursor, &key, &value), 0);
    assert_true(json_string_is(key, BYTES("b")) && bytes_equal_text(value.text, "{\"a\":[2]}"));
    assert_int_equal(json_member_next(&cursor, &key, &value), 0);
    assert_true(bytes_equal_text(key.text, "\"a\"") && value.kind == JSON_NULL);
    assert_int_equal(json_member_next(&cursor, &key, &value), ERROR_NOT_FOUND);
    assert_int_equal(json_member_next(&cursor, &key, &value), ERROR_NOT_FOUND);
    cursor = json_object_cursor((struct json_value){BYTES("[1]"), JSON_ARRAY});
    assert_int_equal(json_member_next(&cursor, &key, &value), ERROR_NOT_FOUND);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int code;

        cursor = json_object_cursor((struct json_value){bytes_from_text(bad[i]), JSON_OBJECT});
        while ((code = json_member_next(&cursor, &key, &value)) == 0)
            ;
        if (code != ERROR_MALFORMED)
            fail_msg("%d: %s", code, bad[i]);
    }
    assert_false(json_string_is((struct json_value){BYTES("1"), JSON_NUMBER}, BYTES("1")));
    assert_true(json_string_is((struct json_value){BYTES("\"\\u0061\""), JSON_STRING}, BYTES("a")));
    assert_false(json_string_is((struct json_value){BYTES("\"ab\""), JSON_STRING}, BYTES("a")));
}

static void paths_in_one_value(void **state)
{
    static const char *const texts[] = {"$", "$.a.b", "$2.a"};
    struct json_path paths[3];
    struct json_value values[3], value;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(json_path_parse(bytes_from_text(texts[i]), &paths[i]), 0);
    assert_int_equal(json_scan(BYTES("{\"a\":{\"b\":5}}"), &value), 0);
    assert_int_equal(json_paths_find(value, paths, 3, values), 0);
    assert_true(bytes_equal(values[0].text, value.text));
    assert_true(bytes_equal_text(values[1].text, "5"));
    assert_int_equal(values[2].kind, JSON_ABSENT);
    assert_int_equal(json_scan(BYTES("{\"a\":{\"b\":5,\"b\":6}}"), &value), 0);
    assert_int_equal(json_paths_find(value, paths, 3, values), ERROR_EXISTS);
    assert_int_equal(json_paths_find(value, paths, 1, values), 0);
    assert_int_equal(json_scan(BYTES("7"), &value), 0);
    assert_int_equal(json_paths_find(value, paths, 3, values), 0);
    assert_true(bytes_equal_text(values[0].text, "7") && values[1].kind == JSON_ABSENT);
}

static void keys_are_found(void **state)
{
    struct json_value object;
    struct json_value value;

    (void)state;
    assert_int_equal(
        json_scan(BYTES("{\"a b\":1,\"jo\\u0069n\":[\"x\"],\"d\":1,\"d\":2,\"o\":{\"i\":1}}"), &object), 0);
    assert_int_equal(json_object_find(object, "join", &value), 0);
    assert_true(bytes_equal_text(value.text, "[\"x\"]"));
    assert_int_equal(value.kind, JSON_ARRAY);
    assert_int_equal(json_object_find(object, "a b", &value), 0);
    assert_int_equal(value.kind, JSON_NUMBER);
    assert_int_equal(json_object_find(object, "i", &value), ERROR_NOT_FOUND);
    assert_int_equal(json_object_find(object, "d", &value), ERROR_EXISTS);
    assert_int_equal(json_scan(BYTES("[\"join\",1]"), &object), 0);
    assert_int_equal(json_object_find(object, "join", &value), ERROR_NOT_FOUND);
    assert_int_equal(json_object_find((struct json_value){0}, "join", &value), ERROR_NOT_FOUND);
}

static void strings_are_decoded(void **state)
{
    static const struct {
        struct bytes text;
        struct bytes want;
    } good[] = {
        {BYTES("\"\""), BYTES("")},
        {BYTES("\"plain \xc3\xa9\""), BYTES("plain \xc3\xa9")},
        {BYTES("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), BYTES("\"\\/\b\f\n\r\t")},
        {BYTES("\"\\u0041\\u00e9\\u20AC\\uffff\""), BYTES("A\xc3\xa9\xe2\x82\xac\xef\xbf\xbf")},
        {BYTES("\"x\\ud83d\\uDE00y\""), BYTES("x\xf0\x9f\x98\x80y")},
        {BYTES("\"\\uD800\\udc00\\udbff\\udfff\""), BYTES("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")},
        {BYTES("\"a\\u0000b\""), BYTES("a\0b")},
        {BYTES("\"\\u007f\\u0080\\u07ff\\u0800\""), BYTES("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80")},
    };
    static const char *const lone[] = {"\"\\ud800\"",        "\"\\udc00\"",        "\"\\ud800x\"",
                                       "\"\\ud800\\n\"",     "\"\\ud800\\ud800\"", "\"\\udc00\\ud800\"",
                                       "\"\\ud800\\u0041\"", "\"a\\udfff\""};
    char out[64];
    size_t length = 99;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct json_value value;

        assert_int_equal(json_scan(good[i].text, &value), 0);
        assert_int_equal(json_string_decode(value, out, good[i].want.length, &length), 0);
        assert_true(bytes_equal(bytes_make(out, length), good[i].want));
        length = 99;
        if (good[i].want.length)
            assert_int_equal(json_string_decode(value, out, good[i].want.length - 1, &length),
                             ERROR_TOO_LARGE);
        assert_int_equal(length, 99);
    }
    for (size_t i = 0; i < COUNT(lone); i++) {
        struct json_value value;

        assert_int_equal(json_scan(bytes_from_text(lone[i]), &value), 0);
        assert_int_equal(json_string_decode(value, out, sizeof out, &length), ERROR_UTF8);
    }
    assert_int_equal(
        json_string_decode((struct json_value){BYTES("12"), JSON_NUMBER}, out, sizeof out, &length),
        ERROR_MALFORMED);
    assert_int_equal(length, 99);
}

static void integers_are_exact(void **state)
{
    static const struct {
        const char *text;
        int code;
        long long value;
    } numbers[] = {
        {"0", 0, 0},
        {"-0", 0, 0},
        {"41", 0, 41},
        {"-41", 0, -41},
        {"5.0", 0, 5},
        {"5.000", 0, 5},
        {"9007199254740991", 0, 9007199254740991},
        {"-9007199254740991", 0, -9007199254740991},
        {"9007199254740992", ERROR_TOO_LARGE, 0},
        {"-9007199254740992", ERROR_TOO_LARGE, 0},
        {"123456789012345678901234567890", ERROR_TOO_LARGE, 0},
        {"90071992547409910", ERROR_TOO_LARGE, 0},
        {"5.5", ERROR_MALFORMED, 0},
        {"5.01", ERROR_MALFORMED, 0},
        {"1e1", ERROR_MALFORMED, 0},
        {"1.0e1", ERROR_MALFORMED, 0},
        {"\"5\"", ERROR_MALFORMED, 0},
        {"null", ERROR_MALFORMED, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        struct json_value value;
        long long out = 77;

        assert_int_equal(json_scan(bytes_from_text(numbers[i].text), &value), 0);
        assert_int_equal(json_integer_decode(value, &out), numbers[i].code);
        assert_true(out == (numbers[i].code ? 77 : numbers[i].value));
    }
}

static void lists_are_scanned(void **state)
{
    static const struct {
        const char *text;
        int code;
    } lists[] = {
        {"", 0},
        {" ", ERROR_MALFORMED},
        {"1", 0},
        {" {\"a\":[1]} , \"b\",null ", 0},
        {",", ERROR_MALFORMED},
        {"1,", ERROR_MALFORMED},
        {"1 2", ERROR_MALFORMED},
        {",1", ERROR_MALFORMED},
        {"1,,2", ERROR_MALFORMED},
        {"1],[2", ERROR_MALFORMED},
        {"[1", ERROR_MALFORMED},
        {"1,nul", ERROR_MALFORMED},
    };
    char deep[2 * JSON_DEPTH_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(lists); i++)
        assert_int_equal(json_list_scan(bytes_from_text(lists[i].text)), lists[i].code);
    assert_int_equal(json_list_scan((struct bytes){0}), 0);
    for (size_t depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX; depth++) {
        memset(deep, '[', depth);
        memset(deep + depth, ']', depth);
        assert_int_equal(json_list_scan(bytes_make(deep, 2 * depth)),
                         depth == JSON_DEPTH_MAX ? ERROR_TOO_DEEP : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_scanned),
        cmocka_unit_test(members_of_an_object),
        cmocka_unit_test(paths_in_one_value),
        cmocka_unit_test(valid_documents),
        cmocka_unit_test(truncated_documents_are_malformed),
        cmocka_unit_test(malformed_documents),
        cmocka_unit_test(strings_at_every_alignment),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(paths_are_parsed),
        cmocka_unit_test(paths_are_found),
        cmocka_unit_test(truncated_events_are_malformed),
        cmocka_unit_test(several_paths_in_one_walk),
        cmocka_unit_test(event_names),
        cmocka_unit_test(depth_of_events_counts_their_array),
        cmocka_unit_test(elements_are_walked),
        cmocka_unit_test(keys_are_found),
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(integers_are_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
