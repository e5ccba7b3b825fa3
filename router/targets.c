/*
 * Sockets as the targets of backends; see targets.h.  The backends' dispatcher and the journal's hand-back
 * call it.  Its one surprising rule: a MOVE is carried out at once, by the rooms that sockets will be in when
 * what the journal has is back, so that what is sent behind it finds them there.
 */
#include "router/targets.h"

#include "common/memory.h"
#include "proto/json_scan.h"
#include "router/audience.h"
#include "router/away.h"
#include "router/backed.h"
#include "router/membership.h"
#include "router/outcome.h"
#include "router/rows.h"

#include <stdlib.h>

enum {
    MOVE_ROOMS_MAX = 256, /* to join and to leave */
    ADDRESS_MAX = 64,
};

static const char expelled[] = "server namespace disconnect";

/* Reads whom a record is for.  False when the backend was cut off or refused. */
static bool read_audience(struct router *router, const struct asker *asker, struct bytes namespace,
                          struct bytes rooms, struct bytes except, struct audience *out)
{
    enum refusal_code code;
    const char *message;

    if (!backend_serves(asker->backend, namespace)) {
        backend_cut(router, asker->backend, BACKEND_CUT_NAMESPACE);
        return false;
    }
    if (audience_read(router, namespace, rooms, except, out, &code, &message) == 0)
        return true;
    outcome_refuse(router, asker, code, message);
    return false;
}

/* -- MOVE ------------------------------------------------------------------------------------- */

struct moving {
    struct bytes join, leave; /* lists */
    bool full;                /* a socket was in as many rooms as it may be */
};

struct moved_ticket {
    struct ticket ticket; /* must stay first */
    struct asker asker;   /* held */
    bool full;
};

/* Gives what is wrong, or NULL. */
static const char *check_rooms(const struct router *router, struct bytes list, bool join,
                               enum refusal_code *code)
{
    struct wire_reader reader;
    int count = wire_list_open(&reader, list);

    if (count > MOVE_ROOMS_MAX) {
        *code = REFUSAL_TOO_LARGE;
        return "more than 256 rooms";
    }
    *code = REFUSAL_BAD_ROOM;
    for (int i = 0; i < count; i++) {
        struct bytes name;

        if (wire_list_text(&reader, &name) < 0 || !room_name_valid(name))
            return refusal_message(*code);
        if (join && name.length == SID_LENGTH && sessions_find_sid(&router->sessions, name))
            return "a socket's private room can't be joined";
    }
    return NULL;
}

static void move(struct router *router, struct session *session, void *argument)
{
    struct moving *moving = argument;
    struct wire_reader reader;
    struct bytes name;
    int count;

    for (count = wire_list_open(&reader, moving->leave); count > 0 && wire_list_text(&reader, &name) == 0;
         count--)
        membership_exit(router, session, name);
    for (count = wire_list_open(&reader, moving->join); count > 0 && wire_list_text(&reader, &name) == 0;
         count--)
        if (membership_enter(router, session, name) < 0)
            moving->full = true;
    router->counters.targets_moved++;
}

static void tell_moved(struct router *router, const struct asker *asker, bool full)
{
    if (full)
        outcome_refuse(router, asker, REFUSAL_BAD_REQUEST, "a socket is in as many rooms as it may be");
    else
        outcome_put(router, asker, (struct bytes){0}, (struct bytes){0}, 0);
}

void targets_release_moved(struct router *router, struct ticket *ticket)
{
    struct moved_ticket *moved = (struct moved_ticket *)ticket;

    tell_moved(router, &moved->asker, moved->full);
    targets_drop_moved(router, ticket);
}

void targets_drop_moved(struct router *router, struct ticket *ticket)
{
    struct moved_ticket *moved = (struct moved_ticket *)ticket;

    (void)router;
    asker_release(&moved->asker);
    free(moved);
}

void targets_move(struct router *router, struct backend *backend, const struct wire_move *record)
{
    const struct asker asker = {.backend = backend, .number = record->number};
    struct moving moving = {.join = record->join, .leave = record->leave};
    struct moved_ticket *moved;
    struct audience audience;
    enum refusal_code code;
    const char *message = check_rooms(router, record->join, true, &code);

    if (!message)
        message = check_rooms(router, record->leave, false, &code);
    if (!message && router_busy(router)) {
        code = REFUSAL_BUSY;
        message = refusal_message(code);
    }
    if (message) {
        outcome_refuse(router, &asker, code, message);
        return;
    }
    if (!read_audience(router, &asker, record->namespace, record->rooms, record->except, &audience))
        return;
    audience_visit(router, &audience, AUDIENCE_WANTED, move, &moving);
    audience_done(router, &audience);
    if (router->waiting == 0) {
        tell_moved(router, &asker, moving.full);
        return;
    }
    moved = memory_zero(1, sizeof *moved);
    moved->asker = asker_hold(&asker);
    moved->full = moving.full;
    router_submit_alone(router, &moved->ticket, TICKET_MOVED);
}

