/*
 * msgpack's tokens: every first byte of the format, each value cut at every byte, lengths that lie, and what
 * is written read back in its shortest form.
 */
#include "common/buffer.h"
#include "common/memory.h"
#include "proto/msgpack_token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct {
    struct bytes bytes;
    struct msgpack_token token; /* texts are the last bytes of the value */
    size_t text;
} tokens[] = {
    {BYTES("\x00"), {.kind = MSGPACK_UNSIGNED, .u64 = 0}},
    {BYTES("\x7f"), {.kind = MSGPACK_UNSIGNED, .u64 = 127}},
    {BYTES("\xcc\x05"), {.kind = MSGPACK_UNSIGNED, .u64 = 5}},
    {BYTES("\xcc\xff"), {.kind = MSGPACK_UNSIGNED, .u64 = 255}},
    {BYTES("\xcd\x12\x34"), {.kind = MSGPACK_UNSIGNED, .u64 = 0x1234}},
    {BYTES("\xce\x12\x34\x56\x78"), {.kind = MSGPACK_UNSIGNED, .u64 = 0x12345678}},
    {BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), {.kind = MSGPACK_UNSIGNED, .u64 = UINT64_MAX}},
    {BYTES("\xff"), {.kind = MSGPACK_NEGATIVE, .i64 = -1}},
    {BYTES("\xe0"), {.kind = MSGPACK_NEGATIVE, .i64 = -32}},
    {BYTES("\xd0\x80"), {.kind = MSGPACK_NEGATIVE, .i64 = -128}},
    {BYTES("\xd0\x7f"), {.kind = MSGPACK_UNSIGNED, .u64 = 127}},
    {BYTES("\xd1\x80\x00"), {.kind = MSGPACK_NEGATIVE, .i64 = INT16_MIN}},
    {BYTES("\xd2\x80\x00\x00\x00"), {.kind = MSGPACK_NEGATIVE, .i64 = INT32_MIN}},
    {BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), {.kind = MSGPACK_NEGATIVE, .i64 = INT64_MIN}},
    {BYTES("\xd3\x7f\xff\xff\xff\xff\xff\xff\xff"), {.kind = MSGPACK_UNSIGNED, .u64 = INT64_MAX}},
    {BYTES("\xca\x3f\xc0\x00\x00"), {.kind = MSGPACK_FLOAT, .number = 1.5}},
    {BYTES("\xcb\xbf\xb9\x99\x99\x99\x99\x99\x9a"), {.kind = MSGPACK_FLOAT, .number = -0.1}},
    {BYTES("\xc0"), {.kind = MSGPACK_NIL}},
    {BYTES("\xc2"), {.kind = MSGPACK_FALSE}},
    {BYTES("\xc3"), {.kind = MSGPACK_TRUE}},
    {BYTES("\xa0"), {.kind = MSGPACK_STRING}},
    {BYTES("\xa3"
           "abc"),
     {.kind = MSGPACK_STRING},
     3},
    {BYTES("\xd9\x02hi"), {.kind = MSGPACK_STRING}, 2},
    {BYTES("\xda\x00\x02hi"), {.kind = MSGPACK_STRING}, 2},
    {BYTES("\xdb\x00\x00\x00\x02hi"), {.kind = MSGPACK_STRING}, 2},
    {BYTES("\xc4\x00"), {.kind = MSGPACK_BINARY}},
    {BYTES("\xc4\x01\xff"), {.kind = MSGPACK_BINARY}, 1},
    {BYTES("\xc5\x00\x01\xff"), {.kind = MSGPACK_BINARY}, 1},
    {BYTES("\xc6\x00\x00\x00\x01\xff"), {.kind = MSGPACK_BINARY}, 1},
    {BYTES("\xd4\x00\x00"), {.kind = MSGPACK_EXTENSION, .fixed = true}, 1},
    {BYTES("\xd5\xff\x01\x02"), {.kind = MSGPACK_EXTENSION, .fixed = true, .extension = -1}, 2},
    {BYTES("\xd6\x05\x01\x02\x03\x04"), {.kind = MSGPACK_EXTENSION, .fixed = true, .extension = 5}, 4},
    {BYTES("\xd7\x00\x01\x02\x03\x04\x05\x06\x07\x08"), {.kind = MSGPACK_EXTENSION, .fixed = true}, 8},
    {BYTES("\xd8\x80"
           "0123456789abcdef"),
     {.kind = MSGPACK_EXTENSION, .fixed = true, .extension = -128},
     16},
    {BYTES("\xc7\x00\x00"), {.kind = MSGPACK_EXTENSION}},
    {BYTES("\xc7\x02\x07hi"), {.kind = MSGPACK_EXTENSION, .extension = 7}, 2},
    {BYTES("\xc8\x00\x02\x07hi"), {.kind = MSGPACK_EXTENSION, .extension = 7}, 2},
    {BYTES("\xc9\x00\x00\x00\x02\x07hi"), {.kind = MSGPACK_EXTENSION, .extension = 7}, 2},
    {BYTES("\x90"), {.kind = MSGPACK_ARRAY}},
    {BYTES("\x80"), {.kind = MSGPACK_MAP}},
    {BYTES("\xdc\x00\x00"), {.kind = MSGPACK_ARRAY}},
    {BYTES("\xdd\x00\x00\x00\x00"), {.kind = MSGPACK_ARRAY}},
    {BYTES("\xde\x00\x00"), {.kind = MSGPACK_MAP}},
    {BYTES("\xdf\x00\x00\x00\x00"), {.kind = MSGPACK_MAP}},
};

