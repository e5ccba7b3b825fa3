/*
 * Request bodies; see http_body.h.  It owns nothing; the gateway's HTTP
 * connections call it with what one read gave.  The one surprising rule: a chunk's
 * size is judged at the octet behind its last digit, so that one size gives one
 * verdict however it is cut.
 */
#include "proto/http_body.h"

#include "proto/http_octet.h"

#define SIZE_DIGITS_MAX 16 /* of 64 bits */

/*
 *   COUNTED -> DONE
 *   SIZE_FIRST -> SIZE -> [SIZE_BLANK] -> [EXTENSION] -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE_FIRST
 *   SIZE_LF -> TRAILER_FIRST -> TRAILER_NAME -> TRAILER_VALUE -> TRAILER_LF -> TRAILER_FIRST
 *   TRAILER_FIRST -> LAST_LF -> DONE
 *   any -> MALFORMED, TOO_LARGE
 */
enum state {
    COUNTED,
    SIZE_FIRST,
    SIZE,
    SIZE_BLANK,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_FIRST,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF,
    DONE,
    MALFORMED,
    TOO_LARGE,
};

void http_body_init(struct http_body *body, const struct http_request *request, size_t limit)
{
    *body = (struct http_body){.room = limit};
    if (request->chunked) {
        body->state = SIZE_FIRST;
    } else if (request->content_length > 0) {
        body->remaining = (uint64_t)request->content_length;
        body->state = body->remaining > limit ? TOO_LARGE : COUNTED;
    } else {
        body->state = DONE;
    }
}

/* The octet is one of those that a body may have only so many of: where it leads, or TOO_LARGE. */
static enum state spend(struct http_body *body, enum state next)
{
    if (body->extra == HTTP_BODY_EXTRA_MAX)
        return TOO_LARGE;
    body->extra++;
    return next;
}

static enum state size_digit(struct http_body *body, int digit)
{
    if (body->digits == 0 && digit == 0)
        return spend(body, SIZE);
    if (body->digits == SIZE_DIGITS_MAX)
        return MALFORMED;
    body->digits++;
    body->remaining = body->remaining << 4 | (unsigned)digit;
    return SIZE;
}

/* What follows the last digit of a chunk's size: RFC 9112 7.1.1, whose blanks before the semicolon count. */
static enum state size_end(struct http_body *body, char c)
{
    enum state next = c == '\r'                ? SIZE_LF
                      : c == ';'               ? EXTENSION
                      : http_octet_is_blank(c) ? SIZE_BLANK
                                               : MALFORMED;
    if (next == MALFORMED)
        return MALFORMED;
    if (body->remaining > body->room)
        return TOO_LARGE;
    return next == SIZE_LF ? SIZE_LF : spend(body, next);
}

/* Extensions are only passed over: any octet of a value, in which a quoted CR can't be. */
static enum state after_size(struct http_body *body, enum state state, char c)
{
    if (state == EXTENSION && c == '\r')
        return SIZE_LF;
    if (state == EXTENSION ? http_octet_is(c, HTTP_OCTET_VALUE) : http_octet_is_blank(c) || c == ';')
        return spend(body, c == ';' ? EXTENSION : state);
    return MALFORMED;
}

/* RFC 9112 7.1.2: the trailers are fields as those of a head. */
static enum state trailer(struct http_body *body, enum state state, char c)
{
    bool name = state != TRAILER_VALUE;
    if (http_octet_is(c, name ? HTTP_OCTET_TOKEN : HTTP_OCTET_VALUE))
        return spend(body, name ? TRAILER_NAME : TRAILER_VALUE);
    if (state == TRAILER_NAME && c == ':')
        return spend(body, TRAILER_VALUE);
    if (c == '\r' && state != TRAILER_NAME)
        return state == TRAILER_FIRST ? LAST_LF : TRAILER_LF;
    return MALFORMED;
}

static enum state begin_chunk(struct http_body *body)
{
    if (body->remaining == 0)
        return TRAILER_FIRST;
    body->room -= (size_t)body->remaining;
    return DATA;
}

/* One octet of the framing. */
static enum state step(struct http_body *body, enum state state, char c)
{
    int digit;

    switch (state) {
    case SIZE_FIRST:
    case SIZE:
        digit = http_octet_hex(c);
        if (digit >= 0)
            return size_digit(body, digit);
        return state == SIZE ? size_end(body, c) : MALFORMED;
    case SIZE_BLANK:
    case EXTENSION:
        return after_size(body, state, c);
    case TRAILER_FIRST:
    case TRAILER_NAME:
    case TRAILER_VALUE:
        return trailer(body, state, c);
    case DATA_CR:
        return c == '\r' ? DATA_LF : MALFORMED;
    default:
        break;
    }
    if (c != '\n')
        return MALFORMED;
    switch (state) {
    case SIZE_LF:
        return begin_chunk(body);
    case DATA_LF:
        body->digits = 0;
        return SIZE_FIRST;
    case TRAILER_LF:
        return TRAILER_FIRST;
    default:
        return DONE;
    }
}

/* Copies what there is of the body or the chunk, and returns how much that was. */
static size_t take_data(struct http_body *body, const char *data, size_t length, struct buffer *out)
{
    size_t part = length < body->remaining ? length : (size_t)body->remaining;
    buffer_append(out, data, part);
    body->remaining -= part;
    if (body->remaining == 0)
        body->state = body->state == DATA ? DATA_CR : DONE;
    return part;
}

int http_body_read(struct http_body *body, const char *data, size_t length, size_t *consumed,
                   struct buffer *out)
{
    size_t at = 0;

    while (at < length && body->state < DONE) {
        if (body->state == COUNTED || body->state == DATA)
            at += take_data(body, data + at, length - at, out);
        else
            body->state = (uint8_t)step(body, body->state, data[at++]);
    }
    if (body->state == MALFORMED)
        return -400;
    if (body->state == TOO_LARGE)
        return -413;
    *consumed = at;
    return body->state == DONE;
}
