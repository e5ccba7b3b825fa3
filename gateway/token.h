/*
 * Verifying JSON Web Tokens (RFC 7519, RFC 7515) against a policy.
 *
 * What a token's head says is only looked up: the algorithm must be that of the key, and `kid` is one of the
 * configured ids or the token is refused.  With a kid that key alone counts; without one every key of the
 * algorithm is tried.  `none` is no algorithm, and what a head demands further (crit) is refused.
 *
 *   exp   required: a number of seconds, below the year 10000
 *   nbf   may be absent; both are judged with the policy's leeway
 *   iss   must be the policy's issuer, where it has one
 *   aud   must be the policy's audience or a list with it, where it has one
 *   sub   required: what `from` shows
 *   hubbub  {"join":[..],"publish":[..],"read":[..]}: patterns of rooms (proto/grant.h); what is absent is as
 *         join; without the claim the policy's rights hold
 */
#ifndef HUBBUB_GATEWAY_TOKEN_H
#define HUBBUB_GATEWAY_TOKEN_H

#include "gateway/token_policy.h"

enum { TOKEN_LENGTH_MAX = 8192 };

enum token_verdict { TOKEN_GOOD, TOKEN_INVALID, TOKEN_EXPIRED };

/*
 * now_ms: clock_wall_ms().  TOKEN_GOOD: grant has its text appended.  Otherwise it is untouched, and *why
 * says what is wrong, for logs: a static text with nothing of the token.  TOKEN_EXPIRED only for one that
 * was signed with one of the keys.
 */
enum token_verdict token_verify(const struct token_policy *policy, struct bytes token, uint64_t now_ms,
                                struct buffer *grant, const char **why) MUST_CHECK;

/* The anonymous grant; appends nothing where it may do everything. */
void token_append_anonymous(const struct token_policy *policy, struct buffer *grant);

/*
 * What token_verify() does once the signature is good: judges the claims, a JSON text.  For it, and for a
 * fuzz driver.
 */
enum token_verdict token_judge(const struct token_policy *policy, struct bytes claims, uint64_t now_ms,
                               struct buffer *grant, const char **why) MUST_CHECK;

#endif
