/*
 * A port for the operator's programs: /metrics for Prometheus, /healthz for whoever watches, and what else
 * its owner serves there.  The server is libevent's (evhttp): it is off the hot path.
 *
 * Neither /metrics nor /healthz wants a key: the port is for the inside network.
 */
#ifndef HUBBUB_COMMON_HTTP_PORT_H
#define HUBBUB_COMMON_HTTP_PORT_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evhttp_request;
struct exposition;
struct http_port;
struct loop;

struct http_port_options {
    const char *listen; /* "host:port" or "[address]:port", which http_port_check() takes */
    uint32_t max_connections;
    size_t max_body; /* bytes */
    /* Fills in the owner's metrics; those of the process are added. */
    void (*expose)(void *argument, struct exposition *exposition);
    /* Whether new clients should come; why: a word for whoever looks, when they should not. */
    bool (*healthy)(void *argument, const char **why);
    /* Any other path; it must answer, sooner or later.  NULL: there is none. */
    void (*request)(void *argument, struct evhttp_request *request, const char *path);
    void *argument;
};

/* Whether it is an address to listen on.  0, or ERROR_CONFIG after appending what was expected. */
int http_port_check(const char *listen, const char *key, struct buffer *error) MUST_CHECK;

/* ERROR_SYSTEM after logging what failed. */
int http_port_open(struct loop *loop, const struct http_port_options *options,
                   struct http_port **out) MUST_CHECK;

/* Whoever owns a request that is not answered yet answers it before.  NULL is fine. */
void http_port_close(struct http_port *port);

/* Answers a request.  The body is copied, and left out for HEAD. */
void http_port_answer(struct evhttp_request *request, int status, const char *content_type,
                      struct bytes body);

#endif
