/*
 * The body of POST /api/publish: a JSON object that says what is published to whom (docs/protocol.md,
 * section 1, "Publishing over HTTP").
 *
 *   {"namespace":"/","room":R | "rooms":[R,..] | "sid":S,"event":"msg","args":[..],
 *    "id":"..","class":"archived"|"logged"|"volatile","except":[R or S,..]}
 *
 * event and one of room, rooms and sid are needed; rooms [] is the whole namespace.  args is an array;
 * left out is none.
 */
#ifndef HUBBUB_PROTO_PUBLICATION_H
#define HUBBUB_PROTO_PUBLICATION_H

#include "common/buffer.h"
#include "common/error.h"
#include "proto/wire.h"

enum { PUBLICATION_NAMES_MAX = 64 /* of rooms, and of except */ };

/* Zero-initialised is empty. */
struct publication {
    struct bytes namespace; /* "/" when it was left out */
    struct wire_list rooms, except;
    bool to_socket; /* the one room is a sid */
    bool has_class; /* else class means nothing */
    enum wire_send_class class;
    struct bytes id;        /* empty when it was left out */
    struct bytes event;     /* decoded */
    struct bytes arguments; /* JSON texts joined by commas, in the body */
    struct buffer text;     /* what namespace, id and event point into */
};

void publication_done(struct publication *publication);

/*
 * Reads a body, which must outlive what was read, into an empty publication; publication_done() in any case.
 * 0; ERROR_MALFORMED: it is no JSON object in UTF-8; ERROR_TOO_DEEP; ERROR_PROTOCOL: it is an object, but
 * says what it may not: then *message is a static text that says what.
 */
int publication_read(struct publication *publication, struct bytes body, const char **message) MUST_CHECK;

#endif
