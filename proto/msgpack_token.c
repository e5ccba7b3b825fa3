/*
 * msgpack's tokens, read and written; see msgpack_token.h.  Owns nothing; the codecs of Socket.IO's msgpack
 * parser call it.  The link between gateway and router has a reader of its own (wire.c), which knows what to
 * expect and takes nothing else.
 */
#include "proto/msgpack_token.h"

/* First bytes of the format's table; a family of widths starts with its narrowest. */
enum {
    TAG_FIXMAP = 0x80,
    TAG_FIXARRAY = 0x90,
    TAG_FIXSTR = 0xa0,
    TAG_NIL = 0xc0,
    TAG_FALSE = 0xc2,
    TAG_TRUE = 0xc3,
    TAG_BIN8 = 0xc4,
    TAG_EXT8 = 0xc7,
    TAG_FLOAT32 = 0xca,
    TAG_FLOAT64 = 0xcb,
    TAG_UINT8 = 0xcc,
    TAG_INT8 = 0xd0,
    TAG_FIXEXT1 = 0xd4,
    TAG_STR8 = 0xd9,
    TAG_ARRAY16 = 0xdc,
    TAG_MAP16 = 0xde,
    TAG_NEGATIVE_FIXINT = 0xe0,
};

/* -- reading --------------------------------------------------------------------------------- */

