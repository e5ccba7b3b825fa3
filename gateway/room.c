/*
 * Rooms and the fan-out; see room.h.  The hot path of the whole product is flush_stream(): one send() a
 * member and turn.  The one surprising rule: a chunk that somebody's queue refers to must not be reallocated,
 * so a stream whose chunk is full hands it out in the middle of the turn and starts another.
 */
#include "gateway/room.h"

#include "common/memory.h"
#include "gateway/connection.h"
#include "gateway/exceptions.h"
#include "gateway/gateway.h"
#include "gateway/socket.h"
#include "proto/bare.h"
#include "proto/socketio.h"

#include <assert.h>
#include <stdlib.h>

enum {
    CHUNK_FIRST = 4 << 10,
    CHUNK_LIMIT = 256 << 10, /* a turn's chunk that has grown so far is handed out */
    SPARE_CHUNKS = 256,
    SPARE_CAPACITY = 32 << 10,
    VOLATILES_MAX = 64, /* a turn's chunk remembers so many volatile events */
};

#define NOT_DIRTY   UINT32_MAX
#define SOCKET_MASK 0x07ffffffU /* of struct member */

/* Runs of a turn's chunk. */
struct volatile_runs {
    uint32_t count;
    struct {
        uint32_t start, end;
    } runs[VOLATILES_MAX];
};

/* What a DELIVER and a CAST have in common. */
struct delivery {
    uint64_t pos, flags;
    uint64_t except;                     /* a socket, or 0 */
    const struct exceptions *exceptions; /* or NULL */
    long long ack;                       /* a question's, or SOCKETIO_NO_ACK */
    struct bytes payload, attachments;
};

static_assert(ENCODINGS <= 8, "a member keeps its encoding in three bits");

static struct bytes room_key(const void *entry)
{
    const struct room *room = entry;

    return bytes_make(room->name, room->name_length);
}

void fanout_init(struct fanout *fanout)
{
    *fanout = (struct fanout){.spare = memory_new(SPARE_CHUNKS * sizeof *fanout->spare)};
}

void fanout_done(struct fanout *fanout)
{
    while (fanout->spare_count)
        chunk_release(fanout->spare[--fanout->spare_count]);
    free(fanout->spare);
    free(fanout->dirty);
    free(fanout->excepted);
    buffer_done(&fanout->head);
    *fanout = (struct fanout){0};
}

void namespace_rooms_init(struct namespace_rooms *namespace, const struct namespace_config *config,
                          struct bytes name)
{
    *namespace = (struct namespace_rooms){
        .config = config, .name = bytes_make(memory_text(name.data, name.length), name.length)};
    table_init(&namespace->rooms, room_key);
    socketio_append_event_head(&namespace->event_head, name, SOCKETIO_NO_ACK, 0);
}

void namespace_rooms_done(struct namespace_rooms *namespace)
{
    assert(namespace->rooms.count == 0);
    table_done(&namespace->rooms);
    buffer_done(&namespace->event_head);
    free((char *)namespace->name.data);
}

struct room *room_find(const struct namespace_rooms *namespace, struct bytes name)
{
    return table_find(&namespace->rooms, name);
}

static struct room *room_new(struct gateway *gateway, struct namespace_rooms *namespace, struct bytes name)
{
    struct room *room = memory_zero(1, offsetof(struct room, name) + name.length);

    room->namespace = namespace;
    room->dirty_slot = NOT_DIRTY;
    room->name_length = (uint16_t)name.length;
    memcpy(room->name, name.data, name.length);
    table_insert(&namespace->rooms, room);
    gateway->fanout.room_count++;
    return room;
}

static void room_free(struct gateway *gateway, struct room *room)
{
    assert(room->websocket.members == 0 && !room->others);
    if (room->dirty_slot != NOT_DIRTY)
        gateway->fanout.dirty[room->dirty_slot] = NULL;
    if (gateway->fanout.latest == room)
        gateway->fanout.latest = NULL;
    table_remove(&room->namespace->rooms, room);
    gateway->fanout.room_count--;
    free(room->members);
    free(room);
}

/* -- streams --------------------------------------------------------------------------------- */

/* Those that the room has memory for. */
static unsigned stream_count(const struct room *room)
{
    return room->others ? ENCODINGS : 1;
}

static struct stream *stream_at(struct room *room, unsigned encoding)
{
    return encoding == ENCODING_WEBSOCKET ? &room->websocket : &room->others[encoding - 1];
}

