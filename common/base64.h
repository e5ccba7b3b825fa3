/*
 * Base64 (RFC 4648 4), written strictly and read as Node's Buffer reads it.
 */
#ifndef HUBBUB_COMMON_BASE64_H
#define HUBBUB_COMMON_BASE64_H

#include "common/bytes.h"

#include <stdint.h>

/* How long so many bytes become, padding included.  length is below SIZE_MAX / 2. */
static inline size_t base64_length(size_t length)
{
    return (length + 2) / 3 * 4;
}

/* Writes base64_length(bytes.length) characters, padded, without a terminator; out lies apart from the bytes.
 */
void base64_write(char *out, struct bytes bytes);

/* A digit's value and one; 0 for what is no digit. */
extern const uint8_t base64_digits[256];

/* The value of a digit of either alphabet, or -1. */
static inline int base64_digit(char c)
{
    return base64_digits[(unsigned char)c] - 1;
}

/* No text of that length holds more bytes. */
static inline size_t base64_decoded_max(size_t length)
{
    return length / 4 * 3 + length % 4 * 3 / 4;
}

/*
 * Decodes a text of both alphabets (RFC 4648 4 and 5), padded or not, and returns how many bytes came of
 * it, at most base64_decoded_max().  It ends at the first '='; any other character that is no digit is
 * passed over, and so are bits that make no byte.  out may be text.data itself.
 */
size_t base64_read(char *out, struct bytes text);

#endif
