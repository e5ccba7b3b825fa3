/*
 * Deliveries; see deliver.h.  router_records.c calls it for DELIVER and CAST.  Its one surprising rule: what
 * is for all members goes into the room's turn, also when some are excepted, who skip its bytes; what is for
 * few goes to each at once, in a chunk that they share.
 */
#include "gateway/deliver.h"

#include "common/memory.h"
#include "gateway/connection.h"
#include "gateway/exceptions.h"
#include "gateway/gateway.h"
#include "gateway/socket.h"
#include "proto/bare.h"
#include "proto/socketio.h"

#include <stdlib.h>

/* What a DELIVER and a CAST have in common. */
struct delivery {
    uint64_t pos, flags;
    uint64_t except;                     /* a socket, or 0 */
    const struct exceptions *exceptions; /* or NULL */
    long long ack;                       /* a question's, or SOCKETIO_NO_ACK */
    struct bytes payload, attachments;
};

void deliver_space_done(struct deliver_space *space)
{
    free(space->excepted);
    buffer_done(&space->head);
    *space = (struct deliver_space){0};
}

/* An event about to be encoded, in each dialect in which somebody gets it; not to be copied. */
struct event {
    const struct delivery *delivery;
    struct bytes parts[2];
    struct encoding_message message;
    struct bare_event bare;
    struct encoding_message bare_message;
    enum {
        BARE_NOT_MADE,
        BARE_MADE,
        BARE_FAILED
    } bare_state; /* the two above mean something once it is made */
    bool is_volatile;
};

static void event_init(struct event *event, struct gateway *gateway, const struct namespace_rooms *namespace,
                       const struct delivery *delivery)
{
    struct bytes head = buffer_bytes(&namespace->event_head);
    struct wire_reader reader;
    int attachments = delivery->attachments.length ? wire_list_open(&reader, delivery->attachments) : 0;

    if (attachments > 0 || delivery->ack != SOCKETIO_NO_ACK) {
        buffer_clear(&gateway->deliver.head);
        socketio_append_event_head(&gateway->deliver.head, namespace->name, delivery->ack,
                                   attachments > 0 ? (unsigned)attachments : 0);
        head = buffer_bytes(&gateway->deliver.head);
    }
    event->delivery = delivery;
    event->parts[0] = head;
    event->parts[1] = delivery->payload;
    event->message = (struct encoding_message){event->parts, 2, delivery->attachments};
    event->bare_state = BARE_NOT_MADE;
    event->is_volatile = delivery->flags & WIRE_DELIVER_VOLATILE;
}

static void event_done(struct event *event)
{
    if (event->bare_state == BARE_MADE)
        bare_event_done(&event->bare);
}

/* What clients of that encoding are told; NULL for nothing: the router's payload is no event. */
static struct encoding_message *event_message(struct event *event, unsigned encoding)
{
    const struct delivery *delivery = event->delivery;

    if (encoding_dialect(encoding) == DIALECT_SOCKETIO)
        return &event->message;
    if (event->bare_state == BARE_NOT_MADE) {
        int code =
            bare_event_make(delivery->payload, delivery->flags & WIRE_DELIVER_META,
                            delivery->flags & WIRE_DELIVER_OFFSET, delivery->attachments, &event->bare);

        event->bare_state = code < 0 ? BARE_FAILED : BARE_MADE;
        event->bare_message = (struct encoding_message){event->bare.parts, event->bare.count};
    }
    return event->bare_state == BARE_MADE ? &event->bare_message : NULL;
}

/* Members of a room, by their slots. */
struct slots {
    const uint32_t *list;
    uint32_t count;
};

/* The next of those in an encoding: *cursor starts at 0, ends with NULL. */
static struct member *next_of(struct room *room, const struct slots *slots, unsigned encoding,
                              uint32_t *cursor)
{
    while (*cursor < slots->count) {
        struct member *member = &room->members[slots->list[(*cursor)++]];

        if (member->encoding == encoding)
            return member;
    }
    return NULL;
}

