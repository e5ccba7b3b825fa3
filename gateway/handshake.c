/*
 * The compact block; see handshake.h, and handshake_json.c for its JSON.  An Engine.IO session owns one; ASK
 * records and moves between gateways read it.  Its one surprising rule: the block is the format that travels,
 * so a name's number in the table never changes, and a new kind of block takes a new version.
 *
 *   version (1, or 2 of a client that came over TLS), issued (varint), address, target,
 *   then for each field: the name's number, or 0 and the name; the value
 *
 * A text is its length as a varint (seven bits a byte, the lowest first), then its bytes.
 */
#include "gateway/handshake.h"

#include "common/memory.h"
#include "gateway/handshake_content.h"

#include <assert.h>
#include <stdlib.h>
#include <strings.h>

enum {
    VERSION = 1,
    VERSION_SECURE = 2,
    VARINT_MAX = 10,
    NAME_LITERAL = 0,
};

#define ISSUED_MAX 253402300799999U /* the last millisecond of the year 9999 */

struct handshake {
    uint32_t length;
    char data[];
};

/* By number, from 1. */
static const struct {
    const char *name;
    enum handshake_joining joining;
} names[] = {
    {NULL, HANDSHAKE_JOIN_COMMA},
    {"host", HANDSHAKE_JOIN_FIRST},
    {"user-agent", HANDSHAKE_JOIN_FIRST},
    {"accept", HANDSHAKE_JOIN_COMMA},
    {"accept-encoding", HANDSHAKE_JOIN_COMMA},
    {"accept-language", HANDSHAKE_JOIN_COMMA},
    {"origin", HANDSHAKE_JOIN_COMMA},
    {"cookie", HANDSHAKE_JOIN_SEMICOLON},
    {"cache-control", HANDSHAKE_JOIN_COMMA},
    {"pragma", HANDSHAKE_JOIN_COMMA},
    {"referer", HANDSHAKE_JOIN_FIRST},
    {"authorization", HANDSHAKE_JOIN_FIRST},
    {"forwarded", HANDSHAKE_JOIN_COMMA},
    {"x-forwarded-for", HANDSHAKE_JOIN_COMMA},
    {"x-forwarded-proto", HANDSHAKE_JOIN_COMMA},
    {"x-forwarded-host", HANDSHAKE_JOIN_COMMA},
    {"x-forwarded-port", HANDSHAKE_JOIN_COMMA},
    {"x-real-ip", HANDSHAKE_JOIN_COMMA},
    {"x-request-id", HANDSHAKE_JOIN_COMMA},
    {"via", HANDSHAKE_JOIN_COMMA},
    {"sec-websocket-protocol", HANDSHAKE_JOIN_COMMA},
    {"sec-fetch-site", HANDSHAKE_JOIN_COMMA},
    {"sec-fetch-mode", HANDSHAKE_JOIN_COMMA},
    {"sec-fetch-dest", HANDSHAKE_JOIN_COMMA},
    {"sec-ch-ua", HANDSHAKE_JOIN_COMMA},
    {"sec-ch-ua-mobile", HANDSHAKE_JOIN_COMMA},
    {"sec-ch-ua-platform", HANDSHAKE_JOIN_COMMA},
    {"dnt", HANDSHAKE_JOIN_COMMA},
    {"priority", HANDSHAKE_JOIN_COMMA},
    {"set-cookie", HANDSHAKE_JOIN_ARRAY},
    {"content-type", HANDSHAKE_JOIN_FIRST},
    {"content-length", HANDSHAKE_JOIN_FIRST},
    {"age", HANDSHAKE_JOIN_FIRST},
    {"etag", HANDSHAKE_JOIN_FIRST},
    {"expires", HANDSHAKE_JOIN_FIRST},
    {"from", HANDSHAKE_JOIN_FIRST},
    {"if-modified-since", HANDSHAKE_JOIN_FIRST},
    {"if-unmodified-since", HANDSHAKE_JOIN_FIRST},
    {"last-modified", HANDSHAKE_JOIN_FIRST},
    {"location", HANDSHAKE_JOIN_FIRST},
    {"max-forwards", HANDSHAKE_JOIN_FIRST},
    {"proxy-authorization", HANDSHAKE_JOIN_FIRST},
    {"retry-after", HANDSHAKE_JOIN_FIRST},
    {"server", HANDSHAKE_JOIN_FIRST},
};

