/*
 * The records between gateway and router, and the batches that carry them.
 *
 * One ZeroMQ message is one batch, a msgpack array:
 *     [version, link, number, acknowledged, [record, record, ...]]
 * and one record is an array too: [type, field, ...].  docs/protocol.md explains what each
 * record means and when it is sent; the table below is the shape of each.
 *
 * Writing goes through msgpack-c.  Reading does not: a cursor walks the batch in place, without
 * memory of its own, so that a hostile length costs nothing.  Fields beyond those known are
 * skipped, so that a record may grow at its end; those that an older program does not send read as empty.
 */
#ifndef HUBBUB_PROTO_WIRE_H
#define HUBBUB_PROTO_WIRE_H

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/error.h"
#include "proto/wire_backend.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    WIRE_MAJOR = 1, /* the version of batches: those of another one can't be read */
    WIRE_MINOR = 1, /* what records there are, and their fields; told by the first record of a link */
    WIRE_BATCH_SPLIT = 1 << 20, /* bytes after which a sender that has more to say starts another batch */
    WIRE_HEADER_SIZE = 34,
    WIRE_NUMBER_STRANGER = 0, /* of a RESYNC from a router that does not know the link; others count from 1 */
    WIRE_TEXT_MAX = 8 << 20,  /* no field that a client fills may be longer */
    WIRE_BATCH_LIMIT = 16 << 20, /* every router takes as much: that field behind what is not split yet */
};

/*
 * Kinds of a field: U64 (an unsigned integer; flags are bits of one), TEXT (a str, or a bin where the
 * table says bytes), LIST (a whole msgpack array, as it stands in the batch; see wire_list), BLOBS (a LIST of
 * bin, the attachments of an event in their order; only ever a record's last field, and left out when there
 * are none: length 0).
 *
 * F(kind, name)
 */

/* gateway -> router: a new link begins.  pos and epoch: what the gateway has processed; epoch "" for nothing
 * yet. */
#define WIRE_HELLO(F)                                                                                        \
    F(TEXT, name)                                                                                            \
    F(U64, incarnation)                                                                                      \
    F(TEXT, epoch) F(U64, pos) F(U64, rules_digest) F(TEXT, program_version) F(U64, minor)
/* A Socket.IO socket that the gateway holds.  from "" stands for "anon:<sid>". */
#define WIRE_SOCKET(F)                                                                                       \
    F(U64, socket)                                                                                           \
    F(TEXT, namespace) F(TEXT, sid) F(TEXT, from) F(U64, generation) F(TEXT, grant)
/* Who of this gateway is in a room: members = [socket, joined_pos, watch, socket, joined_pos, watch, ...] */
#define WIRE_MEMBERS(F)   F(TEXT, namespace) F(TEXT, room) F(LIST, members)
#define WIRE_HELLO_END(F) F(U64, sockets)
/* auth: the CONNECT packet's object as JSON text, or ""; grant: proto/grant.h, "" for no token */
#define WIRE_CONNECT(F)                                                                                      \
    F(U64, request)                                                                                          \
    F(U64, socket) F(TEXT, namespace) F(TEXT, auth) F(TEXT, address) F(TEXT, grant)
#define WIRE_DISCONNECT(F) F(U64, socket) F(TEXT, reason)
/* history: how many messages the answer should carry; watch: wants hubbub:presence events */
#define WIRE_JOIN(F)  F(U64, request) F(U64, socket) F(TEXT, room) F(U64, history) F(U64, watch)
#define WIRE_LEAVE(F) F(U64, request) F(U64, socket) F(TEXT, room)
/* before, after: 0 for no bound (after = 0 and before = 0: the newest); has_after tells "after 0" from none
 */
#define WIRE_HISTORY(F)                                                                                      \
    F(U64, request) F(U64, socket) F(TEXT, room) F(U64, before) F(U64, has_after) F(U64, after) F(U64, limit)
#define WIRE_PRESENCE(F) F(U64, request) F(U64, socket) F(TEXT, room)
/* arguments: JSON text, joined by commas; id: the client's own (a dedup rule), or "" */
#define WIRE_EVENT(F)                                                                                        \
    F(U64, request)                                                                                          \
    F(U64, socket)                                                                                           \
    F(U64, flags) F(TEXT, room) F(TEXT, event) F(TEXT, arguments) F(TEXT, id) F(BLOBS, attachments)
