/*
 * The links to the gateways, which are peers (peer.h).
 *
 *   GREETING ----> WAITING ----> LIVE ----> BEHIND
 *   (the hello     (its earlier   |          | (out of credit: nothing more is queued)
 *    comes in)      publishes)    |          |
 *        +-------------+----------+----------+----> LOST  (sockets are kept until the gateway
 *                                                          comes back or is given up)
 *
 * docs/protocol.md, section 2, is the contract.  What records mean is not known here: a link
 * calls back for them.  A gateway has at most one link here, the newest under its name.
 */
#ifndef HUBBUB_ROUTER_LINK_H
#define HUBBUB_ROUTER_LINK_H

#include "router/peer.h"
#include "router/session.h"

enum link_state { LINK_GREETING, LINK_WAITING, LINK_LIVE, LINK_BEHIND, LINK_LOST };

enum { LINK_EPOCH_MAX = 64, LINK_VERSION_MAX = 32, LINK_ADDRESS_MAX = 63 };

struct gateway_link {
    struct peer peer; /* must stay first */
    char *name;
    char version[LINK_VERSION_MAX + 1];
    uint64_t incarnation;
    char address[LINK_ADDRESS_MAX + 1]; /* see peers_address() */
    enum link_state state;
    bool leaving; /* its gateway has said goodbye */
    struct session_set sessions;

    /* The hello: where the gateway is. */
    char epoch[LINK_EPOCH_MAX + 1];
    uint64_t pos;
    uint64_t greeted;           /* SOCKET records so far */
    struct wire_list unwelcome; /* sockets that can't be kept */

    /* The rest is for link.c. */
    struct wire_list done;
    uint64_t told;       /* the position that the gateway knows */
    uint64_t taken_over; /* ms: when its name changed hands last; 0: never */
    unsigned takeovers;  /* how often it did, each within TAKEOVERS_MS of the one before */
};

/* Why a link is no longer among the links. */
enum link_end {
    LINK_END_GONE,      /* its gateway said goodbye, or was silent for too long */
    LINK_END_SUCCEEDED, /* another process took over its gateway's name */
    LINK_END_RENEWED,   /* its gateway has a new link, or is to make one as its hello was none */
};

struct link_events {
    /* Takes in the hello's first record. */
    void (*hello)(void *argument, struct gateway_link *link, const struct wire_hello *hello);
    /* One record; type is as wire_reader_next() gave it.  Negative: the link breaks. */
    int (*record)(void *argument, struct gateway_link *link, struct wire_reader *reader, unsigned type);
    /* The link's sessions must be removed; it is not among the links any more. */
    void (*removed)(void *argument, struct gateway_link *link, enum link_end end);
};

struct links {
    const struct router_settings *settings;
    const struct link_events *events;
    void *argument;
    struct counters *counters;
    struct peers *peers;
    struct gateway_link **all;
    uint32_t count;
    uint64_t released; /* the position as of the last links_flush() */
};

/* Has the peers call back for gateways.  peers must outlive it. */
void links_init(struct links *links, struct peers *peers, const struct link_events *events, void *argument);

/* Removes all links. */
void links_done(struct links *links);

/* The end of a turn: sends what links have; released is the position they then know of. */
void links_flush(struct links *links, uint64_t released);

/* The link of the gateway that runs under that incarnation, in whatever state; NULL when there is none. */
struct gateway_link *links_find(const struct links *links, uint64_t incarnation);

/* The batch to put records into that only a live gateway can use; NULL for any other. */
static inline struct wire_batch *link_out(struct gateway_link *link)
{
    return link->state == LINK_LIVE ? &link->peer.out : NULL;
}

/* Notes a request as done without an answer; on the link before the next link_settle() is over. */
void link_done(struct gateway_link *link, uint64_t request);

/* Puts the requests that are done; call before a delivery that a gateway remembers the position of. */
void link_settle(struct gateway_link *link);

/* Puts the position, if the gateway does not know it yet. */
void link_tell(struct gateway_link *link, uint64_t released);

/* Sends the batch when it is large; between records that must stay together this is not called. */
static inline void link_split(struct links *links, struct gateway_link *link)
{
    peer_split(links->peers, &link->peer);
}

/* Moves a link on: only along the picture above. */
void link_set_state(struct gateway_link *link, enum link_state state);

/* While something refers to a link its memory stays, even if the gateway is gone. */
static inline struct gateway_link *link_hold(struct gateway_link *link)
{
    peer_hold(&link->peer);
    return link;
}

static inline void link_release(struct gateway_link *link)
{
    peer_release(&link->peer);
}

/* The gateway says goodbye: it is removed at once. */
void link_remove(struct links *links, struct gateway_link *link);

/* "greeting" and so on. */
const char *link_state_text(enum link_state state);

#endif
