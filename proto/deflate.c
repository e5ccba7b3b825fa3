/*
 * Compression; see deflate.h.  It owns zlib's compressor and libdeflate's decompressor; the gateway has one
 * of each for all its connections.  The surprising rules: gzip goes through the same raw stream as frames
 * do, its few bytes around it written here, so that no second window lies in memory; and what comes is
 * inflated by another library, whole, to which a bomb is cheap (docs/architecture.md, section 14).
 */
#include "proto/deflate.h"

#include "common/memory.h"

#include <assert.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <zlib.h>

/*
 * Measured on chat messages of 100 to 2000 bytes of JSON: level 1 gives 50.8% of their size in 17 us each,
 * level 6 49.7% in 21 us; pages of history at level 6 take four times as long for 28% instead of 33%.
 * Memory level 6 is as quick as zlib's 8 and clears a table of 16 KB for a message in place of 64; less costs
 * size and time.
 */
#define LEVEL        1
#define MEMORY_LEVEL 6

#define ROOM_FIRST 256

/* What is guessed first that a payload holds, as a multiple of its length; then so many times more again. */
#define GROWTH 4

/* The rest of the empty block that every message ends with (RFC 7692 7.2.2), and an empty final block. */
static const char ending[] = "\x00\x00\xff\xff"
                             "\x01\x00\x00\xff\xff";
enum { MARKER_LENGTH = 4, ENDING_LENGTH = sizeof ending - 1 };

struct deflate {
    z_stream compressor;
    struct libdeflate_decompressor *decompressor;
    struct buffer payload; /* the one that is being inflated, with its ending */
};

/* zlib's memory is of fixed size, so that running out of it aborts like everywhere. */
static voidpf allocate(voidpf opaque, uInt items, uInt size)
{
    (void)opaque;
    return memory_zero(items, size);
}

static void release(voidpf opaque, voidpf address)
{
    (void)opaque;
    free(address);
}

struct deflate *deflate_new(void)
{
    struct deflate *deflate = memory_zero(1, sizeof *deflate);
    deflate->compressor = (z_stream){.zalloc = allocate, .zfree = release};
    int rc = deflateInit2(&deflate->compressor, LEVEL, Z_DEFLATED, -DEFLATE_WINDOW_BITS, MEMORY_LEVEL,
                          Z_DEFAULT_STRATEGY);
    assert(rc == Z_OK);
    deflate->decompressor = libdeflate_alloc_decompressor();
    if (!deflate->decompressor)
        abort();
    return deflate;
}

void deflate_free(struct deflate *deflate)
{
    if (!deflate)
        return;
    deflateEnd(&deflate->compressor);
    libdeflate_free_decompressor(deflate->decompressor);
    buffer_done(&deflate->payload);
    free(deflate);
}

static void set_input(z_stream *stream, struct bytes input)
{
    assert(input.length <= UINT32_MAX);
    /* zlib only reads it, but says so only when asked to. */
    stream->next_in = (Bytef *)(uintptr_t)input.data;
    stream->avail_in = (uInt)input.length;
}

/* Gives the stream what is free behind the buffer's bytes. */
static size_t set_output(z_stream *stream, struct buffer *out)
{
    size_t room = out->capacity - out->length;
    if (room > UINT32_MAX)
        room = UINT32_MAX;
    stream->next_out = (Bytef *)out->data + out->length;
    stream->avail_out = (uInt)room;
    return room;
}

/* Compresses what the stream has as input; with a flush until nothing is left inside. */
static void compress_part(z_stream *stream, int flush, struct buffer *out)
{
    do {
        buffer_reserve(out, ROOM_FIRST);
        size_t room = set_output(stream, out);
        int rc = deflate(stream, flush);
        assert(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR);
        buffer_extend(out, room - stream->avail_out);
    } while (stream->avail_out == 0);
}

