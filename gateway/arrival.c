/*
 * WebSockets on their way to a polling session; see arrival.h.  engine_service.c begins them, upgrade.c and
 * relay.c bring the home's word, router_records.c the router's.  The surprising rule: from the client's "5"
 * until the session is here the WebSocket is neither read nor written (corked): what the rooms bring already
 * stands behind what still waits at the home.
 */
#include "gateway/arrival.h"

#include "common/memory.h"
#include "gateway/attachments.h"
#include "gateway/connection.h"
#include "gateway/engine.h"
#include "gateway/engine_service.h"
#include "gateway/gateway.h"
#include "gateway/http_answer.h"
#include "gateway/packet.h"
#include "gateway/polling.h"
#include "gateway/socket.h"
#include "gateway/upgrade.h"
#include "proto/engineio_payload.h"
#include "proto/websocket.h"

#include <assert.h>
#include <stdlib.h>

enum {
    EARLY_MAX = 64 << 10, /* bytes that a client may send before its 101 */
    OFFER_HEAD = 4,       /* elements of an offer, before and for each of its sockets; see upgrade.c */
    OFFER_SOCKET = 3,
};

enum arrival_state { ARRIVAL_ASKED, ARRIVAL_OPEN, ARRIVAL_PROBED, ARRIVAL_SWITCHING, ARRIVAL_TAKING };

struct arrival {
    char sid[SESSION_SID_LENGTH];
    uint8_t state;     /* enum arrival_state */
    bool wanted;       /* the handshake asks for the transport websocket */
    uint64_t home;     /* the incarnation of the session's gateway */
    uint64_t question; /* to it; 0 when it is this one */
    uint64_t connect_due;
    struct websocket_offer offer; /* ASKED */
    struct buffer front; /* what waited here before the switch, then frames of what waited at the home */
    size_t early;        /* the length of the former */
};

static struct bytes sid_of(const struct arrival *arrival)
{
    return bytes_make(arrival->sid, SESSION_SID_LENGTH);
}

static void set_state(struct arrival *arrival, enum arrival_state state)
{
    assert(state > arrival->state);
    arrival->state = (uint8_t)state;
}

static bool is_here(const struct gateway *gateway, const struct arrival *arrival)
{
    return arrival->home == gateway->incarnation;
}

static void fail(struct gateway *gateway, struct connection *connection)
{
    if (connection->arrival->state == ARRIVAL_ASKED)
        engine_refuse_upgrade(gateway, connection, ENGINEIO_ERROR_SESSION_UNKNOWN);
    else
        websocket_close(gateway, connection, close_reason_code(CLOSE_UPGRADE_FAILED), CLOSE_UPGRADE_FAILED);
}

static void arrival_free(struct connection *connection)
{
    struct arrival *arrival = connection->arrival;

    connection->arrival = NULL;
    websocket_offer_done(&arrival->offer);
    buffer_done(&arrival->front);
    free(arrival);
}

/* -- the probe ------------------------------------------------------------------------------- */

static void on_probe(struct gateway *gateway, struct connection *connection)
{
    struct arrival *arrival = connection->arrival;

    websocket_send(gateway, connection, false, BYTES("3probe"));
    if (arrival->state == ARRIVAL_OPEN)
        set_state(arrival, ARRIVAL_PROBED);
    if (is_here(gateway, arrival))
        upgrade_probed(gateway, sid_of(arrival), caller_here(gateway, connection));
    else
        relay_tell(gateway, arrival->home, arrival->question, RELAY_PROBED, sid_of(arrival));
}

static void on_switch(struct gateway *gateway, struct connection *connection)
{
    struct arrival *arrival = connection->arrival;

    set_state(arrival, ARRIVAL_SWITCHING);
    connection_cork(connection);
    output_gather(&connection->output, &arrival->front); /* the answer to a probe that came with the switch */
    output_done(&connection->output);
    arrival->early = arrival->front.length;
    if (is_here(gateway, arrival))
        upgrade_switch(gateway, sid_of(arrival), caller_here(gateway, connection));
    else
        relay_ask_further(gateway, arrival->question, RELAY_SWITCH, (struct bytes){0});
    connection_stop_reading(gateway, connection); /* last: if it fails, the connection is gone */
}

