/*
 * From JSON to msgpack; see json_msgpack.h.  Owns nothing; socketio_msgpack.c calls it.  The surprising rule:
 * a container's head is written when its end is known.  One byte is kept for it, which does for up to 15
 * elements; what is in a larger one then moves by two or four bytes.
 */
#include "proto/json_msgpack.h"

#include "common/memory.h"
#include "proto/json_plain.h"
#include "proto/msgpack_token.h"
#include "proto/socketio.h"
#include "proto/wire.h"

#include <math.h>
#include <stdlib.h>

enum {
    NUMBER_TEXT = 48,  /* bytes of a number that needs no memory of its own to be read */
    PLAIN_DIGITS = 19, /* so many fit into 64 bits */
};

enum key { KEY_OTHER, KEY_PLACEHOLDER, KEY_NUM };

/* A container that is open. */
struct level {
    size_t start; /* of its head, in the output */
    uint32_t count;
    bool object;
    /* Of an object in a text with attachments. */
    bool placeholder; /* the last value of that key is true */
    enum key key;     /* that the next value belongs to */
    int blob;         /* the attachment that the last value of num names, or -1 */
};

struct converter {
    const char *at, *end;
    struct buffer *out;
    struct bytes blobs[SOCKETIO_ATTACHMENTS_MAX];
    unsigned blob_count;
    struct level levels[JSON_MSGPACK_DEPTH_MAX];
    unsigned depth;
};

/* -- texts ----------------------------------------------------------------------------------- */

