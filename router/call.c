/*
 * Events that backends handle; see call.h.  Publishing hands them over, the backends' dispatcher brings the
 * answers. Its one surprising rule: an answer that comes while the client's gateway makes a new link is kept,
 * because that gateway is going to ask again.
 */
#include "router/call.h"

#include "common/memory.h"
#include "router/arguments.h"
#include "router/event_task.h"
#include "router/reply.h"

#include <stdlib.h>

/* An answer that waits for the gateway; its texts behind it. */
struct kept_answer {
    bool answered;
    size_t arguments_length, attachments_length;
    char data[];
};

static void put(struct router *router, const struct task *task, struct wire_batch *out)
{
    const struct event_task *call = (const struct event_task *)task;

    (void)router;
    wire_put_call(out, &(struct wire_call){.task = task->number,
                                           .sid = bytes_make(task->backed->sid, SID_LENGTH),
                                           .flags = event_task_flags(call),
                                           .event = call->event.event,
                                           .arguments = call->event.arguments,
                                           .attachments = call->event.attachments});
}

static const struct task_kind call_kind = {.put = put, .expire = event_task_expire, .drop = event_task_drop};

/* The one answer that the client gets. */
static void answer(struct router *router, struct gateway_link *link, struct event_task *call, bool answered,
                   struct bytes arguments, struct bytes attachments)
{
    if (!(call->event.flags & WIRE_EVENT_ACK) || !answered)
        link_done(link, call->event.request);
    else if (arguments.length + attachments.length > router->settings->max_event)
        reply_refuse(router, link, call->event.request, REFUSAL_TOO_LARGE, NULL);
    else
        reply_answer_binary(link, call->event.request, arguments, attachments);
    link_split(&router->links, link);
    event_task_end(router, call);
}

static void keep(struct event_task *call, const struct wire_handled *record)
{
    struct kept_answer *kept =
        memory_new(sizeof *kept + record->arguments.length + record->attachments.length);

    kept->answered = record->answered;
    kept->arguments_length = record->arguments.length;
    kept->attachments_length = record->attachments.length;
    if (record->arguments.length)
        memcpy(kept->data, record->arguments.data, record->arguments.length);
    if (record->attachments.length)
        memcpy(kept->data + kept->arguments_length, record->attachments.data, record->attachments.length);
    call->kept = kept;
}

static void give_kept(struct router *router, struct event_task *call)
{
    const struct kept_answer *kept = call->kept;
    struct gateway_link *link = event_task_link(call);

    if (kept && link)
        answer(router, link, call, kept->answered, bytes_make(kept->data, kept->arguments_length),
               bytes_make(kept->data + kept->arguments_length, kept->attachments_length));
}

bool call_possible(const struct router *router, const struct session *session)
{
    return (session->backed && session->backed->backend) || backed_namespace(router, session->namespace);
}

bool call_resume(struct router *router, struct gateway_link *link, struct session *session, uint64_t request)
{
    struct event_task *call =
        session->backed ? event_task_resume(link, session->backed, request, &call_kind) : NULL;

    if (call)
        give_kept(router, call);
    return call;
}

bool call_begin(struct router *router, struct gateway_link *link, struct session *session,
                const struct wire_event *event)
{
    struct backed *backed = session->backed;
    bool again;

    if (!backed)
        return false;
    again = event_task_recall(router, link, backed, event->request);
    if (tasks_full(router))
        return false;
    event_task_new(router, backed, event, &call_kind, sizeof(struct event_task), true, again);
    backed_pump(router, backed);
    return true;
}

int call_handled(struct router *router, struct backend *backend, const struct wire_handled *record)
{
    struct event_task *call = (struct event_task *)tasks_answered(router, backend, record->task, &call_kind);
    struct gateway_link *link;

    if (!call)
        return 0;
    if (record->answered && arguments_check(record->arguments, record->attachments) < 0) {
        backend_cut(router, backend, BACKEND_CUT_JSON);
        return 0;
    }
    link = event_task_link(call);
    if (link) {
        answer(router, link, call, record->answered, record->arguments, record->attachments);
    } else {
        keep(call, record);
        task_park(router, &call->task);
    }
    return 0;
}
