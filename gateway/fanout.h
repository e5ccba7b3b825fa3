/*
 * The fan-out: what rooms send to their members in one turn of the loop.
 *
 * What one turn brings for one room is encoded once for each encoding (gateway/encoding.h) that has members
 * in it: a stream, whose bytes of the turn are one chunk; at the end of the turn it is handed to every
 * member of that encoding.  Each member remembers how much of the chunk is not for it (what came before it
 * joined) or has been handed to it already (because something of its own, or of another room, had to follow).
 * So what reaches a socket is in the order in which it came, whatever the rooms: its last event is the offset
 * from which it recovers (docs/protocol.md, section 1), and nothing before it may come behind it.
 *
 * Nothing here fails, and nothing closes a connection at once: a handed chunk may end in connection_close(),
 * which is deferred.
 */
#ifndef HUBBUB_GATEWAY_FANOUT_H
#define HUBBUB_GATEWAY_FANOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chunk;
struct connection;
struct gateway;
struct member;
struct room;
struct volatile_runs;

/* What the members of one encoding are sent; a room has them, see room_stream(). */
struct stream {
    struct chunk *turn;              /* this turn's bytes, or NULL */
    struct volatile_runs *volatiles; /* what of turn a slow reader need not get; NULL before the first */
    uint32_t members;
    uint32_t deliveries; /* of this turn, less what slow readers miss */
};

struct fanout {
    struct room **dirty; /* those with a chunk of this turn; NULL for one that is gone */
    uint32_t dirty_count, dirty_capacity;
    const struct room *latest; /* of those with members in several rooms: what got this turn's last event */
    struct chunk **spare;      /* empty chunks for the next turn */
    uint32_t spare_count;
};

#define FANOUT_CLEAN UINT32_MAX /* the dirty_slot of a room with nothing in this turn */

void fanout_init(struct fanout *fanout);
void fanout_done(struct fanout *fanout);

/* -- members, for room.c --------------------------------------------------------------------- */

/* Counts the member in where its connection's encoding is; what the turn holds there is not for it. */
void fanout_enter(struct room *room, struct member *member);

/* The member gets what the turn holds for it.  What the stream had goes with its last member. */
void fanout_leave(struct gateway *gateway, struct room *room, struct member *member);

/* The room, which has no members, is about to be freed. */
void fanout_forget(struct fanout *fanout, const struct room *room);

/* -- events, for deliver.c ------------------------------------------------------------------- */

/* The room is about to get an event: its members have what their other rooms got before. */
void fanout_order(struct gateway *gateway, struct room *room);

/*
 * The turn's chunk of an encoding, with room for length more bytes at its end; the caller writes them and
 * adds to its length.  May hand out what was there.  The room's; valid until the next call for that
 * encoding.
 */
struct chunk *fanout_reserve(struct gateway *gateway, struct room *room, unsigned encoding, size_t length);

/* Bytes of the turn, start to end, that a slow reader need not get. */
void fanout_note_volatile(struct stream *stream, uint32_t start, uint32_t end);

/* Hands a member what the turn holds for it, so that it can be left out of what follows. */
void fanout_hand_over(struct gateway *gateway, struct room *room, struct member *member);

/* -- the turn -------------------------------------------------------------------------------- */

/* Hands a connection what its rooms were sent in this turn, so that something of its own may follow. */
void fanout_catch_up(struct gateway *gateway, struct connection *connection);

/* The end of a turn: hands out every room's chunks. */
void fanout_flush(struct gateway *gateway);

#endif
