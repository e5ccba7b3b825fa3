/*
 * Newer tokens, and what they take away (docs/protocol.md, "Tokens").  What a session may do is asked where it
 * is done, by session_may().
 */
#ifndef HUBBUB_ROUTER_TOKEN_H
#define HUBBUB_ROUTER_TOKEN_H

#include "router/router.h"

/* A TOKEN record: the socket goes on with that grant, which is of the same sub or refused, and leaves the
 * rooms that it may not be in any more.  0 or ERROR_MALFORMED. */
int token_renew(struct router *router, struct gateway_link *link, const struct wire_token *record) MUST_CHECK;

/*
 * Whether the session is in that room against the grant.  Where backends put clients into rooms only a right
 * to join that the session's present grant gives can be taken away: the others are theirs.
 */
bool token_excludes(struct router *router, const struct session *session, const struct grant *grant,
                    struct bytes room);

#endif
