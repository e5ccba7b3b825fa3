/*
 * Connecting and disconnecting; see connecting.h.  The dispatcher calls it for records, admission.c and
 * recovery.c when they have decided, the router for what the journal gives back.  Its one surprising rule:
 * the rooms that a CONNECT names are joined in its own ticket, so that they are there when CONNECTED is.
 */
#include "router/connecting.h"

#include "common/memory.h"
#include "common/random.h"
#include "proto/json_scan.h"
#include "router/admission.h"
#include "router/away.h"
#include "router/backed.h"
#include "router/disconnect_reason.h"
#include "router/membership.h"
#include "router/recovery.h"
#include "router/rows.h"

#include <stdlib.h>

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
    if (!membership_may_name(router, NULL, name) || membership_is_private(router, name) ||
        session_membership(session, name) || !(membership = membership_want(router, session, name))) {
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

void connecting_refuse(struct router *router, struct session *session, uint64_t request, struct bytes error)
{
    put_refused(session->link, request, session->socket, error);
    away_discard(router, session);
}

void connecting_put_connected(struct router *router, struct session *session, uint64_t request,
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

static void finish_connect(struct router *router, struct session *session, uint64_t request)
{
    router->counters.connects++;
    session->connecting = false;
    if (link_out(session->link))
        connecting_put_connected(router, session, request, false);
}

/* Where tokens are required a gateway sends a grant for whom it lets in.  One that knows of no tokens must
   not let everybody in. */
static bool lacks_grant(const struct router *router, const struct namespace *namespace,
                        const struct wire_connect *record)
{
    enum namespace_tokens tokens = namespace->config->tokens;

    return !record->grant.length &&
           (tokens == NAMESPACE_TOKENS_DEFAULT ? router->settings->tokens_required
                                               : tokens == NAMESPACE_TOKENS_REQUIRED);
}

int connecting_request(struct router *router, struct gateway_link *link, const struct wire_connect *record)
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
        connecting_begin(router, session, record->request, record->auth);
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

void connecting_begin(struct router *router, struct session *session, uint64_t request, struct bytes auth)
{
    if (!admission_begin(router, session, request, auth))
        connecting_accept(router, session, request, auth);
}

void connecting_accept(struct router *router, struct session *session, uint64_t request, struct bytes auth)
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

void connecting_release(struct router *router, struct ticket *ticket)
{
    struct ticket_connect *connect = (struct ticket_connect *)ticket;
    struct session *session =
        membership_of_ticket(router, ticket); /* live: nobody could come back to it yet */

    if (session)
        session->connected_pos = router->released;
    for (unsigned i = 0; session && i < connect->count; i++)
        enter_on_connect(router, session, &connect->rooms[i]);
    if (session)
        finish_connect(router, session, ticket->request);
    link_split(&router->links, ticket->link);
    free_connect(router, connect);
}

void connecting_drop(struct router *router, struct ticket *ticket)
{
    free_connect(router, (struct ticket_connect *)ticket);
}

/* The reasons of DISCONNECT packets: every other end may be an accident. */
static bool is_for_good(struct bytes reason)
{
    return bytes_equal_text(reason, "client_disconnect") || bytes_equal_text(reason, "server_disconnect");
}

void connecting_disconnect(struct router *router, struct gateway_link *link,
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
