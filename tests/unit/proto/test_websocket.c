/*
 * Tests of proto/websocket.h.  A stream of client bytes is played whole, cut in
 * two at every byte, byte by byte, and with one more frame behind it; each time the
 * transcript of events must be the same.
 */
#include "proto/websocket.h"

#include "common/buffer.h"
#include "proto/deflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define FIN_TEXT         (WEBSOCKET_FIN | WEBSOCKET_OPCODE_TEXT)
#define FIN_BINARY       (WEBSOCKET_FIN | WEBSOCKET_OPCODE_BINARY)
#define FIN_CONTINUATION (WEBSOCKET_FIN | WEBSOCKET_OPCODE_CONTINUATION)
#define FIN_CLOSE        (WEBSOCKET_FIN | WEBSOCKET_OPCODE_CLOSE)
#define FIN_PING         (WEBSOCKET_FIN | WEBSOCKET_OPCODE_PING)
#define FIN_PONG         (WEBSOCKET_FIN | WEBSOCKET_OPCODE_PONG)

#define SHOWN_MAX 40

static const struct websocket_limits limits = {.max_payload = 1000000};
static const struct websocket_limits small_limits = {.max_payload = 10};
static const struct websocket_limits deflate_limits = {.max_payload = 1000000, .allowed_rsv1 = true};

static bool realloc_fails;

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size)
{
    return realloc_fails ? NULL : __real_realloc(old, size);
}

/* The client's encoder: a header with the length in as many bytes as asked for (0, 2 or 8), then a mask. */
static void append_header(struct buffer *stream, unsigned first, uint64_t length, unsigned extra,
                          const char mask[4])
{
    buffer_append_char(stream, (char)first);
    buffer_append_char(stream, (char)(0x80 | (extra == 8 ? 127 : extra == 2 ? 126 : length)));
    for (unsigned i = 0; i < extra; i++)
        buffer_append_char(stream, (char)(length >> 8 * (extra - 1 - i)));
    buffer_append(stream, mask, 4);
}

static void append_frame(struct buffer *stream, unsigned first, struct bytes payload)
{
    static const char mask[4] = {0x37, (char)0xfa, 0x21, 0x3d};
    append_header(stream, first, payload.length,
                  payload.length < 126     ? 0
                  : payload.length < 65536 ? 2
                                           : 8,
                  mask);
    for (size_t i = 0; i < payload.length; i++)
        buffer_append_char(stream, (char)(payload.data[i] ^ mask[i & 3]));
}

static const char *event_name(enum websocket_event_type type)
{
    static const char *const names[] = {"none", "text", "binary", "ping", "pong", "close"};
    return names[type];
}

static void append_event(struct buffer *transcript, const struct websocket_event *event)
{
    buffer_printf(transcript, "%s%s(", event->compressed ? "compressed " : "", event_name(event->type));
    if (event->type == WEBSOCKET_CLOSE)
        buffer_printf(transcript, "%d ", event->close_code);
    if (event->payload.length > SHOWN_MAX) {
        unsigned sum = 0;
        for (size_t i = 0; i < event->payload.length; i++)
            sum = sum * 31 + (unsigned char)event->payload.data[i];
        buffer_printf(transcript, "%zu bytes %08x", event->payload.length, sum);
    } else {
        buffer_append_bytes(transcript, event->payload);
    }
    buffer_append_literal(transcript, ") ");
}

/* Errors are written as the close codes that RFC 6455 7.4.1 has for them. */
static int close_code(int error)
{
    switch (error) {
    case ERROR_PROTOCOL:
        return 1002;
    case ERROR_UTF8:
        return 1007;
    case ERROR_TOO_LARGE:
        return 1009;
    default:
        return 1011;
    }
}

/* Gives the decoder one read in memory of exactly its size; false after an error. */
static bool play_part(struct websocket_decoder *decoder, const struct websocket_limits *with,
                      struct bytes part, struct buffer *transcript)
{
    char *data = malloc(part.length + !part.length);
    assert_non_null(data);
    if (part.length)
        memcpy(data, part.data, part.length);
    struct websocket_event event;
    size_t at = 0;
    int rc;
    /* Callers keep none that is empty between reads. */
    if (websocket_decoder_is_empty(decoder))
        websocket_decoder_done(decoder);
    do {
        size_t consumed = SIZE_MAX;
        rc = websocket_decode(decoder, with, data + at, part.length - at, &consumed, &event);
        if (rc) {
            assert_int_equal(consumed, SIZE_MAX);
            buffer_printf(transcript, "error %d ", close_code(rc));
            break;
        }
        assert_true(consumed <= part.length - at);
        at += consumed;
        if (event.type != WEBSOCKET_NONE)
            append_event(transcript, &event);
    } while (event.type != WEBSOCKET_NONE);
    assert_true(rc || at == part.length);
    free(data);
    return rc == 0;
}

