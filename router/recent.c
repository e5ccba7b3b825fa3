/*
 * Two rings over the same messages: one of all, which owns them, and one in each room; see recent.h.  The
 * release of messages fills it, replay and history read it.  Its one surprising rule: messages leave in the
 * order of pos alone, so the oldest of all is always the oldest of its room too.
 */
#include "router/recent.h"

#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>

enum { RING_MIN = 1024, ROOM_RING_MIN = 4, PREFETCH_AHEAD = 4, CACHE_LINE = 64 };

void recent_init(struct recent *recent, struct rooms *rooms, uint64_t max_bytes)
{
    *recent = (struct recent){.rooms = rooms, .max_bytes = max_bytes};
}

void recent_start(struct recent *recent, uint64_t floor)
{
    assert(recent->count == 0);
    recent->floor = floor;
}

/* A ring with twice the slots (at least minimum), the elements moved to its beginning. */
static struct message **grow(struct message **ring, uint32_t *first, uint32_t count, uint32_t *mask,
                             uint32_t minimum)
{
    uint32_t slots = ring ? (*mask + 1) * 2 : minimum;
    struct message **grown = memory_new(slots * sizeof(struct message *));

    for (uint32_t i = 0; i < count; i++)
        grown[i] = ring[(*first + i) & *mask];
    free(ring);
    *first = 0;
    *mask = slots - 1;
    return grown;
}

static const struct message *room_at(const struct room_recent *room, uint32_t index)
{
    return room->ring[(room->first + index) & room->mask];
}

static void add_to_room(struct room *room, struct message *message)
{
    struct room_recent *recent = &room->recent;

    if (recent->count) {
        const struct message *newest = room_at(recent, recent->count - 1);

        /* Only a journal that lost rows has a hole here; what is before it then comes from there. */
        if (newest->ticket.entry.message.seq + 1 != message->ticket.entry.message.seq)
            recent->count = 0;
    }
    if (!recent->ring || recent->count > recent->mask)
        recent->ring = grow(recent->ring, &recent->first, recent->count, &recent->mask, ROOM_RING_MIN);
    recent->ring[(recent->first + recent->count++) & recent->mask] = message;
}

/* What is evicted has not been touched for long: memory is asked for it some messages ahead. */
static void prefetch(const struct recent *recent)
{
    const char *soon = (const char *)recent->ring[(recent->first + PREFETCH_AHEAD) & recent->mask];

    if (recent->count <= PREFETCH_AHEAD)
        return;
    for (size_t at = 0; at < sizeof(struct message); at += CACHE_LINE)
        __builtin_prefetch(soon + at);
}

static void evict(struct recent *recent)
{
    struct message *message = recent->ring[recent->first];
    struct room *room = message->ticket.room;

    prefetch(recent);

    recent->first = (recent->first + 1) & recent->mask;
    recent->count--;
    recent->bytes -= message->size;
    recent->floor = message->ticket.entry.message.pos;
    if (room->recent.count && room_at(&room->recent, 0) == message) {
        room->recent.first = (room->recent.first + 1) & room->recent.mask;
        if (--room->recent.count == 0) {
            free(room->recent.ring);
            room->recent = (struct room_recent){0};
        }
    }
    free(message);
    room_release(recent->rooms, room);
}

void recent_done(struct recent *recent)
{
    while (recent->count)
        evict(recent);
    free(recent->ring);
    *recent = (struct recent){0};
}

void recent_add(struct recent *recent, struct message *message)
{
    const struct journal_message *fields = &message->ticket.entry.message;

    assert(recent->count == 0 ||
           recent_at(recent, recent->count - 1)->ticket.entry.message.pos < fields->pos);
    if (!recent->ring || recent->count > recent->mask)
        recent->ring = grow(recent->ring, &recent->first, recent->count, &recent->mask, RING_MIN);
    recent->ring[(recent->first + recent->count++) & recent->mask] = message;
    recent->bytes += message->size;
    if (fields->class == MESSAGE_ARCHIVED)
        add_to_room(message->ticket.room, message);
    while (recent->bytes > recent->max_bytes && recent->count > (recent->max_bytes ? 1 : 0))
        evict(recent);
}

uint32_t recent_after(const struct recent *recent, uint64_t pos)
{
    uint32_t low = 0, high = recent->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (recent_at(recent, middle)->ticket.entry.message.pos > pos)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

uint64_t recent_room_oldest(const struct room *room)
{
    return room->recent.count ? room_at(&room->recent, 0)->ticket.entry.message.seq : 0;
}

const struct message *recent_room_find(const struct room *room, uint64_t seq)
{
    uint64_t oldest = recent_room_oldest(room);

    if (oldest == 0 || seq < oldest || seq - oldest >= room->recent.count)
        return NULL;
    return room_at(&room->recent, (uint32_t)(seq - oldest));
}
