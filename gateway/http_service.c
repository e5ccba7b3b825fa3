/*
 * Requests, and the routes of those that are not Engine.IO's; see http_service.h.  Called by the entrance
 * and, as a connection's protocol, by connection.c.  The surprising rule: only Engine.IO takes bodies, so a
 * request to another path that announces one is answered and its connection closed: its bytes are never read
 * as another request.
 */
#include "gateway/http_service.h"

#include "common/log.h"
#include "gateway/asset.h"
#include "gateway/bare_service.h"
#include "gateway/client_source.h"
#include "gateway/connection.h"
#include "gateway/engine_service.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/http_answer.h"
#include "gateway/origin.h"
#include "proto/http.h"

#include <sys/socket.h>
#include <unistd.h>

enum {
    OUTPUT_LIMIT = 4 << 20, /* answers that wait to be read: more than the largest file */
    ORIGIN_LOGGED_MAX = 128,
    EARLY_MAX = 64 << 10, /* bytes of further requests while one is not answered */
};

/* -- routes ---------------------------------------------------------------------------------- */

/* 200 while clients are served, 503 when a balancer should look elsewhere. */
static void answer_health(struct gateway *gateway, struct connection *connection,
                          const struct http_request *request)
{
    const char *why = "ok";
    bool healthy = gateway_is_healthy(gateway, &why);
    struct buffer body = {0};

    buffer_printf(&body, "%s\n", why);
    http_answer(gateway, connection, request,
                (struct http_answer){.status = healthy ? 200 : 503,
                                     .content_type = "text/plain; charset=utf-8",
                                     .fields = BYTES("Cache-Control: no-store\r\n"),
                                     .body = buffer_bytes(&body)});
    buffer_done(&body);
}

static void answer_method_not_allowed(struct gateway *gateway, struct connection *connection,
                                      const struct http_request *request)
{
    http_answer_status(gateway, connection, request, 405, BYTES("Allow: GET, HEAD\r\n"));
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
    http_answer(gateway, connection, request,
                (struct http_answer){.status = fresh ? 304 : 200,
                                     .content_type = fresh ? NULL : asset->content_type,
                                     .fields = buffer_bytes(&fields),
                                     .body = fresh ? (struct bytes){0} : asset_body(asset)});
    buffer_done(&fields);
}

/* A page of another origin; as Engine.IO says it, or not. */
static void refuse_origin(struct gateway *gateway, struct connection *connection,
                          const struct http_request *request)
{
    struct bytes origin = http_request_field(request, "Origin");
    struct client_source source = client_source_of(gateway, connection, request);
    char address[IP_ADDRESS_TEXT];
    struct buffer body = {0};

    if (origin.length > ORIGIN_LOGGED_MAX)
        origin.length = ORIGIN_LOGGED_MAX;
    gateway->counters.origins_refused++;
    log_info("refused a page of another origin: if it is one of yours, add it to gateway.origins",
             "origin=%.*s address=%.*s", BYTES_PRINTF(origin),
             BYTES_PRINTF(ip_address_text(&source.address, address)));
    if (engine_serves(gateway, request->path)) {
        gateway->counters.engine_refused[ENGINEIO_ERROR_FORBIDDEN]++;
        engineio_append_error(&body, ENGINEIO_ERROR_FORBIDDEN);
    } else
        buffer_append_literal(&body, "{\"message\":\"Forbidden\"}");
    http_answer(
        gateway, connection, request,
        (struct http_answer){.status = 403, .content_type = "application/json", .body = buffer_bytes(&body)});
    buffer_done(&body);
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
    } else if (!engine_serves(gateway, request->path) && !bare_serves(request->path))
        http_answer_status(gateway, connection, request, 404, (struct bytes){0});
    else if (!origin_allowed(gateway->settings->origins, request))
        refuse_origin(gateway, connection, request);
    else if (bare_serves(request->path))
        bare_request(gateway, connection, request);
    else
        engine_request(gateway, connection, request);
}

/* -- the protocol ---------------------------------------------------------------------------- */

/* Reads one request's head from the front, and answers it.  What it took; 0 for more, or when it failed. */
static size_t read_request(struct gateway *gateway, struct connection *connection, const char *data,
                           size_t length)
{
    struct http_limits limits = HTTP_LIMITS_DEFAULT;
    struct http_request request;
    int result;

    limits.head = gateway->settings->max_http_head;
    result = http_request_parse(data, length, &limits, &request);
    if (result < 0)
        http_fail(gateway, connection, -result, CLOSE_HTTP_BAD_REQUEST);
    if (result <= 0)
        return 0;
    connection_set_timer(gateway, connection, loop_now(gateway->loop) + gateway->settings->http_idle_timeout);
    answer_request(gateway, connection, &request);
    if (connection->output.bytes > OUTPUT_LIMIT) /* asks for more than it reads */
        connection_drop(gateway, connection, CLOSE_SLOW_READER);
    return (size_t)result;
}

