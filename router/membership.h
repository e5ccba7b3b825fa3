/* Sockets come and go, join and leave: CONNECT, DISCONNECT, JOIN, LEAVE and PRESENCE. */
#ifndef HUBBUB_ROUTER_MEMBERSHIP_H
#define HUBBUB_ROUTER_MEMBERSHIP_H

#include "router/router.h"

/* 0; ERROR_PROTOCOL when the socket's number is in use. */
int membership_connect(struct router *router, struct gateway_link *link,
                       const struct wire_connect *record) MUST_CHECK;

/* The rest of a CONNECT, for a session that is new: a backend's word, if one is to be asked; then its rooms,
   its rows, and CONNECTED. */
void membership_begin(struct router *router, struct session *session, uint64_t request, struct bytes auth);

/* The same after the backend's word; and when it says no, or there is none: the session is gone then. */
void membership_accept(struct router *router, struct session *session, uint64_t request, struct bytes auth);
void membership_refuse(struct router *router, struct session *session, uint64_t request, struct bytes error);

/*
 * Whether a client may use the name of a room: a valid one within max_name, or that of its membership, which a
 * backend may have made. membership: NULL for none.
 */
static inline bool membership_may_name(const struct router *router, const struct membership *membership,
                                       struct bytes room)
{
    return room_name_valid(room) && (membership || room.length <= router->settings->max_name);
}

/* Whether it is still to be seen whose rooms its rooms will be, or whether it may connect: it joins and
   leaves none until then. */
bool membership_is_undecided(const struct session *session);

void membership_disconnect(struct router *router, struct gateway_link *link,
                           const struct wire_disconnect *record);
void membership_join(struct router *router, struct gateway_link *link, const struct wire_join *record);
void membership_leave(struct router *router, struct gateway_link *link, const struct wire_leave *record);
void membership_presence(struct router *router, struct gateway_link *link,
                         const struct wire_presence *record);

/*
 * A live socket joins or leaves by its backend's word: as by a request of its own, but nobody waits for an
 * answer.  Nothing for what it is, or is not, in already.  ERROR_TOO_LARGE when it is in as many rooms as it
 * may be.
 */
int membership_enter(struct router *router, struct session *session, struct bytes room) MUST_CHECK;
void membership_exit(struct router *router, struct session *session, struct bytes room);

/*
 * A session, live or away, leaves the room, as the room is being closed, or does nothing when it is not in it.
 * Where the broker has rooms its client is told, behind the last that it gets from there: hubbub:closed.
 */
void membership_close(struct router *router, struct session *session, struct room *room);

/* The journal gave back a ticket of the kind; it is freed, its holds are the caller's. */
void membership_release_connect(struct router *router, struct ticket *ticket);
void membership_release_join(struct router *router, struct ticket *ticket);
void membership_release_leave(struct router *router, struct ticket *ticket);
void membership_release_presence(struct router *router, struct ticket *ticket);

/* The journal did not give back a TICKET_CONNECT: the same without any effect. */
void membership_drop_connect(struct router *router, struct ticket *ticket);

/* What a join is answered with: history, if asked for, is a list of messages joined by commas, and
   attachments what the placeholders in it stand for. */
struct join_answer {
    uint64_t request, socket;
    struct room *room;
    bool watch;
    bool with_history, more;
    struct bytes history, attachments;
};

/* The end of a join: the socket counts, and JOINED is put.  membership is the session's for that room. */
void membership_finish_join(struct router *router, struct session *session, struct membership *membership,
                            const struct join_answer *answer);

/*
 * Tells a gateway of a socket that is its own from now on, and of a room that the socket is in: CONNECTED,
 * behind the position that the gateway then knows, and JOINED without a request, with the position beyond
 * which it gets what is delivered.  Its link must be live.
 */
void membership_put_connected(struct router *router, struct session *session, uint64_t request,
                              bool recovered);
void membership_put_joined(struct session *session, const struct membership *membership, uint64_t pos);

/* Appends {"ok":true,"room":R and what the arguments name; the caller closes the object. */
void membership_append_ok(struct buffer *out, const struct room *room);

#endif