/* Appends the event to the turn of one encoding; excepted: members that are to get all but this. */
static void append_event(struct gateway *gateway, struct room *room, unsigned encoding, struct event *event,
                         const struct slots *excepted)
{
    struct stream *stream = room_stream(room, encoding);
    struct encoding_message *message;
    struct member *member;
    struct chunk *chunk;
    uint32_t start, cursor = 0, receivers = stream->members;
    size_t length;

    while (next_of(room, excepted, encoding, &cursor))
        receivers--;
    if (receivers == 0 || !(message = event_message(event, encoding)))
        return;
    length = encoding_measure(gateway->encoder, encoding, message);
    chunk = fanout_reserve(gateway, room, encoding, length);
    start = chunk->length;
    stream->deliveries += receivers;
    for (cursor = 0; (member = next_of(room, excepted, encoding, &cursor));)
        fanout_hand_over(gateway, room, member);
    encoding_write(gateway->encoder, encoding, message, chunk->data + start);
    chunk->length += (uint32_t)length;
    for (cursor = 0; (member = next_of(room, excepted, encoding, &cursor));)
        member->skip = chunk->length;
    if (event->is_volatile)
        fanout_note_volatile(stream, start, chunk->length);
}

/* -- for the few records that are not for all members: chunks of their own -------------------- */

/* A chunk for each encoding met, made when it is. */
struct singles {
    struct event event;
    struct chunk *chunks[ENCODINGS];
    bool keeps; /* volatile, but not dropped for a client that is only between two polls */
};

static void singles_done(struct singles *singles)
{
    event_done(&singles->event);
    for (unsigned encoding = 0; encoding < ENCODINGS; encoding++)
        if (singles->chunks[encoding])
            chunk_release(singles->chunks[encoding]);
}

/* NULL for nothing to say. */
static struct chunk *single_chunk(struct gateway *gateway, struct singles *singles, unsigned encoding)
{
    struct encoding_message *message = event_message(&singles->event, encoding);
    struct chunk **chunk = &singles->chunks[encoding];

    if (!*chunk && message) {
        size_t length = encoding_measure(gateway->encoder, encoding, message);

        *chunk = chunk_new(length);
        encoding_write(gateway->encoder, encoding, message, (*chunk)->data);
        (*chunk)->length = (uint32_t)length;
    }
    return *chunk;
}

/* It is asked, if that is a question and its client can answer one. */
static void count_question(struct socket *socket, const struct delivery *delivery)
{
    if (delivery->ack != SOCKETIO_NO_ACK &&
        encoding_dialect(socket->connection->encoding) == DIALECT_SOCKETIO)
        socket->questions++;
}

static void send_single(struct gateway *gateway, struct socket *socket, struct singles *singles,
                        const struct delivery *delivery)
{
    struct connection *connection = socket->connection;
    struct chunk *chunk;

    if (singles->event.is_volatile && connection->blocked &&
        !(singles->keeps && connection_is_between(connection))) {
        gateway->counters.dropped_slow_reader++;
        return;
    }
    count_question(socket, delivery);
    chunk = single_chunk(gateway, singles, connection->encoding);
    if (!chunk)
        return;
    connection_send_chunk(gateway, connection, chunk, 0, chunk->length);
    gateway->counters.deliveries++;
}

static bool is_excepted(const struct delivery *delivery, struct socket *socket)
{
    uint64_t before = delivery->flags & WIRE_DELIVER_REPLAY ? delivery->pos : UINT64_MAX;

    return (delivery->except && delivery->except == socket->number) ||
           (delivery->exceptions && exceptions_hold(delivery->exceptions, socket, before));
}

static void deliver_to_some(struct gateway *gateway, struct room *room, const struct delivery *delivery)
{
    struct singles singles = {0};

    event_init(&singles.event, gateway, room->namespace, delivery);
    /* A number that nobody tells again: at most one a second, so it may wait for the next poll. */
    singles.keeps = delivery->flags & WIRE_DELIVER_WATCHERS;
    for (uint32_t i = 0; i < room->count; i++) {
        struct member *member = &room->members[i];
        struct socket *socket = sockets_at(gateway, member->socket);

        if (delivery->flags & WIRE_DELIVER_WATCHERS && !member->watch)
            continue;
        if (delivery->flags & WIRE_DELIVER_REPLAY &&
            (socket_membership_in(socket, room)->joined_pos >= delivery->pos ||
             is_excepted(delivery, socket)))
            continue;
        send_single(gateway, socket, &singles, delivery);
    }
    singles_done(&singles);
}

/* -- records --------------------------------------------------------------------------------- */

