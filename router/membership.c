/*
 * Connecting, joining and leaving; see membership.h.  The dispatcher calls it for records, the router for
 * what the journal gives back.  Its one surprising rule: a socket may publish to a room from the moment its
 * join was taken in, but it counts, and gets messages, only from the moment the join came back from the
 * journal.
 */
#include "router/membership.h"

#include "common/memory.h"
#include "common/random.h"
#include "proto/json_scan.h"
#include "proto/json_text.h"
#include "router/admission.h"
#include "router/away.h"
#include "router/backed.h"
#include "router/disconnect_reason.h"
#include "router/history.h"
#include "router/recovery.h"
#include "router/reply.h"
#include "router/rows.h"

#include <stdlib.h>

static const char too_many_rooms[] = "this connection is in as many rooms as it may be";
/* The reasons of DISCONNECT packets: every other end may be an accident. */
static bool is_for_good(struct bytes reason)
{
    return bytes_equal_text(reason, "client_disconnect") || bytes_equal_text(reason, "server_disconnect");
}

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

/* The rooms of a connect; each is held. */
struct ticket_connect {
    struct ticket ticket; /* must stay first */
    struct journal_change change;
    struct namespace *namespace; /* held, for the change */
    char *data;                  /* the session's, as it was then */
    unsigned count;
    struct connect_room {
        struct room *room;
        bool watch;
        struct journal_session_room row;
    } rooms[];
};

/*
 * Whose ticket it is; NULL when the session is gone, or goes on with another socket: then nobody waits for
 * the answer, and what the ticket has changed in its rows is undone.  One that is away (link NULL) takes it
 * in.
 */
static struct session *ticket_session(struct router *router, struct ticket *ticket)
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

static bool names_a_socket(const struct router *router, struct bytes room)
{
    return room.length == SID_LENGTH && sessions_find_sid(&router->sessions, room);
}

/* The session's membership of the room, made if need be, with one more request on its way.  NULL over the
 * limit. */
static struct membership *want(struct router *router, struct session *session, struct bytes name)
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

/* -- connect and disconnect ------------------------------------------------------------------- */

/* A room to join with the connect: a text, or an object with the key "room". */
static struct bytes decode_room(struct json_value value, char space[ROOM_NAME_MAX], bool *watch)
{
    struct json_value presence;

    *watch = false;
    if (value.kind == JSON_OBJECT) {
        *watch = json_object_find(value, "presence", &presence) == 0 && presence.kind == JSON_TRUE;
        if (json_object_find(value, "room", &value) < 0)
            return (struct bytes){0};
    }
    return room_name_decode(value, space);
}

static void want_on_connect(struct router *router, struct session *session, struct json_value value,
                            struct ticket_connect *connect)
{
    char space[ROOM_NAME_MAX];
    bool watch;
    struct bytes name = decode_room(value, space, &watch);
    struct membership *membership;

    if (name.length &&
        (!session_may(session, RIGHT_JOIN, name) || (watch && !session_may(session, RIGHT_READ, name)))) {
        router->counters.refused[REFUSAL_FORBIDDEN]++;
        return;
    }
    if (name.length == 0 || names_a_socket(router, name) || session_membership(session, name) ||
        !(membership = want(router, session, name))) {
        router->counters.joins_skipped++;
        return;
    }
    connect->rooms[connect->count++] = (struct connect_room){
        .room = room_hold(membership->room),
        .watch = watch,
        .row = {.room = room_name(membership->room), .joined_pos = JOURNAL_HERE, .watch = watch}};
}

/* The list of rooms in the CONNECT packet's object; nothing when there is none. */
static struct json_cursor rooms_to_join(struct bytes auth)
{
    struct json_value object, list = {0};

    if (auth.length == 0 || json_scan(auth, &object) < 0 || json_object_find(object, "join", &list) < 0)
        list = (struct json_value){0};
    return json_array_cursor(list);
}

static void put_refused(struct gateway_link *link, uint64_t request, uint64_t socket, struct bytes error)
{
    struct wire_batch *out = link_out(link);

    if (out)
        wire_put_refused(out, &(struct wire_refused){.request = request, .socket = socket, .error = error});
}

void membership_refuse(struct router *router, struct session *session, uint64_t request, struct bytes error)
{
    put_refused(session->link, request, session->socket, error);
    away_discard(router, session);
}

