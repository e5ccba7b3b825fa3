/*
 * Requests to Engine.IO's paths; see engine_service.h.  http_service.c brings them.  The surprising rule:
 * only what the request itself tells is judged here, in the reference server's order; whatever depends on the
 * session is asked of its gateway, be it this one.
 */
#include "gateway/engine_service.h"

#include "gateway/arrival.h"
#include "gateway/client_source.h"
#include "gateway/connection.h"
#include "gateway/cors.h"
#include "gateway/engine.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/http_answer.h"
#include "gateway/http_service.h"
#include "gateway/listener.h"
#include "gateway/polling.h"
#include "gateway/websocket_transport.h"
#include "proto/http.h"

#define SOCKETIO_PATH BYTES("/socket.io/")
#define ENGINEIO_PATH BYTES("/engine.io/")
#define ECHO_PATH     BYTES("/echo")

/* Whether clients of that path have the msgpack parser. */
static bool is_msgpack(const struct gateway *gateway, struct bytes path)
{
    struct bytes prefix = bytes_from_text(gateway->settings->msgpack_path);

    return prefix.length && bytes_starts_with(path, prefix);
}

bool engine_serves(const struct gateway *gateway, struct bytes path)
{
    return bytes_starts_with(path, SOCKETIO_PATH) || is_msgpack(gateway, path) ||
           (gateway->settings->echo &&
            (bytes_starts_with(path, ENGINEIO_PATH) || bytes_equal(path, ECHO_PATH)));
}

/* What a request's query says. */
struct query {
    bool polling, websocket; /* the transport; neither: another, or none */
    bool version_4;
    struct bytes sid; /* empty when it names none: an empty one counts as none */
    struct buffer space;
};

static void query_read(const struct http_request *request, struct query *query)
{
    enum { TRANSPORT, VERSION, SID, NAMES };
    static const struct bytes names[NAMES] = {{"transport", 9}, {"EIO", 3}, {"sid", 3}};
    struct bytes values[NAMES];

    http_query_read(request->query, names, NAMES, values);
    *query = (struct query){.polling = http_value_is(values[TRANSPORT], "polling"),
                            .websocket = http_value_is(values[TRANSPORT], "websocket"),
                            .version_4 = http_value_is(values[VERSION], "4"),
                            .sid = values[SID]};
    /* One that cannot be decoded stays as it is, and is as unknown as any other. */
    if (query->sid.length && memchr(query->sid.data, '%', query->sid.length) &&
        http_value_decode(query->sid, &query->space) == 0)
        query->sid = buffer_bytes(&query->space);
}

static void query_done(struct query *query)
{
    buffer_done(&query->space);
}

/* -- requests with a session ------------------------------------------------------------------ */

static enum relay_kind question_of(const struct http_request *request, const struct query *query)
{
    struct bytes type = http_request_field(request, "Content-Type");

    if (query->websocket || !query->version_4)
        return RELAY_CHECK;
    if (request->method == HTTP_GET)
        return RELAY_POLL;
    if (request->method != HTTP_POST)
        return RELAY_METHOD;
    return bytes_equal_nocase(type, BYTES("application/octet-stream")) ? RELAY_POST_TYPE : RELAY_POST;
}

static void request_session(struct gateway *gateway, struct connection *connection,
                            const struct http_request *request, const struct query *query,
                            struct bytes fields)
{
    struct exchange *exchange = exchange_new(gateway, connection, request, fields);

    exchange->kind = (uint8_t)question_of(request, query);
    if (session_home(query->sid, &exchange->home) < 0) {
        exchange_refuse(gateway, connection, ENGINEIO_ERROR_SESSION_UNKNOWN);
        return;
    }
    memcpy(exchange->sid, query->sid.data, sizeof exchange->sid);
    if (!exchange->reading)
        exchange_ask(gateway, connection);
    else if (exchange->kind == RELAY_POST)
        exchange_begin_post(gateway, connection);
}

/* -- WebSockets -------------------------------------------------------------------------------- */

void engine_refuse_upgrade(struct gateway *gateway, struct connection *connection, enum engineio_error error)
{
    struct bytes message = engineio_error_message(error); /* bare, and the end, as the reference does */

    gateway->counters.engine_refused[error]++;
    http_send(gateway, connection,
              &(struct http_answer){.status = 400,
                                    .content_type = "text/html",
                                    .body = message,
                                    .content_length = message.length,
                                    .reason = CLOSE_HTTP_BAD_REQUEST});
}

/* A new session on a WebSocket. */
static void open_websocket(struct gateway *gateway, struct connection *connection,
                           const struct http_request *request, struct websocket_offer *offer)
{
    char sid[SESSION_SID_LENGTH];
    struct buffer open = {0};

    session_make_sid(gateway, sid);
    engine_append_open(gateway, bytes_make(sid, sizeof sid), false, &open);
    connection->bare = bytes_starts_with(request->path, ENGINEIO_PATH);
    connection->handshake = client_source_handshake(gateway, connection, request);
    websocket_accept(gateway, connection, offer, &websocket_session, buffer_bytes(&open));
    connection_set_parser(connection, is_msgpack(gateway, request->path));
    engine_start(gateway, connection);
    buffer_done(&open);
    websocket_offer_done(offer);
}

