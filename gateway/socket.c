/*
 * Socket.IO sockets: their table, their memberships, and what is sent to them; see socket.h.  What their
 * packets mean is in packet.c.
 */
#include "gateway/socket.h"

#include "common/memory.h"
#include "gateway/authentication.h"
#include "gateway/connection.h"
#include "gateway/engine.h"
#include "gateway/gateway.h"
#include "gateway/replay.h"
#include "proto/json_text.h"
#include "proto/socketio.h"

#include <assert.h>
#include <stdlib.h>

/* -- the table ------------------------------------------------------------------------------- */

struct socket *socket_new(struct gateway *gateway, struct connection *connection,
                          struct namespace_rooms *namespace, struct bytes auth)
{
    struct socket *socket = memory_zero(1, sizeof *socket);

    socket->connection = connection;
    socket->namespace = namespace_hold(namespace);
    socket->room_capacity = 1;
    socket->auth = auth.length ? memory_text(auth.data, auth.length) : NULL;
    socket->next = connection->sockets;
    connection->sockets = socket;
    socket->number = slot_table_add(&gateway->sockets, socket);
    return socket;
}

static void leave_rooms(struct gateway *gateway, struct socket *socket)
{
    while (socket->room_count)
        room_remove(gateway, socket, &socket_rooms(socket)[socket->room_count - 1]);
}

static void socket_free(struct gateway *gateway, struct socket *socket)
{
    struct socket **link = &socket->connection->sockets;

    leave_rooms(gateway, socket);
    while (*link != socket)
        link = &(*link)->next;
    *link = socket->next;
    replay_free(socket);
    slot_table_remove(&gateway->sockets, socket->number);
    namespace_release(&gateway->namespaces, socket->namespace);
    if (socket->room_capacity > 1)
        free(socket->several);
    authentication_release(socket);
    free(socket->auth);
    free(socket);
}

struct socket *sockets_find(struct gateway *gateway, uint64_t number)
{
    return slot_table_find(&gateway->sockets, number);
}

struct socket *sockets_at(struct gateway *gateway, uint32_t slot)
{
    struct socket *socket = slot_table_at(&gateway->sockets, slot);

    assert(socket);
    return socket;
}

struct socket *sockets_next(struct gateway *gateway, uint32_t *cursor)
{
    return slot_table_next(&gateway->sockets, cursor);
}

/* -- memberships ----------------------------------------------------------------------------- */

struct membership *socket_membership(struct socket *socket, struct bytes room)
{
    for (unsigned i = 0; i < socket->room_count; i++) {
        const struct room *joined = socket_rooms(socket)[i].room;

        if (bytes_equal(bytes_make(joined->name, joined->name_length), room))
            return &socket_rooms(socket)[i];
    }
    return NULL;
}

struct membership *socket_membership_in(struct socket *socket, const struct room *room)
{
    for (unsigned i = 0; i < socket->room_count; i++)
        if (socket_rooms(socket)[i].room == room)
            return &socket_rooms(socket)[i];
    return NULL;
}

struct membership *socket_membership_add(struct socket *socket)
{
    if (socket->room_count == socket->room_capacity) {
        bool first = socket->room_capacity == 1;
        uint16_t capacity = (uint16_t)(socket->room_capacity * 2);
        struct membership *rooms = memory_resize(first ? NULL : socket->several, capacity * sizeof *rooms);

        if (first)
            rooms[0] = socket->one;
        socket->several = rooms;
        socket->room_capacity = capacity;
    }
    socket->connection->room_count++;
    return &socket_rooms(socket)[socket->room_count++];
}

void socket_membership_drop(struct socket *socket, struct membership *membership)
{
    *membership = socket_rooms(socket)[--socket->room_count];
    socket->connection->room_count--;
}

/* -- sending --------------------------------------------------------------------------------- */

/* How many there are; a client takes no more than so many, and nothing here has more. */
static unsigned attachment_count(struct bytes attachments)
{
    struct wire_reader list;
    int count = wire_list_open(&list, attachments);

    return count > 0 ? (unsigned)count : 0;
}

/* NULL: Socket.IO's. */
static const struct socket_speech *speech_of(const struct socket *socket)
{
    return socket->connection->protocol->speech;
}

void socket_acknowledge(struct gateway *gateway, struct socket *socket, long long ack, struct bytes answer,
                        struct bytes attachments)
{
    struct buffer *head = &gateway->scratch;