void membership_put_connected(struct router *router, struct session *session, uint64_t request,
                              bool recovered)
{
    struct wire_batch *out = link_out(session->link);
    char space[SID_LENGTH + 5];
    struct buffer grant = {0};

    if (request == 0) /* the gateway that asked knows it */
        grant_append_text(session->grant, &grant);
    /* What the namespace gets from here on is beyond what the new socket may see again after a resync. */
    link_settle(session->link);
    link_tell(session->link, router->released);
    wire_put_connected(out, &(struct wire_connected){.request = request,
                                                     .socket = session->socket,
                                                     .sid = session_sid(session),
                                                     .from = session_from(session, space),
                                                     .generation = session->generation,
                                                     .pid = session_recoverable(session)
                                                                ? bytes_make(session->pid, PID_LENGTH)
                                                                : (struct bytes){0},
                                                     .recovered = recovered,
                                                     .grant = buffer_bytes(&grant)});
    buffer_done(&grant);
    session->told = true;
}

void membership_put_joined(struct session *session, const struct membership *membership, uint64_t pos)
{
    wire_put_joined(link_out(session->link), &(struct wire_joined){.socket = session->socket,
                                                                   .room = room_name(membership->room),
                                                                   .joined_pos = pos,
                                                                   .watch = membership->watch});
}

static void finish_connect(struct router *router, struct session *session, uint64_t request)
{
    router->counters.connects++;
    session->connecting = false;
    if (link_out(session->link))
        membership_put_connected(router, session, request, false);
}

/* Where tokens are required a gateway sends a grant for whom it lets in.  One that knows of no tokens must not let
 * everybody in. */
static bool lacks_grant(const struct router *router, const struct namespace *namespace,
                        const struct wire_connect *record)
{
    enum namespace_tokens tokens = namespace->config->tokens;

    return !record->grant.length &&
           (tokens == NAMESPACE_TOKENS_DEFAULT ? router->settings->tokens_required
                                               : tokens == NAMESPACE_TOKENS_REQUIRED);
}

int membership_connect(struct router *router, struct gateway_link *link, const struct wire_connect *record)
{
    struct namespace *namespace = NULL;
    struct grant *grant = NULL;
    struct session *session;
    char sid[SID_LENGTH];

    if (record->grant.length && grant_parse(&router->sessions.grants, record->grant, &grant) < 0)
        return ERROR_MALFORMED;
    switch (namespace_open(&router->namespaces, record->namespace, &namespace)) {
    case ERROR_NOT_FOUND:
        router->counters.connects_refused++;
        put_refused(link, record->request, record->socket, BYTES("{\"message\":\"Invalid namespace\"}"));
        grant_free(grant);
        return 0;
    case ERROR_BUSY:
        router->counters.namespaces_refused++;
        put_refused(link, record->request, record->socket, BYTES("{\"message\":\"Too many namespaces\"}"));
        grant_free(grant);
        return 0;
    }
    if (lacks_grant(router, namespace, record)) {
        router->counters.grants_missing++;
        log_warn("a gateway verifies no tokens", "gateway=%s version=%s", link->name, link->version);
        put_refused(
            link, record->request, record->socket,
            BYTES("{\"message\":\"tokens are not verified here\",\"data\":{\"code\":\"token_missing\"}}"));
        namespace_release(&router->namespaces, namespace);
        return 0;
    }
    random_id(sid, sizeof sid);
    session = session_new(&router->sessions, &link->sessions, link, record->socket, namespace,
                          bytes_make(sid, sizeof sid), (struct bytes){0});
    namespace_release(&router->namespaces, namespace); /* the session holds it */
    if (!session) {
        grant_free(grant);
        return ERROR_PROTOCOL;
    }
    session_set_grant(session, grant);
    session->connecting = true;
    if (!recovery_begin(router, session, record))
        membership_begin(router, session, record->request, record->auth);
    return 0;
}

/* How many rooms a connect can name. */
static unsigned count_rooms(const struct router *router, struct json_cursor cursor)
{
    struct json_value value;
    unsigned count = 0;

    while (count < router->settings->max_rooms_per_connection && json_cursor_next(&cursor, &value) == 0)
        count++;
    return count;
}

/* The rows of the session and of its rooms. */
static void change_session(struct ticket_connect *connect, struct session *session)
{
    struct journal_session *row = &connect->change.session;

    connect->change.kind = JOURNAL_SESSION_NEW;
    connect->namespace = namespace_hold(session->namespace);
    row->id = session->serial;
    row->sid = session_sid(session);
    row->secret = session_secret(session);
    row->namespace = session->namespace->name;
    row->from = grant_sub(session->grant);
    row->generation = session->generation;
    row->connected_pos = JOURNAL_HERE;
    if (session->data) {
        row->data = session_data(session);
        connect->data = memory_text(session->data, row->data.length);
        row->data.data = connect->data;
    }
    connect->ticket.entry.kind = JOURNAL_CHANGE;
    connect->ticket.entry.change = &connect->change;
}

