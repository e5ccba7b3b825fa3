/* The helpers for JSON of hubbub.h; they need no app. */
#include "app/hubbub.h"
#include "common/buffer.h"
#include "common/memory.h"
#include "proto/json_scan.h"
#include "proto/json_text.h"
#include "proto/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* What stands there, in a copy of the arguments as an event; start: where they begin in it. */
static int find(const char *json, const char *path, struct buffer *copy, size_t *start,
                struct json_value *out)
{
    struct bytes text = bytes_from_text(json);
    struct json_path steps;
    struct json_event event;

    if (!json || !path || json_path_parse(bytes_from_text(path), &steps) < 0)
        return HUBBUB_ERROR_ARGUMENT;
    if (!utf8_valid(text))
        return HUBBUB_ERROR_JSON;
    buffer_append_text(copy, text.length ? "[0," : "[0");
    *start = copy->length;
    buffer_append_bytes(copy, text);
    buffer_append_char(copy, ']');
    if (json_event_begin(buffer_bytes(copy), &event) < 0 || json_event_finish(&event, &steps, 1, out) < 0)
        return HUBBUB_ERROR_JSON;
    return out->kind == JSON_ABSENT ? HUBBUB_ERROR_NOT_FOUND : 0;
}

int hubbub_json_find(const char *json, const char *path, const char **out, size_t *length)
{
    struct buffer copy = {0};
    struct json_value value;
    size_t start;
    int result = out && length ? find(json, path, &copy, &start, &value) : HUBBUB_ERROR_ARGUMENT;

    if (!result) {
        *out = json + (value.text.data - copy.data - start);
        *length = value.text.length;
    }
    buffer_done(&copy);
    return result;
}

char *hubbub_json_text(const char *json, const char *path)
{
    struct buffer copy = {0};
    struct json_value value;
    size_t start, length;
    char *text = NULL;

    if (find(json, path, &copy, &start, &value) == 0 && value.kind == JSON_STRING) {
        text = memory_new(value.text.length);
        if (json_string_decode(value, text, value.text.length - 1, &length) < 0 ||
            memchr(text, '\0', length)) {
            free(text);
            text = NULL;
        } else {
            text[length] = '\0';
        }
    }
    buffer_done(&copy);
    return text;
}

int hubbub_json_integer(const char *json, const char *path, long long *out)
{
    struct buffer copy = {0};
    struct json_value value;
    size_t start;
    int result = out ? find(json, path, &copy, &start, &value) : HUBBUB_ERROR_ARGUMENT;

    if (!result && json_integer_decode(value, out) < 0)
        result = HUBBUB_ERROR_NOT_FOUND;
    buffer_done(&copy);
    return result;
}

/* -- writing --------------------------------------------------------------------------------- */

enum size { SIZE_INT, SIZE_LONG, SIZE_LONG_LONG, SIZE_SIZE };

static enum size read_size(const char **at)
{
    if (**at == 'z') {
        ++*at;
        return SIZE_SIZE;
    }
    if (**at != 'l')
        return SIZE_INT;
    if (*++*at != 'l')
        return SIZE_LONG;
    ++*at;
    return SIZE_LONG_LONG;
}

static void append_text(struct buffer *out, const char *text, size_t length)
{
    if (text)
        json_append_string(out, bytes_make(text, length));
    else
        buffer_append_literal(out, "null");
}

/* The conversion behind a '%'.  False for one that is not known. */
static bool convert(struct buffer *out, const char **at, va_list *arguments)
{
    const char *text;
    enum size size;

    if (**at == '%') {
        buffer_append_char(out, *(*at)++);
        return true;
    }
    if (**at == 's') {
        ++*at;
        text = va_arg(*arguments, const char *);
        append_text(out, text, text ? strlen(text) : 0);
        return true;
    }
    if (strncmp(*at, ".*s", 3) == 0) {
        int limit = va_arg(*arguments, int);

        *at += 3;
        text = va_arg(*arguments, const char *);
        append_text(out, text, text ? (limit < 0 ? strlen(text) : strnlen(text, (size_t)limit)) : 0);
        return true;
    }
    size = read_size(at);
    switch (*(*at)++) {
    case 'd':
    case 'i':
        buffer_printf(out, "%lld",
                      size == SIZE_LONG_LONG ? va_arg(*arguments, long long)
                      : size == SIZE_LONG    ? va_arg(*arguments, long)
                      : size == SIZE_SIZE    ? (long long)va_arg(*arguments, ssize_t)
                                             : va_arg(*arguments, int));
        return true;
    case 'u':
        buffer_append_u64(out, size == SIZE_LONG_LONG ? va_arg(*arguments, unsigned long long)
                               : size == SIZE_LONG    ? va_arg(*arguments, unsigned long)
                               : size == SIZE_SIZE    ? va_arg(*arguments, size_t)
                                                      : va_arg(*arguments, unsigned));
        return true;
    default:
        return false;
    }
}

/* Whether it is JSON texts joined by commas. */
static bool is_json(struct bytes text)
{
    struct json_cursor cursor = json_list_cursor(text);
    struct json_value value;
    int result;

    if (!utf8_valid(text))
        return false;
    while ((result = json_cursor_next(&cursor, &value)) == 0) {
    }
    return result == ERROR_NOT_FOUND;
}

char *hubbub_json(const char *format, ...)
{
    struct buffer out = {0};
    va_list arguments;
    bool good = format;

    va_start(arguments, format);
    for (const char *at = format; good && *at;)
        if (*at++ == '%')
            good = convert(&out, &at, &arguments);
        else
            buffer_append_char(&out, at[-1]);
    va_end(arguments);
    if (!good || !is_json(buffer_bytes(&out))) {
        buffer_done(&out);
        return NULL;
    }
    buffer_append_char(&out, '\0');
    return out.data;
}
