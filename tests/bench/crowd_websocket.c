/*
 * A crowd's clients on WebSockets: the upgrade, frames (RFC 6455), and compressed messages (RFC 7692).
 *
 * crowd.c calls it.  The surprise: a broadcast comes to a thousand clients as the same bytes, so what was
 * inflated last is remembered, and the generator measures the server and not zlib.
 */
#include "common/memory.h"
#include "tests/bench/crowd_transport.h"

#include <assert.h>
#include <stdlib.h>
#include <zlib.h>

/* RFC 6455 section 5.2 */
enum { OPCODE_TEXT = 1, OPCODE_BINARY = 2, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };
enum { FIN = 0x80, RSV1 = 0x40, MASKED = 0x80, OPCODE_BITS = 15 };

static const unsigned char mask[4] = {0x5a, 0xc3, 0x1f, 0x96};

/* -- sending --------------------------------------------------------------------------------- */

/* Sends a masked frame; a mask of the same bytes each time is fine for a generator. */
static void send_frame(struct crowd *crowd, struct client *client, unsigned opcode, struct bytes payload)
{
    struct buffer *out = &crowd->scratch;
    char *to;

    assert(payload.length < 65536);
    buffer_clear(out);
    buffer_append_char(out, (char)(FIN | opcode));
    if (payload.length < 126) {
        buffer_append_char(out, (char)(MASKED | payload.length));
    } else {
        buffer_append_char(out, (char)(MASKED | 126));
        buffer_append_char(out, (char)(payload.length >> 8));
        buffer_append_char(out, (char)payload.length);
    }
    buffer_append(out, mask, sizeof mask);
    to = buffer_reserve(out, payload.length);
    for (size_t i = 0; i < payload.length; i++)
        to[i] = (char)(payload.data[i] ^ mask[i % 4]);
    buffer_extend(out, payload.length);
    crowd_send(crowd, client, 0, buffer_bytes(out));
}

static void send_text(struct crowd *crowd, struct client *client, struct bytes text)
{
    send_frame(crowd, client, OPCODE_TEXT, text);
}

static void send_binary(struct crowd *crowd, struct client *client, struct bytes payload)
{
    send_frame(crowd, client, OPCODE_BINARY, payload);
}

