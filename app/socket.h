/*
 * The sockets that this backend has: by their ids, with rooms, data and handshake as the router told.
 *
 *   CONNECTING ----> CONNECTED ----> PARTING ----> GONE
 *       |     (accepted)   |  (hubbub_disconnect)   ^     DISCONNECTION, TAKEN_AWAY, rejected:
 *       +------------------+------------------------+     freed at the end of the turn
 */
#ifndef HUBBUB_APP_SOCKET_H
#define HUBBUB_APP_SOCKET_H

#include "app/hubbub.h"
#include "common/buffer.h"
#include "common/table.h"
#include "proto/wire.h"

struct task;

enum socket_state { SOCKET_CONNECTING, SOCKET_CONNECTED, SOCKET_PARTING, SOCKET_GONE };

struct hubbub_socket {
    struct hubbub_app *app;
    struct hubbub_namespace *served_by;
    char *name_space, *from, *data, *handshake; /* texts, owned */
    struct bytes sid;                           /* of rooms[0] */
    char **rooms;                               /* owned, the first is its id */
    size_t room_count, room_capacity;
    enum socket_state state;
    enum hubbub_arrival arrival;
    uint64_t task;                   /* the handle of the task that asks to let it in; 0 */
    struct task *tasks;              /* all that there is to be done for it, the newest; task.c */
    uint64_t serial;                 /* of the link on which the router last said that it is ours */
    struct hubbub_handshake *parsed; /* NULL until somebody asks */
    void *user;
    struct hubbub_socket *next_gone;
};

struct sockets {
    struct table by_sid;
    struct hubbub_socket *gone;
};

void sockets_init(struct sockets *sockets);
void sockets_done(struct sockets *sockets);

struct hubbub_socket *sockets_find(const struct sockets *sockets, struct bytes sid);

/* Makes one of what the router told; in CONNECTING. */
struct hubbub_socket *sockets_add(struct hubbub_app *app, struct hubbub_namespace *served_by,
                                  const struct wire_connection *record);

/* Takes it out; its memory goes at the end of the turn. */
void sockets_remove(struct hubbub_app *app, struct hubbub_socket *socket);

/* The end of a turn. */
void sockets_sweep(struct sockets *sockets);

/* Whether it is let in, stays, and is surely ours. */
bool socket_usable(const struct hubbub_socket *socket);

/* 0, and what has changed; a list that can't be read changes nothing. */
bool socket_add_room(struct hubbub_socket *socket, struct bytes room);
bool socket_remove_room(struct hubbub_socket *socket, struct bytes room);
void socket_set_data(struct hubbub_socket *socket, struct bytes data);

#endif
