/*
 * Bare WebSockets: their requests, their address and their heartbeat; see bare_service.h.  http_service.c
 * brings the requests, connection.c and websocket_transport.c what comes then.  The surprising rule: the
 * heartbeat is WebSocket's own pings, which browsers answer by themselves, and any message counts as a pong.
 */
#include "gateway/bare_service.h"

#include "common/memory.h"
#include "gateway/ask.h"
#include "gateway/authentication.h"
#include "gateway/bare_client.h"
#include "gateway/bare_close.h"
#include "gateway/bare_packet.h"
#include "gateway/bare_resume.h"
#include "gateway/bare_speech.h"
#include "gateway/client_source.h"
#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "gateway/handshake.h"
#include "gateway/http_answer.h"
#include "gateway/websocket_transport.h"
#include "proto/http.h"
#include "proto/name.h"

#include <stdlib.h>

#define PATH        BYTES("/ws")
#define SUBPROTOCOL "hubbub.v1.json"

bool bare_serves(struct bytes path)
{
    return bytes_equal(path, PATH);
}

/* -- the heartbeat ---------------------------------------------------------------------------- */

static void await(struct gateway *gateway, struct connection *connection, bool pong)
{
    uint32_t ms = pong ? gateway->settings->ping_timeout : gateway->settings->ping_interval;

    connection->awaiting_pong = pong;
    connection->heartbeat_due = loop_now(gateway->loop) + ms;
    connection_set_timer(gateway, connection, connection->heartbeat_due);
}

static void on_pong(struct gateway *gateway, struct connection *connection)
{
    if (connection->awaiting_pong)
        await(gateway, connection, false);
}

static void on_timeout(struct gateway *gateway, struct connection *connection)
{
    if (!connection->awaiting_pong) {
        websocket_ping(gateway, connection);
        await(gateway, connection, true);
    } else if (connection->paused || connection->stopped || connection->corked)
        await(gateway, connection, true); /* the pong may have come: we do not read; or the ping is not out */
    else
        bare_close_for(gateway, connection, CLOSE_PING_TIMEOUT);
}

/* -- the protocol ----------------------------------------------------------------------------- */

static void on_message(struct gateway *gateway, struct connection *connection, bool binary,
                       struct bytes payload)
{
    on_pong(gateway, connection);
    if (binary)
        bare_close(gateway, connection, BARE_CLOSE_BAD_REQUEST, BYTES("binary messages mean nothing here"),
                   CLOSE_PARSE_ERROR);
    else
        bare_receive(gateway, connection, payload);
}

static void on_input(struct gateway *gateway, struct connection *connection, char *data, size_t length)
{
    if (connection->stopped) /* it came with the request */
        connection_hold(connection, data, length);
    else
        websocket_input(gateway, connection, data, length);
}

/* Its session is over, whatever the reason: it has no pid with which to come back to it. */
static void on_ending(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    struct bare_client *client = connection->bare_client;

    (void)reason;
    gateway->counters.websockets--;
    sockets_close(gateway, connection, CLOSE_CLIENT_DISCONNECT);
    connection->bare_client = NULL;
    bare_resume_free(client->resume);
    free(client);
}

static const struct connection_protocol bare_websocket = {
    .speech = &bare_speech,
    .close = bare_close_for,
    .let_go = bare_resume_let_go,
    .pong = on_pong,
    .input = on_input,
    .message = on_message,
    .timeout = on_timeout,
    .ending = on_ending,
};

/* -- the address ------------------------------------------------------------------------------ */

/* What the query says, decoded. */
struct address {
    struct bytes room, namespace; /* room {NULL, 0}: none */
    bool resumes;
    uint64_t after;
    struct buffer room_space, namespace_space;
};

static int decode(struct bytes value, struct buffer *space, struct bytes *out)
{
    if (!value.data)
        return 0;
    if (http_value_decode(value, space) < 0)
        return ERROR_MALFORMED;
    *out = space->data ? buffer_bytes(space) : BYTES("");
    return 0;
}

/* The close with which it is refused, or BARE_CLOSES; *text says why. */
static enum bare_close address_read(struct bytes query, struct address *address, struct bytes *text)
{
    enum { ROOM, NAMESPACE, AFTER, NAMES };
    static const struct bytes names[NAMES] = {{"room", 4}, {"namespace", 9}, {"after", 5}};
    struct bytes values[NAMES];
    unsigned long long after = 0;

    *address = (struct address){.namespace = BYTES("/")};
    *text = (struct bytes){0};
    http_query_read(query, names, NAMES, values);
    if (decode(values[ROOM], &address->room_space, &address->room) < 0 ||
        (address->room.data && !room_name_valid(address->room)))
        return BARE_CLOSE_BAD_ROOM;
    if (decode(values[NAMESPACE], &address->namespace_space, &address->namespace) < 0)
        return BARE_CLOSE_NO_NAMESPACE;
    if (values[AFTER].data && (bytes_parse_u64(values[AFTER], &after) < 0 || !address->room.data)) {
        *text = BYTES("after is the seq of a message of the room");
        return BARE_CLOSE_BAD_REQUEST;
    }
    address->resumes = values[AFTER].data;
    address->after = after;
    return BARE_CLOSES;
}

