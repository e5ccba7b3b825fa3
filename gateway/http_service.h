/*
 * HTTP on a new connection: answers requests, and hands a WebSocket upgrade over to the engine.
 *
 * Routes: /healthz, the demo page, the stock client under /socket.io/, and /socket.io/ itself.
 */
#ifndef HUBBUB_GATEWAY_HTTP_SERVICE_H
#define HUBBUB_GATEWAY_HTTP_SERVICE_H

struct gateway;

/* Takes over an accepted descriptor. */
void http_accept(struct gateway *gateway, int fd);

/* Refuses an accepted descriptor with 503 and closes it. */
void http_refuse(struct gateway *gateway, int fd);

#endif
