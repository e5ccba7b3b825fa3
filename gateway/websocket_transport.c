/*
 * WebSockets; see websocket_transport.h.  engine_service.c and arrival.c make them of HTTP connections,
 * connection.c calls in.  The surprising rule: one inflated message lives in the process's buffer while its
 * message() runs, so nothing in there may feed another message; whoever wants to waits for the next turn.
 */
#include "gateway/websocket_transport.h"

#include "common/memory.h"
#include "gateway/arrival.h"
#include "gateway/connection.h"
#include "gateway/engine.h"
#include "gateway/gateway.h"
#include "gateway/http_answer.h"
#include "gateway/packet.h"
#include "gateway/session.h"
#include "gateway/socket.h"
#include "proto/deflate.h"
#include "proto/deflate_offer.h"
#include "proto/http.h"
#include "proto/websocket.h"

#include <stdlib.h>

/* -- the handshake --------------------------------------------------------------------------- */

int websocket_offer_make(struct gateway *gateway, const struct http_request *request, struct bytes fields,
                         const char *only, struct websocket_offer *offer)
{
    char accept[WEBSOCKET_ACCEPT_SIZE];
    struct bytes key, subprotocol;
    struct buffer extension = {0}, *head = &offer->head;
    unsigned window_bits = 0;
    int deflate = 0, status = http_websocket_check(request, &key);

    if (status == 0)
        status = http_websocket_subprotocol(request, &subprotocol);
    if (status == 0 && only)
        subprotocol = http_websocket_offers(request, only) ? bytes_from_text(only) : (struct bytes){0};
    if (status == 0 && gateway->settings->compression)
        deflate = deflate_offer_accept(request, &extension, &window_bits);
    if (status < 0 || deflate < 0)
        return status < 0 ? status : deflate;
    *offer = (struct websocket_offer){.window_bits = (uint8_t)window_bits};
    websocket_accept_key(key, accept);
    buffer_append_literal(head, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    buffer_append(head, accept, sizeof accept);
    if (subprotocol.length) {
        buffer_append_literal(head, "\r\nSec-WebSocket-Protocol: ");
        buffer_append_bytes(head, subprotocol);
    }
    buffer_append_literal(head, "\r\n");
    if (deflate) {
        buffer_append_literal(head, "Sec-WebSocket-Extensions: ");
        buffer_append_bytes(head, buffer_bytes(&extension));
        buffer_append_literal(head, "\r\n");
    }
    buffer_done(&extension);
    buffer_append_bytes(head, fields);
    buffer_append_literal(head, "\r\n");
    return 0;
}

void websocket_offer_done(struct websocket_offer *offer)
{
    buffer_done(&offer->head);
}

void websocket_refuse(struct gateway *gateway, struct connection *connection,
                      const struct http_request *request, int status)
{
    if (status == -426)
        http_answer_status(gateway, connection, request, 426,
                           BYTES("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"));
    else
        http_fail(gateway, connection, -status, CLOSE_HTTP_BAD_REQUEST);
}

void websocket_accept(struct gateway *gateway, struct connection *connection,
                      const struct websocket_offer *offer, const struct connection_protocol *protocol,
                      struct bytes first)
{
    connection_send(gateway, connection, buffer_bytes(&offer->head));
    connection->protocol = protocol;
    connection->window_bits = offer->window_bits;
    connection->encoding = offer->window_bits < DEFLATE_WINDOW_BITS ? ENCODING_WEBSOCKET : ENCODING_DEFLATE;
    gateway->counters.websockets++;
    if (first.length)
        websocket_send(gateway, connection, false, first);
}

/* -- sending --------------------------------------------------------------------------------- */

static void send_frame(struct gateway *gateway, struct connection *connection, unsigned first,
                       struct bytes payload)
{
    char header[WEBSOCKET_HEADER_MAX];
    size_t length = websocket_frame_header(header, first, payload.length);
    char *at = connection_reserve(gateway, connection, length + payload.length);

    if (!at)
        return;
    memcpy(at, header, length);
    if (payload.length)
        memcpy(at + length, payload.data, payload.length);
}

void websocket_send(struct gateway *gateway, struct connection *connection, bool binary, struct bytes payload)
{
    send_frame(gateway, connection,
               WEBSOCKET_FIN | (binary ? WEBSOCKET_OPCODE_BINARY : WEBSOCKET_OPCODE_TEXT), payload);
}

void websocket_ping(struct gateway *gateway, struct connection *connection)
{
    send_frame(gateway, connection, WEBSOCKET_FIN | WEBSOCKET_OPCODE_PING, (struct bytes){0});
}

void websocket_close(struct gateway *gateway, struct connection *connection, unsigned code,
                     enum close_reason reason)
{
    websocket_close_saying(gateway, connection, code, (struct bytes){0}, reason);
}

void websocket_close_saying(struct gateway *gateway, struct connection *connection, unsigned code,
                            struct bytes text, enum close_reason reason)
{
    char frame[WEBSOCKET_CLOSE_MAX];
    size_t length = websocket_close_frame(frame, code ? code : WEBSOCKET_CLOSE_NO_STATUS, text);

    if (connection->arrival)
        arrival_let_go(gateway, connection);
    if (connection->protocol->let_go && connection->state == CONNECTION_OPEN)
        connection->protocol->let_go(gateway, connection);
    connection_send(gateway, connection, bytes_make(frame, length));
    connection_end(gateway, connection, reason);
}

/* -- receiving ------------------------------------------------------------------------------- */

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

static void close_for(struct gateway *gateway, struct connection *connection, int error)
{
    enum close_reason reason = reason_for(error);

    websocket_close(gateway, connection, close_reason_code(reason), reason);
}

static uint32_t message_limit(const struct gateway *gateway, const struct connection *connection)
{
    uint32_t limit = connection->protocol->message_limit;

    return limit ? limit : gateway->settings->max_payload;
}

/* A whole message; inflated first when it is compressed. */
static void on_message(struct gateway *gateway, struct connection *connection,
                       const struct websocket_event *event)
{
    bool binary = event->type == WEBSOCKET_BINARY;
    struct bytes payload = event->payload;

    if (event->compressed) {
        int result;

        buffer_clear(&gateway->inflated);
        result = deflate_inflate(gateway->deflate, payload, message_limit(gateway, connection),
                                 &gateway->inflated);
        payload = buffer_bytes(&gateway->inflated);
        if (result == 0 && !binary && !utf8_valid(payload))
            result = ERROR_UTF8;
        if (result == ERROR_MALFORMED)
            result = ERROR_UTF8; /* the data of the message is wrong, not its frame: 1007 */
        if (result < 0) {
            close_for(gateway, connection, result);
            return;
        }
    }
    gateway->came_compressed = event->compressed;
    connection->protocol->message(gateway, connection, binary, payload);
}

static void on_event(struct gateway *gateway, struct connection *connection,
                     const struct websocket_event *event)
{
    switch (event->type) {
    case WEBSOCKET_TEXT:
    case WEBSOCKET_BINARY:
        on_message(gateway, connection, event);
        break;
    case WEBSOCKET_PING:
        if (!quota_take_event(gateway, connection)) /* only the newest must be answered (RFC 6455 5.5.3) */
            break;
        send_frame(gateway, connection, WEBSOCKET_FIN | WEBSOCKET_OPCODE_PONG, event->payload);
        break;
    case WEBSOCKET_CLOSE: /* is answered with the same code */
        websocket_close(gateway, connection, event->close_code, CLOSE_PEER_GONE);
        break;
    case WEBSOCKET_PONG:
        if (connection->protocol->pong)
            connection->protocol->pong(gateway, connection);
        break;
    case WEBSOCKET_NONE:
        break;
    }
}

/* The decoder as the last input left it; it is the caller's until keep_decoder(). */
static struct websocket_decoder take_decoder(struct connection *connection)
{
    struct websocket_decoder decoder = {0};

    if (connection->decoder) {
        decoder = *connection->decoder;
        free(connection->decoder);
        connection->decoder = NULL;
    }
    return decoder;
}

/* Most input ends with the end of a message: then nothing is kept. */
static void keep_decoder(struct connection *connection, struct websocket_decoder *decoder)
{
    if (connection->state != CONNECTION_OPEN || websocket_decoder_is_empty(decoder)) {
        websocket_decoder_done(decoder);
        return;
    }
    connection->decoder = memory_new(sizeof *decoder);
    *connection->decoder = *decoder;
}

void websocket_forget(struct connection *connection)
{
    struct websocket_decoder decoder = take_decoder(connection);

    websocket_decoder_done(&decoder);
}

void websocket_input(struct gateway *gateway, struct connection *connection, char *data, size_t length)
{
    struct websocket_decoder decoder = take_decoder(connection);
    struct websocket_limits limits = {.max_payload = message_limit(gateway, connection),
                                      .allowed_rsv1 = connection->window_bits};
    struct websocket_event event;

    do {
        size_t consumed;
        int result = websocket_decode(&decoder, &limits, data, length, &consumed, &event);

        if (result < 0) {
            close_for(gateway, connection, result);
            break;
        }
        data += consumed;
        length -= consumed;
        on_event(gateway, connection, &event);
    } while (event.type != WEBSOCKET_NONE && connection->state == CONNECTION_OPEN && !connection->paused &&
             !connection->stopped);
    keep_decoder(connection, &decoder);
    if (length && connection->state == CONNECTION_OPEN)
        connection_hold(connection, data, length);
}

/* -- an Engine.IO session -------------------------------------------------------------------- */

static void on_session_message(struct gateway *gateway, struct connection *connection, bool binary,
                               struct bytes payload)
{
    if (binary)
        engine_receive_binary(gateway, connection, payload);
    else
        engine_receive(gateway, connection, payload);
}

static void on_session_ending(struct gateway *gateway, struct connection *connection,
                              enum close_reason reason)
{
    gateway->counters.websockets--;
    packet_pending_free(connection);
    sockets_close(gateway, connection, reason);
    session_end(gateway, connection);
}

const struct connection_protocol websocket_session = {
    .input = websocket_input,
    .message = on_session_message,
    .timeout = engine_on_timeout,
    .ending = on_session_ending,
};

/* -- the echo -------------------------------------------------------------------------------- */

/* Goes back as it came, whatever its length: compressed if it was. */
static void on_echo_message(struct gateway *gateway, struct connection *connection, bool binary,
                            struct bytes payload)
{
    struct buffer compressed = {0};

    if (gateway->came_compressed) {
        unsigned opcode = binary ? WEBSOCKET_OPCODE_BINARY : WEBSOCKET_OPCODE_TEXT;

        deflate_compress_within(gateway->deflate, payload, connection->window_bits, &compressed);
        send_frame(gateway, connection, WEBSOCKET_FIN | WEBSOCKET_RSV1 | opcode, buffer_bytes(&compressed));
        buffer_done(&compressed);
    } else if (binary)
        engine_send_binary(gateway, connection, payload);
    else
        engine_send(gateway, connection, &payload, 1, (struct bytes){0});
}

/* Nothing is expected of whoever measures, but that it goes away some time. */
static void on_echo_timeout(struct gateway *gateway, struct connection *connection)
{
    (void)gateway;
    (void)connection;
}

static void on_echo_ending(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    (void)connection;
    (void)reason;
    gateway->counters.websockets--;
}

const struct connection_protocol websocket_echo = {
    .output_limit = 256 << 20,
    .message_limit = 32 << 20,
    .input = websocket_input,
    .message = on_echo_message,
    .timeout = on_echo_timeout,
    .ending = on_echo_ending,
};
