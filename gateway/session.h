/*
 * Engine.IO sessions that began on the polling transport, by their sid.
 *
 *   POLLING ----> MOVING ----> MOVED        another gateway has the WebSocket, and the session with it
 *      |             |            |         (arrival.h is the other side)
 *      |             v            |
 *      |         UPGRADED         |         the WebSocket is here
 *      |             |            |
 *      +-------------+------------+-----> freed, and unknown from then on
 *
 * A sid names its gateway: eight characters are the gateway's incarnation, sixteen are random.  None begins
 * with '-' (an operator's command line would take it for an option).  A session that began on a WebSocket
 * has a sid as well but needs none: nobody may ask for it.
 *
 * Whoever asks something of a session is a caller, here or at another gateway (relay.h), so that a session
 * does not care which gateway a request came to.
 */
#ifndef HUBBUB_GATEWAY_SESSION_H
#define HUBBUB_GATEWAY_SESSION_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"
#include "common/loop.h"
#include "common/table.h"

#include <stdbool.h>
#include <stdint.h>

struct connection;
struct gateway;

enum { SESSION_SID_LENGTH = 24 };

/* Who asked.  number 0: nobody. */
struct caller {
    uint64_t gateway; /* incarnation; this gateway's own for a connection here */
    uint64_t number;  /* of the connection here; of the question there */
};

static inline bool caller_equal(struct caller a, struct caller b)
{
    return a.gateway == b.gateway && a.number == b.number;
}

/* A connection of this gateway that asks. */
struct caller caller_here(const struct gateway *gateway, const struct connection *connection);

enum session_state { SESSION_POLLING, SESSION_MOVING, SESSION_UPGRADED, SESSION_MOVED };

struct session {
    char sid[SESSION_SID_LENGTH];
    uint8_t state; /* enum session_state */
    bool probed;   /* the WebSocket's probe was answered: polls are to end, so that the client can go over */
    bool late;     /* a poll came behind that: it is ended in a moment */
    bool reading;  /* the body of the post is still coming */
    bool held;    /* POLLING: the arrival has no welcome yet, because a backend has an event of the session */
    bool offered; /* MOVING: the offer was sent */
    struct connection *connection; /* what holds its sockets; NULL when MOVED */
    struct caller poll;            /* the poll that waits */
    struct caller post;            /* the post that is being read, or whose packets wait for the router */
    struct caller arrival;         /* the WebSocket that is on its way to this session; MOVED: that has it */
    /* The last questions of another gateway that were answered: asked again, they get the same answer. */
    struct caller answered_poll, answered_post;
    struct buffer retained; /* what answered_poll got; it may have been lost on the way */
};

static inline struct bytes session_sid(const struct session *session)
{
    return bytes_make(session->sid, SESSION_SID_LENGTH);
}

struct session_table {
    struct table by_sid;
    struct session **moving; /* those in MOVING without an offer, or held: looked at in every turn */
    uint32_t moving_count, moving_capacity;
    struct loop_timer late_timer; /* runs while a session is late */
};

void sessions_init(struct session_table *table);
/* Its sessions must be gone, but for those that other gateways have. */
void sessions_done(struct session_table *table);

/* Draws an incarnation, one that begins no sid with '-': 48 random bits, less one value of the first six. */
uint64_t session_draw_incarnation(void);

/* Writes a new sid. */
void session_make_sid(struct gateway *gateway, char sid[SESSION_SID_LENGTH]);

/* The incarnation of the gateway that a sid names.  0, or ERROR_MALFORMED. */
int session_home(struct bytes sid, uint64_t *incarnation) MUST_CHECK;

/* A new session for that connection, in that state. */
struct session *session_new(struct gateway *gateway, struct bytes sid, struct connection *connection,
                            enum session_state state);

/* Forgets it. */
void session_free(struct gateway *gateway, struct session *session);

/* Takes it out of those that are looked at in every turn, if it is there. */
void sessions_unwatch(struct session_table *table, const struct session *session);

/* NULL when there is none here. */
struct session *session_find(struct gateway *gateway, struct bytes sid);

/* The incarnations of the other gateways that sessions here have to do with, each once; *count is how many.
 * The caller frees them. */
uint64_t *sessions_partners(struct gateway *gateway, uint32_t *count) MUST_CHECK;

/* Moves it on; only along the picture above. */
void session_set_state(struct session *session, enum session_state state);

/* A WebSocket that holds a session, or none, ended: forgets the session, and tells its home. */
void session_end(struct gateway *gateway, struct connection *connection);

#endif
