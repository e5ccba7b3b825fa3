/*
 * Polling payloads; see engineio_payload.h.  Owns nothing; the gateway's polling
 * transport calls it, and the upgrade, which turns a queue into frames.
 * Surprising: base64 is never refused, as the reference never does.
 */
#include "proto/engineio_payload.h"

#include "common/base64.h"
#include "proto/utf8.h"

#include <assert.h>
#include <string.h>

#define BINARY_MARK 'b'

void engineio_payload_open(struct engineio_payload *payload, struct bytes body)
{
    *payload = (struct engineio_payload){.rest = body};
}

void engineio_payload_open_queue(struct engineio_payload *payload, struct bytes queue)
{
    *payload = (struct engineio_payload){.rest = queue, .ended = queue.length == 0, .own = true};
    if (queue.length) {
        assert(queue.data[0] == ENGINEIO_PAYLOAD_SEPARATOR);
        payload->rest = bytes_make(queue.data + 1, queue.length - 1);
    }
}

static struct engineio_packet decode_binary(struct bytes base64, struct buffer *decoded)
{
    buffer_clear(decoded);
    char *out = buffer_reserve(decoded, base64_decoded_max(base64.length));
    buffer_extend(decoded, base64_read(out, base64));
    return (struct engineio_packet){.type = ENGINEIO_MESSAGE, .data = buffer_bytes(decoded)};
}

int engineio_payload_next(struct engineio_payload *payload, struct buffer *decoded,
                          struct engineio_payload_packet *out)
{
    if (payload->ended)
        return 0;

    struct bytes rest = payload->rest;
    const char *end = rest.length ? memchr(rest.data, ENGINEIO_PAYLOAD_SEPARATOR, rest.length) : NULL;
    struct engineio_payload_packet found = {
        .text = bytes_make(rest.data, end ? (size_t)(end - rest.data) : rest.length)};

    if (found.text.length && found.text.data[0] == BINARY_MARK) {
        found.binary = true;
        found.packet = decode_binary(bytes_make(found.text.data + 1, found.text.length - 1), decoded);
    } else {
        if (engineio_packet_parse(found.text, &found.packet))
            return ERROR_MALFORMED;
        if (!payload->own && !utf8_valid(found.text))
            return ERROR_UTF8;
    }
    if (end)
        payload->rest = bytes_make(end + 1, rest.length - found.text.length - 1);
    else
        payload->ended = true;
    *out = found;
    return 1;
}

char *engineio_payload_write_text(char *at, const struct bytes *parts, size_t count)
{
    *at++ = ENGINEIO_PAYLOAD_SEPARATOR;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].length)
            memcpy(at, parts[i].data, parts[i].length);
        at += parts[i].length;
    }
    return at;
}

char *engineio_payload_write_binary(char *at, struct bytes message)
{
    *at++ = ENGINEIO_PAYLOAD_SEPARATOR;
    *at++ = BINARY_MARK;
    base64_write(at, message);
    return at + base64_length(message.length);
}

size_t engineio_payload_part(struct bytes queue, size_t limit)
{
    size_t length = limit;

    if (queue.length <= limit)
        return queue.length;
    while (length && queue.data[length] != ENGINEIO_PAYLOAD_SEPARATOR)
        length--;
    return length;
}

size_t engineio_payload_text_length(size_t packet_length)
{
    return 1 + packet_length;
}

size_t engineio_payload_binary_length(size_t message_length)
{
    return 2 + base64_length(message_length);
}
