/*
 * The count of connections to an HTTP port; see http_port_connections.h.  http_port.c makes it, and libevent tells
 * it of each.  Its one surprising rule: evhttp says when a connection comes, but not when one goes that has
 * asked for nothing.  So a reference to its buffers is held, and when nobody is called back for them any
 * more, evhttp has let go of them; it has ended our side by then, and we close the descriptor.
 */
#include "common/http_port_connections.h"

#include "common/log.h"
#include "common/loop.h"
#include "common/memory.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_MS = 1000,
    READ_AHEAD = 64 << 10, /* more than a head */
};

struct http_port_connections {
    struct evconnlistener *listener;
    struct loop_timer look;
    uint32_t limit, count;
    struct bufferevent *held[]; /* count of them */
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
        if (has_gone(connections->held[i]))
            bufferevent_decref(connections->held[i]);
        else
            connections->held[left++] = connections->held[i];
    }
    connections->count = left;
}

static void on_look(void *argument)
{
    struct http_port_connections *connections = argument;

    let_go(connections);
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
    connections->held[connections->count++] = buffers;
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
        memory_zero(1, sizeof *connections + limit * sizeof(struct bufferevent *));

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
        bufferevent_decref(connections->held[--connections->count]);
    free(connections);
}
