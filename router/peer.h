/*
 * The router's ROUTER socket, and what all programs that connect to it have in common: routing, batches and
 * their numbers, credit, heartbeats (docs/protocol.md, section 2).
 *
 * A peer is one side of a link.  It is of a kind, a gateway (link.h) or a backend (backend.h), which the
 * first record of the link tells.  What records mean, and what becomes of a peer whose link breaks, its kind
 * decides.
 */
#ifndef HUBBUB_ROUTER_PEER_H
#define HUBBUB_ROUTER_PEER_H

#include "common/loop.h"
#include "common/table.h"
#include "proto/wire.h"
#include "proto/wire_flow.h"
#include "router/counters.h"
#include "router/gate.h"
#include "router/settings.h"

struct peer;

enum { PEER_KINDS_MAX = 2 };

enum peer_fault {
    PEER_FAULT_NUMBERS, /* a batch was lost, came twice, or acknowledges what was never sent */
    PEER_FAULT_BATCH,   /* it is none */
    PEER_FAULT_RECORD,  /* the kind's record() has refused one */
};

/* argument: what peers_add_kind() was told.  A callback may close its peer, or others. */
struct peer_kind {
    unsigned first; /* the type of record that a link begins with */
    /*
     * A link begins, and reader stands at its first record, of that type.  Gives a peer that is not open;
     * NULL with *refusal, a text that the stranger is told.
     */
    struct peer *(*greet)(void *argument, struct bytes routing, struct wire_reader *reader,
                          const char **refusal);
    /* One record more; type is as wire_reader_next() gave it.  Negative: PEER_FAULT_RECORD follows. */
    int (*record)(void *argument, struct peer *peer, struct wire_reader *reader, unsigned type);
    /* The link can't go on: the peer is to be closed.  what: static text */
    void (*fault)(void *argument, struct peer *peer, enum peer_fault fault, const char *what);
    /* A batch could not be sent: the peer has been closed. */
    void (*lost)(void *argument, struct peer *peer);
    /* More bytes than max_unacknowledged were sent and not acknowledged. */
    void (*behind)(void *argument, struct peer *peer);
    /* Four times a heartbeat.  stalled: the process itself stood still, and silence proves nothing. */
    void (*tick)(void *argument, uint64_t now, bool stalled);
    void (*free)(struct peer *peer);
};

/* The first member of what a kind makes; zero-initialised but for what peer_init() sets. */
struct peer {
    const struct peer_kind *kind;
    void *argument;
    uint32_t references; /* see peer_hold() */
    bool removed;        /* freed with the last hold */
    bool open;           /* it has a link */
    uint64_t minor;      /* the version of its program; greet() sets it */
    struct wire_batch out;
    struct wire_flow flow;
    /* The rest is for peer.c, and for ticks. */
    uint64_t received_bytes; /* since the last batch out */
    uint64_t heard, sent;    /* ms */
    uint8_t routing_length;
    char routing[255];
};

struct peers {
    const struct router_settings *settings;
    struct counters *counters;
    struct loop *loop;
    void *context, *socket;
    struct gate gate;
    struct loop_watch *watch;
    struct table by_routing;
    struct {
        const struct peer_kind *kind;
        void *argument;
    } kinds[PEER_KINDS_MAX];
    unsigned kind_count;
    struct loop_timer timer;
    uint64_t ticked;    /* ms: the timer's last call */
    uint64_t *rebuffed; /* ms: when a stranger was last told to start anew, by the hash of its routing id */
    struct zmq_msg_t *batch; /* that is being read; NULL: none */
    char refusal[96];        /* see peers_version_fits() */
    bool readable;           /* there may be batches to read */
    bool look;               /* something was sent since ZMQ_EVENTS was asked for */
};

/*
 * Binds the endpoint.  Failures put one line into message: ERROR_LOCKED when it is in use,
 * ERROR_CONFIG for an endpoint that ZeroMQ does not take, ERROR_SYSTEM.  peers_done() in any case.
 */
int peers_open(struct peers *peers, const struct router_settings *settings, struct loop *loop,
               struct counters *counters, char *message, size_t message_size) MUST_CHECK;

void peers_add_kind(struct peers *peers, const struct peer_kind *kind, void *argument);

/*
 * For greet(): whether a program of that minor version can be talked to.  If not it is logged and counted, and
 * *refusal is what it is to be told.
 */
bool peers_version_fits(struct peers *peers, uint64_t minor, struct bytes name, struct bytes program,
                        const char **refusal) MUST_CHECK;

/* For greet(): where the stranger is, as ZeroMQ tells it: an address, or HOST:USER:GROUP:PROCESS of a Unix socket;
 * "-" when it does not. */
const char *peers_address(const struct peers *peers);

/* No more ticks. */
void peers_stop(struct peers *peers);

/* Closes the socket, after up to linger_ms for what is still to be sent; all peers must be closed. */
void peers_done(struct peers *peers, int linger_ms);

/* Reads what has come, up to a bound, and calls back for it. */
void peers_read(struct peers *peers);

/* The end of a turn, when everything has been sent. */
void peers_settle(struct peers *peers);

/* Gives the peer its kind. */
void peer_init(struct peer *peer, const struct peer_kind *kind, void *argument);

/* Sends what peer->out has, even nothing, and may call lost() or behind(). */
void peer_send(struct peers *peers, struct peer *peer);

/* The end of a turn: sends if there is something to say or to acknowledge. */
void peer_flush(struct peers *peers, struct peer *peer);

/* Sends the batch when it is large; between records that must stay together this is not called. */
static inline void peer_split(struct peers *peers, struct peer *peer)
{
    if (wire_batch_size(&peer->out) >= WIRE_BATCH_SPLIT)
        peer_send(peers, peer);
}

/* Sends RESYNC, so that the peer makes a new link, and closes this one. */
void peer_resync(struct peers *peers, struct peer *peer, const char *reason);

/* It has no link any more; what was not sent is forgotten.  Takes one that is closed. */
void peer_close(struct peers *peers, struct peer *peer);

/* Frees what peer_init() and the functions above have put there; for the kind's free(). */
void peer_done(struct peer *peer);

/* While something refers to a peer its memory stays. */
static inline struct peer *peer_hold(struct peer *peer)
{
    peer->references++;
    return peer;
}

void peer_release(struct peer *peer);

/* It is freed with the last hold, which the caller need not have. */
void peer_remove(struct peer *peer);

#endif
