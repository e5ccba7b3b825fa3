/*
 * Judges clients' packets as far as the packet alone allows, and turns them into requests to the router; see
 * packet.h.  The surprising rule: nothing here decides by membership or rights, not even when this gateway
 * could know: only the router's word counts.
 */
#include "gateway/packet.h"

#include "gateway/ask.h"
#include "gateway/attachments.h"
#include "gateway/authentication.h"
#include "gateway/builtin.h"
#include "gateway/connection.h"
#include "gateway/engine.h"
#include "gateway/gateway.h"
#include "gateway/handshake.h"
#include "gateway/socket.h"
#include "proto/placeholder.h"
#include "proto/socketio.h"
#include "proto/socketio_msgpack.h"

#include <stdlib.h>

enum { UNPACKED_KEPT = 64 << 10 }; /* what a larger packet of the msgpack parser took is given back */

/* What is being asked, and how to answer when it can't be. */
struct call {
    struct gateway *gateway;
    struct socket *socket;
    const struct socketio_packet *packet;
    struct bytes attachments; /* what the placeholders in the packet stand for, as the link takes them */
};

static void refuse(const struct call *call, enum refusal_code code, const char *message)
{
    socket_refuse(call->gateway, call->socket, call->packet->ack, call->packet->name, code, message);
}

static struct json_value first_argument(const struct call *call)
{
    struct json_cursor cursor = json_list_cursor(call->packet->event.arguments);
    struct json_value argument = {0};

    if (json_cursor_next(&cursor, &argument) < 0)
        argument = (struct json_value){0};
    return argument;
}

/* Join, leave and so on, where the broker has them. */
static bool handle_builtin(const struct call *call)
{
    const struct socketio_packet *packet = call->packet;

    return builtin_handle(&(struct builtin_call){call->gateway, call->socket, packet->ack, packet->name},
                          first_argument(call));
}

/* A newer token: in every namespace, where tokens mean something. */
static bool handle_token(const struct call *call)
{
    if (!authentication_enabled(call->gateway) || !bytes_equal(call->packet->name, AUTHENTICATE_EVENT))
        return false;
    authentication_renew(call->gateway, call->socket, call->packet->ack, call->packet->name,
                         first_argument(call));
    return true;
}

/* -- the application's events ---------------------------------------------------------------- */

static void publish(const struct call *call, const struct event_rule *rule, const struct json_value *values)
{
    char room_space[ROOM_NAME_MAX], id_space[DEDUP_MAX];
    struct wire_event event = {.event = call->packet->name,
                               .arguments = call->packet->event.arguments,
                               .attachments = call->attachments};

    if (rule && rule->arguments && call->packet->event.argument_count > rule->arguments) {
        refuse(call, REFUSAL_BAD_REQUEST, "the event has more arguments than its rule takes");
        return;
    }
    if (rule && rule->paths[RULE_PATH_ROOM].argument) {
        event.room = room_name_decode(values[RULE_PATH_ROOM], room_space);
        if (event.room.length == 0) {
            refuse(call, REFUSAL_BAD_ROOM, NULL);
            return;
        }
    }
    if (rule && values[RULE_PATH_DEDUP].kind != JSON_ABSENT) {
        size_t length;

        if (values[RULE_PATH_DEDUP].kind != JSON_STRING ||
            json_string_decode(values[RULE_PATH_DEDUP], id_space, DEDUP_MAX, &length) < 0 ||
            length < DEDUP_MIN) {
            refuse(call, REFUSAL_BAD_REQUEST, "a message's own id is a text of 8 to 64 bytes");
            return;
        }
        event.id = bytes_make(id_space, length);
    }
    if (ask_event(call->gateway, call->socket, call->packet->ack, rule, event) < 0)
        refuse(call, REFUSAL_UNAVAILABLE, NULL);
}

/* -- answers to questions -------------------------------------------------------------------- */

/* What stands between an array's brackets, without the blanks around it. */
static struct bytes inside(struct bytes array)
{
    static const char blanks[] = " \t\r\n";
    struct bytes text = bytes_make(array.data + 1, array.length - 2);

    while (text.length && strchr(blanks, text.data[0]))
        text = bytes_make(text.data + 1, text.length - 1);
    while (text.length && strchr(blanks, text.data[text.length - 1]))
        text.length--;
    return text;
}

