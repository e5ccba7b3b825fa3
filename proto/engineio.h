/*
 * Engine.IO v4 packets on the websocket transport: one packet a WebSocket message.
 *
 * A text message is a digit and data; a binary message is a message packet
 * without a digit, and needs no parsing.
 */
#ifndef HUBBUB_PROTO_ENGINEIO_H
#define HUBBUB_PROTO_ENGINEIO_H

#include "common/buffer.h"
#include "common/error.h"

/* X(NAME, digit) */
#define ENGINEIO_TYPE_TABLE(X)                                                                               \
    X(OPEN, 0)                                                                                               \
    X(CLOSE, 1)                                                                                              \
    X(PING, 2)                                                                                               \
    X(PONG, 3)                                                                                               \
    X(MESSAGE, 4)                                                                                            \
    X(UPGRADE, 5)                                                                                            \
    X(NOOP, 6)

enum engineio_type {
#define X(name, digit) ENGINEIO_##name = digit,
    ENGINEIO_TYPE_TABLE(X)
#undef X
};

struct engineio_packet {
    enum engineio_type type;
    struct bytes data; /* points into the text; may be empty */
};

/*
 * The packet in one text message.  ERROR_MALFORMED for an empty text and for an
 * unknown digit.  Base64 ("b...") is of the polling transport and refused here; engineio_payload.h has it.
 * Which types are fine from a client, and when, is the caller's to judge.
 */
int engineio_packet_parse(struct bytes text, struct engineio_packet *out) MUST_CHECK;

/* What the open packet tells the client; times in milliseconds, the payload in bytes. */
struct engineio_open {
    struct bytes sid; /* of A-Z a-z 0-9 - _ only: it is written as it is */
    bool upgrade;     /* offer the upgrade to websocket */
    uint64_t ping_interval;
    uint64_t ping_timeout;
    uint64_t max_payload;
};

/* Appends the open packet, its keys in the order that clients have always seen. */
void engineio_append_open(struct buffer *out, const struct engineio_open *open);

/* What a request to the path is refused with: X(NAME, code, HTTP status, message) */
#define ENGINEIO_ERROR_TABLE(X)                                                                              \
    X(TRANSPORT_UNKNOWN, 0, 400, "Transport unknown")                                                        \
    X(SESSION_UNKNOWN, 1, 400, "Session ID unknown")                                                         \
    X(BAD_METHOD, 2, 400, "Bad handshake method")                                                            \
    X(BAD_REQUEST, 3, 400, "Bad request")                                                                    \
    X(FORBIDDEN, 4, 403, "Forbidden")                                                                        \
    X(VERSION_UNSUPPORTED, 5, 400, "Unsupported protocol version")

enum engineio_error {
#define X(name, code, status, message) ENGINEIO_ERROR_##name = code,
    ENGINEIO_ERROR_TABLE(X)
#undef X
        ENGINEIO_ERRORS
};

/* The HTTP status that goes with it. */
int engineio_error_status(enum engineio_error error);

/* The bare message, the body of a refused WebSocket upgrade; static. */
struct bytes engineio_error_message(enum engineio_error error);

/* Appends {"code":N,"message":"..."}, the body of any other refused request (application/json). */
void engineio_append_error(struct buffer *out, enum engineio_error error);

#endif
