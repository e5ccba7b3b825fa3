/*
 * Refusals and answers; see reply.h.  Every handler calls it.  Its one surprising rule: an event without an
 * acknowledgement is refused by an event of ours, of which a socket gets only a few; the rest is counted.
 */
#include "router/reply.h"

#include "proto/json_text.h"

void reply_answer(struct gateway_link *link, uint64_t request, struct bytes answer)
{
    reply_answer_binary(link, request, answer, (struct bytes){0});
}

void reply_answer_binary(struct gateway_link *link, uint64_t request, struct bytes answer,
                         struct bytes attachments)
{
    struct wire_batch *out = link_out(link);

    if (out)
        wire_put_answer(
            out, &(struct wire_answer){.request = request, .answer = answer, .attachments = attachments});
}

void reply_refuse(struct router *router, struct gateway_link *link, uint64_t request, enum refusal_code code,
                  const char *message)
{
    struct buffer *scratch = &router->scratch;

    router->counters.refused[code]++;
    buffer_clear(scratch);
    refusal_append_answer(scratch, code, message);
    reply_answer(link, request, buffer_bytes(scratch));
}

/* hubbub:error with that error, which is not in scratch. */
static void emit_error(struct router *router, struct gateway_link *link, struct session *session,
                       struct bytes event, struct bytes error)
{
    struct wire_batch *out = link_out(link);
    const char *epoch = router_epoch_for(router, session->namespace);
    struct buffer *scratch = &router->scratch;

    if (!refusal_budget_take(&session->errors, loop_now(router->loop))) {
        router->counters.dropped_error_rate++;
        return;
    }
    if (!out)
        return;
    buffer_clear(scratch);
    buffer_append_literal(scratch, "[\"hubbub:error\",{\"event\":");
    json_append_string(scratch, event);
    buffer_append_literal(scratch, ",\"error\":");
    buffer_append_bytes(scratch, error);
    buffer_append_char(scratch, '}');
    if (epoch)
        message_append_offset(scratch, epoch, router->released);
    buffer_append_char(scratch, ']');
    wire_put_emit(out, &(struct wire_emit){.socket = session->socket,
                                           .flags = epoch ? WIRE_DELIVER_OFFSET : 0,
                                           .payload = buffer_bytes(scratch)});
}

/* The same with an error as text. */
static void refuse_event(struct router *router, struct gateway_link *link, struct session *session,
                         uint64_t request, bool acknowledge, struct bytes event, struct bytes error)
{
    struct buffer *scratch = &router->scratch;

    if (!acknowledge) {
        if (session)
            emit_error(router, link, session, event, error);
        link_done(link, request);
        return;
    }
    buffer_clear(scratch);
    buffer_append_literal(scratch, "{\"ok\":false,\"error\":");
    buffer_append_bytes(scratch, error);
    buffer_append_char(scratch, '}');
    reply_answer(link, request, buffer_bytes(scratch));
}

void reply_refuse_event(struct router *router, struct gateway_link *link, struct session *session,
                        uint64_t request, bool acknowledge, struct bytes event, enum refusal_code code,
                        const char *message)
{
    struct buffer error = {0};

    router->counters.refused[code]++;
    refusal_append_error(&error, code, message);
    refuse_event(router, link, session, request, acknowledge, event, buffer_bytes(&error));
    buffer_done(&error);
}

void reply_refuse_event_as(struct router *router, struct gateway_link *link, struct session *session,
                           uint64_t request, bool acknowledge, struct bytes event, struct bytes code,
                           struct bytes message)
{
    struct buffer error = {0};

    router->counters.refused[REFUSAL_FORBIDDEN]++;
    buffer_append_literal(&error, "{\"code\":");
    json_append_string(&error, code);
    buffer_append_literal(&error, ",\"message\":");
    json_append_string(&error, message);
    buffer_append_char(&error, '}');
    refuse_event(router, link, session, request, acknowledge, event, buffer_bytes(&error));
    buffer_done(&error);
}