static void pass_blanks(struct converter *converter)
{
    while (converter->at < converter->end && (*converter->at == ' ' || *converter->at == '\t' ||
                                              *converter->at == '\r' || *converter->at == '\n'))
        converter->at++;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hexadecimal(char c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* Passes over an escape, whose backslash is at `at`; NULL when it is none. */
static const char *pass_escape(const char *at, const char *end)
{
    if (end - at < 2 || !memchr("\"\\/bfnrtu", at[1], 9))
        return NULL;
    if (at[1] != 'u')
        return at + 2;
    if (end - at < 6)
        return NULL;
    for (int i = 2; i < 6; i++)
        if (!is_hexadecimal(at[i]))
            return NULL;
    return at + 6;
}

/* Takes the string at the cursor, quotes included. */
static int take_string(struct converter *converter, struct bytes *text, bool *escaped)
{
    const char *start = converter->at, *at = start + 1, *end = converter->end;

    *escaped = false;
    for (;;) {
        while (end - at >= 8 && json_word_is_plain(at))
            at += 8;
        while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= ' ')
            at++;
        if (at == end || (unsigned char)*at < ' ')
            return ERROR_MALFORMED;
        if (*at == '"')
            break;
        *escaped = true;
        at = pass_escape(at, end);
        if (!at)
            return ERROR_MALFORMED;
    }
    *text = bytes_make(start, (size_t)(at + 1 - start));
    converter->at = at + 1;
    return 0;
}

static int append_string(struct converter *converter)
{
    struct bytes text;
    bool escaped;
    char *head, *content;
    size_t length;

    if (take_string(converter, &text, &escaped) < 0)
        return ERROR_MALFORMED;
    head = buffer_reserve(converter->out, MSGPACK_HEAD_MAX + text.length);
    length = text.length - 2;
    if (!escaped) {
        content = msgpack_write_string_head(head, (uint32_t)length);
        memcpy(content, text.data + 1, length);
    } else { /* how long it is shows when it is there */
        length = json_string_decode_any((struct json_value){text, JSON_STRING}, head + MSGPACK_HEAD_MAX);
        content = msgpack_write_string_head(head, (uint32_t)length);
        memmove(content, head + MSGPACK_HEAD_MAX, length);
    }
    buffer_extend(converter->out, (size_t)(content + length - head));
    return 0;
}

/* -- numbers --------------------------------------------------------------------------------- */

static void append_unsigned(struct buffer *out, uint64_t value)
{
    char *at = buffer_reserve(out, MSGPACK_HEAD_MAX);

    buffer_extend(out, (size_t)(msgpack_write_unsigned(at, value) - at));
}

static void append_negative(struct buffer *out, int64_t value)
{
    char *at = buffer_reserve(out, MSGPACK_HEAD_MAX);

    buffer_extend(out, (size_t)(msgpack_write_negative(at, value) - at));
}

static void append_double(struct buffer *out, double value)
{
    char *at;

    if (floor(value) == value && !(value == 0 && signbit(value))) {
        if (value >= 0 && value < 0x1p64) {
            append_unsigned(out, (uint64_t)value);
            return;
        }
        if (value < 0 && value >= -0x1p63) {
            append_negative(out, (int64_t)value);
            return;
        }
    }
    at = buffer_reserve(out, MSGPACK_HEAD_MAX);
    buffer_extend(out, (size_t)(msgpack_write_float(at, value) - at));
}

/* Any number, by way of a double. */
static void append_number_text(struct buffer *out, struct bytes text)
{
    char space[NUMBER_TEXT], *copy = space;

    if (text.length < sizeof space) {
        memcpy(space, text.data, text.length);
        space[text.length] = '\0';
    } else
        copy = memory_text(text.data, text.length);
    append_double(out, strtod(copy, NULL));
    if (copy != space)
        free(copy);
}

/* Digits alone, of which 64 bits hold any; false: too many. */
static bool append_digits(struct buffer *out, struct bytes digits, bool negative)
{
    uint64_t value = 0;

    for (size_t i = 0; i < digits.length; i++) {
        uint64_t digit = (uint64_t)(digits.data[i] - '0');

        if (i >= PLAIN_DIGITS && (i > PLAIN_DIGITS || value > (UINT64_MAX - digit) / 10))
            return false;
        value = value * 10 + digit;
    }
    if (!negative)
        append_unsigned(out, value);
    else if (value == 0 || value > (uint64_t)INT64_MAX + 1)
        return false;
    else
        append_negative(out, (int64_t)(0 - value));
    return true;
}

/* One digit or more. */
static const char *pass_digits(const char *at, const char *end)
{
    const char *start = at;

    while (at < end && is_digit(*at))
        at++;
    return at > start ? at : NULL;
}

static int append_number(struct converter *converter, struct bytes *text)
{
    const char *start = converter->at, *end = converter->end;
    bool negative = *start == '-';
    const char *digits = start + negative, *at = pass_digits(digits, end);
    struct bytes whole;

    if (!at || (*digits == '0' && at - digits > 1))
        return ERROR_MALFORMED;
    whole = bytes_make(digits, (size_t)(at - digits));
    if (at < end && *at == '.')
        at = pass_digits(at + 1, end);
    if (at && at < end && (*at | 0x20) == 'e') {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        at = pass_digits(at, end);
    }
    if (!at)
        return ERROR_MALFORMED;
    converter->at = at;
    *text = bytes_make(start, (size_t)(at - start));
    if (whole.length + negative != text->length || !append_digits(converter->out, whole, negative))
        append_number_text(converter->out, *text);
    return 0;
}

/* -- placeholders ---------------------------------------------------------------------------- */

/* Notes a key that was just appended from there on. */
static void note_key(struct converter *converter, struct level *level, size_t from)
{
    static const struct bytes placeholder = BYTES("\xac_placeholder"), num = BYTES("\xa3num");
    struct bytes key = bytes_make(converter->out->data + from, converter->out->length - from);

    level->key = bytes_equal(key, placeholder) ? KEY_PLACEHOLDER
                 : bytes_equal(key, num)       ? KEY_NUM
                                               : KEY_OTHER;
}

/* Notes the value of such a key; number is empty for what is none. */
static void note_value(struct converter *converter, bool is_true, struct bytes number)
{
    struct level *level = converter->depth ? &converter->levels[converter->depth - 1] : NULL;
    long long value;

    if (!level || level->key == KEY_OTHER)
        return;
    if (level->key == KEY_PLACEHOLDER)
        level->placeholder = is_true;
    else if (number.length && json_integer_decode((struct json_value){number, JSON_NUMBER}, &value) == 0 &&
             value >= 0 && value < (long long)converter->blob_count)
        level->blob = (int)value;
    else
        level->blob = -1;
    level->key = KEY_OTHER;
}

/* The object that began there was a placeholder. */
static void put_blob(struct buffer *out, size_t start, struct bytes blob)
{
    char *at;

    out->length = start;
    at = buffer_reserve(out, MSGPACK_HEAD_MAX);
    buffer_extend(out, (size_t)(msgpack_write_binary_head(at, (uint32_t)blob.length) - at));
    buffer_append_bytes(out, blob);
}

/* -- containers ------------------------------------------------------------------------------ */

static int open_level(struct converter *converter, bool object)
{
    if (converter->depth == JSON_MSGPACK_DEPTH_MAX)
        return ERROR_TOO_DEEP;
    converter->at++;
    converter->levels[converter->depth++] =
        (struct level){.start = converter->out->length, .object = object, .blob = -1};
    buffer_append_char(converter->out, 0);
    return 0;
}

static void close_level(struct converter *converter)
{
    struct level *level = &converter->levels[--converter->depth];
    struct buffer *out = converter->out;
    char head[MSGPACK_HEAD_MAX];
    size_t size;

    converter->at++;
    if (level->placeholder && level->blob >= 0) {
        put_blob(out, level->start, converter->blobs[level->blob]);
        return;
    }
    size = (size_t)((level->object ? msgpack_write_map_head(head, level->count)
                                   : msgpack_write_array_head(head, level->count)) -
                    head);
    if (size > 1) {
        char *content;

        buffer_reserve(out, size - 1);
        content = out->data + level->start + 1;
        memmove(content + size - 1, content, out->length - level->start - 1);
        buffer_extend(out, size - 1);
    }
    memcpy(out->data + level->start, head, size);
}

/* -- values ---------------------------------------------------------------------------------- */

static int append_word(struct converter *converter, struct bytes word, char tag)
{
    if (!bytes_starts_with(bytes_make(converter->at, (size_t)(converter->end - converter->at)), word))
        return ERROR_MALFORMED;
    converter->at += word.length;
    buffer_append_char(converter->out, tag);
    return 0;
}

static int append_scalar(struct converter *converter, struct bytes *number)
{
    switch (*converter->at) {
    case '"':
        return append_string(converter);
    case 'n':
        return append_word(converter, BYTES("null"), '\xc0');
    case 'f':
        return append_word(converter, BYTES("false"), '\xc2');
    case 't':
        return append_word(converter, BYTES("true"), '\xc3');
    default:
        return append_number(converter, number);
    }
}

/* A value at the cursor: a scalar, or the bracket that opens a container. */
static int append_value(struct converter *converter, bool *opened)
{
    struct bytes number = {0};
    bool is_true;
    int code;

    pass_blanks(converter);
    if (converter->at == converter->end)
        return ERROR_MALFORMED;
    *opened = *converter->at == '{' || *converter->at == '[';
    is_true = *converter->at == 't';
    if (*opened) {
        note_value(converter, false, number);
        return open_level(converter, *converter->at == '{');
    }
    code = append_scalar(converter, &number);
    if (code == 0)
        note_value(converter, is_true, number);
    return code;
}

static int append_key(struct converter *converter, struct level *level)
{
    size_t from = converter->out->length;

    pass_blanks(converter);
    if (converter->at == converter->end || *converter->at != '"' || append_string(converter) < 0)
        return ERROR_MALFORMED;
    if (converter->blob_count)
        note_key(converter, level, from);
    pass_blanks(converter);
    if (converter->at == converter->end || *converter->at++ != ':')
        return ERROR_MALFORMED;
    return 0;
}

/* Behind a bracket that opened, or behind a value: closes what ends there, and stands before the next value.
 */
static int go_on(struct converter *converter, bool opened)
{
    while (converter->depth) {
        struct level *level = &converter->levels[converter->depth - 1];

        pass_blanks(converter);
        if (converter->at == converter->end)
            return ERROR_MALFORMED;
        if (*converter->at == (level->object ? '}' : ']')) {
            close_level(converter);
            opened = false;
            continue;
        }
        if (!opened && *converter->at++ != ',')
            return ERROR_MALFORMED;
        level->count++;
        return level->object ? append_key(converter, level) : 0;
    }
    return 0;
}

static int convert(struct converter *converter)
{
    bool opened;

    do {
        int code = append_value(converter, &opened);

        if (code == 0)
            code = go_on(converter, opened);
        if (code)
            return code;
    } while (converter->depth);
    pass_blanks(converter);
    return converter->at == converter->end ? 0 : ERROR_MALFORMED;
}

static void read_blobs(struct converter *converter, struct bytes attachments)
{
    struct wire_reader list;
    int count = attachments.length ? wire_list_open(&list, attachments) : 0;

    converter->blob_count = 0;
    while (count-- > 0 && converter->blob_count < SOCKETIO_ATTACHMENTS_MAX &&
           wire_list_text(&list, &converter->blobs[converter->blob_count]) == 0)
        converter->blob_count++;
}

int json_msgpack_append(struct bytes json, struct bytes attachments, struct buffer *out)
{
    struct converter converter; /* its arrays are filled as far as they are used */
    size_t before = out->length;
    int code;

    converter.at = json.data;
    converter.end = json.data + json.length;
    converter.out = out;
    converter.depth = 0;
    read_blobs(&converter, attachments);
    code = convert(&converter);
    if (code)
        out->length = before;
    return code;
}
