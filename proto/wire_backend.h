/*
 * The records between router and the application's backends, for wire.h, which includes this file; what each
 * means and when it is sent is in docs/protocol.md, section 3.
 *
 * Lists of targets and exceptions hold names of rooms and sids alike: a socket's sid is its private room.
 * Numbers: `task` is the router's, one for each thing that a backend is to do and to answer, never used twice
 * by a run of a router; `number` is the backend's, one for each of its requests, never used twice by an
 * incarnation.
 */
#ifndef HUBBUB_PROTO_WIRE_BACKEND_H
#define HUBBUB_PROTO_WIRE_BACKEND_H

/* backend -> router: a new link begins.  namespaces: what it serves, names or patterns. */
#define WIRE_SERVE(F)                                                                                        \
    F(TEXT, name) F(U64, incarnation) F(LIST, namespaces) F(TEXT, program_version) F(U64, minor)
/* Within the hello: a socket that it still holds from an earlier link. */
#define WIRE_HOLD(F)      F(TEXT, sid)
#define WIRE_SERVE_END(F) F(U64, sockets)
/* Answer a CONNECTION of kind WIRE_CONNECTION_NEW.  data: the socket's, as JSON text, or "". */
#define WIRE_ACCEPT(F) F(U64, task) F(TEXT, data)
/* error: the JSON object of CONNECT_ERROR, {"message":..,"data":..} */
#define WIRE_REJECT(F) F(U64, task) F(TEXT, error)
/* Answers CALL.  answered 1: arguments go to the client as its acknowledgement. */
#define WIRE_HANDLED(F) F(U64, task) F(U64, answered) F(TEXT, arguments) F(BLOBS, attachments)
/* Answers JUDGE.  verdict: enum wire_verdict; arguments with CHANGE, code and message with REFUSE. */
#define WIRE_VERDICT(F)                                                                                      \
    F(U64, task) F(U64, verdict) F(TEXT, code) F(TEXT, message) F(TEXT, arguments) F(BLOBS, attachments)
/* An event for the sockets of all the rooms, each once; no room: for the whole namespace. id: the caller's,
 * or "". */
#define WIRE_SEND(F)                                                                                         \
    F(U64, number)                                                                                           \
    F(TEXT, namespace)                                                                                       \
    F(LIST, rooms)                                                                                           \
    F(LIST, except)                                                                                          \
    F(U64, class) F(U64, flags) F(TEXT, id) F(TEXT, event) F(TEXT, arguments) F(BLOBS, attachments)
/* The same, and each is asked for an acknowledgement. timeout: ms */
#define WIRE_QUESTION(F)                                                                                     \
    F(U64, number)                                                                                           \
    F(TEXT, namespace)                                                                                       \
    F(LIST, rooms) F(LIST, except) F(U64, timeout) F(TEXT, event) F(TEXT, arguments) F(BLOBS, attachments)
/* The sockets of rooms (none: all of the namespace) but those of except enter and leave rooms. */
#define WIRE_MOVE(F)                                                                                         \
    F(U64, number) F(TEXT, namespace) F(LIST, rooms) F(LIST, except) F(LIST, join) F(LIST, leave)
/* close: enum wire_expel_close */
#define WIRE_EXPEL(F) F(U64, number) F(TEXT, namespace) F(LIST, rooms) F(LIST, except) F(U64, close)
/* The socket's data from now on, as JSON text. */
#define WIRE_STORE(F) F(U64, number) F(TEXT, sid) F(TEXT, data)
#define WIRE_FIND(F)  F(U64, number) F(TEXT, namespace) F(LIST, rooms) F(LIST, except)
/* The backend stops: its sockets are handed to others at once.  The last record of a link. */
#define WIRE_LEAVING(F) F(TEXT, reason)

/* router -> backend.  Answers the hello. */
#define WIRE_SERVING(F)                                                                                      \
    F(TEXT, epoch) F(U64, heartbeat) F(U64, dead) F(U64, max_event) F(U64, minor) F(TEXT, program_version)
/* A socket is this backend's.  kind: enum wire_connection_kind; handshake: JSON, as Socket.IO's
 * socket.handshake. */
#define WIRE_CONNECTION(F)                                                                                   \
    F(U64, task)                                                                                             \
    F(U64, kind)                                                                                             \
    F(TEXT, namespace) F(TEXT, sid) F(TEXT, from) F(LIST, rooms) F(TEXT, data) F(TEXT, handshake)
/* It is gone; rooms: those that it was in. */
#define WIRE_DISCONNECTION(F) F(TEXT, sid) F(TEXT, reason) F(LIST, rooms)
/* It is another backend's now, or nobody's: nothing more about it comes, and nothing is to be done for it. */
#define WIRE_TAKEN_AWAY(F) F(TEXT, sid)
/* A client's event. flags: WIRE_CALL_* */
#define WIRE_CALL(F)                                                                                         \
    F(U64, task) F(TEXT, sid) F(U64, flags) F(TEXT, event) F(TEXT, arguments) F(BLOBS, attachments)
/* An event whose rule says ask: may it be published? */
#define WIRE_JUDGE(F)                                                                                        \
    F(U64, task)                                                                                             \
    F(TEXT, sid) F(U64, flags) F(TEXT, room) F(TEXT, event) F(TEXT, arguments) F(BLOBS, attachments)
