/*
 * Chunks and the queues that refer to them; see output.h.  Segments are many and short-lived: used
 * ones are kept in a list for the next, up to a bound.
 */
#include "gateway/output.h"

#include "common/memory.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    PRIVATE_CHUNK = 512,
    WRITE_VECTORS = 64,
    SPARE_SEGMENTS = 4096,
};

static struct segment *spare;
static unsigned spare_count;

struct chunk *chunk_new(size_t capacity)
{
    struct chunk *chunk = memory_new(sizeof *chunk + capacity);

    assert(capacity <= UINT32_MAX);
    chunk->references = 1;
    chunk->length = 0;
    chunk->capacity = (uint32_t)capacity;
    return chunk;
}

void chunk_release(struct chunk *chunk)
{
    if (--chunk->references == 0)
        free(chunk);
}

static struct segment *segment_new(void)
{
    struct segment *segment = spare;

    if (!segment)
        return memory_new(sizeof *segment);
    spare = segment->next;
    spare_count--;
    return segment;
}

static void segment_free(struct segment *segment)
{
    chunk_release(segment->chunk);
    if (spare_count >= SPARE_SEGMENTS) {
        free(segment);
        return;
    }
    segment->next = spare;
    spare = segment;
    spare_count++;
}

static void remove_first(struct output *output)
{
    struct segment *segment = output->first;

    output->first = segment->next;
    if (!output->first)
        output->last = NULL;
    segment_free(segment);
}

void output_done(struct output *output)
{
    while (output->first)
        remove_first(output);
    output->bytes = 0;
}

static void append(struct output *output, struct chunk *chunk, uint32_t offset, uint32_t length)
{
    struct segment *segment = segment_new();

    *segment = (struct segment){.chunk = chunk, .offset = offset, .length = length};
    if (output->last)
        output->last->next = segment;
    else
        output->first = segment;
    output->last = segment;
    output->bytes += length;
}

void output_append(struct output *output, struct chunk *chunk, uint32_t offset, uint32_t length)
{
    chunk->references++;
    append(output, chunk, offset, length);
}

char *output_reserve(struct output *output, size_t length)
{
    struct segment *last = output->last;
    struct chunk *chunk = last ? last->chunk : NULL;

    if (!chunk || chunk->references > 1 || last->offset + last->length != chunk->length ||
        chunk->capacity - chunk->length < length) {
        chunk = chunk_new(length > PRIVATE_CHUNK ? length : PRIVATE_CHUNK);
        append(output, chunk, 0, 0);
        last = output->last;
    }

    char *at = chunk->data + chunk->length;

    chunk->length += (uint32_t)length;
    last->length += (uint32_t)length;
    output->bytes += length;
    return at;
}

void output_prepend(struct output *output, struct output *front)
{
    if (!front->first)
        return;
    front->last->next = output->first;
    if (!output->first)
        output->last = front->last;
    output->first = front->first;
    output->bytes += front->bytes;
    *front = (struct output){0};
}

void output_gather(const struct output *output, struct buffer *out)
{
    for (const struct segment *segment = output->first; segment; segment = segment->next)
        buffer_append(out, segment->chunk->data + segment->offset, segment->length);
}

void output_consume(struct output *output, size_t bytes)
{
    output->bytes -= bytes;
    while (bytes) {
        struct segment *segment = output->first;

        if (bytes < segment->length) {
            segment->offset += (uint32_t)bytes;
            segment->length -= (uint32_t)bytes;
            return;
        }
        bytes -= segment->length;
        remove_first(output);
    }
}

int output_write(struct output *output, int fd, uint64_t *written, uint64_t *calls)
{
    while (output->first) {
        struct iovec vectors[WRITE_VECTORS];
        size_t count = 0;
        size_t offered = 0;

        for (struct segment *s = output->first; s && count < WRITE_VECTORS; s = s->next) {
            vectors[count++] = (struct iovec){s->chunk->data + s->offset, s->length};
            offered += s->length;
        }

        ssize_t n = sendmsg(fd, &(struct msghdr){.msg_iov = vectors, .msg_iovlen = count}, MSG_NOSIGNAL);

        ++*calls;
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return errno == EAGAIN ? ERROR_AGAIN : ERROR_CLOSED;
        }
        *written += (uint64_t)n;
        output_consume(output, (size_t)n);
        if ((size_t)n < offered)
            return ERROR_AGAIN;
    }
    return 0;
}
