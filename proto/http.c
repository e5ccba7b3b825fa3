/*
 * The HTTP/1.1 request head.  It owns nothing; the gateway's HTTP connections
 * call it with all bytes they have, again from the front when more came in.
 * The one surprising rule: it reads strictly forward and never past a limit, and
 * judges nothing by what is missing, so a verdict on a part of the head
 * is the verdict on the whole.
 */
#include "proto/http.h"

#include "proto/http_octet.h"

#include <limits.h>
#include <stddef.h>

static const struct bytes methods[] = {
#define X(name) [HTTP_##name] = {#name, sizeof(#name) - 1},
    HTTP_METHOD_TABLE(X)
#undef X
};

/* X(status, phrase) */
#define STATUS_TABLE(X)                                                                                      \
    X(101, "Switching Protocols")                                                                            \
    X(200, "OK")                                                                                             \
    X(204, "No Content")                                                                                     \
    X(304, "Not Modified")                                                                                   \
    X(400, "Bad Request")                                                                                    \
    X(401, "Unauthorized")                                                                                   \
    X(403, "Forbidden")                                                                                      \
    X(404, "Not Found")                                                                                      \
    X(405, "Method Not Allowed")                                                                             \
    X(408, "Request Timeout")                                                                                \
    X(413, "Content Too Large")                                                                              \
    X(414, "URI Too Long")                                                                                   \
    X(426, "Upgrade Required")                                                                               \
    X(429, "Too Many Requests")                                                                              \
    X(431, "Request Header Fields Too Large")                                                                \
    X(500, "Internal Server Error")                                                                          \
    X(501, "Not Implemented")                                                                                \
    X(503, "Service Unavailable")                                                                            \
    X(505, "HTTP Version Not Supported")

/* The steps of the parser return 0, a negative status, or this. */
enum { NEED_MORE = 1 };

#define EMPTY_LINES_MAX 2

struct cursor {
    const char *at;
    const char *end;
};

/* The run of octets of a class up to one that is not; that one is not taken. */
static int take_run(struct cursor *cursor, enum http_octet class, struct bytes *out)
{
    const char *start = cursor->at, *at = start;
    while (at < cursor->end && http_octet_is(*at, class))
        at++;
    cursor->at = at;
    if (at == cursor->end)
        return NEED_MORE;
    *out = bytes_make(start, (size_t)(at - start));
    return 0;
}

static int take_literal(struct cursor *cursor, struct bytes literal)
{
    for (size_t i = 0; i < literal.length; i++) {
        if (cursor->at == cursor->end)
            return NEED_MORE;
        if (*cursor->at != literal.data[i])
            return -400;
        cursor->at++;
    }
    return 0;
}

static int take_digit(struct cursor *cursor, int *out)
{
    if (cursor->at == cursor->end)
        return NEED_MORE;
    if (!http_octet_is_digit(*cursor->at))
        return -400;
    *out = *cursor->at++ - '0';
    return 0;
}

/* host [ ":" port ] of RFC 3986 3.2; a wholly empty one is valid in the field Host. */
static bool host_valid(struct bytes host)
{
    size_t at = 0;
    if (host.length && host.data[0] == '[') {
        at = 1;
        while (at < host.length &&
               (http_octet_hex(host.data[at]) >= 0 || host.data[at] == ':' || host.data[at] == '.'))
            at++;
        if (at == 1 || at == host.length || host.data[at] != ']')
            return false;
        at++;
    } else {
        while (at < host.length && http_octet_is(host.data[at], HTTP_OCTET_HOST))
            at++;
    }
    if (at == host.length)
        return true;
    if (at == 0 || host.data[at] != ':')
        return false;
    for (at++; at < host.length; at++)
        if (!http_octet_is_digit(host.data[at]))
            return false;
    return true;
}

static int find_method(struct bytes name, enum http_method *out)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (bytes_equal(name, methods[i])) {
            *out = (enum http_method)i;
            return 0;
        }
    return -501;
}