static void request_websocket(struct gateway *gateway, struct connection *connection,
                              const struct http_request *request, const struct query *query,
                              struct bytes fields)
{
    struct bytes sid = query->sid;
    struct websocket_offer offer;
    uint64_t home;
    int status;

    if (sid.length && session_home(sid, &home) < 0) {
        engine_refuse_upgrade(gateway, connection, ENGINEIO_ERROR_SESSION_UNKNOWN);
        return;
    }
    if (sid.length == 0 && !query->websocket) {
        engine_refuse_upgrade(gateway, connection, ENGINEIO_ERROR_TRANSPORT_UNKNOWN);
        return;
    }
    if (sid.length == 0 && !query->version_4) {
        engine_refuse_upgrade(gateway, connection, ENGINEIO_ERROR_VERSION_UNSUPPORTED);
        return;
    }
    if (gateway->draining) {
        http_fail(gateway, connection, 503, CLOSE_DRAIN);
        return;
    }
    if (!quota_attribute(gateway, connection, request)) {
        http_answer_status(gateway, connection, request, 429, BYTES("Retry-After: 5\r\n"));
        return;
    }
    status = websocket_offer_make(gateway, request, fields, NULL, &offer);
    if (status < 0)
        websocket_refuse(gateway, connection, request, status);
    else if (sid.length)
        arrival_begin(gateway, connection, &offer, sid, home, query->websocket);
    else
        open_websocket(gateway, connection, request, &offer);
}

/* The diagnostic echo of bare frames. */
static void request_echo(struct gateway *gateway, struct connection *connection,
                         const struct http_request *request)
{
    struct websocket_offer offer;
    int status = request->upgrade_websocket
                     ? websocket_offer_make(gateway, request, (struct bytes){0}, NULL, &offer)
                     : -426;

    if (status < 0) {
        websocket_refuse(gateway, connection, request, status);
    } else {
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
    struct buffer open = {0};
    struct client_network *network;
    struct connection *session;

    if (gateway->draining || listener_is_full(gateway->listener)) {
        exchange_free(connection);
        http_fail(gateway, connection, 503, gateway->draining ? CLOSE_DRAIN : CLOSE_HTTP_DONE);
        return;
    }
    if (!quota_admit(gateway, connection, request, &network)) {
        exchange_free(connection);
        http_answer_status(gateway, connection, request, 429, BYTES("Retry-After: 5\r\n"));
        return;
    }
    session = polling_open(gateway, bytes_starts_with(request->path, ENGINEIO_PATH),
                           is_msgpack(gateway, request->path), &open);
    quota_begin(gateway, session, network);
    session->handshake = client_source_handshake(gateway, connection, request);
    if (gateway->settings->cookie[0])
        buffer_printf(&exchange->fields, "Set-Cookie: %s=%.*s; Path=/; HttpOnly; SameSite=Lax\r\n",
                      gateway->settings->cookie, SESSION_SID_LENGTH, session->session->sid);
    exchange_answer_payload(gateway, connection, buffer_bytes(&open));
    buffer_done(&open);
}

static void request_handshake(struct gateway *gateway, struct connection *connection,
                              const struct http_request *request, const struct query *query,
                              struct bytes fields)
{
    exchange_new(gateway, connection, request, fields);
    if (request->method != HTTP_GET)
        exchange_refuse(gateway, connection, ENGINEIO_ERROR_BAD_METHOD);
    else if (!query->polling)
        exchange_refuse(gateway, connection, ENGINEIO_ERROR_BAD_REQUEST);
    else if (!query->version_4)
        exchange_refuse(gateway, connection, ENGINEIO_ERROR_VERSION_UNSUPPORTED);
    else if (connection->exchange->reading) /* a GET with a body is none of any client */
        exchange_refuse(gateway, connection, ENGINEIO_ERROR_BAD_REQUEST);
    else
        open_polling(gateway, connection, request);
}

static void request_engine(struct gateway *gateway, struct connection *connection,
                           const struct http_request *request, struct bytes fields)
{
    struct query query;

    query_read(request, &query);
    if (!query.polling && !query.websocket) {
        if (request->upgrade_websocket)
            engine_refuse_upgrade(gateway, connection, ENGINEIO_ERROR_TRANSPORT_UNKNOWN);
        else {
            exchange_new(gateway, connection, request, fields);
            exchange_refuse(gateway, connection, ENGINEIO_ERROR_TRANSPORT_UNKNOWN);
        }
    } else if (request->upgrade_websocket)
        request_websocket(gateway, connection, request, &query, fields);
    else if (query.sid.length)
        request_session(gateway, connection, request, &query, fields);
    else
        request_handshake(gateway, connection, request, &query, fields);
    query_done(&query);
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