void arrival_let_go(struct gateway *gateway, struct connection *connection)
{
    const struct arrival *arrival = connection->arrival;
    struct output early = {0};

    if (!connection->corked)
        return;
    sockets_close(gateway, connection, CLOSE_UPGRADE_FAILED); /* so that nothing comes behind this */
    output_done(&connection->output);
    if (arrival->early)
        memcpy(output_reserve(&early, arrival->early), arrival->front.data, arrival->early);
    connection_uncork(gateway, connection, &early);
}

void arrival_end(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    if (connection->arrival->state == ARRIVAL_ASKED)
        http_fail(gateway, connection, 503, reason);
    else
        websocket_close(gateway, connection, close_reason_code(reason), reason);
}

static void on_message(struct gateway *gateway, struct connection *connection, bool binary,
                       struct bytes payload)
{
    if (!binary && bytes_equal_text(payload, "2probe"))
        on_probe(gateway, connection);
    else if (!binary && bytes_equal_text(payload, "5"))
        on_switch(gateway, connection);
    else /* anything else calls it off, and polling goes on */
        fail(gateway, connection);
}

static void on_input(struct gateway *gateway, struct connection *connection, char *data, size_t length)
{
    struct buffer held;

    if (connection->arrival->state != ARRIVAL_ASKED) {
        websocket_input(gateway, connection, data, length);
        return;
    }
    held = connection_unhold(connection);
    buffer_append(&held, data, length);
    if (held.length > EARLY_MAX)
        connection_drop(gateway, connection, CLOSE_WEBSOCKET_TOO_LARGE);
    else
        connection_hold(connection, held.data, held.length);
    buffer_done(&held);
}

static void on_timeout(struct gateway *gateway, struct connection *connection)
{
    fail(gateway, connection);
}

static void on_ending(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    struct arrival *arrival = connection->arrival;
    struct caller caller = caller_here(gateway, connection);

    if (arrival->state != ARRIVAL_ASKED)
        gateway->counters.websockets--;
    packet_pending_free(connection);
    sockets_close(gateway, connection, reason);
    if (is_here(gateway, arrival))
        upgrade_cancel(gateway, sid_of(arrival), caller);
    else
        relay_ask_further(gateway, arrival->question, RELAY_CANCEL, (struct bytes){0});
    arrival_free(connection);
}

static const struct connection_protocol arrival_protocol = {
    .input = on_input,
    .message = on_message,
    .timeout = on_timeout,
    .ending = on_ending,
};

void arrival_begin(struct gateway *gateway, struct connection *connection, struct websocket_offer *offer,
                   struct bytes sid, uint64_t home, bool wanted)
{
    struct arrival *arrival = memory_zero(1, sizeof *arrival);

    memcpy(arrival->sid, sid.data, sizeof arrival->sid);
    arrival->home = home;
    arrival->wanted = wanted;
    arrival->offer = *offer;
    connection->arrival = arrival;
    connection->protocol = &arrival_protocol;
    connection_set_timer(gateway, connection, loop_now(gateway->loop) + gateway->settings->upgrade_timeout);
    if (is_here(gateway, arrival)) {
        upgrade_probe(gateway, sid, caller_here(gateway, connection));
        return;
    }
    arrival->question = relay_ask(gateway, home, RELAY_PROBE, sid, (struct bytes){0}, connection->number);
    if (!arrival->question)
        arrival_end(gateway, connection, CLOSE_ROUTER_SILENT);
}

/* -- the session comes ----------------------------------------------------------------------- */

/* Writes what waited at the home, a queue of packets, as frames.  0 or ERROR_MALFORMED. */
static int append_frames(struct buffer *out, struct bytes queue)
{
    struct engineio_payload payload;
    struct engineio_payload_packet packet;
    struct buffer decoded = {0};
    char header[WEBSOCKET_HEADER_MAX];
    int result;

    if (queue.length && queue.data[0] != ENGINEIO_PAYLOAD_SEPARATOR)
        return ERROR_MALFORMED;
    engineio_payload_open_queue(&payload, queue);
    while ((result = engineio_payload_next(&payload, &decoded, &packet)) > 0) {
        struct bytes bytes = packet.binary ? packet.packet.data : packet.text;
        unsigned opcode = packet.binary ? WEBSOCKET_OPCODE_BINARY : WEBSOCKET_OPCODE_TEXT;

        buffer_append(out, header, websocket_frame_header(header, WEBSOCKET_FIN | opcode, bytes.length));
        buffer_append_bytes(out, bytes);
    }
    buffer_done(&decoded);
    return result;
}

