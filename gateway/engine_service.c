/*
 * Requests to Engine.IO's paths; see engine_service.h.  http_service.c brings them, polling.c and relay.c the
 * answers. The surprising rule: a request is judged when its head is here but answered only when its body is,
 * too, so that the connection can go on; what it is to be answered is kept in the exchange until then.
 */
#include "gateway/engine_service.h"

#include "common/clock.h"
#include "common/memory.h"
#include "gateway/arrival.h"
#include "gateway/connection.h"
#include "gateway/cors.h"
#include "gateway/engine.h"
#include "gateway/gateway.h"
#include "gateway/http_answer.h"
#include "gateway/http_service.h"
#include "gateway/listener.h"
#include "gateway/polling.h"
#include "gateway/websocket_transport.h"
#include "proto/deflate.h"
#include "proto/http.h"

#include <stdio.h>
#include <stdlib.h>

#define SOCKETIO_PATH BYTES("/socket.io/")
#define ENGINEIO_PATH BYTES("/engine.io/")
#define ECHO_PATH     BYTES("/echo")

static const char plain_text[] = "text/plain; charset=UTF-8";
static const char no_store[] = "cache-control: no-store\r\n";

bool engine_serves(const struct gateway *gateway, struct bytes path)
{
    return bytes_starts_with(path, SOCKETIO_PATH) ||
           (gateway->settings->echo &&
            (bytes_starts_with(path, ENGINEIO_PATH) || bytes_equal(path, ECHO_PATH)));
}

static bool query_is(const struct http_request *request, const char *name, const char *expected)
{
    struct buffer value = {0};
    bool equal = http_query_find(request->query, name, &value) == 0 &&
                 bytes_equal_text(buffer_bytes(&value), expected);

    buffer_done(&value);
    return equal;
}

/* -- answers --------------------------------------------------------------------------------- */

static struct caller caller_of(const struct gateway *gateway, const struct connection *connection)
{
    return (struct caller){gateway->incarnation, connection->number};
}

static void exchange_free(struct connection *connection)
{
    struct exchange *exchange = connection->exchange;

    connection->exchange = NULL;
    buffer_done(&exchange->content);
    buffer_done(&exchange->fields);
    free(exchange);
}

/* Sends the answer to the exchange, which is over. */
static void answer(struct gateway *gateway, struct connection *connection, struct http_answer *answer,
                   struct output *output)
{
    struct exchange *exchange = connection->exchange;

    answer->fields = buffer_bytes(&exchange->fields);
    answer->keep_alive = answer->keep_alive && exchange->keep_alive && !gateway->draining;
    if (!output)
        answer->content_length = answer->body.length;
    if (exchange->head)
        answer->body.length = 0;
    connection->exchange = NULL; /* what ends the connection finds nothing to abandon */
    if (output)
        http_send_output(gateway, connection, answer, output);
    else
        http_send(gateway, connection, answer);
    connection->exchange = exchange;
    exchange_free(connection);
    http_exchange_done(gateway, connection);
}

static void answer_error(struct gateway *gateway, struct connection *connection, enum engineio_error error)
{
    struct buffer body = {0};

    engineio_append_error(&body, error);
    answer(gateway, connection,
           &(struct http_answer){.status = engineio_error_status(error),
                                 .content_type = "application/json",
                                 .body = buffer_bytes(&body),
                                 .keep_alive = true},
           NULL);
    buffer_done(&body);
}

static void answer_payload(struct gateway *gateway, struct connection *connection, struct bytes payload)
{
    struct exchange *exchange = connection->exchange;
    struct buffer compressed = {0};

    buffer_append_literal(&exchange->fields, no_store);
    if (exchange->gzip && payload.length >= gateway->settings->http_compression_threshold) {
        deflate_gzip(gateway->deflate, &payload, 1, &compressed);
        payload = buffer_bytes(&compressed);
        buffer_append_literal(&exchange->fields, "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n");
    }
    answer(
        gateway, connection,
        &(struct http_answer){.status = 200, .content_type = plain_text, .body = payload, .keep_alive = true},
        NULL);
    buffer_done(&compressed);
}

