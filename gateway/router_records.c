/*
 * The records of the router, one function each; see router_records.h.  Called by the link for every record
 * but LIVE and RESYNC, in the link's order; sockets and requests that are gone are passed over silently.
 */
#include "gateway/router_records.h"

#include "common/config_describe.h"
#include "gateway/admin.h"
#include "gateway/arrival.h"
#include "gateway/authentication.h"
#include "gateway/engine.h"
#include "gateway/exceptions.h"
#include "gateway/gateway.h"
#include "gateway/handshake.h"
#include "gateway/replay.h"
#include "gateway/token_policy.h"
#include "gateway/upgrade.h"
#include "proto/json_text.h"
#include "proto/rules_describe.h"
#include "proto/socketio.h"

/* A connection that missed what can't be replayed, or whose publishes have an unknown outcome. */
static void close_unresumable(struct gateway *gateway)
{
    struct request *request;
    struct socket *socket;
    uint64_t walk = 0;
    uint32_t cursor = 0;

    while ((socket = sockets_next(gateway, &cursor)))
        if (socket->connected) /* in a room or not: a backend may have sent it something */
            engine_close(gateway, socket->connection, CLOSE_NOT_RESUMABLE);
    while ((request = requests_walk(&gateway->requests, &walk))) {
        socket =
            request->sent && request->kind == REQUEST_EVENT ? sockets_find(gateway, request->socket) : NULL;
        if (socket)
            engine_close(gateway, socket->connection, CLOSE_NOT_RESUMABLE);
    }
}

static int on_welcome(struct gateway *gateway, struct link_progress *progress, struct wire_reader *reader)
{
    struct wire_welcome welcome;

    if (wire_get_welcome(reader, &welcome) < 0 || welcome.epoch.length > LINK_EPOCH_MAX)
        return ERROR_MALFORMED;
    if (!wire_minor_fits(welcome.minor)) {
        log_error("the router's version is too far away: upgrade it, or this gateway, first",
                  "program_version=%.*s protocol=%d.%llu ours=%d.%d", BYTES_PRINTF(welcome.program_version),
                  WIRE_MAJOR, (unsigned long long)welcome.minor, WIRE_MAJOR, WIRE_MINOR);
        return ERROR_UNSUPPORTED;
    }
    progress->minor = welcome.minor;
    if (welcome.rules_digest != namespaces_digest(&gateway->settings->namespaces))
        log_warn("router and gateway have different event rules", "gateway=%s", gateway->settings->name);
    if (!welcome.resume)
        close_unresumable(gateway);
    if (!welcome.resume || progress->epoch[0] == '\0')
        progress->position = welcome.head;
    memcpy(progress->epoch, welcome.epoch.data, welcome.epoch.length);
    progress->epoch[welcome.epoch.length] = '\0';
    return 0;
}

static int on_connected(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_connected record;
    struct request *request;
    struct socket *socket;

    if (wire_get_connected(reader, &record) < 0)
        return ERROR_MALFORMED;
    request = requests_find(&gateway->requests, record.request);
    if (request) {
        publishing_note(gateway, request, (struct bytes){0});
        socket_finish_request(gateway, request);
    }
    socket = sockets_find(gateway, record.socket);
    if (socket)
        socket_on_connected(gateway, socket, &record);
    return 0;
}

static int on_refused(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_refused record;
    struct request *request;
    struct socket *socket;

    if (wire_get_refused(reader, &record) < 0)
        return ERROR_MALFORMED;
    request = requests_find(&gateway->requests, record.request);
    if (request) {
        publishing_note(gateway, request, (struct bytes){0});
        socket_finish_request(gateway, request);
    }
    socket = sockets_find(gateway, record.socket);
    if (socket && !socket->connected)
        socket_on_refused(gateway, socket, record.error);
    return 0;
}

/* Answers the client behind a request, if it asked for that, and forgets the request.  No argument at all is
   an answer, too. */
static void answer_request(struct gateway *gateway, uint64_t number, struct bytes answer,
                           struct bytes attachments)
{
    struct request *request = requests_find(&gateway->requests, number);
    struct socket *socket;
    long long ack;