static void compress_parts(z_stream *stream, const struct bytes *parts, size_t count, int flush,
                           struct buffer *out)
{
    deflateReset(stream);
    for (size_t i = 0; i < count; i++) {
        set_input(stream, parts[i]);
        compress_part(stream, i + 1 == count ? flush : Z_NO_FLUSH, out);
    }
    if (count == 0)
        compress_part(stream, flush, out);
}

void deflate_compress(struct deflate *deflate, const struct bytes *parts, size_t count, struct buffer *out)
{
    compress_parts(&deflate->compressor, parts, count, Z_SYNC_FLUSH, out);
    out->length -= 4;
}

void deflate_compress_within(struct deflate *deflate, struct bytes message, unsigned window_bits,
                             struct buffer *out)
{
    size_t window = (size_t)1 << window_bits;

    if (window_bits >= DEFLATE_WINDOW_BITS) {
        deflate_compress(deflate, &message, 1, out);
        return;
    }
    deflateReset(&deflate->compressor);
    while (message.length > window) { /* a full flush forgets all that came before it */
        set_input(&deflate->compressor, bytes_make(message.data, window));
        compress_part(&deflate->compressor, Z_FULL_FLUSH, out);
        message = bytes_make(message.data + window, message.length - window);
    }
    set_input(&deflate->compressor, message);
    compress_part(&deflate->compressor, Z_SYNC_FLUSH, out);
    out->length -= 4;
}

static void append_little_endian(struct buffer *out, uLong value)
{
    for (unsigned i = 0; i < 4; i++)
        buffer_append_char(out, (char)(value >> 8 * i));
}

void deflate_gzip(struct deflate *deflate, const struct bytes *parts, size_t count, struct buffer *out)
{
    uLong sum = crc32(0, NULL, 0);
    uLong length = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].length)
            sum = crc32_z(sum, (const Bytef *)parts[i].data, parts[i].length);
        length += parts[i].length;
    }
    /* RFC 1952 2.3: no flags, no time, compressed quickly, no word about the system. */
    buffer_append_literal(out, "\x1f\x8b\x08\0\0\0\0\0\x04\xff");
    compress_parts(&deflate->compressor, parts, count, Z_FINISH, out);
    append_little_endian(out, sum);
    append_little_endian(out, length);
}

/* Appends what the blocks at input's start hold, up to a final one; 0, with the bytes read, or an error. */
static int inflate_blocks(struct deflate *deflate, struct bytes input, size_t limit, struct buffer *out,
                          size_t *used)
{
    size_t room = GROWTH * input.length;

    for (;;) {
        enum libdeflate_result result;
        size_t length;

        if (room < out->capacity - out->length)
            room = out->capacity - out->length;
        if (room > limit)
            room = limit;
        result = libdeflate_deflate_decompress_ex(deflate->decompressor, input.data, input.length,
                                                  buffer_reserve(out, room), room, used, &length);
        if (result == LIBDEFLATE_SUCCESS) {
            buffer_extend(out, length);
            return 0;
        }
        if (result != LIBDEFLATE_INSUFFICIENT_SPACE)
            return ERROR_MALFORMED;
        if (room == limit)
            return ERROR_TOO_LARGE;
        room = room > limit / GROWTH ? limit : GROWTH * room;
    }
}

int deflate_inflate(struct deflate *deflate, struct bytes message, size_t limit, struct buffer *out)
{
    struct buffer *payload = &deflate->payload;
    size_t start = out->length, at = 0;
    int rc = 0;

    buffer_clear(payload);
    buffer_append(payload, message.data, message.length);
    buffer_append(payload, ending, ENDING_LENGTH);
    do {
        struct bytes rest = bytes_make(payload->data + at, payload->length - at);
        size_t used;

        rc = inflate_blocks(deflate, rest, limit - (out->length - start), out, &used);
        at += used;
    } while (rc == 0 && at < message.length);
    /* It ends behind a final block of its own, with the marker as the rest of one, or with the whole ending. */
    if (rc == 0 && at != message.length && at != message.length + MARKER_LENGTH && at != payload->length)
        rc = ERROR_MALFORMED;
    if (rc < 0)
        out->length = start;
    return rc;
}
