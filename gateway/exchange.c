/*
 * Requests of Engine.IO that are not answered yet; see exchange.h.  engine_service.c makes them,
 * http_service.c brings their bodies, polling.c and relay.c the answers.  The surprising rule: a request is
 * judged when its head is here but answered only when its body is, too, so that the connection can go on;
 * what it is to be answered is kept until then.
 */
#include "gateway/exchange.h"

#include "common/memory.h"
#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "gateway/http_answer.h"
#include "gateway/http_service.h"
#include "gateway/polling.h"
#include "proto/deflate.h"
#include "proto/http.h"

#include <stdlib.h>

static const char plain_text[] = "text/plain; charset=UTF-8";

/* -- answers --------------------------------------------------------------------------------- */

void exchange_free(struct connection *connection)
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
    answer->keep_alive =
        answer->keep_alive && exchange->keep_alive &&
        (!gateway->draining || (!gateway->drain.all_told && exchange->home == gateway->incarnation));
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

    gateway->counters.engine_refused[error]++;
    engineio_append_error(&body, error);
    answer(gateway, connection,
           &(struct http_answer){.status = engineio_error_status(error),
                                 .content_type = "application/json",
                                 .body = buffer_bytes(&body),
                                 .keep_alive = true},
           NULL);
    buffer_done(&body);
}

void exchange_answer_payload(struct gateway *gateway, struct connection *connection, struct bytes payload)
{
    struct exchange *exchange = connection->exchange;
    struct buffer compressed = {0};

    if (exchange->gzip && payload.length >= gateway->settings->http_compression_threshold) {
        deflate_gzip(gateway->deflate, &payload, 1, &compressed);
        payload = buffer_bytes(&compressed);
        buffer_append_literal(&exchange->fields, "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n");
    }
    answer(
        gateway, connection,
        &(struct http_answer){
            .status = 200, .content_type = plain_text, .no_store = true, .body = payload, .keep_alive = true},
        NULL);
    buffer_done(&compressed);
}

void exchange_answer_poll(struct gateway *gateway, struct connection *connection, struct output *output)
{
    struct exchange *exchange = connection->exchange;
    struct buffer payload = {0};

    if (exchange->gzip && output->bytes >= gateway->settings->http_compression_threshold) {
        output_gather(output, &payload);
        output_done(output);
        exchange_answer_payload(gateway, connection, buffer_bytes(&payload));
        buffer_done(&payload);
        return;
    }
    answer(gateway, connection,
           &(struct http_answer){.status = 200,
                                 .content_type = plain_text,
                                 .no_store = true,
                                 .content_length = output->bytes,
                                 .keep_alive = true},
           output);
    connection_expect_request(connection); /* the next poll, whose acknowledgement alone is a fifth of it */
}

/* The error that a digit names; what another gateway says may be anything. */
static enum engineio_error error_of(struct bytes digit)
{
    bool known = digit.length == 1 && digit.data[0] >= '0' && digit.data[0] < '0' + ENGINEIO_ERRORS;

    return known ? (enum engineio_error)(digit.data[0] - '0') : ENGINEIO_ERROR_SESSION_UNKNOWN;
}

static void send_decided(struct gateway *gateway, struct connection *connection, enum relay_kind kind,
                         struct bytes body)
{
    switch (kind) {
    case RELAY_PAYLOAD:
        exchange_answer_payload(gateway, connection, body);
        break;
    case RELAY_OK:
        answer(gateway, connection,
               &(struct http_answer){.status = 200,
                                     .content_type = "text/html",
                                     .no_store = true,
                                     .body = BYTES("ok"),
                                     .keep_alive = true},
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

void exchange_answer(struct gateway *gateway, struct connection *connection, enum relay_kind kind,
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

void exchange_refuse(struct gateway *gateway, struct connection *connection, enum engineio_error error)
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

/* -- exchanges ------------------------------------------------------------------------------- */

/* The session lives, but will not get the post that has begun.  Another gateway's must know it first, or the
 * client's next post, which may come there straight, would be a second one. */
static void refuse_post(struct gateway *gateway, struct connection *connection, int status)
{
    struct exchange *exchange = connection->exchange;

    if (exchange->home == gateway->incarnation)
        polling_refuse_post(gateway, bytes_make(exchange->sid, sizeof exchange->sid),
                            caller_here(gateway, connection));
    else if (relay_waiter(gateway, exchange->question)) {
        exchange->refused = (uint16_t)status;
        exchange->reading = true; /* what still comes of it is passed over */
        relay_ask_further(gateway, exchange->question, RELAY_FORGET, (struct bytes){0});
        return;
    }
    answer_refused(gateway, connection, status);
}

/* The request is whole: its session is asked. */
void exchange_ask(struct gateway *gateway, struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    struct bytes sid = bytes_make(exchange->sid, sizeof exchange->sid);
    struct bytes content = buffer_bytes(&exchange->content);
    enum relay_kind kind = exchange->kind;

    if (exchange->home == gateway->incarnation) {
        struct buffer body = exchange->content; /* the exchange may be over before the packets are read */

        exchange->content = (struct buffer){0};
        polling_request(gateway, kind, sid, caller_here(gateway, connection), content);
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
        exchange_ask(gateway, connection);
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
        polling_abort(gateway, sid, caller_here(gateway, connection));
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

size_t exchange_read(struct gateway *gateway, struct connection *connection, const char *data, size_t length)
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

struct exchange *exchange_new(struct gateway *gateway, struct connection *connection,
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
        if (request->expect_continue && request->content_length <= (long long)gateway->settings->max_payload)
            connection_send(gateway, connection, BYTES("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    return exchange;
}

/* The head tells already that the body will be over its limit: nobody waits for it. */
static void refuse_if_announced_too_large(struct gateway *gateway, struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    size_t consumed;
    int result;

    if (!exchange || exchange->decided || connection->state != CONNECTION_OPEN)
        return;
    result = http_body_read(&exchange->body, NULL, 0, &consumed, &exchange->content);
    if (result < 0)
        refuse_body(gateway, connection, -result);
}

/* A second post while this one's body is coming is one too many. */
void exchange_begin_post(struct gateway *gateway, struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    struct bytes sid = bytes_make(exchange->sid, sizeof exchange->sid);

    if (exchange->home == gateway->incarnation)
        polling_begin_post(gateway, sid, caller_here(gateway, connection));
    else
        exchange->question =
            relay_ask(gateway, exchange->home, RELAY_BEGIN, sid, (struct bytes){0}, connection->number);
    refuse_if_announced_too_large(gateway, connection);
}