enum { WHOLE = -1, BYTE_BY_BYTE = -2 };

/* Plays the stream with one cut, or none, or all. */
static void assert_played(const struct websocket_limits *with, struct bytes stream, long cut,
                          const char *expected)
{
    struct websocket_decoder decoder = {0};
    struct buffer transcript = {0};
    if (cut == BYTE_BY_BYTE) {
        for (size_t i = 0; i < stream.length; i++)
            if (!play_part(&decoder, with, bytes_make(stream.data + i, 1), &transcript))
                break;
    } else {
        size_t first = cut == WHOLE ? stream.length : (size_t)cut;
        if (play_part(&decoder, with, bytes_make(stream.data, first), &transcript) && cut != WHOLE)
            play_part(&decoder, with, bytes_make(stream.data + first, stream.length - first), &transcript);
    }
    buffer_append_char(&transcript, '\0');
    assert_string_equal(transcript.data, expected);
    /* Whatever was fed, nothing is held once messages are complete. */
    if (websocket_decoder_is_empty(&decoder))
        assert_null(decoder.stored);
    websocket_decoder_done(&decoder);
    buffer_done(&transcript);
}

static void assert_played_every_way(const struct websocket_limits *with, struct bytes stream,
                                    const char *expected)
{
    assert_played(with, stream, WHOLE, expected);
    assert_played(with, stream, BYTE_BY_BYTE, expected);
    /* Of a long stream, its ends: the middle is all the same. */
    for (size_t cut = 0; cut <= stream.length; cut++)
        if (cut < 300 || stream.length - cut < 30)
            assert_played(with, stream, (long)cut, expected);
}

/* Every way, and again with a frame behind it, which is seen only after a stream without an error or a close.
 */
static void assert_transcript(const struct websocket_limits *with, struct buffer *stream,
                              const char *expected)
{
    assert_played_every_way(with, buffer_bytes(stream), expected);
    bool ended = strstr(expected, "error") || strstr(expected, "close");
    struct buffer longer = {0};
    buffer_append_text(&longer, expected);
    buffer_append_text(&longer, ended ? "" : "ping(next) ");
    buffer_append_char(&longer, '\0');
    append_frame(stream, FIN_PING, BYTES("next"));
    assert_played_every_way(with, buffer_bytes(stream), longer.data);
    buffer_done(&longer);
    buffer_done(stream);
}

static void assert_raw(const struct websocket_limits *with, struct bytes raw, const char *expected)
{
    struct buffer stream = {0};
    buffer_append_bytes(&stream, raw);
    assert_transcript(with, &stream, expected);
}

