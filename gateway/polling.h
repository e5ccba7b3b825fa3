/*
 * The polling transport of Engine.IO (protocol 4): sessions whose packets travel in the bodies of HTTP
 * requests.
 *
 * One poll and one post at a time; each side's overlap, or a client that goes away while one is under way,
 * ends the session, as the reference server does it.
 */
#ifndef HUBBUB_GATEWAY_POLLING_H
#define HUBBUB_GATEWAY_POLLING_H

#include "common/bytes.h"
#include "gateway/close_reason.h"
#include "gateway/relay.h"
#include "gateway/session.h"

struct connection;
struct gateway;

/* Opens a session.  The open packet is the answer's body, appended to out.  bare: the diagnostic echo;
 * msgpack: its client has the msgpack parser. */
struct connection *polling_open(struct gateway *gateway, bool bare, bool msgpack, struct buffer *out);

/* A request about a session of this gateway: POLL, POST, POST_TYPE, METHOD or CHECK.  It is answered by
 * caller_answer(), now or later. */
void polling_request(struct gateway *gateway, enum relay_kind kind, struct bytes sid, struct caller caller,
                     struct bytes body);

/* The head of a post is here and its body is coming: POST will follow, but it may be answered before. */
void polling_begin_post(struct gateway *gateway, struct bytes sid, struct caller caller);

/* Its body is too large: the session lives. */
void polling_refuse_post(struct gateway *gateway, struct bytes sid, struct caller caller);

/* The client of that request is gone before its answer, or before it could take it. */
void polling_abort(struct gateway *gateway, struct bytes sid, struct caller caller);

/* The gateway of that poll stops: it is answered now, and the client polls elsewhere. */
void polling_release(struct gateway *gateway, struct bytes sid, struct caller caller);

/* engine_fail() on this transport. */
void polling_fail(struct gateway *gateway, struct connection *connection, enum close_reason reason);

/* A close packet came. */
void polling_close_by_client(struct gateway *gateway, struct connection *connection);

/* Ends the poll that waits, if one does: with a noop, for the client to look at its WebSocket; or refuses it,
 * because the session has another transport. */
void polling_end_poll(struct gateway *gateway, struct session *session, bool refuse);

/* Reads what a post brought and a lack of credit kept back, now: what follows must come behind it. */
void polling_finish_input(struct gateway *gateway, struct connection *connection);

/* The session goes on elsewhere: its connection here is dropped, without an end for its sockets, which must
 * have been taken from it.  What waited for the client is the caller's. */
struct output polling_detach(struct gateway *gateway, struct session *session);

/* Another gateway is gone: so are the clients whose requests came through it. */
void polling_on_gone(struct gateway *gateway, uint64_t incarnation);

/* Answers a caller, here or elsewhere. */
void caller_answer(struct gateway *gateway, struct caller caller, enum relay_kind kind, struct bytes sid,
                   struct bytes body);

#endif