/* -- EXPEL and FIND --------------------------------------------------------------------------- */

/* One of them, which waits for its place in the log. */
struct query {
    struct ticket ticket; /* must stay first */
    struct asker asker;   /* held */
    bool find;
    enum wire_expel_close close;
    uint64_t found;
    struct audience audience; /* its names lie in data */
    char data[];
};

/* As if the network had failed: its gateway tells when the socket is gone, and its client may come back. */
static void drop(struct router *router, struct session *session)
{
    struct gateway_link *link = session->link;
    struct wire_batch *out = link_out(link);

    if (out) {
        wire_put_close(out, &(struct wire_close){.socket = session->socket,
                                                 .reason = bytes_from_text("dropped"),
                                                 .final = WIRE_CLOSE_CONNECTION});
        link_split(&router->links, link);
    } else if (link->state == LINK_GREETING || link->state == LINK_WAITING) {
        wire_list_put_u64(&link->unwelcome, session->socket);
    }
}

void targets_disconnect(struct router *router, struct session *session, enum wire_close_kind kind)
{
    struct gateway_link *link = session->link;
    struct wire_batch *out = link ? link_out(link) : NULL;

    if (out)
        wire_put_close(out, &(struct wire_close){.socket = session->socket,
                                                 .reason = bytes_from_text(expelled),
                                                 .final = kind});
    else if (link && (link->state == LINK_GREETING || link->state == LINK_WAITING))
        wire_list_put_u64(&link->unwelcome, session->socket);
    backed_lost(router, session, expelled);
    away_discard(router, session);
    if (out)
        link_split(&router->links, link);
}

/* The socket's DISCONNECT packet, or the end of its connection; and the end of its session. */
static void expel(struct router *router, struct session *session, void *argument)
{
    const struct query *query = argument;

    router->counters.expelled++;
    if (query->close == WIRE_EXPEL_DROP)
        drop(router, session);
    else
        targets_disconnect(router, session, query->close ? WIRE_CLOSE_ALL : WIRE_CLOSE_FINAL);
}

/* The address that its gateway has told; empty when it is not known. */
static struct bytes find_address(const struct session *session, char space[ADDRESS_MAX])
{
    struct json_value handshake, address;
    size_t length;

    if (!session->backed || !session->backed->handshake.length ||
        json_scan(session->backed->handshake, &handshake) < 0 ||
        json_object_find(handshake, "address", &address) < 0 ||
        json_string_decode(address, space, ADDRESS_MAX, &length) < 0)
        return (struct bytes){0};
    return bytes_make(space, length);
}

static void tell_found(struct router *router, struct session *session, void *argument)
{
    struct query *query = argument;
    struct wire_batch *out = backend_out(query->asker.backend);
    char from[SID_LENGTH + 5], address[ADDRESS_MAX];
    struct wire_list rooms = {0};

    query->found++;
    if (!out)
        return;
    backed_list_rooms(session, &rooms);
    wire_put_found(out,
                   &(struct wire_found){.number = query->asker.number,
                                        .sid = session_sid(session),
                                        .from = session_from(session, from),
                                        .rooms = rooms.count ? wire_list_finish(&rooms) : (struct bytes){0},
                                        .data = session_data(session),
                                        .address = find_address(session, address)});
    wire_list_done(&rooms);
    backend_split(router, query->asker.backend);
}

void targets_release_query(struct router *router, struct ticket *ticket)
{
    struct query *query = (struct query *)ticket;
    struct wire_batch *out;

    audience_visit(router, &query->audience, AUDIENCE_NOW, query->find ? tell_found : expel, query);
    out = backend_out(query->asker.backend);
    if (!query->find)
        outcome_put(router, &query->asker, (struct bytes){0}, (struct bytes){0}, 0);
    else if (out)
        wire_put_found_end(out,
                           &(struct wire_found_end){.number = query->asker.number, .sockets = query->found});
    targets_drop_query(router, ticket);
}

void targets_drop_query(struct router *router, struct ticket *ticket)
{
    struct query *query = (struct query *)ticket;

    audience_done(router, &query->audience);
    asker_release(&query->asker);
    free(query);
}

static void start_query(struct router *router, const struct asker *asker, struct bytes namespace,
                        struct bytes rooms, struct bytes except, bool find, enum wire_expel_close close)
{
    struct query *query = memory_zero(1, sizeof *query + rooms.length + except.length);