/* Since the gateway's start; counters = [name, value, name, value, ...] */
#define WIRE_STATISTICS(F) F(LIST, counters)
#define WIRE_BYE(F)        F(TEXT, reason)
/*
 * To another gateway, which the router only passes on: to is its incarnation, number pairs an answer with its
 * question, sid is the Engine.IO session it is about.  enum wire_pass_kind; gateway/relay.h has what gateways
 * say to each other.
 */
#define WIRE_PASS(F) F(U64, to) F(U64, number) F(U64, kind) F(TEXT, sid) F(TEXT, body)
/* Takes over sockets of the gateway with the incarnation from: sockets = [theirs, ours, theirs, ours, ...] */
#define WIRE_TAKE(F) F(U64, from) F(U64, number) F(LIST, sockets)
/* Answers ASK: what the client told at its handshake, as JSON text (gateway/handshake.h); "" when the socket
 * is gone. */
#define WIRE_TOLD(F) F(U64, ask) F(TEXT, handshake)
/* What a client answered to a CAST or POSE with that ack; answered by DONE. */
#define WIRE_RESPONSE(F) F(U64, request) F(U64, socket) F(U64, ack) F(TEXT, arguments) F(BLOBS, attachments)
/* POST /api/publish: as a backend's SEND (proto/wire_backend.h); answered by OUTCOME, whose number is the
   request. */
#define WIRE_PUBLISH(F)                                                                                      \
    F(U64, request)                                                                                          \
    F(TEXT, namespace)                                                                                       \
    F(LIST, rooms)                                                                                           \
    F(LIST, except)                                                                                          \
    F(U64, class) F(U64, flags) F(TEXT, id) F(TEXT, event) F(TEXT, arguments) F(BLOBS, attachments)
/* GET /api/rooms/R: answered by ANSWER with a JSON object.  history 1: a page of messages, as HISTORY. */
#define WIRE_LOOK(F)                                                                                         \
    F(U64, request)                                                                                          \
    F(TEXT, namespace)                                                                                       \
    F(TEXT, room) F(U64, history) F(U64, before) F(U64, has_after) F(U64, after) F(U64, limit)

/* A socket's client has a newer token of the same sub */
#define WIRE_TOKEN(F) F(U64, request) F(U64, socket) F(TEXT, grant)

/* router -> gateway.  resume 1: replay follows; 0: the gateway closes the connections that can't go on. */
#define WIRE_WELCOME(F)                                                                                      \
    F(TEXT, epoch) F(U64, head) F(U64, resume) F(U64, rules_digest) F(U64, minor) F(TEXT, program_version)
#define WIRE_LIVE(F) F(U64, pos)
/* pid: what the client names to recover, or "" when it can't; recovered 1: the socket goes on as a former
 * one, and the EMITs before this record are what it missed.  grant: of a socket that was another gateway's. */
#define WIRE_CONNECTED(F)                                                                                    \
    F(U64, request)                                                                                          \
    F(U64, socket)                                                                                           \
    F(TEXT, sid) F(TEXT, from) F(U64, generation) F(TEXT, pid) F(U64, recovered) F(TEXT, grant)
/* error: the JSON object of CONNECT_ERROR */
#define WIRE_REFUSED(F) F(U64, request) F(U64, socket) F(TEXT, error)
/* request 0: a join that came with CONNECT; answer: the acknowledgement's one argument as JSON text */
#define WIRE_JOINED(F)                                                                                       \
    F(U64, request)                                                                                          \
    F(U64, socket) F(TEXT, room) F(U64, joined_pos) F(U64, watch) F(TEXT, answer) F(BLOBS, attachments)
#define WIRE_LEFT(F)   F(U64, request) F(U64, socket) F(TEXT, room) F(TEXT, answer)
#define WIRE_ANSWER(F) F(U64, request) F(TEXT, answer) F(BLOBS, attachments)
/* Requests that are done and get no acknowledgement: requests = [request, ...] */
#define WIRE_DONE(F) F(LIST, requests)
/* payload: the event as a JSON array; except: a socket of this gateway, or 0; room "" with
 * WIRE_DELIVER_NAMESPACE */
#define WIRE_DELIVER(F)                                                                                      \
    F(U64, pos)                                                                                              \
    F(TEXT, namespace) F(TEXT, room) F(U64, flags) F(U64, except) F(TEXT, payload) F(BLOBS, attachments)
