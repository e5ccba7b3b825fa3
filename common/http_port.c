/*
 * The operator's port; see http_port.h.  Gateway and router open one each.  Its one surprising rule: evhttp
 * keeps a request whose client has gone until it is answered, so every request is, if only into the void.
 */
#include "common/http_port.h"

#include "common/exposition.h"
#include "common/http_port_connections.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/memory.h"
#include "common/process.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    HEAD_MAX = 8192,
    TIMEOUT_S = 30, /* for a client to send its request, or to read the answer */
    HOST_MAX = 255,
};

#define TEXT_PLAIN "text/plain; charset=utf-8"

/* Every method that HTTP knows, so that a wrong one is answered with what would be right. */
#define METHODS                                                                                              \
    (EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |               \
     EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_PATCH)

struct http_port {
    struct http_port_options options;
    struct evhttp *http;
    struct http_port_connections *connections;
};

int http_port_check(const char *listen, const char *key, struct buffer *error)
{
    const char *colon = strrchr(listen, ':');
    unsigned long long port = 0;

    if (colon && colon != listen && bytes_parse_u64(bytes_from_text(colon + 1), &port) == 0 && port >= 1 &&
        port <= 65535)
        return 0;
    buffer_printf(error, "key %s: '%.64s' is no address; expected HOST:PORT", key, listen);
    return ERROR_CONFIG;
}

/* Those that evhttp has no words for (RFC 9110); NULL for the others. */
static const char *reason_phrase(int status)
{
    switch (status) {
    case 422:
        return "Unprocessable Content";
    case 429:
        return "Too Many Requests";
    case 504:
        return "Gateway Timeout";
    case 507:
        return "Insufficient Storage";
    default:
        return NULL;
    }
}

void http_port_answer(struct evhttp_request *request, int status, const char *content_type, struct bytes body)
{
    struct evkeyvalq *fields = evhttp_request_get_output_headers(request);
    struct evbuffer *out = evhttp_request_get_output_buffer(request);

    if (fields) {
        evhttp_add_header(fields, "Content-Type", content_type);
        evhttp_add_header(fields, "Cache-Control", "no-store");
    }
    /* evhttp would send it behind the head, and the client take it for the next answer. */
    if (evhttp_request_get_command(request) != EVHTTP_REQ_HEAD)
        evbuffer_add(out, body.data, body.length);
    evhttp_send_reply(request, status, reason_phrase(status), NULL);
}

static void answer_metrics(const struct http_port *port, struct evhttp_request *request)
{
    struct exposition *exposition = exposition_new();
    struct buffer text = {0};

    port->options.expose(port->options.argument, exposition);
    process_expose(exposition);
    exposition_append(exposition, &text);
    http_port_answer(request, 200, EXPOSITION_CONTENT_TYPE, buffer_bytes(&text));
    buffer_done(&text);
    exposition_free(exposition);
}

static void answer_health(const struct http_port *port, struct evhttp_request *request)
{
    const char *why = "";
    struct buffer text = {0};
    bool healthy = port->options.healthy(port->options.argument, &why);

    buffer_printf(&text, "%s\n", healthy ? "ok" : why);
    http_port_answer(request, healthy ? 200 : 503, TEXT_PLAIN, buffer_bytes(&text));
    buffer_done(&text);
}

static void on_request(struct evhttp_request *request, void *argument)
{
    const struct http_port *port = argument;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    bool metrics = path && strcmp(path, "/metrics") == 0;
    bool health = path && strcmp(path, "/healthz") == 0;
    enum evhttp_cmd_type method = evhttp_request_get_command(request);

    http_port_connections_asked(port->connections, request);
    if ((metrics || health) && method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
        evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", "GET, HEAD");
        http_port_answer(request, 405, TEXT_PLAIN, BYTES("see the field Allow\n"));
    } else if (metrics)
        answer_metrics(port, request);
    else if (health)
        answer_health(port, request);
    else if (port->options.request)
        port->options.request(port->options.argument, request, path);
    else
        http_port_answer(request, 404, TEXT_PLAIN, BYTES("no such resource\n"));
}

/* Takes "host:port" and "[address]:port" apart, which http_port_check() has seen. */
static uint16_t split(const char *listen, char host[HOST_MAX + 1])
{
    const char *colon = strrchr(listen, ':');
    size_t length = (size_t)(colon - listen);

    if (length >= 2 && listen[0] == '[' && listen[length - 1] == ']') {
        listen++;
        length -= 2;
    }
    snprintf(host, HOST_MAX + 1, "%.*s", (int)length, listen);
    return (uint16_t)strtoul(colon + 1, NULL, 10);
}

/* For those that are accepted there as well: answers go out in several writes, and the last must not wait for
   the client's delayed acknowledgement of the others. */
static void send_at_once(struct evhttp_bound_socket *bound)
{
    int on = 1;

    if (setsockopt(evhttp_bound_socket_get_fd(bound), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        log_warn("no TCP_NODELAY on the admin port", "error=%s", strerror(errno));
}

int http_port_open(struct loop *loop, const struct http_port_options *options, struct http_port **out)
{
    struct http_port *port = memory_zero(1, sizeof *port);
    struct evhttp_bound_socket *bound;
    char host[HOST_MAX + 1];
    uint16_t number = split(options->listen, host);

    port->options = *options;
    port->http = evhttp_new(loop_base(loop));
    bound = port->http ? evhttp_bind_socket_with_handle(port->http, host, number) : NULL;
    if (!bound) {
        log_error("can't open the admin port", "listen=%s error=%s", options->listen, strerror(errno));
        http_port_close(port);
        return ERROR_SYSTEM;
    }
    send_at_once(bound);
    port->connections = http_port_connections_new(loop, port->http, evhttp_bound_socket_get_listener(bound),
                                                  options->max_connections);
    evhttp_set_allowed_methods(port->http, METHODS);
    evhttp_set_max_headers_size(port->http, HEAD_MAX);
    evhttp_set_max_body_size(port->http, (ssize_t)options->max_body);
    evhttp_set_timeout(port->http, TIMEOUT_S);
    evhttp_set_gencb(port->http, on_request, port);
    *out = port;
    return 0;
}

void http_port_close(struct http_port *port)
{
    if (!port)
        return;
    http_port_connections_free(port->connections);
    if (port->http)
        evhttp_free(port->http);
    free(port);
}