/* To all members but the excepted ones, in the room's turn. */
static void deliver_to_most(struct gateway *gateway, struct room *room, const struct delivery *delivery,
                            const struct slots *excepted)
{
    struct event event;

    fanout_order(gateway, room);
    event_init(&event, gateway, room->namespace, delivery);
    for (unsigned encoding = 0; encoding < room_stream_count(room); encoding++)
        append_event(gateway, room, encoding, &event, excepted);
    event_done(&event);
}

static struct delivery delivery_of_deliver(const struct wire_deliver *record)
{
    return (struct delivery){.pos = record->pos,
                             .flags = record->flags,
                             .except = record->except,
                             .ack = SOCKETIO_NO_ACK,
                             .payload = record->payload,
                             .attachments = record->attachments};
}

static struct delivery delivery_of_cast(const struct wire_cast *record, const struct exceptions *exceptions)
{
    return (struct delivery){.pos = record->pos,
                             .flags = record->flags,
                             .exceptions = exceptions,
                             .ack = record->ack ? (long long)record->ack : SOCKETIO_NO_ACK,
                             .payload = record->payload,
                             .attachments = record->attachments};
}

void deliver_to_room(struct gateway *gateway, struct room *room, const struct wire_deliver *record)
{
    struct delivery delivery = delivery_of_deliver(record);
    struct slots excepted = {0};

    if (record->flags & (WIRE_DELIVER_REPLAY | WIRE_DELIVER_WATCHERS)) {
        deliver_to_some(gateway, room, &delivery);
        return;
    }
    if (record->except) {
        struct socket *socket = sockets_find(gateway, record->except);
        struct membership *membership = socket ? socket_membership_in(socket, room) : NULL;

        if (membership)
            excepted = (struct slots){&membership->slot, 1};
    }
    deliver_to_most(gateway, room, &delivery, &excepted);
}

/* Finds the members that a CAST is not for, and counts it as a question to the others. */
static struct slots look_at_members(struct gateway *gateway, struct room *room,
                                    const struct delivery *delivery)
{
    struct deliver_space *space = &gateway->deliver;
    struct slots excepted = {0};

    if (room->count > space->excepted_capacity) {
        space->excepted_capacity = room->capacity;
        space->excepted = memory_resize(space->excepted, room->capacity * sizeof *space->excepted);
    }
    for (uint32_t i = 0; i < room->count; i++) {
        struct socket *socket = sockets_at(gateway, room->members[i].socket);

        if (is_excepted(delivery, socket))
            space->excepted[excepted.count++] = i;
        else
            count_question(socket, delivery);
    }
    excepted.list = space->excepted;
    return excepted;
}

void deliver_cast_to_room(struct gateway *gateway, struct room *room, const struct wire_cast *record,
                          const struct exceptions *exceptions)
{
    struct delivery delivery = delivery_of_cast(record, exceptions);

    if (record->flags & WIRE_DELIVER_REPLAY) {
        deliver_to_some(gateway, room, &delivery);
        return;
    }

    struct slots excepted = look_at_members(gateway, room, &delivery);

    deliver_to_most(gateway, room, &delivery, &excepted);
}

static void deliver_to_sockets(struct gateway *gateway, struct namespace_rooms *namespace,
                               const struct delivery *delivery)
{
    struct singles singles = {0};
    uint32_t cursor = 0;
    struct socket *socket;

    event_init(&singles.event, gateway, namespace, delivery);
    while ((socket = sockets_next(gateway, &cursor)))
        if (socket->namespace == namespace && socket->connected && !is_excepted(delivery, socket) &&
            !(delivery->flags & WIRE_DELIVER_REPLAY && socket->connected_pos >= delivery->pos))
            send_single(gateway, socket, &singles, delivery);
    singles_done(&singles);
}

void deliver_to_namespace(struct gateway *gateway, struct namespace_rooms *namespace,
                          const struct wire_deliver *record)
{
    struct delivery delivery = delivery_of_deliver(record);

    deliver_to_sockets(gateway, namespace, &delivery);
}

void deliver_cast_to_namespace(struct gateway *gateway, struct namespace_rooms *namespace,
                               const struct wire_cast *record, const struct exceptions *exceptions)
{
    struct delivery delivery = delivery_of_cast(record, exceptions);

    deliver_to_sockets(gateway, namespace, &delivery);
}