static void vectors_of_rfc_6455_5_7_from_the_client(void **context)
{
    (void)context;
    assert_raw(&limits, BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "text(Hello) ");
    assert_raw(&limits, BYTES("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "pong(Hello) ");
}

static void vectors_of_rfc_6455_5_7_from_the_server(void **context)
{
    (void)context;
    char out[WEBSOCKET_HEADER_MAX];
    assert_int_equal(websocket_frame_header(out, FIN_TEXT, 5), 2);
    assert_memory_equal(out, "\x81\x05", 2);
    assert_int_equal(websocket_frame_header(out, WEBSOCKET_OPCODE_TEXT, 3), 2);
    assert_memory_equal(out, "\x01\x03", 2);
    assert_int_equal(websocket_frame_header(out, FIN_CONTINUATION, 2), 2);
    assert_memory_equal(out, "\x80\x02", 2);
    assert_int_equal(websocket_frame_header(out, FIN_PING, 5), 2);
    assert_memory_equal(out, "\x89\x05", 2);
    assert_int_equal(websocket_frame_header(out, FIN_BINARY, 256), 4);
    assert_memory_equal(out, "\x82\x7e\x01\x00", 4);
    assert_int_equal(websocket_frame_header(out, FIN_BINARY, 65536), 10);
    assert_memory_equal(out, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
    /* The same frames are an offence when a client sends them: it has to mask. */
    assert_raw(&limits, BYTES("\x81\x05Hello"), "error 1002 ");
    assert_raw(&limits, BYTES("\x01\x03Hel\x80\x02lo"), "error 1002 ");
    assert_raw(&limits, BYTES("\x89\x05Hello"), "error 1002 ");
}

static void header_lengths_change_where_they_should(void **context)
{
    (void)context;
    char out[WEBSOCKET_HEADER_MAX];
    assert_int_equal(websocket_frame_header(out, FIN_TEXT, 0), 2);
    assert_int_equal(websocket_frame_header(out, FIN_TEXT, 125), 2);
    assert_int_equal(websocket_frame_header(out, FIN_TEXT, 126), 4);
    assert_int_equal(websocket_frame_header(out, FIN_TEXT | WEBSOCKET_RSV1, 65535), 4);
    assert_memory_equal(out, "\xc1\x7e\xff\xff", 4);
}

static void payloads_of_every_length_form_come_through(void **context)
{
    (void)context;
    static const struct {
        size_t length;
        const char *expected;
    } samples[] = {
        {0, "binary() "},
        {1, "binary(x) "},
        {7, "binary(xxxxxxx) "},
        {8, "binary(xxxxxxxx) "},
        {9, "binary(xxxxxxxxx) "},
        {125, NULL},
        {126, NULL},
        {127, NULL},
        {65535, NULL},
        {65536, NULL},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct buffer payload = {0};
        struct buffer stream = {0};
        struct buffer expected = {0};
        memset(buffer_reserve(&payload, samples[i].length + 1), 'x', samples[i].length);
        buffer_extend(&payload, samples[i].length);
        append_frame(&stream, FIN_BINARY, buffer_bytes(&payload));
        append_event(&expected,
                     &(struct websocket_event){.type = WEBSOCKET_BINARY, .payload = buffer_bytes(&payload)});
        buffer_append_char(&expected, '\0');
        if (samples[i].expected)
            assert_string_equal(expected.data, samples[i].expected);
        assert_transcript(&limits, &stream, expected.data);
        buffer_done(&expected);
        buffer_done(&payload);
    }
}

static void fragments_are_put_together(void **context)
{
    (void)context;
    struct buffer stream = {0};
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES("Hel"));
    append_frame(&stream, FIN_CONTINUATION, BYTES("lo"));
    append_frame(&stream, WEBSOCKET_OPCODE_BINARY, BYTES(""));
    append_frame(&stream, WEBSOCKET_OPCODE_CONTINUATION, BYTES("a"));
    append_frame(&stream, WEBSOCKET_OPCODE_CONTINUATION, BYTES(""));
    append_frame(&stream, WEBSOCKET_OPCODE_CONTINUATION, BYTES("bc"));
    append_frame(&stream, FIN_CONTINUATION, BYTES(""));
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES(""));
    append_frame(&stream, FIN_CONTINUATION, BYTES(""));
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES(""));
    append_frame(&stream, FIN_CONTINUATION, BYTES("late"));
    assert_transcript(&limits, &stream, "text(Hello) binary(abc) text() text(late) ");
}

static void control_frames_come_between_fragments(void **context)
{
    (void)context;
    struct buffer stream = {0};
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES(""));
    append_frame(&stream, FIN_PING, BYTES("one"));
    append_frame(&stream, WEBSOCKET_OPCODE_CONTINUATION, BYTES("Hel"));
    append_frame(&stream, FIN_PONG, BYTES("two"));
    append_frame(&stream, FIN_PING, BYTES(""));
    append_frame(&stream, FIN_CONTINUATION, BYTES("lo"));
    append_frame(&stream, WEBSOCKET_OPCODE_BINARY, BYTES("half"));
    append_frame(&stream, FIN_CLOSE,
                 BYTES("\x03\xe8"
                       "bye"));
    assert_transcript(&limits, &stream, "ping(one) pong(two) ping() text(Hello) close(1000 bye) ");
}

static void a_control_frame_between_fragments_of_a_long_message_grows_nothing_but_its_room(void **context)
{
    (void)context;
    char long_payload[600];
    char control[125];
    memset(long_payload, 'm', sizeof long_payload);
    memset(control, 'c', sizeof control);
    struct buffer stream = {0};
    struct buffer expected = {0};
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, bytes_make(long_payload, 250));
    append_frame(&stream, FIN_PING, bytes_make(control, sizeof control));
    append_frame(&stream, FIN_CONTINUATION, bytes_make(long_payload, 350));
    append_event(&expected, &(struct websocket_event){.type = WEBSOCKET_PING,
                                                      .payload = bytes_make(control, sizeof control)});
    append_event(&expected,
                 &(struct websocket_event){.type = WEBSOCKET_TEXT,
                                           .payload = bytes_make(long_payload, sizeof long_payload)});
    buffer_append_char(&expected, '\0');
    assert_transcript(&limits, &stream, expected.data);
    buffer_done(&expected);
}

