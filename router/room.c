/*
 * The table of rooms, their members by gateway, and the timers of presence events; see room.h.  Membership
 * and the link's hello change it, publishing reads it.  Its one surprising rule: a change of members only
 * arms the room's timer, and the event is skipped when the number is back at what was last told.
 */
#include "router/room.h"

#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>

/* Two rooms of one name differ by their namespace, and by nothing less than its address as long as it lives.
 */
enum { ROOM_KEY_MAX = sizeof(struct namespace *) + ROOM_NAME_MAX };

struct announcing {
    struct rooms *rooms;
    void (*announce)(void *argument, struct room *room);
    void *argument;
};

static struct bytes room_key(const void *entry)
{
    const struct room *room = entry;

    return bytes_make(room->key, sizeof room->namespace + room->name_length);
}

void rooms_init(struct rooms *rooms, struct namespace_table *namespaces, uint64_t now)
{
    *rooms = (struct rooms){.namespaces = namespaces, .now = now};
    table_init(&rooms->table, room_key);
    timer_wheel_init(&rooms->presence, now);
}

static void free_room(struct rooms *rooms, struct room *room)
{
    namespace_release(rooms->namespaces, room->namespace);
    timer_wheel_cancel(&room->presence);
    if (room->links != room->own)
        free(room->links);
    free(room->recent.ring);
    free(room);
}

void rooms_done(struct rooms *rooms)
{
    struct room *room;
    uint32_t cursor = 0;

    while ((room = table_next(&rooms->table, &cursor)))
        free_room(rooms, room);
    table_done(&rooms->table);
}

static struct bytes compose_key(const struct namespace *namespace, struct bytes name,
                                char space[ROOM_KEY_MAX])
{
    assert(name.length <= ROOM_NAME_MAX);
    memcpy(space, &namespace, sizeof namespace);
    if (name.length)
        memcpy(space + sizeof namespace, name.data, name.length);
    return bytes_make(space, sizeof namespace + name.length);
}

struct room *rooms_find(const struct rooms *rooms, const struct namespace *namespace, struct bytes name)
{
    char space[ROOM_KEY_MAX];

    return table_find(&rooms->table, compose_key(namespace, name, space));
}

struct room *rooms_get(struct rooms *rooms, struct namespace *namespace, struct bytes name)
{
    char space[ROOM_KEY_MAX];
    struct bytes key = compose_key(namespace, name, space);
    struct room *room = table_find(&rooms->table, key);

    if (room)
        return room;
    room = memory_zero(1, sizeof *room + key.length);
    room->namespace = namespace_hold(namespace);
    room->links = room->own;
    room->link_capacity = ROOM_LINKS_INLINE;
    room->name_length = (uint8_t)name.length;
    memcpy(room->key, key.data, key.length);
    table_insert(&rooms->table, room);
    return room;
}

static void free_if_unused(struct rooms *rooms, struct room *room)
{
    if (room->members || room->references)
        return;
    table_remove(&rooms->table, room);
    free_room(rooms, room);
}

void room_release(struct rooms *rooms, struct room *room)
{
    assert(room->references > 0);
    room->references--;
    free_if_unused(rooms, room);
}

static struct room_link *find_link(const struct room *room, const struct gateway_link *link)
{
    for (uint32_t i = 0; i < room->link_count; i++)
        if (room->links[i].link == link)
            return &room->links[i];
    return NULL;
}

const struct room_link *room_find_link(const struct room *room, const struct gateway_link *link)
{
    return find_link(room, link);
}

static struct room_link *add_link(struct room *room, struct gateway_link *link)
{
    if (room->link_count == room->link_capacity) {
        uint32_t capacity = room->link_capacity * 2;
        struct room_link *links =
            memory_resize(room->links == room->own ? NULL : room->links, capacity * sizeof *links);

        if (room->links == room->own)
            memcpy(links, room->own, sizeof room->own);
        room->links = links;
        room->link_capacity = capacity;
    }
    room->links[room->link_count] = (struct room_link){.link = link};
    return &room->links[room->link_count++];
}

static void count_in(struct room *room, struct gateway_link *link, bool watch)
{
    struct room_link *entry = find_link(room, link);

    if (!entry)
        entry = add_link(room, link);
    entry->members++;
    entry->watchers += watch;
}

static void count_out(struct room *room, struct gateway_link *link, bool watch)
{
    struct room_link *entry = find_link(room, link);

    assert(entry && entry->members > 0);
    entry->members--;
    entry->watchers -= watch;
    if (entry->members == 0)
        *entry = room->links[--room->link_count];
}

static void arm_presence(struct rooms *rooms, struct room *room)
{
    if (room->watchers && !wheel_timer_scheduled(&room->presence))
        timer_wheel_schedule(&rooms->presence, &room->presence, room->presence_at + PRESENCE_INTERVAL_MS);
}

void room_add_member(struct rooms *rooms, struct room *room, struct gateway_link *link, bool watch)
{
    count_in(room, link, watch);
    room->members++;
    room->watchers += watch;
    rooms->members++;
    arm_presence(rooms, room);
}

void room_remove_member(struct rooms *rooms, struct room *room, struct gateway_link *link, bool watch)
{
    count_out(room, link, watch);
    room->members--;
    room->watchers -= watch;
    rooms->members--;
    if (room->watchers == 0)
        timer_wheel_cancel(&room->presence);
    arm_presence(rooms, room);
    free_if_unused(rooms, room);
}

void room_move_member(struct room *room, struct gateway_link *from, struct gateway_link *to, bool watch)
{
    count_out(room, from, watch);
    count_in(room, to, watch);
}

void room_change_watch(struct room *room, struct gateway_link *link, bool watch)
{
    struct room_link *entry = find_link(room, link);

    assert(entry);
    if (watch) {
        entry->watchers++;
        room->watchers++;
    } else {
        entry->watchers--;
        room->watchers--;
        if (room->watchers == 0)
            timer_wheel_cancel(&room->presence);
    }
}

void room_announce_again(struct rooms *rooms, struct room *room)
{
    room->announced = 0; /* a room with watchers has more members than that */
    arm_presence(rooms, room);
}

double room_rate(const struct rooms *rooms, const struct room *room)
{
    const struct room_rate *rate = &room->rate;
    uint32_t window = (uint32_t)(rooms->now / ROOM_RATE_WINDOW_MS);
    double passed = (double)(rooms->now % ROOM_RATE_WINDOW_MS) / ROOM_RATE_WINDOW_MS;
    double count = rate->window == window ? rate->count : 0;
    double before = rate->window == window ? rate->before : rate->window + 1 == window ? rate->count : 0;

    return (before * (1 - passed) + count) * 1000 / ROOM_RATE_WINDOW_MS;
}

static void presence_due(struct wheel_timer *timer, void *arg)
{
    struct announcing *announcing = arg;
    struct room *room = (struct room *)((char *)timer - offsetof(struct room, presence));

    if (room->announced == room->members)
        return;
    room->announced = room->members;
    room->presence_at = announcing->rooms->now;
    announcing->announce(announcing->argument, room);
}

void rooms_advance(struct rooms *rooms, uint64_t now, void (*announce)(void *argument, struct room *room),
                   void *argument)
{
    struct announcing announcing = {rooms, announce, argument};

    rooms->now = now;
    timer_wheel_advance(&rooms->presence, now, presence_due, &announcing);
}

uint64_t rooms_next_due(struct rooms *rooms)
{
    return timer_wheel_next_due(&rooms->presence);
}
