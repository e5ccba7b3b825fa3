/*
 * The way of a client's message: checks and rules, the ticket, and the release; see publish.h.  The
 * dispatcher and the journal's hand-back call it.  Its one surprising rule: the answer goes on the sender's
 * link before the delivery, because a gateway takes the position of a delivery for "everything up to here has
 * arrived".
 */
#include "router/publish.h"

#include "proto/json_text.h"
#include "proto/socketio.h"
#include "router/backed.h"
#include "router/call.h"
#include "router/deliver.h"
#include "router/judge.h"
#include "router/membership.h"
#include "router/reply.h"

#include <stdlib.h>

void publish_presence(struct router *router, struct room *room)
{
    const char *epoch = router_epoch_for(router, room->namespace);
    struct journal_message fields = {
        .pos = router->released, .namespace = room->namespace->name, .room = room_name(room)};
    struct delivery delivery = {.fields = &fields,
                                .room = room,
                                .flags = WIRE_DELIVER_VOLATILE | WIRE_DELIVER_WATCHERS |
                                         message_payload_flags(&fields, epoch)};
    struct buffer *scratch = &router->scratch;

    buffer_clear(scratch);
    buffer_append_literal(scratch, "[\"hubbub:presence\",{\"room\":");
    json_append_string(scratch, fields.room);
    buffer_append_literal(scratch, ",\"members\":");
    buffer_append_u64(scratch, room->members);
    buffer_append_char(scratch, '}');
    if (epoch)
        message_append_offset(scratch, epoch, router->released);
    buffer_append_char(scratch, ']');
    delivery.payload = buffer_bytes(scratch);
    router->counters.presence++;
    for (uint32_t i = 0; i < room->link_count; i++)
        if (room->links[i].watchers)
            deliver_to(router, room->links[i].link, &delivery);
}

/* -- release ---------------------------------------------------------------------------------- */

static void answer_sender(struct router *router, const struct message *message)
{
    const struct ticket *ticket = &message->ticket;

    if (!message->acknowledge) {
        link_done(ticket->link, ticket->request);
        return;
    }
    buffer_clear(&router->scratch);
    message_append_answer(&router->scratch, &ticket->entry.message);
    reply_answer(ticket->link, ticket->request, buffer_bytes(&router->scratch));
}

static void release_written(struct router *router, struct message *message)
{
    deliver_note(router, message);
    answer_sender(router, message);
    if (message->judged)
        judge_published(router, message->judged, &message->ticket.entry.message, REFUSAL_CODES);
    message->judged = NULL;
    deliver_message(router, message, 0);
    deliver_keep(router, message);
}

void publish_release(struct router *router, struct message *message)
{
    struct ticket *ticket = &message->ticket;
    struct journal_message *fields = &ticket->entry.message;

    if (ticket->kind == TICKET_VOLATILE) {
        answer_sender(router, message);
        deliver_unwritten(router, message, WIRE_DELIVER_VOLATILE);
        return;
    }
    if (ticket->entry.result == 0 && ticket->kind == TICKET_PUBLISH) {
        release_written(router, message);
        return;
    }
    if (ticket->entry.result == ERROR_EXISTS) {
        router->counters.repeated++;
        answer_sender(router, message);
        if (message->judged)
            judge_published(router, message->judged, fields, REFUSAL_CODES);
    } else {
        enum refusal_code code = ticket->kind == TICKET_REPEAT ? REFUSAL_NOT_JOINED : REFUSAL_STORAGE_FULL;

        reply_refuse_event(router, ticket->link, session_find(&ticket->link->sessions, ticket->socket),
                           ticket->request, message->acknowledge, fields->event, code, NULL);
        if (message->judged)
            judge_published(router, message->judged, NULL, code);
    }
    free(message);
}

/* -- taking in -------------------------------------------------------------------------------- */

/* Where the event belongs, or why it is refused. */
static int find_room(struct router *router, const struct session *session, const struct event_rule *rule,
                     struct bytes name, struct room **out, enum refusal_code *code)
{
    const struct membership *membership;