    if (!request)
        return;
    publishing_note(gateway, request, answer);
    socket = sockets_find(gateway, request->socket);
    ack = request->ack;
    if (request->kind == REQUEST_LOOK)
        admin_answer(gateway->admin, (uint64_t)ack, answer);
    socket_finish_request(gateway, request);
    if (socket)
        socket_acknowledge(gateway, socket, ack, answer, attachments);
}

static int on_joined(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_joined record;
    struct socket *socket;

    if (wire_get_joined(reader, &record) < 0 || record.room.length == 0 || record.room.length > ROOM_NAME_MAX)
        return ERROR_MALFORMED;
    socket = sockets_find(gateway, record.socket);
    if (socket)
        room_add(gateway, socket, record.room, record.joined_pos, record.watch);
    answer_request(gateway, record.request, record.answer, record.attachments);
    return 0;
}

static int on_left(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_left record;
    struct socket *socket;
    struct membership *membership;

    if (wire_get_left(reader, &record) < 0)
        return ERROR_MALFORMED;
    socket = sockets_find(gateway, record.socket);
    membership = socket ? socket_membership(socket, record.room) : NULL;
    if (membership)
        room_remove(gateway, socket, membership);
    answer_request(gateway, record.request, record.answer, (struct bytes){0});
    return 0;
}

static int on_answer(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_answer record;

    if (wire_get_answer(reader, &record) < 0)
        return ERROR_MALFORMED;
    answer_request(gateway, record.request, record.answer, record.attachments);
    return 0;
}

static int on_outcome(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_outcome record;
    struct request *request;

    if (wire_get_outcome(reader, &record) < 0)
        return ERROR_MALFORMED;
    request = requests_find(&gateway->requests, record.number);
    if (!request || request->kind != REQUEST_PUBLISH)
        return 0;
    publishing_note(gateway, request, (struct bytes){0});
    admin_outcome(gateway->admin, (uint64_t)request->ack, &record);
    requests_finish(&gateway->requests, request);
    return 0;
}

static int on_done(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_done record;
    struct wire_reader list;
    struct request *request;
    int count;

    if (wire_get_done(reader, &record) < 0 || (count = wire_list_open(&list, record.requests)) < 0)
        return ERROR_MALFORMED;
    while (count--) {
        uint64_t number;

        if (wire_list_u64(&list, &number) < 0)
            return ERROR_MALFORMED;
        request = requests_find(&gateway->requests, number);
        if (!request)
            continue;
        publishing_note(gateway, request, (struct bytes){0});
        socket_finish_request(gateway, request);
    }
    return 0;
}

/* What an event moves that has a position of its own. */
static void advance(struct link_progress *progress, uint64_t flags, uint64_t pos)
{
    if (!(flags & WIRE_DELIVER_VOLATILE) && pos > progress->position)
        progress->position = pos;
}

static int on_deliver(struct gateway *gateway, struct link_progress *progress, struct wire_reader *reader)
{
    struct wire_deliver record;
    struct namespace_rooms *namespace;

    if (wire_get_deliver(reader, &record) < 0)
        return ERROR_MALFORMED;
    namespace = namespace_find(&gateway->namespaces, record.namespace);
    if (namespace && record.flags & WIRE_DELIVER_NAMESPACE)
        deliver_to_namespace(gateway, namespace, &record);
    else if (namespace) {
        struct room *room = room_find(namespace, record.room);

        if (room)
            deliver_to_room(gateway, room, &record);
    }
    advance(progress, record.flags, record.pos);
    return 0;
}

static int on_cast(struct gateway *gateway, struct link_progress *progress, struct wire_reader *reader)
{
    struct wire_cast record;
    struct namespace_rooms *namespace;
    struct room *room;

    if (wire_get_cast(reader, &record) < 0 || record.ack > SOCKETIO_ACK_MAX)
        return ERROR_MALFORMED;
    namespace = namespace_find(&gateway->namespaces, record.namespace);
    if (namespace && exceptions_read(&gateway->exceptions, namespace, record.except) < 0)
        return ERROR_MALFORMED;
    if (namespace && record.flags & WIRE_DELIVER_NAMESPACE)
        deliver_cast_to_namespace(gateway, namespace, &record, &gateway->exceptions);
    else if (namespace && (room = room_find(namespace, record.room)))
        deliver_cast_to_room(gateway, room, &record, &gateway->exceptions);
    if (record.ack == 0) /* a question is not in the log */
        advance(progress, record.flags, record.pos);
    return 0;
}

