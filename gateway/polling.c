/*
 * The polling transport; see polling.h.  exchange.c brings requests of clients, relay.c those of other
 * gateways.  A session's packets wait in its connection's output, already as a payload; the end of a turn
 * gives them to the poll that waits.  The surprising rule: what a poll of another gateway was answered is
 * kept until the next one, since the answer may be lost with a link, and a client that missed packets would
 * not know.
 */
#include "gateway/polling.h"

#include "common/memory.h"
#include "gateway/arrival.h"
#include "gateway/connection.h"
#include "gateway/engine.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/packet.h"
#include "gateway/socket.h"
#include "gateway/upgrade.h"
#include "proto/engineio_payload.h"

#include <stdlib.h>

enum {
    CLOSE_WAITS_MS = 30000, /* for a poll to tell the client, as in the reference */
    LATE_MS = 100,          /* how long a poll behind the probe waits for the switch at most */
};

static const struct connection_protocol polling_transport;

static bool is_local(const struct gateway *gateway, struct caller caller)
{
    return caller.gateway == gateway->incarnation;
}

void caller_answer(struct gateway *gateway, struct caller caller, enum relay_kind kind, struct bytes sid,
                   struct bytes body)
{
    struct connection *connection;

    if (!is_local(gateway, caller)) {
        relay_answer(gateway, caller, kind, sid, body);
        return;
    }
    connection = connections_find(gateway, caller.number);
    if (connection && connection->arrival)
        arrival_answered(gateway, connection, kind, body);
    else if (connection)
        exchange_answer(gateway, connection, kind, body);
}

static void answer_error(struct gateway *gateway, struct caller caller, struct bytes sid,
                         enum engineio_error error)
{
    char digit = (char)('0' + error);

    caller_answer(gateway, caller, RELAY_ERROR, sid, bytes_make(&digit, 1));
}

struct connection *polling_open(struct gateway *gateway, bool bare, bool msgpack, struct buffer *out)
{
    struct connection *connection = connection_new_virtual(gateway, &polling_transport);
    char sid[SESSION_SID_LENGTH];

    connection->encoding = ENCODING_POLLING;
    connection_set_parser(connection, msgpack);
    connection->bare = bare;
    session_make_sid(gateway, sid);
    session_new(gateway, bytes_make(sid, sizeof sid), connection, SESSION_POLLING);
    engine_append_open(gateway, bytes_make(sid, sizeof sid), true, out);
    engine_start(gateway, connection);
    gateway->counters.polling_sessions++;
    return connection;
}

/* -- polls ----------------------------------------------------------------------------------- */

/* To a poll of another gateway.  false: that can't be, and the session has ended. */
static bool answer_far_poll(struct gateway *gateway, struct connection *connection)
{
    struct session *session = connection->session;
    struct buffer *retained = &session->retained;
    size_t length;

    buffer_clear(retained);
    output_gather(&connection->output, retained);
    length = engineio_payload_part(buffer_bytes(retained), WIRE_TEXT_MAX);
    if (length == 0) {
        connection_drop(gateway, connection, CLOSE_SLOW_READER);
        return false;
    }
    output_consume(&connection->output, length);
    retained->length = length;
    buffer_consume(retained, 1); /* the first separator */
    session->answered_poll = session->poll;
    relay_answer(gateway, session->poll, RELAY_PAYLOAD, session_sid(session), buffer_bytes(retained));
    return true;
}

/* The close packet has a payload of its own, as with the reference: a stock client that finds it in one takes
 * what stands before it for events that came while it was away, and a DISCONNECT for nothing at all. */
static void on_flush(struct gateway *gateway, struct connection *connection)
{
    struct session *session = connection->session;
    bool closing = connection->state == CONNECTION_FLUSHING && !connection->output.first;

    if (!session || session->poll.number == 0 || (!connection->output.first && !closing))
        return;
    if (closing)
        memcpy(output_reserve(&connection->output, 2), "\x1e\x31", 2); /* the separator, and "1" */
    if (is_local(gateway, session->poll)) {
        struct connection *http = connections_find(gateway, session->poll.number);

        output_consume(&connection->output, 1);
        exchange_answer_poll(gateway, http, &connection->output);
    } else if (!answer_far_poll(gateway, connection))
        return;
    session->poll = (struct caller){0};
    connection_block(connection);
    if (closing)
        connection_drop(gateway, connection, CLOSE_NONE);
}

