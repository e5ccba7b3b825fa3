/*
 * What waits to be written to one connection: references to shared pieces of bytes.
 *
 * A chunk is filled once and then referred to by any number of connections; it goes with its last
 * reference.  One thread.
 */
#ifndef HUBBUB_GATEWAY_OUTPUT_H
#define HUBBUB_GATEWAY_OUTPUT_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chunk {
    uint32_t references;
    uint32_t length;
    uint32_t capacity;
    char data[];
};

/* Empty, with one reference, the caller's. */
struct chunk *chunk_new(size_t capacity);
void chunk_release(struct chunk *chunk);

/* A run of a chunk's bytes. */
struct segment {
    struct segment *next;
    struct chunk *chunk;
    uint32_t offset;
    uint32_t length;
};

/* Zero-initialised is empty. */
struct output {
    struct segment *first;
    struct segment *last;
    size_t bytes;
};

/* Drops everything that waits. */
void output_done(struct output *output);

/* Refers to a run of the chunk, taking a reference of its own. */
void output_append(struct output *output, struct chunk *chunk, uint32_t offset, uint32_t length);

/*
 * Room for that many bytes at the end, for the caller to fill at once: in the last chunk when nobody
 * else refers to it, else in a new one.
 */
char *output_reserve(struct output *output, size_t length);

/* Puts everything that waits in front before what waits in output; front is empty afterwards. */
void output_prepend(struct output *output, struct output *front);

/* Appends everything that waits to the buffer, and leaves it waiting. */
void output_gather(const struct output *output, struct buffer *out);

/* Leaves out the first bytes; there must be as many. */
void output_consume(struct output *output, size_t bytes);

/*
 * Writes to the descriptor until everything is out (0), it takes no more (ERROR_AGAIN) or it failed
 * (ERROR_CLOSED).  *written and *calls grow by the bytes and the system calls that it took.
 */
int output_write(struct output *output, int fd, uint64_t *written, uint64_t *calls) MUST_CHECK;

#endif
