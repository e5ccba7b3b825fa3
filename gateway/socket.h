/*
 * A Socket.IO socket: one connection's presence in one namespace, and what its packets mean.
 *
 *   CONNECT packet -> connecting -> (the router's CONNECTED) -> connected -> closed
 *                               -> (the router's REFUSED)   -> closed
 *
 * Packets are judged here as far as the packet alone allows; everything else is the router's.
 */
#ifndef HUBBUB_GATEWAY_SOCKET_H
#define HUBBUB_GATEWAY_SOCKET_H

#include "common/bytes.h"
#include "gateway/close_reason.h"
#include "gateway/room.h"
#include "proto/refusal.h"
#include "proto/wire.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

enum { SID_LENGTH_MAX = 20 };

struct connection;
struct gateway;
struct replay;
struct request;
struct socket_token;

struct socket {
    struct socket *next; /* of the same connection */
    struct connection *connection;
    struct namespace_rooms *namespace;
    union { /* see socket_rooms() */
        struct membership one;
        struct membership *several; /* with a room_capacity beyond 1 */
    };
    struct replay *replay; /* what it missed while it was away; NULL for nothing */
    uint64_t number;       /* on the link, and in the gateway's table */
    uint16_t room_count, room_capacity;
    uint32_t unanswered;          /* the weights of its requests to the router */
    uint32_t calls;               /* those of them that wait for a backend */
    uint32_t questions;           /* acknowledgements that its client was asked for and has not given */
    struct refusal_budget errors; /* hubbub:error events */
    uint32_t session_generation;
    bool connected;
    uint8_t sid_length;
    char sid[SID_LENGTH_MAX];
    struct socket_token *token; /* NULL: there is none, and it is "anon:<sid>" */
    char *auth;                 /* the object that came with CONNECT, as its JSON text; NULL: none */
    uint64_t connected_pos;     /* the last position processed when it was connected */
};
static_assert(sizeof(struct socket) <= 136, "every idle connection pays for this");

/* Its room_count memberships. */
static inline struct membership *socket_rooms(const struct socket *socket)
{
    return socket->room_capacity > 1 ? socket->several : (struct membership *)&socket->one;
}

/* How a protocol other than Socket.IO tells its client what happens to a socket. */
struct socket_speech {
    void (*connected)(struct gateway *gateway, struct socket *socket);
    /* The router does not let it in; error is the object of CONNECT_ERROR.  Ends the connection. */
    void (*refused)(struct gateway *gateway, struct socket *socket, struct bytes error);
    /* As socket_acknowledge(), also before it is connected; ack is never SOCKETIO_NO_ACK.  May end the
     * connection, and the socket with it. */
    void (*acknowledge)(struct gateway *gateway, struct socket *socket, long long ack, struct bytes answer,
                        struct bytes attachments);
    /* As socket_emit(), also before it is connected. */
    void (*emit)(struct gateway *gateway, struct socket *socket, struct bytes payload, uint64_t flags,
                 struct bytes attachments);
    /* The router has thrown it out.  Ends the connection. */
    void (*disconnected)(struct gateway *gateway, struct socket *socket);
};

/* By number: NULL when it is gone.  By slot, the low half of a number: it must be there. */
struct socket *sockets_find(struct gateway *gateway, uint64_t number);
struct socket *sockets_at(struct gateway *gateway, uint32_t slot);

/* Walks all: *cursor starts at 0, ends with NULL. Sockets may come and go meanwhile. */
struct socket *sockets_next(struct gateway *gateway, uint32_t *cursor);

/* Memberships.  Adding and dropping move the others. */
struct membership *socket_membership(struct socket *socket, struct bytes room);
struct membership *socket_membership_in(struct socket *socket, const struct room *room);
struct membership *socket_membership_add(struct socket *socket);
void socket_membership_drop(struct socket *socket, struct membership *membership);

/* A new one, connecting.  auth: what is kept of its CONNECT packet, without NUL; may be empty. */
struct socket *socket_new(struct gateway *gateway, struct connection *connection,
                          struct namespace_rooms *namespace, struct bytes auth);

/* Forgets one socket and tells the router; the connection lives. */
void socket_close(struct gateway *gateway, struct socket *socket, enum close_reason reason);

/* A new link begins: what the former one began for sockets that are still connecting will be said again. */
void sockets_begin_again(struct gateway *gateway);

/* The connection ends: its sockets go, and the router is told. */
void sockets_close(struct gateway *gateway, struct connection *connection, enum close_reason reason);

/* Forgets one that is another gateway's now: the router knows, and its client has not left. */
void socket_give_away(struct gateway *gateway, struct socket *socket);

/* The sockets of one connection go on on another, their rooms with them. */
void sockets_move(struct gateway *gateway, struct connection *from, struct connection *to);

/* A request has its answer: forgets it, and counts it for its socket if that is still there. */
void socket_finish_request(struct gateway *gateway, struct request *request);

/* What the router says about a socket. */
void socket_on_connected(struct gateway *gateway, struct socket *socket, const struct wire_connected *record);
void socket_on_refused(struct gateway *gateway, struct socket *socket, struct bytes error);

/* What follows is kept while the socket is connecting, and sent behind the answer to its CONNECT. */

/* Sends an acknowledgement with one argument, and what its placeholders stand for (as engine_send() takes
   it), or nothing when none was asked for. */
void socket_acknowledge(struct gateway *gateway, struct socket *socket, long long ack, struct bytes answer,
                        struct bytes attachments);

/* Refuses: in the acknowledgement, or as hubbub:error about that event.  message NULL: the code's own. */
void socket_refuse(struct gateway *gateway, struct socket *socket, long long ack, struct bytes event,
                   enum refusal_code code, const char *message);

/* An event for this socket alone; payload is its JSON array, flags those of wire_emit that tell what is in it
   (META, OFFSET), attachments as for engine_send(). */
void socket_emit(struct gateway *gateway, struct socket *socket, struct bytes payload, uint64_t flags,
                 struct bytes attachments);

/* The same with a question: the client is asked for an acknowledgement under that id, and whatever it answers
   first counts as one.  Nothing when the socket is not connected.  Where no protocol for answers is spoken it
   is an event like any other. */
void socket_ask(struct gateway *gateway, struct socket *socket, uint64_t ack, struct bytes payload,
                struct bytes attachments);

/* At the router's word: sends DISCONNECT and forgets the socket; the connection lives. */
void socket_disconnect(struct gateway *gateway, struct socket *socket);

/* The same for all that are connected on the socket's connection, which closes behind that.  The router hears
 * of the others. */
void socket_disconnect_all(struct gateway *gateway, struct socket *socket);

#endif
