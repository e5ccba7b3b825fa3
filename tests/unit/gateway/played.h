/*
 * Two gateways and a played router between them; played_client.h has clients for them.
 *
 * The functions of the link to the router that gateways talk through are replaced (the linker's --wrap): what
 * one gateway passes waits in the played router until the test lets it on, so that a link may be lost at
 * every step. So is loop_now(): time stands still but for played_skip().
 */
#ifndef HUBBUB_TESTS_GATEWAY_PLAYED_H
#define HUBBUB_TESTS_GATEWAY_PLAYED_H

#include "common/buffer.h"
#include "gateway/relay.h"
#include "tests/unit/gateway/fixture.h"

#include <stdbool.h>

/* Where sessions begin, and the other one.  Their links are up. */
extern struct gateway *home, *other;

/* cmocka's setup and teardown. */
int played_start(void **state);
int played_stop(void **state);

/* -- time and turns ----------------------------------------------------------------------------- */

/* One turn of a gateway's loop: what its connections are ready for, then the end of the turn, as gateway.c
 * orders it. */
void played_turn(struct gateway *gateway);

/* Lets on whatever is passed, turn by turn, until nothing is. */
void played_settle(void);

/* Time passes; the timers of connections and the clock of the questions fire. */
void played_skip(uint64_t ms);

/* -- the router --------------------------------------------------------------------------------- */

/* Lets the first record that waits on.  false when none does. */
bool played_pass(void);

/* The kind of the first record that waits; 0 for none, PLAYED_TAKE for a TAKE. */
enum { PLAYED_TAKE = 1000 };
unsigned played_next(void);

/* Lets on what is in front of the first record of that kind, which must come. */
void played_until(unsigned kind);

/* Loses the first record that waits. */
void played_lose(void);

/* How many records of that kind were passed so far, and DISCONNECTs of that gateway; and the last one's
 * reason. */
unsigned played_count(unsigned kind);
unsigned played_disconnects(const struct gateway *gateway);
enum close_reason played_last_reason(const struct gateway *gateway);

/* The link of a gateway is lost with what it had to say; and is live again, of which the other one hears. */
void played_link_down(struct gateway *gateway);
void played_link_up(struct gateway *gateway);

/* The router tells the one that the other will not come back. */
void played_gone(struct gateway *gateway, const struct gateway *gone);

/* Answers every CONNECT that a gateway has asked for; returns how many. */
unsigned played_connect(struct gateway *gateway);

/* The first socket that waits for the answer to its CONNECT, or NULL; and that answer. pid "": none. */
struct socket *played_connecting(struct gateway *gateway);
void played_answer(struct gateway *gateway, struct socket *socket, const char *sid, const char *pid,
                   bool recovered);

/* Answers every event that a gateway has asked for: with these arguments, or NULL: without an
 * acknowledgement. Returns how many. */
unsigned played_answer_events(struct gateway *gateway, const char *arguments);

/* Sends a socket an event: payload is its JSON array, attachments as wire_list_finish() gives them. */
void played_emit(struct gateway *gateway, struct socket *socket, const char *payload,
                 struct bytes attachments);

/* The same with flags of its own, without attachments; and the refusal of a CONNECT, an object as JSON. */
void played_tell(struct gateway *gateway, struct socket *socket, const char *payload, uint64_t flags);
void played_refuse(struct gateway *gateway, struct socket *socket, const char *error);

/* A new link that is told what it missed, or cannot be. */
void played_welcome(struct gateway *gateway, bool resume);

/* Closes a socket, for good or not. */
void played_close(struct gateway *gateway, struct socket *socket, bool final);

/* Makes a socket of "/" a member of a room, or delivers an event to it: payload is its JSON array. */
void played_join(struct gateway *gateway, struct socket *socket, const char *room);
void played_deliver(struct gateway *gateway, const char *room, const char *payload);

/* The first request of that kind that waits for an answer, which must be there: its record is for
 * wire_get_..(). */
struct wire_reader played_request(struct gateway *gateway, enum request_kind kind);

/* Answers it: a join by JOINED.  answer is JSON text, attachments as wire_list_finish() gives them. */
void played_answer_request(struct gateway *gateway, enum request_kind kind, const char *answer,
                           struct bytes attachments);

/* How many requests wait for an answer. */
unsigned played_waiting(struct gateway *gateway);

/* The first connected socket of a gateway, or NULL. */
struct socket *played_socket(struct gateway *gateway);

#endif
