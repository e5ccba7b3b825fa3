/*
 * Sessions: the Socket.IO sockets that gateways hold, and the rooms of each.
 *
 * A session is found by its gateway's link and the gateway's number for it, or by its sid.  It
 * goes with its socket, or with all of its gateway's; whoever waits for the journal meanwhile
 * keeps link, number and serial and looks again: the number may have come to stand for another,
 * or the session may have moved to another gateway.
 */
#ifndef HUBBUB_ROUTER_SESSION_H
#define HUBBUB_ROUTER_SESSION_H

#include "proto/refusal.h"
#include "router/room.h"

enum {
    SID_LENGTH = 20,
    SESSION_NAME_MAX = ROOM_NAME_MAX, /* bytes of `from` */
    SESSION_ROOMS_INLINE = 1,
    SESSION_READS_MAX = 64, /* pages that may be on their way from the journal */
};

/*
 * A socket's place in a room.  member: it counts, deliveries go to it.  wanted: the last request was to
 * join, so it may publish, though the journal may not have handed back that request yet.
 */
struct membership {
    struct room *room;
    uint64_t joined_pos;
    uint32_t pending; /* joins and leaves on their way */
    bool member, wanted, watch;
};

struct session {
    struct gateway_link *link;
    uint64_t socket;             /* the gateway's number */
    uint64_t serial;             /* from 1; no two sessions of a router have the same */
    struct namespace *namespace; /* held */
    char *from;                  /* NULL: anonymous */
    struct membership *rooms;
    struct membership own[SESSION_ROOMS_INLINE];
    struct refusal_budget errors; /* hubbub:error events */
    uint16_t room_count, room_capacity;
    uint8_t reads;
    char sid[SID_LENGTH];
};

struct sessions {
    struct table by_sid;
    uint64_t last_serial;
    struct rooms *rooms;
};

/* What a link keeps of its sessions. */
struct session_set {
    struct table by_socket;
};

static inline struct bytes session_sid(const struct session *session)
{
    return bytes_make(session->sid, SID_LENGTH);
}

void sessions_init(struct sessions *sessions, struct rooms *rooms);

/* The sets must be empty. */
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

/* Whether nothing of it is on its way: no join, no leave, no page of history. */
bool session_at_rest(const struct session *session);

/*
 * The socket is on another gateway from now on: under that number, which must be free in its set.  Sid,
 * serial and rooms stay as they are.  It must be at rest: what is on its way looks for it where it was.
 */
void session_move(struct sessions *sessions, struct session_set *from, struct session_set *to,
                  struct gateway_link *link, uint64_t socket, struct session *session);

/* Leaves all its rooms and frees it. */
void session_remove(struct sessions *sessions, struct session_set *set, struct session *session);

/* The name that messages carry: "anon:<sid>" is written into space. */
struct bytes session_from(const struct session *session, char space[SID_LENGTH + 5]);

/* NULL when it is not in the room and has not asked to be. Valid until memberships are added or removed. */
struct membership *session_membership(const struct session *session, struct bytes room);

/* Adds one that is neither member nor wanted yet; the caller makes it so. */
struct membership *session_add_membership(struct session *session, struct room *room);

/* The socket counts in the room from now on; nothing changes but watch when it did already. */
void session_enter(struct sessions *sessions, struct session *session, struct membership *membership,
                   uint64_t pos, bool watch);

/* The socket does not count any more.  The room may be gone afterwards, unless it is held. */
void session_exit(struct sessions *sessions, struct session *session, struct membership *membership);

/* Forgets a membership that is neither member nor pending; does nothing to others. */
void session_tidy(struct session *session, struct membership *membership);

#endif