    if (rule->deliver == RULE_DELIVER_NAMESPACE && !session_may(session, RIGHT_PUBLISH, BYTES(""))) {
        *code = REFUSAL_FORBIDDEN; /* only "*" allows everybody */
        return ERROR_FORBIDDEN;
    }
    if (name.length == 0) {
        if (rule->deliver == RULE_DELIVER_ROOM || rule->deliver == RULE_DELIVER_OTHERS ||
            rule->class == RULE_ARCHIVED) {
            *code = REFUSAL_BAD_ROOM;
            return ERROR_MALFORMED;
        }
        *out = rooms_get(&router->rooms, session->namespace, name);
        return 0;
    }
    membership = session_membership(session, name);
    if (!membership_may_name(router, membership, name)) {
        *code = REFUSAL_BAD_ROOM;
        return ERROR_MALFORMED;
    }
    if (!session_may(session, RIGHT_PUBLISH, name)) {
        *code = REFUSAL_FORBIDDEN;
        return ERROR_FORBIDDEN;
    }
    if (!membership || !membership->wanted) {
        *code = REFUSAL_NOT_JOINED;
        return ERROR_NOT_FOUND;
    }
    *out = membership->room;
    return 0;
}

/* No client would take a packet with more than SOCKETIO_ATTACHMENTS_MAX. */
static int attachment_count(const struct wire_event *event)
{
    struct wire_reader list;

    return wire_list_open(&list, event->attachments);
}

static enum message_class message_class_of(const struct event_rule *rule)
{
    static const enum message_class classes[] = {[RULE_ARCHIVED] = MESSAGE_ARCHIVED,
                                                 [RULE_LOGGED] = MESSAGE_LOGGED,
                                                 [RULE_VOLATILE] = MESSAGE_VOLATILE};

    return classes[rule->class];
}

static enum deliver_mode deliver_mode_of(const struct event_rule *rule)
{
    static const enum deliver_mode modes[] = {[RULE_DELIVER_ROOM] = DELIVER_ROOM,
                                              [RULE_DELIVER_OTHERS] = DELIVER_OTHERS,
                                              [RULE_DELIVER_SELF] = DELIVER_SELF,
                                              [RULE_DELIVER_NAMESPACE] = DELIVER_NAMESPACE};

    return modes[rule->deliver];
}

/* A client's id counts for its sender, or for the room when the sender has no name that lasts. */
static struct bytes dedup_scope(const struct session *session, struct bytes room,
                                char space[SESSION_NAME_MAX + 2])
{
    struct bytes sub = grant_sub(session->grant);
    struct bytes scope = sub.length ? sub : room;

    space[0] = sub.length ? 's' : 'r';
    space[1] = ':';
    memcpy(space + 2, scope.data, scope.length);
    return bytes_make(space, scope.length + 2);
}

/*
 * An event of somebody who is not in the room, but has sent it before: a stock client sends what it has no
 * answer to at once when it is connected again, before anyone can have it join.
 */
static void ask_for_first(struct router *router, struct gateway_link *link, const struct session *session,
                          const struct wire_event *event, const struct event_rule *rule)
{
    char scope_space[SESSION_NAME_MAX + 2];
    struct room *room = rooms_get(&router->rooms, session->namespace, event->room);
    struct journal_message fields = {
        .event = event->event, .publish_id = event->id, .class = message_class_of(rule)};
    struct message *message;

    room_hold(room);
    message = message_new(&fields, room, dedup_scope(session, event->room, scope_space));
    message->acknowledge = event->flags & WIRE_EVENT_ACK;
    message->ticket.kind = TICKET_REPEAT;
    message->ticket.entry.kind = JOURNAL_PASS;
    router_submit_message(router, message, link, event->socket, event->request);
    room_release(&router->rooms, room);
}

/* A volatile event with nothing before it in its room: no ticket, no memory of its own. */
static void deliver_now(struct router *router, struct gateway_link *link, const struct session *session,
                        const struct wire_event *event, struct room *room, struct journal_message *fields)
{
    if (event->flags & WIRE_EVENT_ACK)
        reply_answer(link, event->request, BYTES("{\"ok\":true}"));
    else
        link_done(link, event->request);
    deliver_fields(router, fields, room, session, WIRE_DELIVER_VOLATILE);
}

