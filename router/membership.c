/*
 * Joining and leaving; see membership.h.  The dispatcher calls it for records, the router for what the
 * journal gives back, others where a socket is to be in a room or out of it.  Its one surprising rule: a
 * socket may publish to a room from the moment its join was taken in, but it counts, and gets messages, only
 * from the moment the join came back from the journal.
 */
#include "router/membership.h"

#include "common/memory.h"
#include "proto/json_text.h"
#include "router/backed.h"
#include "router/closing.h"
#include "router/history.h"
#include "router/reply.h"
#include "router/rows.h"

#include <stdlib.h>

static const char too_many_rooms[] = "this connection is in as many rooms as it may be";
static const char undecided[] =
    "whether this connection is recovered, or may be at all, is still being decided";

static const char private_room[] = "a socket's private room can't be joined";

struct ticket_join {
    struct ticket ticket; /* must stay first */
    struct journal_change change;
    struct journal_session_room row;
    unsigned history;
    bool watch;
};

struct ticket_leave {
    struct ticket ticket; /* must stay first */
    struct journal_change change;
    struct journal_session_room row;
    bool closed; /* the room is */
};

struct session *membership_of_ticket(struct router *router, struct ticket *ticket)
{
    struct session *session = ticket->session;

    if (!session || session->gone)
        return NULL;
    rows_note(router, session, ticket);
    if (session->attachment == ticket->attachment)
        return session;
    if (ticket->entry.kind == JOURNAL_CHANGE)
        rows_save(router, session);
    return NULL;
}

/* A room's change of a session that can be recovered. */
static void change_room(struct ticket *ticket, struct journal_change *change,
                        struct journal_session_room *row, enum journal_change_kind kind,
                        const struct session *session)
{
    if (!session_recoverable(session))
        return;
    change->kind = kind;
    change->session.id = session->serial;
    change->session.rooms = row;
    change->session.room_count = 1;
    ticket->entry.kind = JOURNAL_CHANGE;
    ticket->entry.change = change;
}

bool membership_is_undecided(const struct session *session)
{
    return session->recovering || backed_is_judged(session);
}

void membership_append_ok(struct buffer *out, const struct room *room)
{
    buffer_append_literal(out, "{\"ok\":true,\"room\":");
    json_append_string(out, room_name(room));
}

bool membership_is_private(const struct router *router, struct bytes room)
{
    return room.length == SID_LENGTH && sessions_find_sid(&router->sessions, room);
}

struct membership *membership_want(struct router *router, struct session *session, struct bytes name)
{
    struct membership *membership = session_membership(session, name);

    if (!membership) {
        if (session->room_count >= router->settings->max_rooms_per_connection)
            return NULL;
        membership = session_add_membership(session, rooms_get(&router->rooms, session->namespace, name));
    }
    membership->wanted = true;
    membership->pending++;
    return membership;
}

/* -- join ------------------------------------------------------------------------------------- */

void membership_put_joined(struct session *session, const struct membership *membership, uint64_t pos)
{
    wire_put_joined(link_out(session->link), &(struct wire_joined){.socket = session->socket,
                                                                   .room = room_name(membership->room),
                                                                   .joined_pos = pos,
                                                                   .watch = membership->watch});
}

struct join_request {
    uint64_t request;
    unsigned history;
    bool watch;
    bool changes; /* its row, as far as the session knows */
};

static void submit_join(struct router *router, struct session *session, struct membership *membership,
                        const struct join_request *request)
{
    struct ticket_join *join = memory_zero(1, sizeof *join);

    join->history = request->history;
    join->watch = request->watch;
    join->row = (struct journal_session_room){
        .room = room_name(membership->room), .joined_pos = JOURNAL_HERE, .watch = join->watch};
    if (request->changes)
        change_room(&join->ticket, &join->change, &join->row, JOURNAL_ROOM_JOIN, session);
    router_submit(router, &join->ticket, TICKET_JOIN, session->link, membership->room, session->socket,
                  request->request);
}

/* A valid name that is refused is too long for max_name. */
const char *membership_name_fault(struct bytes room)
{
    return room_name_valid(room) ? "the room's name is longer than allowed" : NULL;
}

static void refuse_name(struct router *router, struct gateway_link *link, uint64_t request, struct bytes room)
{
    reply_refuse(router, link, request, REFUSAL_BAD_ROOM, membership_name_fault(room));
}

