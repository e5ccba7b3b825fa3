/*
 * Socket.IO v5 packets, as they stand in an Engine.IO message.
 *
 *   type [attachments "-"] [nsp ","] [ack-id] [json]
 *
 * The parser takes what the reference server takes, but for four oddities that no
 * client sends: blanks before or in the ack id or the payload's start, ack ids over
 * 2^53 - 1, attachment counts that are not plain digits, and namespaces over
 * SOCKETIO_NAMESPACE_MAX bytes are refused.
 *
 * Any error of the parser means that the peer's whole Engine.IO connection is to be
 * closed; what only deserves an answer (too long a name, a key that stands twice) is
 * reported apart from these, as said below.
 */
#ifndef HUBBUB_PROTO_SOCKETIO_H
#define HUBBUB_PROTO_SOCKETIO_H

#include "common/buffer.h"
#include "proto/json_scan.h"

enum {
    SOCKETIO_NAME_MAX = 255,
    SOCKETIO_NAMESPACE_MAX = 255,
    SOCKETIO_ATTACHMENTS_MAX = 10,
};

/* An ack id that is not there; and the greatest one, up to which JavaScript counts one by one. */
#define SOCKETIO_NO_ACK  (-1LL)
#define SOCKETIO_ACK_MAX 9007199254740991LL

enum socketio_type {
    SOCKETIO_CONNECT,
    SOCKETIO_DISCONNECT,
    SOCKETIO_EVENT,
    SOCKETIO_ACK,
    SOCKETIO_CONNECT_ERROR,
    SOCKETIO_BINARY_EVENT,
    SOCKETIO_BINARY_ACK
};

/* What stands before a payload, and the payload as it is. */
struct socketio_head {
    enum socketio_type type;
    unsigned attachments; /* as in struct socketio_packet, and so are the others */
    struct bytes nsp;
    long long ack;
    struct bytes payload;
};

/*
 * Spans point into the parsed text, save name, which may point into the struct
 * itself: it must not be copied.
 */
struct socketio_packet {
    enum socketio_type type;
    unsigned attachments;   /* binary messages that follow; 0 unless BINARY_* */
    struct bytes nsp;       /* "/" when the packet names none */
    long long ack;          /* SOCKETIO_NO_ACK, or 0 to 2^53 - 1 */
    struct bytes payload;   /* the JSON text, blanks behind it included; {NULL, 0} when absent */
    struct json_value json; /* the payload of CONNECT, CONNECT_ERROR, ACK and BINARY_ACK, else absent */

    /* Of events with a payload. */
    struct bytes name; /* unescaped; of a number its digits; empty when name_error */
    int name_error;    /* 0; ERROR_TOO_LARGE over SOCKETIO_NAME_MAX bytes; ERROR_UTF8 with a lone surrogate */
    struct json_event event; /* complete after socketio_event_finish() */
    char unescaped[SOCKETIO_NAME_MAX];
};

/*
 * Reads a packet: what stands behind the Engine.IO digit 4.  Payloads are completely
 * validated, but that of an event only to the end of its name: the caller goes on
 * with socketio_event_finish().  An event without any payload is valid and to be
 * ignored (payload is {NULL, 0}), with the attachments that it announces.
 *
 * depth: how deep payloads may be nested, those of events too, 1 to JSON_DEPTH_MAX.
 *
 * ERROR_MALFORMED: grammar, a payload that its type does not allow, a reserved event
 * name.  ERROR_TOO_LARGE: too many attachments, too long a namespace.  ERROR_TOO_DEEP.
 * Of an out that fails only unescaped may have changed.
 */
int socketio_packet_parse(struct bytes text, unsigned depth, struct socketio_packet *out) MUST_CHECK;

/* Reads no more than the head of a packet, whatever the payload may be: 0, ERROR_MALFORMED or ERROR_TOO_LARGE as
   above. */
int socketio_head_parse(struct bytes text, struct socketio_head *out) MUST_CHECK;

/*
 * Validates the rest of an event that has a payload and finds values in its
 * arguments; see json_event_finish().  ERROR_MALFORMED closes the connection;
 * ERROR_TOO_DEEP and ERROR_EXISTS are the sender's to be told (too_deep,
 * bad_request), and the connection lives.
 */
int socketio_event_finish(struct socketio_packet *packet, const struct json_path *paths, size_t n,
                          struct json_value *values) MUST_CHECK;

/* Whether an application may not use that name for its events: connect, disconnect and the like. */
bool socketio_name_reserved(struct bytes name);

/*
 * Writers.  All of them append a complete Engine.IO message, its 4 included, or the
 * head of one; the namespace "/" is left out, as the reference does.
 */

/* 4<type>[nsp,]: what every packet without an ack id and attachments starts with. */
void socketio_append_head(struct buffer *out, enum socketio_type type, struct bytes nsp);

/* 40[nsp,]{"sid":"..."}, and "pid" behind it unless empty.  Ids are written as they are. */
void socketio_append_connect(struct buffer *out, struct bytes nsp, struct bytes sid, struct bytes pid);

/* 44[nsp,]JSON: an object such as {"message":"..."}, written as it is. */
void socketio_append_connect_error(struct buffer *out, struct bytes nsp, struct bytes json);

/* 41[nsp,] */
void socketio_append_disconnect(struct buffer *out, struct bytes nsp);

/* 42[nsp,][ack], with attachments 45<attachments>-[nsp,][ack]: the array is the caller's to append, and the
   attachments are to follow. */
void socketio_append_event_head(struct buffer *out, struct bytes nsp, long long ack, unsigned attachments);

/* 43[nsp,]ack, with attachments 46<attachments>-[nsp,]ack: the same. */
void socketio_append_ack_head(struct buffer *out, struct bytes nsp, long long ack, unsigned attachments);

#endif
