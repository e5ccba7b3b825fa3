/*
 * Rooms and the fan-out; see room.h.  The hot path of the whole product is flush_room(): one send() a member
 * and turn.  The one surprising rule: a chunk that somebody's queue refers to must not be reallocated, so a
 * room whose chunk is full hands it out in the middle of the turn and starts another.
 */
#include "gateway/room.h"

#include "common/memory.h"
#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "gateway/socket.h"
#include "proto/socketio.h"
#include "proto/websocket.h"

#include <assert.h>
#include <stdlib.h>

enum {
    CHUNK_FIRST = 4 << 10,
    CHUNK_LIMIT = 256 << 10, /* a room's turn that has grown so far is handed out */
    SPARE_CHUNKS = 256,
    SPARE_CAPACITY = 32 << 10,
    VOLATILES_MAX = 64, /* a room's turn remembers so many volatile events */
};

#define NOT_DIRTY UINT32_MAX

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
    *fanout = (struct fanout){0};
}

void namespace_rooms_init(struct namespace_rooms *namespace, const struct namespace_config *config,
                          struct bytes name)
{
    *namespace = (struct namespace_rooms){
        .config = config, .name = bytes_make(memory_text(name.data, name.length), name.length)};
    table_init(&namespace->rooms, room_key);
    socketio_append_event_head(&namespace->event_head, name, SOCKETIO_NO_ACK);
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
    struct room *room = memory_zero(1, sizeof *room + name.length);

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
    assert(!room->turn);
    if (room->dirty_slot != NOT_DIRTY)
        gateway->fanout.dirty[room->dirty_slot] = NULL;
    table_remove(&room->namespace->rooms, room);
    gateway->fanout.room_count--;
    free(room->members);
    free(room->volatiles);
    free(room);
}

/* -- members --------------------------------------------------------------------------------- */

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
    room->members[room->count++] = (struct member){.connection = socket->connection,
                                                   .skip = room->turn ? room->turn->length : 0,
                                                   .watch = watch,
                                                   .socket = (uint32_t)socket->number & 0x7fffffff};
}

static void flush_room(struct gateway *gateway, struct room *room);

/* Hands the member a run of the turn's chunk: written at once, or left to the end of the turn. */
static void hand_run(struct gateway *gateway, struct member *member, struct chunk *chunk, uint32_t start,
                     uint32_t end, bool now)
{
    if (now)
        connection_deliver(gateway, member->connection, chunk, start, end - start);
    else
        connection_append(gateway, member->connection, chunk, start, end - start);
}

/* Hands the member what is there of this turn, but for volatile events that it is too slow for. */
static void hand_over(struct gateway *gateway, struct room *room, struct member *member, bool now)
{
    struct chunk *chunk = room->turn;
    uint32_t offset = member->skip;

    member->skip = chunk->length;
    if (room->volatile_count && member->connection->blocked)
        for (unsigned i = 0; i < room->volatile_count; i++) {
            const struct run *run = &room->volatiles[i];

            if (run->start < offset)
                continue;
            gateway->counters.dropped_slow_reader++;
            room->deliveries--;
            if (run->start > offset)
                hand_run(gateway, member, chunk, offset, run->start, now);
            offset = run->end;
        }
    if (offset < chunk->length)
        hand_run(gateway, member, chunk, offset, chunk->length, now);
}

void room_remove(struct gateway *gateway, struct socket *socket, struct membership *membership)
{
    struct room *room = membership->room;
    uint32_t slot = membership->slot;

    if (room->turn && room->members[slot].skip < room->turn->length)
        hand_over(gateway, room, &room->members[slot], false);
    room->count--;
    if (slot != room->count) {
        struct socket *moved;

        room->members[slot] = room->members[room->count];
        moved = sockets_at(gateway, room->members[slot].socket);
        socket_membership_in(moved, room)->slot = slot;
    }
    socket_membership_drop(socket, membership);
    if (room->count == 0) {
        if (room->turn)
            flush_room(gateway, room); /* nobody gets it: gives the chunk back, and the room goes */
        else
            room_free(gateway, room);
    }
}

/* -- the fan-out ----------------------------------------------------------------------------- */

static void release_chunk(struct fanout *fanout, struct chunk *chunk)
{
    if (chunk->references == 1 && chunk->capacity <= SPARE_CAPACITY && fanout->spare_count < SPARE_CHUNKS) {
        chunk->length = 0;
        fanout->spare[fanout->spare_count++] = chunk;
    } else
        chunk_release(chunk);
}

static void flush_room(struct gateway *gateway, struct room *room)
{
    struct chunk *chunk = room->turn;

    for (uint32_t i = 0; i < room->count; i++)
        if (room->members[i].skip < chunk->length)
            hand_over(gateway, room, &room->members[i], true);
    for (uint32_t i = 0; i < room->count; i++)
        room->members[i].skip = 0;
    gateway->counters.deliveries += room->deliveries;
    room->deliveries = 0;
    room->turn = NULL;
    room->volatile_count = 0;
    release_chunk(&gateway->fanout, chunk);
    if (room->count == 0)
        room_free(gateway, room);
}

void rooms_flush(struct gateway *gateway)
{
    struct fanout *fanout = &gateway->fanout;

    for (uint32_t i = 0; i < fanout->dirty_count; i++) {
        struct room *room = fanout->dirty[i];

        if (!room)
            continue;
        room->dirty_slot = NOT_DIRTY;
        if (room->turn)
            flush_room(gateway, room);
    }
    fanout->dirty_count = 0;
}

