/*
 * From SEND and PUBLISH to delivery and OUTCOME; see emit.h.  The dispatchers and the journal's hand-back
 * call it.  Its one surprising rule: what is not written is delivered at once only while nothing of its
 * namespace is with the journal, because whoever sends to a room and then to a socket in it expects that
 * order.
 */
#include "router/emit.h"

#include "common/clock.h"
#include "common/memory.h"
#include "proto/socketio.h"
#include "router/arguments.h"
#include "router/audience.h"
#include "router/deliver.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { SCOPE_MAX = 8 };

static_assert((int)AUDIENCE_ROOMS_MAX <= (int)JOURNAL_GROUP_MAX, "the parts of one emission are one group");

/* SEND and PUBLISH alike. */
struct emit_request {
    struct asker asker;
    struct bytes namespace, rooms, except;
    uint64_t class, flags;
    struct bytes id, event, arguments, attachments;
};

/* One of them on its way through the journal. */
struct emission {
    struct asker asker; /* held */
    uint32_t left;      /* messages that are not back yet */
    uint64_t flags;     /* of their delivery */
    bool tell;          /* an outcome is wanted though nothing failed */
    bool full;          /* the disk was */
    uint64_t at;        /* of the first; 0 when there is none */
    struct wire_list seqs;
    size_t id_length;
    char id[];
};

/* -- checks ----------------------------------------------------------------------------------- */

bool emit_check_event(struct router *router, const struct asker *asker, struct bytes event,
                      struct bytes arguments, struct bytes attachments)
{
    if (!name_valid(event, ROOM_NAME_MAX) || socketio_name_reserved(event)) {
        outcome_refuse(router, asker, REFUSAL_BAD_REQUEST, "no event can have that name");
        return false;
    }
    if (arguments.length + attachments.length > router->settings->max_event) {
        outcome_refuse(router, asker, REFUSAL_TOO_LARGE, NULL);
        return false;
    }
    switch (arguments_check(arguments, attachments)) {
    case 0:
        return true;
    case ERROR_TOO_DEEP:
        outcome_refuse(router, asker, REFUSAL_TOO_DEEP, NULL);
        return false;
    case ERROR_TOO_LARGE:
        outcome_refuse(router, asker, REFUSAL_TOO_LARGE, "more than 10 attachments");
        return false;
    default:
        outcome_reject(router, asker, BACKEND_CUT_JSON, REFUSAL_BAD_REQUEST,
                       "the arguments are no JSON, or a placeholder stands for nothing");
        return false;
    }
}

static bool names_a_socket(const struct router *router, const struct audience *audience)
{
    for (uint32_t i = 0; i < audience->room_count; i++)
        if (audience_session(router, audience, audience->rooms[i]))
            return true;
    return false;
}

/* What all its messages will take. */
static uint64_t total_bytes(const struct emit_request *request, const struct audience *audience)
{
    uint64_t count = audience_parts(audience);
    uint64_t each = request->arguments.length + request->attachments.length + request->except.length;
    uint64_t names = request->rooms.length;

    return count * each + count * names / 2;
}

/* Refuses what can't be sent; false then. */
static bool check(struct router *router, const struct emit_request *request, const struct audience *audience)
{
    const struct asker *asker = &request->asker;

    if (request->class > WIRE_SEND_VOLATILE) {
        outcome_refuse(router, asker, REFUSAL_BAD_REQUEST, "no such class");
    } else if (request->class == WIRE_SEND_ARCHIVED && audience->room_count == 0) {
        outcome_refuse(router, asker, REFUSAL_BAD_REQUEST, "an archived event needs a room");
    } else if (request->class == WIRE_SEND_ARCHIVED && names_a_socket(router, audience)) {
        outcome_refuse(router, asker, REFUSAL_BAD_ROOM, "an archived event can't be for a single socket");
    } else if (request->id.length && !message_id_valid(request->id)) {
        outcome_refuse(router, asker, REFUSAL_BAD_REQUEST, message_id_rule);
    } else if (total_bytes(request, audience) > EMIT_BYTES_MAX) {
        outcome_refuse(router, asker, REFUSAL_TOO_LARGE, "too much for so many rooms");
    } else if (router_busy(router)) {
        outcome_refuse(router, asker, REFUSAL_BUSY, NULL);
    } else {
        return true;
    }
    return false;
}

/* -- the end ---------------------------------------------------------------------------------- */

