/*
 * Requests and their answers; see http_service.h.  Called by the listener and, as a connection's protocol, by
 * connection.c.  The surprising rule: no route takes a body yet, so a request that announces one is answered
 * and its connection closed: its bytes are never read as another request.
 */
#include "gateway/http_service.h"

#include "common/clock.h"
#include "common/memory.h"
#include "gateway/asset.h"
#include "gateway/connection.h"
#include "gateway/engine.h"
#include "gateway/gateway.h"
#include "gateway/handshake.h"
#include "proto/engineio.h"
#include "proto/http.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ENGINE_PATH BYTES("/socket.io/")

enum { OUTPUT_LIMIT = 4 << 20 }; /* answers that wait to be read: more than the largest file */

struct answer {
    int status;
    const char *content_type;
    const char *fields; /* further lines, each with its CRLF, or NULL */
    struct bytes body;
    size_t content_length; /* differs from the body's for HEAD */
    bool keep_alive;
    enum close_reason reason; /* of the end when it is not kept alive; CLOSE_NONE: CLOSE_HTTP_DONE */
};

/* -- answering ------------------------------------------------------------------------------- */

static void append_date(struct buffer *out)
{
    static time_t second;
    static char text[40];
    static size_t length;
    time_t now = time(NULL);

    if (now != second) {
        struct tm parts;

        second = now;
        gmtime_r(&now, &parts);
        length = strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
    }
    buffer_append(out, text, length);
}

