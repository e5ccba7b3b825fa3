/* The ZeroMQ socket of a link to the router, for gateways and for backends; see dealer.h. */
#include "common/dealer.h"

#include "common/random.h"

#include <errno.h>
#include <zmq.h>

enum {
    ROUTING_ID_LENGTH = 16,
    RECONNECT_MS = 50,
    RECONNECT_MAX_MS = 500,
    CONNECT_TIMEOUT_MS = 2000,
};

static int set_number(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

/* 0, or -1 as ZeroMQ's own. */
static int encrypt(void *socket, const struct key *secret_key, const struct key *router_key)
{
    struct key public_key = {0};

    if (!secret_key->text[0])
        return 0;
    if (zmq_curve_public(public_key.text, secret_key->text) < 0 ||
        zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, router_key->text, KEY_LENGTH + 1) < 0 ||
        zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, public_key.text, KEY_LENGTH + 1) < 0)
        return -1;
    return zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret_key->text, KEY_LENGTH + 1);
}

void *dealer_open(void *context, const char *endpoint, const struct key *secret_key,
                  const struct key *router_key, int *fd)
{
    void *socket = zmq_socket(context, ZMQ_DEALER);
    char id[ROUTING_ID_LENGTH];
    size_t fd_size = sizeof *fd;

    if (!socket)
        return NULL;
    random_id(id, sizeof id); /* never starts with a zero byte, as ZeroMQ's own ids do */
    if (zmq_setsockopt(socket, ZMQ_ROUTING_ID, id, sizeof id) < 0 ||
        set_number(socket, ZMQ_IMMEDIATE, 1) < 0 || set_number(socket, ZMQ_LINGER, 0) < 0 ||
        set_number(socket, ZMQ_SNDHWM, 0) < 0 || set_number(socket, ZMQ_RCVHWM, 0) < 0 ||
        set_number(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS) < 0 ||
        set_number(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS) < 0 ||
        set_number(socket, ZMQ_CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS) < 0 ||
        encrypt(socket, secret_key, router_key) < 0 || zmq_getsockopt(socket, ZMQ_FD, fd, &fd_size) < 0 ||
        zmq_connect(socket, endpoint) < 0) {
        int reason = zmq_errno();

        zmq_close(socket);
        errno = reason;
        return NULL;
    }
    return socket;
}

int dealer_events(void *socket)
{
    int events = 0;
    size_t size = sizeof events;

    if (zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) < 0)
        return 0;
    return events;
}