static int on_emit(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_emit record;
    struct socket *socket;

    if (wire_get_emit(reader, &record) < 0)
        return ERROR_MALFORMED;
    socket = sockets_find(gateway, record.socket);
    if (!socket)
        return 0;
    if (!socket->connected && record.flags & WIRE_DELIVER_REPLAY)
        replay_keep(socket, &record);
    else if (record.flags & WIRE_DELIVER_VOLATILE && socket->connection->blocked)
        gateway->counters.dropped_slow_reader++;
    else
        socket_emit(gateway, socket, record.payload, record.flags, record.attachments);
    return 0;
}

static int on_pose(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_pose record;
    struct socket *socket;

    if (wire_get_pose(reader, &record) < 0 || record.ack > SOCKETIO_ACK_MAX)
        return ERROR_MALFORMED;
    socket = sockets_find(gateway, record.socket);
    if (socket)
        socket_ask(gateway, socket, record.ack, record.payload, record.attachments);
    return 0;
}

static int on_close(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_close record;
    struct socket *socket;

    if (wire_get_close(reader, &record) < 0)
        return ERROR_MALFORMED;
    socket = sockets_find(gateway, record.socket);
    if (!socket)
        return 0;
    if (record.final == WIRE_CLOSE_ALL)
        socket_disconnect_all(gateway, socket);
    else if (record.final)
        socket_disconnect(gateway, socket);
    else
        engine_close(gateway, socket->connection, CLOSE_ROUTER_CLOSE);
    return 0;
}

static int on_position(struct link_progress *progress, struct wire_reader *reader)
{
    struct wire_position record;

    if (wire_get_position(reader, &record) < 0)
        return ERROR_MALFORMED;
    if (record.pos > progress->position)
        progress->position = record.pos;
    return 0;
}

static int on_passed(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_passed record;

    if (wire_get_passed(reader, &record) < 0)
        return ERROR_MALFORMED;
    relay_on_passed(gateway, &record);
    return 0;
}

static int on_given(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_given record;

    if (wire_get_given(reader, &record) < 0)
        return ERROR_MALFORMED;
    upgrade_on_given(gateway, &record);
    return 0;
}

static int on_taken(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_taken record;

    if (wire_get_taken(reader, &record) < 0)
        return ERROR_MALFORMED;
    arrival_on_taken(gateway, &record);
    return 0;
}

static int on_gone(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_gone record;

    if (wire_get_gone(reader, &record) < 0)
        return ERROR_MALFORMED;
    relay_on_gone(gateway, record.incarnation);
    return 0;
}

static int on_back(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_back record;

    if (wire_get_back(reader, &record) < 0)
        return ERROR_MALFORMED;
    relay_on_back(gateway, record.incarnation);
    return 0;
}

static void append_row(struct buffer *out, const char *name, const char *value, const char *origin)
{
    buffer_append_text(out, out->length ? ",[" : "[[");
    json_append_string(out, bytes_from_text(name));
    buffer_append_char(out, ',');
    if (value)
        json_append_string(out, bytes_from_text(value));
    else
        buffer_append_literal(out, "null");
    buffer_append_char(out, ',');
    json_append_string(out, bytes_from_text(origin));
    buffer_append_char(out, ']');
}

static void append_key(void *argument, const char *name, const char *value, const char *origin)
{
    if (strcmp(name, "gateway.log_level") == 0 && strcmp(value, log_level_names[log_get_level()]) != 0) {
        value = log_level_names[log_get_level()];
        origin = "loglevel"; /* the command has set it since */
    }
    append_row(argument, name, value, origin);
}