void polling_end_poll(struct gateway *gateway, struct session *session, bool refuse)
{
    struct caller caller = session->poll;

    if (caller.number == 0)
        return;
    session->poll = (struct caller){0};
    connection_block(session->connection);
    if (refuse) {
        answer_error(gateway, caller, session_sid(session), ENGINEIO_ERROR_BAD_REQUEST);
        return;
    }
    if (!is_local(gateway, caller)) {
        session->answered_poll = caller;
        buffer_append_char(&session->retained, '6');
    }
    caller_answer(gateway, caller, RELAY_PAYLOAD, session_sid(session), BYTES("6"));
}

static void on_late(void *arg)
{
    struct gateway *gateway = arg;
    struct session *session;
    uint32_t cursor = 0;

    while ((session = table_next(&gateway->sessions.by_sid, &cursor)))
        if (session->late) {
            session->late = false;
            if (session->probed && session->connection && !session->connection->output.first)
                polling_end_poll(gateway, session, false);
        }
}

/* A client that knows of its WebSocket ends its polls by itself, so this one has crossed the news; or it
 * comes behind the switch, of which we will hear at once. */
static void end_late_poll(struct gateway *gateway, struct session *session)
{
    struct loop_timer *timer = &gateway->sessions.late_timer;

    session->late = true;
    if (!timer->callback)
        loop_timer_init(timer, gateway->loop, on_late, gateway);
    if (!wheel_timer_scheduled(&timer->wheel)) /* else others would put it off for ever */
        loop_timer_start(timer, LATE_MS);
}

void polling_fail(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    if (connection->session->poll.number) /* it alone can be told */
        engine_close(gateway, connection, reason);
    else
        connection_drop(gateway, connection, reason);
}

/* A second poll while one waits. */
static void overlap_poll(struct gateway *gateway, struct session *session, struct caller caller)
{
    caller_answer(gateway, caller, RELAY_STATUS, session_sid(session), BYTES("400"));
    polling_fail(gateway, session->connection, CLOSE_TRANSPORT_ERROR);
}

static void on_poll(struct gateway *gateway, struct session *session, struct caller caller)
{
    struct connection *connection = session->connection;

    if (!is_local(gateway, caller) && caller_equal(caller, session->poll))
        return; /* asked again: it waits */
    if (!is_local(gateway, caller) && caller_equal(caller, session->answered_poll)) {
        relay_answer(gateway, caller, RELAY_PAYLOAD, session_sid(session), buffer_bytes(&session->retained));
        return;
    }
    if (session->poll.number) {
        overlap_poll(gateway, session, caller);
        return;
    }
    session->answered_poll = (struct caller){0};
    buffer_done(&session->retained);
    session->poll = caller;
    connection_unblock(gateway, connection);
    if (session->probed && !connection->output.first)
        end_late_poll(gateway, session);
}

/* -- posts ----------------------------------------------------------------------------------- */

/* Takes in packets, up to the end or to where the client's requests are too many. */
static void read_payload(struct gateway *gateway, struct connection *connection, struct bytes body,
                         bool to_the_end)
{
    struct engineio_payload payload;
    struct engineio_payload_packet packet;
    struct buffer decoded = {0};
    int result = 1;

    engineio_payload_open(&payload, body);
    while (connection->state == CONNECTION_OPEN && (to_the_end || !connection->paused) &&
           (result = engineio_payload_next(&payload, &decoded, &packet)) > 0) {
        if (packet.binary)
            engine_receive_binary(gateway, connection, packet.packet.data);
        else
            engine_receive(gateway, connection, packet.text);
    }
    buffer_done(&decoded);
    if (connection->state != CONNECTION_OPEN)
        return;
    if (result < 0)
        polling_fail(gateway, connection, CLOSE_PARSE_ERROR);
    else if (result > 0 && !payload.ended)
        connection_hold(connection, payload.rest.data, payload.rest.length);
}

