/* Messages as bytes: exact for each encoding, as long as was measured, and inflated back. */
#include "common/buffer.h"
#include "gateway/encoding.h"
#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

#define CANARY 0x5a

static void fill(struct buffer *buffer, char c, size_t length)
{
    for (size_t i = 0; i < length; i++)
        buffer_append_char(buffer, c);
}

/* Letters that no compressor makes shorter than four fifths. */
static void fill_random(struct buffer *buffer, size_t length)
{
    static uint32_t seed = 1;

    for (size_t i = 0; i < length; i++) {
        seed = seed * 1664525 + 1013904223;
        buffer_append_char(buffer, (char)(' ' + (seed >> 24) % 64));
    }
}

/* Bytes that no compressor makes shorter. */
static void fill_noise(struct buffer *buffer, size_t length)
{
    static uint64_t seed = 88172645463325252;

    for (size_t i = 0; i < length; i++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        buffer_append_char(buffer, (char)(seed >> 32));
    }
}

static struct bytes attachments_of(struct wire_list *list, const struct bytes *attachments, unsigned count)
{
    wire_list_clear(list);
    for (unsigned i = 0; i < count; i++)
        wire_list_put_blob(list, attachments[i]);
    return wire_list_finish(list);
}

/* Encodes a text in two parts, checks the length that was measured, and appends to out. */
static void encode(struct encoder *encoder, enum encoding encoding, struct bytes text,
                   struct bytes attachments, struct buffer *out)
{
    size_t middle = text.length / 3;
    struct bytes parts[] = {
        bytes_make(text.data, middle), {0}, bytes_make(text.data + middle, text.length - middle)};
    struct encoding_message message = {parts, 3, attachments, 0, 0};
    size_t length = encoding_measure(encoder, encoding, &message);
    char *at = buffer_reserve(out, length + 1);

    at[length] = CANARY;
    memset(at, CANARY + 1, length);
    encoding_write(encoder, encoding, &message, at);
    assert_int_equal(at[length], CANARY);
    buffer_extend(out, length);
}

static void expect(struct buffer *out, struct bytes expected)
{
    assert_int_equal(out->length, expected.length);
    assert_memory_equal(out->data, expected.data, expected.length);
    buffer_clear(out);
}

/* Takes a frame from the front: its first byte and its payload, inflated when it is compressed. */
static unsigned take_frame(struct bytes *frames, struct buffer *payload)
{
    const unsigned char *at = (const unsigned char *)frames->data;
    unsigned first = at[0];
    size_t length = at[1], header = 2;

    assert_true(frames->length >= 2);
    assert_true(length < 128); /* not masked */
    if (length >= 126) {
        unsigned wide = length == 126 ? 2 : 8;

        length = 0;
        for (unsigned i = 0; i < wide; i++)
            length = length << 8 | at[2 + i];
        assert_true(length > (wide == 2 ? 125 : 65535));
        header += wide;
    }
    assert_true(frames->length >= header + length);
    buffer_clear(payload);
    if (first & 0x40) {
        struct buffer whole = {0};
        z_stream stream = {0};

        buffer_append(&whole, at + header, length);
        buffer_append(&whole, "\0\0\xff\xff", 4);
        assert_int_equal(inflateInit2(&stream, -15), Z_OK);
        stream.next_in = (unsigned char *)whole.data;
        stream.avail_in = (unsigned)whole.length;
        do {
            stream.next_out = (unsigned char *)buffer_reserve(payload, 4096);
            stream.avail_out = 4096;
            assert_true(inflate(&stream, Z_SYNC_FLUSH) >= Z_BUF_ERROR);
            buffer_extend(payload, 4096 - stream.avail_out);
        } while (stream.avail_out == 0);
        assert_int_equal(stream.avail_in, 0);
        inflateEnd(&stream);
        buffer_done(&whole);
    } else
        buffer_append(payload, at + header, length);
    *frames = bytes_make(frames->data + header + length, frames->length - header - length);
    return first;
}

static void websocket_frames_have_the_header_of_their_length(void **state)
{
    static const struct {
        size_t length;
        struct bytes header;
    } cases[] = {
        {0, BYTES("\x81\x00")},
        {1, BYTES("\x81\x01")},
        {125, BYTES("\x81\x7d")},
        {126, BYTES("\x81\x7e\x00\x7e")},
        {65535, BYTES("\x81\x7e\xff\xff")},
        {65536, BYTES("\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00")},
    };
    struct buffer text = {0}, out = {0}, expected = {0};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer_clear(&text), buffer_clear(&expected);
        fill_random(&text, cases[i].length);
        buffer_append_bytes(&expected, cases[i].header);
        buffer_append_bytes(&expected, buffer_bytes(&text));
        encode(NULL, ENCODING_WEBSOCKET, buffer_bytes(&text), (struct bytes){0}, &out);
        expect(&out, buffer_bytes(&expected));
    }
    buffer_done(&text), buffer_done(&out), buffer_done(&expected);
}