/* The WebSocket is the session's transport from here on. */
static void become_session(struct gateway *gateway, struct connection *connection)
{
    struct arrival *arrival = connection->arrival;
    struct output front = {0};

    if (arrival->front.length)
        memcpy(output_reserve(&front, arrival->front.length), arrival->front.data, arrival->front.length);
    connection->protocol = &websocket_session;
    engine_resume(gateway, connection, arrival->connect_due);
    arrival_free(connection);
    connection_uncork(gateway, connection, &front);
    connection_start_reading(gateway, connection);
    gateway->counters.upgrades++;
}

void arrival_take_here(struct gateway *gateway, struct session *session)
{
    struct connection *connection = connections_find(gateway, session->arrival.number);
    struct connection *polling = session->connection;
    struct buffer queue = {0};
    struct output output;
    bool paused = polling->paused;

    assert(connection && connection->arrival);
    connection->bare = polling->bare;
    connection_set_parser(connection, encoding_is_msgpack(polling->encoding));
    connection->handshake = polling->handshake;
    polling->handshake = NULL;
    connection->pending = polling->pending; /* begun in a post, it may end on the WebSocket */
    polling->pending = NULL;
    connection->arrival->connect_due = polling->connect_due;
    sockets_move(gateway, polling, connection);
    session_set_state(session, SESSION_UPGRADED);
    session->arrival = (struct caller){0};
    output = polling_detach(gateway, session);
    session->connection = connection;
    connection->session = session;
    output_gather(&output, &queue);
    output_done(&output);
    (void)append_frames(&connection->arrival->front, buffer_bytes(&queue)); /* our own: it can be read */
    buffer_done(&queue);
    become_session(gateway, connection);
    if (paused)
        connection_pause(gateway, connection);
}

/* Makes the sockets that the offer names, and asks the router for them.  0 or a negative error. */
static int take(struct gateway *gateway, struct connection *connection, struct bytes body)
{
    struct arrival *arrival = connection->arrival;
    struct wire_reader reader;
    struct wire_list pairs = {0};
    struct bytes handshake, pending;
    uint64_t flags, connect_in, now = loop_now(gateway->loop);
    int count = wire_list_open(&reader, body), result = ERROR_MALFORMED;

    if (count < OFFER_HEAD || (count - OFFER_HEAD) % OFFER_SOCKET || wire_list_u64(&reader, &flags) < 0 ||
        wire_list_u64(&reader, &connect_in) < 0 || wire_list_text(&reader, &handshake) < 0 ||
        wire_list_text(&reader, &pending) < 0)
        return ERROR_MALFORMED;
    connection->bare = flags & OFFER_BARE;
    if (flags & OFFER_MSGPACK && !gateway->encoder)
        return ERROR_UNSUPPORTED; /* its configuration is another one, and it could write nothing */
    connection_set_parser(connection, flags & OFFER_MSGPACK);
    if (handshake_from_bytes(handshake, &connection->handshake) < 0)
        return ERROR_MALFORMED;
    if (pending.length &&
        pending_packet_read(pending, gateway->settings->max_attachments, now, &connection->pending) < 0)
        return ERROR_MALFORMED;
    arrival->connect_due = connect_in ? now + connect_in : 0;
    for (count = (count - OFFER_HEAD) / OFFER_SOCKET; count > 0; count--) {
        uint64_t theirs;
        struct bytes name, auth;
        struct namespace_rooms *namespace;
        struct socket *socket;

        if (wire_list_u64(&reader, &theirs) < 0 || wire_list_text(&reader, &name) < 0 ||
            wire_list_text(&reader, &auth) < 0 || namespace_open(&gateway->namespaces, name, &namespace) < 0)
            goto done;
        socket = socket_new(gateway, connection, namespace, auth);
        namespace_release(&gateway->namespaces, namespace); /* the socket holds it */
        wire_list_put_u64(&pairs, theirs);
        wire_list_put_u64(&pairs, socket->number);
    }
    result = 0;
    if (pairs.count)
        result = link_take(gateway->link, &(struct wire_take){.from = arrival->home,
                                                              .number = arrival->question,
                                                              .sockets = wire_list_finish(&pairs)});
done:
    wire_list_done(&pairs);
    return result;
}