    if (rooms.length)
        memcpy(query->data, rooms.data, rooms.length);
    if (except.length)
        memcpy(query->data + rooms.length, except.data, except.length);
    if (!read_audience(router, asker, namespace, bytes_make(query->data, rooms.length),
                       bytes_make(query->data + rooms.length, except.length), &query->audience)) {
        free(query);
        return;
    }
    query->asker = asker_hold(asker);
    query->find = find;
    query->close = close;
    if (router->waiting == 0)
        targets_release_query(router, &query->ticket);
    else
        router_submit_alone(router, &query->ticket, TICKET_QUERY);
}

void targets_expel(struct router *router, struct backend *backend, const struct wire_expel *record)
{
    start_query(router, &(struct asker){.backend = backend, .number = record->number}, record->namespace,
                record->rooms, record->except, false, (enum wire_expel_close)record->close);
}

void targets_find(struct router *router, struct backend *backend, const struct wire_find *record)
{
    router->counters.finds++;
    start_query(router, &(struct asker){.backend = backend, .number = record->number}, record->namespace,
                record->rooms, record->except, true, WIRE_EXPEL_NAMESPACE);
}

/* -- STORE ------------------------------------------------------------------------------------ */

struct store_ticket {
    struct ticket ticket; /* must stay first */
    struct journal_change change;
    struct asker asker; /* held */
    char data[];
};

void targets_release_store(struct router *router, struct ticket *ticket)
{
    struct store_ticket *store = (struct store_ticket *)ticket;

    if (!ticket->session->gone)
        rows_note(router, ticket->session, ticket);
    outcome_put(router, &store->asker, (struct bytes){0}, (struct bytes){0}, 0);
    targets_drop_store(router, ticket);
}

void targets_drop_store(struct router *router, struct ticket *ticket)
{
    struct store_ticket *store = (struct store_ticket *)ticket;

    (void)router;
    asker_release(&store->asker);
    free(store);
}

static void write_row(struct router *router, const struct asker *asker, struct session *session,
                      struct bytes data)
{
    struct store_ticket *store = memory_zero(1, sizeof *store + data.length);

    if (data.length)
        memcpy(store->data, data.data, data.length);
    store->asker = asker_hold(asker);
    store->change.kind = JOURNAL_SESSION_DATA;
    store->change.session.id = session->serial;
    store->change.session.data = bytes_make(store->data, data.length);
    store->ticket.entry.kind = JOURNAL_CHANGE;
    store->ticket.entry.change = &store->change;
    store->ticket.session = session_hold(session);
    router_submit_alone(router, &store->ticket, TICKET_STORE);
}

/* Its gateway makes a new link: the data wait for its next session.  False when the backend has no such
   socket. */
static bool store_suspended(struct router *router, const struct backend *backend,
                            const struct wire_store *record)
{
    struct backed *backed = record->sid.length == SID_LENGTH ? backed_find(router, record->sid) : NULL;

    if (!backed || backed->session || backed->backend != backend)
        return false;
    free((char *)backed->data.data);
    backed->data = (struct bytes){0};
    if (record->data.length)
        backed->data = bytes_make(memory_text(record->data.data, record->data.length), record->data.length);
    return true;
}

void targets_store(struct router *router, struct backend *backend, const struct wire_store *record)
{
    const struct asker asker = {.backend = backend, .number = record->number};
    struct session *session =
        record->sid.length == SID_LENGTH ? sessions_find_sid(&router->sessions, record->sid) : NULL;

    if (record->data.length > BACKEND_DATA_MAX) {
        outcome_refuse(router, &asker, REFUSAL_TOO_LARGE, "more than 16 KB of data");
    } else if (!backend_data_valid(record->data)) {
        backend_cut(router, backend, BACKEND_CUT_JSON);
    } else if (!session && store_suspended(router, backend, record)) {
        outcome_put(router, &asker, (struct bytes){0}, (struct bytes){0}, 0);
    } else if (!session) {
        outcome_refuse(router, &asker, REFUSAL_BAD_REQUEST, "no such socket");
    } else if (!backend_serves(backend, session->namespace->name)) {
        backend_cut(router, backend, BACKEND_CUT_NAMESPACE);
    } else if (router_busy(router)) {
        outcome_refuse(router, &asker, REFUSAL_BUSY, NULL);
    } else {
        session_store(session, record->data);
        if (session_recoverable(session))
            write_row(router, &asker, session, record->data);
        else
            outcome_put(router, &asker, (struct bytes){0}, (struct bytes){0}, 0);
    }
}