/* A client gives as many answers as it was asked for.  To what it was asked the router knows; an answer to
 * nothing costs it one of its own. */
static void on_answer(struct gateway *gateway, struct socket *socket, const struct socketio_packet *packet,
                      struct bytes attachments)
{
    struct wire_response response = {
        .ack = (uint64_t)packet->ack, .arguments = inside(packet->json.text), .attachments = attachments};

    if (packet->ack == SOCKETIO_NO_ACK || socket->questions == 0) {
        gateway->counters.answers_unasked++;
        (void)quota_take_event(gateway, socket->connection); /* too many, and it is not read */
        return;
    }
    socket->questions--;
    if (ask_response(gateway, socket, response) < 0)
        gateway->counters.answers_dropped++;
}

static void on_event(struct gateway *gateway, struct socket *socket, struct socketio_packet *packet,
                     struct bytes attachments)
{
    const struct namespace_config *config = socket->namespace->config;
    const struct event_rule *rule = packet->name_error ? NULL : rules_find(&config->rules, packet->name);
    struct call call = {gateway, socket, packet, attachments};
    struct json_value values[RULE_PATHS];

    switch (socketio_event_finish(packet, rule ? rule->paths : NULL, rule ? RULE_PATHS : 0, values)) {
    case 0:
        break;
    case ERROR_TOO_DEEP:
        refuse(&call, REFUSAL_TOO_DEEP, NULL);
        return;
    case ERROR_EXISTS:
        refuse(&call, REFUSAL_BAD_REQUEST, "a key that the event's rule reads stands there twice");
        return;
    default:
        engine_close(gateway, socket->connection, CLOSE_PARSE_ERROR);
        return;
    }
    if (packet->name_error)
        refuse(&call, packet->name_error == ERROR_TOO_LARGE ? REFUSAL_TOO_LARGE : REFUSAL_BAD_REQUEST,
               "an event's name is a text of at most 255 bytes");
    else if (!handle_token(&call) && (!config->builtin || !handle_builtin(&call)))
        publish(&call, rule, values);
}

/* -- connecting ------------------------------------------------------------------------------ */

static void refuse_connect(struct gateway *gateway, struct connection *connection, struct bytes nsp,
                           struct bytes error)
{
    struct buffer *out = &gateway->scratch;

    buffer_clear(out);
    socketio_append_connect_error(out, nsp, error);

    struct bytes packet = buffer_bytes(out);

    engine_send(gateway, connection, &packet, 1, (struct bytes){0});
}

/* Asks the router to let the client into a namespace that is served here. */
static void connect_as(struct gateway *gateway, struct connection *connection,
                       struct namespace_rooms *namespace, const struct credentials *credentials)
{
    struct bytes auth = credentials->auth, grant = buffer_bytes(&credentials->grant);
    struct socket *socket = socket_new(gateway, connection, namespace, auth);
    struct wire_connect connect = {.namespace = namespace->name,
                                   .auth = auth,
                                   .address = handshake_address(connection->handshake),
                                   .grant = grant};

    if (authentication_hold(gateway, socket, grant) < 0)
        abort(); /* it was made here */
    if (ask_connect(gateway, socket, connect) < 0)
        engine_close(gateway, connection, CLOSE_ROUTER_SILENT);
}

static void connect_to(struct gateway *gateway, struct connection *connection,
                       struct namespace_rooms *namespace, struct bytes auth)
{
    struct credentials credentials;
    struct buffer error = {0};
    enum refusal_code code;

    if (authentication_judge(gateway, connection, namespace->config, auth, &credentials, &code) < 0) {
        authentication_append_error(gateway, code, &error);
        refuse_connect(gateway, connection, namespace->name, buffer_bytes(&error));
        buffer_done(&error);
    } else {
        connect_as(gateway, connection, namespace, &credentials);
    }
    credentials_done(&credentials);
}

