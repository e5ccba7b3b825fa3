/*
 * Fuzzes proto/engineio_payload.h and common/base64.h: the packets of a body are that body, and put into a
 * queue they are read back as they were, as a queue and as the answer that a client gets.
 */
#include "common/base64.h"
#include "common/buffer.h"
#include "fuzz.h"
#include "proto/engineio_payload.h"
#include "proto/utf8.h"

/* Kind and bytes of a packet, told apart by their length in front. */
static void note(struct buffer *transcript, const struct engineio_payload_packet *found)
{
    buffer_printf(transcript, "%s%d %zu:", found->binary ? "b" : "", found->packet.type,
                  found->packet.data.length);
    buffer_append_bytes(transcript, found->packet.data);
}

static void check_text(const struct engineio_payload_packet *found)
{
    require(utf8_valid(found->text));
    require(found->text.length == found->packet.data.length + 1);
    require(found->text.data[0] == '0' + (char)found->packet.type);
}

static void append_text(struct buffer *queue, struct bytes packet)
{
    size_t length = engineio_payload_text_length(packet.length);
    char *at = buffer_reserve(queue, length);

    require(engineio_payload_write_text(at, &packet, 1) == at + length);
    buffer_extend(queue, length);
}

static void append_binary(struct buffer *queue, struct bytes message)
{
    size_t length = engineio_payload_binary_length(message.length);
    char *at = buffer_reserve(queue, length);

    require(engineio_payload_write_binary(at, message) == at + length);
    buffer_extend(queue, length);
}

/* Walks to the end or the first bad packet; what was read stands in the transcript, and in the queue again.
 */
static int walk(struct engineio_payload *payload, struct buffer *transcript, struct buffer *queue)
{
    struct engineio_payload_packet found;
    struct buffer decoded = {0};
    int rc;
    while ((rc = engineio_payload_next(payload, &decoded, &found)) == 1) {
        note(transcript, &found);
        if (found.binary) {
            require(found.packet.type == ENGINEIO_MESSAGE && found.text.data[0] == 'b');
            append_binary(queue, found.packet.data);
        } else {
            check_text(&found);
            append_text(queue, found.text);
        }
    }
    require(engineio_payload_next(payload, &decoded, &found) == rc);
    require(rc == 0 || rc == ERROR_MALFORMED || rc == ERROR_UTF8);
    buffer_done(&decoded);
    return rc;
}

/* The texts of the packets, joined again, are the body, or what it has before its bad packet. */
static void check_cover(struct bytes body)
{
    struct engineio_payload payload;
    struct engineio_payload_packet found;
    struct buffer decoded = {0};
    struct buffer joined = {0};
    int rc;
    engineio_payload_open(&payload, body);
    while ((rc = engineio_payload_next(&payload, &decoded, &found)) == 1)
        append_text(&joined, found.text);
    if (joined.length)
        buffer_consume(&joined, 1);
    require(bytes_starts_with(body, buffer_bytes(&joined)));
    require(rc || joined.length == body.length);
    buffer_done(&decoded);
    buffer_done(&joined);
}

static void check_payload(struct bytes body)
{
    struct engineio_payload payload;
    struct buffer first = {0};
    struct buffer second = {0};
    struct buffer queue = {0};
    struct buffer again = {0};

    engineio_payload_open(&payload, body);
    walk(&payload, &first, &queue);
    check_cover(body);

    engineio_payload_open_queue(&payload, buffer_bytes(&queue));
    require(walk(&payload, &second, &again) == 0);
    require(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));
    require(bytes_equal(buffer_bytes(&queue), buffer_bytes(&again)));
    if (queue.length) {
        buffer_clear(&second);
        buffer_clear(&again);
        engineio_payload_open(&payload, bytes_make(queue.data + 1, queue.length - 1));
        require(walk(&payload, &second, &again) == 0);
        require(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));
    }
    buffer_done(&first);
    buffer_done(&second);
    buffer_done(&queue);
    buffer_done(&again);
}

/* Any bytes as base64, in place and not; and there and back. */
static void check_base64(struct bytes text)
{
    size_t most = base64_decoded_max(text.length);
    char *out = memory_new(most + !most);
    char *in_place = copy_of(text);
    size_t length = base64_read(out, text);
    require(length <= most);
    require(base64_read(in_place, bytes_make(in_place, text.length)) == length);
    require(bytes_equal(bytes_make(in_place, length), bytes_make(out, length)));

    size_t written_length = base64_length(text.length);
    char *written = memory_new(written_length + !written_length);
    base64_write(written, text);
    require(base64_decoded_max(written_length) >= text.length);
    char *back = memory_new(base64_decoded_max(written_length) + 1);
    require(bytes_equal(bytes_make(back, base64_read(back, bytes_make(written, written_length))), text));
    free(out);
    free(in_place);
    free(written);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes body = bytes_make((const char *)data, size);
    char *copy = copy_of(body);
    check_payload(bytes_make(copy, size));
    check_base64(bytes_make(copy, size));
    free(copy);
    return 0;
}
