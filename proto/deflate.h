/*
 * Compression: messages of permessage-deflate (RFC 7692 7.2) and bodies in gzip
 * (RFC 1952): zlib compresses, libdeflate inflates.
 *
 * Neither direction takes a context over from one message to the next, so one of
 * these serves all connections of a process, a compressed broadcast is the same bytes for
 * everyone, and an idle connection costs nothing.
 */
#ifndef HUBBUB_PROTO_DEFLATE_H
#define HUBBUB_PROTO_DEFLATE_H

#include "common/buffer.h"
#include "common/error.h"

/* The window that deflate_compress() uses, as a power of two: what it writes may look back so far. */
#define DEFLATE_WINDOW_BITS 15

struct deflate;

/* Some 170 KB for both directions, and as much as the longest payload had that it inflated; never NULL. */
struct deflate *deflate_new(void);
void deflate_free(struct deflate *deflate);

/*
 * Appends a message, given in parts of less than 4 GB together, as the payload of a frame with RSV1: without
 * the 00 00 ff ff at its end.  An empty message has a payload too.
 */
void deflate_compress(struct deflate *deflate, const struct bytes *parts, size_t count, struct buffer *out);

/*
 * The same for a peer with a window of that many bits, 8 to 15, at a worse ratio: no part of the message
 * refers further back.
 */
void deflate_compress_within(struct deflate *deflate, struct bytes message, unsigned window_bits,
                             struct buffer *out);

/*
 * Appends what a message's payload (of less than 4 GB) holds; whether text is UTF-8 is still to be checked.
 * A block marked as the final one ends nothing but the references across it (RFC 7692 7.2.3.4), and a
 * payload may lack the empty block that should follow it.  The 00 00 ff ff that 7.2.2 has us append are data
 * when a peer cut the payload four bytes before the end of a stored block: nobody could tell.
 *
 * Returns 0, or, with out's bytes untouched,
 *   ERROR_TOO_LARGE  it holds more than limit bytes; no more than these were inflated, and the
 *                    buffer's memory is less than twice as much
 *   ERROR_MALFORMED  not the payload of a message, or cut short
 */
int deflate_inflate(struct deflate *deflate, struct bytes message, size_t limit,
                    struct buffer *out) MUST_CHECK;

/* Appends the parts, of less than 4 GB together, as one gzip member. */
void deflate_gzip(struct deflate *deflate, const struct bytes *parts, size_t count, struct buffer *out);

#endif
