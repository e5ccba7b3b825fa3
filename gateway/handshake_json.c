/*
 * A handshake as JSON; see handshake.h.  The link's records ask for it, seldom.  Its one surprising rule:
 * what comes out holds no control characters, not even those from U+007F on that JSON allows, because it may
 * come to stand in a protocol of lines and on a terminal.
 */
#include "gateway/handshake_content.h"

#include "common/memory.h"
#include "common/table.h"
#include "proto/utf8.h"

#include <stdlib.h>
#include <time.h>

enum { GROWTH = 6 }; /* a byte may become so many in JSON */

/* A character of a JSON string.  U+007F to U+009F are escaped as well: the text may come to stand on a
 * terminal. */
static void append_character(struct buffer *out, unsigned c)
{
    if (c == '"' || c == '\\') {
        buffer_append_char(out, '\\');
        buffer_append_char(out, (char)c);
    } else if (c < 0x20 || (c >= 0x7f && c < 0xa0)) {
        buffer_printf(out, "\\u%04x", c);
    } else if (c < 0x80) {
        buffer_append_char(out, (char)c);
    } else {
        buffer_append_char(out, (char)(0xc0 | c >> 6));
        buffer_append_char(out, (char)(0x80 | (c & 0x3f)));
    }
}

static void append_latin1(struct buffer *out, struct bytes text)
{
    for (size_t i = 0; i < text.length; i++)
        append_character(out, (unsigned char)text.data[i]);
}

static void append_latin1_string(struct buffer *out, struct bytes text)
{
    buffer_append_char(out, '"');
    append_latin1(out, text);
    buffer_append_char(out, '"');
}

/* The part of a JSON string for a whole character of UTF-8. */
static void append_utf8_character(struct buffer *out, const char *character, size_t length)
{
    unsigned char first = (unsigned char)character[0];

    if (length == 1)
        append_character(out, first);
    else if (length == 2)
        append_character(out, (first & 0x1fU) << 6 | ((unsigned char)character[1] & 0x3fU));
    else
        buffer_append(out, character, length);
}

/* Any bytes, as TextDecoder takes them: what is no UTF-8 becomes U+FFFD, one for each longest beginning of a
 * character. */
static void append_utf8(struct buffer *out, struct bytes text)
{
    struct utf8_state state = {0};
    size_t start = 0;

    for (size_t i = 0; i < text.length; i++) {
        if (utf8_feed(&state, bytes_make(text.data + i, 1)) < 0) {
            buffer_append_literal(out, "\xef\xbf\xbd");
            if (i > start)
                i--; /* this byte ended another character, and may begin one */
            start = i + 1;
            state = (struct utf8_state){0};
        } else if (utf8_complete(&state)) {
            append_utf8_character(out, text.data + start, i + 1 - start);
            start = i + 1;
        }
    }
    if (start < text.length)
        buffer_append_literal(out, "\xef\xbf\xbd");
}

/* A JSON text that a client sent, on one line: outside of strings control characters can only be blanks, and
   inside there are only those from U+007F on. */
static void append_json(struct buffer *out, struct bytes json)
{
    for (size_t i = 0; i < json.length; i++) {
        unsigned char c = (unsigned char)json.data[i];

        if (c < 0x20)
            buffer_append_char(out, ' ');
        else if (c == 0x7f)
            append_character(out, c);
        else if (c == 0xc2 && i + 1 < json.length && (unsigned char)json.data[i + 1] < 0xa0)
            append_character(out, (unsigned char)json.data[++i]);
        else
            buffer_append_char(out, (char)c);
    }
}

static bool named_before(const struct handshake_content *content, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (bytes_equal(content->fields[i].name, content->fields[index].name))
            return true;
    return false;
}

