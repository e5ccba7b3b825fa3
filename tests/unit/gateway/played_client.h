/* Clients of the gateways that played.h starts: over a pair of sockets, whatever they speak. */
#ifndef HUBBUB_TESTS_GATEWAY_PLAYED_CLIENT_H
#define HUBBUB_TESTS_GATEWAY_PLAYED_CLIENT_H

#include "common/buffer.h"
#include "gateway/gateway.h"
#include "gateway/session.h"

#include <stdbool.h>

/* -- clients ------------------------------------------------------------------------------------ */

struct client {
    struct gateway *gateway;
    int fd; /* not blocking; -1: closed */
    uint64_t number;
    struct buffer in;
};

struct client client_open(struct gateway *gateway);
void client_close(struct client *client);

/* Its connection; NULL when it is gone. */
struct connection *client_connection(const struct client *client);

/* Sends bytes, without a turn. */
void client_write(struct client *client, struct bytes bytes);

/* Reads what has come, all of it, as text: valid until the next call. */
const char *client_read(struct client *client);

/* Whether the gateway has ended the connection. */
bool client_ended(struct client *client);

/* The status of the one answer that has come, and its body; 0 when nothing has.  body may be NULL. */
int client_answer(struct client *client, const char **body);

/* Requests about a session: a poll, and a post with that body.  Nothing is waited for. */
void client_poll(struct client *client, const char *sid);
void client_post(struct client *client, const char *sid, const char *body);

/* A WebSocket handshake, and a message on it. */
void client_upgrade(struct client *client, const char *sid);
void client_message(struct client *client, const char *text);

/* The same for a binary one. */
void client_binary_message(struct client *client, const char *text);

/* What has come as messages, joined by '|'; a Close frame is "close <code>", and its text behind a blank if
 * it has one; a ping is "ping".  Drops a 101 in front. */
const char *client_messages(struct client *client);

/* A polling session at a gateway, by its sid; and with a socket in "/" whose CONNECT the client has read. */
void open_session(struct gateway *gateway, char sid[SESSION_SID_LENGTH + 1]);
void open_socket_session(struct gateway *gateway, char sid[SESSION_SID_LENGTH + 1]);

/* Polls once through that gateway, on a connection of its own, and settles: the body, or NULL when it waits,
 * which ends the session then. */
const char *poll_once(struct gateway *gateway, const char *sid);

/* The same for a post: the status. */
int post_once(struct gateway *gateway, const char *sid, const char *body);

#endif