static void websocket_attachments_are_binary_frames_in_order(void **state)
{
    struct buffer large = {0}, out = {0}, expected = {0};
    struct wire_list list = {0};

    (void)state;
    fill(&large, '\x1e', 126);

    struct bytes attachments[] = {BYTES("\x01\x00\x02"), BYTES(""), buffer_bytes(&large)};

    encode(NULL, ENCODING_WEBSOCKET, BYTES("453-[\"e\"]"), attachments_of(&list, attachments, 3), &out);
    buffer_append_literal(&expected, "\x81\x09"
                                     "453-[\"e\"]\x82\x03\x01\x00\x02\x82\x00\x82\x7e\x00\x7e");
    buffer_append_bytes(&expected, buffer_bytes(&large));
    expect(&out, buffer_bytes(&expected));
    wire_list_done(&list);
    buffer_done(&large), buffer_done(&out), buffer_done(&expected);
}

static void polling_packets_start_with_the_separator(void **state)
{
    static const size_t lengths[] = {0, 125, 126, 65535, 65536};
    struct bytes attachments[] = {BYTES(""), BYTES("f"), BYTES("fo"), BYTES("foo"),
                                  BYTES("\xfb\xff\x00\x1e")};
    struct buffer text = {0}, out = {0}, expected = {0};
    struct wire_list list = {0};

    (void)state;
    encode(NULL, ENCODING_POLLING, BYTES("42[1]"), (struct bytes){0}, &out);
    encode(NULL, ENCODING_POLLING, BYTES("42[2]"), (struct bytes){0}, &out);
    expect(&out, BYTES("\x1e"
                       "42[1]\x1e"
                       "42[2]"));
    encode(NULL, ENCODING_POLLING, BYTES("455-[1]"), attachments_of(&list, attachments, 5), &out);
    expect(&out, BYTES("\x1e"
                       "455-[1]\x1e"
                       "b\x1e"
                       "bZg==\x1e"
                       "bZm8=\x1e"
                       "bZm9v\x1e"
                       "b+/8AHg=="));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        buffer_clear(&text), buffer_clear(&expected);
        fill_random(&text, lengths[i]);
        buffer_append_char(&expected, '\x1e');
        buffer_append_bytes(&expected, buffer_bytes(&text));
        encode(NULL, ENCODING_POLLING, buffer_bytes(&text), (struct bytes){0}, &out);
        expect(&out, buffer_bytes(&expected));
    }
    wire_list_done(&list);
    buffer_done(&text), buffer_done(&out), buffer_done(&expected);
}

static void short_messages_are_not_compressed(void **state)
{
    static const size_t thresholds[] = {1, 100, 1024};
    struct buffer text = {0}, out = {0}, plain = {0}, payload = {0};

    (void)state;
    for (size_t i = 0; i < sizeof thresholds / sizeof *thresholds; i++) {
        struct encoder *encoder = encoder_new(thresholds[i]);
        struct bytes frames;

        buffer_clear(&text), buffer_clear(&plain);
        fill(&text, 'a', thresholds[i] - 1);
        encode(encoder, ENCODING_DEFLATE, buffer_bytes(&text), (struct bytes){0}, &out);
        encode(NULL, ENCODING_WEBSOCKET, buffer_bytes(&text), (struct bytes){0}, &plain);
        expect(&out, buffer_bytes(&plain));
        fill(&text, 'a', 64);
        encode(encoder, ENCODING_DEFLATE, buffer_bytes(&text), (struct bytes){0}, &out);
        assert_true(out.length < text.length);
        frames = buffer_bytes(&out);
        assert_int_equal(take_frame(&frames, &payload), 0xc1);
        assert_int_equal(frames.length, 0);
        expect(&payload, buffer_bytes(&text));
        buffer_clear(&out);
        encoder_free(encoder);
    }
    buffer_done(&text), buffer_done(&out), buffer_done(&plain), buffer_done(&payload);
}

static void the_threshold_itself_is_compressed(void **state)
{
    struct encoder *encoder = encoder_new(1024);
    struct buffer text = {0}, out = {0};

    (void)state;
    fill(&text, 'a', 1024);
    encode(encoder, ENCODING_DEFLATE, buffer_bytes(&text), (struct bytes){0}, &out);
    assert_int_equal((unsigned char)out.data[0], 0xc1);
    encoder_free(encoder);
    buffer_done(&text), buffer_done(&out);
}

