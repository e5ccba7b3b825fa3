/*
 * Rooms: who counts as a member, on which gateways, and when its presence is due.
 *
 * A room is keyed by (namespace, name).  It exists while it has members, or while
 * something holds it: a ticket in the journal, a page that is being read, a message in
 * memory.  The name "" is the place of events that address no room.
 */
#ifndef HUBBUB_ROUTER_ROOM_H
#define HUBBUB_ROUTER_ROOM_H

#include "common/table.h"
#include "common/timer_wheel.h"
#include "router/namespace.h"

#include <stdbool.h>
#include <stdint.h>

struct gateway_link;
struct message;

enum {
    ROOM_LINKS_INLINE = 2,
    PRESENCE_INTERVAL_MS = 1000, /* at most one event in that time, for each room */
    ROOM_RATE_WINDOW_MS = 10000,
};

/* What one gateway has in a room. */
struct room_link {
    struct gateway_link *link;
    uint32_t members, watchers;
};

/* The room's newest archived messages, as long as memory has them; a ring, in the order of seq and without
 * holes. */
struct room_recent {
    struct message **ring;
    uint32_t first, count, mask;
};

/* How many messages there were lately: in the window of ROOM_RATE_WINDOW_MS that now is in, and the one before it. */
struct room_rate {
    uint32_t window; /* its number, from the clock's beginning */
    uint32_t count, before;
};

struct room {
    struct namespace *namespace; /* held */
    uint32_t members, watchers;
    uint32_t references;
    uint32_t waiting;  /* tickets that the journal has */
    uint64_t last_seq; /* the last released number; valid once seq_known */
    uint64_t last_pos; /* of its last message of either class, but for those to their senders alone; a session
                          in it missed nothing beyond that */
    struct room_rate rate;
    struct room_recent recent;
    struct room_link *links; /* the ones with members; own, or on the heap */
    uint32_t link_count, link_capacity;
    struct room_link own[ROOM_LINKS_INLINE];
    struct wheel_timer presence;
    uint64_t presence_at; /* ms: the last event */
    uint32_t announced;   /* the members it told of */
    bool seq_known;
    uint8_t name_length;
    char key[]; /* the namespace's address, then the name */
};

struct rooms {
    struct table table;
    struct namespace_table *namespaces;
    struct timer_wheel presence;
    uint64_t now; /* ms: of the last rooms_advance() */
    uint64_t members;
};

static inline struct bytes room_name(const struct room *room)
{
    return bytes_make(room->key + sizeof room->namespace, room->name_length);
}

void rooms_init(struct rooms *rooms, struct namespace_table *namespaces, uint64_t now);

/* Frees all rooms, whoever holds them. */
void rooms_done(struct rooms *rooms);

/* NULL when there is none. */
struct room *rooms_find(const struct rooms *rooms, const struct namespace *namespace, struct bytes name);

/* Makes it if need be: the caller then adds a member, or holds it. name: at most ROOM_NAME_MAX bytes. */
struct room *rooms_get(struct rooms *rooms, struct namespace *namespace, struct bytes name);

static inline struct room *room_hold(struct room *room)
{
    room->references++;
    return room;
}

/* Gives back a hold; frees the room when nobody needs it any more. */
void room_release(struct rooms *rooms, struct room *room);

/* Counts a member of that gateway. */
void room_add_member(struct rooms *rooms, struct room *room, struct gateway_link *link, bool watch);

/* Takes back a member; frees the room when nobody needs it any more. */
void room_remove_member(struct rooms *rooms, struct room *room, struct gateway_link *link, bool watch);

/* A member is on another gateway from now on: how many there are stays, and nothing is announced. */
void room_move_member(struct room *room, struct gateway_link *from, struct gateway_link *to, bool watch);

/* A member begins or ceases to watch. */
void room_change_watch(struct room *room, struct gateway_link *link, bool watch);

/* Counts a message, of whatever class, for the room's rate. */
static inline void room_count_message(const struct rooms *rooms, struct room *room)
{
    struct room_rate *rate = &room->rate;
    uint32_t window = (uint32_t)(rooms->now / ROOM_RATE_WINDOW_MS);

    if (rate->window != window) {
        rate->before = rate->window + 1 == window ? rate->count : 0;
        rate->window = window;
        rate->count = 0;
    }
    rate->count++;
}

/* Messages a second, the average over about the last ROOM_RATE_WINDOW_MS. */
double room_rate(const struct rooms *rooms, const struct room *room);

/* NULL when that gateway has no member here. */
const struct room_link *room_find_link(const struct room *room, const struct gateway_link *link);

/* Announces the members again even if their number is the one last told. */
void room_announce_again(struct rooms *rooms, struct room *room);

/* Calls back for each room whose members changed and whose last event is long enough ago.  The callback adds
   and removes no members. */
void rooms_advance(struct rooms *rooms, uint64_t now, void (*announce)(void *argument, struct room *room),
                   void *argument);

/* When to call rooms_advance() next; TIMER_WHEEL_NEVER when nothing is due. */
uint64_t rooms_next_due(struct rooms *rooms);

#endif