static void on_offer(struct gateway *gateway, struct connection *connection, struct bytes body)
{
    if (connection->arrival->state != ARRIVAL_SWITCHING)
        return;
    set_state(connection->arrival, ARRIVAL_TAKING);
    if (take(gateway, connection, body) < 0)
        fail(gateway, connection);
}

/* [namespace, questions, ...]: what each socket's client owes an answer to, from before it was here. */
static int read_owed(struct connection *connection, struct bytes body)
{
    struct wire_reader reader;
    int count = wire_list_open(&reader, body);

    if (count < 0 || count % 2)
        return ERROR_MALFORMED;
    for (; count > 0; count -= 2) {
        struct bytes name;
        uint64_t questions;

        if (wire_list_text(&reader, &name) < 0 || wire_list_u64(&reader, &questions) < 0 ||
            questions > UINT32_MAX)
            return ERROR_MALFORMED;
        for (struct socket *socket = connection->sockets; socket; socket = socket->next)
            if (bytes_equal(socket->namespace->name, name))
                socket->questions += (uint32_t)questions;
    }
    return 0;
}

static void on_owed(struct gateway *gateway, struct connection *connection, struct bytes body)
{
    if (connection->arrival->state != ARRIVAL_TAKING || read_owed(connection, body) < 0)
        fail(gateway, connection);
}

static void on_part(struct gateway *gateway, struct connection *connection, struct bytes body)
{
    struct arrival *arrival = connection->arrival;

    if (arrival->state != ARRIVAL_TAKING || append_frames(&arrival->front, body) < 0)
        fail(gateway, connection);
}

static void on_handover(struct gateway *gateway, struct connection *connection, struct bytes body)
{
    struct arrival *arrival = connection->arrival;
    char sid[SESSION_SID_LENGTH];

    if (arrival->state != ARRIVAL_TAKING || append_frames(&arrival->front, body) < 0) {
        fail(gateway, connection);
        return;
    }
    memcpy(sid, arrival->sid, sizeof sid);
    session_new(gateway, bytes_make(sid, sizeof sid), connection, SESSION_UPGRADED);
    become_session(gateway, connection);
    gateway->counters.moved_in++;
}

void arrival_on_taken(struct gateway *gateway, const struct wire_taken *record)
{
    struct connection *connection = connections_find(gateway, relay_waiter(gateway, record->number));

    if (!record->ok && connection && connection->arrival)
        fail(gateway, connection);
}

static void fail_taking(struct gateway *gateway, struct connection *connection)
{
    if (connection->arrival && connection->arrival->state == ARRIVAL_TAKING)
        fail(gateway, connection);
}

void arrivals_on_live(struct gateway *gateway)
{
    connections_each(gateway, fail_taking);
}

/* -- what the home says ---------------------------------------------------------------------- */

static void on_welcome(struct gateway *gateway, struct connection *connection, bool refused)
{
    struct arrival *arrival = connection->arrival;

    if (arrival->state != ARRIVAL_ASKED)
        return;
    if (!arrival->wanted) {
        engine_refuse_upgrade(gateway, connection, ENGINEIO_ERROR_TRANSPORT_UNKNOWN);
        return;
    }
    set_state(arrival, ARRIVAL_OPEN);
    websocket_accept(gateway, connection, &arrival->offer, &arrival_protocol, (struct bytes){0});
    websocket_offer_done(&arrival->offer);
    if (refused)
        websocket_close(gateway, connection, close_reason_code(CLOSE_UPGRADE_REFUSED), CLOSE_UPGRADE_REFUSED);
    else
        connection_wake(gateway, connection);
}

void arrival_answered(struct gateway *gateway, struct connection *connection, enum relay_kind kind,
                      struct bytes body)
{
    if (connection->state != CONNECTION_OPEN)
        return;
    switch (kind) {
    case RELAY_WELCOME:
    case RELAY_REFUSED:
        on_welcome(gateway, connection, kind == RELAY_REFUSED);
        break;
    case RELAY_OFFER:
        on_offer(gateway, connection, body);
        break;
    case RELAY_OWED:
        on_owed(gateway, connection, body);
        break;
    case RELAY_PART:
        on_part(gateway, connection, body);
        break;
    case RELAY_HANDOVER:
        on_handover(gateway, connection, body);
        break;
    default:
        fail(gateway, connection);
    }
}
