/*
 * Whom something is for: the sockets of a namespace, or those of some of its rooms, but for exceptions.
 *
 * A name stands for a room, or for the socket whose sid it is.  Who is in several of the rooms belongs to the
 * first of them: the part of room i leaves out who is in the rooms before it.
 */
#ifndef HUBBUB_ROUTER_AUDIENCE_H
#define HUBBUB_ROUTER_AUDIENCE_H

#include "proto/refusal.h"
#include "proto/wire.h"
#include "router/router.h"

enum {
    AUDIENCE_ROOMS_MAX = 256,
    AUDIENCE_EXCEPT_MAX = 256,
};

/* Names point into the lists that it was read from. */
struct audience {
    struct namespace *namespace; /* held */
    uint32_t room_count;         /* each once; 0: the whole namespace */
    uint32_t except_count;
    struct bytes except; /* the list; empty for none */
    struct bytes rooms[AUDIENCE_ROOMS_MAX];
};

/* Reads the lists.  0; or ERROR_MALFORMED with what to refuse it with, message NULL for the usual one: a
   namespace that is not served, bad names, too many. */
int audience_read(struct router *router, struct bytes namespace, struct bytes rooms, struct bytes except,
                  struct audience *out, enum refusal_code *code, const char **message) MUST_CHECK;

void audience_done(struct router *router, struct audience *audience);

/* The session whose sid that name is, live or away; NULL when it is a room. */
struct session *audience_session(const struct router *router, const struct audience *audience,
                                 struct bytes name);

/* What a part has for exceptions: those of all, and the rooms before it.  Valid until the list changes; empty
   for none. */
struct bytes audience_exceptions(const struct audience *audience, uint32_t part, struct wire_list *list);

/* Where a message for a part belongs, the room (not held; that of the name "" for a socket or the namespace),
   and whom it is for: sets deliver, except and sender_sid of fields. list: as above. */
struct room *audience_address(struct router *router, const struct audience *audience, uint32_t part,
                              struct wire_list *list, struct journal_message *fields);

static inline uint32_t audience_parts(const struct audience *audience)
{
    return audience->room_count ? audience->room_count : 1;
}

/* Which members a room has: those that are in it, or those that will be when what the journal has now is
   back. */
enum audience_time { AUDIENCE_NOW, AUDIENCE_WANTED };

/*
 * Calls back for each live socket, once.  Those that are still connecting are among them only where they are
 * named by their sid, or in a room; those of which it is not decided whether they may connect are not.  To
 * find the members of a room the sockets of gateways are looked at, of those that have some, or of all.
 */
void audience_visit(struct router *router, const struct audience *audience, enum audience_time time,
                    void (*visit)(struct router *router, struct session *session, void *argument),
                    void *argument);

#endif