static void compressed_frames_of_every_length_inflate_to_the_text(void **state)
{
    static const size_t lengths[] = {0, 1, 64, 125, 126, 150, 1000, 65535, 65536, 70000, 100000, 1000000};
    struct encoder *encoder = encoder_new(0);
    struct buffer text = {0}, out = {0}, payload = {0};

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct bytes frames;

        buffer_clear(&text), buffer_clear(&out);
        fill_random(&text, lengths[i]);
        encode(encoder, ENCODING_DEFLATE, buffer_bytes(&text), (struct bytes){0}, &out);
        frames = buffer_bytes(&out);
        assert_int_equal(take_frame(&frames, &payload), lengths[i] > 64 ? 0xc1 : 0x81);
        assert_int_equal(frames.length, 0);
        expect(&payload, buffer_bytes(&text));
    }
    encoder_free(encoder);
    buffer_done(&text), buffer_done(&out), buffer_done(&payload);
}

static void each_piece_is_compressed_by_its_own_length(void **state)
{
    struct encoder *encoder = encoder_new(100);
    struct buffer text = {0}, large = {0}, out = {0}, payload = {0};
    struct wire_list list = {0};
    struct bytes frames;

    (void)state;
    fill(&text, 'a', 50);
    fill(&large, 'b', 5000);

    struct bytes attachments[] = {BYTES("small"), buffer_bytes(&large), BYTES("")};

    encode(encoder, ENCODING_DEFLATE, buffer_bytes(&text), attachments_of(&list, attachments, 3), &out);
    frames = buffer_bytes(&out);
    assert_int_equal(take_frame(&frames, &payload), 0x81);
    expect(&payload, buffer_bytes(&text));
    assert_int_equal(take_frame(&frames, &payload), 0x82);
    expect(&payload, BYTES("small"));
    assert_int_equal(take_frame(&frames, &payload), 0xc2);
    expect(&payload, buffer_bytes(&large));
    assert_int_equal(take_frame(&frames, &payload), 0x82);
    expect(&payload, BYTES(""));
    assert_int_equal(frames.length, 0);

    buffer_clear(&out);
    fill(&text, 'a', 50);
    encode(encoder, ENCODING_DEFLATE, buffer_bytes(&text), attachments_of(&list, attachments, 1), &out);
    frames = buffer_bytes(&out);
    assert_int_equal(take_frame(&frames, &payload), 0xc1);
    expect(&payload, buffer_bytes(&text));
    assert_int_equal(take_frame(&frames, &payload), 0x82);
    expect(&payload, BYTES("small"));
    assert_int_equal(frames.length, 0);

    encoder_free(encoder);
    wire_list_done(&list);
    buffer_done(&text), buffer_done(&large), buffer_done(&out), buffer_done(&payload);
}

static void what_compression_makes_no_shorter_stays_as_it_is(void **state)
{
    struct encoder *encoder = encoder_new(100);
    struct buffer noise = {0}, out = {0}, plain = {0};
    struct wire_list list = {0};

    (void)state;
    fill_noise(&noise, 3000);

    struct bytes attachment = buffer_bytes(&noise), attachments = attachments_of(&list, &attachment, 1);

    encode(encoder, ENCODING_DEFLATE, BYTES("451-[]"), attachments, &out);
    encode(NULL, ENCODING_WEBSOCKET, BYTES("451-[]"), attachments, &plain);
    expect(&out, buffer_bytes(&plain));
    encoder_free(encoder);
    wire_list_done(&list);
    buffer_done(&noise), buffer_done(&out), buffer_done(&plain);
}

/* No context takeover: what came before does not show in what follows. */
static void the_same_message_is_compressed_to_the_same_bytes(void **state)
{
    struct encoder *encoder = encoder_new(10);
    struct buffer text = {0}, first = {0}, out = {0};

    (void)state;
    fill_random(&text, 3000);
    encode(encoder, ENCODING_DEFLATE, buffer_bytes(&text), (struct bytes){0}, &first);
    encode(encoder, ENCODING_DEFLATE, BYTES("42[\"something else\"]"), (struct bytes){0}, &out);
    buffer_clear(&out);
    encode(encoder, ENCODING_DEFLATE, buffer_bytes(&text), (struct bytes){0}, &out);
    expect(&out, buffer_bytes(&first));
    encoder_free(encoder);
    buffer_done(&text), buffer_done(&first), buffer_done(&out);
}

/* -- the msgpack parser ---------------------------------------------------------------------- */

#define PACKED(payload)                                                                                      \
    "\x83\xa4type\x02\xa4"                                                                                   \
    "data" payload "\xa3nsp\xa1/"

