/*
 * A msgpack value of a client as the JSON text that the broker keeps: what a client that speaks JSON would
 * have sent for the same value, as JavaScript's JSON.stringify() and Socket.IO's text parser write it.
 *
 *   nil, false, true, str    null, false, true, a string
 *   integers                 their digits, exactly, up to 64 bits
 *   floats                   the shortest text of 15 to 17 digits that is the same number, whole ones below
 *                            1e21 as integers; null for NaN and the infinities
 *   array, map               an array; an object in the order of the map, whose keys must be str
 *   bin, ext 8 to 32 of      {"_placeholder":true,"num":N} and attachment N (notepack writes an ArrayBuffer
 *   type 0                   or a typed array of Node in the latter form)
 *   fixext 1 of type 0       undefined: null in an array, in a map nothing, not even its key
 *   fixext 8 of type 0       a Date, in milliseconds: its ISO text, or null outside of what a Date can be
 *
 * Other extensions, and keys that are no str, mean nothing in JSON.
 */
#ifndef HUBBUB_PROTO_MSGPACK_JSON_H
#define HUBBUB_PROTO_MSGPACK_JSON_H

#include "common/buffer.h"
#include "proto/msgpack_token.h"
#include "proto/wire.h"

/* Whether the token is notepack's undefined. */
static inline bool msgpack_is_undefined(const struct msgpack_token *token)
{
    return token->kind == MSGPACK_EXTENSION && token->fixed && token->extension == 0 &&
           token->bytes.length == 1;
}

/*
 * Appends the value at the cursor, which ends up behind it; its blobs go to attachments, whose numbers count
 * on from those that are there.  Of the outermost value undefined is null.  depth: 1 to JSON_DEPTH_MAX;
 * limit: bytes.  0, or with a part of it appended
 *   ERROR_MALFORMED    no msgpack
 *   ERROR_UTF8         a str that is not UTF-8
 *   ERROR_TOO_DEEP     more than depth containers in each other, a placeholder among them
 *   ERROR_TOO_LARGE    more than SOCKETIO_ATTACHMENTS_MAX attachments, or out is longer than limit
 *   ERROR_UNSUPPORTED  an extension or a key that JSON has nothing for
 */
int msgpack_json_append(struct msgpack_cursor *cursor, unsigned depth, size_t limit, struct buffer *out,
                        struct wire_list *attachments) MUST_CHECK;

#endif
