/*
 * Events that backends judge; see judge.h.  Publishing hands them over, and takes them back once they are to
 * be published.  Its one surprising rule: verdicts of a socket take effect in the order of its events,
 * whichever comes first, so that what one client says is read in the order in which it was said.
 */
#include "router/judge.h"

#include "common/memory.h"
#include "proto/utf8.h"
#include "router/arguments.h"
#include "router/event_task.h"
#include "router/publish.h"
#include "router/reply.h"

#include <assert.h>
#include <stdlib.h>

enum { CODE_MAX = 64, MESSAGE_MAX = 1024 };

struct judgement {
    struct event_task event; /* must stay first; kept is a struct kept_verdict */
    struct event_rule rule;  /* as it was when the event came, without what a reload frees */
    struct judged *judged;   /* NULL: it has no id */
    struct judgement *next;  /* of those that follow */
};

/* An id on its way. */
struct judged {
    struct judgement *leader;    /* which is asked about; NULL: it is being published, or is gone */
    struct judgement *followers; /* in their order */
    bool publishing;
    size_t scope_length, key_length;
    char key[]; /* scope, then namespace, a zero, and the id */
};

struct judgements {
    struct table by_key;
};

struct ticket_judge {
    struct ticket ticket; /* must stay first */
    uint64_t task;
    char data[]; /* scope and id */
};

/* A verdict that can't take effect yet; its texts behind it. */
struct kept_verdict {
    struct wire_verdict record;
    char data[];
};

static const struct task_kind judge_kind;

static struct bytes judged_key(const void *entry)
{
    const struct judged *judged = entry;

    return bytes_make(judged->key, judged->key_length);
}

struct judgements *judgements_new(void)
{
    struct judgements *judgements = memory_zero(1, sizeof *judgements);

    table_init(&judgements->by_key, judged_key);
    return judgements;
}

void judgements_free(struct judgements *judgements)
{
    struct judged *judged;
    uint32_t cursor = 0;

    while ((judged = table_next(&judgements->by_key,
                                &cursor))) /* of messages that the journal did not give back */
        free(judged);
    table_done(&judgements->by_key);
    free(judgements);
}

/* -- ids on their way ------------------------------------------------------------------------- */

static struct judged *new_judged(struct bytes scope, struct bytes namespace, struct bytes id)
{
    struct judged *judged = memory_zero(1, sizeof *judged + scope.length + namespace.length + 1 + id.length);

    judged->scope_length = scope.length;
    judged->key_length = scope.length + namespace.length + 1 + id.length;
    memcpy(judged->key, scope.data, scope.length);
    memcpy(judged->key + scope.length, namespace.data, namespace.length);
    memcpy(judged->key + scope.length + namespace.length + 1, id.data, id.length);
    return judged;
}

static void free_judged(struct router *router, struct judged *judged)
{
    table_remove(&router->backends->judgements->by_key, judged);
    free(judged);
}

static void add_follower(struct judged *judged, struct judgement *judgement)
{
    struct judgement **end = &judged->followers;

    while (*end)
        end = &(*end)->next;
    *end = judgement;
    judgement->judged = judged;
}

static void remove_follower(struct judged *judged, struct judgement *judgement)
{
    struct judgement **at = &judged->followers;

    while (*at != judgement)
        at = &(*at)->next;
    *at = judgement->next;
    judgement->next = NULL;
}

/* Asks the journal whether the id has been published before. */
static void look(struct router *router, struct judgement *judgement)
{
    const struct judged *judged = judgement->judged;
    struct session *session = judgement->event.task.backed->session;
    struct bytes id = judgement->event.event.id;
    struct ticket_judge *ticket = memory_zero(1, sizeof *ticket + judged->scope_length + id.length);

    memcpy(ticket->data, judged->key, judged->scope_length);
    memcpy(ticket->data + judged->scope_length, id.data, id.length);
    ticket->task = judgement->event.task.number;
    ticket->ticket.entry.kind = JOURNAL_PASS;
    ticket->ticket.entry.dedup_scope = bytes_make(ticket->data, judged->scope_length);
    ticket->ticket.entry.message.publish_id = bytes_make(ticket->data + judged->scope_length, id.length);
    router_submit(router, &ticket->ticket, TICKET_JUDGE, session->link,
                  rooms_get(&router->rooms, session->namespace, judgement->event.event.room), session->socket,
                  judgement->event.event.request);
}

/* -- outcomes --------------------------------------------------------------------------------- */

static void answer(struct router *router, struct judgement *judgement, const struct journal_message *fields)
{
    struct gateway_link *link = event_task_link(&judgement->event);

    if (link && judgement->event.event.flags & WIRE_EVENT_ACK) {
        buffer_clear(&router->scratch);
        message_append_answer(&router->scratch, fields);
        reply_answer(link, judgement->event.event.request, buffer_bytes(&router->scratch));
    } else if (link) {
        link_done(link, judgement->event.event.request);
    }
    event_task_end(router, &judgement->event);
}

