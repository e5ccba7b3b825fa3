/*
 * The frames of bare WebSockets (docs/protocol.md, "Bare WebSocket"): JSON objects, one a text message.
 *
 *   from the client  {"type":"publish","ref":1,"room":"R","event":"msg","data":..,"id":".."} and the like
 *   to the client    {"type":"event","event":"msg","args":[..],"meta":{..}}
 *
 * Nothing is decoded that need not be: data, arguments and meta go through as the bytes they came in.
 */
#ifndef HUBBUB_PROTO_BARE_H
#define HUBBUB_PROTO_BARE_H

#include "common/buffer.h"
#include "proto/json_scan.h"
#include "proto/socketio.h"

#include <stdbool.h>
#include <stddef.h>

/* What a frame asks for: X(NAME, text).  Beside PUBLISH and AUTHENTICATE each is an event of the broker with
   that name. */
#define BARE_TYPE_TABLE(X)                                                                                   \
    X(PUBLISH, "publish")                                                                                    \
    X(JOIN, "join")                                                                                          \
    X(LEAVE, "leave")                                                                                        \
    X(HISTORY, "history")                                                                                    \
    X(PRESENCE, "presence")                                                                                  \
    X(AUTHENTICATE, "authenticate")

enum bare_type {
#define X(name, text) BARE_##name,
    BARE_TYPE_TABLE(X)
#undef X
        BARE_TYPES, /* none of them */
};

/* The keys that mean something in any frame: X(NAME, text).  What else an event of the broker takes is looked
   for in the frame by whoever handles it; other keys are passed over. */
#define BARE_KEY_TABLE(X)                                                                                    \
    X(TYPE, "type")                                                                                          \
    X(REF, "ref")                                                                                            \
    X(ROOM, "room")                                                                                          \
    X(EVENT, "event")                                                                                        \
    X(DATA, "data")                                                                                          \
    X(ID, "id")

enum bare_key {
#define X(name, text) BARE_KEY_##name,
    BARE_KEY_TABLE(X)
#undef X
        BARE_KEYS,
};

/* Spans point into the parsed text, save event, which may point into the struct itself: it must not be
 * copied. */
struct bare_frame {
    enum bare_type type;     /* BARE_PUBLISH when the frame says none; BARE_TYPES for an unknown one */
    long long ref;           /* 0 to 2^53 - 1, or SOCKETIO_NO_ACK */
    struct bytes event;      /* unescaped; "msg" when the frame says none; empty when event_error */
    struct json_value whole; /* the frame's object */
    int event_error;         /* 0; ERROR_MALFORMED: no text; ERROR_TOO_LARGE over SOCKETIO_NAME_MAX bytes;
                                ERROR_UTF8 with a lone surrogate */
    struct json_value values[BARE_KEYS]; /* JSON_ABSENT for what is not there */
    char unescaped[SOCKETIO_NAME_MAX];
};

/*
 * Reads one frame, all of it.  ERROR_MALFORMED: no JSON, or no object.  ERROR_TOO_DEEP: beyond depth, which
 * is 1 to JSON_DEPTH_MAX, the frame's own object counted.  ERROR_EXISTS: one of the keys stands there
 * twice.  ERROR_UNSUPPORTED: ref is none.  out is undefined then.
 */
int bare_frame_parse(struct bytes text, unsigned depth, struct bare_frame *out) MUST_CHECK;

/* "publish" and so on; static. */
const char *bare_type_text(enum bare_type type);

/* The type of that name; BARE_TYPES when there is none. */
enum bare_type bare_type_find(struct bytes name);

enum { BARE_EVENT_PARTS = 8 };

/* A Socket.IO event as a bare client gets it: a text in parts, which point into the payload, into static text
 * or into space. */
struct bare_event {
    struct bytes parts[BARE_EVENT_PARTS];
    size_t count;
    struct buffer space; /* attachments */
};

/*
 * Takes apart an event's JSON array, as the router makes it: ["event", arguments.., meta, offset].  has_meta,
 * has_offset: whether it ends in those.  attachments (a BLOBS field of proto/wire.h) become base64 texts
 * under the key "attachments", for which the placeholders in the arguments stand.  ERROR_MALFORMED when it
 * is not such an array; there is nothing to free then.
 */
int bare_event_make(struct bytes payload, bool has_meta, bool has_offset, struct bytes attachments,
                    struct bare_event *out) MUST_CHECK;
void bare_event_done(struct bare_event *event);

/* Appends ,"attachments":["<base64>",..] for elements first to end - 1 of a BLOBS field, or nothing when
 * there are none. */
void bare_append_attachments(struct buffer *out, struct bytes attachments, unsigned first, unsigned end);

/*
 * Appends a message of a page of history ({"seq":..,"id":..,"event":..,"from":..,"at":..,"args":[..]}) as the
 * event frame that it was, and sets its seq.  attachments: of the whole page.  ERROR_MALFORMED when it is no
 * such message; out may hold a part of it then.
 */
int bare_append_missed(struct buffer *out, struct bytes room, struct json_value message,
                       struct bytes attachments, unsigned long long *seq) MUST_CHECK;

/*
 * Appends an acknowledgement.  answer is what a Socket.IO acknowledgement would have as its arguments: of one
 * object that begins with "ok", as the broker's own do, the members follow {"type":"ack","ref":..; anything
 * else stands under "args", with "ok":true.  attachments as above; length 0 for none.
 */
void bare_append_ack(struct buffer *out, long long ref, struct bytes answer, struct bytes attachments);

#endif