/* Hands the member a run of the turn's chunk: written at once, or left to the end of the turn. */
static inline void hand_run(struct gateway *gateway, struct member *member, struct chunk *chunk,
                            uint32_t start, uint32_t end, bool now)
{
    if (now)
        connection_deliver(gateway, member->connection, chunk, start, end - start);
    else
        connection_append(gateway, member->connection, chunk, start, end - start);
}

/* Hands the member what is there of this turn, but for volatile events that it is too slow for. */
static inline void hand_over(struct gateway *gateway, struct stream *stream, struct member *member, bool now)
{
    const struct volatile_runs *volatiles = stream->volatiles;
    struct chunk *chunk = stream->turn;
    uint32_t offset = member->skip;

    member->skip = chunk->length;
    if (volatiles && member->connection->blocked)
        for (unsigned i = 0; i < volatiles->count; i++) {
            if (volatiles->runs[i].start < offset)
                continue;
            gateway->counters.dropped_slow_reader++;
            stream->deliveries--;
            if (volatiles->runs[i].start > offset)
                hand_run(gateway, member, chunk, offset, volatiles->runs[i].start, now);
            offset = volatiles->runs[i].end;
        }
    if (offset < chunk->length)
        hand_run(gateway, member, chunk, offset, chunk->length, now);
}

/* The same at any time: nothing may be there. */
static void catch_up(struct gateway *gateway, struct room *room, struct member *member)
{
    struct stream *stream = stream_at(room, member->encoding);

    if (stream->turn && member->skip < stream->turn->length)
        hand_over(gateway, stream, member, false);
}

static void release_chunk(struct fanout *fanout, struct chunk *chunk)
{
    if (chunk->references == 1 && chunk->capacity <= SPARE_CAPACITY && fanout->spare_count < SPARE_CHUNKS) {
        chunk->length = 0;
        fanout->spare[fanout->spare_count++] = chunk;
    } else
        chunk_release(chunk);
}

/* Everybody has what the stream's turn holds. */
static void end_turn(struct gateway *gateway, struct stream *stream)
{
    gateway->counters.deliveries += stream->deliveries;
    stream->deliveries = 0;
    release_chunk(&gateway->fanout, stream->turn);
    stream->turn = NULL;
    if (stream->volatiles)
        stream->volatiles->count = 0;
}

static void flush_stream(struct gateway *gateway, struct room *room, unsigned encoding)
{
    struct stream *stream = stream_at(room, encoding);
    uint32_t length = stream->turn->length;
    bool all = stream->members == room->count; /* as in most rooms: then nobody's encoding is looked at */

    for (uint32_t i = 0; i < room->count; i++)
        if ((all || room->members[i].encoding == encoding) && room->members[i].skip < length)
            hand_over(gateway, stream, &room->members[i], true);
    for (uint32_t i = 0; i < room->count; i++)
        if (all || room->members[i].encoding == encoding)
            room->members[i].skip = 0;
    end_turn(gateway, stream);
}

/* Counts the member in where its connection's encoding is; what the turn holds there is not for it. */
static void enter_stream(struct room *room, struct member *member)
{
    struct stream *stream;

    member->encoding = member->connection->encoding & 7U;
    if (member->encoding != ENCODING_WEBSOCKET && !room->others)
        room->others = memory_zero(ENCODINGS - 1, sizeof *room->others);
    stream = stream_at(room, member->encoding);
    stream->members++;
    member->skip = stream->turn ? stream->turn->length : 0;
}

/* Whether all members take plain WebSocket frames. */
static bool others_are_empty(const struct room *room)
{
    for (unsigned i = 0; i < ENCODINGS - 1; i++)
        if (room->others[i].members)
            return false;
    return true;
}

/* The member gets what the turn holds for it.  What the stream had goes with its last member. */
static void leave_stream(struct gateway *gateway, struct room *room, struct member *member)
{
    struct stream *stream = stream_at(room, member->encoding);

    catch_up(gateway, room, member);
    if (--stream->members)
        return;
    if (stream->turn)
        end_turn(gateway, stream);
    free(stream->volatiles);
    stream->volatiles = NULL;
    if (room->others && others_are_empty(room)) {
        free(room->others);
        room->others = NULL;
    }
}

/* -- members --------------------------------------------------------------------------------- */

static void set_several(const struct membership *membership, bool several)
{
    struct room *room = membership->room;
    struct member *member = &room->members[membership->slot];

    room->several += (uint32_t)several;
    room->several -= member->several;
    member->several = several;
}