/* The values of all fields that have the name of that one, which is the first of them. */
static void append_values(struct buffer *out, const struct handshake_content *content, size_t index)
{
    static const char *const separators[] = {
        [HANDSHAKE_JOIN_COMMA] = ", ", [HANDSHAKE_JOIN_SEMICOLON] = "; ", [HANDSHAKE_JOIN_ARRAY] = "\",\""};
    const struct handshake_field *first = &content->fields[index];

    buffer_append_text(out, first->joining == HANDSHAKE_JOIN_ARRAY ? "[\"" : "\"");
    append_latin1(out, first->value);
    for (size_t i = index + 1; i < content->field_count && first->joining != HANDSHAKE_JOIN_FIRST; i++)
        if (bytes_equal(content->fields[i].name, first->name)) {
            buffer_append_text(out, separators[first->joining]);
            append_latin1(out, content->fields[i].value);
        }
    buffer_append_text(out, first->joining == HANDSHAKE_JOIN_ARRAY ? "\"]" : "\"");
}

static void append_headers(struct buffer *out, const struct handshake_content *content, bool hide_token)
{
    const char *separator = "";
    bool hide = hide_token && handshake_content_bearer(content).length;

    for (size_t i = 0; i < content->field_count; i++) {
        if (named_before(content, i) || (hide && bytes_equal_text(content->fields[i].name, "authorization")))
            continue;
        buffer_append_text(out, separator);
        append_latin1_string(out, content->fields[i].name);
        buffer_append_char(out, ':');
        append_values(out, content, i);
        separator = ",";
    }
}

/* Socket.IO's word for that is xdomain, whatever the origin. */
static bool has_origin(const struct handshake_content *content)
{
    for (size_t i = 0; i < content->field_count; i++)
        if (bytes_equal_text(content->fields[i].name, "origin"))
            return content->fields[i].value.length != 0;
    return false;
}

static void append_time(struct buffer *out, uint64_t issued)
{
    time_t seconds = (time_t)(issued / 1000);
    struct tm parts;

    gmtime_r(&seconds, &parts);
    buffer_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", parts.tm_year + 1900, parts.tm_mon + 1,
                  parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, (unsigned)(issued % 1000));
}

/* -- the query -------------------------------------------------------------------------------- */

struct parameter {
    struct bytes name;  /* the inside of a JSON string, as equal names give equal ones */
    struct bytes value; /* not decoded */
};

static struct bytes parameter_key(const void *entry)
{
    const struct parameter *parameter = entry;