static void tell_configuration(struct gateway *gateway, uint64_t ask)
{
    struct buffer text = {0};

    config_describe(&gateway_config, gateway->settings, append_key, &text);
    namespaces_describe(&gateway->settings->namespaces, append_key, &text);
    tls_files_describe(&gateway->settings->tls.files, append_key, &text);
    token_policy_describe(gateway->tokens, append_key, &text);
    buffer_append_char(&text, ']');
    link_told(gateway->link, ask, buffer_bytes(&text));
    buffer_done(&text);
}

/* Whoever asks gets it from here, and it is kept nowhere else. */
static int on_ask(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_ask record;
    const struct socket *socket;
    struct buffer handshake = {0};

    if (wire_get_ask(reader, &record) < 0)
        return ERROR_MALFORMED;
    if (record.socket == 0) {
        tell_configuration(gateway, record.ask);
        return 0;
    }
    socket = sockets_find(gateway, record.socket);
    if (socket && socket->connection->handshake)
        handshake_append_json(socket->connection->handshake, bytes_from_text(socket->auth),
                              authentication_enabled(gateway), &handshake);
    link_told(gateway->link, record.ask, buffer_bytes(&handshake));
    buffer_done(&handshake);
    return 0;
}

static int on_drain(struct gateway *gateway, struct wire_reader *reader)
{
    enum { SECONDS_MAX = 86400 };
    struct wire_drain record;

    if (wire_get_drain(reader, &record) < 0)
        return ERROR_MALFORMED;
    if (!record.on)
        drain_resume(gateway);
    else if (record.seconds)
        drain_begin(gateway, (record.seconds < SECONDS_MAX ? record.seconds : SECONDS_MAX) * 1000, false);
    else
        drain_begin(gateway, DRAIN_DEFAULT, false);
    return 0;
}

/* A level of a newer router's is passed over. */
static int on_level(struct gateway *gateway, struct wire_reader *reader)
{
    struct wire_level record;
    enum log_level level;

    if (wire_get_level(reader, &record) < 0)
        return ERROR_MALFORMED;
    if (log_level_find(record.level, &level) < 0)
        return 0;
    if (level > log_get_level())
        log_set_level(level); /* the more talkative of both levels shows the line */
    log_warn("log level changed", "gateway=%s level=%s", gateway->settings->name, log_level_names[level]);
    log_set_level(level);
    return 0;
}

int records_handle(struct gateway *gateway, struct link_progress *progress, struct wire_reader *reader,
                   unsigned type)
{
    switch (type) {
    case WIRE_TYPE_WELCOME:
        return on_welcome(gateway, progress, reader);
    case WIRE_TYPE_CONNECTED:
        return on_connected(gateway, reader);
    case WIRE_TYPE_REFUSED:
        return on_refused(gateway, reader);
    case WIRE_TYPE_JOINED:
        return on_joined(gateway, reader);
    case WIRE_TYPE_LEFT:
        return on_left(gateway, reader);
    case WIRE_TYPE_ANSWER:
        return on_answer(gateway, reader);
    case WIRE_TYPE_DONE:
        return on_done(gateway, reader);
    case WIRE_TYPE_OUTCOME:
        return on_outcome(gateway, reader);
    case WIRE_TYPE_DELIVER:
        return on_deliver(gateway, progress, reader);
    case WIRE_TYPE_EMIT:
        return on_emit(gateway, reader);
    case WIRE_TYPE_CAST:
        return on_cast(gateway, progress, reader);
    case WIRE_TYPE_POSE:
        return on_pose(gateway, reader);
    case WIRE_TYPE_CLOSE:
        return on_close(gateway, reader);
    case WIRE_TYPE_POSITION:
        return on_position(progress, reader);
    case WIRE_TYPE_PASSED:
        return on_passed(gateway, reader);
    case WIRE_TYPE_GIVEN:
        return on_given(gateway, reader);
    case WIRE_TYPE_TAKEN:
        return on_taken(gateway, reader);
    case WIRE_TYPE_GONE:
        return on_gone(gateway, reader);
    case WIRE_TYPE_BACK:
        return on_back(gateway, reader);
    case WIRE_TYPE_ASK:
        return on_ask(gateway, reader);
    case WIRE_TYPE_DRAIN:
        return on_drain(gateway, reader);
    case WIRE_TYPE_LEVEL:
        return on_level(gateway, reader);
    default:
        return 0;
    }
}