/* Answers the post once nothing of it waits any more. */
static void finish_post(struct gateway *gateway, struct connection *connection)
{
    struct session *session = connection->session;

    if (!session || session->post.number == 0 || (connection->held && connection->state == CONNECTION_OPEN))
        return;
    if (!is_local(gateway, session->post))
        session->answered_post = session->post;
    caller_answer(gateway, session->post, RELAY_OK, session_sid(session), (struct bytes){0});
    session->post = (struct caller){0};
}

/* What was held back goes on. */
static void on_input(struct gateway *gateway, struct connection *connection, char *data, size_t length)
{
    read_payload(gateway, connection, bytes_make(data, length), false);
    finish_post(gateway, connection);
}

void polling_finish_input(struct gateway *gateway, struct connection *connection)
{
    struct session *session = connection->session;
    struct buffer held = connection_unhold(connection);

    if (session->reading) { /* nothing is held then, and its packets come too late: they are refused */
        session->post = (struct caller){0};
        session->reading = false;
    }
    if (held.length)
        read_payload(gateway, connection, buffer_bytes(&held), true);
    buffer_done(&held);
    finish_post(gateway, connection);
}

/* A second post while one is under way: the first one's connection is destroyed, as by the reference. */
static void overlap_post(struct gateway *gateway, struct session *session, struct caller caller)
{
    struct caller first = session->post;

    session->post = (struct caller){0};
    caller_answer(gateway, caller, RELAY_STATUS, session_sid(session), BYTES("400"));
    caller_answer(gateway, first, RELAY_DROP, session_sid(session), (struct bytes){0});
    polling_fail(gateway, session->connection, CLOSE_TRANSPORT_ERROR);
}

static void on_post(struct gateway *gateway, struct session *session, struct caller caller, struct bytes body)
{
    bool same = session->post.number && caller_equal(caller, session->post), begun = same && session->reading;

    if (same && !begun)
        return; /* asked again: its packets wait */
    if (!is_local(gateway, caller) && caller_equal(caller, session->answered_post)) {
        relay_answer(gateway, caller, RELAY_OK, session_sid(session), (struct bytes){0});
        return;
    }
    if (session->post.number && !begun) {
        overlap_post(gateway, session, caller);
        return;
    }

    struct connection *connection = session->connection;

    session->post = caller;
    session->reading = false;
    read_payload(gateway, connection, body, false);
    finish_post(gateway, connection);
}

void polling_begin_post(struct gateway *gateway, struct bytes sid, struct caller caller)
{
    struct session *session = session_find(gateway, sid);

    if (!session || session->state != SESSION_POLLING)
        return; /* what it is answered is known when it is read */
    if (session->post.number && caller_equal(session->post, caller))
        return; /* asked again */
    if (session->post.number) {
        overlap_post(gateway, session, caller);
        return;
    }
    session->post = caller;
    session->reading = true;
}

void polling_refuse_post(struct gateway *gateway, struct bytes sid, struct caller caller)
{
    struct session *session = session_find(gateway, sid);

    if (session && caller_equal(session->post, caller))
        session->post = (struct caller){0};
}

/* -- requests -------------------------------------------------------------------------------- */

void polling_request(struct gateway *gateway, enum relay_kind kind, struct bytes sid, struct caller caller,
                     struct bytes body)
{
    struct session *session;

    session = session_find(gateway, sid);
    if (!session) {
        answer_error(gateway, caller, sid, ENGINEIO_ERROR_SESSION_UNKNOWN);
        return;
    }
    if (session->state != SESSION_POLLING || kind == RELAY_CHECK) {
        answer_error(gateway, caller, sid, ENGINEIO_ERROR_BAD_REQUEST);
        return;
    }
    switch (kind) {
    case RELAY_POLL:
        on_poll(gateway, session, caller);
        break;
    case RELAY_POST:
        on_post(gateway, session, caller, body);
        break;
    case RELAY_POST_TYPE:
        caller_answer(gateway, caller, RELAY_STATUS, sid, BYTES("400"));
        polling_fail(gateway, session->connection, CLOSE_TRANSPORT_ERROR);
        break;
    default:
        caller_answer(gateway, caller, RELAY_STATUS, sid, BYTES("500"));
        break;
    }
}

