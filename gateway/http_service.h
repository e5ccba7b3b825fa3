/*
 * HTTP on a connection: requests, their bodies, and who answers them.
 *
 * One request at a time: one that is not answered yet is the connection's exchange, and what the client sends
 * behind it waits.
 */
#ifndef HUBBUB_GATEWAY_HTTP_SERVICE_H
#define HUBBUB_GATEWAY_HTTP_SERVICE_H

#include <stdbool.h>

struct connection;
struct gateway;

/* HTTP is spoken on the connection from here on. */
void http_begin(struct gateway *gateway, struct connection *connection);

/* Whether it is; then the connection may have an exchange. */
bool http_is_spoken(const struct connection *connection);

/* Says on a connection that has not begun that there is no room for it (503), or not for one more from there
 * (429): at once, and not again; over TLS by an alert, since there is no agreement to say more.  http_refuse() also closes the descriptor. */
void http_say_refused(struct gateway *gateway, int fd, int status);
void http_refuse(struct gateway *gateway, int fd, int status);

/* The connection's exchange is over: it waits for the next request, or reads the one that it holds. */
void http_exchange_done(struct gateway *gateway, struct connection *connection);

#endif
