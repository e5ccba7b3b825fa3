/*
 * What a client missed while it was away: the events that the router sends for a socket which is still
 * connecting (docs/protocol.md, section 1, "Recovery").
 *
 * They are kept until CONNECTED and follow the answer to CONNECT then, before anything else for the socket.
 * Until that answer nothing of them has left, so a link that is lost in between costs nothing: the router
 * gets the CONNECT again and sends them again.  How much it sends is bounded by the router's
 * recovery_max_messages and recovery_max_bytes.
 *
 * Answers to what a client has sent behind its CONNECT wait here, too, as nothing goes before that answer.
 * They are given only once, so they survive a link; their number is bounded by max_unanswered.
 */
#ifndef HUBBUB_GATEWAY_REPLAY_H
#define HUBBUB_GATEWAY_REPLAY_H

#include "proto/wire.h"

#include <stddef.h>

struct connection;
struct gateway;
struct socket;

/* Owned by its socket; NULL while there is none. */
struct replay;

/* Keeps a missed event for a socket that is connecting. */
void replay_keep(struct socket *socket, const struct wire_emit *record);

/* Keeps an acknowledgement for it, of one argument; or, with SOCKETIO_NO_ACK, an event that is not missed,
 * such as hubbub:error.  attachments as engine_send() takes them. */
void replay_keep_answer(struct socket *socket, long long ack, struct bytes text, struct bytes attachments);

/* Sends what was kept, when the answer to CONNECT is out.  What of it waits for the client is not held
 * against it as a slow reader. */
void replay_send(struct gateway *gateway, struct socket *socket);

/* How many bytes may wait for the connection beyond the limit of all, because its sockets were sent a
 * replay that has perhaps not been read yet. */
size_t replay_allowance(const struct connection *connection);

/* The client is alive: if no more waits for it than may for anyone, nothing is allowed beyond from here on.
 */
void replays_end(const struct gateway *gateway, struct connection *connection);

/* A new link begins, on which the events will come again. */
void replay_begin_again(struct socket *socket);

/* Forgets it: what was kept is never sent. */
void replay_free(struct socket *socket);

#endif
