/*
 * What an octet may be part of in HTTP, for the readers of heads, bodies and field values.
 *
 * One table for all of them, so that a name that one takes is a name to the others.
 */
#ifndef HUBBUB_PROTO_HTTP_OCTET_H
#define HUBBUB_PROTO_HTTP_OCTET_H

#include "common/bytes.h"

#include <stdint.h>

/* Bits: an octet may be of several classes. */
enum http_octet {
    HTTP_OCTET_TOKEN = 1,  /* RFC 9110 5.6.2: methods, field names, codings, extensions */
    HTTP_OCTET_TARGET = 2, /* visible ASCII without '#'; browsers send more of it raw than RFC 3986 has */
    HTTP_OCTET_VALUE = 4,  /* RFC 9110 5.5, blanks included */
    HTTP_OCTET_HOST = 8,   /* RFC 3986 3.2.2 reg-name, without escapes: no name in use has them */
    HTTP_OCTET_BASE64 = 16,
};

extern const uint8_t http_octets[256];

static inline bool http_octet_is(char c, enum http_octet class)
{
    return http_octets[(unsigned char)c] & class;
}

static inline bool http_octet_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A blank of RFC 9110 5.6.3. */
static inline bool http_octet_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The value of a hexadecimal digit of either case, or -1. */
static inline int http_octet_hex(char c)
{
    if (http_octet_is_digit(c))
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Whether every octet is of the class; true of an empty text. */
bool http_octets_are(struct bytes text, enum http_octet class);

/* The text without the blanks around it. */
struct bytes http_trim(struct bytes text);

#endif
