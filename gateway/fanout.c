/*
 * What rooms send in a turn; see fanout.h.  The rooms call it when members come and go, deliver.c for
 * events, the end of the turn to flush.  The hot path of the whole product is flush_stream(): one send() a
 * member and turn.  The one surprising rule: a chunk that somebody's queue refers to must not be
 * reallocated, so a stream whose chunk is full hands it out in the middle of the turn and starts another.
 */
#include "gateway/fanout.h"

#include "common/memory.h"
#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "gateway/socket.h"

#include <assert.h>
#include <stdlib.h>

enum {
    CHUNK_FIRST = 4 << 10,
    CHUNK_LIMIT = 256 << 10, /* a turn's chunk that has grown so far is handed out */
    SPARE_CHUNKS = 256,
    SPARE_CAPACITY = 32 << 10,
    VOLATILES_MAX = 64, /* a turn's chunk remembers so many volatile events */
};

/* Runs of a turn's chunk. */
struct volatile_runs {
    uint32_t count;
    struct {
        uint32_t start, end;
    } runs[VOLATILES_MAX];
};

static_assert(ENCODINGS <= 8, "a member keeps its encoding in three bits");

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

/* -- streams --------------------------------------------------------------------------------- */

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

void fanout_hand_over(struct gateway *gateway, struct room *room, struct member *member)
{
    struct stream *stream = room_stream(room, member->encoding);

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
    struct stream *stream = room_stream(room, encoding);
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

void fanout_enter(struct room *room, struct member *member)
{
    struct stream *stream;

    member->encoding = member->connection->encoding & 7U;
    if (member->encoding != ENCODING_WEBSOCKET && !room->others)
        room->others = memory_zero(ENCODINGS - 1, sizeof *room->others);
    stream = room_stream(room, member->encoding);
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

void fanout_leave(struct gateway *gateway, struct room *room, struct member *member)
{
    struct stream *stream = room_stream(room, member->encoding);

    fanout_hand_over(gateway, room, member);
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

void fanout_forget(struct fanout *fanout, const struct room *room)
{
    if (room->dirty_slot != FANOUT_CLEAN)
        fanout->dirty[room->dirty_slot] = NULL;
    if (fanout->latest == room)
        fanout->latest = NULL;
}

/* -- the turn -------------------------------------------------------------------------------- */

void fanout_flush(struct gateway *gateway)
{
    struct fanout *fanout = &gateway->fanout;

    for (uint32_t i = 0; i < fanout->dirty_count; i++) {
        struct room *room = fanout->dirty[i];

        if (!room)
            continue;
        room->dirty_slot = FANOUT_CLEAN;
        for (unsigned encoding = 0; encoding < room_stream_count(room); encoding++)
            if (room_stream(room, encoding)->turn)
                flush_stream(gateway, room, encoding);
    }
    fanout->dirty_count = 0;
    fanout->latest = NULL;
}

void fanout_catch_up(struct gateway *gateway, struct connection *connection)
{
    if (gateway->fanout.dirty_count == 0)
        return;
    for (struct socket *socket = connection->sockets; socket; socket = socket->next)
        for (unsigned i = 0; i < socket->room_count; i++) {
            struct room *room = socket_rooms(socket)[i].room;

            fanout_hand_over(gateway, room, &room->members[socket_rooms(socket)[i].slot]);
        }
}

static void make_dirty(struct fanout *fanout, struct room *room)
{
    if (room->dirty_slot != FANOUT_CLEAN)
        return;
    room->dirty_slot = fanout->dirty_count;
    MEMORY_PUSH(fanout->dirty, fanout->dirty_count, fanout->dirty_capacity, room);
}

struct chunk *fanout_reserve(struct gateway *gateway, struct room *room, unsigned encoding, size_t length)
{
    struct fanout *fanout = &gateway->fanout;
    struct stream *stream = room_stream(room, encoding);
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

void fanout_note_volatile(struct stream *stream, uint32_t start, uint32_t end)
{
    if (!stream->volatiles)
        stream->volatiles = memory_zero(1, sizeof *stream->volatiles);
    if (stream->volatiles->count == VOLATILES_MAX)
        return; /* beyond, a slow reader gets them after all */
    stream->volatiles->runs[stream->volatiles->count].start = start;
    stream->volatiles->runs[stream->volatiles->count++].end = end;
}

void fanout_order(struct gateway *gateway, struct room *room)
{
    if (room->several == 0 || gateway->fanout.latest == room)
        return;
    if (gateway->fanout.dirty_count > (room->dirty_slot == FANOUT_CLEAN ? 0 : 1))
        for (uint32_t i = 0; i < room->count; i++)
            if (room->members[i].several)
                fanout_catch_up(gateway, room->members[i].connection);
    gateway->fanout.latest = room;
}
