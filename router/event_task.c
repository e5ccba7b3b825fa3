/*
 * Events in the hands of backends; see event_task.h.  call.c and judge.c call it.  Its one surprising rule:
 * request numbers of a gateway only go up, so one that is not above the last of its socket was made before,
 * on a link that broke; after a restart of the router that can't be told, and for a while every event counts
 * as perhaps begun.
 */
#include "router/event_task.h"

#include "common/memory.h"
#include "router/reply.h"

#include <stdlib.h>

static struct event_task *find(const struct backed *backed, uint64_t request, const struct task_kind *kind)
{
    for (struct task *task = backed->first; task; task = task->next)
        if (task->kind == kind && ((struct event_task *)task)->event.request == request)
            return (struct event_task *)task;
    return NULL;
}

static bool was_made(const struct gateway_link *link, const struct backed *backed, uint64_t request)
{
    return backed->last_gateway == link->incarnation && request <= backed->last_request;
}

struct event_task *event_task_resume(const struct gateway_link *link, struct backed *backed, uint64_t request,
                                     const struct task_kind *kind)
{
    struct event_task *task = was_made(link, backed, request) ? find(backed, request, kind) : NULL;

    if (task)
        task->link = link->peer.flow.link;
    return task;
}

bool event_task_recall(const struct router *router, const struct gateway_link *link, struct backed *backed,
                       uint64_t request)
{
    if (was_made(link, backed, request))
        return true;
    backed->last_gateway = link->incarnation;
    backed->last_request = request;
    return loop_now(router->loop) < backed->again_until;
}

static struct bytes keep(char **at, struct bytes text)
{
    struct bytes copy = bytes_make(*at, text.length);

    if (text.length)
        memcpy(*at, text.data, text.length);
    *at += text.length;
    return copy;
}

struct event_task *event_task_new(struct router *router, struct backed *backed,
                                  const struct wire_event *event, const struct task_kind *kind, size_t size,
                                  bool ready, bool again)
{
    size_t bytes = event->room.length + event->event.length + event->arguments.length + event->id.length +
                   event->attachments.length;
    struct event_task *task = memory_new(size + bytes);
    char *at = (char *)task + size;

    memset(task, 0, size);
    task->event = *event;
    task->link = backed->session->link->peer.flow.link;
    task->event.room = keep(&at, event->room);
    task->event.event = keep(&at, event->event);
    task->event.arguments = keep(&at, event->arguments);
    task->event.id = keep(&at, event->id);
    task->event.attachments = keep(&at, event->attachments);
    task->task.kind = kind;
    task->task.backed = backed;
    task->task.size = size + bytes;
    task->task.ready = ready;
    task->task.again = again;
    tasks_add(router, &task->task);
    return task;
}

uint64_t event_task_flags(const struct event_task *task)
{
    return (task->event.flags & WIRE_EVENT_ACK ? WIRE_CALL_ACK : 0) |
           (task->task.again ? WIRE_CALL_AGAIN : 0);
}

struct gateway_link *event_task_link(const struct event_task *task)
{
    struct session *session = task->task.backed->session;

    return session && session->link->peer.flow.link == task->link && link_out(session->link) ? session->link
                                                                                             : NULL;
}

void event_task_end(struct router *router, struct event_task *task)
{
    tasks_remove(router, &task->task);
    free(task->kept);
    free(task);
}

void event_task_refuse(struct router *router, struct event_task *task, enum refusal_code code,
                       const char *message)
{
    struct gateway_link *link = event_task_link(task);

    if (link)
        reply_refuse_event(router, link, task->task.backed->session, task->event.request,
                           task->event.flags & WIRE_EVENT_ACK, task->event.event, code, message);
    event_task_end(router, task);
}

void event_task_expire(struct router *router, struct task *task)
{
    event_task_refuse(router, (struct event_task *)task, REFUSAL_UNAVAILABLE, NULL);
}

void event_task_drop(struct router *router, struct task *task)
{
    (void)router;
    free(((struct event_task *)task)->kept);
    free(task);
}
