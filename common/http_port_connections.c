/*
 * The count of connections to an HTTP port; see http_port_connections.h.  http_port.c makes it, and libevent tells
 * it of each.  Its one surprising rule: evhttp says when a connection comes, but not when one goes that has
 * asked for nothing.  So a reference to its buffers is held, and when nobody is called back for them any
 * more, evhttp has let go of them; it has ended our side by then, and we close the descriptor.  Whom we send
 * away loses its socket only: evhttp finds it gone, and does the rest.
 */
#include "common/http_port_connections.h"

#include "common/log.h"
#include "common/loop.h"
#include "common/memory.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    LOOK_MS = 1000,
    PATIENCE_MS = 2000,    /* with one that keeps us waiting while others want its place */
    READ_AHEAD = 64 << 10, /* more than a head */
};

struct place {
    struct bufferevent *buffers; /* referenced */
    uint64_t since;              /* it has its turn: to ask, or to read the answer; ms */
    bool asked;                  /* the answer has not been sent as a whole */
    bool answered;               /* but written, when that was last looked at */
};

struct http_port_connections {
    struct loop *loop;
    struct evconnlistener *listener;
    struct loop_timer look;
    uint32_t limit, count;
    struct place places[]; /* count of them */
};

static bool has_gone(struct bufferevent *buffers)
{
    bufferevent_data_cb read, write;
    bufferevent_event_cb event;
    void *argument;

    bufferevent_getcb(buffers, &read, &write, &event, &argument);
    return !read && !write && !event && !argument;
}

static void let_go(struct http_port_connections *connections)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < connections->count; i++) {
        if (has_gone(connections->places[i].buffers))
            bufferevent_decref(connections->places[i].buffers);
        else
            connections->places[left++] = connections->places[i];
    }
    connections->count = left;
}

static struct place *find(struct http_port_connections *connections, struct evhttp_request *request)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    struct bufferevent *buffers = connection ? evhttp_connection_get_bufferevent(connection) : NULL;

    for (uint32_t i = 0; i < connections->count; i++)
        if (connections->places[i].buffers == buffers)
            return &connections->places[i];
    return NULL;
}

static void on_sent(struct evhttp_request *request, void *argument)
{
    struct http_port_connections *connections = argument;
    struct place *place = find(connections, request);

    if (!place)
        return;
    place->asked = place->answered = false;
    place->since = loop_now(connections->loop);
}

void http_port_connections_asked(struct http_port_connections *connections, struct evhttp_request *request)
{
    struct place *place = find(connections, request);

    if (!place)
        return;
    place->asked = true;
    place->answered = false;
    evhttp_request_set_on_complete_cb(request, on_sent, connections);
}

/* Not who waits for us. */
static void send_away_slow(struct http_port_connections *connections)
{
    uint64_t now = loop_now(connections->loop);

    for (uint32_t i = 0; i < connections->count; i++) {
        struct place *place = &connections->places[i];

        if (place->asked && !place->answered) {
            place->answered = evbuffer_get_length(bufferevent_get_output(place->buffers)) > 0;
            place->since = now;
        } else if (now - place->since >= PATIENCE_MS)
            shutdown(bufferevent_getfd(place->buffers), SHUT_RDWR);
    }
}

static void on_look(void *argument)
{
    struct http_port_connections *connections = argument;

    let_go(connections);
    if (connections->count == connections->limit)
        send_away_slow(connections);
    if (connections->count < connections->limit)
        evconnlistener_enable(connections->listener);
}

/* The buffers of a connection that has been accepted; evhttp gives them their descriptor and callbacks. */
static struct bufferevent *on_connection(struct event_base *base, void *argument)
{
    struct http_port_connections *connections = argument;
    struct bufferevent *buffers;

    if (connections->count + 1 >= connections->limit)
        let_go(connections);
    if (connections->count + 1 >= connections->limit)
        evconnlistener_disable(connections->listener);
    if (connections->count == connections->limit)
        return NULL; /* the last one that an accept of several brought: evhttp makes its own */
    /* Whoever holds it last closes it: a descriptor whose number others get while the loop still has it for
       this connection would never wake them. */
    buffers = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (!buffers)
        return NULL;
    bufferevent_setwatermark(buffers, EV_READ, 0, READ_AHEAD); /* also when evhttp has let go of it */
    bufferevent_incref(buffers);
    connections->places[connections->count++] =
        (struct place){.buffers = buffers, .since = loop_now(connections->loop)};
    return buffers;
}

/* Out of descriptors, as a rule: to go on at once would be to try for ever. */
static void on_failure(struct evconnlistener *listener, void *argument)
{
    (void)argument;
    log_warn("accepting failed on an HTTP port", "error=%s", strerror(errno));
    evconnlistener_disable(listener);
}

struct http_port_connections *http_port_connections_new(struct loop *loop, struct evhttp *http,
                                                        struct evconnlistener *listener, uint32_t limit)
{
    struct http_port_connections *connections =
        memory_zero(1, sizeof *connections + limit * sizeof(struct place));

    connections->loop = loop;
    connections->listener = listener;
    connections->limit = limit;
    loop_timer_init(&connections->look, loop, on_look, connections);
    loop_timer_repeat(&connections->look, LOOK_MS);
    evhttp_set_bevcb(http, on_connection, connections);
    evconnlistener_set_error_cb(listener, on_failure);
    return connections;
}

void http_port_connections_free(struct http_port_connections *connections)
{
    if (!connections)
        return;
    loop_timer_stop(&connections->look);
    evconnlistener_disable(connections->listener);
    while (connections->count)
        bufferevent_decref(connections->places[--connections->count].buffers);
    free(connections);
}
