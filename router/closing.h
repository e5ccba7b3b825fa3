/* The command `close` of the stats socket: all members leave a room, and may come again. */
#ifndef HUBBUB_ROUTER_CLOSING_H
#define HUBBUB_ROUTER_CLOSING_H

#include "router/stats_command.h"

/*
 * close ROOM [in NAMESPACE].  Members leave as if a backend had said so, those that are away too; where
 * rooms are the broker's own each live one is told by the event hubbub:closed.  Done when all leaves are on
 * their way to the journal.  Whose join is under way meanwhile may have to leave, too.
 */
enum stats_outcome closing_start(struct stats_request *request);

/* Tells a live member of a room that was closed, behind LEFT: the event hubbub:closed.  Its link must be
   live. */
void closing_tell(struct router *router, const struct session *session, struct bytes room);

#endif
