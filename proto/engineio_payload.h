/*
 * Payloads of Engine.IO v4's polling transport: packets joined by 0x1e.  A binary
 * message is 'b' and base64; every other packet is as on the websocket transport.
 *
 * One walker reads both what a client posts and the queue that we keep for a
 * client: the same format, with 0x1e in front of each packet, so that a packet is
 * appended without a look at what is there.
 */
#ifndef HUBBUB_PROTO_ENGINEIO_PAYLOAD_H
#define HUBBUB_PROTO_ENGINEIO_PAYLOAD_H

#include "proto/engineio.h"

#define ENGINEIO_PAYLOAD_SEPARATOR '\x1e'

/* Private to the module: what is left to read. */
struct engineio_payload {
    struct bytes rest;
    bool ended;
    bool own;
};

struct engineio_payload_packet {
    bool binary;
    struct engineio_packet packet; /* of a binary one: ENGINEIO_MESSAGE with its decoded bytes */
    struct bytes text; /* the packet as it stands in the payload; a text frame carries just that */
};

/* Starts with the body of a POST, which outlives the walk.  Like the reference, an empty one is one empty
 * packet. */
void engineio_payload_open(struct engineio_payload *payload, struct bytes body);

/* Starts with a queue that the functions below have made, which outlives the walk.  An empty one has no
 * packets. */
void engineio_payload_open_queue(struct engineio_payload *payload, struct bytes queue);

/*
 * The next packet.  The bytes of a binary one lie in decoded, which is overwritten by the next one; other
 * packets point into the payload.  What is no base64 is decoded as base64_read() says.
 *
 * Returns 1, or 0 at the end, or, with out untouched and again when called again,
 *   ERROR_MALFORMED  an empty packet, or one of an unknown type
 *   ERROR_UTF8       text of a client that is not UTF-8; a queue is not checked
 * The packets before the bad one count; those behind it do not.
 */
int engineio_payload_next(struct engineio_payload *payload, struct buffer *decoded,
                          struct engineio_payload_packet *out) MUST_CHECK;

/* Writes a packet of a queue: its parts joined, of which the first begins with the digit, or a binary
 * message. at has room for it; returns what is behind it.  The body of an answer is the queue without its
 * first byte. */
char *engineio_payload_write_text(char *at, const struct bytes *parts, size_t count);
char *engineio_payload_write_binary(char *at, struct bytes message);

/* How many bytes those write. */
size_t engineio_payload_text_length(size_t packet_length);
size_t engineio_payload_binary_length(size_t message_length);

/* The length of as many whole packets at the front of a queue as are no longer than the limit together: all
 * of it, or 0 when the first one alone is longer. */
size_t engineio_payload_part(struct bytes queue, size_t limit);

#endif
