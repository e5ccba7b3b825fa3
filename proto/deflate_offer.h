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
 * *may_compress: whether this side may send frames that deflate_compress() made.  A client that wants a
 * window smaller than DEFLATE_WINDOW_BITS is told that it gets one and may compress, but what it gets is not.
 *
 * Returns 1, or 0 when there is nothing to accept, or -400 when a field breaks the grammar of RFC 6455 9.1;
 * answer and *may_compress are touched only with 1.
 */
int deflate_offer_accept(const struct http_request *request, struct buffer *answer,
                         bool *may_compress) MUST_CHECK;

#endif