static void address_done(struct address *address)
{
    buffer_done(&address->room_space);
    buffer_done(&address->namespace_space);
}

/* -- connecting ------------------------------------------------------------------------------- */

static struct bare_client *client_new(const struct address *address)
{
    struct bare_client *client = memory_zero(1, sizeof *client + address->room.length);

    client->resumes = address->resumes;
    client->after = address->after;
    client->room_length = (uint16_t)address->room.length;
    if (address->room.length)
        memcpy(client->room, address->room.data, address->room.length);
    return client;
}

/* Asks the router to let it in; its room follows (bare_speech.c).  What the client says meanwhile waits in
 * its connection: a backend may decide about it, and takes its time. */
static void enter(struct gateway *gateway, struct connection *connection, struct namespace_rooms *namespace,
                  struct bytes grant)
{
    struct socket *socket = socket_new(gateway, connection, namespace, (struct bytes){0});
    struct wire_connect connect = {
        .namespace = namespace->name, .address = handshake_address(connection->handshake), .grant = grant};

    if (authentication_hold(gateway, socket, grant) < 0)
        abort(); /* it was made here */
    if (ask_connect(gateway, socket, connect) < 0)
        bare_close_for(gateway, connection, CLOSE_ROUTER_SILENT);
    else
        connection_stop_reading(gateway, connection);
}

/* The token is in the address, or a field of the request. */
static void authenticate(struct gateway *gateway, struct connection *connection,
                         struct namespace_rooms *namespace)
{
    struct credentials credentials;
    struct buffer error = {0};
    enum refusal_code code;

    if (authentication_judge(gateway, connection, namespace->config, (struct bytes){0}, &credentials, &code) <
        0) {
        gateway->counters.refused[code]++;
        refusal_append_error(&error, code, NULL);
        bare_close_refused(gateway, connection, buffer_bytes(&error));
        buffer_done(&error);
    } else {
        enter(gateway, connection, namespace, buffer_bytes(&credentials.grant));
    }
    credentials_done(&credentials);
}

static void enter_namespace(struct gateway *gateway, struct connection *connection, struct bytes name)
{
    bool has_room = connection->bare_client->room_length > 0;
    struct namespace_rooms *namespace = NULL;

    switch (namespace_open(&gateway->namespaces, name, &namespace)) {
    case ERROR_NOT_FOUND:
        gateway->counters.connects_refused++;
        bare_close(gateway, connection, BARE_CLOSE_NO_NAMESPACE, (struct bytes){0}, CLOSE_REFUSED);
        return;
    case ERROR_BUSY:
        gateway->counters.namespaces_refused++;
        bare_close(gateway, connection, BARE_CLOSE_BUSY, (struct bytes){0}, CLOSE_REFUSED);
        return;
    }
    if (has_room && !namespace->config->builtin)
        bare_close(gateway, connection, BARE_CLOSE_FORBIDDEN,
                   BYTES("rooms of this namespace are not joined by name"), CLOSE_REFUSED);
    else if (!has_room && namespace->config->builtin)
        bare_close(gateway, connection, BARE_CLOSE_BAD_ROOM, BYTES("the address names no room"),
                   CLOSE_REFUSED);
    else
        authenticate(gateway, connection, namespace);
    namespace_release(&gateway->namespaces, namespace);
}

static void open_client(struct gateway *gateway, struct connection *connection,
                        const struct http_request *request, const struct websocket_offer *offer)
{
    struct address address;
    struct bytes text;
    enum bare_close refused = address_read(request->query, &address, &text);

    connection->handshake = client_source_handshake(gateway, connection, request);
    connection->bare_client = client_new(&address);
    websocket_accept(gateway, connection, offer, &bare_websocket, (struct bytes){0});
    connection->encoding = connection->encoding == ENCODING_DEFLATE ? ENCODING_BARE_DEFLATE : ENCODING_BARE;
    await(gateway, connection, false);
    if (refused == BARE_CLOSES)
        enter_namespace(gateway, connection, address.namespace);
    else
        bare_close(gateway, connection, refused, text, CLOSE_REFUSED);
    address_done(&address);
}

void bare_request(struct gateway *gateway, struct connection *connection, const struct http_request *request)
{
    struct websocket_offer offer;
    int status = -426;

    if (request->upgrade_websocket && gateway->draining) {
        http_fail(gateway, connection, 503, CLOSE_DRAIN);
        return;
    }
    if (request->upgrade_websocket && !quota_attribute(gateway, connection, request)) {
        http_answer_status(gateway, connection, request, 429, BYTES("Retry-After: 5\r\n"));
        return;
    }
    if (request->upgrade_websocket)
        status = websocket_offer_make(gateway, request, (struct bytes){0}, SUBPROTOCOL, &offer);
    if (status < 0) {
        websocket_refuse(gateway, connection, request, status);
    } else {
        open_client(gateway, connection, request, &offer);
        websocket_offer_done(&offer);
    }
}