static void ask_for_upgrade(struct crowd *crowd, struct client *client, unsigned link)
{
    struct buffer *head = &crowd->scratch;

    client->state = UPGRADING;
    buffer_clear(head);
    if (crowd->plan.language == CROWD_PLAIN)
        buffer_printf(head, "GET /?room=room-%u HTTP/1.1\r\n", client->room);
    else
        buffer_printf(head, "GET /%s/?EIO=4&transport=websocket HTTP/1.1\r\n",
                      crowd->plan.language == CROWD_MSGPACK ? "msgpack" : "socket.io");
    if (crowd->inflater)
        buffer_append_literal(head,
                              "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n");
    buffer_printf(head,
                  "Host: %s:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Key: aHViYnViLWJlbmNoLXJ1bg==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                  crowd->plan.host, crowd->plan.port);
    crowd_send(crowd, client, link, buffer_bytes(head));
}

/* -- compressed messages --------------------------------------------------------------------- */

struct inflater {
    z_stream stream;
    struct buffer last, text; /* the payload that was inflated last, and what it gave */
};

struct inflater *inflater_new(void)
{
    struct inflater *inflater = memory_zero(1, sizeof *inflater);
    int result = inflateInit2(&inflater->stream, -MAX_WBITS);

    assert(result == Z_OK);
    (void)result;
    return inflater;
}

void inflater_free(struct inflater *inflater)
{
    if (!inflater)
        return;
    inflateEnd(&inflater->stream);
    buffer_done(&inflater->last);
    buffer_done(&inflater->text);
    free(inflater);
}

/* No context goes from message to message; 0, or ERROR_MALFORMED. */
static int inflate_message(struct inflater *inflater, struct bytes payload, struct bytes *text)
{
    static const unsigned char end[] = {0, 0, 0xff, 0xff};
    z_stream *stream = &inflater->stream;

    if (inflater->last.length && bytes_equal(buffer_bytes(&inflater->last), payload)) {
        *text = buffer_bytes(&inflater->text);
        return 0;
    }
    buffer_clear(&inflater->last);
    buffer_append_bytes(&inflater->last, payload);
    buffer_append(&inflater->last, end, sizeof end);
    buffer_reserve(&inflater->text, CROWD_READ_SIZE);
    inflateReset(stream);
    stream->next_in = (Bytef *)inflater->last.data;
    stream->avail_in = (uInt)inflater->last.length;
    stream->next_out = (Bytef *)inflater->text.data;
    stream->avail_out = CROWD_READ_SIZE;
    if (inflate(stream, Z_SYNC_FLUSH) != Z_OK || stream->avail_in) {
        buffer_clear(&inflater->last);
        return ERROR_MALFORMED;
    }
    inflater->last.length = payload.length;
    inflater->text.length = CROWD_READ_SIZE - stream->avail_out;
    *text = buffer_bytes(&inflater->text);
    return 0;
}

/* -- receiving ------------------------------------------------------------------------------- */

static void got_message(struct crowd *crowd, struct client *client, unsigned first, struct bytes payload)
{
    bool compressed = first & RSV1;

    if (compressed && (!crowd->inflater || inflate_message(crowd->inflater, payload, &payload)))
        crowd_give_up(crowd, client, "got a compressed frame that it cannot read", payload);
    else {
        crowd->figures.compressed += compressed;
        if ((first & OPCODE_BITS) == OPCODE_BINARY)
            crowd_got_binary(crowd, client, payload);
        else
            crowd_got_text(crowd, client, payload);
    }
}

static void got_frame(struct crowd *crowd, struct client *client, unsigned first, struct bytes payload)
{
    switch (first & OPCODE_BITS) {
    case OPCODE_TEXT:
    case OPCODE_BINARY:
        got_message(crowd, client, first, payload);
        return;
    case OPCODE_PING:
        send_frame(crowd, client, OPCODE_PONG, payload);
        return;
    case OPCODE_CLOSE:
        crowd_give_up(crowd, client, "the server closed the WebSocket", (struct bytes){0});
        return;
    default:
        crowd_give_up(crowd, client, "got a frame of another kind", payload);
    }
}

/* Handles the frames that are whole; returns how many bytes they took. */
static size_t take_frames(struct crowd *crowd, struct client *client, struct bytes input)
{
    size_t taken = 0;

    while (!client_is_gone(client)) {
        const unsigned char *at = (const unsigned char *)input.data + taken;
        size_t left = input.length - taken, head = 2;
        uint64_t length;

        if (left < head)
            break;
        length = at[1];
        if (length == 126)
            head = 4;
        else if (length == 127)
            head = 10;
        if (left < head)
            break;
        if (length >= 126) {
            length = 0;
            for (size_t i = 2; i < head; i++)
                length = length << 8 | at[i];
        }
        if (length > CROWD_READ_SIZE / 2) {
            crowd_give_up(crowd, client, "got too large a frame, or a masked one", (struct bytes){0});
            break;
        }
        if (left - head < length)
            break;
        got_frame(crowd, client, at[0], bytes_make((const char *)at + head, length));
        taken += head + length;
    }
    return taken;
}

/* Handles the answer to the upgrade when it is whole; returns how many bytes it took. */
static size_t take_head(struct crowd *crowd, struct client *client, struct bytes input)
{
    const char *end = memmem(input.data, input.length, "\r\n\r\n", 4);

    if (!end)
        return 0;
    if (!bytes_starts_with(input, BYTES("HTTP/1.1 101 "))) {
        crowd_give_up(crowd, client, "the upgrade was refused", input);
        return 0;
    }
    if (crowd->plan.language == CROWD_PLAIN)
        crowd_become_ready(crowd, client);
    else
        client->state = OPENING;
    return (size_t)(end + 4 - input.data);
}

static size_t take_input(struct crowd *crowd, struct client *client, unsigned link, struct bytes input)
{
    size_t taken = 0;

    (void)link;
    if (client->state == UPGRADING)
        taken = take_head(crowd, client, input);
    if (!client_is_gone(client) && client->state != UPGRADING)
        taken += take_frames(crowd, client, bytes_make(input.data + taken, input.length - taken));
    return taken;
}

const struct crowd_transport crowd_websocket = {
    .links = 1,
    .connected = ask_for_upgrade,
    .input = take_input,
    .send_text = send_text,
    .send_binary = send_binary,
};