static void take(struct router *router, struct gateway_link *link, const struct session *session,
                 const struct wire_event *event, const struct event_rule *rule, struct room *room,
                 struct judged *judged)
{
    char from_space[SID_LENGTH + 5], scope_space[SESSION_NAME_MAX + 2], id_space[MESSAGE_ID_MAX];
    struct journal_message fields = {.room = room_name(room),
                                     .namespace = room->namespace->name,
                                     .event = event->event,
                                     .arguments = event->arguments,
                                     .attachments = event->attachments,
                                     .publish_id = event->id,
                                     .sender_sid = session_sid(session),
                                     .sender_name = session_from(session, from_space),
                                     .deliver = deliver_mode_of(rule),
                                     .class = message_class_of(rule),
                                     .meta = rule->meta};
    bool is_volatile = rule->class == RULE_VOLATILE;
    struct bytes scope = {0};
    struct message *message;

    router->counters.volatiles += is_volatile;
    room_hold(room);
    if (is_volatile && room->waiting == 0) {
        deliver_now(router, link, session, event, room, &fields);
    } else {
        if (!is_volatile && event->id.length)
            scope = dedup_scope(session, fields.room, scope_space);
        else if (!is_volatile)
            fields.publish_id = message_make_id(id_space, link->incarnation, event->request);
        fields.own_id = scope.length > 0;
        message = message_new(&fields, room, scope);
        message->acknowledge = event->flags & WIRE_EVENT_ACK;
        message->judged = judged;
        if (is_volatile) {
            message->ticket.kind = TICKET_VOLATILE;
            message->ticket.entry.kind = JOURNAL_PASS;
        }
        router_submit_message(router, message, link, event->socket, event->request);
    }
    room_release(&router->rooms, room);
}

void publish_event(struct router *router, struct gateway_link *link, const struct wire_event *event)
{
    struct session *session = session_find(&link->sessions, event->socket);
    const struct event_rule *rule = NULL;
    enum refusal_code code = REFUSAL_NOT_JOINED;
    char scope[SESSION_NAME_MAX + 2];
    const char *message = NULL;
    struct room *room = NULL;

    if (!session)
        goto refused;
    if (call_resume(router, link, session, event->request) ||
        judge_resume(router, link, session, event->request))
        return;
    rule = rules_find(&session->namespace->config->rules, event->event);
    if (!rule && event->event.length > router->settings->max_name) {
        code = REFUSAL_TOO_LARGE;
        message = "the event's name is longer than allowed";
        goto refused;
    }
    if (!rule && !call_possible(router, session)) {
        code = REFUSAL_UNKNOWN_EVENT;
        goto refused;
    }
    if (event->arguments.length + event->attachments.length > router->settings->max_event ||
        attachment_count(event) > SOCKETIO_ATTACHMENTS_MAX) {
        code = REFUSAL_TOO_LARGE;
        goto refused;
    }
    if (event->id.length && !message_id_valid(event->id)) {
        code = REFUSAL_BAD_REQUEST;
        message = message_id_rule;
        goto refused;
    }
    if (router_busy(router) || (rule && backed_is_judged(session))) {
        code = REFUSAL_BUSY;
        goto refused;
    }
    if (!rule) {
        if (call_begin(router, link, session, event))
            return;
        code = REFUSAL_BUSY;
        goto refused;
    }
    if (find_room(router, session, rule, event->room, &room, &code) < 0) {
        if (code == REFUSAL_BAD_ROOM)
            message = membership_name_fault(event->room);
        if (code != REFUSAL_NOT_JOINED || !event->id.length || rule->class == RULE_VOLATILE)
            goto refused;
        ask_for_first(router, link, session, event, rule);
        return;
    }
    if (!rule->ask) {
        take(router, link, session, event, rule, room, NULL);
        return;
    }
    if (judge_begin(router, link, session, event, rule, room, dedup_scope(session, event->room, scope)))
        return;
    code = REFUSAL_BUSY;

refused:
    reply_refuse_event(router, link, session, event->request, event->flags & WIRE_EVENT_ACK, event->event,
                       code, message);
}

int publish_judged(struct router *router, struct gateway_link *link, const struct session *session,
                   const struct wire_event *event, const struct event_rule *rule, struct judged *judged,
                   enum refusal_code *code)
{
    struct room *room = NULL;
    int result;

    if (event->arguments.length + event->attachments.length > router->settings->max_event) {
        *code = REFUSAL_TOO_LARGE;
        return ERROR_TOO_LARGE;
    }
    if (router_busy(router)) {
        *code = REFUSAL_BUSY;
        return ERROR_BUSY;
    }
    result = find_room(router, session, rule, event->room, &room, code);
    if (!result)
        take(router, link, session, event, rule, room, judged);
    return result;
}
