/*
 * Judges clients' packets as far as the packet alone allows, and turns them into requests to the router; see
 * packet.h.  The surprising rule: nothing here decides by membership or rights, not even when this gateway
 * could know: only the router's word counts.
 */
#include "gateway/packet.h"

#include "gateway/attachments.h"
#include "gateway/connection.h"
#include "gateway/engine.h"
#include "gateway/gateway.h"
#include "gateway/handshake.h"
#include "gateway/socket.h"
#include "proto/socketio.h"

enum {
    HISTORY_DEFAULT = 50,
    HISTORY_MAX = 200,
    PAGE_WEIGHT = 64, /* a page of history counts for so many other requests: its answer is large */
};

/* -- requests -------------------------------------------------------------------------------- */

#define DEFINE_PUT(name)                                                                                     \
    static void put_##name(struct wire_batch *batch, uint64_t number, const void *record)                    \
    {                                                                                                        \
        struct wire_##name copy = *(const struct wire_##name *)record;                                       \
                                                                                                             \
        copy.request = number;                                                                               \
        wire_put_##name(batch, &copy);                                                                       \
    }
DEFINE_PUT(connect)
DEFINE_PUT(join)
DEFINE_PUT(leave)
DEFINE_PUT(history)
DEFINE_PUT(presence)
DEFINE_PUT(event)
DEFINE_PUT(response)
#undef DEFINE_PUT

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

/* Enough waits for the router: the client is not read until some of it is answered. */
static void pause_if_full(struct gateway *gateway, struct socket *socket)
{
    if (link_congested(gateway->link) || socket->unanswered >= gateway->settings->max_unanswered)
        connection_pause(gateway, socket->connection);
}

static void ask(const struct call *call, enum request_kind kind, unsigned weight,
                void (*put)(struct wire_batch *batch, uint64_t number, const void *record),
                const void *record)
{
    struct gateway *gateway = call->gateway;

    if (link_request(gateway->link, kind, weight, call->socket, call->packet->ack, put, record) < 0)
        refuse(call, REFUSAL_UNAVAILABLE, NULL);
    pause_if_full(gateway, call->socket);
}

/* -- the broker's own events ----------------------------------------------------------------- */

/* A room's name, decoded into space of ROOM_NAME_MAX bytes; length 0 when the value is none. */
static struct bytes decode_room(struct json_value value, char space[ROOM_NAME_MAX])
{
    size_t length;

    if (value.kind != JSON_STRING || json_string_decode(value, space, ROOM_NAME_MAX, &length) < 0 ||
        !room_name_valid(bytes_make(space, length)))
        return (struct bytes){0};
    return bytes_make(space, length);
}

/* The first argument is the room's name, or an object with the key "room". */
static struct bytes room_argument(struct json_value argument, char space[ROOM_NAME_MAX])
{
    struct json_value room;

    if (argument.kind == JSON_OBJECT) {
        if (json_object_find(argument, "room", &room) < 0)
            return (struct bytes){0};
        argument = room;
    }
    return decode_room(argument, space);
}

/* A whole number of an object within a range.  0 (*out untouched when the key is absent), or ERROR_MALFORMED.
 */
static int number_member(struct json_value object, const char *key, long long minimum, long long *out)
{
    struct json_value value;
    long long number;
    int found = object.kind == JSON_OBJECT ? json_object_find(object, key, &value) : ERROR_NOT_FOUND;

    if (found == ERROR_NOT_FOUND)
        return 0;
    if (found < 0 || value.kind != JSON_NUMBER || json_integer_decode(value, &number) < 0 || number < minimum)
        return ERROR_MALFORMED;
    *out = number;
    return 0;
}

static void on_join(const struct call *call, struct json_value argument)
{
    char space[ROOM_NAME_MAX];
    struct bytes room = room_argument(argument, space);
    struct json_value presence = {0};
    long long history = 0;

    if (room.length == 0) {
        refuse(call, REFUSAL_BAD_ROOM, NULL);
        return;
    }
    if (number_member(argument, "history", 0, &history) < 0) {
        refuse(call, REFUSAL_BAD_REQUEST, "history is a whole number from 0 to 200");
        return;
    }
    if (argument.kind == JSON_OBJECT && json_object_find(argument, "presence", &presence) == 0 &&
        presence.kind != JSON_TRUE && presence.kind != JSON_FALSE) {
        refuse(call, REFUSAL_BAD_REQUEST, "presence is true or false");
        return;
    }
    ask(call, REQUEST_JOIN, history ? PAGE_WEIGHT : 1, put_join,
        &(struct wire_join){.socket = call->socket->number,
                            .room = room,
                            .history = (uint64_t)(history > HISTORY_MAX ? HISTORY_MAX : history),
                            .watch = presence.kind == JSON_TRUE});
}