void http_answer_poll(struct gateway *gateway, struct connection *connection, struct output *output)
{
    struct exchange *exchange = connection->exchange;
    struct buffer payload = {0};

    if (exchange->gzip && output->bytes >= gateway->settings->http_compression_threshold) {
        output_gather(output, &payload);
        output_done(output);
        answer_payload(gateway, connection, buffer_bytes(&payload));
        buffer_done(&payload);
        return;
    }
    buffer_append_literal(&exchange->fields, no_store);
    answer(
        gateway, connection,
        &(struct http_answer){
            .status = 200, .content_type = plain_text, .content_length = output->bytes, .keep_alive = true},
        output);
}

/* The error that a digit names; what another gateway says may be anything. */
static enum engineio_error error_of(struct bytes digit)
{
    bool known = digit.length == 1 && digit.data[0] >= '0' &&
                 digit.data[0] <= '0' + ENGINEIO_ERROR_VERSION_UNSUPPORTED;

    return known ? (enum engineio_error)(digit.data[0] - '0') : ENGINEIO_ERROR_SESSION_UNKNOWN;
}

static void send_decided(struct gateway *gateway, struct connection *connection, enum relay_kind kind,
                         struct bytes body)
{
    switch (kind) {
    case RELAY_PAYLOAD:
        answer_payload(gateway, connection, body);
        break;
    case RELAY_OK:
        buffer_append_literal(&connection->exchange->fields, no_store);
        answer(gateway, connection,
               &(struct http_answer){
                   .status = 200, .content_type = "text/html", .body = BYTES("ok"), .keep_alive = true},
               NULL);
        break;
    case RELAY_STATUS:
        answer(gateway, connection,
               &(struct http_answer){.status = body.length == 3 && body.data[0] == '5' ? 500 : 400,
                                     .keep_alive = true},
               NULL);
        break;
    case RELAY_ERROR:
        answer_error(gateway, connection, error_of(body));
        break;
    default:
        exchange_free(connection);
        connection_drop(gateway, connection, CLOSE_HTTP_BAD_REQUEST);
    }
}

/* Refuses the post, and what may be left of its body with it: nothing behind it is a request. */
static void answer_refused(struct gateway *gateway, struct connection *connection, int status)
{
    enum close_reason reason = status == 503 ? CLOSE_ROUTER_SILENT : CLOSE_HTTP_BAD_REQUEST;

    answer(gateway, connection, &(struct http_answer){.status = status, .reason = reason}, NULL);
}

void http_answer_pending(struct gateway *gateway, struct connection *connection, enum relay_kind kind,
                         struct bytes body)
{
    struct exchange *exchange = connection->exchange;

    if (!exchange || connection->state != CONNECTION_OPEN)
        return;
    if (exchange->refused) {
        answer_refused(gateway, connection, exchange->refused);
        return;
    }
    if (!exchange->reading || kind == RELAY_DROP) {
        send_decided(gateway, connection, kind, body);
        return;
    }
    if (exchange->decided || body.length >= sizeof exchange->decision)
        return;
    exchange->decided = (uint8_t)kind;
    if (body.length)
        memcpy(exchange->decision, body.data, body.length);
}

static void decide_error(struct gateway *gateway, struct connection *connection, enum engineio_error error)
{
    struct exchange *exchange = connection->exchange;

    exchange->home = 0;
    if (!exchange->reading) {
        answer_error(gateway, connection, error);
        return;
    }
    exchange->decided = RELAY_ERROR;
    exchange->decision[0] = (char)('0' + error);
}

void http_refuse_upgrade(struct gateway *gateway, struct connection *connection, enum engineio_error error)
{
    struct bytes message = engineio_error_message(error); /* bare, and the end, as the reference does */

    http_send(gateway, connection,
              &(struct http_answer){.status = 400,
                                    .content_type = "text/html",
                                    .body = message,
                                    .content_length = message.length,
                                    .reason = CLOSE_HTTP_BAD_REQUEST});
}

/* -- exchanges ------------------------------------------------------------------------------- */

/* The session lives, but will not get the post that has begun.  Another gateway's must know it first, or the
 * client's next post, which may come there straight, would be a second one. */
static void refuse_post(struct gateway *gateway, struct connection *connection, int status)
{
    struct exchange *exchange = connection->exchange;

    if (exchange->home == gateway->incarnation)
        polling_refuse_post(gateway, bytes_make(exchange->sid, sizeof exchange->sid),
                            caller_of(gateway, connection));
    else if (relay_waiter(gateway, exchange->question)) {
        exchange->refused = (uint16_t)status;
        exchange->reading = true; /* what still comes of it is passed over */
        relay_ask_further(gateway, exchange->question, RELAY_FORGET, (struct bytes){0});
        return;
    }
    answer_refused(gateway, connection, status);
}