static struct emission *emission_new(const struct emit_request *request, struct bytes id, uint32_t parts,
                                     uint64_t flags)
{
    struct emission *emission = memory_zero(1, sizeof *emission + id.length);

    emission->asker = asker_hold(&request->asker);
    emission->left = parts;
    emission->flags = flags;
    emission->tell = request->flags & WIRE_SEND_TELL;
    emission->id_length = id.length;
    if (id.length)
        memcpy(emission->id, id.data, id.length);
    return emission;
}

/* One of its messages less; frees it with the last one. */
static void drop_part(struct emission *emission)
{
    if (--emission->left)
        return;
    asker_release(&emission->asker);
    wire_list_done(&emission->seqs);
    free(emission);
}

/* One of its messages has come back; with the last one comes the outcome. */
static void finish_part(struct router *router, struct emission *emission)
{
    if (emission->left > 1)
        ; /* more are to come */
    else if (emission->full)
        outcome_refuse(router, &emission->asker, REFUSAL_STORAGE_FULL, NULL);
    else if (emission->tell)
        outcome_put(router, &emission->asker, bytes_make(emission->id, emission->id_length),
                    emission->seqs.count ? wire_list_finish(&emission->seqs) : (struct bytes){0},
                    emission->at);
    drop_part(emission);
}

static void note_part(struct emission *emission, const struct journal_message *fields)
{
    if (!emission->at)
        emission->at = fields->at;
    if (fields->seq)
        wire_list_put_u64(&emission->seqs, fields->seq);
}

void emit_release(struct router *router, struct message *message)
{
    struct journal_entry *entry = &message->ticket.entry;
    struct emission *emission = message->emission;

    message->emission = NULL;
    if (entry->kind == JOURNAL_PASS) {
        entry->message.at = clock_wall_ms();
        note_part(emission, &entry->message);
        deliver_unwritten(router, message, emission->flags);
    } else if (entry->result == 0) {
        note_part(emission, &entry->message);
        deliver_note(router, message);
        deliver_message(router, message, emission->flags);
        deliver_keep(router, message);
    } else {
        if (entry->result == ERROR_EXISTS) {
            router->counters.repeated++;
            note_part(emission, &entry->message);
        } else {
            emission->full = true;
        }
        free(message);
    }
    finish_part(router, emission);
}

void emit_drop(struct router *router, struct ticket *ticket)
{
    struct message *message = (struct message *)ticket;

    (void)router;
    drop_part(message->emission);
    free(message);
}

/* -- taking in -------------------------------------------------------------------------------- */

/* Sends what the fields say of each room. */
struct sending {
    struct router *router;
    const struct audience *audience;
    struct journal_message fields; /* what all its messages share */
    struct emission *emission;     /* NULL: all of it is delivered at once */
    uint64_t flags;                /* of the delivery */
    bool written;
    char scope_kind; /* JOURNAL_BRIEF for an id that was made here */
};

/* socket.to(room): one exception, a socket, is what OTHERS leaves out. */
static void leave_out_one(const struct sending *sending, struct journal_message *fields)
{
    struct wire_reader reader;
    struct bytes name;
    struct session *session;

    if (fields->deliver != DELIVER_ROOM || fields->except.length == 0 ||
        wire_list_open(&reader, fields->except) != 1 || wire_list_text(&reader, &name) < 0)
        return;
    session = audience_session(sending->router, sending->audience, name);
    if (!session)
        return;
    fields->deliver = DELIVER_OTHERS;
    fields->sender_sid = session_sid(session);
    fields->except = (struct bytes){0};
}

static void submit_part(const struct sending *sending, struct room *room,
                        const struct journal_message *fields, uint32_t part, bool more)
{
    char scope[SCOPE_MAX];
    struct bytes dedup_scope = {0};
    struct message *message;

    if (sending->written)
        dedup_scope =
            bytes_make(scope, (size_t)snprintf(scope, sizeof scope, "%c:%u", sending->scope_kind, part));
    message = message_new(fields, room, dedup_scope);
    message->emission = sending->emission;
    message->ticket.entry.more = more;
    if (!sending->written)
        message->ticket.entry.kind = JOURNAL_PASS;
    router_submit_alone(sending->router, &message->ticket, TICKET_EMIT);
}

