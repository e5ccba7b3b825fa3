/*
 * The Engine.IO session on a WebSocket; see engine.h.  Installed on a connection by engine_open(); a
 * connection's one timer is the next ping or the pong's deadline, or the connect timeout if that is earlier.
 */
#include "gateway/engine.h"

#include "common/random.h"
#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "gateway/handshake.h"
#include "gateway/packet.h"
#include "gateway/socket.h"
#include "proto/engineio.h"
#include "proto/websocket.h"

enum { ENGINE_SID_LENGTH = 20 };

static void set_heartbeat(struct gateway *gateway, struct connection *connection, bool awaiting_pong)
{
    uint64_t now = loop_now(gateway->loop);
    uint64_t due = now + (awaiting_pong ? gateway->settings->ping_timeout : gateway->settings->ping_interval);

    connection->awaiting_pong = awaiting_pong;
    connection->pong_extended = false;
    connection->heartbeat_due = due;
    if (connection->connect_due && connection->connect_due < due)
        due = connection->connect_due;
    connection_set_timer(gateway, connection, due);
}

static char *append_frame(char *at, unsigned opcode, const struct bytes *parts, size_t count)
{
    size_t length = 0;

    for (size_t i = 0; i < count; i++)
        length += parts[i].length;
    at += websocket_frame_header(at, WEBSOCKET_FIN | opcode, length);
    for (size_t i = 0; i < count; i++) {
        if (parts[i].length)
            memcpy(at, parts[i].data, parts[i].length);
        at += parts[i].length;
    }
    return at;
}

static size_t frame_size(size_t length)
{
    char header[WEBSOCKET_HEADER_MAX];

    return websocket_frame_header(header, WEBSOCKET_FIN, length) + length;
}

void engine_send(struct gateway *gateway, struct connection *connection, const struct bytes *parts,
                 size_t count, struct bytes attachments)
{
    struct wire_reader list;
    struct bytes attachment;
    size_t length = 0, size;
    char *at;

    for (size_t i = 0; i < count; i++)
        length += parts[i].length;
    size = frame_size(length);
    for (int left = wire_list_open(&list, attachments); left > 0; left--)
        if (wire_list_text(&list, &attachment) == 0)
            size += frame_size(attachment.length);

    at = connection_reserve(gateway, connection, size);
    if (!at)
        return;
    at = append_frame(at, WEBSOCKET_OPCODE_TEXT, parts, count);
    for (int left = wire_list_open(&list, attachments); left > 0; left--)
        if (wire_list_text(&list, &attachment) == 0)
            at = append_frame(at, WEBSOCKET_OPCODE_BINARY, &attachment, 1);
}

static void end_with_close(struct gateway *gateway, struct connection *connection, unsigned code,
                           enum close_reason reason)
{
    char frame[WEBSOCKET_CLOSE_MAX];
    size_t length = websocket_close_frame(frame, code ? code : WEBSOCKET_CLOSE_NO_STATUS, (struct bytes){0});

    connection_send(gateway, connection, bytes_make(frame, length));
    connection_end(gateway, connection, reason);
}

void engine_close(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    end_with_close(gateway, connection, close_reason_code(reason), reason);
}

/* A pong that waits behind a long message is not late yet: the first packet of another kind moves its
 * deadline once, as in the reference. */
static void extend_pong(struct gateway *gateway, struct connection *connection)
{
    if (!connection->awaiting_pong || connection->pong_extended)
        return;
    connection->pong_extended = true;
    connection->heartbeat_due = loop_now(gateway->loop) + gateway->settings->ping_timeout;
}

static void on_text(struct gateway *gateway, struct connection *connection, struct bytes text)
{
    struct engineio_packet packet;

    if (engineio_packet_parse(text, &packet) < 0) {
        engine_close(gateway, connection, CLOSE_PARSE_ERROR);
        return;
    }
    if (packet.type != ENGINEIO_PONG)
        extend_pong(gateway, connection);
    switch (packet.type) {
    case ENGINEIO_MESSAGE:
        gateway->counters.messages_in++;
        packet_receive(gateway, connection, packet.data);
        break;
    case ENGINEIO_PONG: /* an unasked one restarts the interval too, as in the reference */
        set_heartbeat(gateway, connection, false);
        break;
    case ENGINEIO_PING: /* the heartbeat's direction is from the server */
        engine_close(gateway, connection, CLOSE_TRANSPORT_ERROR);
        break;
    case ENGINEIO_CLOSE:
        engine_close(gateway, connection, CLOSE_CLIENT_CLOSE);
        break;
    case ENGINEIO_OPEN:
    case ENGINEIO_UPGRADE:
    case ENGINEIO_NOOP:
        break;
    }
}

static void send_pong(struct gateway *gateway, struct connection *connection, struct bytes payload)
{
    char *at = connection_reserve(gateway, connection, 2 + payload.length);

    if (!at)
        return;
    websocket_frame_header(at, WEBSOCKET_FIN | WEBSOCKET_OPCODE_PONG, payload.length);
    if (payload.length)
        memcpy(at + 2, payload.data, payload.length);
}