static void on_connect(struct gateway *gateway, struct connection *connection,
                       const struct socketio_packet *packet)
{
    struct namespace_rooms *namespace = NULL;
    unsigned count = 0;

    switch (namespace_open(&gateway->namespaces, packet->nsp, &namespace)) {
    case ERROR_NOT_FOUND:
        gateway->counters.connects_refused++;
        refuse_connect(gateway, connection, packet->nsp, BYTES("{\"message\":\"Invalid namespace\"}"));
        return;
    case ERROR_BUSY:
        gateway->counters.namespaces_refused++;
        refuse_connect(gateway, connection, packet->nsp, BYTES("{\"message\":\"Too many namespaces\"}"));
        return;
    }
    for (const struct socket *s = connection->sockets; s; s = s->next)
        count++;
    if (packet->json.text.length > gateway->settings->max_auth) {
        gateway->counters.auths_refused++;
        refuse_connect(gateway, connection, packet->nsp,
                       BYTES("{\"message\":\"The auth payload is too large\"}"));
    } else if (count >= gateway->settings->max_namespaces) {
        gateway->counters.sockets_refused++;
        refuse_connect(gateway, connection, packet->nsp, BYTES("{\"message\":\"Too many namespaces\"}"));
    } else
        connect_to(gateway, connection, namespace, packet->json.text);
    namespace_release(&gateway->namespaces, namespace);
}

static struct socket *find_socket(struct connection *connection, struct bytes nsp)
{
    for (struct socket *s = connection->sockets; s; s = s->next)
        if (bytes_equal(s->namespace->name, nsp))
            return s;
    return NULL;
}

/* -- packets --------------------------------------------------------------------------------- */

/* Why an event is refused, or an answer dropped, before anybody has looked at what it says. */
struct objection {
    enum refusal_code code; /* REFUSAL_CODES: it is not */
    const char *message;    /* NULL: the code's own */
};

static void on_any_event(struct gateway *gateway, struct socket *socket, struct socketio_packet *packet,
                         struct bytes attachments, struct objection objection)
{
    bool within_rate = quota_take_event(gateway, socket->connection);

    if (!packet->payload.data) /* it says nothing */
        return;
    if (!within_rate)
        objection = (struct objection){REFUSAL_RATE_LIMITED, NULL};
    if (objection.code != REFUSAL_CODES)
        refuse(&(struct call){gateway, socket, packet}, objection.code, objection.message);
    else
        on_event(gateway, socket, packet, attachments);
}

/* What a complete packet means. */
static void dispatch(struct gateway *gateway, struct connection *connection, struct socketio_packet *packet,
                     struct bytes attachments, struct objection objection)
{
    struct socket *socket = find_socket(connection, packet->nsp);

    if (packet->type == SOCKETIO_CONNECT && !socket) {
        if (quota_take_event(gateway, connection))
            on_connect(gateway, connection, packet);
        else /* CONNECT_ERROR would be for good */
            engine_close(gateway, connection, CLOSE_RATE_LIMITED);
        return;
    }
    if (!socket || packet->type == SOCKETIO_CONNECT || packet->type == SOCKETIO_CONNECT_ERROR) {
        engine_close(gateway, connection, CLOSE_PACKET_STATE);
        return;
    }
    switch (packet->type) {
    case SOCKETIO_EVENT:
    case SOCKETIO_BINARY_EVENT:
        on_any_event(gateway, socket, packet, attachments, objection);
        break;
    case SOCKETIO_DISCONNECT:
        socket_close(gateway, socket, CLOSE_CLIENT_DISCONNECT);
        break;
    default:
        if (objection.code == REFUSAL_CODES)
            on_answer(gateway, socket, packet, attachments);
        else
            gateway->counters.answers_dropped++; /* and nobody to tell */
        break;
    }
}

void packet_receive(struct gateway *gateway, struct connection *connection, struct bytes text)
{
    struct socketio_packet packet;

    if (connection->pending || encoding_is_msgpack(connection->encoding) ||
        socketio_packet_parse(text, gateway->settings->max_depth, &packet) < 0 ||
        packet.attachments > gateway->settings->max_attachment_count) {
        engine_close(gateway, connection, CLOSE_PARSE_ERROR);
        return;
    }
    if (packet.attachments) {
        if (pending_packet_new(&packet, text, gateway->settings->max_attachments, loop_now(gateway->loop),
                               &connection->pending) < 0)
            engine_close(gateway, connection, CLOSE_PARSE_ERROR);
        return;
    }
    dispatch(gateway, connection, &packet, (struct bytes){0}, (struct objection){REFUSAL_CODES, NULL});
}