/* Notes who is in several rooms: the socket has entered one (which stands last) or left one. */
static void count_several(const struct socket *socket, bool entered)
{
    if (entered && socket->room_count > 1)
        set_several(&socket_rooms(socket)[socket->room_count - 1], true);
    if (socket->room_count && socket->room_count <= 2)
        set_several(&socket_rooms(socket)[0], socket->room_count > 1);
}

void room_add(struct gateway *gateway, struct socket *socket, struct bytes name, uint64_t joined_pos,
              bool watch)
{
    struct membership *membership = socket_membership(socket, name);

    if (membership) {
        membership->watch = watch;
        membership->room->members[membership->slot].watch = watch;
        return;
    }

    struct room *room = room_find(socket->namespace, name);

    if (!room)
        room = room_new(gateway, socket->namespace, name);
    if (room->count == room->capacity) {
        room->capacity = room->capacity ? room->capacity + (room->capacity + 1) / 2 : 4;
        room->members = memory_resize(room->members, room->capacity * sizeof *room->members);
    }
    membership = socket_membership_add(socket);
    *membership =
        (struct membership){.room = room, .joined_pos = joined_pos, .slot = room->count, .watch = watch};
    room->members[room->count] = (struct member){
        .connection = socket->connection, .watch = watch, .socket = (uint32_t)socket->number & SOCKET_MASK};
    enter_stream(room, &room->members[room->count++]);
    if (socket->room_count > 1)
        rooms_catch_up(gateway, socket->connection); /* what comes in this room stands behind it */
    count_several(socket, true);
}

void room_remove(struct gateway *gateway, struct socket *socket, struct membership *membership)
{
    struct room *room = membership->room;
    uint32_t slot = membership->slot;

    leave_stream(gateway, room, &room->members[slot]);
    room->several -= room->members[slot].several;
    room->count--;
    if (slot != room->count) {
        struct socket *moved;

        room->members[slot] = room->members[room->count];
        moved = sockets_at(gateway, room->members[slot].socket);
        socket_membership_in(moved, room)->slot = slot;
    }
    socket_membership_drop(socket, membership);
    count_several(socket, false);
    if (room->count == 0)
        room_free(gateway, room);
}

void room_move_member(struct gateway *gateway, struct membership *membership, struct connection *to)
{
    struct room *room = membership->room;
    struct member *member = &room->members[membership->slot];

    leave_stream(gateway, room, member);
    member->connection->room_count--;
    to->room_count++;
    member->connection = to;
    enter_stream(room, member);
}

/* -- the fan-out ----------------------------------------------------------------------------- */

void rooms_flush(struct gateway *gateway)
{
    struct fanout *fanout = &gateway->fanout;

    for (uint32_t i = 0; i < fanout->dirty_count; i++) {
        struct room *room = fanout->dirty[i];

        if (!room)
            continue;
        room->dirty_slot = NOT_DIRTY;
        for (unsigned encoding = 0; encoding < stream_count(room); encoding++)
            if (stream_at(room, encoding)->turn)
                flush_stream(gateway, room, encoding);
    }
    fanout->dirty_count = 0;
    fanout->latest = NULL;
}

void rooms_catch_up(struct gateway *gateway, struct connection *connection)
{
    if (gateway->fanout.dirty_count == 0)
        return;
    for (struct socket *socket = connection->sockets; socket; socket = socket->next)
        for (unsigned i = 0; i < socket->room_count; i++) {
            struct room *room = socket_rooms(socket)[i].room;

            catch_up(gateway, room, &room->members[socket_rooms(socket)[i].slot]);
        }
}

static void make_dirty(struct fanout *fanout, struct room *room)
{
    if (room->dirty_slot != NOT_DIRTY)
        return;
    if (fanout->dirty_count == fanout->dirty_capacity) {
        fanout->dirty_capacity = fanout->dirty_capacity ? fanout->dirty_capacity * 2 : 64;
        fanout->dirty = memory_resize(fanout->dirty, fanout->dirty_capacity * sizeof *fanout->dirty);
    }
    room->dirty_slot = fanout->dirty_count;
    fanout->dirty[fanout->dirty_count++] = room;
}

/* Makes room for length bytes at the end of the turn's chunk; may hand out what is there. */
static struct chunk *turn_chunk(struct gateway *gateway, struct room *room, unsigned encoding, size_t length)
{
    struct fanout *fanout = &gateway->fanout;
    struct stream *stream = stream_at(room, encoding);
    struct chunk *chunk = stream->turn;