static bool has_text(enum msgpack_kind kind)
{
    return kind == MSGPACK_STRING || kind == MSGPACK_BINARY || kind == MSGPACK_EXTENSION;
}

static void check_token(size_t i, const struct msgpack_token *token)
{
    const struct msgpack_token *expected = &tokens[i].token;

    assert_int_equal(token->kind, expected->kind);
    assert_int_equal(token->fixed, expected->fixed);
    if (has_text(token->kind)) {
        size_t at = tokens[i].bytes.length - tokens[i].text;

        assert_int_equal(token->bytes.length, tokens[i].text);
        assert_memory_equal(token->bytes.data, tokens[i].bytes.data + at, tokens[i].text);
    } else if (token->kind == MSGPACK_FLOAT)
        assert_true(token->number == expected->number);
    else if (token->kind == MSGPACK_UNSIGNED || token->kind == MSGPACK_NEGATIVE)
        assert_int_equal(token->u64, expected->u64);
    else if (token->kind == MSGPACK_ARRAY || token->kind == MSGPACK_MAP)
        assert_int_equal(token->count, expected->count);
    if (token->kind == MSGPACK_EXTENSION)
        assert_int_equal(token->extension, expected->extension);
}

/* Memory that ends where the value does, so that a step beyond is seen. */
static char *exact(struct bytes bytes)
{
    char *copy = memory_new(bytes.length + !bytes.length);

    if (bytes.length)
        memcpy(copy, bytes.data, bytes.length);
    return copy;
}

static void reads_every_form_and_no_part_of_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(tokens); i++)
        for (size_t length = 0; length <= tokens[i].bytes.length; length++) {
            char *copy = exact(bytes_make(tokens[i].bytes.data, length));
            struct msgpack_cursor cursor = msgpack_cursor_make(bytes_make(copy, length)), skip = cursor;
            struct msgpack_token token;
            bool whole = length == tokens[i].bytes.length;

            assert_int_equal(msgpack_next(&cursor, &token), whole ? 0 : ERROR_MALFORMED);
            assert_int_equal(msgpack_skip(&skip), whole ? 0 : ERROR_MALFORMED);
            if (whole) {
                check_token(i, &token);
                assert_ptr_equal(cursor.at, cursor.end);
                assert_ptr_equal(skip.at, skip.end);
            }
            free(copy);
        }
}

static void refuses_lengths_that_lie(void **state)
{
    static const struct bytes lies[] = {
        BYTES("\xc1"),
        BYTES("\xdb\xff\xff\xff\xff"),
        BYTES("\xc6\xff\xff\xff\xff\x01"),
        BYTES("\xc9\xff\xff\xff\xff\x01\x02"),
        BYTES("\xdd\xff\xff\xff\xff\x01\x02"),
        BYTES("\xdf\xff\xff\xff\xff\x01\x02"),
        BYTES("\x92\x01"),
        BYTES("\x81\xa1"
              "a"),
        BYTES("\x82\x01\x01\x01"),
    };

    (void)state;
    for (size_t i = 0; i < COUNT(lies); i++) {
        struct msgpack_cursor cursor = msgpack_cursor_make(lies[i]);

        assert_int_equal(msgpack_skip(&cursor), ERROR_MALFORMED);
    }
}

static void skips_what_is_deep_or_many(void **state)
{
    struct buffer deep = {0};
    struct msgpack_cursor cursor;

    (void)state;
    for (int i = 0; i < 100000; i++)
        buffer_append_char(&deep, '\x91');
    buffer_append_char(&deep, 1);
    buffer_append_char(&deep, 2);
    cursor = msgpack_cursor_make(buffer_bytes(&deep));
    assert_int_equal(msgpack_skip(&cursor), 0);
    assert_int_equal(cursor.end - cursor.at, 1);
    /* Each of them could be true, but not all. */
    buffer_clear(&deep);
    for (int i = 0; i < 8; i++)
        buffer_append_char(&deep, '\x92');
    buffer_append_char(&deep, 1);
    cursor = msgpack_cursor_make(buffer_bytes(&deep));
    assert_int_equal(msgpack_skip(&cursor), ERROR_MALFORMED);
    buffer_done(&deep);
}