/* The request is whole: its session is asked. */
static void ask(struct gateway *gateway, struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    struct bytes sid = bytes_make(exchange->sid, sizeof exchange->sid);
    struct bytes content = buffer_bytes(&exchange->content);
    enum relay_kind kind = exchange->kind;

    if (exchange->home == gateway->incarnation) {
        struct buffer body = exchange->content; /* the exchange may be over before the packets are read */

        exchange->content = (struct buffer){0};
        polling_request(gateway, kind, sid, caller_of(gateway, connection), content);
        buffer_done(&body);
        return;
    }
    if (exchange->question) {
        bool asked = relay_ask_further(gateway, exchange->question, kind, content);

        buffer_done(&exchange->content);
        if (!asked)
            refuse_post(gateway, connection, 503);
        return;
    }
    exchange->question = relay_ask(gateway, exchange->home, kind, sid, content, connection->number);
    buffer_done(&exchange->content);
    if (!exchange->question) {
        exchange_free(connection);
        http_fail(gateway, connection, 503, CLOSE_ROUTER_SILENT);
    }
}

static void on_complete(struct gateway *gateway, struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    char decision[sizeof exchange->decision];

    exchange->reading = false;
    if (!exchange->decided) {
        ask(gateway, connection);
        return;
    }
    memcpy(decision, exchange->decision, sizeof decision);
    send_decided(gateway, connection, exchange->decided, bytes_from_text(decision));
}

/* The client is gone, or not to be understood, before its session has answered. */
static void tell_session(struct gateway *gateway, struct connection *connection)
{
    const struct exchange *exchange = connection->exchange;
    struct bytes sid = bytes_make(exchange->sid, sizeof exchange->sid);

    if (exchange->home == 0 || exchange->decided || exchange->refused)
        return;
    if (exchange->home == gateway->incarnation)
        polling_abort(gateway, sid, caller_of(gateway, connection));
    else {
        relay_tell(gateway, exchange->home, exchange->question, RELAY_ABORT, sid);
        relay_forget(gateway, exchange->question);
    }
}

/* The body is over its limit, or none at all: nothing behind it is a request. */
static void refuse_body(struct gateway *gateway, struct connection *connection, int status)
{
    if (status == 413) {
        refuse_post(gateway, connection, status);
        return;
    }
    tell_session(gateway, connection);
    answer_refused(gateway, connection, status);
}

size_t engine_body(struct gateway *gateway, struct connection *connection, const char *data, size_t length)
{
    struct exchange *exchange = connection->exchange;
    size_t consumed;
    int result;

    if (exchange->refused)
        return length;
    result = http_body_read(&exchange->body, data, length, &consumed, &exchange->content);
    if (result < 0) {
        refuse_body(gateway, connection, -result);
        return length;
    }
    if (exchange->decided || exchange->home == 0)
        buffer_clear(&exchange->content); /* nobody will read it */
    if (result == 1)
        on_complete(gateway, connection);
    return consumed;
}

void exchange_abandon(struct gateway *gateway, struct connection *connection)
{
    if (!connection->exchange)
        return;
    tell_session(gateway, connection);
    exchange_free(connection);
}