static void send_answer(struct gateway *gateway, struct connection *connection, const struct answer *answer)
{
    struct buffer *out = &gateway->scratch;

    gateway->counters.http_requests++;
    buffer_clear(out);
    buffer_append_literal(out, "HTTP/1.1 ");
    buffer_append_u64(out, (uint64_t)answer->status);
    buffer_append_char(out, ' ');
    buffer_append_text(out, http_reason(answer->status));
    buffer_append_literal(out, "\r\n");
    append_date(out);
    if (answer->content_type) {
        buffer_append_literal(out, "Content-Type: ");
        buffer_append_text(out, answer->content_type);
        buffer_append_literal(out, "\r\n");
    }
    if (answer->fields)
        buffer_append_text(out, answer->fields);
    if (answer->status != 304) {
        buffer_append_literal(out, "Content-Length: ");
        buffer_append_u64(out, answer->content_length);
        buffer_append_literal(out, "\r\n");
    }
    buffer_append_text(out,
                       answer->keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
    connection_send(gateway, connection, buffer_bytes(out));
    if (answer->body.length)
        connection_send(gateway, connection, answer->body);
    if (!answer->keep_alive)
        connection_end(gateway, connection, answer->reason ? answer->reason : CLOSE_HTTP_DONE);
}

static bool has_body(const struct http_request *request)
{
    return request->chunked || request->content_length > 0;
}

static void answer_with(struct gateway *gateway, struct connection *connection,
                        const struct http_request *request, struct answer answer)
{
    answer.content_length = answer.body.length;
    answer.keep_alive = request->keep_alive && !has_body(request) && !gateway->draining;
    if (request->method == HTTP_HEAD)
        answer.body.length = 0;
    send_answer(gateway, connection, &answer);
}

/* Refuses and closes: nothing after it can be trusted to be a request. */
static void refuse(struct gateway *gateway, struct connection *connection, int status,
                   enum close_reason reason)
{
    struct bytes body = bytes_from_text(http_reason(status));

    send_answer(gateway, connection,
                &(struct answer){.status = status,
                                 .content_type = "text/plain; charset=utf-8",
                                 .body = body,
                                 .content_length = body.length,
                                 .reason = reason});
}

static void answer_status(struct gateway *gateway, struct connection *connection,
                          const struct http_request *request, int status, const char *fields)
{
    answer_with(gateway, connection, request,
                (struct answer){.status = status,
                                .content_type = "text/plain; charset=utf-8",
                                .fields = fields,
                                .body = bytes_from_text(http_reason(status))});
}

static void answer_method_not_allowed(struct gateway *gateway, struct connection *connection,
                                      const struct http_request *request)
{
    answer_status(gateway, connection, request, 405, "Allow: GET, HEAD\r\n");
}

/* -- routes ---------------------------------------------------------------------------------- */

/* 200 while clients are served, 503 when a balancer should look elsewhere. */
static void answer_health(struct gateway *gateway, struct connection *connection,
                          const struct http_request *request)
{
    bool serving = !gateway->draining && link_away(gateway->link) <= gateway->settings->dead;

    answer_with(gateway, connection, request,
                (struct answer){.status = serving ? 200 : 503,
                                .content_type = "text/plain; charset=utf-8",
                                .fields = "Cache-Control: no-store\r\n",
                                .body = serving ? BYTES("ok\n") : BYTES("the router is away\n")});
}

static bool etag_matches(const struct http_request *request, const char *etag)
{
    struct bytes value = http_request_field(request, "If-None-Match");

    if (value.length && value.data[0] == '*')
        return true;
    if (bytes_starts_with(value, BYTES("W/")))
        value = bytes_make(value.data + 2, value.length - 2);
    return bytes_equal_text(value, etag);
}

static void answer_asset(struct gateway *gateway, struct connection *connection,
                         const struct http_request *request, const struct asset *asset)
{
    bool is_page = bytes_starts_with(bytes_from_text(asset->content_type), BYTES("text/html"));
    bool fresh = etag_matches(request, asset->etag);
    struct buffer fields = {0};

    buffer_printf(&fields,
                  "ETag: %s\r\nCache-Control: public, max-age=0\r\nX-Content-Type-Options: nosniff\r\n",
                  asset->etag);
    if (is_page)
        buffer_append_literal(&fields,
                              "Content-Security-Policy: default-src 'self'; connect-src 'self' ws: wss:; "
                              "frame-ancestors 'none'; base-uri 'none'; form-action 'self'\r\n"
                              "Referrer-Policy: no-referrer\r\n");
    buffer_append_char(&fields, '\0');
    answer_with(gateway, connection, request,
                (struct answer){.status = fresh ? 304 : 200,
                                .content_type = fresh ? NULL : asset->content_type,
                                .fields = fields.data,
                                .body = fresh ? (struct bytes){0} : asset_body(asset)});
    buffer_done(&fields);
}

static bool query_is(const struct http_request *request, const char *name, const char *expected)
{
    struct buffer value = {0};
    bool equal = http_query_find(request->query, name, &value) == 0 &&
                 bytes_equal_text(buffer_bytes(&value), expected);

    buffer_done(&value);
    return equal;
}

/* The session that a request names; empty when it names none (an empty sid counts as none). */
static bool names_session(const struct http_request *request)
{
    struct buffer value = {0};
    bool named = http_query_find(request->query, "sid", &value) == 0 && value.length > 0;

    buffer_done(&value);
    return named;
}

/* The order of the checks is the reference server's (Engine.IO v4). 0 when a handshake may go on, else 1. */
static int check_engine_request(const struct http_request *request, enum engineio_error *error)
{
    if (!query_is(request, "transport", "websocket"))
        *error = ENGINEIO_ERROR_TRANSPORT_UNKNOWN;
    else if (names_session(request))
        *error = ENGINEIO_ERROR_SESSION_UNKNOWN; /* of polling only, which this version does not serve */
    else if (request->method != HTTP_GET)
        *error = ENGINEIO_ERROR_BAD_METHOD;
    else if (!request->upgrade_websocket)
        *error = ENGINEIO_ERROR_BAD_REQUEST;
    else if (!query_is(request, "EIO", "4"))
        *error = ENGINEIO_ERROR_VERSION_UNSUPPORTED;
    else
        return 0;
    return 1;
}

static void answer_engine_error(struct gateway *gateway, struct connection *connection,
                                const struct http_request *request, enum engineio_error error)
{
    struct buffer body = {0};

    if (request->upgrade_websocket) { /* the bare message, and the end, as the reference does */
        struct bytes message = engineio_error_message(error);

        send_answer(gateway, connection,
                    &(struct answer){.status = 400,
                                     .content_type = "text/html",
                                     .body = message,
                                     .content_length = message.length,
                                     .reason = CLOSE_HTTP_BAD_REQUEST});
        return;
    }
    engineio_append_error(&body, error);
    answer_with(gateway, connection, request,
                (struct answer){.status = engineio_error_status(error),
                                .content_type = "application/json",
                                .body = buffer_bytes(&body)});
    buffer_done(&body);
}

static void answer_engine(struct gateway *gateway, struct connection *connection,
                          const struct http_request *request)
{
    enum engineio_error error;
    struct bytes key, subprotocol;
    int status;

    if (check_engine_request(request, &error)) {
        answer_engine_error(gateway, connection, request, error);
        return;
    }
    if (gateway->draining) {
        refuse(gateway, connection, 503, CLOSE_DRAIN);
        return;
    }
    status = http_websocket_check(request, &key);
    if (status == 0)
        status = http_websocket_subprotocol(request, &subprotocol);
    if (status == -426)
        answer_status(gateway, connection, request, 426, "Sec-WebSocket-Version: 13\r\n");
    else if (status < 0)
        refuse(gateway, connection, -status, CLOSE_HTTP_BAD_REQUEST);
    else {
        char address[HANDSHAKE_ADDRESS_MAX + 1];

        connection->handshake =
            handshake_new(request, connection_address(connection, address), clock_wall_ms());
        engine_open(gateway, connection, key, subprotocol);
    }
}

static void answer_request(struct gateway *gateway, struct connection *connection,
                           const struct http_request *request)
{
    const struct asset *asset = asset_find(request->path);
    bool reads = request->method == HTTP_GET || request->method == HTTP_HEAD;
    bool is_health = bytes_equal_text(request->path, "/healthz");

    if (asset || is_health) {
        if (!reads)
            answer_method_not_allowed(gateway, connection, request);
        else if (is_health)
            answer_health(gateway, connection, request);
        else
            answer_asset(gateway, connection, request, asset);
    } else if (bytes_starts_with(request->path, ENGINE_PATH))
        answer_engine(gateway, connection, request);
    else
        answer_status(gateway, connection, request, 404, NULL);
}

/* -- the protocol ---------------------------------------------------------------------------- */

static void on_input(struct gateway *gateway, struct connection *connection, char *data, size_t length)
{
    const struct connection_protocol *protocol = connection->protocol;
    struct http_limits limits = HTTP_LIMITS_DEFAULT;
    struct buffer joined = {0};
    bool fresh = !connection->held; /* the time of a head runs from its first byte */

    limits.head = gateway->settings->max_http_head;
    if (connection->held) { /* the rest of what came before */
        joined = connection_unhold(connection);
        buffer_append(&joined, data, length);
        data = joined.data;
        length = joined.length;
    }
    while (length && connection->state == CONNECTION_OPEN) {
        struct http_request request;
        int result = http_request_parse(data, length, &limits, &request);

        if (result < 0) {
            refuse(gateway, connection, -result, CLOSE_HTTP_BAD_REQUEST);
            break;
        }
        if (result == 0) {
            connection_hold(connection, data, length);
            if (fresh)
                connection_set_timer(gateway, connection,
                                     loop_now(gateway->loop) + gateway->settings->http_head_timeout);
            break;
        }
        data += result;
        length -= (size_t)result;
        fresh = true;
        connection_set_timer(gateway, connection,
                             loop_now(gateway->loop) + gateway->settings->http_idle_timeout);
        answer_request(gateway, connection, &request);
        if (connection->output.bytes > OUTPUT_LIMIT) /* asks for more than it reads */
            connection_drop(gateway, connection, CLOSE_SLOW_READER);
        if (connection->protocol != protocol) { /* upgraded: what is left is for the new one */
            if (length && connection->state == CONNECTION_OPEN)
                connection->protocol->input(gateway, connection, data, length);
            break;
        }
    }
    buffer_done(&joined);
}

static void on_timeout(struct gateway *gateway, struct connection *connection)
{
    if (connection->held)
        refuse(gateway, connection, 408, CLOSE_HTTP_TIMEOUT);
    else
        connection_end(gateway, connection, CLOSE_HTTP_IDLE);
}

static void on_ending(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    (void)gateway;
    (void)connection;
    (void)reason;
}

static const struct connection_protocol http_protocol = {
    .output_limit = OUTPUT_LIMIT,
    .input = on_input,
    .timeout = on_timeout,
    .ending = on_ending,
};

void http_accept(struct gateway *gateway, int fd)
{
    struct connection *connection = connection_new(gateway, fd, &http_protocol);

    if (connection)
        connection_set_timer(gateway, connection,
                             loop_now(gateway->loop) + gateway->settings->http_head_timeout);
}

void http_refuse(struct gateway *gateway, int fd)
{
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\n"
                               "Connection: close\r\n\r\n";
    ssize_t written = send(fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT);

    (void)written; /* it may not hear it; it is refused all the same */
    gateway->counters.refused_too_many++;
    close(fd);
}
