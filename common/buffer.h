/*
 * A growable run of bytes that its holder owns.
 *
 * Zero-initialised is empty and ready.  Running out of memory aborts: callers
 * that let a peer choose a size check their own limit before they append.
 */
#ifndef HUBBUB_COMMON_BUFFER_H
#define HUBBUB_COMMON_BUFFER_H

#include "common/bytes.h"

#include <stdint.h>
#include <sys/types.h>

struct buffer {
    char *data;
    size_t length;
    size_t capacity;
};

/* Frees the memory and leaves the buffer empty and usable. */
void buffer_done(struct buffer *buffer);

/* Makes room for that many more bytes, or none, and returns where they go, never NULL; the length stays until
 * buffer_extend(). */
char *buffer_reserve(struct buffer *buffer, size_t more);

/* The path of buffer_append() that allocates; call that instead. */
void buffer_append_slow(struct buffer *buffer, const void *data, size_t length);

static inline void buffer_append(struct buffer *buffer, const void *data, size_t length)
{
    if (length > buffer->capacity - buffer->length) {
        buffer_append_slow(buffer, data, length);
        return;
    }
    if (length)
        memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
}

static inline void buffer_append_bytes(struct buffer *buffer, struct bytes bytes)
{
    buffer_append(buffer, bytes.data, bytes.length);
}

static inline void buffer_append_char(struct buffer *buffer, char c)
{
    buffer_append(buffer, &c, 1);
}

#define buffer_append_literal(buffer, literal) buffer_append((buffer), (literal), sizeof(literal) - 1)

void buffer_append_text(struct buffer *buffer, const char *text);

/* Unsigned decimal. */
void buffer_append_u64(struct buffer *buffer, uint64_t value);

void buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3), nonnull(2)));

/* Drops bytes from the front; length must not exceed what is there. */
void buffer_consume(struct buffer *buffer, size_t length);

static inline void buffer_extend(struct buffer *buffer, size_t length)
{
    buffer->length += length;
}

static inline void buffer_clear(struct buffer *buffer)
{
    buffer->length = 0;
}

static inline struct bytes buffer_bytes(const struct buffer *buffer)
{
    return (struct bytes){buffer->data, buffer->length};
}

#endif