void membership_begin(struct router *router, struct session *session, uint64_t request, struct bytes auth)
{
    if (!admission_begin(router, session, request, auth))
        membership_accept(router, session, request, auth);
}

void membership_accept(struct router *router, struct session *session, uint64_t request, struct bytes auth)
{
    bool recovery = session->namespace->config->recovery;
    struct json_cursor cursor = rooms_to_join(session->namespace->config->builtin ? auth : (struct bytes){0});
    unsigned limit = count_rooms(router, cursor);
    struct ticket_connect *connect;
    struct json_value value;

    if (limit == 0 && !recovery) {
        finish_connect(router, session, request);
        return;
    }
    connect = memory_zero(1, sizeof *connect + limit * sizeof *connect->rooms);
    while (json_cursor_next(&cursor, &value) == 0)
        want_on_connect(router, session, value, connect);
    if (recovery) {
        session_make_recoverable(session);
        change_session(connect, session);
    } else if (connect->count == 0) {
        free(connect);
        finish_connect(router, session, request);
        return;
    }
    router_submit(router, &connect->ticket, TICKET_CONNECT, session->link, NULL, session->socket, request);
}

static void enter_on_connect(struct router *router, struct session *session, const struct connect_room *entry)
{
    struct membership *membership = session_membership(session, room_name(entry->room));

    membership->pending--;
    session_enter(&router->sessions, session, membership, router->released, entry->watch);
    backed_entered(session, room_name(membership->room));
    router->counters.joins++;
    if (link_out(session->link))
        membership_put_joined(session, membership, membership->joined_pos);
}

static void free_connect(struct router *router, struct ticket_connect *connect)
{
    for (unsigned i = 0; i < connect->count; i++)
        room_release(&router->rooms, connect->rooms[i].room);
    if (connect->namespace)
        namespace_release(&router->namespaces, connect->namespace);
    free(connect->data);
    free(connect);
}

void membership_release_connect(struct router *router, struct ticket *ticket)
{
    struct ticket_connect *connect = (struct ticket_connect *)ticket;
    struct session *session = ticket_session(router, ticket); /* live: nobody could come back to it yet */

    if (session)
        session->connected_pos = router->released;
    for (unsigned i = 0; session && i < connect->count; i++)
        enter_on_connect(router, session, &connect->rooms[i]);
    if (session)
        finish_connect(router, session, ticket->request);
    link_split(&router->links, ticket->link);
    free_connect(router, connect);
}

void membership_drop_connect(struct router *router, struct ticket *ticket)
{
    free_connect(router, (struct ticket_connect *)ticket);
}

void membership_disconnect(struct router *router, struct gateway_link *link,
                           const struct wire_disconnect *record)
{
    struct session *session = session_find(&link->sessions, record->socket);

    if (!session)
        return;
    backed_lost(router, session, disconnect_reason(record->reason));
    if (is_for_good(record->reason))
        away_discard(router, session);
    else
        away_begin(router, session);
}

/* -- join ------------------------------------------------------------------------------------- */

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
    if (!room_name_valid(record->room)) {
        reply_refuse(router, link, record->request, REFUSAL_BAD_ROOM, NULL);
        return;
    }
    if (names_a_socket(router, record->room)) {
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
    membership = session_membership(session, record->room);
    wanted = membership && membership->wanted && membership->watch == (record->watch != 0);
    membership = want(router, session, record->room);
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
    membership = want(router, session, room);
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
    struct session *session = ticket_session(router, ticket);
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

/* Behind LEFT. */
static void tell_closed(struct router *router, const struct session *session, struct bytes room)
{
    const char *epoch = router_epoch_for(router, session->namespace);
    struct buffer *scratch = &router->scratch;

    buffer_clear(scratch);
    buffer_append_literal(scratch, "[\"hubbub:closed\",{\"room\":");
    json_append_string(scratch, room);
    buffer_append_char(scratch, '}');
    if (epoch)
        message_append_offset(scratch, epoch, router->released);
    buffer_append_char(scratch, ']');
    wire_put_emit(link_out(session->link), &(struct wire_emit){.socket = session->socket,
                                                               .flags = epoch ? WIRE_DELIVER_OFFSET : 0,
                                                               .payload = buffer_bytes(scratch)});
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
    } else if (!room_name_valid(record->room)) {
        reply_refuse(router, link, record->request, REFUSAL_BAD_ROOM, NULL);
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
    struct session *session = ticket_session(router, ticket);
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
            tell_closed(router, session, room_name(ticket->room));
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

    if (session && !room_name_valid(record->room))
        reply_refuse(router, link, record->request, REFUSAL_BAD_ROOM, NULL);
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
