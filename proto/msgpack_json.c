/*
 * From msgpack to JSON; see msgpack_json.h.  Owns nothing; socketio_msgpack.c calls it.  Its one surprising
 * rule: a key is written before its value is known, and taken back when that is undefined.
 */
#include "proto/msgpack_json.h"

#include "proto/json_scan.h"
#include "proto/json_text.h"
#include "proto/socketio.h"
#include "proto/utf8.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DATE_MAX     8640000000000000LL /* ms on either side of 1970 (ECMA-262, "Time Values and Time Range") */
#define DAY_MS       86400000LL
#define FLOAT_DIGITS 17   /* that tell every double from its neighbours */
#define PLAIN_MAX    1e21 /* whole numbers are written out below it */

/* A container that is open. */
struct level {
    uint32_t left; /* values that are still to come */
    bool map;
    bool empty;    /* nothing was written of it */
    size_t before; /* map: where the pair begins that is being written */
};

struct writer {
    struct buffer *out;
    struct wire_list *attachments;
    struct level levels[JSON_DEPTH_MAX];
    unsigned depth, depth_limit;
};

/* -- scalars --------------------------------------------------------------------------------- */

static void append_float(struct buffer *out, double number)
{
    char text[40];

    if (!isfinite(number)) {
        buffer_append_literal(out, "null");
        return;
    }
    if (fabs(number) < PLAIN_MAX && floor(number) == number)
        snprintf(text, sizeof text, "%.0f", number); /* keeps the sign of -0 */
    else
        for (int digits = FLOAT_DIGITS - 2; digits <= FLOAT_DIGITS; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, number);
            if (strtod(text, NULL) == number)
                break;
        }
    buffer_append_text(out, text);
}

static int append_string(struct buffer *out, struct bytes text)
{
    if (!utf8_valid(text))
        return ERROR_UTF8;
    json_append_string(out, text);
    return 0;
}

static int append_placeholder(struct writer *writer, struct bytes blob)
{
    if (writer->depth == writer->depth_limit)
        return ERROR_TOO_DEEP;
    if (writer->attachments->count == SOCKETIO_ATTACHMENTS_MAX)
        return ERROR_TOO_LARGE;
    buffer_append_literal(writer->out, "{\"_placeholder\":true,\"num\":");
    buffer_append_u64(writer->out, writer->attachments->count);
    buffer_append_char(writer->out, '}');
    wire_list_put_blob(writer->attachments, blob);
    return 0;
}

/* The year, month and day of a day counted from 1970, in the Gregorian calendar at all times.  Counts from
   the first of March of a year that is divisible by 400, so that the leap day is the last of its year. */