static void reserved_bits_and_opcodes_are_refused(void **context)
{
    (void)context;
    static const unsigned firsts[] = {0xc1, 0xa1, 0x91, 0xf1, 0xc2, 0xc8, 0xc9, 0xa9, 0x9a, 0x83, 0x84,
                                      0x85, 0x86, 0x87, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x03, 0x0b};
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        struct buffer stream = {0};
        append_frame(&stream, firsts[i], BYTES("ab"));
        assert_transcript(&limits, &stream, "error 1002 ");
    }
    struct buffer stream = {0};
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES("a"));
    append_frame(&stream, FIN_CONTINUATION | WEBSOCKET_RSV1, BYTES("b"));
    assert_transcript(&limits, &stream, "error 1002 ");
}

static void rsv1_marks_a_compressed_message_where_it_was_agreed_on(void **context)
{
    (void)context;
    struct buffer stream = {0};
    append_frame(&stream, FIN_TEXT | WEBSOCKET_RSV1, BYTES("\xff\xfe"));
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT | WEBSOCKET_RSV1, BYTES("\x80"));
    append_frame(&stream, FIN_CONTINUATION, BYTES("\x81"));
    append_frame(&stream, FIN_TEXT, BYTES("plain"));
    assert_transcript(&deflate_limits, &stream,
                      "compressed text(\xff\xfe) compressed text(\x80\x81) text(plain) ");

    static const unsigned firsts[] = {FIN_PING | WEBSOCKET_RSV1, FIN_CLOSE | WEBSOCKET_RSV1, 0xa1, 0x91};
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        append_frame(&stream, firsts[i], BYTES("ab"));
        assert_transcript(&deflate_limits, &stream, "error 1002 ");
    }
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT | WEBSOCKET_RSV1, BYTES("a"));
    append_frame(&stream, FIN_CONTINUATION | WEBSOCKET_RSV1, BYTES("b"));
    assert_transcript(&deflate_limits, &stream, "error 1002 ");
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES("a"));
    append_frame(&stream, FIN_CONTINUATION | WEBSOCKET_RSV1, BYTES("b"));
    assert_transcript(&deflate_limits, &stream, "error 1002 ");
    append_frame(&stream, FIN_TEXT | WEBSOCKET_RSV1 | 0x20, BYTES("ab"));
    assert_transcript(&deflate_limits, &stream, "error 1002 ");
    append_frame(&stream, FIN_CONTINUATION | WEBSOCKET_RSV1, BYTES("b"));
    assert_transcript(&deflate_limits, &stream, "error 1002 ");
}

/* As Autobahn's 12.* and 13.* send it: fragments of any size, empty ones too, control frames between. */
static void compressed_messages_come_in_fragments(void **context)
{
    (void)context;
    struct buffer stream = {0};
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT | WEBSOCKET_RSV1, BYTES(""));
    append_frame(&stream, WEBSOCKET_OPCODE_CONTINUATION, BYTES("\xf2\x48\xcd"));
    append_frame(&stream, FIN_PING, BYTES("between"));
    append_frame(&stream, WEBSOCKET_OPCODE_CONTINUATION, BYTES(""));
    append_frame(&stream, FIN_CONTINUATION, BYTES("\xc9\xc9\x07"));
    append_frame(&stream, FIN_BINARY | WEBSOCKET_RSV1, BYTES(""));
    append_frame(&stream, WEBSOCKET_OPCODE_BINARY | WEBSOCKET_RSV1, BYTES("\xff"));
    append_frame(&stream, FIN_CONTINUATION, BYTES("\xfe"));
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES("\xe2"));
    append_frame(&stream, FIN_CONTINUATION, BYTES("\x82\xac"));
    assert_transcript(&deflate_limits, &stream,
                      "ping(between) compressed text(\xf2\x48\xcd\xc9\xc9\x07) compressed binary() "
                      "compressed binary(\xff\xfe) text(\xe2\x82\xac) ");
    /* What is not compressed is checked, whatever came before. */
    append_frame(&stream, FIN_TEXT | WEBSOCKET_RSV1, BYTES("\xff"));
    append_frame(&stream, FIN_TEXT, BYTES("\xff"));
    assert_transcript(&deflate_limits, &stream, "compressed text(\xff) error 1007 ");
}

static void a_compressed_message_over_the_limit_fails_at_its_header(void **context)
{
    (void)context;
    static const struct websocket_limits small = {.max_payload = 80, .allowed_rsv1 = true};
    static const struct websocket_limits huge = {.max_payload = UINT32_MAX, .allowed_rsv1 = true};
    static const char zeros[154];
    struct buffer stream = {0};
    append_frame(&stream, FIN_TEXT | WEBSOCKET_RSV1, bytes_make(zeros, 154));
    append_header(&stream, FIN_TEXT | WEBSOCKET_RSV1, 155, 2, "mask");
    assert_transcript(&small, &stream, "compressed text(154 bytes 00000000) error 1009 ");
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT | WEBSOCKET_RSV1, bytes_make(zeros, 100));
    append_header(&stream, FIN_CONTINUATION, 55, 0, "mask");
    assert_transcript(&small, &stream, "error 1009 ");
    append_header(&stream, FIN_TEXT, 81, 0, "mask");
    assert_transcript(&small, &stream, "error 1009 ");
    append_header(&stream, FIN_BINARY | WEBSOCKET_RSV1, (uint64_t)UINT32_MAX + 1, 8, "mask");
    assert_transcript(&huge, &stream, "error 1009 ");
}

