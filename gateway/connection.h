/*
 * A client's connection: its descriptor, its output, its one timer, and its end.
 *
 * What is spoken on it (HTTP, then Engine.IO) is a protocol: a table of functions that the connection
 * points to.
 *
 * An Engine.IO session on the polling transport is a connection too, one without a descriptor: its output
 * waits for a poll to answer, and its input comes from the bodies of posts.  So sockets, rooms, the heartbeat
 * and the limits on slow readers need not know on which transport a client is.
 *
 *   OPEN ------> FLUSHING ------> LINGERING ------> CLOSED
 *     |              |                |                ^
 *     +--------------+----------------+----------------+
 *
 * connection_end() goes all the way: what is queued goes out, then the write side is shut, then the peer's
 * end is awaited for a while.  connection_drop() closes at once.
 *
 * Deferred close is law: both may be called from anywhere, also from inside the connection's own
 * callbacks; the memory goes at the end of the loop's turn (connections_reap()).
 */
#ifndef HUBBUB_GATEWAY_CONNECTION_H
#define HUBBUB_GATEWAY_CONNECTION_H

#include "common/bytes.h"
#include "common/ip_address.h"
#include "common/slot_table.h"
#include "common/timer_wheel.h"
#include "gateway/close_reason.h"
#include "gateway/encoding.h"
#include "gateway/handshake.h"
#include "gateway/output.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

struct arrival;
struct bare_client;
struct connection;
struct entrance;
struct exchange;
struct gateway;
struct handshake;
struct pending_packet;
struct session;
struct socket;
struct socket_speech;
struct websocket_decoder;

enum connection_state {
    CONNECTION_OPEN,
    CONNECTION_FLUSHING,
    CONNECTION_LINGERING,
    CONNECTION_CLOSED,
};

/* What is spoken on a connection.  All of it is called while it is open only, but for flush and closed. */
struct connection_protocol {
    size_t output_limit; /* bytes that may wait for a slow reader, if more than the setting outbound_queue */
    /* ms that what is queued may take to go out after the end; NULL: two seconds */
    uint64_t (*linger)(const struct gateway *gateway);
    uint32_t message_limit; /* bytes of a WebSocket message; 0: the setting max_payload */
    /* Bytes came; they may be changed in place, and are gone after the call. */
    void (*input)(struct gateway *gateway, struct connection *connection, char *data, size_t length);
    /* What is told to sockets; NULL: Socket.IO packets. */
    const struct socket_speech *speech;
    /* What engine_close() does instead of closing an Engine.IO session, where there is none; else NULL. */
    void (*close)(struct gateway *gateway, struct connection *connection, enum close_reason reason);
    /* A Close frame is about to be sent: lets go of what was kept back before it.  May be NULL. */
    void (*let_go)(struct gateway *gateway, struct connection *connection);
    /* A WebSocket pong came; may be NULL. */
    void (*pong)(struct gateway *gateway, struct connection *connection);
    /* A whole WebSocket message came (on protocols whose input is websocket_input()). */
    void (*message)(struct gateway *gateway, struct connection *connection, bool binary,
                    struct bytes payload);
    /* Without a descriptor: takes output at the end of a turn; open or flushing. */
    void (*flush)(struct gateway *gateway, struct connection *connection);
    /* The time set by connection_set_timer() has come. */
    void (*timeout)(struct gateway *gateway, struct connection *connection);
    /* The connection leaves the state OPEN: free what belongs to it, and send nothing. */
    void (*ending)(struct gateway *gateway, struct connection *connection, enum close_reason reason);
    /* It is CLOSED, behind ending(); may be NULL. */
    void (*closed)(struct gateway *gateway, struct connection *connection);
};

struct connection {
    /* What the fan-out touches stands together. */
    int fd;               /* -1: none, or closed */
    uint8_t state;        /* enum connection_state */
    uint8_t close_reason; /* enum close_reason, once it is not OPEN */
    uint8_t doomed;       /* enum close_reason: is to be dropped at the end of the turn */
    uint8_t
        window_bits;  /* permessage-deflate (RFC 7692): of what may be sent, 8 to 15; 0 when not agreed on */
    uint8_t encoding; /* enum encoding: how messages are written to it */
    bool dirty : 1;   /* in the list of those to write at the end of the turn */
    bool blocked : 1; /* nothing more can go out now: the kernel takes no more, no poll waits, or corked */
    bool corked : 1;  /* blocked until connection_uncork(), whatever the kernel says */
    bool stopped : 1; /* not read until connection_start_reading() */
    bool waking : 1;  /* what it holds becomes input before anything else is read */
    bool bare : 1;    /* the diagnostic echo: Engine.IO messages go back as they came */
    bool paused : 1;  /* not read for want of credit */
    bool awaiting_pong : 1; /* the timer is for the pong */
    bool secured : 1;       /* TLS: read and written through entrance->tls */
    bool pong_extended : 1; /* the pong's deadline was moved once, because something else came */
    bool leaving : 1;       /* its turn in a drain has come; it waits for answers */
    uint16_t room_count;    /* memberships of all its sockets */
    uint32_t paused_slot;   /* in the list of the paused, while it is */
    struct output output;

    uint64_t number; /* in the table; the poller's data */
    const struct connection_protocol *protocol;
    struct wheel_timer timer;
    uint64_t heartbeat_due; /* Engine.IO: the next ping, or the pong's deadline */
    uint64_t connect_due;   /* when a namespace must have been joined; 0: no more */