/* -- attachments ----------------------------------------------------------------------------- */

/* It is in nobody's hands but the caller's, so the connection may close. */
static void on_binary(struct gateway *gateway, struct connection *connection, struct pending_packet *pending)
{
    struct socketio_packet packet;

    /* As deep as it may be was judged when it came, perhaps by another gateway. */
    if (pending->illegal || socketio_packet_parse(buffer_bytes(&pending->text), JSON_DEPTH_MAX, &packet) < 0)
        engine_close(gateway, connection, CLOSE_PARSE_ERROR);
    else
        dispatch(gateway, connection, &packet, wire_list_finish(&pending->attachments),
                 (struct objection){pending->refusal, NULL});
}

static void on_attachment(struct gateway *gateway, struct connection *connection, struct bytes attachment)
{
    struct pending_packet *pending = connection->pending;

    if (!pending)
        engine_close(gateway, connection, CLOSE_PARSE_ERROR);
    else if (pending_packet_add(pending, attachment)) {
        connection->pending = NULL;
        on_binary(gateway, connection, pending);
        pending_packet_free(pending);
    }
}

bool packet_overdue(struct connection *connection, uint64_t now, const struct gateway_settings *settings)
{
    struct pending_packet *pending = connection->pending;

    if (!pending)
        return false;
    if (connection->paused)
        pending->since = now;
    return now - pending->since >= (uint64_t)settings->ping_interval + settings->ping_timeout;
}

void packet_pending_free(struct connection *connection)
{
    pending_packet_free(connection->pending);
    connection->pending = NULL;
}

/* -- the msgpack parser ---------------------------------------------------------------------- */

/* What there is to say against a packet that was read with that result. */
static struct objection objection_to(const struct gateway *gateway, int code,
                                     const struct socketio_packet *packet)
{
    const struct wire_list *attachments = &gateway->unpacked_attachments;

    switch (code) {
    case ERROR_TOO_DEEP:
        return (struct objection){REFUSAL_TOO_DEEP, NULL};
    case ERROR_TOO_LARGE:
        return (struct objection){REFUSAL_TOO_LARGE, NULL};
    case ERROR_UNSUPPORTED:
        return (struct objection){REFUSAL_BAD_REQUEST, "JSON has nothing for a value or a key of the event"};
    }
    if (attachments->count == 0)
        return (struct objection){REFUSAL_CODES, NULL};
    if (attachments->count > gateway->settings->max_attachment_count ||
        gateway->unpacked.length + attachments->buffer.length > gateway->settings->max_attachments)
        return (struct objection){REFUSAL_TOO_LARGE, NULL};
    if (placeholders_count(packet->payload) != attachments->count)
        return (struct objection){REFUSAL_BAD_REQUEST,
                                  "an object with _placeholder stands beside binary data"};
    return (struct objection){REFUSAL_CODES, NULL};
}

static void on_msgpack(struct gateway *gateway, struct connection *connection, struct bytes message)
{
    struct buffer *text = &gateway->unpacked;
    struct wire_list *attachments = &gateway->unpacked_attachments;
    unsigned depth = gateway->settings->max_depth;
    int code = socketio_msgpack_read(message, depth, gateway->settings->max_payload, text, attachments);
    struct socketio_packet packet;

    gateway->counters.messages_in++;
    if (code == ERROR_MALFORMED || socketio_packet_parse(buffer_bytes(text), depth, &packet) < 0)
        engine_close(gateway, connection, CLOSE_PARSE_ERROR);
    else
        dispatch(gateway, connection, &packet, wire_list_finish(attachments),
                 objection_to(gateway, code, &packet));
    if (text->capacity > UNPACKED_KEPT)
        buffer_done(text);
    if (attachments->buffer.capacity > UNPACKED_KEPT)
        wire_list_done(attachments);
}

void packet_receive_binary(struct gateway *gateway, struct connection *connection, struct bytes message)
{
    if (encoding_is_msgpack(connection->encoding))
        on_msgpack(gateway, connection, message);
    else
        on_attachment(gateway, connection, message);
}