/* Noise grows when it is compressed, and a message of the limit must pass all the same. */
static void noise_of_exactly_the_limit_passes_compressed(void **context)
{
    (void)context;
    struct deflate *deflate = deflate_new();
    struct websocket_decoder decoder = {0};
    struct websocket_event event;
    struct buffer noise = {0};
    struct buffer packed = {0};
    struct buffer stream = {0};
    struct buffer inflated = {0};
    uint32_t random = 7;
    size_t consumed;

    while (noise.length < limits.max_payload) {
        random = random * 1664525 + 1013904223;
        buffer_append_char(&noise, (char)(random >> 24));
    }
    struct bytes whole = buffer_bytes(&noise);
    deflate_compress(deflate, &whole, 1, &packed);
    assert_true(packed.length > limits.max_payload);
    append_frame(&stream, FIN_BINARY | WEBSOCKET_RSV1, buffer_bytes(&packed));
    assert_int_equal(
        websocket_decode(&decoder, &deflate_limits, stream.data, stream.length, &consumed, &event), 0);
    assert_int_equal(event.type, WEBSOCKET_BINARY);
    assert_int_equal(deflate_inflate(deflate, event.payload, limits.max_payload, &inflated), 0);
    assert_true(bytes_equal(buffer_bytes(&inflated), whole));
    websocket_decoder_done(&decoder);
    buffer_done(&noise);
    buffer_done(&packed);
    buffer_done(&stream);
    buffer_done(&inflated);
    deflate_free(deflate);
}

static void control_frames_are_short_and_whole(void **context)
{
    (void)context;
    static const unsigned opcodes[] = {WEBSOCKET_OPCODE_CLOSE, WEBSOCKET_OPCODE_PING, WEBSOCKET_OPCODE_PONG};
    char payload[126];
    memset(payload, 'x', sizeof payload);
    for (size_t i = 0; i < sizeof opcodes / sizeof opcodes[0]; i++) {
        struct buffer stream = {0};
        append_frame(&stream, opcodes[i], BYTES("ab"));
        assert_transcript(&limits, &stream, "error 1002 ");
        append_frame(&stream, WEBSOCKET_FIN | opcodes[i], bytes_make(payload, sizeof payload));
        assert_transcript(&limits, &stream, "error 1002 ");
        append_header(&stream, WEBSOCKET_FIN | opcodes[i], 65536, 8, "mask");
        assert_transcript(&limits, &stream, "error 1002 ");
    }
}

static void fragments_out_of_place_are_refused(void **context)
{
    (void)context;
    struct buffer stream = {0};
    append_frame(&stream, FIN_CONTINUATION, BYTES("a"));
    assert_transcript(&limits, &stream, "error 1002 ");
    append_frame(&stream, WEBSOCKET_OPCODE_CONTINUATION, BYTES("a"));
    assert_transcript(&limits, &stream, "error 1002 ");
    append_frame(&stream, FIN_TEXT, BYTES("done"));
    append_frame(&stream, FIN_CONTINUATION, BYTES("a"));
    assert_transcript(&limits, &stream, "text(done) error 1002 ");
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES("a"));
    append_frame(&stream, FIN_TEXT, BYTES("b"));
    assert_transcript(&limits, &stream, "error 1002 ");
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES(""));
    append_frame(&stream, WEBSOCKET_OPCODE_BINARY, BYTES(""));
    assert_transcript(&limits, &stream, "error 1002 ");
}

static void lengths_must_be_minimal_and_positive(void **context)
{
    (void)context;
    struct buffer stream = {0};
    append_header(&stream, FIN_TEXT, 125, 2, "mask");
    assert_transcript(&limits, &stream, "error 1002 ");
    append_header(&stream, FIN_TEXT, 0, 2, "mask");
    assert_transcript(&limits, &stream, "error 1002 ");
    append_header(&stream, FIN_TEXT, 5, 8, "mask");
    assert_transcript(&limits, &stream, "error 1002 ");
    append_header(&stream, FIN_TEXT, 65535, 8, "mask");
    assert_transcript(&limits, &stream, "error 1002 ");
    append_header(&stream, FIN_TEXT, UINT64_C(0x8000000000000000), 8, "mask");
    assert_transcript(&limits, &stream, "error 1002 ");
    append_header(&stream, FIN_TEXT, UINT64_MAX, 8, "mask");
    assert_transcript(&limits, &stream, "error 1002 ");
}

