/*
 * Placeholders of binary packets: which objects are some, what they may name, and how several texts are put
 * behind each other; each text also cut at every byte, as the reader must bear anything.
 */
#include "common/memory.h"
#include "proto/json_scan.h"
#include "proto/placeholder.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct {
    const char *text;
    unsigned count; /* the least number of attachments that is enough; NEVER */
    bool present;
    const char *shifted; /* with 3 before it; NULL: the same */
} texts[] = {
    {"", 0, false, NULL},
    {"1,\"a\",null,[],{}", 0, false, NULL},
    {"{\"_placeholder\":true,\"num\":0}", 1, true, "{\"_placeholder\":true,\"num\":3}"},
    {"{\"num\":4,\"_placeholder\":true}", 5, true, "{\"num\":7,\"_placeholder\":true}"},
    {" { \"num\" : 0 ,\t\"_placeholder\"\n:\rtrue } ", 1, true,
     " { \"num\" : 3 ,\t\"_placeholder\"\n:\rtrue } "},
    {"{\"a\":[1,{\"b\":{\"_placeholder\":true,\"num\":1}}]},{\"_placeholder\":true,\"num\":0}", 2, true,
     "{\"a\":[1,{\"b\":{\"_placeholder\":true,\"num\":4}}]},{\"_placeholder\":true,\"num\":3}"},
    {"[{\"_placeholder\":true,\"num\":2},{\"_placeholder\":true,\"num\":2}]", 3, true,
     "[{\"_placeholder\":true,\"num\":5},{\"_placeholder\":true,\"num\":5}]"},
    /* Other keys may stand beside. */
    {"{\"x\":[\"num\",{\"num\":9}],\"_placeholder\":true,\"y\":\"}\",\"num\":1,\"z\":null}", 2, true,
     "{\"x\":[\"num\",{\"num\":9}],\"_placeholder\":true,\"y\":\"}\",\"num\":4,\"z\":null}"},
    /* Only true is true. */
    {"{\"_placeholder\":false,\"num\":\"x\"}", 0, false, NULL},
    {"{\"_placeholder\":\"true\",\"num\":0}", 0, false, NULL},
    {"{\"_placeholder\":1,\"num\":0},{\"_placeholder\":null},{\"_placeholder\":{}},{\"_placeholder\":[true]}",
     0, false, NULL},
    {"{\"placeholder\":true,\"num\":0},{\"_placeholder \":true},[\"_placeholder\",true]", 0, false, NULL},
    {"{\"x\":\"_placeholder\",\"y\":true},{\"_placeholderr\":true},{\"\":true}", 0, false, NULL},
    /* Of equal keys the last counts. */
    {"{\"_placeholder\":true,\"_placeholder\":false,\"num\":0}", 0, false, NULL},
    {"{\"_placeholder\":true,\"_placeholder\":[],\"num\":0}", 0, false, NULL},
    {"{\"num\":8,\"_placeholder\":false,\"_placeholder\":true,\"num\":0}", 1, true,
     "{\"num\":8,\"_placeholder\":false,\"_placeholder\":true,\"num\":3}"},
    {"{\"num\":0,\"_placeholder\":true,\"num\":\"0\"}", UINT_MAX, true, NULL},
    {"{\"num\":0,\"_placeholder\":true,\"num\":{}}", UINT_MAX, true, NULL},
    /* Keys compare after unescaping. */
    {"{\"\\u005fplaceh\\u006flder\":true,\"n\\u0075m\":1}", 2, true,
     "{\"\\u005fplaceh\\u006flder\":true,\"n\\u0075m\":4}"},
    {"{\"_placeholder\\u0000\":true,\"\\ud800\":true,\"\\\"num\\\\\":1}", 0, false, NULL},
    /* What a num may be. */
    {"{\"_placeholder\":true}", UINT_MAX, true, NULL},
    {"{\"_placeholder\":true,\"num\":\"0\"}", UINT_MAX, true, NULL},
    {"{\"_placeholder\":true,\"num\":null}", UINT_MAX, true, NULL},
    {"{\"_placeholder\":true,\"num\":true}", UINT_MAX, true, NULL},
    {"{\"_placeholder\":true,\"num\":[0]}", UINT_MAX, true, NULL},
    {"{\"_placeholder\":true,\"num\":-1}", UINT_MAX, true, NULL},
    {"{\"_placeholder\":true,\"num\":0.5}", UINT_MAX, true, NULL},
    {"{\"_placeholder\":true,\"num\":1e400}", UINT_MAX, true, NULL},
    {"{\"_placeholder\":true,\"num\":99999999999999999999}", UINT_MAX, true, NULL},
    {"{\"_placeholder\":true,\"num\":1.0}", 2, true, "{\"_placeholder\":true,\"num\":4  }"},
    {"[{\"_placeholder\":true,\"num\":-0},1]", 1, true, "[{\"_placeholder\":true,\"num\":3 },1]"},
    {"{\"_placeholder\":true,\"num\":6}", 7, true, "{\"_placeholder\":true,\"num\":9}"},
    {"{\"_placeholder\":true,\"num\":7}", 8, true, NULL}, /* no packet has so many */
    /* What is inside of a placeholder is never seen. */
    {"{\"_placeholder\":true,\"num\":0,\"in\":{\"_placeholder\":true,\"num\":\"x\"}}", 1, true,
     "{\"_placeholder\":true,\"num\":3,\"in\":{\"_placeholder\":true,\"num\":\"x\"}}"},
    {"{\"in\":[{\"_placeholder\":true}],\"_placeholder\":true,\"num\":0}", 1, true,
     "{\"in\":[{\"_placeholder\":true}],\"_placeholder\":true,\"num\":3}"},
    {"{\"in\":{\"_placeholder\":true},\"_placeholder\":false}", UINT_MAX, true, NULL},
};