/* text and message are a backend's; without a text it is the code. */
struct refusal {
    enum refusal_code code;
    struct bytes text, message;
};

static void refuse(struct router *router, struct judgement *judgement, const struct refusal *refusal)
{
    struct gateway_link *link = event_task_link(&judgement->event);

    if (refusal->text.length == 0) {
        event_task_refuse(router, &judgement->event, refusal->code, NULL);
        return;
    }
    if (link)
        reply_refuse_event_as(router, link, judgement->event.task.backed->session,
                              judgement->event.event.request, judgement->event.event.flags & WIRE_EVENT_ACK,
                              judgement->event.event.event, refusal->text, refusal->message);
    event_task_end(router, &judgement->event);
}

/* All that have the id get one outcome; fields NULL: they are refused. */
static void conclude(struct router *router, struct judged *judged, const struct journal_message *fields,
                     const struct refusal *refusal)
{
    struct judgement *judgement = judged->leader, *next = judged->followers;

    if (judgement)
        judgement->next = next;
    else
        judgement = next;
    free_judged(router, judged);
    for (; judgement; judgement = next) {
        next = judgement->next;
        judgement->judged = NULL;
        if (fields)
            answer(router, judgement, fields);
        else
            refuse(router, judgement, refusal);
    }
}

static void refuse_all(struct router *router, struct judgement *judgement, const struct refusal *refusal)
{
    if (judgement->judged)
        conclude(router, judgement->judged, NULL, refusal);
    else
        refuse(router, judgement, refusal);
}

void judge_published(struct router *router, struct judged *judged, const struct journal_message *fields,
                     enum refusal_code code)
{
    conclude(router, judged, fields, &(struct refusal){.code = code});
}

void judge_release(struct router *router, struct ticket *ticket)
{
    struct ticket_judge *looked = (struct ticket_judge *)ticket;
    struct task *task = tasks_find(router, looked->task);
    struct judgement *judgement = (struct judgement *)task;

    if (task && ticket->entry.result == ERROR_EXISTS) {
        ticket->entry.message.class =
            judgement->rule.class == RULE_ARCHIVED ? MESSAGE_ARCHIVED : MESSAGE_LOGGED;
        router->counters.repeated++;
        conclude(router, judgement->judged, &ticket->entry.message, NULL);
    } else if (task) {
        task->ready = true;
        backed_pump(router, task->backed);
    }
    link_split(&router->links, ticket->link);
    free(looked);
}

/* -- verdicts --------------------------------------------------------------------------------- */

static void apply(struct router *router, struct gateway_link *link, struct judgement *judgement,
                  const struct wire_verdict *verdict)
{
    struct judged *judged = judgement->judged;
    struct wire_event event = judgement->event.event;
    struct refusal refusal = {.code = REFUSAL_FORBIDDEN, .text = verdict->code, .message = verdict->message};

    if (verdict->verdict == WIRE_VERDICT_REFUSE) {
        if (refusal.text.length == 0 && refusal.message.length)
            refusal.text = bytes_from_text(refusal_text(refusal.code));
        refuse_all(router, judgement, &refusal);
        return;
    }
    if (verdict->verdict == WIRE_VERDICT_CHANGE) {
        event.arguments = verdict->arguments;
        event.attachments = verdict->attachments;
    }
    refusal = (struct refusal){0};
    if (publish_judged(router, link, judgement->event.task.backed->session, &event, &judgement->rule, judged,
                       &refusal.code) < 0) {
        refuse_all(router, judgement, &refusal);
        return;
    }
    if (judged) {
        judged->leader = NULL;
        judged->publishing = true;
        judgement->judged = NULL;
    }
    event_task_end(router, &judgement->event);
}

/* Lets those verdicts take effect that wait for nothing any more. */
static void apply_kept(struct router *router, struct backed *backed)
{
    struct task *task = backed->first, *next;

    for (; task; task = next) {
        struct judgement *judgement = (struct judgement *)task;
        struct gateway_link *link;
        struct kept_verdict *kept;

        next = task->next;
        if (task->kind != &judge_kind || (judgement->judged && judgement->judged->leader != judgement))
            continue;
        kept = judgement->event.kept;
        link = event_task_link(&judgement->event);
        if (!kept || !link)
            return;
        judgement->event.kept = NULL;
        apply(router, link, judgement, &kept->record);
        free(kept);
        link_split(&router->links, link);
        next = backed->first; /* it may have ended others */
    }
}

static struct bytes copy(char **at, struct bytes text)
{
    struct bytes out = bytes_make(*at, text.length);

    if (text.length)
        memcpy(*at, text.data, text.length);
    *at += text.length;
    return out;
}