static void a_message_over_the_limit_fails_at_its_header(void **context)
{
    (void)context;
    struct buffer stream = {0};
    append_frame(&stream, FIN_TEXT, BYTES("0123456789"));
    append_header(&stream, FIN_TEXT, 11, 0, "mask");
    assert_transcript(&small_limits, &stream, "text(0123456789) error 1009 ");
    append_header(&stream, FIN_BINARY, 1000001, 8, "mask");
    assert_transcript(&limits, &stream, "error 1009 ");
    append_header(&stream, FIN_BINARY, INT64_MAX, 8, "mask");
    assert_transcript(&limits, &stream, "error 1009 ");
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES("01234"));
    append_frame(&stream, FIN_PING, BYTES("control frames do not count"));
    append_frame(&stream, FIN_CONTINUATION, BYTES("56789"));
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES("01234"));
    append_header(&stream, FIN_CONTINUATION, 6, 0, "mask");
    assert_transcript(&small_limits, &stream,
                      "ping(control frames do not count) text(0123456789) error 1009 ");
}

static void text_must_be_utf8_across_fragments_and_reads(void **context)
{
    (void)context;
    struct buffer stream = {0};
    append_frame(&stream, FIN_TEXT, BYTES("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"));
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES("\xf0"));
    append_frame(&stream, WEBSOCKET_OPCODE_CONTINUATION, BYTES("\x9f\x98"));
    append_frame(&stream, FIN_PING, BYTES("\xff"));
    append_frame(&stream, FIN_CONTINUATION, BYTES("\x80!"));
    assert_transcript(
        &limits, &stream,
        "text(gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80) ping(\xff) text(\xf0\x9f\x98\x80!) ");

    append_frame(&stream, FIN_TEXT, BYTES("abc\xff"));
    assert_transcript(&limits, &stream, "error 1007 ");
    append_frame(&stream, FIN_TEXT, BYTES("cut \xe2\x82"));
    assert_transcript(&limits, &stream, "error 1007 ");
    append_frame(&stream, FIN_BINARY, BYTES("\xff\xfe"));
    assert_transcript(&limits, &stream, "binary(\xff\xfe) ");
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES("\xe2"));
    append_frame(&stream, FIN_CONTINUATION, BYTES("\x82"));
    assert_transcript(&limits, &stream, "error 1007 ");
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES("\xed\xa0"));
    append_frame(&stream, FIN_PING, BYTES("not reached"));
    assert_transcript(&limits, &stream, "error 1007 ");
    append_frame(&stream, FIN_TEXT, BYTES("one message's end \xc3\xa9"));
    append_frame(&stream, FIN_TEXT, BYTES("\xa9 is not the next one's beginning"));
    assert_transcript(&limits, &stream, "text(one message's end \xc3\xa9) error 1007 ");
}

static void bad_utf8_fails_before_the_frame_is_whole(void **context)
{
    (void)context;
    struct buffer stream = {0};
    append_frame(&stream, FIN_TEXT, BYTES("ab\xc0 and much more that is not sent yet"));
    assert_played(&limits, bytes_make(stream.data, 8), WHOLE, "");
    assert_played(&limits, bytes_make(stream.data, 9), WHOLE, "error 1007 ");
    buffer_done(&stream);
}

static void close_frames_are_read_and_end_the_stream(void **context)
{
    (void)context;
    static const struct {
        struct bytes payload;
        const char *expected;
    } samples[] = {
        {{"", 0}, "close(1005 ) "},
        {{"\x03", 1}, "error 1002 "},
        {{"\x03\xe8", 2}, "close(1000 ) "},
        {{"\x03\xe9going", 7}, "close(1001 going) "},
        {{"\x03\xf0", 2}, "close(1008 ) "},
        {{"\x03\xf6", 2}, "close(1014 ) "},
        {{"\x0b\xb8", 2}, "close(3000 ) "},
        {{"\x13\x87z", 3}, "close(4999 z) "},
        {{"\x00\x00", 2}, "error 1002 "},
        {{"\x03\xe7", 2}, "error 1002 "},
        {{"\x03\xec", 2}, "error 1002 "},
        {{"\x03\xed", 2}, "error 1002 "},
        {{"\x03\xee", 2}, "error 1002 "},
        {{"\x03\xf7", 2}, "error 1002 "},
        {{"\x03\xf8", 2}, "error 1002 "},
        {{"\x07\xd0", 2}, "error 1002 "},
        {{"\x0b\xb7", 2}, "error 1002 "},
        {{"\x13\x88", 2}, "error 1002 "},
        {{"\xff\xff", 2}, "error 1002 "},
        {{"\x03\xe8\xff", 3}, "error 1007 "},
        {{"\x03\xe8\xe2\x82", 4}, "error 1007 "},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct buffer stream = {0};
        append_frame(&stream, FIN_CLOSE, samples[i].payload);
        assert_transcript(&limits, &stream, samples[i].expected);
    }
}