#define WIRE_ENTERED(F) F(TEXT, sid) F(TEXT, room)
#define WIRE_EXITED(F)  F(TEXT, sid) F(TEXT, room)
/* Answers SEND, MOVE, EXPEL, STORE; and QUESTION, when it can't be asked.  error: "" or a code of refusal.h.
 * seqs: of an archived SEND, one for each room. */
#define WIRE_OUTCOME(F) F(U64, number) F(TEXT, error) F(TEXT, message) F(TEXT, id) F(LIST, seqs) F(U64, at)
/* Whom a QUESTION was sent to: [sid, ...] */
#define WIRE_ASKED(F) F(U64, number) F(LIST, sids)
/* What one of them answered: JSON texts joined by commas. */
#define WIRE_REPLY(F) F(U64, number) F(TEXT, sid) F(TEXT, arguments) F(BLOBS, attachments)
/* One socket that FIND found. */
#define WIRE_FOUND(F)     F(U64, number) F(TEXT, sid) F(TEXT, from) F(LIST, rooms) F(TEXT, data) F(TEXT, address)
#define WIRE_FOUND_END(F) F(U64, number) F(U64, sockets)
/* The link is over by the router's word: the backend broke the rules, or read too slowly. */
#define WIRE_CUT(F) F(TEXT, reason)

/* R(NAME, name, number, FIELDS): numbers never change their meaning. */
#define WIRE_BACKEND_RECORDS(R)                                                                              \
    R(SERVE, serve, 64, WIRE_SERVE)                                                                          \
    R(HOLD, hold, 65, WIRE_HOLD)                                                                             \
    R(SERVE_END, serve_end, 66, WIRE_SERVE_END)                                                              \
    R(ACCEPT, accept, 67, WIRE_ACCEPT)                                                                       \
    R(REJECT, reject, 68, WIRE_REJECT)                                                                       \
    R(HANDLED, handled, 69, WIRE_HANDLED)                                                                    \
    R(VERDICT, verdict, 70, WIRE_VERDICT)                                                                    \
    R(SEND, send, 71, WIRE_SEND)                                                                             \
    R(QUESTION, question, 72, WIRE_QUESTION)                                                                 \
    R(MOVE, move, 73, WIRE_MOVE)                                                                             \
    R(EXPEL, expel, 74, WIRE_EXPEL)                                                                          \
    R(STORE, store, 75, WIRE_STORE)                                                                          \
    R(FIND, find, 76, WIRE_FIND)                                                                             \
    R(LEAVING, leaving, 77, WIRE_LEAVING)                                                                    \
    R(SERVING, serving, 96, WIRE_SERVING)                                                                    \
    R(CONNECTION, connection, 97, WIRE_CONNECTION)                                                           \
    R(DISCONNECTION, disconnection, 98, WIRE_DISCONNECTION)                                                  \
    R(TAKEN_AWAY, taken_away, 99, WIRE_TAKEN_AWAY)                                                           \
    R(CALL, call, 100, WIRE_CALL)                                                                            \
    R(JUDGE, judge, 101, WIRE_JUDGE)                                                                         \
    R(ENTERED, entered, 102, WIRE_ENTERED)                                                                   \
    R(EXITED, exited, 103, WIRE_EXITED)                                                                      \
    R(OUTCOME, outcome, 104, WIRE_OUTCOME)                                                                   \
    R(ASKED, asked, 105, WIRE_ASKED)                                                                         \
    R(REPLY, reply, 106, WIRE_REPLY)                                                                         \
    R(FOUND, found, 107, WIRE_FOUND)                                                                         \
    R(FOUND_END, found_end, 108, WIRE_FOUND_END)                                                             \
    R(CUT, cut, 109, WIRE_CUT)

/* CONNECTION.kind */
enum wire_connection_kind {
    WIRE_CONNECTION_NEW = 0,       /* the client waits for ACCEPT or REJECT */
    WIRE_CONNECTION_RECOVERED = 1, /* it goes on, and nobody is asked; no answer */
    WIRE_CONNECTION_HANDED = 2,    /* it was another backend's, or nobody's; no answer */
    WIRE_CONNECTION_HELD = 3,      /* this backend named it in its hello: rooms and data as they are now */
};

/* VERDICT.verdict */
enum wire_verdict_kind {
    WIRE_VERDICT_PASS = 0,   /* publish it as it is */
    WIRE_VERDICT_CHANGE = 1, /* with these arguments and attachments instead */
    WIRE_VERDICT_REFUSE = 2, /* the sender is told code and message */
};

/* SEND.class */
enum wire_send_class {
    WIRE_SEND_LOGGED = 0,   /* for the recovery window */
    WIRE_SEND_ARCHIVED = 1, /* numbered, for good; wants a room */
    WIRE_SEND_VOLATILE = 2, /* dropped for slow readers; no OUTCOME */
};

/* EXPEL.close */
enum wire_expel_close {
    WIRE_EXPEL_NAMESPACE = 0,  /* they leave the namespace, for good */
    WIRE_EXPEL_CONNECTION = 1, /* and their connections are closed */
    WIRE_EXPEL_DROP = 2,       /* their connections are closed, and they may come back */
};

/* Bits of SEND.flags. */
enum {
    WIRE_SEND_META = 1, /* {"room":..,"seq":..} goes behind the arguments */
    WIRE_SEND_TELL = 2, /* wants an OUTCOME */
};

/* Bits of CALL.flags and JUDGE.flags. */
enum {
    WIRE_CALL_ACK = 1,   /* the client wants an acknowledgement */
    WIRE_CALL_AGAIN = 2, /* some backend may have begun with it */
};

#endif
