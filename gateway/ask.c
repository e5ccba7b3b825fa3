/*
 * Requests to the router; see ask.h.  packet.c and bare_packet.c call it for what clients say.  The
 * surprising rule: a connection is paused when it has asked for too much, but only behind the request that
 * was too much: nothing that came is ever thrown away.
 */
#include "gateway/ask.h"

#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "proto/socketio.h"

enum { PAGE_WEIGHT = 64 }; /* a page of history counts for so many other requests: its answer is large */

static void pause_if_greedy(struct gateway *gateway, struct socket *socket)
{
    if (link_congested(gateway->link) || socket->unanswered >= gateway->settings->max_unanswered)
        connection_pause(gateway, socket->connection);
}

#define DEFINE_PUT(name)                                                                                     \
    static void put_##name(struct wire_batch *batch, uint64_t number, const void *record)                    \
    {                                                                                                        \
        struct wire_##name copy = *(const struct wire_##name *)record;                                       \
                                                                                                             \
        copy.request = number;                                                                               \
        wire_put_##name(batch, &copy);                                                                       \
    }
#define DEFINE_ASK(name, KIND, weight)                                                                       \
    DEFINE_PUT(name)                                                                                         \
    int ask_##name(struct gateway *gateway, struct socket *socket, long long ack, struct wire_##name record) \
    {                                                                                                        \
        int result;                                                                                          \
                                                                                                             \
        record.socket = socket->number;                                                                      \
        result = link_request(gateway->link, REQUEST_##KIND, weight, socket, ack, put_##name, &record);      \
        pause_if_greedy(gateway, socket);                                                                    \
        return result;                                                                                       \
    }
DEFINE_ASK(join, JOIN, record.history ? PAGE_WEIGHT : 1)
DEFINE_ASK(leave, LEAVE, 1)
DEFINE_ASK(history, HISTORY, PAGE_WEIGHT)
DEFINE_ASK(presence, PRESENCE, 1)
DEFINE_ASK(event, EVENT, 1)
DEFINE_PUT(connect)

int ask_connect(struct gateway *gateway, struct socket *socket, struct wire_connect record)
{
    record.socket = socket->number;
    return link_request(gateway->link, REQUEST_CONNECT, 1, socket, SOCKETIO_NO_ACK, put_connect, &record);
}
