/*
 * Messages as clients read them; see encoding.h.  The fan-out and the Engine.IO session write through it, and
 * it knows nothing of either.  The surprising rule: DEFLATE is written while it is measured, since nobody can
 * tell its length otherwise, and waits in the encoder for encoding_write() to copy it.
 */
#include "gateway/encoding.h"

#include "common/buffer.h"
#include "common/memory.h"
#include "proto/deflate.h"
#include "proto/engineio_payload.h"
#include "proto/websocket.h"
#include "proto/wire.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_CAPACITY = 1 << 20 }; /* what a larger message took is given back */

struct encoder {
    struct deflate *deflate;
    size_t threshold;
    struct buffer compressed; /* the payload of one frame */
    struct buffer frames;     /* of the message measured last */
};

/* The text of a message, or one of its attachments. */
struct piece {
    const struct bytes *parts;
    size_t count;
    size_t length; /* of the parts together */
    bool binary;
};

/* Goes through the attachments of a message. */
struct walk {
    struct wire_reader reader;
    int left;
    struct bytes attachment;
};

struct encoder *encoder_new(size_t threshold)
{
    struct encoder *encoder = memory_zero(1, sizeof *encoder);

    encoder->deflate = deflate_new();
    encoder->threshold = threshold;
    return encoder;
}

void encoder_free(struct encoder *encoder)
{
    if (!encoder)
        return;
    deflate_free(encoder->deflate);
    buffer_done(&encoder->compressed);
    buffer_done(&encoder->frames);
    free(encoder);
}

static struct piece text_of(const struct encoding_message *message)
{
    return (struct piece){message->parts, message->count, message->text_length, false};
}

static void walk_open(struct walk *walk, const struct encoding_message *message)
{
    walk->left = message->attachments.length ? wire_list_open(&walk->reader, message->attachments) : 0;
}

/* False at the end.  The piece is good until the next call. */
static bool walk_next(struct walk *walk, struct piece *piece)
{
    if (walk->left <= 0 || wire_list_text(&walk->reader, &walk->attachment) < 0)
        return false;
    walk->left--;
    *piece = (struct piece){&walk->attachment, 1, walk->attachment.length, true};
    return true;
}

static char *write_parts(const struct piece *piece, char *at)
{
    for (size_t i = 0; i < piece->count; i++) {
        if (piece->parts[i].length)
            memcpy(at, piece->parts[i].data, piece->parts[i].length);
        at += piece->parts[i].length;
    }
    return at;
}

/* -- WebSocket frames ------------------------------------------------------------------------ */

static unsigned first_byte(const struct piece *piece)
{
    return WEBSOCKET_FIN | (piece->binary ? WEBSOCKET_OPCODE_BINARY : WEBSOCKET_OPCODE_TEXT);
}

static size_t frame_size(const struct piece *piece)
{
    char header[WEBSOCKET_HEADER_MAX];

    return websocket_frame_header(header, first_byte(piece), piece->length) + piece->length;
}

static char *write_frame(const struct piece *piece, char *at)
{
    at += websocket_frame_header(at, first_byte(piece), piece->length);
    return write_parts(piece, at);
}

/* -- packets of a polling payload ------------------------------------------------------------ */

static size_t packet_size(const struct piece *piece)
{
    return piece->binary ? engineio_payload_binary_length(piece->length)
                         : engineio_payload_text_length(piece->length);
}

static char *write_packet(const struct piece *piece, char *at)
{
    if (piece->binary)
        return engineio_payload_write_binary(at, piece->parts[0]); /* an attachment is one part */
    return engineio_payload_write_text(at, piece->parts, piece->count);
}

/* -- compressed frames ----------------------------------------------------------------------- */

static void append_compressed(struct encoder *encoder, const struct piece *piece)
{
    struct buffer *frames = &encoder->frames, *compressed = &encoder->compressed;
    char *at;

    if (piece->length >= encoder->threshold) {
        buffer_clear(compressed);
        deflate_compress(encoder->deflate, piece->parts, piece->count, compressed);
        if (compressed->length < piece->length) {
            at = buffer_reserve(frames, WEBSOCKET_HEADER_MAX);
            buffer_extend(frames,
                          websocket_frame_header(at, first_byte(piece) | WEBSOCKET_RSV1, compressed->length));
            buffer_append_bytes(frames, buffer_bytes(compressed));
            return;
        }
    }
    at = buffer_reserve(frames, frame_size(piece));
    buffer_extend(frames, (size_t)(write_frame(piece, at) - at));
}

static void empty(struct buffer *buffer)
{
    if (buffer->capacity > KEPT_CAPACITY)
        buffer_done(buffer);
    buffer_clear(buffer);
}

/* The length of the frames, or 0 when no piece is long enough to be compressed. */
static size_t compress(struct encoder *encoder, const struct encoding_message *message)
{
    struct piece piece = text_of(message);
    struct walk walk;

    if (message->text_length < encoder->threshold && message->attachments.length < encoder->threshold)
        return 0;
    empty(&encoder->frames);
    if (message->count)
        append_compressed(encoder, &piece);
    walk_open(&walk, message);
    while (walk_next(&walk, &piece))
        append_compressed(encoder, &piece);
    empty(&encoder->compressed);
    return encoder->frames.length;
}

/* -- all of them ----------------------------------------------------------------------------- */

static const struct format {
    size_t (*size)(const struct piece *piece);
    char *(*write)(const struct piece *piece, char *at); /* returns its end */
} formats[ENCODINGS] = {
    [ENCODING_WEBSOCKET] = {frame_size, write_frame},
    [ENCODING_DEFLATE] = {frame_size, write_frame}, /* of messages that are not compressed */
    [ENCODING_POLLING] = {packet_size, write_packet},
    [ENCODING_BARE] = {frame_size, write_frame},
    [ENCODING_BARE_DEFLATE] = {frame_size, write_frame},
};

static bool is_compressed(enum encoding encoding)
{
    return encoding == ENCODING_DEFLATE || encoding == ENCODING_BARE_DEFLATE;
}

size_t encoding_measure(struct encoder *encoder, enum encoding encoding, struct encoding_message *message)
{
    struct piece piece;
    struct walk walk;
    size_t length;

    message->text_length = 0;
    for (size_t i = 0; i < message->count; i++)
        message->text_length += message->parts[i].length;
    message->encoded = is_compressed(encoding) ? compress(encoder, message) : 0;
    if (message->encoded)
        return message->encoded;
    piece = text_of(message);
    length = message->count ? formats[encoding].size(&piece) : 0;
    walk_open(&walk, message);
    while (walk_next(&walk, &piece))
        length += formats[encoding].size(&piece);
    return length;
}

void encoding_write(const struct encoder *encoder, enum encoding encoding,
                    const struct encoding_message *message, char *out)
{
    struct piece piece = text_of(message);
    struct walk walk;

    if (message->encoded) {
        assert(message->encoded == encoder->frames.length);
        memcpy(out, encoder->frames.data, message->encoded);
        return;
    }
    if (message->count)
        out = formats[encoding].write(&piece, out);
    walk_open(&walk, message);
    while (walk_next(&walk, &piece))
        out = formats[encoding].write(&piece, out);
}