static void nothing_is_read_after_an_error(void **context)
{
    (void)context;
    struct websocket_decoder decoder = {0};
    struct buffer transcript = {0};
    struct buffer stream = {0};
    append_frame(&stream, FIN_TEXT, BYTES("fine"));
    assert_false(play_part(&decoder, &limits, BYTES("\x83"), &transcript));
    assert_true(play_part(&decoder, &limits, buffer_bytes(&stream), &transcript));
    buffer_append_char(&transcript, '\0');
    assert_string_equal(transcript.data, "error 1002 ");
    websocket_decoder_done(&decoder);
    buffer_done(&transcript);
    buffer_done(&stream);
}

static void a_whole_frame_is_handed_out_where_it_lies(void **context)
{
    (void)context;
    struct websocket_decoder decoder = {0};
    struct websocket_event event;
    struct buffer stream = {0};
    size_t consumed;
    append_frame(&stream, FIN_TEXT, BYTES("no copy of this"));
    realloc_fails = true;
    assert_int_equal(websocket_decode(&decoder, &limits, stream.data, stream.length, &consumed, &event), 0);
    realloc_fails = false;
    assert_int_equal(event.type, WEBSOCKET_TEXT);
    assert_int_equal(consumed, stream.length);
    assert_ptr_equal(event.payload.data, stream.data + 6);
    assert_null(decoder.stored);
    websocket_decoder_done(&decoder);
    buffer_done(&stream);
}

static void a_decoder_is_empty_between_messages_only(void **context)
{
    (void)context;
    struct websocket_decoder decoder = {0};
    struct buffer stream = {0}, transcript = {0};
    size_t ends[4];

    append_frame(&stream, FIN_TEXT, BYTES("whole"));
    ends[0] = stream.length;
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES("first"));
    append_frame(&stream, FIN_PING, BYTES("between"));
    append_frame(&stream, FIN_CONTINUATION, BYTES("last"));
    ends[1] = stream.length;
    append_frame(&stream, FIN_PING, BYTES(""));
    ends[2] = stream.length;
    append_frame(&stream, FIN_CLOSE, BYTES(""));
    ends[3] = SIZE_MAX; /* what follows a close frame is not to be read by another decoder */
    assert_true(websocket_decoder_is_empty(&decoder));
    for (size_t i = 0, next = 0; i < stream.length; i++) {
        bool ended = i + 1 == ends[next];

        assert_true(play_part(&decoder, &limits, bytes_make(stream.data + i, 1), &transcript));
        assert_int_equal(websocket_decoder_is_empty(&decoder), ended);
        next += ended;
    }
    websocket_decoder_done(&decoder);
    buffer_done(&transcript);
    buffer_done(&stream);
}

static void memory_follows_what_came_and_not_what_was_announced(void **context)
{
    (void)context;
    struct websocket_decoder decoder = {0};
    struct buffer transcript = {0};
    struct buffer stream = {0};
    append_header(&stream, FIN_BINARY, 1000000, 8, "mask");
    buffer_append_text(&stream, "a few bytes");
    assert_true(play_part(&decoder, &limits, buffer_bytes(&stream), &transcript));
    assert_in_range(decoder.capacity, 11, 1024);

    char part[1000] = {0};
    size_t came = 11;
    while (came < 1000000) {
        size_t length = 1000000 - came < sizeof part ? 1000000 - came : sizeof part;
        assert_in_range(decoder.capacity, came, 2 * came + 1024);
        assert_true(play_part(&decoder, &limits, bytes_make(part, length), &transcript));
        came += length;
    }
    assert_true(transcript.length > 0);
    assert_null(decoder.stored);
    buffer_done(&transcript);
    buffer_done(&stream);
}

static void no_memory_drops_the_peer(void **context)
{
    (void)context;
    struct websocket_decoder decoder = {0};
    struct buffer stream = {0};
    struct buffer transcript = {0};
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES("first part"));
    buffer_reserve(&transcript, 100);
    realloc_fails = true;
    bool alive = play_part(&decoder, &limits, buffer_bytes(&stream), &transcript);
    realloc_fails = false;
    assert_false(alive);
    buffer_append_char(&transcript, '\0');
    assert_string_equal(transcript.data, "error 1011 ");
    websocket_decoder_done(&decoder);
    buffer_done(&transcript);
    buffer_done(&stream);
}