static void civil_of(long long day, long long *year, int *month, int *day_of_month)
{
    long long since = day + 719468, era = (since >= 0 ? since : since - 146096) / 146097;
    long long of_era = since - era * 146097;
    long long year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    long long of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int shifted = (int)((5 * of_year + 2) / 153); /* months since March */

    *day_of_month = (int)(of_year - (153 * shifted + 2) / 5 + 1);
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

/* As Date.prototype.toJSON(). */
static void append_date(struct buffer *out, struct bytes big_endian)
{
    uint64_t bits = 0;
    long long ms, day, of_day, year;
    int month, day_of_month;

    for (size_t i = 0; i < big_endian.length; i++)
        bits = bits << 8 | (unsigned char)big_endian.data[i];
    ms = (long long)bits;
    if (ms < -DATE_MAX || ms > DATE_MAX) {
        buffer_append_literal(out, "null");
        return;
    }
    day = (ms >= 0 ? ms : ms - (DAY_MS - 1)) / DAY_MS;
    of_day = ms - day * DAY_MS;
    civil_of(day, &year, &month, &day_of_month);
    if (year >= 0 && year <= 9999)
        buffer_printf(out, "\"%04lld", year);
    else
        buffer_printf(out, "\"%c%06lld", year < 0 ? '-' : '+', llabs(year));
    buffer_printf(out, "-%02d-%02dT%02lld:%02lld:%02lld.%03lldZ\"", month, day_of_month, of_day / 3600000,
                  of_day / 60000 % 60, of_day / 1000 % 60, of_day % 1000);
}

static int append_extension(struct writer *writer, const struct msgpack_token *token)
{
    if (token->extension != 0)
        return ERROR_UNSUPPORTED;
    if (!token->fixed)
        return append_placeholder(writer, token->bytes);
    if (token->bytes.length == 1)
        buffer_append_literal(writer->out, "null");
    else if (token->bytes.length == 8)
        append_date(writer->out, token->bytes);
    else
        return ERROR_UNSUPPORTED;
    return 0;
}

static int append_scalar(struct writer *writer, const struct msgpack_token *token)
{
    struct buffer *out = writer->out;

    switch (token->kind) {
    case MSGPACK_NIL:
        buffer_append_literal(out, "null");
        return 0;
    case MSGPACK_FALSE:
        buffer_append_literal(out, "false");
        return 0;
    case MSGPACK_TRUE:
        buffer_append_literal(out, "true");
        return 0;
    case MSGPACK_UNSIGNED:
        buffer_append_u64(out, token->u64);
        return 0;
    case MSGPACK_NEGATIVE:
        buffer_append_char(out, '-');
        buffer_append_u64(out, 0 - (uint64_t)token->i64);
        return 0;
    case MSGPACK_FLOAT:
        append_float(out, token->number);
        return 0;
    case MSGPACK_STRING:
        return append_string(out, token->bytes);
    case MSGPACK_BINARY:
        return append_placeholder(writer, token->bytes);
    case MSGPACK_EXTENSION:
        return append_extension(writer, token);
    default:
        return ERROR_MALFORMED;
    }
}

/* -- containers ------------------------------------------------------------------------------ */

static int open_level(struct writer *writer, const struct msgpack_token *token)
{
    bool map = token->kind == MSGPACK_MAP;

    if (writer->depth == writer->depth_limit)
        return ERROR_TOO_DEEP;
    buffer_append_char(writer->out, map ? '{' : '[');
    writer->levels[writer->depth++] = (struct level){.left = token->count, .map = map, .empty = true};
    return 0;
}

/* Closes what is complete. */
static void close_levels(struct writer *writer)
{
    while (writer->depth && writer->levels[writer->depth - 1].left == 0)
        buffer_append_char(writer->out, writer->levels[--writer->depth].map ? '}' : ']');
}

/* What stands before a value: a comma, and in a map its key. */
static int begin_value(struct writer *writer, struct level *level, struct msgpack_cursor *cursor)
{
    struct msgpack_token key;
    int code;

    level->before = writer->out->length;
    level->left--;
    if (!level->empty)
        buffer_append_char(writer->out, ',');
    if (!level->map)
        return 0;
    if (msgpack_next(cursor, &key) < 0)
        return ERROR_MALFORMED;
    if (key.kind != MSGPACK_STRING)
        return ERROR_UNSUPPORTED;
    code = append_string(writer->out, key.bytes);
    if (code == 0)
        buffer_append_char(writer->out, ':');
    return code;
}

static int append_value(struct writer *writer, struct msgpack_cursor *cursor)
{
    struct level *level = writer->depth ? &writer->levels[writer->depth - 1] : NULL;
    struct msgpack_token token;
    int code = level ? begin_value(writer, level, cursor) : 0;

    if (code)
        return code;
    if (msgpack_next(cursor, &token) < 0)
        return ERROR_MALFORMED;
    if (level && level->map && msgpack_is_undefined(&token)) {
        writer->out->length = level->before;
        return 0;
    }
    if (level)
        level->empty = false;
    if (token.kind == MSGPACK_ARRAY || token.kind == MSGPACK_MAP)
        return open_level(writer, &token);
    return append_scalar(writer, &token);
}

int msgpack_json_append(struct msgpack_cursor *cursor, unsigned depth, size_t limit, struct buffer *out,
                        struct wire_list *attachments)
{
    struct writer writer; /* its levels are filled when they are opened */
    int code;

    assert(depth >= 1 && depth <= JSON_DEPTH_MAX);
    writer.out = out;
    writer.attachments = attachments;
    writer.depth = 0;
    writer.depth_limit = depth;
    do {
        code = append_value(&writer, cursor);
        if (code)
            return code;
        close_levels(&writer);
        if (out->length > limit)
            return ERROR_TOO_LARGE;
    } while (writer.depth);
    return 0;
}
