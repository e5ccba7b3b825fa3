/*
 * Messages as clients read them; see encoding.h.  The fan-out and the Engine.IO session write through it, and
 * it knows nothing of either.  The surprising rule: DEFLATE is written while it is measured, since nobody can
 * tell its length otherwise, and waits in the encoder for encoding_write() to copy it; and so do the packets
 * of the msgpack parser.
 */
#include "gateway/encoding.h"

#include "common/buffer.h"
#include "common/memory.h"
#include "proto/deflate.h"
#include "proto/engineio_payload.h"
#include "proto/socketio_msgpack.h"
#include "proto/websocket.h"
#include "proto/wire.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_CAPACITY = 1 << 20 }; /* what a larger message took is given back */

struct encoder {
    struct deflate *deflate; /* NULL before the first message that is compressed */
    size_t threshold;
    struct buffer compressed; /* the payload of one frame */
    struct buffer frames;     /* of the message measured last */
    struct buffer text;       /* a message's, in one */
    struct buffer packet;     /* of the msgpack parser, made last */
    struct bytes packed;      /* the same */
    uint64_t packets;         /* how many were made */
};

/* The text of a message or its msgpack packet, or one of its attachments. */
struct piece {
    const struct bytes *parts;
    size_t count;
    size_t length; /* of the parts together */
    bool binary;
};

/* Goes through what a message is made of. */
struct walk {
    struct piece first;
    bool begun;
    struct wire_reader reader; /* of its attachments */
    int left;
    struct bytes attachment;
};

struct encoder *encoder_new(size_t threshold)
{
    struct encoder *encoder = memory_zero(1, sizeof *encoder);

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
    buffer_done(&encoder->text);
    buffer_done(&encoder->packet);
    free(encoder);
}

static void walk_open(struct walk *walk, const struct encoder *encoder, enum encoding encoding,
                      const struct encoding_message *message)
{
    if (encoding_is_msgpack(encoding)) {
        walk->first = (struct piece){&encoder->packed, 1, encoder->packed.length, true};
        walk->begun = false;
        walk->left = 0;
        return;
    }
    walk->first = (struct piece){message->parts, message->count, message->text_length, false};
    walk->begun = message->count == 0;
    walk->left = message->attachments.length ? wire_list_open(&walk->reader, message->attachments) : 0;
}

/* False at the end.  The piece is good until the next call. */
static bool walk_next(struct walk *walk, struct piece *piece)
{
    if (!walk->begun) {
        walk->begun = true;
        *piece = walk->first;
        return true;
    }
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
        if (!encoder->deflate)
            encoder->deflate = deflate_new();
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
static size_t compress(struct encoder *encoder, struct walk *walk, size_t attachments)
{
    struct piece piece;

    if (walk->first.length < encoder->threshold && attachments < encoder->threshold)
        return 0;
    empty(&encoder->frames);
    while (walk_next(walk, &piece))
        append_compressed(encoder, &piece);
    empty(&encoder->compressed);
    return encoder->frames.length;
}

/* -- the msgpack parser's packets ------------------------------------------------------------- */

static void pack(struct encoder *encoder, struct encoding_message *message)
{
    struct bytes text = message->count == 1 ? message->parts[0] : (struct bytes){0};

    if (message->packed && message->packed == encoder->packets)
        return;
    empty(&encoder->text);
    empty(&encoder->packet);
    if (message->count > 1) {
        for (size_t i = 0; i < message->count; i++)
            buffer_append_bytes(&encoder->text, message->parts[i]);
        text = buffer_bytes(&encoder->text);
    }
    socketio_msgpack_append(text, message->attachments, &encoder->packet);
    encoder->packed = buffer_bytes(&encoder->packet);
    message->packed = ++encoder->packets;
}

/* -- all of them ----------------------------------------------------------------------------- */

static const struct format {
    size_t (*size)(const struct piece *piece);
    char *(*write)(const struct piece *piece, char *at); /* returns its end */
} formats[ENCODINGS] = {
    [ENCODING_WEBSOCKET] = {frame_size, write_frame},
    [ENCODING_DEFLATE] = {frame_size, write_frame}, /* of messages that are not compressed */
    [ENCODING_POLLING] = {packet_size, write_packet},
    [ENCODING_MSGPACK] = {frame_size, write_frame},
    [ENCODING_MSGPACK_DEFLATE] = {frame_size, write_frame},
    [ENCODING_MSGPACK_POLLING] = {packet_size, write_packet},
    [ENCODING_BARE] = {frame_size, write_frame},
    [ENCODING_BARE_DEFLATE] = {frame_size, write_frame},
};

static bool is_compressed(enum encoding encoding)
{
    return encoding == ENCODING_DEFLATE || encoding == ENCODING_MSGPACK_DEFLATE ||
           encoding == ENCODING_BARE_DEFLATE;
}

size_t encoding_measure(struct encoder *encoder, enum encoding encoding, struct encoding_message *message)
{
    struct piece piece;
    struct walk walk;
    size_t length = 0;

    message->text_length = 0;
    for (size_t i = 0; i < message->count; i++)
        message->text_length += message->parts[i].length;
    if (encoding_is_msgpack(encoding))
        pack(encoder, message);
    walk_open(&walk, encoder, encoding, message);
    message->encoded = is_compressed(encoding) ? compress(encoder, &walk, message->attachments.length) : 0;
    if (message->encoded)
        return message->encoded;
    while (walk_next(&walk, &piece))
        length += formats[encoding].size(&piece);
    return length;
}

void encoding_write(const struct encoder *encoder, enum encoding encoding,
                    const struct encoding_message *message, char *out)
{
    struct piece piece;
    struct walk walk;

    if (message->encoded) {
        assert(message->encoded == encoder->frames.length);
        memcpy(out, encoder->frames.data, message->encoded);
        return;
    }
    assert(!encoding_is_msgpack(encoding) || message->packed == encoder->packets);
    walk_open(&walk, encoder, encoding, message);
    while (walk_next(&walk, &piece))
        out = formats[encoding].write(&piece, out);
}
