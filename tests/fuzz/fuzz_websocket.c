/*
 * Fuzzes proto/websocket.h: a stream gives the same events and the same error
 * however it is cut into reads.
 *
 * The first byte chooses the limits, the second how long the reads are; the
 * rest is the stream.
 */
#include "common/buffer.h"
#include "common/memory.h"
#include "proto/websocket.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

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
    char *data = memory_new(part.length);
    memcpy(data, part.data, part.length);
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
        require(event.payload.length <= limits->max_payload || event.payload.length <= WEBSOCKET_CONTROL_MAX);
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
    while (stream.length) {
        size_t length = stream.length < read_length ? stream.length : read_length;
        if (!play_read(&decoder, limits, bytes_make(stream.data, length), &transcript))
            break;
        stream = bytes_make(stream.data + length, stream.length - length);
    }
    websocket_decoder_done(&decoder);
    return transcript;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct websocket_limits limits = {.max_payload = data[0] & 1 ? 60 : 100000, .allowed_rsv1 = data[0] & 2};
    struct bytes stream = {(const char *)data + 2, size - 2};
    struct buffer whole = play(&limits, stream, SIZE_MAX);
    struct buffer cut = play(&limits, stream, 1 + data[1] % 32u);
    require(bytes_equal(buffer_bytes(&whole), buffer_bytes(&cut)));
    buffer_done(&whole);
    buffer_done(&cut);
    return 0;
}
