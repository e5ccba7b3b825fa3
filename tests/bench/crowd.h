/*
 * Many clients in rooms, on WebSockets or on HTTP long-polling, as one epoll loop sees them: they connect,
 * join, publish, and count what comes back.
 *
 * A message that they publish carries a mark: the number of its sender and the time it was sent.  Whatever
 * comes back with a mark is a delivery, and its sender's own copy is a return.  Where publishers ask for
 * acknowledgements it is these that return.
 *
 * A client's life (each may also end in LOST from READY, in FAILED from the others):
 *
 *     CONNECTING -> UPGRADING -> OPENING -> ENTERING -> JOINING -> READY      Socket.IO, of either parser
 *     CONNECTING -------------> OPENING -> ENTERING -> JOINING -> READY      the same on polling
 *     CONNECTING -> UPGRADING ------------------------------------> READY      plain text frames
 */
#ifndef HUBBUB_TESTS_BENCH_CROWD_H
#define HUBBUB_TESTS_BENCH_CROWD_H

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

/* PLAIN: the room stands in the URL (/?room=R), a text frame is a message to it.  MSGPACK: Socket.IO with the
   msgpack parser, at /msgpack/, on WebSockets only. */
enum crowd_language { CROWD_SOCKETIO, CROWD_PLAIN, CROWD_MSGPACK };

/* DEFLATE: WebSockets with permessage-deflate.  POLLING speaks Socket.IO as text only. */
enum crowd_transport_kind { CROWD_WEBSOCKET, CROWD_DEFLATE, CROWD_POLLING };

enum { CROWD_ASKS_MAX = 1024 }; /* without an answer, of one publisher */

struct crowd_plan {
    const char *host; /* an IPv4 address */
    uint16_t port;
    enum crowd_language language;
    enum crowd_transport_kind transport;
    bool tls;
    unsigned rooms;
    unsigned members;    /* of each room */
    unsigned publishers; /* of each room, at most members */
    unsigned text;       /* bytes of the text in a message */
    bool acknowledged;   /* publishers ask for acknowledgements: Socket.IO as text on WebSockets only */
    const char *call;    /* an event that is answered and delivered to nobody, in place of "msg"; or NULL */
    bool ids;            /* the mark is the message's own id */
    unsigned
        sources; /* addresses of 127.2.0.0/16 that the clients come from in turn; 0: the system's choice */
    /* What clients show in CONNECT, each the next one, and the first again behind the last; not PLAIN.
       NULL: nothing. */
    char *const *tokens;
    unsigned token_count;
    unsigned opening; /* how many may be on their way to READY at once */
    /* Called for a publisher's own message that came back, or was answered; NULL for none. */
    void (*returned)(void *arg, unsigned client);
    void *arg;
};

struct crowd_figures {
    unsigned started, ready, failed, lost;
    uint64_t published;
    uint64_t expected;   /* deliveries that what was published must lead to */
    uint64_t delivered;  /* and that have come */
    uint64_t compressed; /* messages that came compressed */
    uint64_t acknowledged, refused;
};

/* How long deliveries, or acknowledgements, took, in microseconds, while crowd_measure() was on. */
struct crowd_samples {
    uint32_t *values;
    uint64_t count, capacity;
};

struct crowd;

/* NULL when the system refuses (errno). */
struct crowd *crowd_new(const struct crowd_plan *plan) MUST_CHECK;
/* Takes NULL. */
void crowd_free(struct crowd *crowd);

/* Starts as many clients as may be on their way.  True when all have been started. */
bool crowd_start_some(struct crowd *crowd);

/* Waits at most that long for anything to come, and handles it. */
void crowd_turn(struct crowd *crowd, int milliseconds);

unsigned crowd_size(const struct crowd *crowd);
bool crowd_is_publisher(const struct crowd *crowd, unsigned client);

/* One message to the client's room; nothing when it is not ready, or has CROWD_ASKS_MAX without an answer.
   One that asks for an acknowledgement leaves with the next crowd_turn(), or, when it is published in one,
   with all that its client publishes for what it has just read. */
void crowd_publish(struct crowd *crowd, unsigned client);

/* Begins or ends the taking of samples. */
void crowd_measure(struct crowd *crowd, bool on);
const struct crowd_samples *crowd_samples(const struct crowd *crowd);

const struct crowd_figures *crowd_figures(const struct crowd *crowd);

/* TCP connections that a client needs. */
unsigned crowd_links(enum crowd_transport_kind transport);

/* Data segments that the clients' TCP has received so far: on loopback one for each write of the server. */
uint64_t crowd_segments(const struct crowd *crowd);

#endif
