/*
 * Engine.IO sessions; see engine.h.  The transports (websocket_transport.c, polling.c) bring packets in and
 * take them out.  A connection's one timer is the next ping or the pong's deadline, or the connect timeout if
 * that is earlier.  The surprising rule: the heartbeat runs on connections of any transport, so an upgrade
 * only has to start the interval again.
 */
#include "gateway/engine.h"

#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "gateway/handshake.h"
#include "gateway/packet.h"
#include "gateway/polling.h"
#include "gateway/replay.h"
#include "gateway/websocket_transport.h"
#include "proto/engineio.h"

enum { STALLED_MS = 100 }; /* a ping that is so late was our own fault, and the pong gets its whole time */

static void await(struct gateway *gateway, struct connection *connection, uint64_t due, bool awaiting_pong)
{
    connection->awaiting_pong = awaiting_pong;
    connection->pong_extended = false;
    connection->heartbeat_due = due;
    if (connection->connect_due && connection->connect_due < due)
        due = connection->connect_due;
    connection_set_timer(gateway, connection, due);
}

/* The next ping is an interval away. */
static void await_ping(struct gateway *gateway, struct connection *connection)
{
    await(gateway, connection, loop_now(gateway->loop) + gateway->settings->ping_interval, false);
}

/* A ping that was due is out.  The pong's time runs from when it was due: a session ends exactly both times
 * after the last pong, not the milliseconds later that each timer may take. */
static void await_pong(struct gateway *gateway, struct connection *connection)
{
    uint64_t now = loop_now(gateway->loop), due = connection->heartbeat_due;

    await(gateway, connection, (now - due > STALLED_MS ? now : due) + gateway->settings->ping_timeout, true);
}

void engine_append_open(struct gateway *gateway, struct bytes sid, bool upgrade, struct buffer *out)
{
    engineio_append_open(out, &(struct engineio_open){.sid = sid,
                                                      .upgrade = upgrade,
                                                      .ping_interval = gateway->settings->ping_interval,
                                                      .ping_timeout = gateway->settings->ping_timeout,
                                                      .max_payload = gateway->settings->max_payload});
}

void engine_start(struct gateway *gateway, struct connection *connection)
{
    engine_resume(gateway, connection,
                  connection->bare ? 0 : loop_now(gateway->loop) + gateway->settings->connect_timeout);
}

void engine_resume(struct gateway *gateway, struct connection *connection, uint64_t connect_due)
{
    connection->connect_due = connect_due;
    await_ping(gateway, connection);
}

/* -- sending --------------------------------------------------------------------------------- */

static void send_encoded(struct gateway *gateway, struct connection *connection, enum encoding encoding,
                         struct encoding_message *message)
{
    size_t length = encoding_measure(gateway->encoder, encoding, message);
    char *at = connection_reserve(gateway, connection, length);

    if (at)
        encoding_write(gateway->encoder, encoding, message, at);
}

void engine_send(struct gateway *gateway, struct connection *connection, const struct bytes *parts,
                 size_t count, struct bytes attachments)
{
    struct encoding_message message = {.parts = parts, .count = count, .attachments = attachments};

    send_encoded(gateway, connection, connection->encoding, &message);
}

void engine_send_binary(struct gateway *gateway, struct connection *connection, struct bytes payload)
{
    struct wire_list list = {0};

    wire_list_put_blob(&list, payload);
    engine_send(gateway, connection, NULL, 0, wire_list_finish(&list));
    wire_list_done(&list);
}

/* Engine.IO's own packets are text with every parser. */
void engine_send_packet(struct gateway *gateway, struct connection *connection, struct bytes packet)
{
    struct encoding_message message = {.parts = &packet, .count = 1};

    if (encoding_is_polling(connection->encoding))
        send_encoded(gateway, connection, ENCODING_POLLING, &message);
    else
        websocket_send(gateway, connection, false, packet);
}