static size_t left_of(const struct msgpack_cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

/* A big-endian number of that many bytes. */
static int take_number(struct msgpack_cursor *cursor, unsigned width, uint64_t *out)
{
    uint64_t value = 0;

    if (left_of(cursor) < width)
        return ERROR_MALFORMED;
    while (width--)
        value = value << 8 | *cursor->at++;
    *out = value;
    return 0;
}

static int take_bytes(struct msgpack_cursor *cursor, uint64_t length, struct msgpack_token *token)
{
    if (left_of(cursor) < length)
        return ERROR_MALFORMED;
    token->bytes = bytes_make((const char *)cursor->at, (size_t)length);
    cursor->at += length;
    return 0;
}

/* Bytes whose length stands before them. */
static int take_counted(struct msgpack_cursor *cursor, enum msgpack_kind kind, unsigned width,
                        struct msgpack_token *token)
{
    uint64_t length;

    token->kind = kind;
    return take_number(cursor, width, &length) < 0 ? ERROR_MALFORMED : take_bytes(cursor, length, token);
}

static int take_container(const struct msgpack_cursor *cursor, enum msgpack_kind kind, uint64_t count,
                          struct msgpack_token *token)
{
    if (left_of(cursor) < (kind == MSGPACK_MAP ? 2 * count : count))
        return ERROR_MALFORMED;
    token->kind = kind;
    token->count = (uint32_t)count;
    return 0;
}

static int take_wide_container(struct msgpack_cursor *cursor, enum msgpack_kind kind, unsigned width,
                               struct msgpack_token *token)
{
    uint64_t count;

    return take_number(cursor, width, &count) < 0 ? ERROR_MALFORMED
                                                  : take_container(cursor, kind, count, token);
}

static int take_extension(struct msgpack_cursor *cursor, uint64_t length, struct msgpack_token *token)
{
    uint64_t type;

    if (take_number(cursor, 1, &type) < 0)
        return ERROR_MALFORMED;
    token->kind = MSGPACK_EXTENSION;
    token->extension = (int8_t)type;
    return take_bytes(cursor, length, token);
}

static int take_float(struct msgpack_cursor *cursor, bool wide, struct msgpack_token *token)
{
    uint64_t bits;

    if (take_number(cursor, wide ? 8 : 4, &bits) < 0)
        return ERROR_MALFORMED;
    token->kind = MSGPACK_FLOAT;
    if (wide) {
        memcpy(&token->number, &bits, sizeof token->number);
    } else {
        uint32_t narrow = (uint32_t)bits;
        float number;

        memcpy(&number, &narrow, sizeof number);
        token->number = (double)number;
    }
    return 0;
}

static void set_signed(struct msgpack_token *token, int64_t value)
{
    token->kind = value < 0 ? MSGPACK_NEGATIVE : MSGPACK_UNSIGNED;
    if (value < 0)
        token->i64 = value;
    else
        token->u64 = (uint64_t)value;
}

static int take_signed(struct msgpack_cursor *cursor, unsigned width, struct msgpack_token *token)
{
    unsigned spare = 64 - 8 * width;
    uint64_t bits;

    if (take_number(cursor, width, &bits) < 0)
        return ERROR_MALFORMED;
    set_signed(token, (int64_t)(bits << spare) >> spare);
    return 0;
}

/* The tags from TAG_NIL to below TAG_NEGATIVE_FIXINT. */
static int take_tagged(struct msgpack_cursor *cursor, unsigned tag, struct msgpack_token *token)
{
    uint64_t length;

    if (tag >= TAG_MAP16)
        return take_wide_container(cursor, MSGPACK_MAP, 2U << (tag - TAG_MAP16), token);
    if (tag >= TAG_ARRAY16)
        return take_wide_container(cursor, MSGPACK_ARRAY, 2U << (tag - TAG_ARRAY16), token);
    if (tag >= TAG_STR8)
        return take_counted(cursor, MSGPACK_STRING, 1U << (tag - TAG_STR8), token);
    if (tag >= TAG_FIXEXT1) {
        token->fixed = true;
        return take_extension(cursor, 1U << (tag - TAG_FIXEXT1), token);
    }
    if (tag >= TAG_INT8)
        return take_signed(cursor, 1U << (tag - TAG_INT8), token);
    if (tag >= TAG_UINT8) {
        token->kind = MSGPACK_UNSIGNED;
        return take_number(cursor, 1U << (tag - TAG_UINT8), &token->u64);
    }
    if (tag >= TAG_FLOAT32)
        return take_float(cursor, tag == TAG_FLOAT64, token);
    if (tag >= TAG_EXT8)
        return take_number(cursor, 1U << (tag - TAG_EXT8), &length) < 0
                   ? ERROR_MALFORMED
                   : take_extension(cursor, length, token);
    if (tag >= TAG_BIN8)
        return take_counted(cursor, MSGPACK_BINARY, 1U << (tag - TAG_BIN8), token);
    if (tag == TAG_NIL)
        token->kind = MSGPACK_NIL;
    else if (tag == TAG_FALSE || tag == TAG_TRUE)
        token->kind = tag == TAG_TRUE ? MSGPACK_TRUE : MSGPACK_FALSE;
    else
        return ERROR_MALFORMED;
    return 0;
}

int msgpack_next(struct msgpack_cursor *cursor, struct msgpack_token *out)
{
    unsigned tag;

    if (left_of(cursor) == 0)
        return ERROR_MALFORMED;
    tag = *cursor->at++;
    out->fixed = false;
    if (tag < TAG_FIXMAP) {
        out->kind = MSGPACK_UNSIGNED;
        out->u64 = tag;
        return 0;
    }
    if (tag < TAG_FIXARRAY)
        return take_container(cursor, MSGPACK_MAP, tag - TAG_FIXMAP, out);
    if (tag < TAG_FIXSTR)
        return take_container(cursor, MSGPACK_ARRAY, tag - TAG_FIXARRAY, out);
    if (tag < TAG_NIL) {
        out->kind = MSGPACK_STRING;
        return take_bytes(cursor, tag - TAG_FIXSTR, out);
    }
    if (tag < TAG_NEGATIVE_FIXINT)
        return take_tagged(cursor, tag, out);
    set_signed(out, (int64_t)tag - 0x100);
    return 0;
}

int msgpack_skip(struct msgpack_cursor *cursor)
{
    struct msgpack_token token;

    for (uint64_t open = 1; open; open--) {
        if (msgpack_next(cursor, &token) < 0)
            return ERROR_MALFORMED;
        if (token.kind == MSGPACK_MAP)
            open += 2 * (uint64_t)token.count;
        else if (token.kind == MSGPACK_ARRAY)
            open += token.count;
        if (open - 1 > left_of(cursor)) /* containers that lie together, each of which could be true */
            return ERROR_MALFORMED;
    }
    return 0;
}

/* -- writing --------------------------------------------------------------------------------- */

static char *write_number(char *at, unsigned tag, uint64_t value, unsigned width)
{
    *at++ = (char)tag;
    for (unsigned shift = 8 * width; shift > 0; shift -= 8)
        *at++ = (char)(value >> (shift - 8) & 0xff);
    return at;
}

/* How many doublings of one byte the value takes: 0 to 3. */
static unsigned width_of(uint64_t value)
{
    return (value > 0xff) + (value > 0xffff) + (value > 0xffffffff);
}

char *msgpack_write_unsigned(char *at, uint64_t value)
{
    unsigned width = width_of(value);

    if (value < TAG_FIXMAP) {
        *at = (char)value;
        return at + 1;
    }
    return write_number(at, TAG_UINT8 + width, value, 1U << width);
}

char *msgpack_write_negative(char *at, int64_t value)
{
    unsigned width = (value < INT8_MIN) + (value < INT16_MIN) + (value < INT32_MIN);

    if (value >= TAG_NEGATIVE_FIXINT - 0x100) {
        *at = (char)value;
        return at + 1;
    }
    return write_number(at, TAG_INT8 + width, (uint64_t)value, 1U << width);
}

char *msgpack_write_float(char *at, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return write_number(at, TAG_FLOAT64, bits, 8);
}

char *msgpack_write_string_head(char *at, uint32_t length)
{
    unsigned width = width_of(length);

    if (length < 32) {
        *at = (char)(TAG_FIXSTR | length);
        return at + 1;
    }
    return write_number(at, TAG_STR8 + width, length, 1U << width);
}

char *msgpack_write_binary_head(char *at, uint32_t length)
{
    unsigned width = width_of(length);

    return write_number(at, TAG_BIN8 + width, length, 1U << width);
}

static char *write_container_head(char *at, unsigned fixed, unsigned wide, uint32_t count)
{
    if (count < 16) {
        *at = (char)(fixed | count);
        return at + 1;
    }
    return count <= 0xffff ? write_number(at, wide, count, 2) : write_number(at, wide + 1, count, 4);
}

char *msgpack_write_array_head(char *at, uint32_t count)
{
    return write_container_head(at, TAG_FIXARRAY, TAG_ARRAY16, count);
}

char *msgpack_write_map_head(char *at, uint32_t count)
{
    return write_container_head(at, TAG_FIXMAP, TAG_MAP16, count);
}
