/* Tests of proto/deflate.h, with the examples of RFC 7692 7.2.3 and zlib's own reader of gzip. */
#include "proto/deflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#define LIMIT 1000000

static struct deflate *deflate_shared;

static int set_up(void **context)
{
    (void)context;
    deflate_shared = deflate_new();
    return 0;
}

static int tear_down(void **context)
{
    (void)context;
    deflate_free(deflate_shared);
    return 0;
}

/* Inflates a copy of exactly its size behind something that must stay. */
static int inflate_copy(struct bytes message, size_t limit, struct buffer *out)
{
    char *copy = malloc(message.length + !message.length);
    assert_non_null(copy);
    if (message.length)
        memcpy(copy, message.data, message.length);
    buffer_clear(out);
    buffer_append_literal(out, "kept");
    int rc = deflate_inflate(deflate_shared, bytes_make(copy, message.length), limit, out);
    free(copy);
    assert_true(bytes_starts_with(buffer_bytes(out), BYTES("kept")));
    if (rc)
        assert_int_equal(out->length, 4);
    return rc;
}

static void assert_inflated(struct bytes message, struct bytes expected)
{
    struct buffer out = {0};
    assert_int_equal(inflate_copy(message, expected.length, &out), 0);
    assert_true(bytes_equal(bytes_make(out.data + 4, out.length - 4), expected));
    if (expected.length)
        assert_int_equal(inflate_copy(message, expected.length - 1, &out), ERROR_TOO_LARGE);
    assert_int_equal(inflate_copy(message, SIZE_MAX, &out), 0);
    buffer_done(&out);
}

static void assert_malformed(struct bytes message)
{
    struct buffer out = {0};
    assert_int_equal(inflate_copy(message, LIMIT, &out), ERROR_MALFORMED);
    buffer_done(&out);
    /* It leaves nothing behind for the next one. */
    assert_inflated(BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), BYTES("Hello"));
}

#define INFLATED(message, expected) assert_inflated(BYTES(message), BYTES(expected))
#define MALFORMED(message)          assert_malformed(BYTES(message))

static void the_examples_of_rfc_7692(void **context)
{
    (void)context;
    INFLATED("\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello");
    INFLATED("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello");
    INFLATED("\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello");
    INFLATED("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello");
    INFLATED("\x00", "");
}

static void no_message_looks_back_into_the_one_before(void **context)
{
    (void)context;
    INFLATED("\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello");
    MALFORMED("\xf2\x00\x11\x00\x00"); /* "Hello" by a reference, of RFC 7692 7.2.3.2 */
}

