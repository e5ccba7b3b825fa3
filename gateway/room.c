/*
 * Rooms and who is in them; see room.h.  The records of the router and the life of sockets call it.  Its one
 * surprising rule: members have no fixed places: the last one takes that of one who leaves, so a membership
 * knows its slot only until the next removal.
 */
#include "gateway/room.h"

#include "common/memory.h"
#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "gateway/socket.h"
#include "proto/socketio.h"

#include <assert.h>
#include <stdlib.h>

#define SOCKET_MASK 0x07ffffffU /* of struct member */

static struct bytes room_key(const void *entry)
{
    const struct room *room = entry;

    return bytes_make(room->name, room->name_length);
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
    room->dirty_slot = FANOUT_CLEAN;
    room->name_length = (uint16_t)name.length;
    memcpy(room->name, name.data, name.length);
    table_insert(&namespace->rooms, room);
    gateway->namespaces.room_count++;
    return room;
}

static void room_free(struct gateway *gateway, struct room *room)
{
    assert(room->websocket.members == 0 && !room->others);
    fanout_forget(&gateway->fanout, room);
    table_remove(&room->namespace->rooms, room);
    gateway->namespaces.room_count--;
    free(room->members);
    free(room);
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
    fanout_enter(room, &room->members[room->count++]);
    if (socket->room_count > 1)
        fanout_catch_up(gateway, socket->connection); /* what comes in this room stands behind it */
    count_several(socket, true);
}

void room_remove(struct gateway *gateway, struct socket *socket, struct membership *membership)
{
    struct room *room = membership->room;
    uint32_t slot = membership->slot;

    fanout_leave(gateway, room, &room->members[slot]);
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

    fanout_leave(gateway, room, member);
    member->connection->room_count--;
    to->room_count++;
    member->connection = to;
    fanout_enter(room, member);
}