    if (chunk && chunk->capacity - chunk->length < length) {
        size_t capacity = (chunk->length + length) * 2;

        if (chunk->references == 1 && capacity <= CHUNK_LIMIT) {
            chunk = memory_resize(chunk, sizeof *chunk + capacity);
            chunk->capacity = (uint32_t)capacity;
            stream->turn = chunk;
            return chunk;
        }
        flush_stream(gateway, room, encoding);
        chunk = NULL;
    }
    if (!chunk) {
        if (fanout->spare_count && fanout->spare[fanout->spare_count - 1]->capacity >= length)
            chunk = fanout->spare[--fanout->spare_count];
        else
            chunk = chunk_new(length > CHUNK_FIRST ? length : CHUNK_FIRST);
        stream->turn = chunk;
        make_dirty(fanout, room);
    }
    return chunk;
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
        buffer_clear(&gateway->fanout.head);
        socketio_append_event_head(&gateway->fanout.head, namespace->name, delivery->ack,
                                   attachments > 0 ? (unsigned)attachments : 0);
        head = buffer_bytes(&gateway->fanout.head);
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

static void note_volatile(struct stream *stream, uint32_t start, uint32_t end)
{
    if (!stream->volatiles)
        stream->volatiles = memory_zero(1, sizeof *stream->volatiles);
    if (stream->volatiles->count == VOLATILES_MAX)
        return; /* beyond, a slow reader gets them after all */
    stream->volatiles->runs[stream->volatiles->count].start = start;
    stream->volatiles->runs[stream->volatiles->count++].end = end;
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
    struct stream *stream = stream_at(room, encoding);
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
    chunk = turn_chunk(gateway, room, encoding, length);
    start = chunk->length;
    stream->deliveries += receivers;
    for (cursor = 0; (member = next_of(room, excepted, encoding, &cursor));)
        if (member->skip < start)
            hand_over(gateway, stream, member, false);
    encoding_write(gateway->encoder, encoding, message, chunk->data + start);
    chunk->length += (uint32_t)length;
    for (cursor = 0; (member = next_of(room, excepted, encoding, &cursor));)
        member->skip = chunk->length;
    if (event->is_volatile)
        note_volatile(stream, start, chunk->length);
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

/* The room is about to get an event: its members have what their other rooms got before. */
static void order_rooms(struct gateway *gateway, const struct room *room)
{
    if (room->several == 0 || gateway->fanout.latest == room)
        return;
    if (gateway->fanout.dirty_count > (room->dirty_slot == NOT_DIRTY ? 0 : 1))
        for (uint32_t i = 0; i < room->count; i++)
            if (room->members[i].several)
                rooms_catch_up(gateway, room->members[i].connection);
    gateway->fanout.latest = room;
}

/* To all members but the excepted ones, in the room's turn. */
static void deliver_to_most(struct gateway *gateway, struct room *room, const struct delivery *delivery,
                            const struct slots *excepted)
{
    struct event event;

    order_rooms(gateway, room);
    event_init(&event, gateway, room->namespace, delivery);
    for (unsigned encoding = 0; encoding < stream_count(room); encoding++)
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

void room_deliver(struct gateway *gateway, struct room *room, const struct wire_deliver *record)
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
    struct fanout *fanout = &gateway->fanout;
    struct slots excepted = {0};

    if (room->count > fanout->excepted_capacity) {
        fanout->excepted_capacity = room->capacity;
        fanout->excepted = memory_resize(fanout->excepted, room->capacity * sizeof *fanout->excepted);
    }
    for (uint32_t i = 0; i < room->count; i++) {
        struct socket *socket = sockets_at(gateway, room->members[i].socket);

        if (is_excepted(delivery, socket))
            fanout->excepted[excepted.count++] = i;
        else
            count_question(socket, delivery);
    }
    excepted.list = fanout->excepted;
    return excepted;
}

void room_cast(struct gateway *gateway, struct room *room, const struct wire_cast *record,
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

static void deliver_to_namespace(struct gateway *gateway, struct namespace_rooms *namespace,
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

void namespace_deliver(struct gateway *gateway, struct namespace_rooms *namespace,
                       const struct wire_deliver *record)
{
    struct delivery delivery = delivery_of_deliver(record);

    deliver_to_namespace(gateway, namespace, &delivery);
}

void namespace_cast(struct gateway *gateway, struct namespace_rooms *namespace,
                    const struct wire_cast *record, const struct exceptions *exceptions)
{
    struct delivery delivery = delivery_of_cast(record, exceptions);

    deliver_to_namespace(gateway, namespace, &delivery);
}
