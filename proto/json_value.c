/*
 * What JSON values stand for; see json_value.h.  Owns nothing; called for the few
 * strings and numbers that the broker itself has to understand.  Surprising: it trusts
 * that the scanner has validated the value, and only looks at what validity leaves open.
 */
#include "proto/json_value.h"

/* The largest integer up to which JavaScript counts one by one. */
#define INTEGER_MAX 9007199254740991LL

#define REPLACEMENT 0xfffdL

/* What a character stands for behind a backslash; u is apart. */
static const char escapes[256] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                  ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};

static int hex_digit(char c)
{
    if (c <= '9')
        return c - '0';
    return (c | 0x20) - 'a' + 10;
}

static long read_hex(const char *at)
{
    return hex_digit(at[0]) << 12 | hex_digit(at[1]) << 8 | hex_digit(at[2]) << 4 | hex_digit(at[3]);
}

/* The code point of \uXXXX, or of a pair of them, at points behind the first u; -1 for a lone surrogate. */
static long read_code_point(const char **at, const char *end)
{
    long high = read_hex(*at);
    long low;

    *at += 4;
    if (high < 0xd800 || high > 0xdfff)
        return high;
    if (high > 0xdbff || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
        return -1;
    low = read_hex(*at + 2);
    if (low < 0xdc00 || low > 0xdfff)
        return -1;
    *at += 6;
    return 0x10000 + (high - 0xd800) * 0x400 + (low - 0xdc00);
}

/* RFC 3629 section 3; returns the number of bytes. */
static size_t encode_utf8(long c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | (c >> 6));
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | (c >> 12));
        out[1] = (char)(0x80 | ((c >> 6) & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | (c >> 18));
    out[1] = (char)(0x80 | ((c >> 12) & 0x3f));
    out[2] = (char)(0x80 | ((c >> 6) & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* lone: what stands for a lone surrogate; -1: there must be none. */
static int decode(struct json_value string, long lone, char *out, size_t limit, size_t *length)
{
    const char *at = string.text.data + 1;
    const char *end = string.text.data + string.text.length - 1;
    size_t filled = 0;

    while (at < end) {
        const char *run = at;
        char encoded[4];
        size_t size;
        long c;

        while (at < end && *at != '\\')
            at++;
        if ((size_t)(at - run) > limit - filled)
            return ERROR_TOO_LARGE;
        memcpy(out + filled, run, (size_t)(at - run));
        filled += (size_t)(at - run);
        if (at == end)
            break;
        at++;
        if (*at == 'u') {
            at++;
            c = read_code_point(&at, end);
            if (c < 0)
                c = lone;
            if (c < 0)
                return ERROR_UTF8;
        } else {
            c = escapes[(unsigned char)*at++];
        }
        size = encode_utf8(c, encoded);
        if (size > limit - filled)
            return ERROR_TOO_LARGE;
        memcpy(out + filled, encoded, size);
        filled += size;
    }
    *length = filled;
    return 0;
}

int json_string_decode(struct json_value string, char *out, size_t limit, size_t *length)
{
    if (string.kind != JSON_STRING)
        return ERROR_MALFORMED;
    return decode(string, -1, out, limit, length);
}

size_t json_string_decode_any(struct json_value string, char *out)
{
    size_t length = 0;

    (void)!decode(string, REPLACEMENT, out, string.text.length, &length);
    return length;
}

int json_integer_decode(struct json_value number, long long *out)
{
    const char *at = number.text.data;
    const char *end;
    bool negative;
    long long value = 0;
    bool overflow = false;

    if (number.kind != JSON_NUMBER)
        return ERROR_MALFORMED;
    end = at + number.text.length;
    negative = *at == '-';
    if (negative)
        at++;
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (*at - '0');
        if (value > INTEGER_MAX) {
            overflow = true;
            value = 0;
        }
    }
    if (at < end && *at == '.')
        for (at++; at < end && *at == '0';)
            at++;
    if (at < end)
        return ERROR_MALFORMED;
    if (overflow)
        return ERROR_TOO_LARGE;
    *out = negative ? -value : value;
    return 0;
}
