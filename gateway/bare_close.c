/*
 * Close frames of bare WebSockets; see bare_close.h.  Everything that ends such a connection at the gateway's
 * or the router's word comes through here.  The surprising rule: a slow reader never hears of it, because
 * nothing more can be sent to it.
 */
#include "gateway/bare_close.h"

#include "common/buffer.h"
#include "gateway/connection.h"
#include "gateway/websocket_transport.h"
#include "proto/json_scan.h"
#include "proto/refusal.h"

enum { MESSAGE_MAX = 120 }; /* a Close frame has no room for more */

static const struct {
    unsigned code;
    const char *name, *text;
} closes[BARE_CLOSES] = {
#define X(NAME, code, name, text) {code, name, text},
    BARE_CLOSE_TABLE(X)
#undef X
};

void bare_close(struct gateway *gateway, struct connection *connection, enum bare_close code,
                struct bytes text, enum close_reason reason)
{
    struct buffer why = {0};

    buffer_append_text(&why, closes[code].name);
    buffer_append_literal(&why, ": ");
    buffer_append_bytes(&why, text.data ? text : bytes_from_text(closes[code].text));
    websocket_close_saying(gateway, connection, closes[code].code, buffer_bytes(&why), reason);
    buffer_done(&why);
}

static enum bare_close close_of(struct json_value code)
{
    static const struct {
        enum refusal_code refusal;
        enum bare_close close;
    } table[] = {
        {REFUSAL_BAD_ROOM, BARE_CLOSE_BAD_ROOM},           {REFUSAL_FORBIDDEN, BARE_CLOSE_FORBIDDEN},
        {REFUSAL_TOKEN_MISSING, BARE_CLOSE_TOKEN_MISSING}, {REFUSAL_TOKEN_INVALID, BARE_CLOSE_TOKEN_INVALID},
        {REFUSAL_TOKEN_EXPIRED, BARE_CLOSE_TOKEN_EXPIRED}, {REFUSAL_BUSY, BARE_CLOSE_BUSY},
        {REFUSAL_RATE_LIMITED, BARE_CLOSE_BUSY},           {REFUSAL_UNAVAILABLE, BARE_CLOSE_UNAVAILABLE},
        {REFUSAL_NOT_JOINED, BARE_CLOSE_RECONNECT},        {REFUSAL_UNKNOWN_EVENT, BARE_CLOSE_FORBIDDEN},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (json_string_is(code, bytes_from_text(refusal_text(table[i].refusal))))
            return table[i].close;
    return BARE_CLOSE_BAD_REQUEST;
}

void bare_close_refused(struct gateway *gateway, struct connection *connection, struct bytes error)
{
    struct json_value object, code = {0}, message;
    char text[MESSAGE_MAX];
    size_t length = 0;

    if (json_scan(error, &object) < 0)
        object = (struct json_value){0};
    if (json_object_find(object, "code", &code) < 0)
        code = (struct json_value){0};
    if (json_object_find(object, "message", &message) < 0 ||
        json_string_decode(message, text, sizeof text, &length) < 0)
        length = 0;
    bare_close(gateway, connection, close_of(code), length ? bytes_make(text, length) : (struct bytes){0},
               CLOSE_REFUSED);
}

void bare_close_for(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    switch (reason) {
    case CLOSE_ROUTER_SILENT:
        bare_close(gateway, connection, BARE_CLOSE_UNAVAILABLE, (struct bytes){0}, reason);
        break;
    case CLOSE_NOT_RESUMABLE:
        bare_close(gateway, connection, BARE_CLOSE_NOT_RESUMABLE, (struct bytes){0}, reason);
        break;
    case CLOSE_ROUTER_CLOSE:
        bare_close(gateway, connection, BARE_CLOSE_RECONNECT, (struct bytes){0}, reason);
        break;
    case CLOSE_TOKEN_EXPIRED:
        bare_close(gateway, connection, BARE_CLOSE_TOKEN_EXPIRED, (struct bytes){0}, reason);
        break;
    case CLOSE_PING_TIMEOUT:
        bare_close(gateway, connection, BARE_CLOSE_PING_TIMEOUT, (struct bytes){0}, reason);
        break;
    default:
        websocket_close_saying(gateway, connection, close_reason_code(reason),
                               bytes_from_text(close_reason_text(reason)), reason);
    }
}