void membership_join(struct router *router, struct gateway_link *link, const struct wire_join *record)
{
    struct session *session = session_find(&link->sessions, record->socket);
    struct membership *membership;
    bool wanted;

    if (!session) {
        reply_refuse(router, link, record->request, REFUSAL_NOT_JOINED, NULL);
        return;
    }
    if (!session->namespace->config->builtin) {
        reply_refuse(router, link, record->request, REFUSAL_UNKNOWN_EVENT, NULL);
        return;
    }
    membership = session_membership(session, record->room);
    if (!membership_may_name(router, membership, record->room)) {
        refuse_name(router, link, record->request, record->room);
        return;
    }
    if (membership_is_private(router, record->room)) {
        reply_refuse(router, link, record->request, REFUSAL_BAD_ROOM, private_room);
        return;
    }
    if (!session_may(session, RIGHT_JOIN, record->room) ||
        ((record->history || record->watch) && !session_may(session, RIGHT_READ, record->room))) {
        reply_refuse(router, link, record->request, REFUSAL_FORBIDDEN, NULL);
        return;
    }
    if (router_busy(router)) {
        reply_refuse(router, link, record->request, REFUSAL_BUSY, NULL);
        return;
    }
    if (membership_is_undecided(session)) {
        reply_refuse(router, link, record->request, REFUSAL_BUSY, undecided);
        return;
    }
    wanted = membership && membership->wanted && membership->watch == (record->watch != 0);
    membership = membership_want(router, session, record->room);
    if (!membership) {
        reply_refuse(router, link, record->request, REFUSAL_BAD_REQUEST, too_many_rooms);
        return;
    }
    submit_join(router, session, membership,
                &(struct join_request){.request = record->request,
                                       .history = (unsigned)(record->history < router->settings->max_history
                                                                 ? record->history
                                                                 : router->settings->max_history),
                                       .watch = record->watch,
                                       .changes = !wanted});
}

int membership_enter(struct router *router, struct session *session, struct bytes room)
{
    struct membership *membership = session_membership(session, room);

    if (membership && membership->wanted)
        return 0;
    membership = membership_want(router, session, room);
    if (!membership)
        return ERROR_TOO_LARGE;
    submit_join(router, session, membership,
                &(struct join_request){.watch = membership->watch, .changes = true});
    return 0;
}

void membership_finish_join(struct router *router, struct session *session, struct membership *membership,
                            const struct join_answer *answer)
{
    struct gateway_link *link = session->link;
    struct wire_batch *out;
    struct buffer text = {0};

    membership->pending--;
    if (!membership->member) {
        router->counters.joins++;
        backed_entered(session, room_name(membership->room));
    }
    session_enter(&router->sessions, session, membership, router->released, answer->watch);
    out = link ? link_out(link) : NULL;
    if (!out)
        return;
    if (answer->request == 0) {
        membership_put_joined(session, membership, membership->joined_pos);
        link_split(&router->links, link);
        return;
    }
    membership_append_ok(&text, answer->room);
    buffer_append_literal(&text, ",\"seq\":");
    buffer_append_u64(&text, answer->room->last_seq);
    buffer_append_literal(&text, ",\"members\":");
    buffer_append_u64(&text, answer->room->members);
    if (answer->with_history) {
        buffer_append_literal(&text, ",\"history\":[");
        buffer_append_bytes(&text, answer->history);
        buffer_append_literal(&text, "],\"more\":");
        buffer_append_text(&text, answer->more ? "true" : "false");
    }
    buffer_append_char(&text, '}');
    wire_put_joined(out, &(struct wire_joined){.request = answer->request,
                                               .socket = session->socket,
                                               .room = room_name(answer->room),
                                               .joined_pos = membership->joined_pos,
                                               .watch = membership->watch,
                                               .answer = buffer_bytes(&text),
                                               .attachments = answer->attachments});
    buffer_done(&text);
    link_split(&router->links, link);
}

void membership_release_join(struct router *router, struct ticket *ticket)
{
    struct ticket_join *join = (struct ticket_join *)ticket;
    struct session *session = membership_of_ticket(router, ticket);
    struct room *room = ticket->room;

    room->last_seq = ticket->entry.message.seq;
    room->seq_known = true;
    if (session) {
        struct membership *membership = session_membership(session, room_name(room));

        if (join->history && session->link)
            history_join(router, session, membership, ticket->request, join->watch, join->history);
        else
            membership_finish_join(
                router, session, membership,
                &(struct join_answer){.request = ticket->request, .room = room, .watch = join->watch});
    }
    free(join);
}

/* -- leave and presence ----------------------------------------------------------------------- */

static void submit_leave(struct router *router, struct session *session, struct membership *membership,
                         uint64_t request, bool closed)
{
    struct ticket_leave *leave = memory_zero(1, sizeof *leave);

    membership->wanted = false;
    membership->pending++;
    leave->row.room = room_name(membership->room);
    leave->closed = closed;
    change_room(&leave->ticket, &leave->change, &leave->row, JOURNAL_ROOM_LEAVE, session);
    if (session->link) {
        router_submit(router, &leave->ticket, TICKET_LEAVE, session->link, membership->room, session->socket,
                      request);
        return;
    }
    leave->ticket.room = membership->room;
    leave->ticket.session = session_hold(session);
    leave->ticket.attachment = session->attachment;
    router_submit_alone(router, &leave->ticket, TICKET_LEAVE);
}