/* Keeps what can't be read yet. */
static void keep(struct gateway *gateway, struct connection *connection, const char *data, size_t length,
                 bool fresh)
{
    if (connection->exchange && length > EARLY_MAX) {
        connection_drop(gateway, connection, CLOSE_SLOW_READER);
        return;
    }
    connection_hold(connection, data, length);
    if (!connection->exchange && fresh)
        connection_set_timer(gateway, connection,
                             loop_now(gateway->loop) + gateway->settings->http_head_timeout);
}

static void on_input(struct gateway *gateway, struct connection *connection, char *data, size_t length)
{
    const struct connection_protocol *protocol = connection->protocol;
    struct buffer joined = {0};
    bool fresh = !connection->held; /* the time of a head runs from its first byte */

    if (connection->held) { /* the rest of what came before */
        joined = connection_unhold(connection);
        buffer_append(&joined, data, length);
        data = joined.data;
        length = joined.length;
    }
    while (length && connection->state == CONNECTION_OPEN && connection->protocol == protocol) {
        bool reading = connection->exchange && connection->exchange->reading;
        size_t taken = 0;

        if (reading)
            taken = exchange_read(gateway, connection, data, length);
        else if (!connection->exchange)
            taken = read_request(gateway, connection, data, length);
        if (taken == 0)
            break;
        fresh = true;
        data += taken;
        length -= taken;
    }
    if (length && connection->state == CONNECTION_OPEN) {
        if (connection->protocol == protocol)
            keep(gateway, connection, data, length, fresh);
        else /* upgraded: what is left is for the new one */
            connection->protocol->input(gateway, connection, data, length);
    }
    buffer_done(&joined);
}

void http_exchange_done(struct gateway *gateway, struct connection *connection)
{
    if (connection->state != CONNECTION_OPEN)
        return;
    connection_set_timer(gateway, connection, loop_now(gateway->loop) + gateway->settings->http_idle_timeout);
    connection_wake(gateway, connection);
}

static void on_timeout(struct gateway *gateway, struct connection *connection)
{
    if (connection->exchange && !connection->exchange->reading)
        return; /* its session has the time */
    if (connection->held || connection->exchange)
        http_fail(gateway, connection, 408, CLOSE_HTTP_TIMEOUT);
    else
        connection_end(gateway, connection, CLOSE_HTTP_IDLE);
}

static void on_ending(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    (void)reason;
    exchange_abandon(gateway, connection);
}

static const struct connection_protocol http_protocol = {
    .output_limit = OUTPUT_LIMIT,
    .input = on_input,
    .timeout = on_timeout,
    .ending = on_ending,
};

void http_begin(struct gateway *gateway, struct connection *connection)
{
    connection->protocol = &http_protocol;
    connection_set_timer(gateway, connection, loop_now(gateway->loop) + gateway->settings->http_head_timeout);
}

bool http_is_spoken(const struct connection *connection)
{
    return connection->protocol == &http_protocol;
}

/* What the client has sent already is taken in: closing on top of unread bytes resets the connection, and the
 * answer may be lost with it. */
static void pass_over(int fd)
{
    char passed[4096];

    for (int i = 0; i < 16 && recv(fd, passed, sizeof passed, MSG_DONTWAIT) > 0; i++)
        ;
}

void http_say_refused(struct gateway *gateway, int fd, int status)
{
    static const char alert[] = "\x15\x03\x03\0\x02\x02\x50"; /* fatal, internal_error (RFC 8446 6.2) */
    struct buffer *out = &gateway->scratch;
    ssize_t written;

    http_count_refusal(gateway, status);
    buffer_clear(out);
    if (gateway->tls)
        buffer_append(out, alert, sizeof alert - 1);
    else
        buffer_printf(out,
                      "HTTP/1.1 %d %s\r\nContent-Length: 0\r\nRetry-After: 5\r\nConnection: close\r\n\r\n",
                      status, http_reason(status));
    written = send(fd, out->data, out->length, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)written; /* it may not hear it; it is refused all the same */
    pass_over(fd);
}

void http_refuse(struct gateway *gateway, int fd, int status)
{
    http_say_refused(gateway, fd, status);
    close(fd);
}
