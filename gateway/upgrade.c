/*
 * Giving a polling session away; see upgrade.h.  relay.c and arrival.c call in.  The surprising rule: a
 * session moves only while no request of it waits at the router, so no answer can come to a gateway that it
 * has left; a client that has gone over sends nothing before it hears of it, so this takes as long as one
 * request at most.
 */
#include "gateway/upgrade.h"

#include "common/memory.h"
#include "gateway/arrival.h"
#include "gateway/attachments.h"
#include "gateway/connection.h"
#include "gateway/engine.h"
#include "gateway/gateway.h"
#include "gateway/polling.h"
#include "gateway/socket.h"
#include "proto/engineio_payload.h"

#include <stdlib.h>

/* The session if that WebSocket is the one that it awaits. */
static struct session *find_for(struct gateway *gateway, struct bytes sid, struct caller caller)
{
    struct session *session = session_find(gateway, sid);

    return session && session->arrival.number && caller_equal(session->arrival, caller) ? session : NULL;
}

static void watch(struct session_table *table, struct session *session)
{
    if (table->moving_count == table->moving_capacity) {
        table->moving_capacity = table->moving_capacity ? table->moving_capacity * 2 : 8;
        table->moving = memory_resize(table->moving, table->moving_capacity * sizeof *table->moving);
    }
    table->moving[table->moving_count++] = session;
}

static bool waits_for_backend(const struct connection *connection)
{
    for (const struct socket *socket = connection->sockets; socket; socket = socket->next)
        if (socket->calls)
            return true;
    return false;
}

void upgrade_probe(struct gateway *gateway, struct bytes sid, struct caller caller)
{
    struct session *session = session_find(gateway, sid);

    if (!session || (session->connection && session->connection->state != CONNECTION_OPEN)) {
        caller_answer(gateway, caller, RELAY_ERROR, sid, BYTES("1"));
        return;
    }
    if (session->state != SESSION_POLLING ||
        (session->arrival.number && !caller_equal(session->arrival, caller))) {
        caller_answer(gateway, caller, RELAY_REFUSED, sid, (struct bytes){0});
        return;
    }
    /* While a backend has an event of the session it can't move, for however long: the client stays on
       polling, and its WebSocket may fail. */
    if (!session->arrival.number && caller.gateway != gateway->incarnation &&
        waits_for_backend(session->connection)) {
        session->held = true;
        watch(&gateway->sessions, session);
    }
    session->arrival = caller;
    if (!session->held)
        caller_answer(gateway, caller, RELAY_WELCOME, sid, (struct bytes){0});
}

void upgrade_probed(struct gateway *gateway, struct bytes sid, struct caller caller)
{
    struct session *session = find_for(gateway, sid, caller);

    if (!session || session->state != SESSION_POLLING)
        return;
    session->probed = true;
    if (!session->connection->output.first)
        polling_end_poll(gateway, session, false);
}

static bool is_quiet(const struct connection *connection)
{
    for (const struct socket *socket = connection->sockets; socket; socket = socket->next)
        if (socket->unanswered || socket->calls)
            return false;
    return true;
}

void upgrade_switch(struct gateway *gateway, struct bytes sid, struct caller caller)
{
    struct session *session = find_for(gateway, sid, caller);

    if (session && session->state == SESSION_MOVED) { /* asked again: it was lost on its way there */
        session_free(gateway, session);
        session = NULL;
    }
    if (!session || session->state > SESSION_MOVING) {
        caller_answer(gateway, caller, RELAY_DROP, sid, (struct bytes){0});
        return;
    }
    if (session->state == SESSION_POLLING) {
        session_set_state(session, SESSION_MOVING);
        polling_end_poll(gateway, session, true);
        polling_finish_input(gateway, session->connection);
    } else if (!session->offered)
        return; /* asked again, and it waits */
    if (session_find(gateway, sid) != session || session->connection->state != CONNECTION_OPEN)
        return; /* what the last post brought has closed it, and the arrival was told */
    session->offered = false;
    watch(&gateway->sessions, session);
}

/* [flags, ms until a namespace must be joined, handshake, a packet without all its attachments,
    socket, namespace, auth, socket, namespace, auth, ...] */
static void offer(struct gateway *gateway, struct session *session)
{
    const struct connection *connection = session->connection;
    uint64_t now = loop_now(gateway->loop), due = connection->connect_due;
    struct wire_list list = {0};
    struct buffer pending = {0};

    if (connection->pending)
        pending_packet_write(connection->pending, &pending);
    wire_list_put_u64(&list, (connection->bare ? OFFER_BARE : 0) |
                                 (encoding_is_msgpack(connection->encoding) ? OFFER_MSGPACK : 0));
    wire_list_put_u64(&list, due == 0 ? 0 : due > now ? due - now : 1);
    wire_list_put_text(&list, handshake_bytes(connection->handshake));
    wire_list_put_text(&list, buffer_bytes(&pending));
    for (const struct socket *socket = connection->sockets; socket; socket = socket->next) {
        wire_list_put_u64(&list, socket->number);
        wire_list_put_text(&list, socket->namespace->name);
        wire_list_put_text(&list, bytes_from_text(socket->auth));
    }
    session->offered = true;
    caller_answer(gateway, session->arrival, RELAY_OFFER, session_sid(session), wire_list_finish(&list));
    wire_list_done(&list);
    buffer_done(&pending);
}

