/*
 * HTTP/1.1 request heads (RFC 9110, RFC 9112), strictly: what two readers could
 * take in two ways is refused, so nothing can be smuggled past a proxy.
 *
 * Everything handed out points into the caller's data and lives as long as it.
 * Failures here are HTTP statuses, negated: the caller answers with them and
 * closes the connection.
 */
#ifndef HUBBUB_PROTO_HTTP_H
#define HUBBUB_PROTO_HTTP_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"

#include <stdint.h>

/* X(NAME): the methods that are known; names are case-sensitive.  Any other token is answered with 501. */
#define HTTP_METHOD_TABLE(X)                                                                                 \
    X(GET)                                                                                                   \
    X(HEAD)                                                                                                  \
    X(POST)                                                                                                  \
    X(PUT)                                                                                                   \
    X(DELETE)                                                                                                \
    X(OPTIONS)                                                                                               \
    X(PATCH)

enum http_method {
#define X(name) HTTP_##name,
    HTTP_METHOD_TABLE(X)
#undef X
};

#define HTTP_FIELDS_MAX 64

struct http_limits {
    size_t head;   /* bytes of the whole head, its empty line included */
    size_t line;   /* bytes of the request line without its CRLF */
    size_t fields; /* at most HTTP_FIELDS_MAX */
};

/* RFC 9112 3 asks for request lines of 8000 bytes at least. */
#define HTTP_LIMITS_DEFAULT ((struct http_limits){.head = 8192, .line = 8000, .fields = HTTP_FIELDS_MAX})

struct http_field {
    struct bytes name;
    struct bytes value; /* without the blanks around it; may be empty, and may hold bytes of 0x80 and more */
};

struct http_request {
    enum http_method method;
    struct bytes method_text;
    struct bytes target; /* as it was sent */
    struct bytes path;  /* of the target, not decoded; "/" when an absolute one has none; "*" for OPTIONS * */
    struct bytes query; /* behind the '?', not decoded; {NULL, 0} without '?' */
    struct bytes host;  /* of an absolute target, else of the field Host; {NULL, 0} when 1.0 sends none */
    int minor_version;  /* 0 or 1; a later 1.x counts as 1 */
    int64_t content_length; /* -1 when there is none */
    bool chunked;           /* Transfer-Encoding is exactly "chunked" */
    bool keep_alive;        /* the peer wants the connection to persist */
    bool upgrade_websocket; /* GET, 1.1, Connection has "upgrade", Upgrade has "websocket" */
    bool expect_continue;   /* 1.1 and Expect is "100-continue" */
    size_t field_count;
    struct http_field fields[HTTP_FIELDS_MAX];
};

/*
 * Reads one request head from the front of the data; up to two empty lines
 * before it are passed over (RFC 9112 2.2) and count as part of it.
 *
 * Returns the head's length, or 0 when more bytes are needed (call again with
 * all bytes so far), or
 *   -400  anything malformed or ambiguous: bad line ends, names, values, target
 *         or Host, folded fields, Content-Length that is repeated, a list or no
 *         number, Transfer-Encoding in 1.0 or beside Content-Length
 *   -414  the request line is over its limit
 *   -431  the head is over its limit, or has too many fields
 *   -501  a method outside HTTP_METHOD_TABLE, or a transfer coding other than chunked
 *   -505  a version other than 1.x
 * An error may come before the head is complete; more bytes never change it.
 * out is written only when the length is returned.
 */
int http_request_parse(const char *data, size_t length, const struct http_limits *limits,
                       struct http_request *out) MUST_CHECK;

/* The value of the first field of that name, compared without case; {NULL, 0} when there is none. */
struct bytes http_request_field(const struct http_request *request, const char *name);

/* How many fields of that name there are, compared without case. */
size_t http_request_count(const struct http_request *request, const char *name);

/* Whether a comma-separated list (RFC 9110 5.6.1) has that token, compared without case. */
bool http_field_has_token(struct bytes value, const char *token);

/*
 * Whether a value of Accept-Encoding (RFC 9110 12.5.3) allows that coding: it is named, or "*" stands for
 * it, with a weight above 0.  An absent or an empty value, {NULL, 0} included, allows none, and a malformed
 * weight is none.
 */
bool http_accepts_coding(struct bytes value, const char *coding);

/*
 * Finds the parameters of those names, which are different and not empty, in one pass over a query.  A value
 * is what stands there, still percent-encoded, of the first parameter of its name; {NULL, 0} when there is
 * none, and not NULL for one that is empty or has no '='.
 */
void http_query_read(struct bytes query, const struct bytes *names, size_t count, struct bytes *values);

/*
 * Appends what a value of a query stands for.  '+' is a blank, as URLSearchParams and other form encoders
 * write it; encoders that do not use it write %2B for a plus, so all of them come through.  It may be any
 * byte, NUL as well.  Returns 0, or ERROR_MALFORMED when a '%' lacks its two digits; the buffer is untouched
 * then.
 */
int http_value_decode(struct bytes value, struct buffer *decoded) MUST_CHECK;

/* Whether a value of a query stands for exactly that text; {NULL, 0} never does. */
bool http_value_is(struct bytes value, const char *text);

/*
 * The client's half of the WebSocket handshake (RFC 6455 4.2.1), on a request
 * whose upgrade_websocket is true or not.  Returns 0 and the key for
 * websocket_accept_key(), or
 *   -400  no upgrade, a body, Sec-WebSocket-Version missing, or a key that is
 *         missing or not the base64 of 16 bytes; also either of them twice
 *   -426  a version other than 13: answer with "Sec-WebSocket-Version: 13"
 */
int http_websocket_check(const struct http_request *request, struct bytes *key) MUST_CHECK;

/*
 * The first subprotocol that the client offers; {NULL, 0} when it offers none.  A browser that offered some
 * takes no handshake that answers none.  Returns 0, or -400 when the offer does not begin with a token.
 */
int http_websocket_subprotocol(const struct http_request *request, struct bytes *first) MUST_CHECK;

/* Whether that very subprotocol is among those that the client offers; all fields count. */
bool http_websocket_offers(const struct http_request *request, const char *subprotocol);

/* The reason phrase of a status that this project sends; "Unknown" for others. */
const char *http_reason(int status);

#endif
