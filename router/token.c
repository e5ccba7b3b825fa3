/*
 * Renewal of grants; see token.h.  The dispatcher calls it for records, recovery for sessions that come back.
 * Its one surprising rule: the grant is there before the leaves that it causes are on disk, so nothing is
 * published under the former one meanwhile.
 */
#include "router/token.h"

#include "router/backed.h"
#include "router/membership.h"
#include "router/reply.h"

bool token_excludes(struct router *router, const struct session *session, const struct grant *grant,
                    struct bytes room)
{
    if (!session->namespace->config->builtin || grant_allows(grant, RIGHT_JOIN, room))
        return false;
    return !backed_namespace(router, session->namespace) || session_may(session, RIGHT_JOIN, room);
}

static void answer(struct router *router, struct gateway_link *link, uint64_t request,
                   const struct grant *grant)
{
    struct buffer *scratch = &router->scratch;

    buffer_clear(scratch);
    buffer_append_literal(scratch, "{\"ok\":true,\"expires\":");
    buffer_append_u64(scratch, grant->expires * 1000);
    buffer_append_char(scratch, '}');
    reply_answer(link, request, buffer_bytes(scratch));
}

int token_renew(struct router *router, struct gateway_link *link, const struct wire_token *record)
{
    struct session *session = session_find(&link->sessions, record->socket);
    struct grant *grant;

    if (grant_parse(&router->sessions.grants, record->grant, &grant) < 0)
        return ERROR_MALFORMED;
    if (!session) {
        reply_refuse(router, link, record->request, REFUSAL_NOT_JOINED, NULL);
        grant_free(grant);
        return 0;
    }
    if (!grant->sub_length || !bytes_equal(grant_sub(grant), grant_sub(session->grant))) {
        reply_refuse(router, link, record->request, REFUSAL_FORBIDDEN, "the token is somebody else's");
        grant_free(grant);
        return 0;
    }
    for (uint16_t i = 0; i < session->room_count; i++) { /* leaving takes nothing out of the list at once */
        struct bytes room = room_name(session_rooms(session)[i].room);

        if (token_excludes(router, session, grant, room))
            membership_exit(router, session, room);
    }
    session_set_grant(session, grant);
    answer(router, link, record->request, session->grant);
    router->counters.tokens_renewed++;
    return 0;
}
