/*
 * The rooms of this gateway: which of its own connections are in which room.  What rooms send is in
 * fanout.h, what the router has for them in deliver.h.
 */
#ifndef HUBBUB_GATEWAY_ROOM_H
#define HUBBUB_GATEWAY_ROOM_H

#include "common/bytes.h"
#include "common/table.h"
#include "gateway/encoding.h"
#include "gateway/fanout.h"
#include "proto/rules.h"

#include <stdbool.h>
#include <stdint.h>

struct connection;
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

struct room {
    struct namespace_rooms *namespace;
    struct member *members;
    uint32_t count, capacity;
    struct stream websocket;
    struct stream *others; /* of the encodings behind WEBSOCKET; NULL while they have no members */
    uint32_t dirty_slot;   /* in the fan-out's list, or FANOUT_CLEAN */
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

/* The streams that the room has memory for: the one for WEBSOCKET, or all of them. */
static inline unsigned room_stream_count(const struct room *room)
{
    return room->others ? ENCODINGS : 1;
}

/* That of an encoding below room_stream_count(). */
static inline struct stream *room_stream(struct room *room, unsigned encoding)
{
    return encoding == ENCODING_WEBSOCKET ? &room->websocket : &room->others[encoding - 1];
}

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

#endif