/* What the client was asked for and has not answered, if there is such a thing. */
static void hand_over_questions(struct gateway *gateway, const struct session *session)
{
    struct wire_list owed = {0};

    for (const struct socket *socket = session->connection->sockets; socket; socket = socket->next)
        if (socket->questions) {
            wire_list_put_text(&owed, socket->namespace->name);
            wire_list_put_u64(&owed, socket->questions);
        }
    if (owed.count)
        caller_answer(gateway, session->arrival, RELAY_OWED, session_sid(session), wire_list_finish(&owed));
    wire_list_done(&owed);
}

/* What waited for the client, as payloads that each fit into a record.  false: a packet does not, and the
 * arrival was told that nothing comes. */
static bool hand_over_queue(struct gateway *gateway, const struct session *session, struct output *queue)
{
    enum relay_kind kind = RELAY_PART;
    struct buffer all = {0};
    size_t at = 0, part;

    output_gather(queue, &all);
    output_done(queue);
    do {
        struct bytes rest = bytes_make(all.data + at, all.length - at);

        part = engineio_payload_part(rest, WIRE_TEXT_MAX);
        if (part == rest.length)
            kind = RELAY_HANDOVER;
        else if (part == 0)
            kind = RELAY_DROP;
        caller_answer(gateway, session->arrival, kind, session_sid(session),
                      bytes_make(rest.data, kind == RELAY_DROP ? 0 : part));
        at += part;
    } while (kind == RELAY_PART);
    buffer_done(&all);
    return kind == RELAY_HANDOVER;
}

/* Takes in what this turn brought so far, which goes with the session.  false: that was too much, and has
 * ended it. */
static bool catch_up(struct gateway *gateway, struct session *session)
{
    struct connection *connection = session->connection;

    fanout_catch_up(gateway, connection);
    if (!connection->doomed)
        return true;
    connection_drop(gateway, connection, connection->doomed);
    return false;
}

/* The session is the other gateway's from here on. */
static void hand_over(struct gateway *gateway, struct session *session)
{
    struct connection *connection = session->connection;
    struct output queue;

    if (!catch_up(gateway, session))
        return;
    hand_over_questions(gateway, session);
    while (connection->sockets)
        socket_give_away(gateway, connection->sockets);
    session_set_state(session, SESSION_MOVED);
    queue = polling_detach(gateway, session);
    gateway->counters.moved_out++;
    if (hand_over_queue(gateway, session, &queue))
        buffer_done(&session->retained);
    else
        session_free(gateway, session);
}

/* Whether what the session is about to do must wait for an answer. */
static bool must_wait(const struct gateway *gateway, const struct session *session)
{
    if (session->held)
        return waits_for_backend(session->connection);
    return session->arrival.gateway != gateway->incarnation && !is_quiet(session->connection);
}

static void go_on(struct gateway *gateway, struct session *session)
{
    if (session->held) {
        session->held = false;
        caller_answer(gateway, session->arrival, RELAY_WELCOME, session_sid(session), (struct bytes){0});
        return;
    }
    if (!catch_up(gateway, session))
        return;
    if (session->arrival.gateway == gateway->incarnation)
        arrival_take_here(gateway, session);
    else {
        offer(gateway, session);
        if (!session->connection->sockets) /* nothing for the router to give */
            hand_over(gateway, session);
    }
}

void upgrade_look(struct gateway *gateway)
{
    struct session_table *table = &gateway->sessions;

    for (uint32_t i = 0; i < table->moving_count;) {
        struct session *session = table->moving[i];
        bool open = session->connection->state == CONNECTION_OPEN;

        if (open && must_wait(gateway, session)) {
            i++;
            continue;
        }
        table->moving[i] = table->moving[--table->moving_count];
        if (open)
            go_on(gateway, session);
    }
}

void upgrade_on_given(struct gateway *gateway, const struct wire_given *record)
{
    struct caller caller = {record->to, record->number};
    struct wire_reader reader;
    int count = wire_list_open(&reader, record->sockets);
    struct session *session = NULL;

    while (count-- > 0) {
        uint64_t number;
        struct socket *socket;

        if (wire_list_u64(&reader, &number) < 0)
            return;
        socket = sockets_find(gateway, number);
        if (socket && socket->connection->session)
            session = socket->connection->session;
        else if (socket)
            socket_give_away(gateway, socket);
    }
    if (session && session->state == SESSION_MOVING && caller_equal(session->arrival, caller))
        hand_over(gateway, session);
}

void upgrade_cancel(struct gateway *gateway, struct bytes sid, struct caller caller)
{
    struct session *session = find_for(gateway, sid, caller);

    if (!session)
        return;
    if (session->state == SESSION_MOVED) { /* it went before the session came */
        session_free(gateway, session);
        return;
    }
    session->arrival = (struct caller){0};
    session->probed = false;
    if (session->held)
        sessions_unwatch(&gateway->sessions, session);
    session->held = false;
    if (session->state == SESSION_MOVING) /* the client has left the polls behind: it is gone */
        connection_drop(gateway, session->connection, CLOSE_PEER_GONE);
}

void upgrade_ended(struct gateway *gateway, struct bytes sid, struct caller caller)
{
    struct session *session = session_find(gateway, sid);

    if (session && session->state == SESSION_MOVED && session->arrival.gateway == caller.gateway)
        session_free(gateway, session);
    caller_answer(gateway, caller, RELAY_OK, sid, (struct bytes){0});
}
