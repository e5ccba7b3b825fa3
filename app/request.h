/*
 * What this backend has asked of the router and has no outcome of: numbered, kept until it comes, and sent
 * again on a new link.  Numbers count up and outcomes come nearly in order, so the queue is a ring.
 */
#ifndef HUBBUB_APP_REQUEST_H
#define HUBBUB_APP_REQUEST_H

#include "app/hubbub.h"
#include "proto/wire.h"

enum request_kind {
    REQUEST_NONE,     /* a finished one that still has a place in the ring */
    REQUEST_OUTCOME,  /* answered by OUTCOME: SEND, MOVE, EXPEL, STORE */
    REQUEST_QUESTION, /* by ASKED and REPLYs */
    REQUEST_FIND,     /* by FOUNDs and FOUND_END */
};

struct gathering; /* what has come of a QUESTION or a FIND; gathering.h */

struct request {
    enum request_kind kind;
    uint8_t type; /* of its record, for people */
    uint32_t length;
    size_t charged; /* what it counts for in the queue's bytes */
    char *record;   /* encoded; NULL when it is not to be sent again: a question that was asked */
    hubbub_outcome_callback *callback; /* of REQUEST_OUTCOME, or NULL */
    void *user;
    struct gathering *gathering;
};

struct requests {
    struct request *ring;
    uint32_t mask;
    uint64_t first; /* the oldest number in the ring; first > last when it is empty */
    uint64_t last;  /* the last number given out */
    size_t bytes;   /* of all that is kept, and of what keeping it costs */
};

void requests_init(struct requests *requests);

/* Tells every callback that the app goes. */
void requests_done(struct hubbub_app *app);

/* The number that the next request will have. */
static inline uint64_t requests_next(const struct requests *requests)
{
    return requests->last + 1;
}

/*
 * Asks the router: put(batch, record) writes the record, whose number must be requests_next().  It goes out
 * in this turn, or when the router is back.  Gives the number, 0 when too much waits already: nothing was
 * kept.
 */
uint64_t requests_ask(struct hubbub_app *app, const struct request *request,
                      void (*put)(struct wire_batch *batch, const void *record), const void *record);

/* NULL when there is none of that number without an outcome. */
struct request *requests_find(struct requests *requests, uint64_t number);

/* Counts what a gathering has grown by; it goes with the request. */
void requests_charge(struct requests *requests, struct request *request, size_t bytes);

/* It need not be sent again. */
void requests_sent(struct request *request);

/* Forgets it and gives what it was, for its callback. */
struct request requests_take(struct requests *requests, struct request *request);

/* Tells what became of it, or logs what nobody wants to know. */
void request_tell(struct hubbub_app *app, const struct request *request, const struct wire_outcome *outcome);

/* Ends all of them, as if the router had refused them with that code. */
void requests_refuse(struct hubbub_app *app, struct bytes code);

/* Puts all of them into the batches of a link that has become live, in order. */
void requests_send_again(struct hubbub_app *app);

#endif