static void on_leave(const struct call *call, struct json_value argument)
{
    char space[ROOM_NAME_MAX];
    struct bytes room = room_argument(argument, space);

    if (room.length == 0) {
        refuse(call, REFUSAL_BAD_ROOM, NULL);
        return;
    }
    ask(call, REQUEST_LEAVE, 1, put_leave,
        &(struct wire_leave){.socket = call->socket->number, .room = room});
}

static void on_history(const struct call *call, struct json_value argument)
{
    char space[ROOM_NAME_MAX];
    struct bytes room = room_argument(argument, space);
    long long before = 0, after = -1, limit = HISTORY_DEFAULT;

    if (room.length == 0) {
        refuse(call, REFUSAL_BAD_ROOM, NULL);
        return;
    }
    if (number_member(argument, "before", 1, &before) < 0 ||
        number_member(argument, "after", 0, &after) < 0 || number_member(argument, "limit", 1, &limit) < 0 ||
        (before > 0 && after >= 0)) {
        refuse(call, REFUSAL_BAD_REQUEST,
               "history takes before (from 1) or after (from 0), and limit (1 to 200)");
        return;
    }
    ask(call, REQUEST_HISTORY, PAGE_WEIGHT, put_history,
        &(struct wire_history){.socket = call->socket->number,
                               .room = room,
                               .before = (uint64_t)before,
                               .has_after = after >= 0,
                               .after = after >= 0 ? (uint64_t)after : 0,
                               .limit = (uint64_t)(limit > HISTORY_MAX ? HISTORY_MAX : limit)});
}

static void on_presence(const struct call *call, struct json_value argument)
{
    char space[ROOM_NAME_MAX];
    struct bytes room = room_argument(argument, space);

    if (room.length == 0) {
        refuse(call, REFUSAL_BAD_ROOM, NULL);
        return;
    }
    ask(call, REQUEST_PRESENCE, 1, put_presence,
        &(struct wire_presence){.socket = call->socket->number, .room = room});
}

static const struct {
    const char *name;
    void (*handle)(const struct call *call, struct json_value argument);
} builtins[] = {{"join", on_join}, {"leave", on_leave}, {"history", on_history}, {"presence", on_presence}};

static bool handle_builtin(const struct call *call)
{
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++) {
        if (!bytes_equal_text(call->packet->name, builtins[i].name))
            continue;

        struct json_cursor cursor = json_list_cursor(call->packet->event.arguments);
        struct json_value argument = {0};

        if (json_cursor_next(&cursor, &argument) < 0)
            argument = (struct json_value){0};
        builtins[i].handle(call, argument);
        return true;
    }
    return false;
}

/* -- the application's events ---------------------------------------------------------------- */

