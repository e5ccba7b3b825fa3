/*
 * The newest messages in memory: for replay by position over all rooms, and for history by number in a room.
 *
 * Everything the journal holds above `floor` is here, in the order of pos.  Archived messages hang on their
 * room as well, where index and seq go together.
 */
#ifndef HUBBUB_ROUTER_RECENT_H
#define HUBBUB_ROUTER_RECENT_H

#include "router/message.h"

struct recent {
    struct rooms *rooms;
    struct message **ring;
    uint32_t first, count, mask;
    uint64_t bytes, max_bytes;
    uint64_t floor;
};

/* max_bytes counts allocations; at least the newest message is kept, unless it is 0. */
void recent_init(struct recent *recent, struct rooms *rooms, uint64_t max_bytes);
void recent_done(struct recent *recent);

/* Everything up to that position is not here; before the first recent_add(). */
void recent_start(struct recent *recent, uint64_t floor);

/* Takes a finished message over, and a hold of its room; its pos is above all before.  It may be gone
 * afterwards. */
void recent_add(struct recent *recent, struct message *message);

/* The first message with a position above that one, for recent_at(); recent->count when there is none. */
uint32_t recent_after(const struct recent *recent, uint64_t pos);

static inline const struct message *recent_at(const struct recent *recent, uint32_t index)
{
    return recent->ring[(recent->first + index) & recent->mask];
}

/* The number of the room's oldest message in memory; 0 when none is here. */
uint64_t recent_room_oldest(const struct room *room);

/* An archived message of the room; NULL when it is not here. */
const struct message *recent_room_find(const struct room *room, uint64_t seq);

#endif