static void a_half_received_message_is_freed_with_its_decoder(void **context)
{
    (void)context;
    struct websocket_decoder decoder = {0};
    struct buffer stream = {0};
    struct buffer transcript = {0};
    append_frame(&stream, WEBSOCKET_OPCODE_TEXT, BYTES("first part"));
    assert_true(play_part(&decoder, &limits, buffer_bytes(&stream), &transcript));
    assert_non_null(decoder.stored);
    websocket_decoder_done(&decoder);
    assert_null(decoder.stored);
    /* As new: a continuation has nothing to continue. */
    buffer_clear(&stream);
    append_frame(&stream, FIN_CONTINUATION, BYTES("rest"));
    assert_false(play_part(&decoder, &limits, buffer_bytes(&stream), &transcript));
    websocket_decoder_done(&decoder);
    buffer_done(&transcript);
    buffer_done(&stream);
}

static void close_frames_are_built(void **context)
{
    (void)context;
    char out[WEBSOCKET_CLOSE_MAX];
    assert_int_equal(websocket_close_frame(out, WEBSOCKET_CLOSE_NO_STATUS, BYTES("ignored")), 2);
    assert_memory_equal(out, "\x88\x00", 2);
    assert_int_equal(websocket_close_frame(out, WEBSOCKET_CLOSE_NORMAL, BYTES("")), 4);
    assert_memory_equal(out, "\x88\x02\x03\xe8", 4);
    assert_int_equal(websocket_close_frame(out, 4401, BYTES("who")), 7);
    assert_memory_equal(out, "\x88\x05\x11\x31who", 7);

    char reason[130];
    memset(reason, 'r', sizeof reason);
    assert_int_equal(websocket_close_frame(out, 1001, bytes_make(reason, 123)), 127);
    assert_memory_equal(out, "\x88\x7d\x03\xe9rrr", 7);
    assert_int_equal(websocket_close_frame(out, 1001, bytes_make(reason, sizeof reason)), 127);
    memcpy(reason + 121, "\xe2\x82\xac", 3);
    assert_int_equal(websocket_close_frame(out, 1001, bytes_make(reason, sizeof reason)), 125);
    assert_memory_equal(out, "\x88\x7b", 2);
    assert_true(utf8_valid(bytes_make(out + 4, 121)));
}

static void handshake_vector_of_rfc_6455_1_3(void **context)
{
    (void)context;
    char accept[WEBSOCKET_ACCEPT_SIZE];
    websocket_accept_key(BYTES("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", sizeof accept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_rfc_6455_5_7_from_the_client),
        cmocka_unit_test(vectors_of_rfc_6455_5_7_from_the_server),
        cmocka_unit_test(header_lengths_change_where_they_should),
        cmocka_unit_test(payloads_of_every_length_form_come_through),
        cmocka_unit_test(fragments_are_put_together),
        cmocka_unit_test(control_frames_come_between_fragments),
        cmocka_unit_test(a_control_frame_between_fragments_of_a_long_message_grows_nothing_but_its_room),
        cmocka_unit_test(reserved_bits_and_opcodes_are_refused),
        cmocka_unit_test(rsv1_marks_a_compressed_message_where_it_was_agreed_on),
        cmocka_unit_test(compressed_messages_come_in_fragments),
        cmocka_unit_test(a_compressed_message_over_the_limit_fails_at_its_header),
        cmocka_unit_test(noise_of_exactly_the_limit_passes_compressed),
        cmocka_unit_test(control_frames_are_short_and_whole),
        cmocka_unit_test(fragments_out_of_place_are_refused),
        cmocka_unit_test(lengths_must_be_minimal_and_positive),
        cmocka_unit_test(a_message_over_the_limit_fails_at_its_header),
        cmocka_unit_test(text_must_be_utf8_across_fragments_and_reads),
        cmocka_unit_test(bad_utf8_fails_before_the_frame_is_whole),
        cmocka_unit_test(close_frames_are_read_and_end_the_stream),
        cmocka_unit_test(nothing_is_read_after_an_error),
        cmocka_unit_test(a_whole_frame_is_handed_out_where_it_lies),
        cmocka_unit_test(a_decoder_is_empty_between_messages_only),
        cmocka_unit_test(memory_follows_what_came_and_not_what_was_announced),
        cmocka_unit_test(no_memory_drops_the_peer),
        cmocka_unit_test(a_half_received_message_is_freed_with_its_decoder),
        cmocka_unit_test(close_frames_are_built),
        cmocka_unit_test(handshake_vector_of_rfc_6455_1_3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
