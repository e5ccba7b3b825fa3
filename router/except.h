/*
 * Exceptions: a list (msgpack) of names of rooms and of sids, whose sockets a message is not for.
 *
 * A socket's rooms are those of the moment when it is judged, and only those that it had joined before the
 * message: who missed a message and has joined an excepted room since then, is shown it on recovery.
 */
#ifndef HUBBUB_ROUTER_EXCEPT_H
#define HUBBUB_ROUTER_EXCEPT_H

#include "router/session.h"

#define EXCEPT_NOW    UINT64_MAX       /* for a message that is delivered now: all rooms count */
#define EXCEPT_WANTED (UINT64_MAX - 1) /* all that it will be in when what the journal has now is back */

/* Whether the message of that position is not for the session.  list may be empty; it must have been checked
   before (what is none excepts nobody). */
bool except_session(struct bytes list, const struct session *session, uint64_t pos);

#endif