    if (ack == SOCKETIO_NO_ACK)
        return;
    if (speech_of(socket)) {
        speech_of(socket)->acknowledge(gateway, socket, ack, answer, attachments);
        return;
    }
    if (!socket->connected) {
        replay_keep_answer(socket, ack, answer, attachments);
        return;
    }
    buffer_clear(head);
    socketio_append_ack_head(head, socket->namespace->name, ack, attachment_count(attachments));
    buffer_append_char(head, '[');

    struct bytes parts[] = {buffer_bytes(head), answer, BYTES("]")};

    engine_send(gateway, socket->connection, parts, 3, attachments);
}

static void send_event(struct gateway *gateway, const struct socket *socket, long long ack,
                       struct bytes payload, struct bytes attachments)
{
    struct buffer *scratch = &gateway->scratch;
    struct bytes head = buffer_bytes(&socket->namespace->event_head);
    unsigned count = attachment_count(attachments);

    if (count || ack != SOCKETIO_NO_ACK) {
        buffer_clear(scratch);
        socketio_append_event_head(scratch, socket->namespace->name, ack, count);
        head = buffer_bytes(scratch);
    }

    struct bytes parts[] = {head, payload};

    engine_send(gateway, socket->connection, parts, 2, attachments);
    gateway->counters.deliveries++;
}

static void speak(struct gateway *gateway, struct socket *socket, struct bytes payload, uint64_t flags,
                  struct bytes attachments)
{
    speech_of(socket)->emit(gateway, socket, payload, flags, attachments);
    gateway->counters.deliveries++;
}

void socket_emit(struct gateway *gateway, struct socket *socket, struct bytes payload, uint64_t flags,
                 struct bytes attachments)
{
    if (speech_of(socket))
        speak(gateway, socket, payload, flags, attachments);
    else if (socket->connected)
        send_event(gateway, socket, SOCKETIO_NO_ACK, payload, attachments);
    else /* nothing goes before the answer to its CONNECT */
        replay_keep_answer(socket, SOCKETIO_NO_ACK, payload, attachments);
}

void socket_ask(struct gateway *gateway, struct socket *socket, uint64_t ack, struct bytes payload,
                struct bytes attachments)
{
    if (!socket->connected)
        return;
    if (speech_of(socket)) { /* a bare client has nothing to answer with */
        speak(gateway, socket, payload, 0, attachments);
        return;
    }
    socket->questions++;
    send_event(gateway, socket, (long long)ack, payload, attachments);
}

void socket_refuse(struct gateway *gateway, struct socket *socket, long long ack, struct bytes event,
                   enum refusal_code code, const char *message)
{
    struct buffer text = {0};

    gateway->counters.refused[code]++;
    if (ack != SOCKETIO_NO_ACK) {
        refusal_append_answer(&text, code, message);
        socket_acknowledge(gateway, socket, ack, buffer_bytes(&text), (struct bytes){0});
    } else if (!refusal_budget_take(&socket->errors, loop_now(gateway->loop))) {
        gateway->counters.dropped_error_rate++;
    } else {
        buffer_append_literal(&text, "[\"hubbub:error\",{\"event\":");
        json_append_string(&text, event);
        buffer_append_literal(&text, ",\"error\":");
        refusal_append_error(&text, code, message);
        buffer_append_char(&text, '}');
        if (socket->namespace->config->recovery) {
            buffer_append_literal(&text, ",\"");
            link_append_offset(gateway->link, &text);
            buffer_append_char(&text, '"');
        }
        buffer_append_char(&text, ']');
        socket_emit(gateway, socket, buffer_bytes(&text),
                    socket->namespace->config->recovery ? WIRE_DELIVER_OFFSET : 0, (struct bytes){0});
    }
    buffer_done(&text);
}

void socket_finish_request(struct gateway *gateway, struct request *request)
{
    struct socket *socket = sockets_find(gateway, request->socket);

    if (socket) {
        socket->unanswered -= request->weight;
        socket->calls -= request->kind == REQUEST_CALL;
    }
    requests_finish(&gateway->requests, request);
}

/* -- beginning and end ----------------------------------------------------------------------- */