static void publish(const struct call *call, const struct event_rule *rule, const struct json_value *values)
{
    char room_space[ROOM_NAME_MAX], id_space[DEDUP_MAX];
    struct wire_event event = {.socket = call->socket->number,
                               .flags = call->packet->ack == SOCKETIO_NO_ACK ? 0 : WIRE_EVENT_ACK,
                               .event = call->packet->name,
                               .arguments = call->packet->event.arguments,
                               .attachments = call->attachments};

    if (rule && rule->paths[RULE_PATH_ROOM].argument) {
        event.room = decode_room(values[RULE_PATH_ROOM], room_space);
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
    ask(call, rule && !rule->ask ? REQUEST_EVENT : REQUEST_CALL, 1, put_event, &event);
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
    struct wire_response response = {.socket = socket->number,
                                     .ack = (uint64_t)packet->ack,
                                     .arguments = inside(packet->json.text),
                                     .attachments = attachments};

    if (packet->ack == SOCKETIO_NO_ACK || socket->questions == 0) {
        gateway->counters.answers_unasked++;
        return;
    }
    socket->questions--;
    if (link_request(gateway->link, REQUEST_RESPONSE, 1, socket, SOCKETIO_NO_ACK, put_response, &response) <
        0)
        gateway->counters.answers_dropped++;
    pause_if_full(gateway, socket);
}

static void on_event(struct gateway *gateway, struct socket *socket, struct socketio_packet *packet,
                     struct bytes attachments)
{
    const struct namespace_config *config = socket->namespace->config;
    const struct event_rule *rule = /* without builtin every event is a backend's */
        packet->name_error || !config->builtin ? NULL : rules_find(&config->rules, packet->name);
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
    else if (!config->builtin || !handle_builtin(&call))
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
static void connect_to(struct gateway *gateway, struct connection *connection,
                       struct namespace_rooms *namespace, struct bytes auth)
{
    struct socket *socket = socket_new(gateway, connection, namespace, auth);
    struct wire_connect connect = {.socket = socket->number,
                                   .namespace = namespace->name,
                                   .auth = auth,
                                   .address = handshake_address(connection->handshake)};

    if (link_request(gateway->link, REQUEST_CONNECT, 1, socket, SOCKETIO_NO_ACK, put_connect, &connect) < 0)
        engine_close(gateway, connection, CLOSE_ROUTER_SILENT);
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

/* -- binary packets -------------------------------------------------------------------------- */

/* What a complete packet means.  It is in nobody's hands but the caller's, so the connection may close. */
static void on_binary(struct gateway *gateway, struct connection *connection, struct pending_packet *pending)
{
    struct socketio_packet packet;
    struct socket *socket;

    if (pending->illegal || socketio_packet_parse(buffer_bytes(&pending->text), &packet) < 0) {
        engine_close(gateway, connection, CLOSE_PARSE_ERROR);
        return;
    }
    socket = find_socket(connection, packet.nsp);
    if (!socket)
        engine_close(gateway, connection, CLOSE_PACKET_STATE);
    else if (packet.type == SOCKETIO_BINARY_ACK && pending->refusal == REFUSAL_CODES)
        on_answer(gateway, socket, &packet, wire_list_finish(&pending->attachments));
    else if (packet.type == SOCKETIO_BINARY_ACK)
        gateway->counters.answers_dropped++; /* too large, and nobody to tell */
    else if (!packet.payload.data)
        return; /* an event that says nothing */
    else if (pending->refusal != REFUSAL_CODES)
        refuse(&(struct call){gateway, socket, &packet}, pending->refusal, NULL);
    else
        on_event(gateway, socket, &packet, wire_list_finish(&pending->attachments));
}

void packet_receive_binary(struct gateway *gateway, struct connection *connection, struct bytes attachment)
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

/* -- packets --------------------------------------------------------------------------------- */

void packet_receive(struct gateway *gateway, struct connection *connection, struct bytes text)
{
    struct socketio_packet packet;
    struct socket *socket;

    if (connection->pending || socketio_packet_parse(text, &packet) < 0) {
        engine_close(gateway, connection, CLOSE_PARSE_ERROR);
        return;
    }
    if (packet.attachments) {
        if (pending_packet_new(&packet, text, gateway->settings->max_attachments, loop_now(gateway->loop),
                               &connection->pending) < 0)
            engine_close(gateway, connection, CLOSE_PARSE_ERROR);
        return;
    }
    socket = find_socket(connection, packet.nsp);
    if (packet.type == SOCKETIO_CONNECT && !socket) {
        on_connect(gateway, connection, &packet);
        return;
    }
    if (!socket || packet.type == SOCKETIO_CONNECT || packet.type == SOCKETIO_CONNECT_ERROR) {
        engine_close(gateway, connection, CLOSE_PACKET_STATE);
        return;
    }
    switch (packet.type) {
    case SOCKETIO_EVENT:
        if (packet.payload.data) /* without a payload it says nothing */
            on_event(gateway, socket, &packet, (struct bytes){0});
        break;
    case SOCKETIO_DISCONNECT:
        socket_close(gateway, socket, CLOSE_CLIENT_DISCONNECT);
        break;
    default:
        on_answer(gateway, socket, &packet, (struct bytes){0});
        break;
    }
}
