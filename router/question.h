/*
 * Questions of backends to clients (QUESTION): events that ask for an acknowledgement, and the answers.
 *
 * A question is put at its place in the log's order, behind whatever was sent before it, to the sockets that
 * are there then.  It is neither written nor repeated.  Its time counts from that place.
 */
#ifndef HUBBUB_ROUTER_QUESTION_H
#define HUBBUB_ROUTER_QUESTION_H

#include "router/backend.h"

enum {
    QUESTIONS_MAX = 65536,             /* that wait for answers */
    QUESTION_SOCKETS_MAX = 4 << 20,    /* that all of them together wait for */
    QUESTION_TIMEOUT_MAX = 3600 * 1000 /* ms */
};

struct questions;

struct questions *questions_new(void);
void questions_free(struct questions *questions);

/* Checks it and puts it, now or when its ticket is back; ASKED follows, or OUTCOME when it can't be asked. */
void question_ask(struct router *router, struct backend *backend, const struct wire_question *record);

/* The journal gave back a TICKET_QUESTION. */
void question_release(struct router *router, struct ticket *ticket);

/* RESPONSE: what a client answers.  What answers nothing is passed over. */
void question_response(struct router *router, struct gateway_link *link, const struct wire_response *record);

/* The backend is given up: nobody waits for the answers to its questions. */
void questions_forget(struct router *router, const struct backend *backend);

#endif
