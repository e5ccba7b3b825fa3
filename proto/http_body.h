/*
 * HTTP/1.1 request bodies (RFC 9112 6 and 7.1): counted by Content-Length or
 * chunked, resumable at any byte, as strict as the head: a line ends in CRLF, and
 * whatever two readers could take in two ways is refused.
 *
 * A body is a few numbers and points nowhere.  Failures are HTTP statuses,
 * negated; where the next request begins is not known then, so the caller answers
 * and closes the connection.
 */
#ifndef HUBBUB_PROTO_HTTP_BODY_H
#define HUBBUB_PROTO_HTTP_BODY_H

#include "proto/http.h"

/*
 * What a body may have beside its bytes: chunk extensions, zeros in front of a chunk's size, and
 * trailers, all of them together.  Chunks of one byte each need none of it.
 */
#define HTTP_BODY_EXTRA_MAX 4096

/* Private to the module. */
struct http_body {
    uint64_t remaining; /* bytes of the body, or of the chunk, yet to come; a chunk's size while it is read */
    size_t room;        /* bytes that the decoded body may still grow by */
    uint16_t extra;     /* bytes spent of HTTP_BODY_EXTRA_MAX */
    uint8_t digits;     /* of a chunk's size so far, without the zeros in front */
    uint8_t state;
};

/*
 * Begins the body that the head announces; with neither field there is none.
 * limit: bytes that the decoded body may have; exactly as many pass.
 */
void http_body_init(struct http_body *body, const struct http_request *request, size_t limit);

/*
 * Takes bytes that follow the head, none at all included, and appends what they hold of the body to out.
 * Trailers are checked and dropped.  *consumed is how many were taken: all of them, but at the end of the
 * body, behind which the next request stands.
 *
 * Returns 1 when the body is complete, 0 when more must come, or
 *   -400  a malformed chunk, extension or trailer; a size of more than 64 bits
 *   -413  the body is over the limit, said by Content-Length or a chunk's size; or more
 *         than HTTP_BODY_EXTRA_MAX is beside it
 * as early as the bytes tell.  *consumed is untouched then, the same is returned ever after, and out may
 * have got what stood before the fault.
 */
int http_body_read(struct http_body *body, const char *data, size_t length, size_t *consumed,
                   struct buffer *out) MUST_CHECK;

#endif