void polling_abort(struct gateway *gateway, struct bytes sid, struct caller caller)
{
    struct session *session = session_find(gateway, sid);

    if (!session || (session->state != SESSION_POLLING && session->state != SESSION_MOVING))
        return;
    if (caller_equal(session->poll, caller)) {
        session->poll = (struct caller){0};
        connection_block(session->connection);
    } else if (caller_equal(session->post, caller))
        session->post = (struct caller){0};
    else if (caller.number && !caller_equal(session->answered_poll, caller))
        return; /* answered, and nothing was lost */
    polling_fail(gateway, session->connection, CLOSE_TRANSPORT_ERROR);
}

void polling_release(struct gateway *gateway, struct bytes sid, struct caller caller)
{
    struct session *session = session_find(gateway, sid);

    if (session && session->poll.number && caller_equal(session->poll, caller))
        polling_end_poll(gateway, session, false);
}

void polling_close_by_client(struct gateway *gateway, struct connection *connection)
{
    if (connection->session->poll.number) {
        engine_send_packet(gateway, connection, BYTES("6"));
        on_flush(gateway, connection);
    }
    connection_drop(gateway, connection, CLOSE_CLIENT_CLOSE);
}

/* -- ends ------------------------------------------------------------------------------------ */

static void on_ending(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    struct session *session = connection->session;
    struct caller arrival;

    gateway->counters.polling_sessions--;
    packet_pending_free(connection);
    if (!session)
        return; /* it goes on elsewhere */
    sockets_close(gateway, connection, reason);
    arrival = session->arrival;
    session->arrival = (struct caller){0}; /* it says that it is gone, too, when it hears of this */
    if (arrival.number)
        caller_answer(gateway, arrival, RELAY_DROP, session_sid(session), (struct bytes){0});
}

static void on_closed(struct gateway *gateway, struct connection *connection)
{
    struct session *session = connection->session;

    if (!session)
        return;
    if (session->post.number)
        caller_answer(gateway, session->post, RELAY_OK, session_sid(session), (struct bytes){0});
    if (session->poll.number)
        caller_answer(gateway, session->poll, RELAY_DROP, session_sid(session), (struct bytes){0});
    session_free(gateway, session);
}

struct output polling_detach(struct gateway *gateway, struct session *session)
{
    struct connection *connection = session->connection;
    struct output queue = connection->output;

    connection->output = (struct output){0};
    connection->session = NULL;
    session->connection = NULL;
    connection_drop(gateway, connection, CLOSE_UPGRADED);
    return queue;
}

static void forget_gateway(struct gateway *gateway, struct session *session, uint64_t incarnation)
{
    if (session->state == SESSION_MOVED) {
        if (session->arrival.gateway == incarnation)
            session_free(gateway, session);
        return;
    }
    if (session->arrival.number && session->arrival.gateway == incarnation)
        upgrade_cancel(gateway, session_sid(session), session->arrival);
}

void polling_on_gone(struct gateway *gateway, uint64_t incarnation)
{
    uint32_t count = gateway->sessions.by_sid.count, cursor = 0, n = 0;
    char(*sids)[SESSION_SID_LENGTH] = memory_new(count * sizeof *sids + 1);
    struct session *session;

    while ((session = table_next(&gateway->sessions.by_sid, &cursor)))
        memcpy(sids[n++], session->sid, sizeof *sids);
    while (n--) {
        struct bytes sid = bytes_make(sids[n], SESSION_SID_LENGTH);

        session = session_find(gateway, sid);
        if (session)
            forget_gateway(gateway, session, incarnation);
        session = session_find(gateway, sid);
        if (session && session->poll.number && session->poll.gateway == incarnation)
            polling_abort(gateway, sid, session->poll);
        session = session_find(gateway, sid);
        if (session && session->post.number && session->post.gateway == incarnation)
            polling_abort(gateway, sid, session->post);
    }
    free(sids);
}

/* A client that has not polled for so long would not answer a ping either. */
static uint64_t close_waits(const struct gateway *gateway)
{
    uint64_t heartbeat = (uint64_t)gateway->settings->ping_interval + gateway->settings->ping_timeout;

    return heartbeat < CLOSE_WAITS_MS ? heartbeat : CLOSE_WAITS_MS;
}

static const struct connection_protocol polling_transport = {
    .linger = close_waits,
    .input = on_input,
    .flush = on_flush,
    .timeout = engine_on_timeout,
    .ending = on_ending,
    .closed = on_closed,
};
