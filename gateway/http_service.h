/*
 * HTTP on a connection: requests, their bodies, and who answers them.
 *
 * One request at a time: one that is not answered yet is the connection's exchange, and what the client sends
 * behind it waits.
 */
#ifndef HUBBUB_GATEWAY_HTTP_SERVICE_H
#define HUBBUB_GATEWAY_HTTP_SERVICE_H

struct client_network;
struct connection;
struct gateway;

/* Takes over an accepted descriptor, and the address that it was admitted for; NULL: none. */
void http_accept(struct gateway *gateway, int fd, struct client_network *address);

/* Answers an accepted descriptor with 503 or 429 and closes it: there is no room for another connection, or
 * not for one from there. */
void http_refuse(struct gateway *gateway, int fd, int status);

/* The connection's exchange is over: it waits for the next request, or reads the one that it holds. */
void http_exchange_done(struct gateway *gateway, struct connection *connection);

#endif
