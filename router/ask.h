/*
 * Questions to a gateway about what it alone keeps: what the client behind a socket told at its handshake, and
 * its configuration.
 *
 * For the commands `session` and `config` of the stats socket, and for whoever else wants to know.
 */
#ifndef HUBBUB_ROUTER_ASK_H
#define HUBBUB_ROUTER_ASK_H

#include "router/router.h"

struct ask;

/*
 * The answer.  result: 0, with a JSON object of Socket.IO's socket.handshake that lives as long as the call;
 * ERROR_NOT_FOUND: the socket is gone; ERROR_CLOSED: its gateway's link is; ERROR_AGAIN: no answer came
 * within the setting `dead`.
 */
typedef void ask_done(void *argument, int result, struct bytes handshake);

/* Asks about that session's client.  0, and done is called once, not from inside here; ERROR_CLOSED when the
   gateway's link is not live. */
int ask_start(struct router *router, const struct session *session, ask_done *done, void *argument,
              struct ask **out) MUST_CHECK;

/* Asks a gateway for its own configuration; the answer is a JSON array, and ERROR_NOT_FOUND says that it is of a
   version that does not tell. */
int ask_configuration(struct router *router, struct gateway_link *link, ask_done *done, void *argument,
                      struct ask **out) MUST_CHECK;

/* done is not called any more. */
void ask_cancel(struct ask *ask);

/* A TOLD record; one that answers nothing is passed over.  0, or ERROR_MALFORMED. */
int ask_told(struct router *router, const struct gateway_link *link,
             const struct wire_told *record) MUST_CHECK;

/* The link is gone for good. */
void ask_forget(struct router *router, const struct gateway_link *link);

#endif
