/*
 * Missed events on their way to a client; see replay.h.  router_records.c brings them, socket.c lets them go,
 * connection.c asks how much may wait for the client.  The surprising rule: the answer to CONNECT goes first,
 * not last as with the reference server.  A stock client keeps what comes before that answer across the loss
 * of its connection, but not its offset: it would get it all twice.
 */
#include "gateway/replay.h"

#include "common/memory.h"
#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "gateway/socket.h"

#include <stdlib.h>

enum { EVENT_OVERHEAD = 64 }; /* frames and separators around an event and its attachments' share */

struct replay {
    struct wire_list events; /* payload, attachments, payload, attachments, ... */
    size_t allowance;        /* more bytes than were sent of it; 0 before */
};

void replay_keep(struct socket *socket, const struct wire_emit *record)
{
    if (!socket->replay)
        socket->replay = memory_zero(1, sizeof *socket->replay);
    wire_list_put_text(&socket->replay->events, record->payload);
    wire_list_put_blob(&socket->replay->events, record->attachments);
}

void replay_send(struct gateway *gateway, struct socket *socket)
{
    struct replay *replay = socket->replay;
    struct wire_reader reader;
    struct bytes payload, attachments;
    int count;

    if (!replay)
        return;
    /* Base64, on polling, is what makes the most of it. */
    replay->allowance = 2 * replay->events.buffer.length +
                        replay->events.count * (EVENT_OVERHEAD + socket->namespace->name.length);
    count = wire_list_open(&reader, wire_list_finish(&replay->events));
    for (; count > 0; count -= 2)
        if (wire_list_text(&reader, &payload) == 0 && wire_list_text(&reader, &attachments) == 0)
            socket_emit(gateway, socket, payload, attachments);
    wire_list_done(&replay->events);
}

size_t replay_allowance(const struct connection *connection)
{
    size_t allowance = 0;

    for (const struct socket *socket = connection->sockets; socket; socket = socket->next)
        if (socket->replay)
            allowance += socket->replay->allowance;
    return allowance;
}

void replays_end(const struct gateway *gateway, struct connection *connection)
{
    if (connection->output.bytes > gateway->settings->outbound_queue)
        return;
    for (struct socket *socket = connection->sockets; socket; socket = socket->next)
        if (socket->connected)
            replay_free(socket);
}

void replay_free(struct socket *socket)
{
    if (!socket->replay)
        return;
    wire_list_done(&socket->replay->events);
    free(socket->replay);
    socket->replay = NULL;
}
