/*
 * The WebSocket codec (RFC 6455), server side: client frames in, messages out.
 *
 * The decoder is resumable at any byte, and need not be kept while nothing is half received.  A frame that
 * lies whole in the caller's buffer is unmasked there and handed out without a copy.
 */
#ifndef HUBBUB_PROTO_WEBSOCKET_H
#define HUBBUB_PROTO_WEBSOCKET_H

#include "common/bytes.h"
#include "common/error.h"
#include "proto/utf8.h"

#include <stdbool.h>
#include <stdint.h>

enum websocket_opcode {
    WEBSOCKET_OPCODE_CONTINUATION = 0x0,
    WEBSOCKET_OPCODE_TEXT = 0x1,
    WEBSOCKET_OPCODE_BINARY = 0x2,
    WEBSOCKET_OPCODE_CLOSE = 0x8,
    WEBSOCKET_OPCODE_PING = 0x9,
    WEBSOCKET_OPCODE_PONG = 0xa,
};

/* Or'ed to the opcode in a frame's first byte. */
enum websocket_flag {
    WEBSOCKET_FIN = 0x80,
    WEBSOCKET_RSV1 = 0x40,
};

/* RFC 6455 7.4.1 and the later entries of its registry. */
enum websocket_close {
    WEBSOCKET_CLOSE_NORMAL = 1000,
    WEBSOCKET_CLOSE_GOING_AWAY = 1001,
    WEBSOCKET_CLOSE_PROTOCOL = 1002,
    WEBSOCKET_CLOSE_UNSUPPORTED = 1003,
    WEBSOCKET_CLOSE_NO_STATUS = 1005, /* never sent: a close frame without a code */
    WEBSOCKET_CLOSE_INVALID_DATA = 1007,
    WEBSOCKET_CLOSE_POLICY = 1008,
    WEBSOCKET_CLOSE_TOO_LARGE = 1009,
    WEBSOCKET_CLOSE_INTERNAL = 1011,
    WEBSOCKET_CLOSE_RESTART = 1012,
    WEBSOCKET_CLOSE_TRY_LATER = 1013,
};

#define WEBSOCKET_HEADER_MAX  10  /* of a frame that a server sends */
#define WEBSOCKET_CONTROL_MAX 125 /* payload of a control frame */
#define WEBSOCKET_CLOSE_MAX   (2 + WEBSOCKET_CONTROL_MAX)
#define WEBSOCKET_ACCEPT_SIZE 28

struct websocket_limits {
    uint32_t max_payload; /* bytes of a whole message; a compressed one may take an eighth and 64 more */
    bool allowed_rsv1;    /* permessage-deflate (RFC 7692) was agreed on */
};

/* Private to the codec.  Zero-initialised is the start of a connection. */
struct websocket_decoder {
    char *stored;    /* what came of an unfinished message, then of an unfinished control frame */
    uint32_t length; /* bytes of the message in there */
    uint32_t capacity;
    uint32_t remaining; /* bytes of the frame's payload yet to come */
    uint8_t mask[4];    /* turned so that the next byte's is first */
    uint8_t header[14]; /* of a frame, until it is whole */
    uint8_t header_length;
    uint8_t state;
    uint8_t frame;          /* the frame's first byte */
    uint8_t message;        /* the first byte of the unfinished message's first frame; 0 when there is none */
    uint8_t control_length; /* bytes of the control frame in stored */
    struct utf8_state utf8;
};

enum websocket_event_type {
    WEBSOCKET_NONE, /* nothing more in the data */
    WEBSOCKET_TEXT, /* a whole message, checked to be UTF-8 unless compressed */
    WEBSOCKET_BINARY,
    WEBSOCKET_PING, /* to be answered with the same payload */
    WEBSOCKET_PONG,
    WEBSOCKET_CLOSE,
};

struct websocket_event {
    enum websocket_event_type type;
    bool compressed;      /* of a message: RSV1 was set, the payload is for deflate_inflate(); text is not
                             checked until the caller gives what comes of it to utf8_valid() */
    uint16_t close_code;  /* of a close: as sent, or WEBSOCKET_CLOSE_NO_STATUS */
    struct bytes payload; /* of a close: the reason */
};

/* Frees what was half received.  The decoder is as new afterwards. */
void websocket_decoder_done(struct websocket_decoder *decoder);

/* Whether nothing is half received (and no close frame came): a new one would go on in its place. */
bool websocket_decoder_is_empty(const struct websocket_decoder *decoder);

/*
 * Takes in client bytes up to the end of one message or control frame, and
 * unmasks them in place: the first *consumed bytes of data are spent.  Call
 * again with the rest, though it be empty, until the event is WEBSOCKET_NONE:
 * all of data is consumed then, and memory of a message that was handed out is
 * freed.  The event's payload lies in data or in the decoder and is valid until
 * the next call.  After a close everything more is consumed and ignored.
 *
 * Returns 0, or
 *   ERROR_PROTOCOL   a frame that RFC 6455 forbids
 *   ERROR_UTF8       a text message or a close reason that is not UTF-8
 *   ERROR_TOO_LARGE  a message over max_payload, said by the frame's header
 *   ERROR_NO_SPACE   no memory for a message in several parts
 * as early as the bytes tell.  *consumed and *event are untouched then, and
 * the decoder ignores all that follows.
 */
int websocket_decode(struct websocket_decoder *decoder, const struct websocket_limits *limits, char *data,
                     size_t length, size_t *consumed, struct websocket_event *event) MUST_CHECK;

/*
 * Writes the header of an unmasked frame, its first byte as given (opcode and
 * flags), and returns its length, 2, 4 or 10.
 */
size_t websocket_frame_header(char out[WEBSOCKET_HEADER_MAX], unsigned first, uint64_t payload_length);

/*
 * Writes a whole close frame and returns its length.  A reason longer than 123
 * bytes is cut between characters.  With WEBSOCKET_CLOSE_NO_STATUS the frame
 * has no payload.
 */
size_t websocket_close_frame(char out[WEBSOCKET_CLOSE_MAX], unsigned code, struct bytes reason);

/* Sec-WebSocket-Accept (RFC 6455 4.2.2) for a key that http_websocket_check() gave out; adds no terminator.
 */
void websocket_accept_key(struct bytes key, char out[WEBSOCKET_ACCEPT_SIZE]);

#endif
