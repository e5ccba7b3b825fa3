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
#include "proto/socketio.h"

#include <stdlib.h>

enum { EVENT_OVERHEAD = 64 }; /* frames and separators around an event and its attachments' share */

struct replay {
    struct wire_list events;  /* payload, attachments, payload, attachments, ... */
    struct wire_list answers; /* id or SOCKETIO_NO_ACK, argument or payload, attachments, ... */
    size_t allowance;         /* more bytes than were sent of events; 0 before */
};

static struct replay *get(struct socket *socket)
{
    if (!socket->replay)
        socket->replay = memory_zero(1, sizeof *socket->replay);
    return socket->replay;
}

void replay_keep(struct socket *socket, const struct wire_emit *record)
{
    struct wire_list *events = &get(socket)->events;

    wire_list_put_text(events, record->payload);
    wire_list_put_blob(events, record->attachments);
}

void replay_keep_answer(struct socket *socket, long long ack, struct bytes text, struct bytes attachments)
{
    struct wire_list *answers = &get(socket)->answers;

    wire_list_put_u64(answers, (uint64_t)ack);
    wire_list_put_text(answers, text);
    wire_list_put_blob(answers, attachments);
}

static void send_events(struct gateway *gateway, struct socket *socket)
{
    struct wire_list *events = &socket->replay->events;
    struct wire_reader reader;
    struct bytes payload, attachments;

    for (int count = wire_list_open(&reader, wire_list_finish(events)); count > 0; count -= 2)
        if (wire_list_text(&reader, &payload) == 0 && wire_list_text(&reader, &attachments) == 0)
            socket_emit(gateway, socket, payload, 0, attachments);
    wire_list_done(events);
}

static void send_answers(struct gateway *gateway, struct socket *socket)
{
    struct wire_list *answers = &socket->replay->answers;
    struct wire_reader reader;
    struct bytes text, attachments;
    uint64_t ack;

    for (int count = wire_list_open(&reader, wire_list_finish(answers)); count > 0; count -= 3) {
        if (wire_list_u64(&reader, &ack) < 0 || wire_list_text(&reader, &text) < 0 ||
            wire_list_text(&reader, &attachments) < 0)
            break;
        if ((long long)ack == SOCKETIO_NO_ACK)
            socket_emit(gateway, socket, text, 0, attachments);
        else
            socket_acknowledge(gateway, socket, (long long)ack, text, attachments);
    }
    wire_list_done(answers);
}

/* How many times longer than its text an event may become.  Base64, on polling, is what makes the most of it;
 * with the msgpack parser numbers take up to three times their text before that. */
static size_t growth(const struct connection *connection)
{
    return encoding_is_msgpack(connection->encoding) ? 4 : 2;
}

void replay_send(struct gateway *gateway, struct socket *socket)
{
    struct replay *replay = socket->replay;

    if (!replay)
        return;
    replay->allowance = growth(socket->connection) * replay->events.buffer.length +
                        replay->events.count * (EVENT_OVERHEAD + socket->namespace->name.length);
    send_events(gateway, socket);
    send_answers(gateway, socket);
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

void replay_begin_again(struct socket *socket)
{
    if (socket->replay)
        wire_list_done(&socket->replay->events);
}

void replay_free(struct socket *socket)
{
    if (!socket->replay)
        return;
    wire_list_done(&socket->replay->answers);
    wire_list_done(&socket->replay->events);
    free(socket->replay);
    socket->replay = NULL;
}
