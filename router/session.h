/*
 * Sessions: the Socket.IO sockets that gateways hold, the rooms of each, and those that may come back.
 *
 *            session_new()                    session_detach()
 *   (none) ----------------> LIVE (a socket) ----------------> AWAY (link NULL)
 *                              |     ^                           |     ^
 *                              |     +------ session_attach() ---+     | session_restore(): a row
 *                              +----> (none): session_remove() <-+     | of the journal, at the start
 *
 * A live session is found by its gateway's link and the gateway's number for it, or by its sid; an
 * away one by its sid only.  An away session keeps its rooms, but counts in none of them.
 *
 * Whoever waits for the journal meanwhile holds the session, and compares its attachment: each
 * session_attach() gives it a new one, and what was asked for under an earlier one is not answered any more.
 */
#ifndef HUBBUB_ROUTER_SESSION_H
#define HUBBUB_ROUTER_SESSION_H

#include "proto/grant.h"
#include "proto/refusal.h"
#include "router/room.h"

#include <assert.h>

enum {
    SID_LENGTH = 20,
    SESSION_SECRET_LENGTH = 22, /* characters of 6 random bits: 132 bits */
    PID_LENGTH = SID_LENGTH + SESSION_SECRET_LENGTH,
    SESSION_NAME_MAX = ROOM_NAME_MAX, /* bytes of `from` */
    SESSION_READS_MAX = 64,           /* pages that may be on their way from the journal */
};

struct quiet {
    uint64_t from, to;
};

/*
 * A socket's place in a room.  member: deliveries go to it, and it counts while its session is live.  wanted:
 * the last request was to join, so it may publish, though the journal may not have handed back that request
 * yet.  unconfirmed: the hello under way has not named it so far.
 *
 * Of the room's messages beyond quiet->from and up to quiet->to none was for this socket: it sent them
 * itself, to the others.  No offset tells its client that they were.  Few do that, so it is an allocation of
 * its own.
 */
struct membership {
    struct room *room;
    uint64_t joined_pos;
    struct quiet *quiet; /* owned; NULL: there are none */
    uint32_t pending;    /* joins and leaves on their way */
    bool member, wanted, watch, unconfirmed;
};

struct session {
    struct gateway_link *link; /* NULL: away */
    union {
        struct {
            uint64_t socket;              /* the gateway's number */
            struct refusal_budget errors; /* hubbub:error events */
        };
        struct { /* of an away one */
            struct session *earlier, *later;
        };
    };
    uint64_t away_since;         /* ms */
    uint64_t serial;             /* from 1; no two sessions of a router have the same; its row's id */
    struct namespace *namespace; /* held */
    struct grant *grant;         /* NULL: anonymous, and may do everything */
    struct backed *backed;       /* what it is to its backend; NULL: nothing */
    char *data;                  /* what its backend stored, JSON text; owned; NULL: nothing */
    union {                      /* see session_rooms() */
        struct membership one;
        struct membership *several; /* with a room_capacity beyond 1 */
    };
    uint64_t connected_pos; /* where it connected first */
    uint64_t self_pos;      /* of the last message to it alone from itself; may be LAST_POS_UNKNOWN */
    uint32_t generation;    /* counts the sockets that clients attached it to */
    uint32_t attachment;
    uint32_t references; /* see session_hold() */
    uint16_t room_count, room_capacity;
    uint8_t reads;
    bool connecting : 1;  /* its CONNECT is not answered yet */
    bool recovering : 1;  /* and may be by another session, which takes its socket */
    bool told : 1;        /* its client may know its pid */
    bool unsaved : 1;     /* its rows differ from what is here */
    bool listed : 1;      /* rows.c will write them */
    bool gone : 1;        /* removed; the memory stays for those who hold it */
    char pid[PID_LENGTH]; /* the sid and the secret; a secret of zeros: it has no rows and can't be recovered
                           */
};
static_assert(sizeof(struct session) <= 184, "every idle connection pays for this");

struct backed;

struct sessions {
    struct table by_sid;
    uint64_t last_serial;
    struct rooms *rooms;
    struct grant_table grants;
    struct session *first_away, *last_away; /* by away_since */
    uint32_t away;
};

/* What a link keeps of its sessions. */
struct session_set {
    struct table by_socket;
};

static inline struct bytes session_sid(const struct session *session)
{
    return bytes_make(session->pid, SID_LENGTH);
}

static inline struct bytes session_secret(const struct session *session)
{
    return bytes_make(session->pid + SID_LENGTH, SESSION_SECRET_LENGTH);
}

/* Its room_count memberships. */
static inline struct membership *session_rooms(const struct session *session)
{
    return session->room_capacity > 1 ? session->several : (struct membership *)&session->one;
}

