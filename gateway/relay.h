/*
 * What gateways say to each other about sessions, through the router (docs/protocol.md, section 2).
 *
 * A request may come to any gateway, and the sid in it names the session's home.  The gateway that got it
 * asks the home, the home answers, and the answer goes to the client.  A question stays here until it is
 * answered, and is asked again whenever it, or its answer, may have been lost with a link; the home knows a
 * question by its number and answers it again instead of doing it twice.
 */
#ifndef HUBBUB_GATEWAY_RELAY_H
#define HUBBUB_GATEWAY_RELAY_H

#include "common/bytes.h"
#include "common/error.h"
#include "common/loop.h"
#include "common/slot_table.h"
#include "gateway/session.h"
#include "proto/wire.h"

#include <stdbool.h>
#include <stdint.h>

/* X(NAME, number): kinds of PASS (proto/wire.h).  Numbers never change their meaning. */
#define RELAY_QUESTIONS(X)                                                                                   \
    X(POLL, 8)       /* a poll: PAYLOAD, ERROR, STATUS or DROP */                                            \
    X(POST, 9)       /* a post; body: its payload: OK, ERROR, STATUS or DROP */                              \
    X(POST_TYPE, 10) /* a post with a content type that is refused: the same */                              \
    X(METHOD, 11)    /* a request with another method: ERROR or STATUS */                                    \
    X(CHECK, 12)     /* a request for the other transport: ERROR */                                          \
    X(ABORT, 13)     /* the client of that question, or of a post that was not asked yet (0), is gone */     \
    X(PROBE, 14)     /* a WebSocket wants to become the transport: WELCOME, REFUSED or ERROR */              \
    X(PROBED, 15)    /* its probe was answered */                                                            \
    X(SWITCH, 16)    /* the client has gone over: OFFER, then OWED, PART and HANDOVER; or DROP */            \
    X(CANCEL, 17)    /* that WebSocket is gone: OK */                                                        \
    X(ENDED, 18)     /* a session that had moved is over: OK */                                              \
    X(RELEASE, 19)   /* the gateway of that poll stops: it is to be answered now */                          \
    X(BEGIN, 20)     /* the head of a post; POST, ABORT or FORGET follows under the same number */           \
    X(FORGET, 21)    /* that post will not come, and the session goes on (its body is too large): OK */      \
    X(PRESENT, 22)   /* is there still such a gateway?  OK */

#define RELAY_ANSWERS(X)                                                                                     \
    X(PAYLOAD, 32) /* body: a polling payload */                                                             \
    X(OK, 33)                                                                                                \
    X(ERROR, 34)  /* body: a digit, enum engineio_error */                                                   \
    X(STATUS, 35) /* body: an HTTP status for an empty answer */                                             \
    X(DROP, 36)   /* the client's TCP connection is to end without an answer */                              \
    X(WELCOME, 37)                                                                                           \
    X(REFUSED, 38)  /* the session has, or is getting, a WebSocket */                                        \
    X(OFFER, 39)    /* body: what moves; see upgrade.c */                                                    \
    X(PART, 40)     /* body: the beginning of what waited for the client, a polling payload */               \
    X(HANDOVER, 41) /* body: the rest of it; the session is the other's from here on */                      \
    X(OWED, 42)     /* body: acknowledgements that the client was asked for; before the first PART */

enum relay_kind {
#define X(name, number) RELAY_##name = number,
    RELAY_QUESTIONS(X) RELAY_ANSWERS(X)
#undef X
};

struct gateway;

/* The questions without an answer. */
struct relay_table {
    struct slot_table questions;
    size_t bytes; /* of what is kept to be asked again */
    struct loop_timer tick;
};

void relays_start(struct gateway *gateway);
void relays_done(struct gateway *gateway);

/*
 * Asks the gateway with that incarnation about a session.  waiter: the number of the connection that hears
 * the answer, or 0.  The body is copied.  The question's number, or 0 when too much waits already.
 */
uint64_t relay_ask(struct gateway *gateway, uint64_t home, enum relay_kind kind, struct bytes sid,
                   struct bytes body, uint64_t waiter);

/* The question, which has none yet, goes on as another one, under its number, with that body.  false when
 * there is a body and too much waits already; the question is as it was. */
bool relay_ask_further(struct gateway *gateway, uint64_t number, enum relay_kind kind, struct bytes body);

/* Says something about a question that needs no answer.  number 0: about none. */
void relay_tell(struct gateway *gateway, uint64_t home, uint64_t number, enum relay_kind kind,
                struct bytes sid);

/* Nobody waits for that answer any more. */
void relay_forget(struct gateway *gateway, uint64_t number);

/* The number of the connection that waits for that answer; 0 when the question is gone. */
uint64_t relay_waiter(struct gateway *gateway, uint64_t number);

/* This gateway stops: the polls that wait here for others are to end. */
void relay_release_polls(struct gateway *gateway);

/* Answers a question of another gateway. */
void relay_answer(struct gateway *gateway, struct caller caller, enum relay_kind kind, struct bytes sid,
                  struct bytes body);

/* What the router says. */
void relay_on_passed(struct gateway *gateway, const struct wire_passed *record);
void relay_on_gone(struct gateway *gateway, uint64_t incarnation);
void relay_on_back(struct gateway *gateway, uint64_t incarnation);
void relay_on_live(struct gateway *gateway);

#endif
