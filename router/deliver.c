/*
 * Delivery; see deliver.h.  Publishing (publish.c, emit.c) and questions call it.  Its one surprising rule: a
 * delivery that is neither volatile nor a question tells a gateway that everything up to its position has
 * arrived, so what is done is put before it, and answers to whoever published it must be, too.
 */
#include "router/deliver.h"

#include "common/clock.h"
#include "router/except.h"

#include <stdlib.h>

/* Whether a gateway notes its position. */
static bool has_position(const struct delivery *delivery)
{
    return !(delivery->flags & WIRE_DELIVER_VOLATILE) && !delivery->ack;
}

/* The batch of a gateway; what it loses for good when it has none is counted. */
static struct wire_batch *open_batch(struct router *router, struct gateway_link *link,
                                     const struct delivery *delivery)
{
    struct wire_batch *out = link_out(link);

    if (!out && link->state == LINK_BEHIND && delivery->fields->class == MESSAGE_VOLATILE)
        router->counters.dropped_behind++;
    return out;
}

void deliver_to(struct router *router, struct gateway_link *link, const struct delivery *delivery)
{
    struct wire_batch *out = open_batch(router, link, delivery);
    const struct journal_message *fields = delivery->fields;

    if (!out)
        return;
    if (has_position(delivery)) {
        link_settle(link);
        link->told = fields->pos;
    }
    if (fields->except.length || delivery->ack)
        wire_put_cast(out, &(struct wire_cast){.pos = fields->pos,
                                               .namespace = fields->namespace,
                                               .room = fields->room,
                                               .flags = delivery->flags,
                                               .except = fields->except,
                                               .ack = delivery->ack,
                                               .payload = delivery->payload,
                                               .attachments = fields->attachments});
    else
        wire_put_deliver(out, &(struct wire_deliver){
                                  .pos = fields->pos,
                                  .namespace = fields->namespace,
                                  .room = fields->room,
                                  .flags = delivery->flags,
                                  .except = fields->deliver == DELIVER_OTHERS && delivery->sender &&
                                                    delivery->sender->link == link
                                                ? delivery->sender->socket
                                                : 0,
                                  .payload = delivery->payload,
                                  .attachments = fields->attachments,
                              });
    router->counters.copies++;
    link_split(&router->links, link);
}

static void put_to_socket(struct wire_batch *out, uint64_t socket, const struct delivery *delivery)
{
    if (delivery->ack)
        wire_put_pose(out, &(struct wire_pose){.socket = socket,
                                               .flags = delivery->flags,
                                               .ack = delivery->ack,
                                               .payload = delivery->payload,
                                               .attachments = delivery->fields->attachments});
    else
        wire_put_emit(out, &(struct wire_emit){.socket = socket,
                                               .flags = delivery->flags,
                                               .payload = delivery->payload,
                                               .attachments = delivery->fields->attachments});
}

static void deliver_to_self(struct router *router, const struct delivery *delivery)
{
    const struct session *session = delivery->sender;
    struct wire_batch *out;

    if (!session || !session->link || except_session(delivery->fields->except, session, EXCEPT_NOW))
        return;
    out = open_batch(router, session->link, delivery);
    if (!out)
        return;
    put_to_socket(out, session->socket, delivery);
    if (has_position(delivery)) {
        link_settle(session->link);
        link_tell(session->link, delivery->fields->pos); /* an EMIT has no position of its own */
    }
    router->counters.copies++;
    link_split(&router->links, session->link);
}

static void deliver_to_namespace(struct router *router, struct delivery *delivery)
{
    const struct namespace *namespace = delivery->room->namespace;

    delivery->flags |= WIRE_DELIVER_NAMESPACE;
    for (uint32_t i = 0; i < namespace->link_count; i++)
        deliver_to(router, namespace->links[i].link, delivery);
}

void deliver(struct router *router, struct delivery *delivery)
{
    const struct room *room = delivery->room;

    switch (delivery->fields->deliver) {
    case DELIVER_ROOM:
    case DELIVER_OTHERS:
        for (uint32_t i = 0; i < room->link_count; i++)
            deliver_to(router, room->links[i].link, delivery);
        break;
    case DELIVER_SELF:
        deliver_to_self(router, delivery);
        break;
    case DELIVER_NAMESPACE:
        deliver_to_namespace(router, delivery);
        break;
    }
}

struct session *deliver_sender(const struct router *router, const struct journal_message *fields)
{
    if (fields->deliver != DELIVER_OTHERS && fields->deliver != DELIVER_SELF)
        return NULL;
    return sessions_find_sid(&router->sessions, fields->sender_sid);
}

/* Where those who come back have to look for what they missed. */
static void note_position(struct room *room, struct session *sender, const struct journal_message *fields)
{
    struct membership *membership;

    switch (fields->deliver) {
    case DELIVER_SELF:
        if (sender)
            sender->self_pos = fields->pos;
        break;
    case DELIVER_NAMESPACE:
        room->namespace->last_pos = fields->pos;
        break;
    case DELIVER_OTHERS:
        membership = sender ? session_membership(sender, fields->room) : NULL;
        if (membership)
            session_note_sent(membership, fields->pos);
        room->last_pos = fields->pos;
        break;
    case DELIVER_ROOM:
        room->last_pos = fields->pos;
        break;
    }
}

void deliver_note(struct router *router, struct message *message)
{
    const struct journal_message *fields = &message->ticket.entry.message;
    struct room *room = message->ticket.room;

    router->released = fields->pos;
    if (fields->class == MESSAGE_ARCHIVED) {
        router->counters.archived++;
        room->last_seq = fields->seq;
        room->seq_known = true;
    } else {
        router->counters.logged++;
    }
    note_position(room, deliver_sender(router, fields), fields);
    room_count_message(&router->rooms, room);
}

void deliver_message(struct router *router, struct message *message, uint64_t flags)
{
    struct room *room = message->ticket.room;
    const struct journal_message *fields = &message->ticket.entry.message;
    const char *epoch = router_epoch_for(router, room->namespace);
    struct delivery delivery = {.fields = fields,
                                .room = room,
                                .sender = deliver_sender(router, fields),
                                .flags = flags | message_payload_flags(fields, epoch)};

    message_finish(message, epoch);
    delivery.payload = message_payload(message);
    deliver(router, &delivery);
}

void deliver_keep(struct router *router, struct message *message)
{
    room_hold(message->ticket.room);
    recent_add(&router->recent, message);
}

static void place_unwritten(const struct router *router, struct room *room, struct journal_message *fields)
{
    room_count_message(&router->rooms, room);
    fields->at = clock_wall_ms();
    fields->seq = 0;
    fields->pos = router->released;
}

void deliver_unwritten(struct router *router, struct message *message, uint64_t flags)
{
    place_unwritten(router, message->ticket.room, &message->ticket.entry.message);
    deliver_message(router, message, flags);
    free(message);
}

void deliver_fields(struct router *router, struct journal_message *fields, struct room *room,
                    const struct session *sender, uint64_t flags)
{
    struct buffer *scratch = &router->scratch;
    const char *epoch = router_epoch_for(router, room->namespace);
    struct delivery delivery = {.fields = fields,
                                .room = room,
                                .sender = sender,
                                .flags = flags | message_payload_flags(fields, epoch)};

    place_unwritten(router, room, fields);
    buffer_clear(scratch);
    message_append_payload(scratch, fields, epoch);
    delivery.payload = buffer_bytes(scratch);
    deliver(router, &delivery);
}