#define WIRE_EMIT(F)     F(U64, socket) F(U64, flags) F(TEXT, payload) F(BLOBS, attachments)
#define WIRE_CLOSE(F)    F(U64, socket) F(TEXT, reason) F(U64, final)
#define WIRE_POSITION(F) F(U64, pos)
#define WIRE_RESYNC(F)   F(TEXT, reason)
/* What another gateway passed; from is its incarnation.  Or the router's own word about a PASS of this
   gateway: WIRE_PASS_UNKNOWN, WIRE_PASS_AGAIN, with from as the PASS had to, and its number and sid. */
#define WIRE_PASSED(F) F(U64, from) F(U64, number) F(U64, kind) F(TEXT, sid) F(TEXT, body)
/* The sockets now belong to the gateway with the incarnation to, which asked for it by TAKE: everything for
   them that comes on this link stands before this record.  sockets = [ours, ...] */
#define WIRE_GIVEN(F) F(U64, to) F(U64, number) F(LIST, sockets)
/* Answers TAKE.  ok 1: a CONNECTED (request 0) of each socket and the JOINED of its rooms stand before it,
   and everything for them comes behind; 0: nothing was taken. */
#define WIRE_TAKEN(F) F(U64, number) F(U64, ok)
/* A gateway is gone for good under that incarnation. */
#define WIRE_GONE(F) F(U64, incarnation)
/* The link of another gateway became live: what was passed to it before, or by it, may be lost. */
#define WIRE_BACK(F) F(U64, incarnation)
/* Asks what the client behind a socket told at its handshake; TOLD answers with the same number. */
#define WIRE_ASK(F) F(U64, ask) F(U64, socket)
/* DELIVER with exceptions or a question: not to members of the rooms in except, nor to the sockets whose sids
   stand there.  ack not 0: the packet asks for an acknowledgement under that id, and has no offset. */
#define WIRE_CAST(F)                                                                                         \
    F(U64, pos)                                                                                              \
    F(TEXT, namespace)                                                                                       \
    F(TEXT, room) F(U64, flags) F(LIST, except) F(U64, ack) F(TEXT, payload) F(BLOBS, attachments)
/* EMIT with a question. */
#define WIRE_POSE(F) F(U64, socket) F(U64, flags) F(U64, ack) F(TEXT, payload) F(BLOBS, attachments)
/* on 1: takes no more connections and closes those that there are, spread over so many seconds (0: the
   gateway's own setting); 0: serves again. */
#define WIRE_DRAIN(F) F(U64, on) F(U64, seconds)
/* The least grave lines that the gateway logs from now on: "debug", "info", "warn" or "error". */
#define WIRE_LEVEL(F) F(TEXT, level)