void membership_exit(struct router *router, struct session *session, struct bytes room)
{
    struct membership *membership = session_membership(session, room);

    if (membership && membership->wanted)
        submit_leave(router, session, membership, 0, false);
}

void membership_close(struct router *router, struct session *session, struct room *room)
{
    struct membership *membership = session_membership(session, room_name(room));

    if (membership && membership->wanted)
        submit_leave(router, session, membership, 0, true);
}

/* The session came back while its leave was with the journal: it is still a member, and leaves again. */
static void close_again(struct router *router, struct ticket *ticket)
{
    if (ticket->session && !ticket->session->gone)
        membership_close(router, ticket->session, ticket->room);
}

void membership_leave(struct router *router, struct gateway_link *link, const struct wire_leave *record)
{
    struct session *session = session_find(&link->sessions, record->socket);
    struct membership *membership = session ? session_membership(session, record->room) : NULL;
    struct buffer *scratch = &router->scratch;

    if (membership && router_busy(router)) {
        reply_refuse(router, link, record->request, REFUSAL_BUSY, NULL);
    } else if (session && membership_is_undecided(session)) {
        reply_refuse(router, link, record->request, REFUSAL_BUSY, undecided);
    } else if (membership) {
        submit_leave(router, session, membership, record->request, false);
    } else if (!membership_may_name(router, NULL, record->room)) {
        refuse_name(router, link, record->request, record->room);
    } else {
        buffer_clear(scratch);
        buffer_append_literal(scratch, "{\"ok\":true,\"room\":");
        json_append_string(scratch, record->room);
        buffer_append_char(scratch, '}');
        reply_answer(link, record->request, buffer_bytes(scratch));
    }
}

void membership_release_leave(struct router *router, struct ticket *ticket)
{
    struct session *session = membership_of_ticket(router, ticket);
    bool closed = ((struct ticket_leave *)ticket)->closed;
    struct buffer *scratch = &router->scratch;
    struct wire_batch *out;

    if (!session && closed)
        close_again(router, ticket);
    if (session) {
        struct membership *membership = session_membership(session, room_name(ticket->room));

        if (session->link)
            history_abandon_joins(router, session, ticket->room);
        membership->pending--;
        if (membership->member) {
            backed_exited(session, room_name(membership->room));
            session_exit(&router->sessions, session, membership);
            router->counters.leaves++;
        }
        session_tidy(&router->sessions, session, membership);
    }
    out = session && session->link ? link_out(session->link) : NULL;
    if (out) {
        buffer_clear(scratch);
        if (ticket->request) {
            membership_append_ok(scratch, ticket->room);
            buffer_append_char(scratch, '}');
        }
        wire_put_left(out, &(struct wire_left){.request = ticket->request,
                                               .socket = ticket->socket,
                                               .room = room_name(ticket->room),
                                               .answer = buffer_bytes(scratch)});
        if (closed && session->namespace->config->builtin)
            closing_tell(router, session, room_name(ticket->room));
        link_split(&router->links, ticket->link);
    }
    free(ticket);
}

static void answer_presence(struct router *router, struct gateway_link *link, uint64_t request,
                            const struct room *room)
{
    struct buffer *scratch = &router->scratch;

    buffer_clear(scratch);
    membership_append_ok(scratch, room);
    buffer_append_literal(scratch, ",\"members\":");
    buffer_append_u64(scratch, room->members);
    buffer_append_char(scratch, '}');
    reply_answer(link, request, buffer_bytes(scratch));
}

void membership_presence(struct router *router, struct gateway_link *link, const struct wire_presence *record)
{
    struct session *session = session_find(&link->sessions, record->socket);
    struct membership *membership = session ? session_membership(session, record->room) : NULL;

    if (session && !membership_may_name(router, membership, record->room))
        refuse_name(router, link, record->request, record->room);
    else if (session && !session_may(session, RIGHT_READ, record->room))
        reply_refuse(router, link, record->request, REFUSAL_FORBIDDEN, NULL);
    else if (!membership || !membership->wanted)
        reply_refuse(router, link, record->request, REFUSAL_NOT_JOINED, NULL);
    else if (membership->pending && router_busy(router))
        reply_refuse(router, link, record->request, REFUSAL_BUSY, NULL);
    else if (membership->pending)
        router_submit(router, memory_zero(1, sizeof(struct ticket)), TICKET_PRESENCE, link, membership->room,
                      record->socket, record->request);
    else
        answer_presence(router, link, record->request, membership->room);
}

void membership_release_presence(struct router *router, struct ticket *ticket)
{
    answer_presence(router, ticket->link, ticket->request, ticket->room);
    link_split(&router->links, ticket->link);
    free(ticket);
}