/* What its backend stored; empty for nothing. */
static inline struct bytes session_data(const struct session *session)
{
    return session->data ? bytes_from_text(session->data) : (struct bytes){0};
}

static inline bool session_recoverable(const struct session *session)
{
    return session->pid[SID_LENGTH] != '\0';
}

void sessions_init(struct sessions *sessions, struct rooms *rooms);

/* Removes those that are away.  The sets must be empty, and nothing held. */
void sessions_done(struct sessions *sessions);

void session_set_init(struct session_set *set);
void session_set_done(struct session_set *set);

/* NULL when there is none. */
struct session *session_find(const struct session_set *set, uint64_t socket);
struct session *session_find_same(const struct session_set *set, uint64_t socket, uint64_t serial);
struct session *sessions_find_sid(const struct sessions *sessions, struct bytes sid);

/*
 * Takes in a socket.  from: empty for an anonymous one.  NULL when the number is in the set
 * already, or the sid anywhere.
 */
struct session *session_new(struct sessions *sessions, struct session_set *set, struct gateway_link *link,
                            uint64_t socket, struct namespace *namespace, struct bytes sid,
                            struct bytes from) MUST_CHECK;

/* Takes over the grant, of the same sub; NULL for none.  Whoever has the sub in its hands keeps it. */
void session_set_grant(struct session *session, struct grant *grant);

/* Makes up the secret of a new session, so that it can be recovered. */
void session_make_recoverable(struct session *session);

/* What a row of the journal says of a session; bytes as in struct session. */
struct session_row {
    uint64_t serial, connected_pos;
    uint32_t generation;
    struct bytes sid, secret, from;
};

/* An away session without rooms.  NULL when the sid is known already. */
struct session *session_restore(struct sessions *sessions, struct namespace *namespace,
                                const struct session_row *row, uint64_t now) MUST_CHECK;

/* There is a row of that id: no new session gets it as its serial. */
void sessions_note_serial(struct sessions *sessions, uint64_t serial);

/* Whether nothing of it is on its way: no connect, no join, no leave, no page of history. */
bool session_at_rest(const struct session *session);

/*
 * The socket is on another gateway from now on: under that number, which must be free in its set.  Sid,
 * serial and rooms stay as they are.  It must be at rest: what is on its way looks for it where it was.
 */
void session_move(struct sessions *sessions, struct session_set *from, struct session_set *to,
                  struct gateway_link *link, uint64_t socket, struct session *session);

/* Its socket is gone: it is away from now (ms) on, the last of them.  No page may be on its way. */
void session_detach(struct sessions *sessions, struct session_set *set, struct session *session,
                    uint64_t now);

/*
 * An away session gets a socket: under that number, which must be free in the set.  What was on its way is
 * forgotten, and rooms that it had asked for only with it; unsaved is set when there were such.
 */
void session_attach(struct sessions *sessions, struct session_set *set, struct gateway_link *link,
                    uint64_t socket, struct session *session);

/* Leaves all its rooms; freed with the last hold.  set: of its link, NULL for an away one. */
void session_remove(struct sessions *sessions, struct session_set *set, struct session *session);

/* While something waits for the journal the memory of its session stays, even if the session is gone. */
static inline struct session *session_hold(struct session *session)
{
    session->references++;
    return session;
}

void session_release(struct session *session);

/* Its data from now on; copied, empty for none. */
void session_store(struct session *session, struct bytes data);

/* The name that messages carry: "anon:<sid>" is written into space. */
struct bytes session_from(const struct session *session, char space[SID_LENGTH + 5]);

static inline bool session_may(const struct session *session, enum right right, struct bytes room)
{
    return grant_allows(session->grant, right, room);
}

/* NULL when it is not in the room and has not asked to be. Valid until memberships are added or removed. */
struct membership *session_membership(const struct session *session, struct bytes room);

/* Adds one that is neither member nor wanted yet; the caller makes it so. */
struct membership *session_add_membership(struct session *session, struct room *room);

/* It has sent the message of that position to the others in the room, whose last_pos is still that of the one
   before. */
void session_note_sent(struct membership *membership, uint64_t pos);

/* The socket is a member of the room from now on; nothing changes but watch when it was already. */
void session_enter(struct sessions *sessions, struct session *session, struct membership *membership,
                   uint64_t pos, bool watch);

/* The socket is a member no more.  The room may be gone afterwards, unless it is held. */
void session_exit(struct sessions *sessions, struct session *session, struct membership *membership);

/* Forgets a membership that is neither member nor pending; does nothing to others. */
void session_tidy(struct sessions *sessions, struct session *session, struct membership *membership);

#endif