/* R(NAME, name, number, FIELDS): numbers never change their meaning. */
#define WIRE_RECORDS(R)                                                                                      \
    R(HELLO, hello, 1, WIRE_HELLO)                                                                           \
    R(SOCKET, socket, 2, WIRE_SOCKET)                                                                        \
    R(MEMBERS, members, 3, WIRE_MEMBERS)                                                                     \
    R(HELLO_END, hello_end, 4, WIRE_HELLO_END)                                                               \
    R(CONNECT, connect, 5, WIRE_CONNECT)                                                                     \
    R(DISCONNECT, disconnect, 6, WIRE_DISCONNECT)                                                            \
    R(JOIN, join, 7, WIRE_JOIN)                                                                              \
    R(LEAVE, leave, 8, WIRE_LEAVE)                                                                           \
    R(HISTORY, history, 9, WIRE_HISTORY)                                                                     \
    R(PRESENCE, presence, 10, WIRE_PRESENCE)                                                                 \
    R(EVENT, event, 11, WIRE_EVENT)                                                                          \
    R(STATISTICS, statistics, 12, WIRE_STATISTICS)                                                           \
    R(BYE, bye, 13, WIRE_BYE)                                                                                \
    R(PASS, pass, 14, WIRE_PASS)                                                                             \
    R(TAKE, take, 15, WIRE_TAKE)                                                                             \
    R(TOLD, told, 16, WIRE_TOLD)                                                                             \
    R(RESPONSE, response, 17, WIRE_RESPONSE)                                                                 \
    R(PUBLISH, publish, 18, WIRE_PUBLISH)                                                                    \
    R(LOOK, look, 19, WIRE_LOOK)                                                                             \
    R(TOKEN, token, 20, WIRE_TOKEN)                                                                          \
    R(WELCOME, welcome, 32, WIRE_WELCOME)                                                                    \
    R(LIVE, live, 33, WIRE_LIVE)                                                                             \
    R(CONNECTED, connected, 34, WIRE_CONNECTED)                                                              \
    R(REFUSED, refused, 35, WIRE_REFUSED)                                                                    \
    R(JOINED, joined, 36, WIRE_JOINED)                                                                       \
    R(LEFT, left, 37, WIRE_LEFT)                                                                             \
    R(ANSWER, answer, 38, WIRE_ANSWER)                                                                       \
    R(DONE, done, 39, WIRE_DONE)                                                                             \
    R(DELIVER, deliver, 40, WIRE_DELIVER)                                                                    \
    R(EMIT, emit, 41, WIRE_EMIT)                                                                             \
    R(CLOSE, close, 42, WIRE_CLOSE)                                                                          \
    R(POSITION, position, 43, WIRE_POSITION)                                                                 \
    R(RESYNC, resync, 44, WIRE_RESYNC)                                                                       \
    R(PASSED, passed, 45, WIRE_PASSED)                                                                       \
    R(GIVEN, given, 46, WIRE_GIVEN)                                                                          \
    R(TAKEN, taken, 47, WIRE_TAKEN)                                                                          \
    R(GONE, gone, 48, WIRE_GONE)                                                                             \
    R(BACK, back, 49, WIRE_BACK)                                                                             \
    R(ASK, ask, 50, WIRE_ASK)                                                                                \
    R(CAST, cast, 51, WIRE_CAST)                                                                             \
    R(POSE, pose, 52, WIRE_POSE)                                                                             \
    R(DRAIN, drain, 53, WIRE_DRAIN)                                                                          \
    R(LEVEL, level, 54, WIRE_LEVEL)                                                                          \
    WIRE_BACKEND_RECORDS(R)

enum wire_type {
#define X(NAME, name, number, FIELDS) WIRE_TYPE_##NAME = number,
    WIRE_RECORDS(X)
#undef X
};

/* Bits of wire_event.flags. */
enum {
    WIRE_EVENT_ACK = 1, /* the client wants an acknowledgement */
};

/*
 * Kinds of PASS and PASSED.  Those below WIRE_PASS_QUESTIONS are the router's own, and only it says them; up
 * to WIRE_PASS_ANSWERS they are questions, about which the router speaks up when it can't pass them on; from
 * there on they are answers, which it drops then.
 */
enum wire_pass_kind {
    WIRE_PASS_UNKNOWN = 0, /* no such gateway, and none to wait for */
    WIRE_PASS_AGAIN = 1,   /* it can't be reached now: ask again in a moment */
    WIRE_PASS_QUESTIONS = 8,
    WIRE_PASS_ANSWERS = 32,
};

/* CLOSE.final */
enum wire_close_kind {
    WIRE_CLOSE_CONNECTION = 0, /* the connection is closed; its client may come back */
    WIRE_CLOSE_FINAL = 1,      /* DISCONNECT to the socket's client */
    WIRE_CLOSE_ALL = 2,        /* the same to all sockets of its connection, which is closed then */
};

/* Bits of wire_deliver.flags and wire_emit.flags. */
enum {
    WIRE_DELIVER_VOLATILE = 1,  /* may be dropped for a slow reader */
    WIRE_DELIVER_REPLAY = 2,    /* only for members whose join position is before pos */
    WIRE_DELIVER_NAMESPACE = 4, /* to every socket of the namespace */
    WIRE_DELIVER_WATCHERS = 8,  /* to the members of the room that asked for presence */
    WIRE_DELIVER_META = 16,     /* behind the sender's arguments the payload has the meta object */
    WIRE_DELIVER_OFFSET = 32,   /* the payload's last element is the offset */
};

#define WIRE_FIELD_U64(name)   uint64_t name;
#define WIRE_FIELD_TEXT(name)  struct bytes name;
#define WIRE_FIELD_LIST(name)  struct bytes name;
#define WIRE_FIELD_BLOBS(name) struct bytes name;
#define WIRE_FIELD(kind, name) WIRE_FIELD_##kind(name)
#define X(NAME, name, number, FIELDS)                                                                        \
    struct wire_##name {                                                                                     \
        FIELDS(WIRE_FIELD)                                                                                   \
    };