enum { NAMES = sizeof names / sizeof *names };

static const char *const left_out[] = {"connection", "upgrade", "sec-websocket-key", "sec-websocket-version",
                                       "sec-websocket-extensions"};

static bool is_left_out(struct bytes name)
{
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (bytes_equal_nocase(name, bytes_from_text(left_out[i])))
            return true;
    return false;
}

/* NAME_LITERAL when it is none of the table. */
static unsigned name_number(struct bytes name)
{
    for (unsigned i = 1; i < NAMES; i++)
        if (bytes_equal_nocase(name, bytes_from_text(names[i].name)))
            return i;
    return NAME_LITERAL;
}

/* -- writing ---------------------------------------------------------------------------------- */

static void put_varint(struct buffer *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        buffer_append_char(out, (char)(value | 0x80));
    buffer_append_char(out, (char)value);
}

static void put_text(struct buffer *out, struct bytes text)
{
    put_varint(out, text.length);
    buffer_append_bytes(out, text);
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static void put_field(struct buffer *out, const struct http_field *field)
{
    unsigned number = name_number(field->name);

    buffer_append_char(out, (char)number);
    if (number == NAME_LITERAL) {
        put_varint(out, field->name.length);
        for (size_t i = 0; i < field->name.length; i++)
            buffer_append_char(out, to_lower(field->name.data[i]));
    }
    put_text(out, field->value);
}

static struct handshake *copy(struct bytes block)
{
    struct handshake *handshake = memory_new(sizeof *handshake + block.length);

    handshake->length = (uint32_t)block.length;
    memcpy(handshake->data, block.data, block.length);
    return handshake;
}

/* Shrinking the buffer instead would leave a hole behind each of ten thousand handshakes. */
static struct handshake *seal(struct buffer *block)
{
    struct handshake *handshake = copy(buffer_bytes(block));

    buffer_done(block);
    return handshake;
}

struct handshake *handshake_new(const struct http_request *request, struct bytes address, bool secure,
                                uint64_t wall_ms)
{
    struct buffer block = {0};

    assert(address.length <= HANDSHAKE_ADDRESS_MAX);
    buffer_append_char(&block, secure ? VERSION_SECURE : VERSION);
    put_varint(&block, wall_ms < ISSUED_MAX ? wall_ms : ISSUED_MAX);
    put_text(&block, address);
    put_text(&block, request->target);
    for (size_t i = 0; i < request->field_count; i++)
        if (!is_left_out(request->fields[i].name))
            put_field(&block, &request->fields[i]);
    return seal(&block);
}

void handshake_free(struct handshake *handshake)
{
    free(handshake);
}

struct bytes handshake_bytes(const struct handshake *handshake)
{
    return bytes_make(handshake->data, handshake->length);
}

/* -- reading ---------------------------------------------------------------------------------- */

/* Where reading is; the functions give ERROR_MALFORMED for what is cut short or too large. */
struct cursor {
    const char *at, *end;
};

static int get_varint(struct cursor *cursor, uint64_t *out)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < VARINT_MAX && cursor->at < cursor->end; i++) {
        unsigned char byte = (unsigned char)*cursor->at++;

        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *out = value;
            return 0;
        }
    }
    return ERROR_MALFORMED;
}

static int get_text(struct cursor *cursor, struct bytes *out)
{
    uint64_t length;

    if (get_varint(cursor, &length) < 0 || length > (uint64_t)(cursor->end - cursor->at))
        return ERROR_MALFORMED;
    *out = bytes_make(cursor->at, (size_t)length);
    cursor->at += length;
    return 0;
}

static int get_field(struct cursor *cursor, struct handshake_field *out)
{
    unsigned number = (unsigned char)*cursor->at++;

    if (number >= NAMES || (number == NAME_LITERAL && get_text(cursor, &out->name) < 0))
        return ERROR_MALFORMED;
    if (number != NAME_LITERAL)
        out->name = bytes_from_text(names[number].name);
    out->joining = names[number].joining;
    out->literal = number == NAME_LITERAL;
    return get_text(cursor, &out->value);
}