static void keep(struct judgement *judgement, const struct wire_verdict *record)
{
    struct kept_verdict *kept = memory_new(sizeof *kept + record->code.length + record->message.length +
                                           record->arguments.length + record->attachments.length);
    char *at = kept->data;

    kept->record = *record;
    kept->record.code = copy(&at, record->code);
    kept->record.message = copy(&at, record->message);
    kept->record.arguments = copy(&at, record->arguments);
    kept->record.attachments = copy(&at, record->attachments);
    judgement->event.kept = kept;
}

int judge_verdict(struct router *router, struct backend *backend, const struct wire_verdict *record)
{
    struct task *task = tasks_answered(router, backend, record->task, &judge_kind);
    struct judgement *judgement = (struct judgement *)task;

    if (!task)
        return 0;
    if (record->verdict > WIRE_VERDICT_REFUSE ||
        (record->verdict == WIRE_VERDICT_REFUSE &&
         (record->code.length > CODE_MAX || record->message.length > MESSAGE_MAX ||
          !utf8_valid(record->code) || !utf8_valid(record->message))))
        return ERROR_PROTOCOL;
    if (record->verdict == WIRE_VERDICT_CHANGE &&
        arguments_check(record->arguments, record->attachments) < 0) {
        backend_cut(router, backend, BACKEND_CUT_JSON);
        return 0;
    }
    keep(judgement, record);
    task_park(router, task);
    apply_kept(router, task->backed);
    return 0;
}

/* -- taking in -------------------------------------------------------------------------------- */

static void put(struct router *router, const struct task *task, struct wire_batch *out)
{
    const struct event_task *judged = (const struct event_task *)task;

    (void)router;
    wire_put_judge(out, &(struct wire_judge){.task = task->number,
                                             .sid = bytes_make(task->backed->sid, SID_LENGTH),
                                             .flags = event_task_flags(judged),
                                             .room = judged->event.room,
                                             .event = judged->event.event,
                                             .arguments = judged->event.arguments,
                                             .attachments = judged->event.attachments});
}

static void expire(struct router *router, struct task *task)
{
    refuse_all(router, (struct judgement *)task, &(struct refusal){.code = REFUSAL_UNAVAILABLE});
}

/* Another one with the id, of a socket that is there still, is asked about instead. */
static void succeed(struct router *router, struct judged *judged, const struct backed *gone)
{
    struct judgement *next = judged->followers;

    while (next && next->event.task.backed == gone)
        next = next->next;
    judged->leader = next;
    if (!next)
        return;
    remove_follower(judged, next);
    if (event_task_link(&next->event)) {
        task_unpark(router, &next->event.task);
        look(router, next);
    } else {
        event_task_end(router, &next->event); /* its gateway asks again */
        succeed(router, judged, gone);
    }
}

static void drop(struct router *router, struct task *task)
{
    struct judgement *judgement = (struct judgement *)task;
    struct judged *judged = judgement->judged;

    if (judged && judged->leader == judgement)
        succeed(router, judged, task->backed);
    else if (judged)
        remove_follower(judged, judgement);
    if (judged && !judged->leader && !judged->followers && !judged->publishing)
        free_judged(router, judged);
    event_task_drop(router, task);
}

static const struct task_kind judge_kind = {.put = put, .expire = expire, .drop = drop};

bool judge_resume(struct router *router, struct gateway_link *link, struct session *session, uint64_t request)
{
    struct backed *backed = session->backed;

    if (!backed || !event_task_resume(link, backed, request, &judge_kind))
        return false;
    apply_kept(router, backed);
    return true;
}

bool judge_begin(struct router *router, struct gateway_link *link, struct session *session,
                 const struct wire_event *record, const struct event_rule *rule, struct room *room,
                 struct bytes scope)
{
    struct wire_event event = *record;
    struct table *by_key = &router->backends->judgements->by_key;
    struct backed *backed = session->backed;
    struct judged *judged, *known;
    struct judgement *judgement;
    bool again;

    if (!backed)
        return false;
    if (rule->class == RULE_VOLATILE)
        event.id = (struct bytes){0}; /* of a gateway with other rules: the journal would never tell of it */
    again = event_task_recall(router, link, backed, event.request);
    if (tasks_full(router))
        return false;
    room_hold(room);
    judgement = (struct judgement *)event_task_new(router, backed, &event, &judge_kind, sizeof *judgement,
                                                   event.id.length == 0, again);
    judgement->rule = *rule;
    judgement->rule.name = (struct bytes){0};
    judgement->rule.origin = NULL;
    if (event.id.length) {
        judged = new_judged(scope, session->namespace->name, event.id);
        known = table_find(by_key, judged_key(judged));
        if (known) {
            free(judged);
            add_follower(known, judgement);
            task_park(router, &judgement->event.task);
        } else {
            table_insert(by_key, judged);
            judged->leader = judgement;
            judgement->judged = judged;
            look(router, judgement);
        }
    }
    room_release(&router->rooms, room);
    backed_pump(router, backed);
    return true;
}
