/*
 * Rows of sessions, from the loop's side; see rows.h.  Its one surprising rule: a full disk refuses no join
 * and no connect.  The session then differs from its rows (unsaved), and is written whole when a commit has
 * worked again; a router that is killed before that knows of it what it had written last.
 */
#include "router/rows.h"

#include "common/memory.h"

#include <stdlib.h>

struct rows_ticket {
    struct ticket ticket; /* must stay first */
    struct journal_change change;
    struct rows_ticket *next;    /* of the refused ones */
    struct namespace *namespace; /* held, or NULL */
    struct journal_session_room rooms[];
};

/* With room for so many rooms, and behind them for so many bytes of names. */
static struct rows_ticket *make(enum journal_change_kind kind, uint64_t id, size_t rooms, size_t bytes)
{
    struct rows_ticket *rows = memory_zero(1, sizeof *rows + rooms * sizeof *rows->rooms + bytes);

    rows->change.kind = kind;
    rows->change.session.id = id;
    rows->change.session.rooms = rows->rooms;
    rows->ticket.entry.kind = JOURNAL_CHANGE;
    rows->ticket.entry.change = &rows->change;
    return rows;
}

static void free_rows(struct router *router, struct rows_ticket *rows)
{
    if (rows->namespace)
        namespace_release(&router->namespaces, rows->namespace);
    free(rows);
}

static struct bytes keep(struct bytes text, char **at)
{
    struct bytes kept = bytes_make(*at, text.length);

    if (text.length)
        memcpy(*at, text.data, text.length);
    *at += text.length;
    return kept;
}

/* Adds a room, with its name at *names. */
static void add_room(struct rows_ticket *rows, const struct membership *membership, char **names)
{
    rows->rooms[rows->change.session.room_count++] =
        (struct journal_session_room){.room = keep(room_name(membership->room), names),
                                      .joined_pos = membership->joined_pos,
                                      .watch = membership->watch};
}

/* It is written again some time. */
static void list(struct router *router, struct session *session)
{
    session->unsaved = true;
    if (session->listed)
        return;
    session->listed = true;
    buffer_append_bytes(&router->rows_sids, session_sid(session));
}

void rows_save(struct router *router, struct session *session)
{
    struct rows_ticket *rows;
    size_t bytes = session_data(session).length;
    char *names;

    session->unsaved = false;
    if (!session_recoverable(session))
        return;
    for (uint16_t i = 0; i < session->room_count; i++) {
        bytes += room_name(session_rooms(session)[i].room).length;
        session->unsaved |= session_rooms(session)[i].pending > 0; /* its row would be lost */
    }
    if (session->unsaved) {
        list(router, session);
        return;
    }
    rows = make(JOURNAL_SESSION_SAVE, session->serial, session->room_count, bytes);
    rows->namespace = namespace_hold(session->namespace);
    rows->ticket.session = session_hold(session);
    rows->change.session.sid = session_sid(session);
    rows->change.session.secret = session_secret(session);
    rows->change.session.namespace = session->namespace->name;
    rows->change.session.from = grant_sub(session->grant);
    rows->change.session.generation = session->generation;
    rows->change.session.connected_pos = session->connected_pos;
    names = (char *)(rows->rooms + session->room_count);
    rows->change.session.data = keep(session_data(session), &names);
    for (uint16_t i = 0; i < session->room_count; i++)
        if (session_rooms(session)[i].member)
            add_room(rows, &session_rooms(session)[i], &names);
    router_submit_alone(router, &rows->ticket, TICKET_ROWS);
}

void rows_remove(struct router *router, const struct session *session)
{
    bool addressed = session->self_pos > 0; /* something was for it alone */
    struct bytes namespace = addressed ? session->namespace->name : (struct bytes){0};
    struct bytes sid = addressed ? session_sid(session) : (struct bytes){0};
    struct rows_ticket *rows;
    char *names;

    if (!session_recoverable(session))
        return;
    rows = make(JOURNAL_SESSION_REMOVE, session->serial, 0, namespace.length + sid.length);
    names = (char *)rows->rooms;
    rows->change.session.namespace = keep(namespace, &names);
    rows->change.session.sid = keep(sid, &names);
    router_submit_alone(router, &rows->ticket, TICKET_ROWS);
}

/* It waits for its next attempt. */
static void keep_refused(struct router *router, struct rows_ticket *rows)
{
    rows->next = router->rows_refused;
    router->rows_refused = rows;
}

void rows_remove_later(struct router *router, uint64_t id)
{
    keep_refused(router, make(JOURNAL_SESSION_REMOVE, id, 0, 0));
}

void rows_move(struct router *router, struct session *session, const struct membership *membership)
{
    struct rows_ticket *rows;
    char *names;

    if (!session_recoverable(session))
        return;
    rows = make(JOURNAL_ROOM_MOVE, session->serial, 1, room_name(membership->room).length);
    names = (char *)(rows->rooms + 1);
    add_room(rows, membership, &names);
    rows->ticket.session = session_hold(session);
    router_submit_alone(router, &rows->ticket, TICKET_ROWS);
}

void rows_note(struct router *router, struct session *session, const struct ticket *ticket)
{
    if (ticket->entry.kind != JOURNAL_CHANGE || ticket->entry.result == 0)
        return;
    list(router, session);
}

void rows_release(struct router *router, struct ticket *ticket)
{
    struct rows_ticket *rows = (struct rows_ticket *)ticket;

    if (ticket->session && !ticket->session->gone)
        rows_note(router, ticket->session, ticket);
    if (ticket->entry.result && rows->change.kind == JOURNAL_SESSION_REMOVE) {
        keep_refused(router, rows);
        return;
    }
    free_rows(router, rows);
}

void rows_drop(struct router *router, struct ticket *ticket)
{
    free_rows(router, (struct rows_ticket *)ticket);
}

static void save_listed(struct router *router, struct bytes sid)
{
    struct session *session = sessions_find_sid(&router->sessions, sid);

    if (!session)
        return;
    session->listed = false;
    if (session->unsaved)
        rows_save(router, session);
}

void rows_retry(struct router *router)
{
    struct rows_ticket *rows = router->rows_refused, *next;
    struct buffer sids = router->rows_sids;
    struct journal_statistics statistics;

    if (!rows && !sids.length)
        return;
    journal_statistics(router->journal, &statistics);
    if (statistics.storage_full)
        return;
    router->rows_sids = (struct buffer){0};
    router->rows_refused = NULL;
    for (; rows; rows = next) {
        next = rows->next;
        router_submit_alone(router, &rows->ticket, TICKET_ROWS);
    }
    for (size_t at = 0; at < sids.length; at += SID_LENGTH)
        save_listed(router, bytes_make(sids.data + at, SID_LENGTH));
    buffer_done(&sids);
}

void rows_done(struct router *router)
{
    struct rows_ticket *rows;

    while ((rows = router->rows_refused)) {
        router->rows_refused = rows->next;
        free_rows(router, rows);
    }
    buffer_done(&router->rows_sids);
}
