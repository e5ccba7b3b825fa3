/*
 * How a message is put into bytes for a client: as WebSocket frames, as compressed ones, or as a part of a
 * polling payload.  What the message says is in the client's dialect: an Engine.IO message with a Socket.IO
 * packet, or a frame of a bare WebSocket (proto/bare.h).
 *
 *   WEBSOCKET  a text frame "4..." and a binary frame for each attachment (RFC 6455)
 *   DEFLATE    the same frames, those of the threshold's length or more compressed (RFC 7692, no context
 *              takeover) unless that makes them no shorter
 *   POLLING    0x1e "4..." and 0x1e "b" base64 for each attachment: every packet starts with the separator,
 *              and whoever writes the payload leaves out the first one (Engine.IO v4, payloads)
 *   MSGPACK, MSGPACK_DEFLATE, MSGPACK_POLLING
 *              the same three for clients with the msgpack parser: the packet and its attachments are one
 *              binary message (proto/socketio_msgpack.h)
 *   BARE, BARE_DEFLATE  as WEBSOCKET and DEFLATE: a text frame, and no attachments apart from it
 */
#ifndef HUBBUB_GATEWAY_ENCODING_H
#define HUBBUB_GATEWAY_ENCODING_H

#include "common/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum encoding {
    ENCODING_WEBSOCKET,
    ENCODING_DEFLATE,
    ENCODING_POLLING,
    ENCODING_MSGPACK,
    ENCODING_MSGPACK_DEFLATE,
    ENCODING_MSGPACK_POLLING,
    ENCODING_BARE,
    ENCODING_BARE_DEFLATE,
    ENCODINGS
};

enum dialect { DIALECT_SOCKETIO, DIALECT_BARE };

static inline enum dialect encoding_dialect(enum encoding encoding)
{
    return encoding == ENCODING_BARE || encoding == ENCODING_BARE_DEFLATE ? DIALECT_BARE : DIALECT_SOCKETIO;
}

static inline bool encoding_is_msgpack(enum encoding encoding)
{
    return encoding >= ENCODING_MSGPACK && encoding <= ENCODING_MSGPACK_POLLING;
}

static inline bool encoding_is_polling(enum encoding encoding)
{
    return encoding == ENCODING_POLLING || encoding == ENCODING_MSGPACK_POLLING;
}

/* The same transport for a client with the msgpack parser, or without it. */
static inline enum encoding encoding_for_parser(enum encoding encoding, bool msgpack)
{
    return encoding_is_msgpack(encoding) || !msgpack ? encoding
                                                     : (enum encoding)(encoding + ENCODING_MSGPACK);
}

/* What DEFLATE and the MSGPACK ones need, one for the process.  NULL while neither is configured. */
struct encoder;

/* threshold: the least length of a frame's payload that is compressed. */
struct encoder *encoder_new(size_t threshold);
void encoder_free(struct encoder *encoder);

/* A message about to be written: its text in parts, joined, which with Socket.IO starts with the packet's
   digit "4", or without parts no text; and what the placeholders in it stand for (a BLOBS field of
   proto/wire.h; length 0 for none). */
struct encoding_message {
    const struct bytes *parts;
    size_t count;
    struct bytes attachments;
    /* Filled by encoding_measure(). */
    size_t text_length; /* of the parts together */
    size_t encoded;     /* DEFLATE: the length of the frames in the encoder's memory; 0: none is compressed */
    uint64_t packed;    /* MSGPACK: which of the encoder's packets it became; 0: none yet */
};

/* The exact number of bytes that encoding_write() will write.  With DEFLATE this compresses, and the result
   is good until the next call for the same encoder.  With MSGPACK this makes the packet, once for all three
   of them while no other message comes between.  WEBSOCKET and POLLING need no encoder. */
size_t encoding_measure(struct encoder *encoder, enum encoding encoding, struct encoding_message *message);
void encoding_write(const struct encoder *encoder, enum encoding encoding,
                    const struct encoding_message *message, char *out);

#endif