static void send_part(const struct sending *sending, uint32_t part, bool more)
{
    struct router *router = sending->router;
    struct wire_list list = {0};
    struct journal_message fields = sending->fields;
    struct room *room = room_hold(audience_address(router, sending->audience, part, &list, &fields));

    leave_out_one(sending, &fields);
    fields.namespace = room->namespace->name;
    fields.room = room_name(room);
    if (sending->emission)
        submit_part(sending, room, &fields, part, more);
    else
        deliver_fields(router, &fields, room, deliver_sender(router, &fields), sending->flags);
    room_release(&router->rooms, room);
    wire_list_done(&list);
}

/* Whether its messages get rows: for replay on recovery, for their numbers, or because an id must be known
   for long. */
static bool is_written(const struct emit_request *request, const struct audience *audience)
{
    return request->class == WIRE_SEND_ARCHIVED ||
           (request->class == WIRE_SEND_LOGGED &&
            (audience->namespace->config->recovery || request->id.length));
}

static void send_all(struct router *router, const struct emit_request *request,
                     const struct audience *audience)
{
    static const enum message_class classes[] = {
        [WIRE_SEND_LOGGED] = MESSAGE_LOGGED, [WIRE_SEND_ARCHIVED] = MESSAGE_ARCHIVED};
    uint32_t parts = audience_parts(audience);
    bool written = is_written(request, audience);
    char id_space[MESSAGE_ID_MAX];
    struct sending sending = {
        .router = router,
        .audience = audience,
        .fields = {.event = request->event,
                   .arguments = request->arguments,
                   .attachments = request->attachments,
                   .publish_id = request->id,
                   .class = written ? classes[request->class] : MESSAGE_VOLATILE,
                   .meta = request->flags & WIRE_SEND_META,
                   .own_id = true},
        .flags = request->class == WIRE_SEND_VOLATILE ? WIRE_DELIVER_VOLATILE : 0,
        .written = written,
        .scope_kind = request->id.length ? 'b' : JOURNAL_BRIEF,
    };

    if (request->id.length == 0 && request->class != WIRE_SEND_VOLATILE)
        sending.fields.publish_id =
            message_make_id(id_space, asker_incarnation(&request->asker), request->asker.number);
    if (written || audience->namespace->waiting)
        sending.emission = emission_new(request, sending.fields.publish_id, parts, sending.flags);
    router->counters.sends++;
    if (request->class == WIRE_SEND_VOLATILE)
        router->counters.volatiles++;
    else if (!written)
        router->counters.unlogged++;
    for (uint32_t i = 0; i < parts; i++)
        send_part(&sending, i, i + 1 < parts);
    if (!sending.emission && request->flags & WIRE_SEND_TELL)
        outcome_put(router, &request->asker, sending.fields.publish_id, (struct bytes){0}, clock_wall_ms());
}

static void take(struct router *router, const struct emit_request *request)
{
    struct audience audience;
    enum refusal_code code;
    const char *message;

    if (audience_read(router, request->namespace, request->rooms, request->except, &audience, &code,
                      &message) < 0) {
        outcome_refuse(router, &request->asker, code, message);
        return;
    }
    if (check(router, request, &audience) &&
        emit_check_event(router, &request->asker, request->event, request->arguments, request->attachments))
        send_all(router, request, &audience);
    audience_done(router, &audience);
}

void emit_send(struct router *router, struct backend *backend, const struct wire_send *record)
{
    struct emit_request request = {.asker = {.backend = backend, .number = record->number},
                                   .namespace = record->namespace,
                                   .rooms = record->rooms,
                                   .except = record->except,
                                   .class = record->class,
                                   .flags = record->flags,
                                   .id = record->id,
                                   .event = record->event,
                                   .arguments = record->arguments,
                                   .attachments = record->attachments};

    if (!backend_serves(backend, record->namespace)) {
        backend_cut(router, backend, BACKEND_CUT_NAMESPACE);
        return;
    }
    if (record->class == WIRE_SEND_VOLATILE)
        request.flags &= ~(uint64_t)WIRE_SEND_TELL;
    take(router, &request);
}

void emit_publish(struct router *router, struct gateway_link *link, const struct wire_publish *record)
{
    take(router, &(struct emit_request){.asker = {.gateway = link, .number = record->request},
                                        .namespace = record->namespace,
                                        .rooms = record->rooms,
                                        .except = record->except,
                                        .class = record->class,
                                        .flags = record->flags | WIRE_SEND_TELL,
                                        .id = record->id,
                                        .event = record->event,
                                        .arguments = record->arguments,
                                        .attachments = record->attachments});
}