/* Takes scheme and authority off an absolute target (RFC 9112 3.2.2); what is left may be empty. */
static int take_origin(struct bytes *target, struct bytes *host)
{
    static const struct bytes schemes[] = {{"http://", 7}, {"https://", 8}};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        struct bytes scheme = schemes[i];
        if (target->length < scheme.length ||
            !bytes_equal_nocase(bytes_make(target->data, scheme.length), scheme))
            continue;
        struct bytes rest = bytes_make(target->data + scheme.length, target->length - scheme.length);
        size_t length = 0;
        while (length < rest.length && rest.data[length] != '/' && rest.data[length] != '?')
            length++;
        struct bytes authority = bytes_make(rest.data, length);
        if (length == 0 || !host_valid(authority))
            return -400;
        *host = authority;
        *target = bytes_make(rest.data + length, rest.length - length);
        return 0;
    }
    return -400;
}

static int split_target(struct http_request *request)
{
    struct bytes rest = request->target;
    bool options = request->method == HTTP_OPTIONS;

    if (options && bytes_equal(rest, BYTES("*"))) {
        request->path = rest;
        return 0;
    }
    if (rest.data[0] != '/') {
        int rc = take_origin(&rest, &request->host);
        if (rc)
            return rc;
    }
    const char *mark = rest.length ? memchr(rest.data, '?', rest.length) : NULL;
    size_t path_length = mark ? (size_t)(mark - rest.data) : rest.length;
    if (mark)
        request->query = bytes_make(mark + 1, rest.length - path_length - 1);
    if (path_length)
        request->path = bytes_make(rest.data, path_length);
    else
        request->path = options && !mark ? BYTES("*") : BYTES("/"); /* RFC 9112 3.2.4 */
    return 0;
}

/* RFC 9112 3: method SP request-target SP HTTP-version CRLF, one blank each. */
static int read_request_line(struct cursor *cursor, struct http_request *request)
{
    int major;
    int minor;
    int rc = take_run(cursor, HTTP_OCTET_TOKEN, &request->method_text);
    if (rc)
        return rc;
    if (request->method_text.length == 0 || *cursor->at != ' ')
        return -400;
    if ((rc = find_method(request->method_text, &request->method)))
        return rc;
    cursor->at++;

    if ((rc = take_run(cursor, HTTP_OCTET_TARGET, &request->target)))
        return rc;
    if (request->target.length == 0 || *cursor->at != ' ')
        return -400;
    if ((rc = split_target(request)))
        return rc;
    cursor->at++;

    if ((rc = take_literal(cursor, BYTES("HTTP/"))) || (rc = take_digit(cursor, &major)) ||
        (rc = take_literal(cursor, BYTES("."))) || (rc = take_digit(cursor, &minor)) ||
        (rc = take_literal(cursor, BYTES("\r\n"))))
        return rc;
    if (major != 1)
        return -505;
    request->minor_version = minor > 0;
    return 0;
}

/* RFC 9112 5, up to and with the empty line that ends the head. */
static int read_fields(struct cursor *cursor, size_t limit, struct http_request *request)
{
    for (;;) {
        struct http_field field;
        if (cursor->at == cursor->end)
            return NEED_MORE;
        if (*cursor->at == '\r')
            return take_literal(cursor, BYTES("\r\n"));
        if (request->field_count == limit)
            return -431;

        int rc = take_run(cursor, HTTP_OCTET_TOKEN, &field.name);
        if (rc)
            return rc;
        /* A blank at the front would be a folded line, one before the colon hides a field from some proxies.
         */
        if (field.name.length == 0 || *cursor->at != ':')
            return -400;
        cursor->at++;
        if ((rc = take_run(cursor, HTTP_OCTET_VALUE, &field.value)))
            return rc;
        field.value = http_trim(field.value);
        if ((rc = take_literal(cursor, BYTES("\r\n"))))
            return rc;
        request->fields[request->field_count++] = field;
    }
}