    return parameter->name;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decodes, with '+' for a blank; a '%' without its digits stands for itself. */
static void append_decoded(struct buffer *out, struct bytes text, struct buffer *scratch)
{
    buffer_clear(scratch);
    for (size_t i = 0; i < text.length; i++) {
        int high = text.data[i] == '%' && i + 2 < text.length ? hex_digit(text.data[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text.data[i + 2]) : -1;

        if (low >= 0) {
            buffer_append_char(scratch, (char)(high << 4 | low));
            i += 2;
        } else {
            buffer_append_char(scratch, text.data[i] == '+' ? ' ' : text.data[i]);
        }
    }
    append_utf8(out, buffer_bytes(scratch));
}

/* Cuts the next parameter off the front.  False at the end. */
static bool next_parameter(struct bytes *rest, struct bytes *name, struct bytes *value)
{
    while (rest->length) {
        const char *end = memchr(rest->data, '&', rest->length);
        size_t length = end ? (size_t)(end - rest->data) : rest->length;
        const char *equals = memchr(rest->data, '=', length);

        *name = bytes_make(rest->data, equals ? (size_t)(equals - rest->data) : length);
        *value = equals ? bytes_make(equals + 1, length - name->length - 1) : (struct bytes){"", 0};
        *rest = bytes_make(rest->data + length + (end ? 1 : 0), rest->length - length - (end ? 1 : 0));
        if (length)
            return true;
    }
    return false;
}

static bool is_token(struct bytes name, struct buffer *decoded, struct buffer *scratch)
{
    buffer_clear(decoded);
    append_decoded(decoded, name, scratch);
    return bytes_equal_text(buffer_bytes(decoded), "token");
}

/* The target, with the parameters token of its query cut out. */
static void append_url(struct buffer *out, struct bytes target, bool hide_token)
{
    const char *mark = hide_token ? memchr(target.data, '?', target.length) : NULL;
    struct buffer url = {0}, decoded = {0}, scratch = {0};
    struct bytes rest, name, value;

    if (!mark) {
        append_latin1_string(out, target);
        return;
    }
    buffer_append(&url, target.data, (size_t)(mark + 1 - target.data));
    rest = bytes_make(mark + 1, target.length - url.length);
    while (next_parameter(&rest, &name, &value)) {
        if (is_token(name, &decoded, &scratch))
            continue;
        if (url.data[url.length - 1] != '?')
            buffer_append_char(&url, '&');
        buffer_append_bytes(&url, name);
        if (value.data == name.data + name.length + 1) {
            buffer_append_char(&url, '=');
            buffer_append_bytes(&url, value);
        }
    }
    append_latin1_string(out, buffer_bytes(&url));
    buffer_done(&url);
    buffer_done(&decoded);
    buffer_done(&scratch);
}

/* A name stands where it stood first, with its last value, as in an object of JavaScript's. */
static void append_query(struct buffer *out, struct bytes target, bool hide_token)
{
    const char *mark = memchr(target.data, '?', target.length);
    struct bytes rest =
        mark ? bytes_make(mark + 1, target.length - (size_t)(mark + 1 - target.data)) : (struct bytes){0};
    struct bytes name, value;
    struct buffer decoded_names = {0}, scratch = {0};
    struct parameter *parameters =
        memory_new((rest.length / 2 + 1) * sizeof *parameters); /* a letter and '&' each */
    struct table by_name;
    const char *separator = "\"";
    size_t count = 0;

    table_init(&by_name, parameter_key);
    buffer_reserve(&decoded_names, rest.length * GROWTH + 1); /* so that names stay where they are */
    while (next_parameter(&rest, &name, &value)) {
        size_t start = decoded_names.length;
        struct parameter *known;

        append_decoded(&decoded_names, name, &scratch);
        parameters[count].name = bytes_make(decoded_names.data + start, decoded_names.length - start);
        known = table_find(&by_name, parameters[count].name);
        if (!known) {
            known = &parameters[count++];
            table_insert(&by_name, known);
        }
        known->value = value;
    }
    for (size_t i = 0; i < count; i++) {
        if (hide_token && bytes_equal_text(parameters[i].name, "token"))
            continue;
        buffer_append_text(out, separator);
        separator = ",\"";
        buffer_append_bytes(out, parameters[i].name);
        buffer_append_literal(out, "\":\"");
        append_decoded(out, parameters[i].value, &scratch);
        buffer_append_char(out, '"');
    }
    table_done(&by_name);
    free(parameters);
    buffer_done(&scratch);
    buffer_done(&decoded_names);
}

void handshake_append_json(const struct handshake *handshake, struct bytes auth, bool hide_token,
                           struct buffer *out)
{
    struct handshake_content content;

    if (handshake_content_read(handshake_bytes(handshake), &content) < 0)
        abort(); /* it was made here or checked */
    buffer_append_literal(out, "{\"headers\":{");
    append_headers(out, &content, hide_token);
    buffer_append_literal(out, "},\"time\":\"");
    append_time(out, content.issued);
    buffer_append_literal(out, "\",\"issued\":");
    buffer_append_u64(out, content.issued);
    buffer_append_literal(out, ",\"address\":");
    append_latin1_string(out, content.address);
    buffer_append_literal(out, ",\"xdomain\":");
    buffer_append_text(out, has_origin(&content) ? "true" : "false");
    buffer_append_literal(out, ",\"secure\":");
    buffer_append_text(out, content.secure ? "true" : "false");
    buffer_append_literal(out, ",\"url\":");
    append_url(out, content.target, hide_token);
    buffer_append_literal(out, ",\"query\":{");
    append_query(out, content.target, hide_token);
    buffer_append_literal(out, "},\"auth\":");
    append_json(out, auth.length ? auth : BYTES("{}"));
    buffer_append_char(out, '}');
}
