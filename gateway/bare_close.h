/*
 * How a bare WebSocket ends at the gateway's word: a Close frame whose code says whether to come back, and
 * whose text is "<name>: <what was wrong>".
 *
 * Below 4450 the same address, or the same frame, will be refused again; from 4450 on the cause passes, and a
 * client connects again with after=.  Standard codes (RFC 6455 7.4.1) stay what they are: 1001 for a drain,
 * 1002, 1007 and 1009 for what no WebSocket may do.
 */
#ifndef HUBBUB_GATEWAY_BARE_CLOSE_H
#define HUBBUB_GATEWAY_BARE_CLOSE_H

#include "common/bytes.h"
#include "gateway/close_reason.h"

struct connection;
struct gateway;

/* X(NAME, code, name, text) */
#define BARE_CLOSE_TABLE(X)                                                                                  \
    X(BAD_REQUEST, 4400, "bad_request", "a frame or the address is not what this endpoint takes")            \
    X(FORBIDDEN, 4403, "forbidden", "not allowed")                                                           \
    X(TOKEN_MISSING, 4401, "token_missing", "a token is required")                                           \
    X(NO_NAMESPACE, 4404, "no_namespace", "there is no such namespace")                                      \
    X(REMOVED, 4410, "removed", "the service has disconnected this client")                                  \
    X(TOKEN_INVALID, 4411, "token_invalid", "the token is not valid")                                        \
    X(TOKEN_EXPIRED, 4412, "token_expired", "the token has expired")                                         \
    X(BAD_ROOM, 4422, "bad_room", "a room is a text of 1 to 255 bytes without control characters")           \
    X(UNAVAILABLE, 4450, "unavailable", "the service is away; try again")                                    \
    X(BUSY, 4451, "busy", "too much is asked at the moment; try again")                                      \
    X(NOT_RESUMABLE, 4452, "not_resumable", "messages may have been missed; connect again")                  \
    X(RECONNECT, 4453, "reconnect", "connect again")                                                         \
    X(PING_TIMEOUT, 4454, "ping_timeout", "no pong came in time")

enum bare_close {
#define X(name, code, text, meaning) BARE_CLOSE_##name,
    BARE_CLOSE_TABLE(X)
#undef X
        BARE_CLOSES,
};

/* Closes; text: what was wrong, or {NULL, 0} for the table's. */
void bare_close(struct gateway *gateway, struct connection *connection, enum bare_close code,
                struct bytes text, enum close_reason reason);

/* The same for a request that was refused: error is {"code":"..","message":".."} as JSON, or anything. */
void bare_close_refused(struct gateway *gateway, struct connection *connection, struct bytes error);

/* Closes for a reason that is not about what the client asked; connection_protocol's close. */
void bare_close_for(struct gateway *gateway, struct connection *connection, enum close_reason reason);

#endif
