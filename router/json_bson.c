/*
 * The converter from JSON to BSON; see json_bson.h.  It owns a stack of open containers and the keys of the
 * open objects; archive_document.c calls it.  Its one surprising rule: each value is scanned whole before it
 * is walked, so the walk itself checks nothing of the grammar.
 */
#include "router/json_bson.h"

#include "common/memory.h"
#include "proto/json_plain.h"
#include "proto/json_scan.h"
#include "proto/utf8.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* bsonspec.org */
enum bson_element {
    ELEMENT_DOUBLE = 1,
    ELEMENT_STRING = 2,
    ELEMENT_DOCUMENT = 3,
    ELEMENT_ARRAY = 4,
    ELEMENT_BOOLEAN = 8,
    ELEMENT_NULL = 10,
    ELEMENT_INT32 = 16,
    ELEMENT_INT64 = 18,
};

enum { FEW_KEYS = 8 };

struct level {
    size_t start;      /* of the container, in out */
    size_t first_key;  /* of the object, in keys */
    uint32_t elements; /* of the array */
    bool object;
};

/* A key of an open object; it stands in out, where it was written. */
struct key {
    size_t start, length;
};

struct conversion {
    struct buffer *out;
    size_t start, limit; /* of the whole array */
    struct level levels[JSON_BSON_DEPTH_MAX + 1];
    unsigned depth; /* open containers, the list counted */
    struct key *keys;
    size_t key_count, key_capacity;
    struct buffer number; /* scratch */
};