int handshake_content_read(struct bytes block, struct handshake_content *out)
{
    struct cursor cursor = {block.data, block.data + block.length};

    char version = block.length ? *cursor.at++ : 0;

    if ((version != VERSION && version != VERSION_SECURE) || get_varint(&cursor, &out->issued) < 0 ||
        get_text(&cursor, &out->address) < 0 || get_text(&cursor, &out->target) < 0)
        return ERROR_MALFORMED;
    out->secure = version == VERSION_SECURE;
    for (out->field_count = 0; cursor.at < cursor.end; out->field_count++)
        if (out->field_count == HTTP_FIELDS_MAX || get_field(&cursor, &out->fields[out->field_count]) < 0)
            return ERROR_MALFORMED;
    return 0;
}

struct bytes handshake_address(const struct handshake *handshake)
{
    struct handshake_content content;

    if (!handshake || handshake_content_read(handshake_bytes(handshake), &content) < 0)
        return (struct bytes){"", 0};
    return content.address;
}

int handshake_query_value(const struct handshake *handshake, struct bytes name, struct buffer *out)
{
    struct handshake_content content;
    const char *mark;
    struct bytes query, value;

    if (handshake_content_read(handshake_bytes(handshake), &content) < 0)
        return ERROR_MALFORMED;
    mark = memchr(content.target.data, '?', content.target.length);
    if (!mark)
        return ERROR_NOT_FOUND;
    query = bytes_make(mark + 1, content.target.length - (size_t)(mark + 1 - content.target.data));
    http_query_read(query, &name, 1, &value);
    return value.data ? http_value_decode(value, out) : ERROR_NOT_FOUND;
}

struct bytes handshake_content_bearer(const struct handshake_content *content)
{
    static const char scheme[] = "Bearer ";
    size_t length = sizeof scheme - 1;

    for (size_t i = 0; i < content->field_count; i++) {
        struct bytes value = content->fields[i].value;

        if (!bytes_equal_text(content->fields[i].name, "authorization"))
            continue;
        if (value.length <= length || strncasecmp(value.data, scheme, length) != 0)
            break;
        value = bytes_make(value.data + length, value.length - length);
        while (value.length && value.data[0] == ' ')
            value = bytes_make(value.data + 1, value.length - 1);
        return value;
    }
    return (struct bytes){"", 0};
}

struct bytes handshake_bearer(const struct handshake *handshake)
{
    struct handshake_content content;

    if (handshake_content_read(handshake_bytes(handshake), &content) < 0)
        return (struct bytes){"", 0};
    return handshake_content_bearer(&content);
}

/* -- what is taken from others ---------------------------------------------------------------- */

static bool consists_of(struct bytes text, const char *alphabet)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] == '\0' || !strchr(alphabet, text.data[i]))
            return false;
    return true;
}

static bool name_is_valid(struct bytes name)
{
    return name.length && consists_of(name, "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~") &&
           name_number(name) == NAME_LITERAL && !is_left_out(name);
}

static bool target_is_valid(struct bytes target)
{
    for (size_t i = 0; i < target.length; i++)
        if (target.data[i] <= ' ' || target.data[i] >= 0x7f || target.data[i] == '#')
            return false;
    return target.length > 0;
}

static bool value_is_valid(struct bytes value)
{
    for (size_t i = 0; i < value.length; i++) {
        unsigned char c = (unsigned char)value.data[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

int handshake_from_bytes(struct bytes bytes, struct handshake **out)
{
    struct handshake_content content;

    if (bytes.length > HANDSHAKE_MAX || handshake_content_read(bytes, &content) < 0 ||
        content.issued > ISSUED_MAX || content.address.length > HANDSHAKE_ADDRESS_MAX ||
        !consists_of(content.address, "0123456789abcdef.:") || !target_is_valid(content.target))
        return ERROR_MALFORMED;
    for (size_t i = 0; i < content.field_count; i++) {
        const struct handshake_field *field = &content.fields[i];

        if ((field->literal && !name_is_valid(field->name)) || !value_is_valid(field->value))
            return ERROR_MALFORMED;
    }
    *out = copy(bytes);
    return 0;
}
