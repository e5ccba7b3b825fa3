/*
 * What it costs to inflate a message, honest or not: for each kind of payload the CPU time of one, by
 * proto/deflate.h and by zlib beside it, as medians of ROUNDS in turns.  Under a limit of LIMIT bytes, as a
 * gateway has it.
 */
#include "common/buffer.h"
#include "common/memory.h"
#include "proto/deflate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

enum { LIMIT = 1000000, BOMB_LENGTH = 50 * LIMIT, ROUNDS = 9, SHORT_REPEATS = 10000 };

static double cpu_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

/* As somebody else compresses it, at the cost of time: whose references are the shortest, which zlib copies
   slowest. */
static struct bytes compressed(size_t length, char (*content)(size_t at), struct buffer *out)
{
    enum { MARKER_LENGTH = 4 };
    z_stream stream = {0};
    char *text = memory_new(length);

    for (size_t i = 0; i < length; i++)
        text[i] = content(i);
    if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, -MAX_WBITS, MAX_MEM_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    stream.next_in = (Bytef *)text;
    stream.avail_in = (uInt)length;
    stream.avail_out = (uInt)deflateBound(&stream, length) + MARKER_LENGTH;
    stream.next_out = (Bytef *)buffer_reserve(out, stream.avail_out);
    if (deflate(&stream, Z_SYNC_FLUSH) != Z_OK)
        abort();
    buffer_extend(out, stream.total_out - MARKER_LENGTH);
    deflateEnd(&stream);
    free(text);
    return buffer_bytes(out);
}

static char zero(size_t at)
{
    (void)at;
    return 0;
}

static char chat(size_t at)
{
    static const char text[] = "42[\"msg\",{\"room\":\"cats\",\"body\":\"did you see what she did there?\"}]";

    return text[at % (sizeof text - 1)];
}

static char letters(size_t at)
{
    static uint32_t state = 1;

    (void)at;
    state = state * 1664525 + 1013904223;
    return (char)('a' + (state >> 24) % 3);
}

static void append_bits(struct buffer *out, unsigned *used, unsigned value, unsigned count)
{
    for (; count > 0; count--, value >>= 1) {
        if (*used == 0)
            buffer_append_char(out, 0);
        out->data[out->length - 1] = (char)(out->data[out->length - 1] | (value & 1) << *used);
        *used = (*used + 1) % 8;
    }
}

/*
 * A block with Huffman tables of its own, the dearest to set up, and nothing in it (RFC 1951 3.2.7): all code
 * lengths are told as runs of zeros (18) and ones (1).
 */
static void append_empty_block(struct buffer *out, unsigned *used)
{
    enum { DYNAMIC = 2, LENGTHS = 19, AT_18 = 2, AT_1 = 17 };

    append_bits(out, used, 0, 1);
    append_bits(out, used, DYNAMIC, 2);
    append_bits(out, used, 286 - 257, 5);
    append_bits(out, used, 30 - 1, 5);
    append_bits(out, used, LENGTHS - 4, 4);
    for (unsigned i = 0; i < LENGTHS; i++)
        append_bits(out, used, i == AT_18 || i == AT_1, 3);
    append_bits(out, used, 1 | (138 - 11) << 1, 8); /* 0 to 137: none */
    append_bits(out, used, 1 | (117 - 11) << 1, 8); /* to 254 */
    append_bits(out, used, 0, 2);                   /* 255 and 256, the end of a block, have one bit each */
    append_bits(out, used, 1 | (57 - 11) << 1, 8);  /* the rest, and all distances but the last two */
    append_bits(out, used, 0, 2);
    append_bits(out, used, 1, 1); /* the end of the block */
}

static struct bytes empty_blocks(size_t length, struct buffer *out)
{
    unsigned used = 0;

    while (out->length < length)
        append_empty_block(out, &used);
    append_bits(out, &used, 0, 3); /* the stored block that every message ends with */
    return buffer_bytes(out);
}

static double ours(struct deflate *deflate, struct bytes payload, unsigned repeats, struct buffer *out)
{
    double start = cpu_us();
    int rc = 0;

    for (unsigned i = 0; i < repeats; i++) {
        buffer_clear(out);
        rc |= deflate_inflate(deflate, payload, LIMIT, out);
    }
    if (rc != 0 && rc != ERROR_TOO_LARGE)
        abort();
    return (cpu_us() - start) / repeats;
}

static double zlibs(z_stream *stream, struct bytes payload, unsigned repeats, struct buffer *out)
{
    double start = cpu_us();

    for (unsigned i = 0; i < repeats; i++) {
        buffer_clear(out);
        inflateReset(stream);
        stream->next_in = (Bytef *)(uintptr_t)payload.data;
        stream->avail_in = (uInt)payload.length;
        stream->next_out = (Bytef *)buffer_reserve(out, LIMIT);
        stream->avail_out = LIMIT;
        if (inflate(stream, Z_SYNC_FLUSH) != Z_OK)
            abort();
    }
    return (cpu_us() - start) / repeats;
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

static void measure(const char *name, struct deflate *deflate, struct bytes payload, unsigned repeats)
{
    double own[ROUNDS], other[ROUNDS];
    struct buffer out = {0};
    z_stream stream = {0};

    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        abort();
    for (unsigned i = 0; i < ROUNDS; i++) {
        own[i] = ours(deflate, payload, repeats, &out);
        other[i] = zlibs(&stream, payload, repeats, &out);
    }
    qsort(own, ROUNDS, sizeof *own, by_value);
    qsort(other, ROUNDS, sizeof *other, by_value);
    printf("%-46s %8zu bytes %10.2f us %10.2f us by zlib\n", name, payload.length, own[ROUNDS / 2],
           other[ROUNDS / 2]);
    inflateEnd(&stream);
    buffer_done(&out);
}

int main(void)
{
    struct deflate *deflate = deflate_new();
    struct {
        const char *name;
        size_t length;
        char (*content)(size_t at);
        unsigned repeats;
    } kinds[] = {
        {"a message of 70 bytes", 70, chat, SHORT_REPEATS},      {"chat, 1 MB", LIMIT, chat, 1},
        {"three letters in no order, 1 MB", LIMIT, letters, 1},  {"zeros, 1 MB", LIMIT, zero, 1},
        {"zeros, 50 MB: refused at 1 MB", BOMB_LENGTH, zero, 1},
    };
    struct buffer blocks = {0};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct buffer payload = {0};

        measure(kinds[i].name, deflate, compressed(kinds[i].length, kinds[i].content, &payload),
                kinds[i].repeats);
        buffer_done(&payload);
    }
    measure("blocks that hold nothing", deflate, empty_blocks(LIMIT, &blocks), 1);
    buffer_done(&blocks);
    deflate_free(deflate);
    return 0;
}
