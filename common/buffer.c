/* Growable bytes; see buffer.h.  Doubling growth, never shrinks by itself. */
#include "common/buffer.h"

#include "common/memory.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buffer_done(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}

char *buffer_reserve(struct buffer *buffer, size_t more)
{
    size_t need = buffer->length + more;

    if (need > buffer->capacity || !buffer->data) {
        size_t capacity = buffer->capacity ? buffer->capacity : 64;

        while (capacity < need)
            capacity *= 2;
        buffer->data = memory_resize(buffer->data, capacity);
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->length;
}

void buffer_append_slow(struct buffer *buffer, const void *data, size_t length)
{
    memcpy(buffer_reserve(buffer, length), data, length);
    buffer->length += length;
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_append_u64(struct buffer *buffer, uint64_t value)
{
    /* Two digits a division: every message carries half a dozen long numbers. */
    static const char pairs[] =
        "0001020304050607080910111213141516171819202122232425262728293031323334353637383940"
        "4142434445464748495051525354555657585960616263646566676869707172737475767778798081"
        "828384858687888990919293949596979899";
    char digits[20];
    size_t at = sizeof digits;

    for (; value >= 10; value /= 100) {
        at -= 2;
        memcpy(digits + at, pairs + value % 100 * 2, 2);
    }
    if (value || at == sizeof digits)
        digits[--at] = (char)('0' + value);
    buffer_append(buffer, digits + at, sizeof digits - at);
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    assert(length >= 0);
    buffer_reserve(buffer, (size_t)length + 1);
    va_start(arguments, format);
    vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->length += (size_t)length;
}

void buffer_consume(struct buffer *buffer, size_t length)
{
    assert(length <= buffer->length);
    buffer->length -= length;
    if (buffer->length)
        memmove(buffer->data, buffer->data + length, buffer->length);
}