void engine_close(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    if (connection->protocol->close) {
        connection->protocol->close(gateway, connection, reason);
    } else if (encoding_is_polling(connection->encoding)) {
        if (connection->state == CONNECTION_OPEN)
            fanout_catch_up(gateway, connection);    /* what came before stays before */
        connection_end(gateway, connection, reason); /* polling.c tells the client */
    } else
        websocket_close(gateway, connection, close_reason_code(reason), reason);
}

void engine_fail(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    if (encoding_is_polling(connection->encoding))
        polling_fail(gateway, connection, reason);
    else
        engine_close(gateway, connection, reason);
}

/* -- receiving ------------------------------------------------------------------------------- */

/* A pong that waits behind a long message is not late yet: the first packet of another kind moves its
 * deadline once, as in the reference. */
static void extend_pong(struct gateway *gateway, struct connection *connection)
{
    if (!connection->awaiting_pong || connection->pong_extended)
        return;
    connection->pong_extended = true;
    connection->heartbeat_due = loop_now(gateway->loop) + gateway->settings->ping_timeout;
}

/* The diagnostic echo. */
static void echo_text(struct gateway *gateway, struct connection *connection, struct bytes text)
{
    engine_send(gateway, connection, (struct bytes[]){BYTES("4"), text}, 2, (struct bytes){0});
}

void engine_receive(struct gateway *gateway, struct connection *connection, struct bytes text)
{
    struct engineio_packet packet;

    if (engineio_packet_parse(text, &packet) < 0) {
        engine_fail(gateway, connection, CLOSE_PARSE_ERROR);
        return;
    }
    if (packet.type != ENGINEIO_PONG)
        extend_pong(gateway, connection);
    switch (packet.type) {
    case ENGINEIO_MESSAGE:
        gateway->counters.messages_in++;
        if (connection->bare)
            echo_text(gateway, connection, packet.data);
        else
            packet_receive(gateway, connection, packet.data);
        break;
    case ENGINEIO_PONG: /* an unasked one restarts the interval too, as in the reference */
        await_ping(gateway, connection);
        replays_end(gateway, connection);
        break;
    case ENGINEIO_PING: /* the heartbeat's direction is from the server */
        engine_fail(gateway, connection, CLOSE_TRANSPORT_ERROR);
        break;
    case ENGINEIO_CLOSE:
        if (encoding_is_polling(connection->encoding))
            polling_close_by_client(gateway, connection);
        else
            engine_close(gateway, connection, CLOSE_CLIENT_CLOSE);
        break;
    case ENGINEIO_OPEN:
    case ENGINEIO_UPGRADE:
    case ENGINEIO_NOOP:
        break;
    }
}

void engine_receive_binary(struct gateway *gateway, struct connection *connection, struct bytes payload)
{
    extend_pong(gateway, connection);
    if (connection->bare)
        engine_send_binary(gateway, connection, payload);
    else
        packet_receive_binary(gateway, connection, payload);
}

/* -- time ------------------------------------------------------------------------------------ */

void engine_on_timeout(struct gateway *gateway, struct connection *connection)
{
    uint64_t now = loop_now(gateway->loop);

    if (connection->connect_due && now >= connection->connect_due)
        engine_close(gateway, connection, CLOSE_CONNECT_TIMEOUT);
    else if (packet_overdue(connection, now, gateway->settings))
        engine_close(gateway, connection, CLOSE_ATTACHMENTS_TIMEOUT);
    else if (now < connection->heartbeat_due)
        connection_set_timer(gateway, connection, connection->heartbeat_due);
    else if (connection->awaiting_pong && (connection->paused || connection->stopped))
        await_pong(gateway, connection); /* its pong may have come: we do not read it */
    else if (connection->awaiting_pong)
        engine_fail(gateway, connection, CLOSE_PING_TIMEOUT);
    else {
        engine_send_packet(gateway, connection, BYTES("2"));
        await_pong(gateway, connection);
    }
}

void engine_namespace_joined(struct connection *connection)
{
    connection->connect_due = 0;
}
