/*
 * What this gateway has asked of the router and has no answer to: numbered, kept until the answer comes,
 * and sent again on a new link.
 *
 * The records are kept encoded.  Numbers count up and most answers come nearly in order, so the queue is a
 * ring; the few that a backend takes minutes for leave it, so that they do not stretch it.
 */
#ifndef HUBBUB_GATEWAY_REQUEST_H
#define HUBBUB_GATEWAY_REQUEST_H

#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum request_kind {
    REQUEST_NONE, /* a finished one that still has a place in the ring */
    REQUEST_CONNECT,
    REQUEST_JOIN,
    REQUEST_LEAVE,
    REQUEST_HISTORY,
    REQUEST_PRESENCE,
    REQUEST_EVENT,
    REQUEST_CALL, /* an event that a backend answers, in its own time */
    REQUEST_RESPONSE,
    REQUEST_TOKEN,
    REQUEST_PUBLISH, /* these two are of no socket: their ack is a call of the admin port */
    REQUEST_LOOK,
};

struct request {
    uint64_t socket; /* number; 0 for none */
    long long ack;   /* the client's, or SOCKETIO_NO_ACK */
    uint64_t since;  /* ms, when it was asked, or when the link came up if that is later */
    uint64_t taken;  /* ns on the loop's clock, when it was asked; of outstanding_ask() */
    char *record;    /* encoded for the link */
    uint32_t length;
    uint8_t kind;   /* enum request_kind */
    uint8_t weight; /* what it counts for in the socket's unanswered */
    bool sent;      /* on any link so far */
    bool late;      /* has left the ring */
};

struct request_queue {
    struct request *ring;
    uint32_t mask;
    struct late_request *late; /* those that have left the ring, by number, finished ones among them */
    uint32_t late_count, late_capacity, late_finished;
    uint64_t first; /* the oldest number in the ring; first > last when it is empty */
    uint64_t last;  /* the last number given out */
    size_t bytes;   /* of all records kept, and of what keeping each costs */
    uint64_t count; /* unfinished */
};

void requests_init(struct request_queue *queue);
void requests_done(struct request_queue *queue);

/* The number that the next request will have. */
static inline uint64_t requests_next(const struct request_queue *queue)
{
    return queue->last + 1;
}

/* Keeps a request under requests_next(), with a copy of its record; valid until the next requests_add(). */
struct request *requests_add(struct request_queue *queue, enum request_kind kind, uint64_t socket,
                             long long ack, struct bytes record, uint64_t now);

/* NULL when there is none of that number without an answer. */
struct request *requests_find(struct request_queue *queue, uint64_t number);

/* Forgets it. */
void requests_finish(struct request_queue *queue, struct request *request);

/* Walks the unfinished ones in order: *cursor starts at 0, ends with NULL.  Finishing while walking is fine.
 */
struct request *requests_walk(struct request_queue *queue, uint64_t *cursor);

#endif