static struct exchange *exchange_new(struct gateway *gateway, struct connection *connection,
                                     const struct http_request *request, struct bytes fields)
{
    struct exchange *exchange = memory_zero(1, sizeof *exchange);

    connection->exchange = exchange;
    exchange->reading = request->chunked || request->content_length > 0;
    exchange->keep_alive = request->keep_alive;
    exchange->head = request->method == HTTP_HEAD;
    exchange->gzip = gateway->settings->http_compression_threshold &&
                     http_accepts_coding(http_request_field(request, "Accept-Encoding"), "gzip");
    buffer_append_bytes(&exchange->fields, fields);
    http_body_init(&exchange->body, request, gateway->settings->max_payload);
    if (exchange->reading) {
        connection_set_timer(gateway, connection,
                             loop_now(gateway->loop) + gateway->settings->http_body_timeout);
        if (request->expect_continue)
            connection_send(gateway, connection, BYTES("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    return exchange;
}

/* -- requests with a session ------------------------------------------------------------------ */

static enum relay_kind question_of(const struct http_request *request)
{
    struct bytes type = http_request_field(request, "Content-Type");

    if (query_is(request, "transport", "websocket") || !query_is(request, "EIO", "4"))
        return RELAY_CHECK;
    if (request->method == HTTP_GET)
        return RELAY_POLL;
    if (request->method != HTTP_POST)
        return RELAY_METHOD;
    return bytes_equal_nocase(type, BYTES("application/octet-stream")) ? RELAY_POST_TYPE : RELAY_POST;
}

/* A second post while this one's body is coming is one too many. */
static void begin_post(struct gateway *gateway, struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    struct bytes sid = bytes_make(exchange->sid, sizeof exchange->sid);

    if (exchange->home == gateway->incarnation)
        polling_begin_post(gateway, sid, caller_of(gateway, connection));
    else
        exchange->question =
            relay_ask(gateway, exchange->home, RELAY_BEGIN, sid, (struct bytes){0}, connection->number);
}

static void request_session(struct gateway *gateway, struct connection *connection,
                            const struct http_request *request, struct bytes sid, struct bytes fields)
{
    struct exchange *exchange = exchange_new(gateway, connection, request, fields);

    exchange->kind = (uint8_t)question_of(request);
    if (session_home(sid, &exchange->home) < 0) {
        decide_error(gateway, connection, ENGINEIO_ERROR_SESSION_UNKNOWN);
        return;
    }
    memcpy(exchange->sid, sid.data, sizeof exchange->sid);
    if (!exchange->reading)
        ask(gateway, connection);
    else if (exchange->kind == RELAY_POST)
        begin_post(gateway, connection);
}

/* -- WebSockets -------------------------------------------------------------------------------- */

/* A new session on a WebSocket. */
static void open_websocket(struct gateway *gateway, struct connection *connection,
                           const struct http_request *request, struct websocket_offer *offer)
{
    char sid[SESSION_SID_LENGTH], address[HANDSHAKE_ADDRESS_MAX + 1];
    struct buffer open = {0};

    session_make_sid(gateway, sid);
    engine_append_open(gateway, bytes_make(sid, sizeof sid), false, &open);
    connection->bare = bytes_starts_with(request->path, ENGINEIO_PATH);
    connection->handshake = handshake_new(request, connection_address(connection, address), clock_wall_ms());
    websocket_accept(gateway, connection, offer, &websocket_session, buffer_bytes(&open));
    engine_start(gateway, connection);
    buffer_done(&open);
    websocket_offer_done(offer);
}

static void request_websocket(struct gateway *gateway, struct connection *connection,
                              const struct http_request *request, struct bytes sid, struct bytes fields)
{
    struct websocket_offer offer;
    uint64_t home;
    int status;

    if (sid.length && session_home(sid, &home) < 0) {
        http_refuse_upgrade(gateway, connection, ENGINEIO_ERROR_SESSION_UNKNOWN);
        return;
    }
    if (sid.length == 0 && !query_is(request, "transport", "websocket")) {
        http_refuse_upgrade(gateway, connection, ENGINEIO_ERROR_TRANSPORT_UNKNOWN);
        return;
    }
    if (sid.length == 0 && !query_is(request, "EIO", "4")) {
        http_refuse_upgrade(gateway, connection, ENGINEIO_ERROR_VERSION_UNSUPPORTED);
        return;
    }
    if (gateway->draining) {
        http_fail(gateway, connection, 503, CLOSE_DRAIN);
        return;
    }
    status = websocket_offer_make(gateway, request, fields, &offer);
    if (status == -426)
        http_answer_status(gateway, connection, request, 426, BYTES("Sec-WebSocket-Version: 13\r\n"));
    else if (status < 0)
        http_fail(gateway, connection, -status, CLOSE_HTTP_BAD_REQUEST);
    else if (sid.length)
        arrival_begin(gateway, connection, &offer, sid, home, query_is(request, "transport", "websocket"));
    else
        open_websocket(gateway, connection, request, &offer);
}

/* The diagnostic echo of bare frames. */
static void request_echo(struct gateway *gateway, struct connection *connection,
                         const struct http_request *request)
{
    struct websocket_offer offer;
    int status =
        request->upgrade_websocket ? websocket_offer_make(gateway, request, (struct bytes){0}, &offer) : -426;

    if (status == -426)
        http_answer_status(gateway, connection, request, 426,
                           BYTES("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"));
    else if (status < 0)
        http_fail(gateway, connection, -status, CLOSE_HTTP_BAD_REQUEST);
    else {
        websocket_accept(gateway, connection, &offer, &websocket_echo, (struct bytes){0});
        websocket_offer_done(&offer);
    }
}

/* -- handshakes -------------------------------------------------------------------------------- */

/* A new session on the polling transport. */
static void open_polling(struct gateway *gateway, struct connection *connection,
                         const struct http_request *request)
{
    struct exchange *exchange = connection->exchange;
    char address[HANDSHAKE_ADDRESS_MAX + 1];
    struct buffer open = {0};
    struct connection *session;

    if (gateway->draining || listener_is_full(gateway->listener)) {
        exchange_free(connection);
        http_fail(gateway, connection, 503, gateway->draining ? CLOSE_DRAIN : CLOSE_HTTP_DONE);
        return;
    }
    session = polling_open(gateway, bytes_starts_with(request->path, ENGINEIO_PATH), &open);
    session->handshake = handshake_new(request, connection_address(connection, address), clock_wall_ms());
    if (gateway->settings->cookie[0])
        buffer_printf(&exchange->fields, "Set-Cookie: %s=%.*s; Path=/; HttpOnly; SameSite=Lax\r\n",
                      gateway->settings->cookie, SESSION_SID_LENGTH, session->session->sid);
    answer_payload(gateway, connection, buffer_bytes(&open));
    buffer_done(&open);
}

static void request_handshake(struct gateway *gateway, struct connection *connection,
                              const struct http_request *request, struct bytes fields)
{
    exchange_new(gateway, connection, request, fields);
    if (request->method != HTTP_GET)
        decide_error(gateway, connection, ENGINEIO_ERROR_BAD_METHOD);
    else if (!query_is(request, "transport", "polling"))
        decide_error(gateway, connection, ENGINEIO_ERROR_BAD_REQUEST);
    else if (!query_is(request, "EIO", "4"))
        decide_error(gateway, connection, ENGINEIO_ERROR_VERSION_UNSUPPORTED);
    else if (connection->exchange->reading) /* a GET with a body is none of any client */
        decide_error(gateway, connection, ENGINEIO_ERROR_BAD_REQUEST);
    else
        open_polling(gateway, connection, request);
}

static void request_engine(struct gateway *gateway, struct connection *connection,
                           const struct http_request *request, struct bytes fields)
{
    struct buffer sid = {0}; /* empty when it names none: an empty sid counts as none */
    bool polling = query_is(request, "transport", "polling");

    if (http_query_find(request->query, "sid", &sid) == ERROR_MALFORMED)
        buffer_append_char(&sid, '%');
    if (!polling && !query_is(request, "transport", "websocket")) {
        if (request->upgrade_websocket)
            http_refuse_upgrade(gateway, connection, ENGINEIO_ERROR_TRANSPORT_UNKNOWN);
        else {
            exchange_new(gateway, connection, request, fields);
            decide_error(gateway, connection, ENGINEIO_ERROR_TRANSPORT_UNKNOWN);
        }
    } else if (request->upgrade_websocket)
        request_websocket(gateway, connection, request, buffer_bytes(&sid), fields);
    else if (sid.length)
        request_session(gateway, connection, request, buffer_bytes(&sid), fields);
    else
        request_handshake(gateway, connection, request, fields);
    buffer_done(&sid);
}

static void answer_preflight(struct gateway *gateway, struct connection *connection,
                             const struct http_request *request, struct buffer *fields)
{
    cors_append_preflight(request, fields);
    http_answer(gateway, connection, request,
                (struct http_answer){.status = 204, .fields = buffer_bytes(fields)});
}

void engine_request(struct gateway *gateway, struct connection *connection,
                    const struct http_request *request)
{
    struct buffer fields = {0};

    cors_append(gateway->settings, request, &fields);
    if (bytes_equal(request->path, ECHO_PATH))
        request_echo(gateway, connection, request);
    else if (request->method == HTTP_OPTIONS && cors_is_on(gateway->settings))
        answer_preflight(gateway, connection, request, &fields);
    else
        request_engine(gateway, connection, request, buffer_bytes(&fields));
    buffer_done(&fields);
}