static enum close_reason reason_for(int error)
{
    switch (error) {
    case ERROR_UTF8:
        return CLOSE_WEBSOCKET_TEXT;
    case ERROR_TOO_LARGE:
    case ERROR_NO_SPACE:
        return CLOSE_WEBSOCKET_TOO_LARGE;
    default:
        return CLOSE_WEBSOCKET_PROTOCOL;
    }
}

static void on_event(struct gateway *gateway, struct connection *connection,
                     const struct websocket_event *event)
{
    switch (event->type) {
    case WEBSOCKET_TEXT:
        on_text(gateway, connection, event->payload);
        break;
    case WEBSOCKET_BINARY:
        extend_pong(gateway, connection);
        packet_receive_binary(gateway, connection, event->payload);
        break;
    case WEBSOCKET_PING:
        send_pong(gateway, connection, event->payload);
        break;
    case WEBSOCKET_CLOSE: /* is answered with the same code */
        end_with_close(gateway, connection, event->close_code, CLOSE_PEER_GONE);
        break;
    case WEBSOCKET_NONE:
    case WEBSOCKET_PONG:
        break;
    }
}

static void on_input(struct gateway *gateway, struct connection *connection, char *data, size_t length)
{
    struct websocket_limits limits = {.max_payload = gateway->settings->max_payload};
    struct websocket_event event;

    do {
        size_t consumed;
        int result = websocket_decode(&connection->decoder, &limits, data, length, &consumed, &event);

        if (result < 0) {
            engine_close(gateway, connection, reason_for(result));
            return;
        }
        data += consumed;
        length -= consumed;
        on_event(gateway, connection, &event);
    } while (event.type != WEBSOCKET_NONE && connection->state == CONNECTION_OPEN && !connection->paused);
    if (length && connection->state == CONNECTION_OPEN)
        connection_hold(connection, data, length);
}

static void on_timeout(struct gateway *gateway, struct connection *connection)
{
    uint64_t now = loop_now(gateway->loop);

    if (connection->connect_due && now >= connection->connect_due)
        engine_close(gateway, connection, CLOSE_CONNECT_TIMEOUT);
    else if (packet_overdue(connection, now, gateway->settings))
        engine_close(gateway, connection, CLOSE_ATTACHMENTS_TIMEOUT);
    else if (now < connection->heartbeat_due)
        connection_set_timer(gateway, connection, connection->heartbeat_due);
    else if (connection->awaiting_pong && connection->paused)
        set_heartbeat(gateway, connection, true); /* its pong may have come: we do not read it */
    else if (connection->awaiting_pong)
        engine_close(gateway, connection, CLOSE_PING_TIMEOUT);
    else {
        engine_send(gateway, connection, &BYTES("2"), 1, (struct bytes){0});
        set_heartbeat(gateway, connection, true);
    }
}

static void on_ending(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    gateway->counters.websockets--;
    packet_pending_free(connection);
    sockets_close(gateway, connection, reason);
    handshake_free(connection->handshake);
    connection->handshake = NULL;
}

static const struct connection_protocol engine_protocol = {
    .input = on_input,
    .timeout = on_timeout,
    .ending = on_ending,
};

void engine_open(struct gateway *gateway, struct connection *connection, struct bytes websocket_key,
                 struct bytes subprotocol)
{
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                               "Connection: Upgrade\r\nSec-WebSocket-Accept: ";
    char accept[WEBSOCKET_ACCEPT_SIZE], sid[ENGINE_SID_LENGTH], frame[WEBSOCKET_HEADER_MAX];
    struct buffer packet = {0}, *out = &gateway->scratch;

    random_id(sid, sizeof sid);
    engineio_append_open(&packet, &(struct engineio_open){.sid = bytes_make(sid, sizeof sid),
                                                          .upgrade = false,
                                                          .ping_interval = gateway->settings->ping_interval,
                                                          .ping_timeout = gateway->settings->ping_timeout,
                                                          .max_payload = gateway->settings->max_payload});
    websocket_accept_key(websocket_key, accept);
    buffer_clear(out);
    buffer_append_literal(out, head);
    buffer_append(out, accept, sizeof accept);
    if (subprotocol.length) {
        buffer_append_literal(out, "\r\nSec-WebSocket-Protocol: ");
        buffer_append_bytes(out, subprotocol);
    }
    buffer_append_literal(out, "\r\n\r\n");

    size_t frame_length = websocket_frame_header(frame, WEBSOCKET_FIN | WEBSOCKET_OPCODE_TEXT, packet.length);

    buffer_append(out, frame, frame_length);
    buffer_append_bytes(out, buffer_bytes(&packet));
    buffer_done(&packet);
    connection_send(gateway, connection, buffer_bytes(out));

    connection->protocol = &engine_protocol;
    connection->connect_due = loop_now(gateway->loop) + gateway->settings->connect_timeout;
    gateway->counters.websockets++;
    set_heartbeat(gateway, connection, false);
}

void engine_namespace_joined(struct connection *connection)
{
    connection->connect_due = 0;
}
