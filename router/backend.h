/*
 * The application's backends, as far as the router knows them: their links, what they serve, and which of
 * them a session's socket belongs to.  docs/protocol.md, section 3, is the contract.
 *
 *   GREETING ----> LIVE ----> LOST ----> (none)
 *   (SERVE, HOLD)    ^          |         silent for too long, LEAVING, or cut off:
 *        |           |          |         its sockets are handed to others
 *        +-----------+----------+
 *              the next SERVE of its incarnation
 *
 * A backend is one run of a program, by its incarnation; a new link of it goes on with the same struct.
 */
#ifndef HUBBUB_ROUTER_BACKEND_H
#define HUBBUB_ROUTER_BACKEND_H

#include "router/router.h"

enum {
    BACKEND_NAMESPACES_MAX = 64,
    BACKEND_ANSWERED = 1024,
    BACKEND_VERSION_MAX = 32,
    BACKEND_DATA_MAX = 16 << 10
};

enum backend_state { BACKEND_GREETING, BACKEND_LIVE, BACKEND_LOST };

/* Why the router ends a backend's link: X(NAME, counter, text) */
#define BACKEND_CUT_TABLE(X)                                                                                 \
    X(NONSENSE, cut_nonsense, "a record that is none, or out of place")                                      \
    X(NAMESPACE, cut_namespace, "a namespace that it does not serve")                                        \
    X(TWICE, cut_twice, "a second answer to a task")                                                         \
    X(JSON, cut_json, "a text that is no JSON, or placeholders without attachments")                         \
    X(SLOW, cut_slow, "it reads too slowly")

enum backend_cut {
#define X(name, counter, text) BACKEND_CUT_##name,
    BACKEND_CUT_TABLE(X)
#undef X
};

struct backend {
    struct peer peer; /* must stay first */
    char *name;       /* for people: several may share one */
    char version[BACKEND_VERSION_MAX + 1];
    uint64_t incarnation;
    enum backend_state state;
    bool slow;                /* to be cut off at the turn's end */
    bool deferred;            /* there is more for it, once it has acknowledged most of what it got */
    struct bytes *namespaces; /* names or patterns, owned */
    uint32_t namespace_count;
    uint32_t sockets;                    /* that belong to it */
    uint32_t tasks;                      /* that it was asked and has not answered */
    struct backed *first, *last;         /* they; see backed.h */
    struct wire_list unwelcome;          /* sids that it holds and has not any more */
    uint64_t greeted;                    /* HOLD records so far */
    uint64_t answered[BACKEND_ANSWERED]; /* the last tasks that it answered on this link; a ring */
    uint32_t answered_at;
};

struct backends {
    struct router *router;
    struct backend **all;
    uint32_t count;
    struct backed_sockets *sockets;
    struct tasks *tasks;
    struct judgements *judgements;
};

/* What a session of a served namespace is to its backend; see backed.h. */
struct backed;

/* Makes router->backends; once the peers are open has them call back for it. */
void backends_init(struct router *router);
void backends_attach(struct router *router);

/* Removes all backends; the gateways are gone. */
void backends_done(struct router *router);

/* The end of a turn: sends what they are to get. */
void backends_flush(struct router *router);

/* The hello is complete: 0, or ERROR_PROTOCOL. */
int backend_greeted(struct router *router, struct backend *backend,
                    const struct wire_serve_end *record) MUST_CHECK;

/* It says goodbye: it is removed, and its sockets are others'. */
void backend_leave(struct router *router, struct backend *backend);

/* "greeting" and so on.  Static. */
const char *backend_state_text(enum backend_state state);

/* The batch to put records into; NULL when it can't take anything (then whatever it is to know comes with its
 * next link, or is another backend's). */
static inline struct wire_batch *backend_out(struct backend *backend)
{
    return backend->state == BACKEND_LIVE ? &backend->peer.out : NULL;
}

/* How many bytes it has been sent, or is to be, that it has not acknowledged. */
static inline uint64_t backend_used(const struct backend *backend)
{
    return backend->peer.flow.unacknowledged_bytes + wire_batch_size(&backend->peer.out);
}

/* Sends the batch when it is large; after records that need not stay with those behind them. */
void backend_split(struct router *router, struct backend *backend);

static inline struct backend *backend_hold(struct backend *backend)
{
    peer_hold(&backend->peer);
    return backend;
}

static inline void backend_release(struct backend *backend)
{
    peer_release(&backend->peer);
}

/* Whether some backend is live that serves the namespace. */
bool backends_serve(const struct router *router, const struct namespace *namespace);

/* Whether that one serves a namespace of that name. */
bool backend_serves(const struct backend *backend, struct bytes namespace);

/* CUT, and its sockets are others'.  The struct stays as long as somebody holds it, and the record that is
   being handled does: a handler that has called this returns 0. */
void backend_cut(struct router *router, struct backend *backend, enum backend_cut why);

/* What a backend may store with a socket: a JSON text of at most BACKEND_DATA_MAX bytes, or "". */
bool backend_data_valid(struct bytes data);

#endif
