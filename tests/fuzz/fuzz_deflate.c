/*
 * Fuzzes proto/deflate.h: any bytes as a compressed message stay within the limit, and what they hold comes
 * back when it is compressed again; any bytes as a message, in parts, are read back, by zlib from gzip, and
 * by zlib with the small window that they were compressed for.
 *
 * The first byte chooses the limit, the second the parts.
 */
#include "fuzz.h"
#include "proto/deflate.h"

#include <zlib.h>

#define LIMIT_MAX 200000

static int inflate_within(struct deflate *deflate, struct bytes message, size_t limit, struct buffer *out)
{
    char *copy = copy_of(message);
    buffer_append_literal(out, "kept");
    int rc = deflate_inflate(deflate, bytes_make(copy, message.length), limit, out);
    free(copy);
    require(rc == 0 || rc == ERROR_TOO_LARGE || rc == ERROR_MALFORMED);
    require(bytes_starts_with(buffer_bytes(out), BYTES("kept")));
    require(rc == 0 ? out->length - 4 <= limit : out->length == 4);
    require(out->capacity <= 64 || out->capacity < 2 * (limit + 5));
    return rc;
}

/* What the buffer holds behind "kept". */
static struct bytes inflated(const struct buffer *out)
{
    return bytes_make(out->data + 4, out->length - 4);
}

static void check_inflate(struct deflate *deflate, struct bytes message, size_t limit)
{
    struct buffer out = {0};
    struct buffer other = {0};
    int rc = inflate_within(deflate, message, limit, &out);
    if (rc == 0) {
        struct bytes held = inflated(&out);
        struct buffer packed = {0};
        /* The same again, though others came in between; and not with less room. */
        require(inflate_within(deflate, message, held.length, &other) == 0);
        require(bytes_equal(inflated(&other), held));
        if (held.length) {
            struct buffer tight = {0};
            require(inflate_within(deflate, message, held.length - 1, &tight) == ERROR_TOO_LARGE);
            buffer_done(&tight);
        }
        deflate_compress(deflate, &held, 1, &packed);
        buffer_done(&other);
        require(inflate_within(deflate, buffer_bytes(&packed), held.length, &other) == 0);
        require(bytes_equal(inflated(&other), held));
        buffer_done(&packed);
    } else if (rc == ERROR_MALFORMED) {
        /* With more room it is no better. */
        require(inflate_within(deflate, message, LIMIT_MAX, &other) != 0);
    } else if (inflate_within(deflate, message, LIMIT_MAX, &other) == 0) {
        require(inflated(&other).length > limit);
    }
    buffer_done(&other);
    buffer_done(&out);
}

/* By a peer that keeps no more than this window: a reference beyond it is an error there. */
static void check_within(struct deflate *deflate, struct bytes content, unsigned window_bits)
{
    struct buffer packed = {0};
    deflate_compress_within(deflate, content, window_bits, &packed);
    buffer_append_literal(&packed, "\0\0\xff\xff");

    Bytef *out = memory_new(content.length + 1);
    z_stream stream = {.next_in = (Bytef *)packed.data,
                       .avail_in = (uInt)packed.length,
                       .next_out = out,
                       .avail_out = (uInt)content.length + 1};
    require(inflateInit2(&stream, -(int)window_bits) == Z_OK);
    require(inflate(&stream, Z_SYNC_FLUSH) == Z_OK && stream.avail_in == 0);
    require(bytes_equal(bytes_make((char *)out, content.length + 1 - stream.avail_out), content));
    inflateEnd(&stream);
    free(out);
    buffer_done(&packed);
}

static void check_gzip(struct bytes member, struct bytes content)
{
    Bytef *out = memory_new(content.length + 1);
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)member.data,
                       .avail_in = (uInt)member.length,
                       .next_out = out,
                       .avail_out = (uInt)content.length + 1};
    require(inflateInit2(&stream, MAX_WBITS + 16) == Z_OK);
    require(inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_in == 0);
    require(bytes_equal(bytes_make((char *)out, content.length + 1 - stream.avail_out), content));
    inflateEnd(&stream);
    free(out);
}

static void check_round_trip(struct deflate *deflate, struct bytes content, size_t part_length)
{
    struct bytes parts[40];
    struct bytes rest = content;
    size_t count = 0;
    while (rest.length && count < 39)
        parts[count++] = take_front(&rest, part_length);
    parts[count++] = rest;

    struct buffer packed = {0};
    struct buffer out = {0};
    deflate_compress(deflate, parts, count, &packed);
    require(packed.length >= 1 && packed.length <= content.length + content.length / 8 + 64);
    require(inflate_within(deflate, buffer_bytes(&packed), content.length, &out) == 0);
    require(bytes_equal(inflated(&out), content));
    buffer_clear(&packed);
    deflate_gzip(deflate, parts, count, &packed);
    check_gzip(buffer_bytes(&packed), content);
    buffer_done(&packed);
    buffer_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t limits[] = {0, 5, 1000, LIMIT_MAX};
    static struct deflate *deflate;
    if (size < 2)
        return 0;
    if (!deflate)
        deflate = deflate_new();
    struct bytes rest = bytes_make((const char *)data + 2, size - 2);
    check_inflate(deflate, rest, limits[data[0] & 3]);
    check_round_trip(deflate, rest, 1 + data[1]);
    check_within(deflate, rest, 8 + data[1] % 8);
    return 0;
}
