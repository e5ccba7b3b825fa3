/* The smallest steps through JSON text, for those who walk it. */
#ifndef HUBBUB_PROTO_JSON_PLAIN_H
#define HUBBUB_PROTO_JSON_PLAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Whether none of the eight bytes at `at` is a quote, a backslash or below 0x20.  May say no where the answer
   is yes: then look at each byte. */
static inline bool json_word_is_plain(const char *at)
{
    const uint64_t ones = 0x0101010101010101U;
    uint64_t word;
    uint64_t quote;
    uint64_t backslash;

    memcpy(&word, at, sizeof word);
    quote = word ^ (ones * '"');
    backslash = word ^ (ones * '\\');
    /* Bytes that become 0, or that are below 0x20, borrow into their top bit. */
    return ((((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | ((word - ones * 0x20) & ~word)) &
            (ones << 7)) == 0;
}

/* To the first byte that is no blank of the grammar, or to the end. */
static inline const char *json_pass_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

#endif