WIRE_RECORDS(X)
#undef X

/* "HELLO" and so on; NULL for a number that is no type. */
const char *wire_type_name(unsigned type);

/* A batch being written.  Zero-initialised is empty. */
struct wire_batch {
    struct buffer buffer;
    uint32_t records;
};

void wire_batch_done(struct wire_batch *batch);

/* Appends one record: wire_put_hello(batch, &(struct wire_hello){...}) and so on, for every type.
   A LIST field of length 0 is written as an empty array. */
#define X(NAME, name, number, FIELDS)                                                                        \
    void wire_put_##name(struct wire_batch *batch, const struct wire_##name *record);
WIRE_RECORDS(X)
#undef X

/* Appends one encoded record, cut out of another batch by wire_batch_mark(). */
void wire_batch_append_encoded(struct wire_batch *batch, struct bytes record);

/* Where the next record will start, to cut one out again: the bytes from there on are that record, encoded.
 */
size_t wire_batch_mark(const struct wire_batch *batch);

/* The length of the batch's records in bytes, without the header. */
size_t wire_batch_size(const struct wire_batch *batch);

/* Writes the header in front of the records; the bytes stay valid until the batch changes. */
struct bytes wire_batch_finish(struct wire_batch *batch, uint64_t link, uint64_t number,
                               uint64_t acknowledged);

/* Empties it, keeping (up to a bound) its memory. */
void wire_batch_clear(struct wire_batch *batch);

/* A LIST field being built: numbers and texts in one flat array. */
struct wire_list {
    struct buffer buffer;
    uint32_t count;
};

void wire_list_put_u64(struct wire_list *list, uint64_t value);
void wire_list_put_text(struct wire_list *list, struct bytes text);
void wire_list_put_blob(struct wire_list *list, struct bytes blob);
/* The whole msgpack array; valid until the list changes. */
struct bytes wire_list_finish(struct wire_list *list);
void wire_list_clear(struct wire_list *list);
void wire_list_done(struct wire_list *list);

/* A batch being read: a cursor into the caller's bytes, which must outlive it and all that is read. */
struct wire_reader {
    const uint8_t *at, *end;
    uint64_t link, number, acknowledged;
    uint32_t records; /* not yet begun */
    uint32_t fields;  /* of the record begun, not yet read */
    uint32_t rest;    /* parts of the batch behind the records */
    bool lenient; /* set by the caller: whoever wrote it is, or may be, of an older minor version, and fields
                         that a record lacks at its end read as 0 or empty */
};

/* Whether programs of that minor version and of this one understand each other. */
static inline bool wire_minor_fits(uint64_t minor)
{
    return minor <= WIRE_MINOR + 1 && minor + 1 >= WIRE_MINOR;
}

/* 0, ERROR_MALFORMED, or ERROR_UNSUPPORTED for another major version, whatever follows it. */
int wire_reader_open(struct wire_reader *reader, struct bytes batch) MUST_CHECK;

/* The major version of a batch that wire_reader_open() finds unsupported. */
uint64_t wire_major(struct bytes batch);

/* A single encoded record, as it was cut out of a batch. */
void wire_reader_open_record(struct wire_reader *reader, struct bytes record);

/*
 * Begins the next record, passing over what was not read of the one before.
 * Returns 1 with its type, 0 at the end, or ERROR_MALFORMED: also when bytes are left behind the end.
 */
int wire_reader_next(struct wire_reader *reader, unsigned *type) MUST_CHECK;

/* Reads the begun record: wire_get_hello(reader, &hello) and so on.  0 or ERROR_MALFORMED.  Texts point into
 * the batch. */
#define X(NAME, name, number, FIELDS)                                                                        \
    int wire_get_##name(struct wire_reader *reader, struct wire_##name *out) MUST_CHECK;
WIRE_RECORDS(X)
#undef X

/* Walks a LIST or BLOBS field (wire_list_text() reads blobs too; a BLOBS field of length 0 opens as empty).
   open: the number of elements or ERROR_MALFORMED; u64 and text: 0 or ERROR_MALFORMED,
   also at the end. */
int wire_list_open(struct wire_reader *reader, struct bytes list) MUST_CHECK;
int wire_list_u64(struct wire_reader *reader, uint64_t *out) MUST_CHECK;
int wire_list_text(struct wire_reader *reader, struct bytes *out) MUST_CHECK;

#endif
