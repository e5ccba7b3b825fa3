/*
 * What a request is refused with: the codes of docs/protocol.md, with the text that people read.
 * The gateway refuses what it can judge from the packet alone, the router everything else.
 */
#ifndef HUBBUB_PROTO_REFUSAL_H
#define HUBBUB_PROTO_REFUSAL_H

#include "common/buffer.h"

#include <stdbool.h>
#include <stdint.h>

/* X(NAME, code, message) */
#define REFUSAL_TABLE(X)                                                                                     \
    X(BAD_REQUEST, "bad_request", "the arguments are not what this event takes")                             \
    X(BAD_ROOM, "bad_room", "a room is a text of 1 to 255 bytes without control characters")                 \
    X(NOT_JOINED, "not_joined", "join the room first")                                                       \
    X(UNKNOWN_EVENT, "unknown_event", "no rule and no backend takes this event")                             \
    X(TOO_LARGE, "too_large", "the event is larger than allowed")                                            \
    X(TOO_DEEP, "too_deep", "the arguments are nested deeper than allowed")                                  \
    X(RATE_LIMITED, "rate_limited", "too many events in a short time")                                       \
    X(FORBIDDEN, "forbidden", "not allowed")                                                                 \
    X(TOKEN_MISSING, "token_missing", "a token is required")                                                 \
    X(TOKEN_INVALID, "token_invalid", "the token is not valid")                                              \
    X(TOKEN_EXPIRED, "token_expired", "the token has expired")                                               \
    X(BUSY, "busy", "too many requests of this kind are waiting; try again")                                 \
    X(UNAVAILABLE, "unavailable", "the service is away; try again")                                          \
    X(STORAGE_FULL, "storage_full", "the message can't be stored for want of space; try again later")

enum refusal_code {
#define X(name, code, message) REFUSAL_##name,
    REFUSAL_TABLE(X)
#undef X
        REFUSAL_CODES
};

enum { REFUSAL_EVENTS_BURST = 5 };

/* How many hubbub:error events a socket may get at once: REFUSAL_EVENTS_BURST, and one more for each second
   that passed since.  Zero-initialised is full. */
struct refusal_budget {
    uint32_t full_at; /* seconds of the clock */
};

/* Takes one out at now_ms of a clock that doesn't go back; false when there is none. */
bool refusal_budget_take(struct refusal_budget *budget, uint64_t now_ms);

/* "bad_request" and so on; static. */
const char *refusal_text(enum refusal_code code);

/* The one of the table; static. */
const char *refusal_message(enum refusal_code code);

/* Appends {"code":"...","message":"..."}; message NULL takes the one of the table. */
void refusal_append_error(struct buffer *out, enum refusal_code code, const char *message);

/* Appends {"ok":false,"error":{...}}, the one argument of a refusing acknowledgement. */
void refusal_append_answer(struct buffer *out, enum refusal_code code, const char *message);

#endif