/* RFC 9112 6: what decides where the request ends. */
static int derive_framing(struct http_request *request)
{
    size_t hosts = 0;
    size_t codings = 0;
    struct bytes coding = {NULL, 0};

    for (size_t i = 0; i < request->field_count; i++) {
        struct bytes name = request->fields[i].name;
        struct bytes value = request->fields[i].value;
        if (bytes_equal_nocase(name, BYTES("host"))) {
            if (hosts++ || !host_valid(value))
                return -400;
            if (!request->host.data)
                request->host = value;
        } else if (bytes_equal_nocase(name, BYTES("content-length"))) {
            unsigned long long length;
            if (request->content_length >= 0 || bytes_parse_u64(value, &length) || length > INT64_MAX)
                return -400;
            request->content_length = (int64_t)length;
        } else if (bytes_equal_nocase(name, BYTES("transfer-encoding"))) {
            codings++;
            coding = value;
        }
    }
    if (hosts == 0 && request->minor_version)
        return -400;
    if (codings) {
        if (!request->minor_version || request->content_length >= 0)
            return -400;
        if (codings > 1 || !bytes_equal_nocase(coding, BYTES("chunked")))
            return -501;
        request->chunked = true;
    }
    return 0;
}

/* RFC 9110 7.6.1, 7.8 and 10.1.1; RFC 9112 9.3. */
static void derive_connection(struct http_request *request)
{
    bool close = false;
    bool keep = request->minor_version > 0;
    bool upgrade = false;
    bool websocket = false;

    for (size_t i = 0; i < request->field_count; i++) {
        struct bytes name = request->fields[i].name;
        struct bytes value = request->fields[i].value;
        if (bytes_equal_nocase(name, BYTES("connection"))) {
            close = close || http_field_has_token(value, "close");
            keep = keep || http_field_has_token(value, "keep-alive");
            upgrade = upgrade || http_field_has_token(value, "upgrade");
        } else if (bytes_equal_nocase(name, BYTES("upgrade"))) {
            websocket = websocket || http_field_has_token(value, "websocket");
        } else if (bytes_equal_nocase(name, BYTES("expect"))) {
            request->expect_continue =
                request->minor_version && bytes_equal_nocase(value, BYTES("100-continue"));
        }
    }
    request->keep_alive = keep && !close;
    request->upgrade_websocket =
        upgrade && websocket && request->minor_version && request->method == HTTP_GET;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

int http_request_parse(const char *data, size_t length, const struct http_limits *limits,
                       struct http_request *out)
{
    struct http_request request;
    memset(&request, 0, offsetof(struct http_request, fields));
    request.content_length = -1;

    const char *end = data + least(length, limits->head);
    bool at_limit = length >= limits->head;
    struct cursor cursor = {data, end};
    int rc;

    for (int i = 0; i < EMPTY_LINES_MAX && cursor.at < end && *cursor.at == '\r'; i++)
        if ((rc = take_literal(&cursor, BYTES("\r\n"))))
            goto stopped;

    size_t ahead = (size_t)(end - cursor.at);
    size_t line = limits->line + 2;
    cursor.end = cursor.at + least(ahead, line);
    if ((rc = read_request_line(&cursor, &request)))
        return rc == NEED_MORE ? (at_limit || ahead >= line ? -414 : 0) : rc;

    cursor.end = end;
    if ((rc = read_fields(&cursor, least(limits->fields, HTTP_FIELDS_MAX), &request)))
        goto stopped;
    if ((rc = derive_framing(&request)))
        return rc;
    derive_connection(&request);

    memcpy(out, &request,
           offsetof(struct http_request, fields) + request.field_count * sizeof request.fields[0]);
    return (int)(cursor.at - data);

stopped:
    return rc == NEED_MORE ? (at_limit ? -431 : 0) : rc;
}

struct bytes http_request_field(const struct http_request *request, const char *name)
{
    struct bytes wanted = bytes_from_text(name);
    for (size_t i = 0; i < request->field_count; i++)
        if (bytes_equal_nocase(request->fields[i].name, wanted))
            return request->fields[i].value;
    return (struct bytes){NULL, 0};
}

size_t http_request_count(const struct http_request *request, const char *name)
{
    struct bytes wanted = bytes_from_text(name);
    size_t count = 0;

    for (size_t i = 0; i < request->field_count; i++)
        count += bytes_equal_nocase(request->fields[i].name, wanted);
    return count;
}

/* The next element of a comma-separated list, without the blanks around it; false when there is none. */
static bool next_element(struct bytes *list, struct bytes *element)
{
    if (!list->data)
        return false;
    const char *comma = list->length ? memchr(list->data, ',', list->length) : NULL;
    size_t length = comma ? (size_t)(comma - list->data) : list->length;
    *element = http_trim(bytes_make(list->data, length));
    *list = comma ? bytes_make(comma + 1, list->length - length - 1) : (struct bytes){NULL, 0};
    return true;
}

bool http_field_has_token(struct bytes value, const char *token)
{
    struct bytes wanted = bytes_from_text(token);
    struct bytes element;
    while (next_element(&value, &element))
        if (bytes_equal_nocase(element, wanted))
            return true;
    return false;
}

/* RFC 9110 12.4.2: whether what follows the name, nothing or ";q=" and a number up to 1, is more than 0. */
static bool weight_positive(struct bytes text)
{
    text = http_trim(text);
    if (text.length == 0)
        return true;
    if (text.data[0] != ';')
        return false;
    text = http_trim(bytes_make(text.data + 1, text.length - 1));
    if (text.length < 3 || text.length > 7 || (text.data[0] | 0x20) != 'q' || text.data[1] != '=' ||
        (text.data[2] != '0' && text.data[2] != '1') || (text.length > 3 && text.data[3] != '.'))
        return false;
    bool one = text.data[2] == '1';
    bool positive = one;
    for (size_t i = 4; i < text.length; i++) {
        if (!http_octet_is_digit(text.data[i]) || (one && text.data[i] != '0'))
            return false;
        positive = positive || text.data[i] != '0';
    }
    return positive;
}

bool http_accepts_coding(struct bytes value, const char *coding)
{
    struct bytes wanted = bytes_from_text(coding);
    struct bytes element;
    bool any = false;

    while (next_element(&value, &element)) {
        size_t length = 0;
        while (length < element.length && http_octet_is(element.data[length], HTTP_OCTET_TOKEN))
            length++;
        struct bytes name = bytes_make(element.data, length);
        bool positive = weight_positive(bytes_make(element.data + length, element.length - length));
        if (bytes_equal_nocase(name, wanted))
            return positive;
        if (bytes_equal(name, BYTES("*")))
            any = positive;
    }
    return any;
}

/* The next octet of an encoded text, or -1 at a '%' without its two digits. */
static int decode_octet(struct bytes text, size_t *at)
{
    char c = text.data[(*at)++];
    if (c == '+')
        return ' ';
    if (c != '%')
        return (unsigned char)c;
    if (text.length - *at < 2)
        return -1;
    int high = http_octet_hex(text.data[*at]);
    int low = http_octet_hex(text.data[*at + 1]);
    if (high < 0 || low < 0)
        return -1;
    *at += 2;
    return high << 4 | low;
}

static bool decodes_to(struct bytes encoded, struct bytes plain)
{
    size_t at = 0;
    for (size_t i = 0; i < plain.length; i++)
        if (at == encoded.length || decode_octet(encoded, &at) != (unsigned char)plain.data[i])
            return false;
    return at == encoded.length;
}

bool http_value_is(struct bytes value, const char *text)
{
    return value.data && decodes_to(value, bytes_from_text(text));
}

int http_value_decode(struct bytes value, struct buffer *decoded)
{
    char *to = buffer_reserve(decoded, value.length);
    size_t length = 0;
    for (size_t at = 0; at < value.length;) {
        int octet = decode_octet(value, &at);
        if (octet < 0)
            return ERROR_MALFORMED;
        to[length++] = (char)octet;
    }
    buffer_extend(decoded, length);
    return 0;
}

void http_query_read(struct bytes query, const struct bytes *names, size_t count, struct bytes *values)
{
    memset(values, 0, count * sizeof *values);
    while (query.length) {
        const char *ampersand = memchr(query.data, '&', query.length);
        size_t length = ampersand ? (size_t)(ampersand - query.data) : query.length;
        const char *equals = length ? memchr(query.data, '=', length) : NULL;
        struct bytes name = bytes_make(query.data, equals ? (size_t)(equals - query.data) : length);
        size_t skip = equals ? name.length + 1 : length;
        for (size_t i = 0; i < count; i++)
            if (!values[i].data && decodes_to(name, names[i])) {
                values[i] = bytes_make(query.data + skip, length - skip);
                break;
            }
        size_t spent = ampersand ? length + 1 : length;
        query = bytes_make(query.data + spent, query.length - spent);
    }
}

/* The value of a field that stands exactly once. */
static bool only_field(const struct http_request *request, const char *name, struct bytes *value)
{
    struct bytes wanted = bytes_from_text(name);
    size_t count = 0;
    for (size_t i = 0; i < request->field_count; i++)
        if (bytes_equal_nocase(request->fields[i].name, wanted)) {
            *value = request->fields[i].value;
            count++;
        }
    return count == 1;
}

/* 22 digits and two pads; bits that the last digit has to spare are ignored, as RFC 4648 3.5 leaves open. */
static bool is_base64_of_16(struct bytes text)
{
    return text.length == 24 && http_octets_are(bytes_make(text.data, 22), HTTP_OCTET_BASE64) &&
           text.data[22] == '=' && text.data[23] == '=';
}

int http_websocket_check(const struct http_request *request, struct bytes *key)
{
    struct bytes version;
    struct bytes value;
    /* A body would be read as frames here, and as a body by a proxy that does not know of the upgrade. */
    if (!request->upgrade_websocket || request->chunked || request->content_length > 0)
        return -400;
    if (!only_field(request, "sec-websocket-version", &version))
        return -400;
    if (!bytes_equal(version, BYTES("13")))
        return -426;
    if (!only_field(request, "sec-websocket-key", &value) || !is_base64_of_16(value))
        return -400;
    *key = value;
    return 0;
}

static bool list_has(struct bytes list, const char *token)
{
    while (list.length) {
        const char *comma = memchr(list.data, ',', list.length);
        size_t length = comma ? (size_t)(comma - list.data) : list.length;

        if (bytes_equal_text(http_trim(bytes_make(list.data, length)), token))
            return true;
        length += comma ? 1 : 0;
        list = bytes_make(list.data + length, list.length - length);
    }
    return false;
}

bool http_websocket_offers(const struct http_request *request, const char *subprotocol)
{
    for (size_t i = 0; i < request->field_count; i++)
        if (bytes_equal_nocase(request->fields[i].name, BYTES("sec-websocket-protocol")) &&
            list_has(request->fields[i].value, subprotocol))
            return true;
    return false;
}

int http_websocket_subprotocol(const struct http_request *request, struct bytes *first)
{
    struct bytes offer = http_request_field(request, "sec-websocket-protocol");
    const char *comma = offer.length ? memchr(offer.data, ',', offer.length) : NULL;

    if (comma)
        offer = http_trim(bytes_make(offer.data, (size_t)(comma - offer.data)));
    if (offer.data && (offer.length == 0 || !http_octets_are(offer, HTTP_OCTET_TOKEN)))
        return -400;
    *first = offer;
    return 0;
}

const char *http_reason(int status)
{
    switch (status) {
#define X(code, phrase)                                                                                      \
    case code:                                                                                               \
        return phrase;
        STATUS_TABLE(X)
#undef X
    default:
        return "Unknown";
    }
}
