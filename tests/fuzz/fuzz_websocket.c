/*
 * Fuzzes proto/websocket.h: a stream gives the same events and the same error
 * however it is cut into reads; and a message that is sent in fragments comes out as it was.
 *
 * The first byte chooses the limits, the second how long the reads and the fragments are; the
 * rest is the stream, then a message.
 */
#include "common/buffer.h"
#include "fuzz.h"
#include "proto/websocket.h"

static void note(struct buffer *transcript, const struct websocket_event *event)
{
    buffer_printf(transcript, "%d %d %d %zu:", event->type, event->compressed, event->close_code,
                  event->payload.length);
    buffer_append_bytes(transcript, event->payload);
    if (event->type == WEBSOCKET_TEXT && !event->compressed)
        require(utf8_valid(event->payload));
}

/* One read, in memory of exactly its size; false after an error. */
static bool play_read(struct websocket_decoder *decoder, const struct websocket_limits *limits,
                      struct bytes part, struct buffer *transcript)
{
    char *data = copy_of(part);
    struct websocket_event event;
    size_t at = 0;
    int rc;
    do {
        size_t consumed = 0;
        rc = websocket_decode(decoder, limits, data + at, part.length - at, &consumed, &event);
        if (rc) {
            buffer_printf(transcript, "error %d", rc);
            break;
        }
        at += consumed;
        require(at <= part.length);
        require(event.payload.length <= WEBSOCKET_CONTROL_MAX ||
                event.payload.length <=
                    limits->max_payload + event.compressed * (limits->max_payload / 8 + 64));
        require(!event.compressed || limits->allowed_rsv1);
        if (event.type != WEBSOCKET_NONE)
            note(transcript, &event);
    } while (event.type != WEBSOCKET_NONE);
    require(rc || at == part.length);
    free(data);
    return rc == 0;
}

static struct buffer play(const struct websocket_limits *limits, struct bytes stream, size_t read_length)
{
    struct websocket_decoder decoder = {0};
    struct buffer transcript = {0};
    while (stream.length)
        if (!play_read(&decoder, limits, take_front(&stream, read_length), &transcript))
            break;
    websocket_decoder_done(&decoder);
    return transcript;
}

static void append_frame(struct buffer *stream, unsigned first, struct bytes payload)
{
    char header[WEBSOCKET_HEADER_MAX];
    size_t length = websocket_frame_header(header, first, payload.length);
    unsigned char mask[4] = {0x37, 0xfa, (unsigned char)payload.length, 0x3d};
    header[1] |= (char)0x80;
    buffer_append(stream, header, length);
    buffer_append(stream, mask, sizeof mask);
    for (size_t i = 0; i < payload.length; i++)
        buffer_append_char(stream, (char)(payload.data[i] ^ mask[i & 3]));
}

/* The message in fragments, with pings between, compressed for all that the codec knows. */
static void check_fragments(struct bytes message, size_t fragment, size_t read_length)
{
    const struct websocket_limits limits = {.max_payload = (uint32_t)message.length, .allowed_rsv1 = true};
    struct buffer stream = {0};
    struct buffer expected = {0};
    struct bytes rest = message;
    unsigned first = WEBSOCKET_OPCODE_TEXT | WEBSOCKET_RSV1;
    do {
        struct bytes part = take_front(&rest, fragment);
        append_frame(&stream, first | (rest.length ? 0 : WEBSOCKET_FIN), part);
        first = WEBSOCKET_OPCODE_CONTINUATION;
        if (rest.length) {
            append_frame(&stream, WEBSOCKET_FIN | WEBSOCKET_OPCODE_PING, BYTES("ping"));
            note(&expected, &(struct websocket_event){.type = WEBSOCKET_PING, .payload = BYTES("ping")});
        }
    } while (rest.length);
    note(&expected,
         &(struct websocket_event){.type = WEBSOCKET_TEXT, .compressed = true, .payload = message});
    struct buffer played = play(&limits, buffer_bytes(&stream), read_length);
    require(bytes_equal(buffer_bytes(&played), buffer_bytes(&expected)));
    buffer_done(&played);
    buffer_done(&expected);
    buffer_done(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct websocket_limits limits = {.max_payload = data[0] & 1 ? 60 : 100000, .allowed_rsv1 = data[0] & 2};
    struct bytes stream = {(const char *)data + 2, size - 2};
    struct buffer whole = play(&limits, stream, SIZE_MAX);
    struct buffer cut = play(&limits, stream, 2 + data[1] % 32u);
    struct buffer bytes = play(&limits, stream, 1);
    require(bytes_equal(buffer_bytes(&whole), buffer_bytes(&cut)));
    require(bytes_equal(buffer_bytes(&whole), buffer_bytes(&bytes)));
    buffer_done(&whole);
    buffer_done(&cut);
    buffer_done(&bytes);
    check_fragments(stream, 1 + data[1], 1 + data[0] + data[1]);
    return 0;
}