static void msgpack_packets_are_one_binary_message(void **state)
{
    struct encoder *encoder = encoder_new(1 << 20);
    struct wire_list list = {0};
    struct bytes blob = BYTES("\x01\x02");
    struct buffer out = {0};

    (void)state;
    encode(encoder, ENCODING_MSGPACK, BYTES("42[\"e\",1]"), (struct bytes){0}, &out);
    expect(&out, BYTES("\x82\x16" PACKED("\x92\xa1"
                                         "e\x01")));
    encode(encoder, ENCODING_MSGPACK_DEFLATE, BYTES("42[\"e\",1]"), (struct bytes){0}, &out);
    expect(&out, BYTES("\x82\x16" PACKED("\x92\xa1"
                                         "e\x01")));
    encode(encoder, ENCODING_MSGPACK, BYTES("451-[\"e\",{\"_placeholder\":true,\"num\":0}]"),
           attachments_of(&list, &blob, 1), &out);
    expect(&out, BYTES("\x82\x19" PACKED("\x92\xa1"
                                         "e\xc4\x02\x01\x02")));
    encode(encoder, ENCODING_MSGPACK_POLLING, BYTES("42[\"e\",1]"), (struct bytes){0}, &out);
    expect(&out, BYTES("\x1e"
                       "bg6R0eXBlAqRkYXRhkqFlAaNuc3ChLw=="));
    wire_list_done(&list);
    buffer_done(&out);
    encoder_free(encoder);
}

static void msgpack_packets_are_compressed_from_the_threshold_on(void **state)
{
    struct encoder *encoder = encoder_new(100);
    struct buffer text = {0}, out = {0}, payload = {0};
    struct bytes frames;

    (void)state;
    buffer_append_literal(&text, "42[\"");
    fill(&text, 'a', 200);
    buffer_append_literal(&text, "\"]");
    encode(encoder, ENCODING_MSGPACK_DEFLATE, buffer_bytes(&text), (struct bytes){0}, &out);
    frames = buffer_bytes(&out);
    assert_true(frames.length < 100);
    assert_int_equal(take_frame(&frames, &payload), 0xc2); /* binary, compressed */
    assert_int_equal(frames.length, 0);
    assert_int_equal(payload.length, 18 + 2 + 1 + 200);
    buffer_done(&text);
    buffer_done(&out);
    buffer_done(&payload);
    encoder_free(encoder);
}

/* What is measured for one encoding is written for the next as it is. */
static void a_message_is_packed_once_for_all_transports(void **state)
{
    struct encoder *encoder = encoder_new(1 << 20);
    char text[] = "42[1]", frame[64], packets[64];
    struct bytes part = bytes_from_text(text), other = BYTES("42[3]");
    struct encoding_message message = {.parts = &part, .count = 1}, second = {.parts = &other, .count = 1};
    size_t length = encoding_measure(encoder, ENCODING_MSGPACK, &message);

    (void)state;
    encoding_write(encoder, ENCODING_MSGPACK, &message, frame);
    text[3] = '2'; /* nobody looks there any more */
    assert_int_equal(encoding_measure(encoder, ENCODING_MSGPACK_DEFLATE, &message), length);
    encoding_write(encoder, ENCODING_MSGPACK_DEFLATE, &message, packets);
    assert_memory_equal(frame, packets, length);
    /* Another message came between: it is made again. */
    assert_int_equal(encoding_measure(encoder, ENCODING_MSGPACK, &second), length);
    assert_int_equal(encoding_measure(encoder, ENCODING_MSGPACK, &message), length);
    encoding_write(encoder, ENCODING_MSGPACK, &message, packets);
    assert_int_equal(frame[15], '\x01');
    assert_int_equal(packets[15], '\x02');
    encoder_free(encoder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(websocket_frames_have_the_header_of_their_length),
        cmocka_unit_test(websocket_attachments_are_binary_frames_in_order),
        cmocka_unit_test(polling_packets_start_with_the_separator),
        cmocka_unit_test(short_messages_are_not_compressed),
        cmocka_unit_test(the_threshold_itself_is_compressed),
        cmocka_unit_test(compressed_frames_of_every_length_inflate_to_the_text),
        cmocka_unit_test(each_piece_is_compressed_by_its_own_length),
        cmocka_unit_test(what_compression_makes_no_shorter_stays_as_it_is),
        cmocka_unit_test(the_same_message_is_compressed_to_the_same_bytes),
        cmocka_unit_test(msgpack_packets_are_one_binary_message),
        cmocka_unit_test(msgpack_packets_are_compressed_from_the_threshold_on),
        cmocka_unit_test(a_message_is_packed_once_for_all_transports),
    };

    return cmocka_run_group_tests_name("gateway encoding", tests, NULL, NULL);
}