void socket_on_connected(struct gateway *gateway, struct socket *socket, const struct wire_connected *record)
{
    struct buffer *out = &gateway->scratch;

    if (socket->connected || record->sid.length > SID_LENGTH_MAX || record->generation > UINT32_MAX)
        return;
    socket->connected = true;
    socket->connected_pos = link_position(gateway->link);
    socket->session_generation = (uint32_t)record->generation;
    socket->sid_length = (uint8_t)record->sid.length;
    memcpy(socket->sid, record->sid.data, record->sid.length);
    if (!socket->token && authentication_hold(gateway, socket, record->grant) < 0)
        log_warn("the router has sent a grant that is none", "namespace=%.*s",
                 BYTES_PRINTF(socket->namespace->name));
    if (!socket->token && !bytes_starts_with(record->from, BYTES("anon:")))
        authentication_hold_name(gateway, socket, record->from);
    gateway->counters.sockets++;
    engine_namespace_joined(socket->connection);
    if (socket->connection->arrival)
        return; /* it has moved here, and its client knows */
    if (speech_of(socket)) {
        speech_of(socket)->connected(gateway, socket);
    } else {
        struct bytes packet;

        buffer_clear(out);
        socketio_append_connect(out, socket->namespace->name, record->sid, record->pid);
        packet = buffer_bytes(out);
        engine_send(gateway, socket->connection, &packet, 1, (struct bytes){0});
    }
    replay_send(gateway, socket);
}

/* Forgets the socket, and tells the router unless it knows. */
static void close_socket(struct gateway *gateway, struct socket *socket, enum close_reason reason, bool tell)
{
    if (tell)
        link_disconnect(gateway->link, socket, reason);
    if (socket->connected)
        gateway->counters.sockets--;
    socket_free(gateway, socket);
}

void socket_on_refused(struct gateway *gateway, struct socket *socket, struct bytes error)
{
    struct buffer *out = &gateway->scratch;

    if (speech_of(socket)) {
        speech_of(socket)->refused(gateway, socket, error);
        return;
    }
    buffer_clear(out);
    socketio_append_connect_error(out, socket->namespace->name, error);

    struct bytes packet = buffer_bytes(out);

    engine_send(gateway, socket->connection, &packet, 1, (struct bytes){0});
    close_socket(gateway, socket, CLOSE_NONE, false);
}

void socket_close(struct gateway *gateway, struct socket *socket, enum close_reason reason)
{
    close_socket(gateway, socket, reason, true);
}

static void send_disconnect(struct gateway *gateway, const struct socket *socket)
{
    struct buffer *out = &gateway->scratch;

    buffer_clear(out);
    socketio_append_disconnect(out, socket->namespace->name);

    struct bytes packet = buffer_bytes(out);

    engine_send(gateway, socket->connection, &packet, 1, (struct bytes){0});
}

void socket_disconnect(struct gateway *gateway, struct socket *socket)
{
    if (speech_of(socket)) {
        speech_of(socket)->disconnected(gateway, socket);
        return;
    }
    send_disconnect(gateway, socket);
    close_socket(gateway, socket, CLOSE_ROUTER_CLOSE, false);
}

void socket_disconnect_all(struct gateway *gateway, struct socket *socket)
{
    struct connection *connection = socket->connection;
    struct socket *next;

    if (speech_of(socket)) { /* it is the only one, and its connection goes with it */
        speech_of(socket)->disconnected(gateway, socket);
        return;
    }
    socket_disconnect(gateway, socket);
    for (struct socket *other = connection->sockets; other; other = next) {
        next = other->next;
        if (!other->connected)
            continue;
        send_disconnect(gateway, other);
        close_socket(gateway, other, CLOSE_SERVER_DISCONNECT, true);
    }
    engine_close(gateway, connection, CLOSE_ROUTER_CLOSE);
}

void socket_give_away(struct gateway *gateway, struct socket *socket)
{
    close_socket(gateway, socket, CLOSE_NONE, false);
}

void sockets_move(struct gateway *gateway, struct connection *from, struct connection *to)
{
    for (struct socket *socket = from->sockets; socket; socket = socket->next) {
        for (unsigned i = 0; i < socket->room_count; i++)
            room_move_member(gateway, &socket_rooms(socket)[i], to);
        socket->connection = to;
    }
    to->sockets = from->sockets;
    from->sockets = NULL;
}

void sockets_begin_again(struct gateway *gateway)
{
    struct socket *socket;
    uint32_t cursor = 0;

    while ((socket = sockets_next(gateway, &cursor)))
        if (!socket->connected) {
            replay_begin_again(socket);
            leave_rooms(gateway, socket);
        }
}

void sockets_close(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    while (connection->sockets)
        close_socket(gateway, connection->sockets, reason, true);
}
