/*
 * The rooms of this gateway: which of its own connections are in which room, and the fan-out.
 *
 * What one turn brings for one room is encoded once for each encoding (gateway/encoding.h) that has members
 * in it: a stream, whose bytes of the turn are one chunk; at the end of the turn it is handed to every
 * member of that encoding.  Each member remembers how much of the chunk is not for it (what came before it
 * joined) or has been handed to it already (because something of its own, or of another room, had to follow).
 * So what reaches a socket is in the order in which it came, whatever the rooms: its last event is the offset
 * from which it recovers (docs/protocol.md, section 1), and nothing before it may come behind it.
 */
#ifndef HUBBUB_GATEWAY_ROOM_H
#define HUBBUB_GATEWAY_ROOM_H

#include "common/bytes.h"
#include "common/table.h"
#include "gateway/output.h"
#include "proto/rules.h"
#include "proto/wire.h"

#include <stdbool.h>
#include <stdint.h>

struct connection;
struct exceptions;
struct gateway;
struct socket;

/* A namespace as this gateway serves it. */
struct namespace_rooms {
    const struct namespace_config *config;
    struct bytes name;        /* the concrete one, owned */
    uint32_t references;      /* for namespace.h */
    struct table rooms;       /* of struct room */
    struct buffer event_head; /* "42" or "42/name,": what every event without attachments starts with */
};

struct member {
    struct connection *connection;
    uint32_t skip;         /* bytes of the stream's turn that are not for it */
    uint32_t watch : 1;    /* wants hubbub:presence */
    uint32_t encoding : 3; /* enum encoding, of its connection */
    uint32_t several : 1;  /* its socket is in other rooms, too */
    uint32_t socket : 27;  /* its index */
};

struct volatile_runs;

/* What the members of one encoding are sent. */
struct stream {
    struct chunk *turn;              /* this turn's bytes, or NULL */
    struct volatile_runs *volatiles; /* what of turn a slow reader need not get; NULL before the first */
    uint32_t members;
    uint32_t deliveries; /* of this turn, less what slow readers miss */
};

struct room {
    struct namespace_rooms *namespace;
    struct member *members;
    uint32_t count, capacity;
    struct stream websocket;
    struct stream *others; /* of the encodings behind WEBSOCKET; NULL while they have no members */
    uint32_t dirty_slot;   /* in the fan-out's list */
    uint32_t several;      /* members whose sockets are in other rooms, too */
    uint16_t name_length;
    char name[];
};

/* A socket's place in a room; the socket owns an array of them. */
struct membership {
    struct room *room;
    uint64_t joined_pos;
    uint32_t slot; /* in room->members */
    bool watch;
};

struct fanout {
    struct room **dirty; /* those with a chunk of this turn */
    uint32_t dirty_count, dirty_capacity;
    const struct room *latest; /* of those with members in several rooms: what got this turn's last event */
    struct chunk **spare;      /* empty chunks for the next turn */
    uint32_t spare_count;
    uint32_t room_count;
    uint32_t *excepted; /* slots of those whom the CAST at hand is not for */
    uint32_t excepted_capacity;
    struct buffer head; /* what an event with attachments or a question starts with */
};

void fanout_init(struct fanout *fanout);
void fanout_done(struct fanout *fanout);

void namespace_rooms_init(struct namespace_rooms *namespace, const struct namespace_config *config,
                          struct bytes name);
/* Its rooms must be empty. */
void namespace_rooms_done(struct namespace_rooms *namespace);

/* NULL when nobody here is in it. */
struct room *room_find(const struct namespace_rooms *namespace, struct bytes name);

/* Adds the socket (or changes an existing membership's watch; its joined_pos stays). */
void room_add(struct gateway *gateway, struct socket *socket, struct bytes name, uint64_t joined_pos,
              bool watch);

/* Removes a membership; what the room was sent before in this turn still reaches the connection while it is
   open.  The room goes with its last member. */
void room_remove(struct gateway *gateway, struct socket *socket, struct membership *membership);

/*
 * Puts another connection in the place of the socket's: from here on the room sends to that one, in its
 * encoding.  What the room was sent before in this turn is the old one's and handed to it; both count their
 * rooms right.  The caller sets socket->connection.
 */
void room_move_member(struct gateway *gateway, struct membership *membership, struct connection *to);

/* Takes in a DELIVER record for one room. */
void room_deliver(struct gateway *gateway, struct room *room, const struct wire_deliver *record);

/* A DELIVER for every socket of a namespace. */
void namespace_deliver(struct gateway *gateway, struct namespace_rooms *namespace,
                       const struct wire_deliver *record);

/* The same for CAST.  exceptions: those of the record.  One that asks for an acknowledgement counts for each
   receiver's socket->questions, but for bare clients, to whom it is an event like any other. */
void room_cast(struct gateway *gateway, struct room *room, const struct wire_cast *record,
               const struct exceptions *exceptions);
void namespace_cast(struct gateway *gateway, struct namespace_rooms *namespace,
                    const struct wire_cast *record, const struct exceptions *exceptions);

/* Hands a connection what its rooms were sent in this turn, so that something of its own may follow. */
void rooms_catch_up(struct gateway *gateway, struct connection *connection);

/* The end of a turn: hands out every room's chunks. */
void rooms_flush(struct gateway *gateway);

#endif