void rooms_catch_up(struct gateway *gateway, struct connection *connection)
{
    if (gateway->fanout.dirty_count == 0)
        return;
    for (struct socket *socket = connection->sockets; socket; socket = socket->next)
        for (unsigned i = 0; i < socket->room_count; i++) {
            struct room *room = socket->rooms[i].room;
            struct member *member = &room->members[socket->rooms[i].slot];

            if (room->turn && member->skip < room->turn->length)
                hand_over(gateway, room, member, false);
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
static struct chunk *turn_chunk(struct gateway *gateway, struct room *room, size_t length)
{
    struct fanout *fanout = &gateway->fanout;
    struct chunk *chunk = room->turn;

    if (chunk && chunk->capacity - chunk->length < length) {
        size_t capacity = (chunk->length + length) * 2;

        if (chunk->references == 1 && capacity <= CHUNK_LIMIT) {
            chunk = memory_resize(chunk, sizeof *chunk + capacity);
            chunk->capacity = (uint32_t)capacity;
            room->turn = chunk;
            return chunk;
        }
        flush_room(gateway, room);
        chunk = NULL;
    }
    if (!chunk) {
        if (fanout->spare_count && fanout->spare[fanout->spare_count - 1]->capacity >= length)
            chunk = fanout->spare[--fanout->spare_count];
        else
            chunk = chunk_new(length > CHUNK_FIRST ? length : CHUNK_FIRST);
        room->turn = chunk;
        make_dirty(fanout, room);
    }
    return chunk;
}

/* The WebSocket frame of an event. */
static size_t frame_size(const struct namespace_rooms *namespace, struct bytes payload)
{
    return WEBSOCKET_HEADER_MAX + namespace->event_head.length + payload.length;
}

static void append_frame(struct chunk *chunk, const struct namespace_rooms *namespace, struct bytes payload)
{
    struct bytes head = buffer_bytes(&namespace->event_head);
    char *at = chunk->data + chunk->length;

    at += websocket_frame_header(at, WEBSOCKET_FIN | WEBSOCKET_OPCODE_TEXT, head.length + payload.length);
    memcpy(at, head.data, head.length);
    memcpy(at + head.length, payload.data, payload.length);
    chunk->length = (uint32_t)(at + head.length + payload.length - chunk->data);
}

static void note_volatile(struct room *room, uint32_t start, uint32_t end)
{
    if (room->volatile_count == VOLATILES_MAX)
        return; /* beyond, a slow reader gets them after all */
    if (!room->volatiles)
        room->volatiles = memory_new(VOLATILES_MAX * sizeof *room->volatiles);
    room->volatiles[room->volatile_count++] = (struct run){start, end};
}

/* For the few records that are not for all members: a chunk of its own. */
static struct chunk *single_frame(const struct namespace_rooms *namespace, struct bytes payload)
{
    struct chunk *chunk = chunk_new(frame_size(namespace, payload));

    append_frame(chunk, namespace, payload);
    return chunk;
}

static void send_single(struct gateway *gateway, struct connection *connection, struct chunk *chunk,
                        bool is_volatile)
{
    if (is_volatile && connection->blocked) {
        gateway->counters.dropped_slow_reader++;
        return;
    }
    connection_send_chunk(gateway, connection, chunk, 0, chunk->length);
    gateway->counters.deliveries++;
}

static void deliver_to_some(struct gateway *gateway, struct room *room, const struct wire_deliver *record)
{
    struct chunk *chunk = single_frame(room->namespace, record->payload);

    for (uint32_t i = 0; i < room->count; i++) {
        struct member *member = &room->members[i];
        struct socket *socket = sockets_at(gateway, member->socket);

        if (record->flags & WIRE_DELIVER_WATCHERS && !member->watch)
            continue;
        if (record->flags & WIRE_DELIVER_REPLAY &&
            (socket_membership_in(socket, room)->joined_pos >= record->pos ||
             (record->except && record->except == socket->number)))
            continue;
        send_single(gateway, member->connection, chunk, record->flags & WIRE_DELIVER_VOLATILE);
    }
    chunk_release(chunk);
}

void room_deliver(struct gateway *gateway, struct room *room, const struct wire_deliver *record)
{
    if (record->flags & (WIRE_DELIVER_REPLAY | WIRE_DELIVER_WATCHERS)) {
        deliver_to_some(gateway, room, record);
        return;
    }

    struct chunk *chunk = turn_chunk(gateway, room, frame_size(room->namespace, record->payload));
    struct socket *except = record->except ? sockets_find(gateway, record->except) : NULL;
    struct membership *excepted = except ? socket_membership_in(except, room) : NULL;
    uint32_t start = chunk->length;

    room->deliveries += room->count - (excepted ? 1 : 0);
    if (excepted && room->members[excepted->slot].skip < start)
        hand_over(gateway, room, &room->members[excepted->slot], false);
    append_frame(chunk, room->namespace, record->payload);
    if (excepted)
        room->members[excepted->slot].skip = chunk->length;
    if (record->flags & WIRE_DELIVER_VOLATILE)
        note_volatile(room, start, chunk->length);
}

void namespace_deliver(struct gateway *gateway, struct namespace_rooms *namespace,
                       const struct wire_deliver *record)
{
    struct chunk *chunk = single_frame(namespace, record->payload);
    uint32_t cursor = 0;
    struct socket *socket;

    while ((socket = sockets_next(gateway, &cursor)))
        if (socket->namespace == namespace && socket->connected && socket->number != record->except &&
            !(record->flags & WIRE_DELIVER_REPLAY && socket->connected_pos >= record->pos))
            send_single(gateway, socket->connection, chunk, record->flags & WIRE_DELIVER_VOLATILE);
    chunk_release(chunk);
}
