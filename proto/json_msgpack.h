/*
 * The JSON text that the broker keeps as a msgpack value, for clients that speak msgpack: what such a client
 * reads is what another one reads in the text.
 *
 *   null, false, true   nil, false, true
 *   numbers             whole ones within 64 bits the shortest integer, exactly; others, and -0, a float of
 *                       64 bits, the nearest one
 *   strings             str in UTF-8; a lone surrogate, which UTF-8 has nothing for, is U+FFFD
 *   arrays, objects     array, map, in the same order, equal keys as often as they stand there
 *   placeholders        bin with the bytes of the attachment that they name (proto/placeholder.h), in a text
 *                       that has attachments
 */
#ifndef HUBBUB_PROTO_JSON_MSGPACK_H
#define HUBBUB_PROTO_JSON_MSGPACK_H

#include "common/buffer.h"
#include "common/error.h"
#include "proto/json_scan.h"

/* What a client may send, and what the broker puts around it: a page of history in its acknowledgement. */
enum { JSON_MSGPACK_DEPTH_MAX = JSON_DEPTH_MAX + 8 };

/*
 * Appends the value.  attachments: a BLOBS field of proto/wire.h, at most SOCKETIO_ATTACHMENTS_MAX of them;
 * length 0 for none.  A placeholder that names none of them stays the object that it is.
 *
 * 0, or with nothing appended ERROR_MALFORMED for what is no JSON, or ERROR_TOO_DEEP.  It takes no more than
 * json_scan() takes, but for the depth.
 */
int json_msgpack_append(struct bytes json, struct bytes attachments, struct buffer *out) MUST_CHECK;

#endif
