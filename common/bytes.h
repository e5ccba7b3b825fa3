/*
 * A borrowed run of bytes: pointer and length, no ownership, no terminator.
 *
 * Whoever hands one out says how long it stays valid.  {NULL, 0} means absent
 * where the header that uses it says so; otherwise it is just empty.
 */
#ifndef HUBBUB_COMMON_BYTES_H
#define HUBBUB_COMMON_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct bytes {
    const char *data;
    size_t length;
};

/* From a string literal. */
#define BYTES(literal) ((struct bytes){(literal), sizeof(literal) - 1})

/* For printf: printf("%.*s", BYTES_PRINTF(b)). */
#define BYTES_PRINTF(b) (int)(b).length, (b).data

static inline struct bytes bytes_make(const char *data, size_t length)
{
    return (struct bytes){data, length};
}

static inline struct bytes bytes_from_text(const char *text)
{
    return (struct bytes){text, text ? strlen(text) : 0};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static inline bool bytes_equal_text(struct bytes a, const char *text)
{
    return bytes_equal(a, bytes_from_text(text));
}

static inline bool bytes_starts_with(struct bytes a, struct bytes prefix)
{
    return a.length >= prefix.length &&
           (prefix.length == 0 || memcmp(a.data, prefix.data, prefix.length) == 0);
}

/* Bytewise order, as memcmp() has it; a prefix comes first. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
    size_t length = a.length < b.length ? a.length : b.length;
    int result = length ? memcmp(a.data, b.data, length) : 0;

    return result ? result : (a.length > b.length) - (a.length < b.length);
}

/* ASCII letters compared without case, as HTTP field names and tokens are. */
bool bytes_equal_nocase(struct bytes a, struct bytes b);

/* Unsigned decimal, digits only; 0, or ERROR_MALFORMED for anything else or an overflow. */
int bytes_parse_u64(struct bytes text, unsigned long long *out) __attribute__((warn_unused_result));

#endif
