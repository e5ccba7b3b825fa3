/*
 * Requests to the router; see ask.h.  packet.c and bare_packet.c call it for what clients say.  The
 * surprising rule: a connection is paused when it has asked for too much, but only behind the request that
 * was too much: nothing that came is ever thrown away.
 */
#include "gateway/ask.h"

#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "gateway/outstanding.h"
#include "proto/socketio.h"

enum { PAGE_WEIGHT = 64 }; /* a page of history counts for so many other requests: its answer is large */

static void pause_if_greedy(struct gateway *gateway, struct socket *socket)
{
    if (link_congested(gateway->link) || socket->unanswered >= gateway->settings->max_unanswered)
        connection_pause(gateway, socket->connection);
}

#define DEFINE_REQUEST(name)                                                                                 \
    static void put_##name(struct wire_batch *batch, uint64_t number, const void *record)                    \
    {                                                                                                        \
        struct wire_##name copy = *(const struct wire_##name *)record;                                       \
                                                                                                             \
        copy.request = number;                                                                               \
        wire_put_##name(batch, &copy);                                                                       \
    }                                                                                                        \
                                                                                                             \
    static int request_##name(struct gateway *gateway, struct socket *socket, enum request_kind kind,        \
                              unsigned weight, long long ack, struct wire_##name record)                     \
    {                                                                                                        \
        int result;                                                                                          \
                                                                                                             \
        record.socket = socket->number;                                                                      \
        result = outstanding_ask(gateway, kind, weight, socket, ack, put_##name, &record);                   \
        pause_if_greedy(gateway, socket);                                                                    \
        return result;                                                                                       \
    }
DEFINE_REQUEST(connect)
DEFINE_REQUEST(join)
DEFINE_REQUEST(leave)
DEFINE_REQUEST(history)
DEFINE_REQUEST(presence)
DEFINE_REQUEST(event)
DEFINE_REQUEST(response)
DEFINE_REQUEST(token)

int ask_connect(struct gateway *gateway, struct socket *socket, struct wire_connect record)
{
    return request_connect(gateway, socket, REQUEST_CONNECT, 1, SOCKETIO_NO_ACK, record);
}

int ask_join(struct gateway *gateway, struct socket *socket, long long ack, struct wire_join record)
{
    return request_join(gateway, socket, REQUEST_JOIN, record.history ? PAGE_WEIGHT : 1, ack, record);
}

int ask_leave(struct gateway *gateway, struct socket *socket, long long ack, struct wire_leave record)
{
    return request_leave(gateway, socket, REQUEST_LEAVE, 1, ack, record);
}

int ask_history(struct gateway *gateway, struct socket *socket, long long ack, struct wire_history record)
{
    return request_history(gateway, socket, REQUEST_HISTORY, PAGE_WEIGHT, ack, record);
}

int ask_presence(struct gateway *gateway, struct socket *socket, long long ack, struct wire_presence record)
{
    return request_presence(gateway, socket, REQUEST_PRESENCE, 1, ack, record);
}

int ask_event(struct gateway *gateway, struct socket *socket, long long ack, const struct event_rule *rule,
              struct wire_event record)
{
    record.flags = ack == SOCKETIO_NO_ACK ? 0 : WIRE_EVENT_ACK;
    return request_event(gateway, socket, rule && !rule->ask ? REQUEST_EVENT : REQUEST_CALL, 1, ack, record);
}

int ask_token(struct gateway *gateway, struct socket *socket, long long ack, struct wire_token record)
{
    return request_token(gateway, socket, REQUEST_TOKEN, 1, ack, record);
}

int ask_response(struct gateway *gateway, struct socket *socket, struct wire_response record)
{
    return request_response(gateway, socket, REQUEST_RESPONSE, 1, SOCKETIO_NO_ACK, record);
}