static void a_final_block_is_not_the_end(void **context)
{
    (void)context;
    INFLATED("\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello"); /* the empty block behind it is missing */
    INFLATED("\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00", "HelloHello");
    INFLATED("\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "HelloHello");
    INFLATED("\x03\x00\x03\x00\x00", "");
    MALFORMED("\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x00\x11\x00\x00"); /* refers across it */
    MALFORMED("\xf3\x48\xcd\xc9\xc9\x07\x00\xff");
}

static void what_is_cut_short_or_no_deflate_is_refused(void **context)
{
    (void)context;
    static const struct bytes whole = {"\xf2\x48\xcd\xc9\xc9\x07\x00", 7};
    static const struct bytes stored = {"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11};
    for (size_t length = 0; length < whole.length; length++)
        assert_malformed(bytes_make(whole.data, length));
    for (size_t length = 2; length < stored.length; length++) /* one byte is the empty message */
        if (length != 6)
            assert_malformed(bytes_make(stored.data, length));
    assert_inflated(bytes_make(stored.data, 6), BYTES("H\0\0\xff\xff")); /* as RFC 7692 7.2.2 has it */
    MALFORMED("\x06");                                                 /* block type 3 */
    MALFORMED("\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c\x6f\x00");         /* length and its complement */
    MALFORMED("\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff");         /* its end was not taken off */
    MALFORMED("\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"); /* no such codes */
}

static uint32_t random_state = 1;

static uint32_t next_random(void)
{
    random_state = random_state * 1664525 + 1013904223;
    return random_state >> 8;
}

/* Words when kind is 0, one letter when it is 1, else noise. */
static void append_sample(struct buffer *text, size_t length, int kind)
{
    static const char *const words[] = {"the ", "room ", "\"id\":", "{}", "\xc3\xa9t\xc3\xa9 "};
    while (text->length < length) {
        if (kind == 0)
            buffer_append_text(text, words[next_random() % 5]);
        else
            buffer_append_char(text, kind == 1 ? 'a' : (char)next_random());
    }
    text->length = length;
}

static void messages_come_back_as_they_were(void **context)
{
    (void)context;
    static const size_t lengths[] = {0, 1, 2, 100, 255, 256, 2000, 40000, LIMIT};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (int kind = 0; kind < 3; kind++) {
            struct buffer text = {0};
            struct buffer packed = {0};
            append_sample(&text, lengths[i], kind);
            struct bytes whole = buffer_bytes(&text);
            buffer_append_literal(&packed, "kept");
            deflate_compress(deflate_shared, &whole, 1, &packed);
            assert_true(bytes_starts_with(buffer_bytes(&packed), BYTES("kept")));
            buffer_consume(&packed, 4);
            assert_true(packed.length >= 1);
            if (kind < 2 && lengths[i] >= 100)
                assert_true(packed.length < 2 * lengths[i] / 3);
            assert_inflated(buffer_bytes(&packed), whole);
            buffer_done(&packed);
            buffer_done(&text);
        }
}

static void parts_are_one_message_and_messages_know_nothing_of_each_other(void **context)
{
    (void)context;
    struct bytes parts[] = {BYTES("He"), BYTES(""), BYTES("l"), BYTES("lo")};
    struct bytes whole = BYTES("Hello");
    struct buffer out = {0};
    for (int i = 0; i < 3; i++) {
        buffer_clear(&out);
        deflate_compress(deflate_shared, parts, 4, &out);
        assert_true(bytes_equal(buffer_bytes(&out), BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00")));
        buffer_clear(&out);
        deflate_compress(deflate_shared, &whole, 1, &out);
        assert_true(bytes_equal(buffer_bytes(&out), BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00")));
        buffer_clear(&out);
        deflate_compress(deflate_shared, NULL, 0, &out);
        assert_true(bytes_equal(buffer_bytes(&out), BYTES("\x00")));
    }
    buffer_done(&out);
}

static void a_bomb_is_stopped_at_the_limit(void **context)
{
    (void)context;
    enum { BOMB = 50000000, SMALL = 1000 };
    struct buffer packed = {0};
    struct buffer out = {0};
    char *zeros = calloc(1, BOMB);
    assert_non_null(zeros);
    struct bytes whole = bytes_make(zeros, BOMB);
    deflate_compress(deflate_shared, &whole, 1, &packed);
    free(zeros);
    assert_true(packed.length < BOMB / 200);
    assert_int_equal(inflate_copy(buffer_bytes(&packed), SMALL, &out), ERROR_TOO_LARGE);
    assert_true(out.capacity <= 2 * (SMALL + 5));
    assert_int_equal(inflate_copy(buffer_bytes(&packed), 0, &out), ERROR_TOO_LARGE);
    assert_int_equal(inflate_copy(buffer_bytes(&packed), LIMIT, &out), ERROR_TOO_LARGE);
    assert_true(out.capacity <= 2 * (LIMIT + 5));
    assert_int_equal(inflate_copy(buffer_bytes(&packed), BOMB, &out), 0);
    buffer_done(&packed);
    buffer_done(&out);
}

/* zlib's own reader, which checks header, sum and length. */
static void assert_gzip(struct bytes member, struct bytes expected)
{
    char *out = malloc(expected.length + 1);
    assert_non_null(out);
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)member.data,
                       .avail_in = (uInt)member.length,
                       .next_out = (Bytef *)out,
                       .avail_out = (uInt)expected.length + 1};
    assert_int_equal(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.avail_in, 0);
    assert_true(bytes_equal(bytes_make(out, expected.length + 1 - stream.avail_out), expected));
    inflateEnd(&stream);
    free(out);
}

static void gzip_is_what_zlib_reads(void **context)
{
    (void)context;
    static const size_t lengths[] = {0, 1, 1500, LIMIT};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct buffer text = {0};
        struct buffer packed = {0};
        append_sample(&text, lengths[i], 0);
        struct bytes parts[] = {{text.data, lengths[i] / 3}, {text.data + lengths[i] / 3, 0}, BYTES("")};
        parts[1].length = lengths[i] - parts[0].length;
        if (!text.data)
            parts[0] = parts[1] = BYTES("");
        deflate_gzip(deflate_shared, parts, 3, &packed);
        assert_gzip(buffer_bytes(&packed), buffer_bytes(&text));
        /* It shares its stream with messages. */
        struct bytes hello = BYTES("Hello");
        buffer_clear(&packed);
        deflate_compress(deflate_shared, &hello, 1, &packed);
        assert_true(bytes_equal(buffer_bytes(&packed), BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00")));
        buffer_done(&packed);
        buffer_done(&text);
    }
    deflate_free(NULL);
}

/* zlib's own reader with a window of that size refuses a reference that goes further back. */
static void assert_within(struct bytes message, unsigned window_bits)
{
    struct buffer packed = {0};
    z_stream reader = {0};
    char *out = malloc(message.length + 1);

    assert_non_null(out);
    deflate_compress_within(deflate_shared, message, window_bits, &packed);
    assert_inflated(buffer_bytes(&packed), message);
    buffer_append(&packed, "\0\0\xff\xff", 4);
    assert_int_equal(inflateInit2(&reader, -(int)window_bits), Z_OK);
    reader.next_in = (Bytef *)packed.data;
    reader.avail_in = (uInt)packed.length;
    for (size_t length = 0;
         length < message.length;) { /* piecemeal, so that what it looks back into is its window */
        reader.next_out = (Bytef *)out + length;
        reader.avail_out = message.length - length < 100 ? (uInt)(message.length - length) : 100;
        assert_int_equal(inflate(&reader, Z_SYNC_FLUSH), Z_OK);
        length = (size_t)((char *)reader.next_out - out);
    }
    assert_memory_equal(out, message.data, message.length);
    inflateEnd(&reader);
    buffer_done(&packed);
    free(out);
}

static void a_small_window_is_kept(void **context)
{
    (void)context;
    enum { LENGTH = 70000 };
    char *text = malloc(LENGTH);
    static const size_t lengths[] = {0, 1, 255, 256, 257, 511, 512, 513, 1024, 5000, LENGTH};

    assert_non_null(text);
    for (size_t i = 0; i < LENGTH; i++) /* what comes again does so after 3000 bytes */
        text[i] = (char)((i % 3000 * 7919) >> 3);
    for (unsigned bits = 8; bits <= DEFLATE_WINDOW_BITS; bits++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
            assert_within(bytes_make(text, lengths[i]), bits);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_rfc_7692),
        cmocka_unit_test(a_small_window_is_kept),
        cmocka_unit_test(no_message_looks_back_into_the_one_before),
        cmocka_unit_test(a_final_block_is_not_the_end),
        cmocka_unit_test(what_is_cut_short_or_no_deflate_is_refused),
        cmocka_unit_test(messages_come_back_as_they_were),
        cmocka_unit_test(parts_are_one_message_and_messages_know_nothing_of_each_other),
        cmocka_unit_test(a_bomb_is_stopped_at_the_limit),
        cmocka_unit_test(gzip_is_what_zlib_reads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