static void read_back(const char *bytes, const char *end, size_t length, enum msgpack_kind kind,
                      struct msgpack_token *token)
{
    struct msgpack_cursor cursor = msgpack_cursor_make(bytes_make(bytes, (size_t)(end - bytes)));

    assert_int_equal(end - bytes, length);
    assert_int_equal(msgpack_next(&cursor, token), 0);
    assert_ptr_equal(cursor.at, cursor.end);
    assert_int_equal(token->kind, kind);
}

static void writes_integers_in_their_shortest_form(void **state)
{
    static const struct {
        uint64_t value;
        size_t length;
    } unsigneds[] = {{0, 1},     {127, 1},   {128, 2},        {255, 2},        {256, 3},
                     {65535, 3}, {65536, 5}, {UINT32_MAX, 5}, {1ULL << 32, 9}, {UINT64_MAX, 9}};
    static const struct {
        int64_t value;
        size_t length;
    } negatives[] = {{-1, 1},       {-32, 1},       {-33, 2},
                     {-128, 2},     {-129, 3},      {-32768, 3},
                     {-32769, 5},   {INT32_MIN, 5}, {INT32_MIN - 1LL, 9},
                     {INT64_MIN, 9}};
    char bytes[MSGPACK_HEAD_MAX];
    struct msgpack_token token;

    (void)state;
    for (size_t i = 0; i < COUNT(unsigneds); i++) {
        read_back(bytes, msgpack_write_unsigned(bytes, unsigneds[i].value), unsigneds[i].length,
                  MSGPACK_UNSIGNED, &token);
        assert_int_equal(token.u64, unsigneds[i].value);
    }
    for (size_t i = 0; i < COUNT(negatives); i++) {
        read_back(bytes, msgpack_write_negative(bytes, negatives[i].value), negatives[i].length,
                  MSGPACK_NEGATIVE, &token);
        assert_int_equal(token.i64, negatives[i].value);
    }
    read_back(bytes, msgpack_write_float(bytes, -2.75), 9, MSGPACK_FLOAT, &token);
    assert_true(token.number == -2.75);
}

static void writes_heads_in_their_shortest_form(void **state)
{
    static const struct {
        uint32_t count;
        size_t string, binary, container;
    } heads[] = {{0, 1, 2, 1},   {15, 1, 2, 1},  {16, 1, 2, 3},    {31, 1, 2, 3},   {32, 2, 2, 3},
                 {255, 2, 2, 3}, {256, 3, 3, 3}, {65535, 3, 3, 3}, {65536, 5, 5, 5}};
    struct bytes content = {memory_zero(1, 2 * 65536 + MSGPACK_HEAD_MAX), 2 * 65536 + MSGPACK_HEAD_MAX};
    char *bytes = (char *)content.data;
    struct msgpack_token token;

    (void)state;
    for (size_t i = 0; i < COUNT(heads); i++) {
        char *(*const writers[])(char *, uint32_t) = {msgpack_write_string_head, msgpack_write_binary_head,
                                                      msgpack_write_array_head, msgpack_write_map_head};
        static const enum msgpack_kind kinds[] = {MSGPACK_STRING, MSGPACK_BINARY, MSGPACK_ARRAY, MSGPACK_MAP};
        const size_t lengths[] = {heads[i].string, heads[i].binary, heads[i].container, heads[i].container};

        for (size_t j = 0; j < COUNT(writers); j++) {
            char *end = writers[j](bytes, heads[i].count);
            struct msgpack_cursor cursor = msgpack_cursor_make(content);

            assert_int_equal(end - bytes, lengths[j]);
            assert_int_equal(msgpack_next(&cursor, &token), 0);
            assert_int_equal(token.kind, kinds[j]);
            if (has_text(token.kind))
                assert_int_equal(token.bytes.length, heads[i].count);
            else
                assert_int_equal(token.count, heads[i].count);
        }
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_form_and_no_part_of_one),
        cmocka_unit_test(refuses_lengths_that_lie),
        cmocka_unit_test(skips_what_is_deep_or_many),
        cmocka_unit_test(writes_integers_in_their_shortest_form),
        cmocka_unit_test(writes_heads_in_their_shortest_form),
    };

    return cmocka_run_group_tests_name("msgpack_token", tests, NULL, NULL);
}
