/*
 * Sockets as backends see them: which backend a session's socket belongs to, what that backend knows of it,
 * and what it is still to do for it.
 *
 *             backed_new()                    CONNECTION put
 *   (none) ----------------> UNKNOWN ------------------------> JUDGED (kind NEW) ----> OPEN
 *                             ^                                  |     ACCEPT           |
 *                             +----------------------------------+----------------------+
 *                                  its backend is gone: another one is told
 *
 * It ends with the socket: a session that is away has none.  But when the link of its gateway is made anew
 * the socket may well be there still, and nothing is said to the backend until the gateway's next hello tells
 * (suspended: session is NULL).
 */
#ifndef HUBBUB_ROUTER_BACKED_H
#define HUBBUB_ROUTER_BACKED_H

#include "router/task.h"

enum { BACKED_ASKING_MAX = 512 }; /* handshakes on their way; a new backend may want those of all sockets */

enum backed_state { BACKED_UNKNOWN, BACKED_JUDGED, BACKED_OPEN };

struct backed {
    struct router *router;
    struct session *session;        /* NULL: suspended */
    struct backend *backend;        /* NULL: it has none */
    struct backed *previous, *next; /* of the backend's, or of those without one */
    struct task *first, *last;      /* in the order of the client's packets */
    struct task *unsent;            /* the first that is */
    struct ask *ask;                /* for the handshake */
    const struct gateway_link *asked;
    struct bytes handshake;         /* JSON text, owned; data NULL: not known */
    enum wire_connection_kind kind; /* as which it is announced */
    enum backed_state state;
    bool foreign; /* some backend may hold it that has not said so yet; until the router is no longer young */
    /* While it is suspended: */
    uint64_t gateway, since; /* its incarnation; ms */
    struct bytes data;       /* the session's, owned */
    struct wire_list rooms;
    /* To tell requests that are made again, on a new link of their gateway: */
    uint64_t last_request, last_gateway; /* the highest, and of which incarnation */
    uint64_t again_until;                /* ms: before that any may be one that an earlier run had */
    char sid[SID_LENGTH];
};

struct backed_sockets {
    struct table by_sid;
    struct backed *first, *last; /* those without a backend */
    uint32_t alone;              /* so many are there */
    struct table claims;         /* struct claim: held sockets that no gateway has named yet */
    uint32_t asking;             /* asks on their way */
    uint32_t suspended;
    struct loop_timer maturity; /* the router is no longer young */
    bool waiting;               /* the turn's end is to look for sockets that can be given to backends */
    bool more;                  /* the same, once fewer asks are on their way */
};

void backed_table_init(struct table *table);
struct backed_sockets *backed_sockets_new(struct router *router);
void backed_sockets_free(struct backed_sockets *sockets);

/* Whether clients of the namespace are a backend's business: some serves it, or it waits for one. */
bool backed_namespace(const struct router *router, const struct namespace *namespace);

/* Makes the session's, which has none.  backed_give() follows. */
struct backed *backed_new(struct router *router, struct session *session, enum wire_connection_kind kind);

/* Ends it, with its tasks; the backend is told nothing. */
void backed_remove(struct router *router, struct backed *backed);

/* The one of that sid, also a suspended one; NULL when there is none. */
struct backed *backed_find(const struct router *router, struct bytes sid);

/* It belongs to that backend from now on, or to none. */
void backed_assign(struct router *router, struct backed *backed, struct backend *backend);

/* Its backend knows it no more: what it was to do is to be done again. */
void backed_forget(struct router *router, struct backed *backed);

/* Looks for a backend if it has none, tells it, and gives it what it is to do: as far as that goes now. */
void backed_give(struct router *router, struct backed *backed);

/* Sends what is to be done for it, as far as its order allows. */
void backed_pump(struct router *router, struct backed *backed);

/* The backend has answered: it is connected. */
void backed_open(struct backed *backed);

/* DISCONNECTION, if its backend knows it; rooms: a wire_list. */
void backed_tell_gone(struct router *router, struct backed *backed, const char *reason, struct bytes rooms);

/* The names of the rooms that a session is in. */
void backed_list_rooms(const struct session *session, struct wire_list *out);

/* For task.c: the socket's last task from now on; none of its tasks any more. */
void backed_append(struct backed *backed, struct task *task);
void backed_take_out(struct backed *backed, struct task *task);

/* -- what happens to sessions; each does nothing for a session that is no backend's business -- */

/* The socket is gone, for a reason in Socket.IO's words; before the session is detached or removed. */
void backed_lost(struct router *router, struct session *session, const char *reason);

/* The link of its gateway is gone, and the gateway makes a new one. */
void backed_suspend(struct router *router, struct session *session);

/* A gateway's link is live: its hello has told which of its sockets are there. */
void backed_link_live(struct router *router, struct gateway_link *link);

/* A gateway is given up, or has another process: what was suspended is gone. */
void backed_gateway_gone(struct router *router, uint64_t incarnation, const char *reason);

/* A session goes on with a socket of its client's. */
void backed_recovered(struct router *router, struct session *session);

/* It is in the room now; it is no more. */
void backed_entered(const struct session *session, struct bytes room);
void backed_exited(const struct session *session, struct bytes room);

/* Whether its client is not connected yet, because a backend is to judge it. */
bool backed_is_judged(const struct session *session);

/* Whether tasks of it are open. */
bool backed_is_busy(const struct session *session);

/* -- what happens to backends -- */

/* HOLD: too many are turned away. */
void backed_hold(struct router *router, struct backend *backend, struct bytes sid);

/* The backend that holds a socket which no gateway had named so far, and now has; NULL when none does. */
struct backend *backed_claimant(struct router *router, struct bytes sid);

/* Its hello is complete, and SERVING was put. */
void backed_greeted(struct router *router, struct backend *backend);

/* It is given up: others get its sockets. */
void backed_hand_over(struct router *router, struct backend *backend);

/* The end of a turn, and each tick. */
void backed_settle(struct router *router);
void backed_tick(struct router *router, uint64_t now);

#endif