static void check_text(size_t i)
{
    struct bytes text = bytes_from_text(texts[i].text);
    unsigned count = texts[i].count;
    struct buffer out = {0};

    if (count == UINT_MAX) {
        assert_int_equal(placeholders_check(text, 0), ERROR_MALFORMED);
        assert_int_equal(placeholders_check(text, 10), ERROR_MALFORMED);
    } else {
        assert_int_equal(placeholders_check(text, count), 0);
        assert_int_equal(placeholders_check(text, 10), 0);
        if (count)
            assert_int_equal(placeholders_check(text, count - 1), ERROR_MALFORMED);
    }
    assert_int_equal(placeholders_present(text), texts[i].present);
    placeholders_append(&out, text, 0);
    assert_true(bytes_equal(buffer_bytes(&out), text));
    buffer_clear(&out);
    buffer_append_literal(&out, "before ");
    placeholders_append(&out, text, 3);
    buffer_append_char(&out, '\0');
    assert_string_equal(out.data + sizeof "before " - 1, texts[i].shifted ? texts[i].shifted : texts[i].text);
    buffer_done(&out);
}

static void placeholders_are_found_and_numbered(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        check_text(i);
}

/* Of a page's text one message's part, as if it stood alone. */
static void a_part_is_counted_from_its_own_start(void **state)
{
    struct bytes text = BYTES("{\"_placeholder\":true,\"num\":4},{\"_placeholder\":true,\"num\":2.0},"
                              "{\"_placeholder\":true,\"num\":12},{\"_placeholder\":true}");
    unsigned first = 77, end = 77;
    struct buffer out = {0};

    (void)state;
    assert_false(placeholders_range(BYTES("1,{\"num\":3},{\"_placeholder\":true}"), &first, &end));
    assert_int_equal(first, 77);
    assert_true(placeholders_range(text, &first, &end));
    assert_int_equal(first, 2);
    assert_int_equal(end, 5);
    placeholders_append(&out, text, -2);
    assert_true(bytes_equal_text(buffer_bytes(&out),
                                 "{\"_placeholder\":true,\"num\":2},{\"_placeholder\":true,\"num\":0  },"
                                 "{\"_placeholder\":true,\"num\":12},{\"_placeholder\":true}"));
    buffer_clear(&out);
    placeholders_append(&out, text, -3); /* what would be below 0 stays */
    assert_true(bytes_starts_with(
        buffer_bytes(&out), BYTES("{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":2.0}")));
    buffer_done(&out);
}

/* Nothing outside of a text is read, wherever it ends: the address sanitizer looks on. */
static void cut_texts_are_borne(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        for (size_t length = 0; length < strlen(texts[i].text); length++) {
            char *copy = memory_new(length + 1);
            struct bytes text = bytes_make(copy + 1, length);
            struct buffer out = {0};
            int code;

            memcpy(copy + 1, texts[i].text, length);
            code = placeholders_check(text, 3);
            assert_true(code == 0 || code == ERROR_MALFORMED);
            placeholders_append(&out, text, 3);
            assert_int_equal(out.length, length);
            buffer_done(&out);
            free(copy);
        }
}

static void depth_has_a_bound(void **state)
{
    (void)state;
    for (unsigned depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        struct buffer text = {0};

        for (unsigned i = 1; i < depth; i++)
            buffer_append_literal(&text, "[");
        buffer_append_literal(&text, "{\"_placeholder\":true,\"num\":0}");
        for (unsigned i = 1; i < depth; i++)
            buffer_append_literal(&text, "]");
        assert_int_equal(placeholders_check(buffer_bytes(&text), 1),
                         depth <= JSON_DEPTH_MAX ? 0 : ERROR_TOO_DEEP);
        assert_true(placeholders_present(buffer_bytes(&text)));
        buffer_done(&text);
    }
    assert_int_equal(placeholders_check(BYTES("]"), 1), ERROR_MALFORMED);
}

static void placeholders_are_counted(void **state)
{
    static const struct {
        const char *text;
        unsigned count;
    } counted[] = {
        {"", 0},
        {"{\"num\":0},[true]", 0},
        {"{\"_placeholder\":true,\"num\":0}", 1},
        {"[{\"_placeholder\":true,\"num\":0},{\"a\":{\"_placeholder\":true}}]", 2},
        {"{\"_placeholder\":true,\"a\":{\"_placeholder\":true,\"num\":0}}", 2},
    };
    struct buffer deep = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(counted); i++)
        assert_int_equal(placeholders_count(bytes_from_text(counted[i].text)), counted[i].count);
    for (int i = 0; i <= JSON_DEPTH_MAX; i++)
        buffer_append_char(&deep, '[');
    assert_int_equal(placeholders_count(buffer_bytes(&deep)), UINT_MAX);
    buffer_done(&deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(placeholders_are_found_and_numbered),
        cmocka_unit_test(a_part_is_counted_from_its_own_start),
        cmocka_unit_test(cut_texts_are_borne),
        cmocka_unit_test(depth_has_a_bound),
        cmocka_unit_test(placeholders_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
