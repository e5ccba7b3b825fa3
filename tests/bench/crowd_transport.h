/*
 * The inside of a crowd, for its transports: crowd_websocket.c and crowd_polling.c.
 *
 * A transport carries texts (Engine.IO packets, or plain messages) over one or two TCP connections of a
 * client, its links; crowd.c reads and writes the links, and knows what the texts mean.
 */
#ifndef HUBBUB_TESTS_BENCH_CROWD_TRANSPORT_H
#define HUBBUB_TESTS_BENCH_CROWD_TRANSPORT_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "tests/bench/crowd.h"

#include <netinet/in.h>
#include <openssl/types.h>

enum {
    CROWD_READ_SIZE = 256 << 10,
    CROWD_LINKS_MAX = 2,
    CROWD_SID_MAX = 64,
};

enum client_state { CONNECTING, UPGRADING, OPENING, ENTERING, JOINING, READY, FAILED, LOST };

struct link {
    int fd; /* -1: none */
    bool connecting;
    SSL *ssl;             /* NULL: in the clear, or not connected yet */
    struct buffer behind; /* what came of a frame or an answer that is not whole */
};

struct client {
    enum client_state state;
    unsigned room;
    struct link links[CROWD_LINKS_MAX];
    struct buffer message; /* what a publisher sends, but for the mark in it */
    unsigned mark_at;
    /* Acknowledgements. */
    uint64_t *asked_at; /* ns, 0 for none, by ack id: a ring of CROWD_ASKS_MAX; NULL: does not ask */
    unsigned asks;
    struct buffer held; /* frames that leave together */
    /* Polling. */
    char sid[CROWD_SID_MAX + 1];
    bool posting;         /* a post is not answered yet */
    struct buffer unsent; /* packets for the next one, each behind a separator */
};

struct crowd_transport {
    unsigned links; /* of a client */
    /* A link is there: the first one begins the client's way to READY. */
    void (*connected)(struct crowd *crowd, struct client *client, unsigned link);
    /* Bytes came on a link; returns how many it took, and gets the others again with what follows. */
    size_t (*input)(struct crowd *crowd, struct client *client, unsigned link, struct bytes input);
    /* Whether the server may have closed the link just now; NULL: never. */
    bool (*may_end)(const struct client *client, unsigned link);
    void (*send_text)(struct crowd *crowd, struct client *client, struct bytes text);
    void (*send_binary)(struct crowd *crowd, struct client *client, struct bytes payload); /* may be NULL */
};

extern const struct crowd_transport crowd_websocket, crowd_polling;

struct crowd {
    struct crowd_plan plan;
    const struct crowd_transport *transport;
    struct sockaddr_in address;
    SSL_CTX *tls; /* NULL: in the clear */
    int epoll;
    struct client *clients;
    unsigned size;
    unsigned *ready_members; /* by room */
    struct crowd_figures figures;
    bool measuring;
    struct crowd_samples samples;
    uint64_t now; /* ns, of the read whose texts are handled */
    struct buffer scratch, packet;
    struct inflater *inflater; /* NULL unless the transport is CROWD_DEFLATE */
    char input[CROWD_READ_SIZE];
};

/* Compressed messages (crowd_websocket.c).  Takes NULL. */
struct inflater *inflater_new(void);
void inflater_free(struct inflater *inflater);

/* Opens a link; connected() follows. */
void crowd_open_link(struct crowd *crowd, struct client *client, unsigned link);

/* Writes to a link, or holds it back to leave with more.  The few bytes that a client has under way fit any
   socket: else it gives up. */
void crowd_send(struct crowd *crowd, struct client *client, unsigned link, struct bytes bytes);

/* A text came; or a binary message, which is a packet of the msgpack parser. */
void crowd_got_text(struct crowd *crowd, struct client *client, struct bytes text);
void crowd_got_binary(struct crowd *crowd, struct client *client, struct bytes packet);

/* The client may publish from now on, and counts. */
void crowd_become_ready(struct crowd *crowd, struct client *client);

/* Ends the client: it failed, or is lost.  Shows the start of what came unexpectedly; that may be empty. */
void crowd_give_up(struct crowd *crowd, struct client *client, const char *why, struct bytes got);

static inline bool client_is_gone(const struct client *client)
{
    return client->state == FAILED || client->state == LOST;
}

#endif
