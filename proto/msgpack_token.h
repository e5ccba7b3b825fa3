/*
 * A cursor through msgpack (github.com/msgpack/msgpack, spec.md), one token at a time: a scalar, or the head
 * of a container, whose elements are the tokens that follow.
 *
 * It builds nothing and allocates nothing.  What comes out points into the bytes that went in.  A length that
 * lies costs nothing: whatever is announced must still fit into what is left, a byte for each element.
 */
#ifndef HUBBUB_PROTO_MSGPACK_TOKEN_H
#define HUBBUB_PROTO_MSGPACK_TOKEN_H

#include "common/bytes.h"
#include "common/error.h"

#include <stdint.h>

enum msgpack_kind {
    MSGPACK_NIL,
    MSGPACK_FALSE,
    MSGPACK_TRUE,
    MSGPACK_UNSIGNED, /* an integer from 0 on, however it is written: u64 */
    MSGPACK_NEGATIVE, /* one below: i64 */
    MSGPACK_FLOAT,    /* of either width: number */
    MSGPACK_STRING,   /* bytes, not checked for UTF-8 */
    MSGPACK_BINARY,   /* bytes */
    MSGPACK_ARRAY,    /* count elements follow */
    MSGPACK_MAP,      /* count pairs of a key and a value follow */
    MSGPACK_EXTENSION /* bytes, extension */
};

struct msgpack_token {
    enum msgpack_kind kind;
    uint32_t count;
    int8_t extension; /* its type */
    bool fixed;       /* an extension of the forms fixext 1 to 16 */
    union {
        uint64_t u64;
        int64_t i64;
        double number;
        struct bytes bytes;
    };
};

struct msgpack_cursor {
    const uint8_t *at, *end;
};

static inline struct msgpack_cursor msgpack_cursor_make(struct bytes bytes)
{
    const uint8_t *at = (const uint8_t *)bytes.data;

    return (struct msgpack_cursor){at, at + bytes.length};
}

/* 0, or ERROR_MALFORMED for what is cut short, announces more than there is, or is the byte that is never
 * used (0xc1). */
int msgpack_next(struct msgpack_cursor *cursor, struct msgpack_token *out) MUST_CHECK;

/* Passes over one value with all that is in it, however deep: 0 or ERROR_MALFORMED. */
int msgpack_skip(struct msgpack_cursor *cursor) MUST_CHECK;

/* The shortest form of a head or a scalar: writes at most MSGPACK_HEAD_MAX bytes and returns what is behind
 * them. */
enum { MSGPACK_HEAD_MAX = 9 };
char *msgpack_write_unsigned(char *at, uint64_t value);
char *msgpack_write_negative(char *at, int64_t value); /* below 0 */
char *msgpack_write_float(char *at, double value);
char *msgpack_write_string_head(char *at, uint32_t length);
char *msgpack_write_binary_head(char *at, uint32_t length);
char *msgpack_write_array_head(char *at, uint32_t count);
char *msgpack_write_map_head(char *at, uint32_t count);

#endif