    struct entrance *entrance; /* what is in front of it, a balancer or TLS; NULL for nothing */
    struct buffer *held;       /* what came and must wait: the part of a request's head, or of what a paused
                                    client sent; else NULL */
    union {                    /* by http_is_spoken() */
        struct exchange *exchange;         /* HTTP: the request that is not answered yet, or NULL */
        struct websocket_decoder *decoder; /* a WebSocket's, while a message has come in part; else NULL */
    };
    struct session *session;     /* Engine.IO: known by its sid, or NULL */
    struct handshake *handshake; /* Engine.IO: what the client told then; NULL before */
    struct arrival *arrival;     /* a WebSocket on its way to a session, or NULL */
    struct socket *sockets;      /* Socket.IO sockets, a list */
    union {
        struct pending_packet
            *pending; /* Socket.IO: a packet whose attachments have not all come; else NULL */
        struct bare_client *bare_client; /* a bare WebSocket's */
    };
};
static_assert(sizeof(struct connection) <= 168, "every idle connection pays for this");

/* All connections, and the work left for the end of the turn. */
struct connection_table {
    struct slot_table slots; /* of struct connection */
    struct connection **dirty;
    uint32_t dirty_count, dirty_capacity;
    struct connection **closed;
    uint32_t closed_count, closed_capacity;
};

void connections_init(struct connection_table *table);

/* Drops every connection with the reason, and frees everything. */
void connections_done(struct gateway *gateway, enum close_reason reason);

/* Takes over an accepted descriptor.  NULL (the descriptor is closed) when the kernel refuses to poll it. */
struct connection *connection_new(struct gateway *gateway, int fd,
                                  const struct connection_protocol *protocol);

/* One without a descriptor, whose protocol has flush.  It is blocked until its owner says otherwise. */
struct connection *connection_new_virtual(struct gateway *gateway,
                                          const struct connection_protocol *protocol);

/* NULL when it is gone. */
struct connection *connections_find(struct gateway *gateway, uint64_t number);

/* The poller's callback: arg is the gateway. */
void connections_on_event(void *arg, uint64_t data, uint32_t events);

/* The wheel's callback for a connection's timer: arg is the gateway. */
void connections_on_timer(struct wheel_timer *timer, void *arg);

/* What its descriptor is watched for, after a change of paused, stopped, corked or blocked; may drop it. */
void connection_set_interest(struct gateway *gateway, struct connection *connection);

/* Replaces the connection's timer.  due_ms on the loop's clock. */
void connection_set_timer(struct gateway *gateway, struct connection *connection, uint64_t due_ms);

/*
 * Room for length bytes at the end of its output, behind whatever its rooms were sent before in this turn.
 * For the caller to fill before anything else is sent.  NULL when the connection is not open, or is dropped
 * at the end of the turn because it reads too slowly.
 */
char *connection_reserve(struct gateway *gateway, struct connection *connection, size_t length) MUST_CHECK;

void connection_send(struct gateway *gateway, struct connection *connection, struct bytes bytes);

/* The same for a run of a chunk that others share. */
void connection_send_chunk(struct gateway *gateway, struct connection *connection, struct chunk *chunk,
                           uint32_t offset, uint32_t length);

/* The same for everything that waits in output, which is empty afterwards.  Written at once when nothing
   waits before it: a poll is answered while all that belongs to it is still at hand. */
void connection_send_output(struct gateway *gateway, struct connection *connection, struct output *output);

/*
 * For the fan-out: appends; and the same, but writes at once when nothing waits before it.  Neither ever
 * drops the connection: one that fails or is over its limit is dropped at the end of the turn.
 */
void connection_append(struct gateway *gateway, struct connection *connection, struct chunk *chunk,
                       uint32_t offset, uint32_t length);
void connection_deliver(struct gateway *gateway, struct connection *connection, struct chunk *chunk,
                        uint32_t offset, uint32_t length);

/* Something waits to be sent that is not in its output: it is, at the end of the turn. */
void connection_push(struct gateway *gateway, struct connection *connection);

/* Whoever takes what a connection without a descriptor sends is there, or is not: unblocked, its protocol's
   flush is called at the end of the turn when something waits. */
void connection_unblock(struct gateway *gateway, struct connection *connection);
void connection_block(struct connection *connection);

/* What comes next need not be acknowledged (RFC 9293 3.8.6.3) before the answer to it goes out, which takes
   the acknowledgement along; the system does not wait for long. */
void connection_expect_request(struct connection *connection);

/* Whether it is blocked though its client may be quick: it is between two polls, or on its way to a
 * WebSocket. */
static inline bool connection_is_between(const struct connection *connection)
{
    return connection->fd < 0 || connection->corked;
}

/* Its client has the msgpack parser, or has not; its encoding says so far which transport it is on. */
static inline void connection_set_parser(struct connection *connection, bool msgpack)
{
    connection->encoding = (uint8_t)encoding_for_parser(connection->encoding, msgpack);
}

/* Keeps all output back; lets it go, behind what is in front (which is empty afterwards). */
void connection_cork(struct connection *connection);
void connection_uncork(struct gateway *gateway, struct connection *connection, struct output *front);

/* Both take a connection in any state; see the diagram. */
void connection_end(struct gateway *gateway, struct connection *connection, enum close_reason reason);
void connection_drop(struct gateway *gateway, struct connection *connection, enum close_reason reason);

/* The address of its peer, or of the client for whom a balancer speaks the PROXY protocol; unknown when the
 * system does not say, as of one that is closed.  client_source.h has a request's. */
struct ip_address connection_address(const struct connection *connection);

/* The end of a turn: writes what is queued, then frees what is closed. */
void connections_flush(struct gateway *gateway);
void connections_reap(struct gateway *gateway);

/* Calls back for every open connection; the callback may end or drop it. */
void connections_each(struct gateway *gateway, void (*callback)(struct gateway *, struct connection *));

#endif
