/*
 * The handshake of permessage-deflate (RFC 7692 7.1), the server's half.
 */
#ifndef HUBBUB_PROTO_DEFLATE_OFFER_H
#define HUBBUB_PROTO_DEFLATE_OFFER_H

#include "proto/http.h"

/*
 * Takes the first offer in the fields Sec-WebSocket-Extensions that can be accepted, and appends the value
 * of that field for the answer.  Other extensions are passed over; an offer with an unknown parameter,
 * or one twice, or a wrong value, is declined.  The answer has no context takeover in both directions.
 *
 * *window_bits: the window of what this side may send, 8 to 15.  Below DEFLATE_WINDOW_BITS frames that
 * deflate_compress() made are not for this client: it is told that it gets its window and may compress, but
 * what it gets is not compressed, or by deflate_compress_within().
 *
 * Returns 1, or 0 when there is nothing to accept, or -400 when a field breaks the grammar of RFC 6455 9.1;
 * answer and *window_bits are touched only with 1.
 */
int deflate_offer_accept(const struct http_request *request, struct buffer *answer,
                         unsigned *window_bits) MUST_CHECK;

#endif
