/*
 * How many connections the admin port may have, so that whoever reaches it can't use up the descriptors that
 * clients need.  Beyond the limit nothing is accepted until one of them ends: others wait in the backlog.  While
 * it is reached, whoever takes longer than 2 s to ask, or to read an answer, is sent away; who waits for an
 * answer stays.
 */
#ifndef HUBBUB_COMMON_HTTP_PORT_CONNECTIONS_H
#define HUBBUB_COMMON_HTTP_PORT_CONNECTIONS_H

#include <stdint.h>

struct http_port_connections;
struct evconnlistener;
struct evhttp;
struct evhttp_request;
struct loop;

/* Counts the connections that the server gets through that listener, and accepts more, within a second, when
 * one has ended.  To be freed before any of the three. */
struct http_port_connections *http_port_connections_new(struct loop *loop, struct evhttp *http,
                                                        struct evconnlistener *listener, uint32_t limit);

/* A request has come as a whole, and is not answered yet. */
void http_port_connections_asked(struct http_port_connections *connections, struct evhttp_request *request);

/* Nothing is accepted any more.  Takes NULL. */
void http_port_connections_free(struct http_port_connections *connections);

#endif