/* From the opening quote to behind the closing one. */
static const char *pass_string(const char *at)
{
    for (at++; *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at + 1;
}

/* To the first character that no number and no word has. */
static const char *pass_plain(const char *at, const char *end)
{
    while (at < end && *at != ',' && *at != ']' && *at != '}' && *at != ' ' && *at != '\n' && *at != '\r' &&
           *at != '\t')
        at++;
    return at;
}

static void put_little(struct buffer *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        buffer_append_char(out, (char)(value >> (8 * i)));
}

static void set_length(struct buffer *out, size_t at, size_t length)
{
    for (unsigned i = 0; i < 4; i++)
        out->data[at + i] = (char)(length >> (8 * i));
}

static void open_container(struct conversion *conversion, bool object)
{
    conversion->levels[conversion->depth++] = (struct level){
        .start = conversion->out->length, .first_key = conversion->key_count, .object = object};
    put_little(conversion->out, 0, 4);
}

static struct bytes key_bytes(const struct conversion *conversion, size_t i)
{
    return bytes_make(conversion->out->data + conversion->keys[i].start, conversion->keys[i].length);
}

static int compare_keys(const void *left, const void *right, void *argument)
{
    const struct key *a = left, *b = right;
    const char *data = argument;

    if (a->length != b->length)
        return a->length < b->length ? -1 : 1;
    return memcmp(data + a->start, data + b->start, a->length);
}

/* Whether a key of the innermost object stands there twice.  May change the order of the keys. */
static bool repeats_a_key(struct conversion *conversion, size_t first)
{
    size_t count = conversion->key_count - first;

    if (count <= FEW_KEYS) {
        for (size_t i = first; i < conversion->key_count; i++)
            for (size_t j = first; j < i; j++)
                if (bytes_equal(key_bytes(conversion, i), key_bytes(conversion, j)))
                    return true;
        return false;
    }
    qsort_r(conversion->keys + first, count, sizeof *conversion->keys, compare_keys, conversion->out->data);
    for (size_t i = first + 1; i < conversion->key_count; i++)
        if (bytes_equal(key_bytes(conversion, i), key_bytes(conversion, i - 1)))
            return true;
    return false;
}

static int close_container(struct conversion *conversion)
{
    struct level *level = &conversion->levels[--conversion->depth];

    buffer_append_char(conversion->out, 0);
    set_length(conversion->out, level->start, conversion->out->length - level->start);
    if (!level->object)
        return 0;
    if (repeats_a_key(conversion, level->first_key))
        return ERROR_UNSUPPORTED;
    conversion->key_count = level->first_key;
    return 0;
}

/* Appends what a string stands for, which is no longer than its text. */
static int put_text(struct buffer *out, struct bytes string, size_t *length)
{
    char *to = buffer_reserve(out, string.length);

    if (json_string_decode((struct json_value){string, JSON_STRING}, to, string.length, length))
        return ERROR_UNSUPPORTED;
    buffer_extend(out, *length);
    return 0;
}

/* Appends an object's key, and notes it. */
static int put_key(struct conversion *conversion, struct bytes string)
{
    struct buffer *out = conversion->out;
    size_t start = out->length;
    size_t length;
    int result = put_text(out, string, &length);

    if (result)
        return result;
    if (memchr(out->data + start, 0, length) || (length && out->data[start] == '$'))
        return ERROR_UNSUPPORTED;
    buffer_append_char(out, 0);
    if (conversion->key_count == conversion->key_capacity) {
        conversion->key_capacity = conversion->key_capacity ? conversion->key_capacity * 2 : 64;
        conversion->keys =
            memory_resize(conversion->keys, conversion->key_capacity * sizeof *conversion->keys);
    }
    conversion->keys[conversion->key_count++] = (struct key){start, length};
    return 0;
}

static int put_string(struct buffer *out, struct bytes string)
{
    size_t start = out->length;
    size_t length;
    int result;

    put_little(out, 0, 4);
    result = put_text(out, string, &length);
    if (result)
        return result;
    buffer_append_char(out, 0);
    set_length(out, start, length + 1);
    return 0;
}

/* Whether a number is written as a whole one and fits 64 bits.  -0 is none: only a double keeps its sign. */
static bool whole_number(struct bytes text, int64_t *out)
{
    bool negative = text.data[0] == '-';
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    unsigned long long value;

    if (bytes_parse_u64(bytes_make(text.data + negative, text.length - negative), &value) || value > limit ||
        (negative && value == 0))
        return false;
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

/* Appends the number; gives its type. */
static int put_number(struct conversion *conversion, struct bytes text, enum bson_element *type)
{
    int64_t whole;
    double real;
    uint64_t bits;

    if (whole_number(text, &whole)) {
        bool small = whole >= INT32_MIN && whole <= INT32_MAX;

        put_little(conversion->out, (uint64_t)whole, small ? 4 : 8);
        *type = small ? ELEMENT_INT32 : ELEMENT_INT64;
        return 0;
    }
    buffer_clear(&conversion->number);
    buffer_append_bytes(&conversion->number, text);
    buffer_append_char(&conversion->number, 0);
    real = strtod(conversion->number.data, NULL);
    if (!isfinite(real))
        return ERROR_UNSUPPORTED;
    memcpy(&bits, &real, sizeof bits);
    put_little(conversion->out, bits, 8);
    *type = ELEMENT_DOUBLE;
    return 0;
}

/* The type and the key of the element that starts at *at; passes an object's key over.  Gives where the type
   stands. */
static int begin_element(struct conversion *conversion, const char **at, const char *end, size_t *type)
{
    struct level *level = &conversion->levels[conversion->depth - 1];
    struct buffer *out = conversion->out;
    const char *key = *at;

    *type = out->length;
    buffer_append_char(out, 0);
    if (!level->object) {
        buffer_append_u64(out, level->elements++);
        buffer_append_char(out, 0);
        return 0;
    }
    *at = pass_string(key);
    if (put_key(conversion, bytes_make(key, (size_t)(*at - key))))
        return ERROR_UNSUPPORTED;
    *at = json_pass_blanks(json_pass_blanks(*at, end) + 1, end);
    return 0;
}

/* Appends what is no container; passes it over. */
static int put_scalar(struct conversion *conversion, const char **at, const char *end,
                      enum bson_element *type)
{
    const char *start = *at;

    if (*start == '"') {
        *type = ELEMENT_STRING;
        *at = pass_string(start);
        return put_string(conversion->out, bytes_make(start, (size_t)(*at - start)));
    }
    *at = pass_plain(start, end);
    if (*start == 'n') {
        *type = ELEMENT_NULL;
        return 0;
    }
    if (*start == 't' || *start == 'f') {
        *type = ELEMENT_BOOLEAN;
        buffer_append_char(conversion->out, *start == 't');
        return 0;
    }
    return put_number(conversion, bytes_make(start, (size_t)(*at - start)), type);
}

/* Passes the brackets that close behind a value, and a comma: *at is then where the next element starts. */
static int close_elements(struct conversion *conversion, const char **at, const char *end)
{
    int result = 0;

    while (!result && conversion->depth > 1) {
        *at = json_pass_blanks(*at, end);
        if (*(*at)++ == ',') {
            *at = json_pass_blanks(*at, end);
            break;
        }
        result = close_container(conversion);
    }
    return result;
}

/* Appends one value to the list, which is the only container open. */
static int put_value(struct conversion *conversion, struct bytes value)
{
    const char *at = value.data, *end = value.data + value.length;
    int result;

    do {
        enum bson_element type;
        size_t type_at;

        if (conversion->out->length - conversion->start > conversion->limit)
            return ERROR_TOO_LARGE;
        result = begin_element(conversion, &at, end, &type_at);
        if (result)
            return result;
        if (*at == '{' || *at == '[') {
            bool object = *at == '{';

            if (conversion->depth > JSON_BSON_DEPTH_MAX)
                return ERROR_TOO_DEEP;
            conversion->out->data[type_at] = object ? ELEMENT_DOCUMENT : ELEMENT_ARRAY;
            open_container(conversion, object);
            at = json_pass_blanks(at + 1, end);
            if (*at != '}' && *at != ']')
                continue;
        } else {
            result = put_scalar(conversion, &at, end, &type);
            if (result)
                return result;
            conversion->out->data[type_at] = (char)type;
        }
        result = close_elements(conversion, &at, end);
    } while (!result && conversion->depth > 1);
    return result;
}

int json_bson_append_array(struct buffer *out, struct bytes list, size_t limit)
{
    struct conversion conversion = {.out = out, .start = out->length, .limit = limit};
    struct json_cursor cursor = json_list_cursor(list);
    struct json_value value;
    int result = utf8_valid(list) ? 0 : ERROR_UTF8;

    assert(limit <= 1U << 30);
    open_container(&conversion, false);
    while (!result && (result = json_cursor_next(&cursor, &value)) == 0)
        result = put_value(&conversion, value.text);
    if (result == ERROR_NOT_FOUND)
        result = close_container(&conversion);
    if (!result && out->length - conversion.start > limit)
        result = ERROR_TOO_LARGE;
    if (result)
        out->length = conversion.start;
    free(conversion.keys);
    buffer_done(&conversion.number);
    return result;
}
