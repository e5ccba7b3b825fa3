/*
 * The sockets of all gateways, and sessions without one; see session.h.  The dispatcher's handlers own their
 * changes.  Its one surprising rule: who keeps a room in memory.  A live member counts there, and that is
 * enough; an away session holds each of its rooms instead.
 */
#include "router/session.h"

#include "common/memory.h"
#include "common/random.h"

#include <assert.h>
#include <stdlib.h>

static struct bytes sid_key(const void *entry)
{
    return session_sid(entry);
}

static struct bytes socket_key(const void *entry)
{
    const struct session *session = entry;

    return bytes_make((const char *)&session->socket, sizeof session->socket);
}

void sessions_init(struct sessions *sessions, struct rooms *rooms)
{
    *sessions = (struct sessions){.rooms = rooms};
    grant_table_init(&sessions->grants);
    table_init(&sessions->by_sid, sid_key);
}

void sessions_done(struct sessions *sessions)
{
    while (sessions->first_away)
        session_remove(sessions, NULL, sessions->first_away);
    assert(sessions->by_sid.count == 0);
    table_done(&sessions->by_sid);
    grant_table_done(&sessions->grants);
}

void session_set_init(struct session_set *set)
{
    *set = (struct session_set){0};
    table_init(&set->by_socket, socket_key);
}

void session_set_done(struct session_set *set)
{
    assert(set->by_socket.count == 0);
    table_done(&set->by_socket);
}

struct session *session_find(const struct session_set *set, uint64_t socket)
{
    return table_find(&set->by_socket, bytes_make((const char *)&socket, sizeof socket));
}

struct session *session_find_same(const struct session_set *set, uint64_t socket, uint64_t serial)
{
    struct session *session = session_find(set, socket);

    return session && session->serial == serial ? session : NULL;
}

struct session *sessions_find_sid(const struct sessions *sessions, struct bytes sid)
{
    return table_find(&sessions->by_sid, sid);
}

/* In no set yet. */
static struct session *make(struct sessions *sessions, struct namespace *namespace, struct bytes sid,
                            struct bytes from)
{
    struct session *session = memory_zero(1, sizeof *session);

    assert(sid.length == SID_LENGTH);
    session->namespace = namespace_hold(namespace);
    session->grant = from.length ? grant_new(from) : NULL;
    session->room_capacity = 1;
    session->generation = 1;
    memcpy(session->pid, sid.data, SID_LENGTH);
    table_insert(&sessions->by_sid, session);
    return session;
}

/* It has a socket. */
static void place(struct sessions *sessions, struct session_set *set, struct gateway_link *link,
                  uint64_t socket, struct session *session)
{
    session->link = link;
    session->socket = socket;
    session->errors = (struct refusal_budget){0};
    table_insert(&set->by_socket, session);
    namespace_add_socket(sessions->rooms->namespaces, session->namespace, link);
}

static void displace(struct sessions *sessions, struct session_set *set, struct session *session)
{
    namespace_remove_socket(sessions->rooms->namespaces, session->namespace, session->link);
    table_remove(&set->by_socket, session);
    session->link = NULL;
}

struct session *session_new(struct sessions *sessions, struct session_set *set, struct gateway_link *link,
                            uint64_t socket, struct namespace *namespace, struct bytes sid, struct bytes from)
{
    struct session *session;

    if (session_find(set, socket) || sessions_find_sid(sessions, sid))
        return NULL;
    session = make(sessions, namespace, sid, from);
    session->serial = ++sessions->last_serial;
    place(sessions, set, link, socket, session);
    return session;
}

void session_set_grant(struct session *session, struct grant *grant)
{
    if (!session->grant) {
        session->grant = grant;
        return;
    }
    grant_replace(session->grant, grant ? grant : grant_new(grant_sub(session->grant)));
}

void session_make_recoverable(struct session *session)
{
    random_id(session->pid + SID_LENGTH, SESSION_SECRET_LENGTH);
}

static void add_away(struct sessions *sessions, struct session *session, uint64_t now)
{
    session->away_since = now;
    session->later = NULL;
    session->earlier = sessions->last_away;
    if (sessions->last_away)
        sessions->last_away->later = session;
    else
        sessions->first_away = session;
    sessions->last_away = session;
    sessions->away++;
}

static void remove_away(struct sessions *sessions, struct session *session)
{
    if (session->earlier)
        session->earlier->later = session->later;
    else
        sessions->first_away = session->later;
    if (session->later)
        session->later->earlier = session->earlier;
    else
        sessions->last_away = session->earlier;
    sessions->away--;
}

void sessions_note_serial(struct sessions *sessions, uint64_t serial)
{
    if (serial > sessions->last_serial)
        sessions->last_serial = serial;
}

struct session *session_restore(struct sessions *sessions, struct namespace *namespace,
                                const struct session_row *row, uint64_t now)
{
    struct session *session;

    if (sessions_find_sid(sessions, row->sid))
        return NULL;
    assert(row->secret.length == SESSION_SECRET_LENGTH);
    session = make(sessions, namespace, row->sid, row->from);
    session->serial = row->serial;
    sessions_note_serial(sessions, row->serial);
    session->connected_pos = row->connected_pos;
    session->generation = row->generation;
    session->self_pos = LAST_POS_UNKNOWN;
    session->told = true;
    memcpy(session->pid + SID_LENGTH, row->secret.data, SESSION_SECRET_LENGTH);
    add_away(sessions, session, now);
    return session;
}

bool session_at_rest(const struct session *session)
{
    for (uint16_t i = 0; i < session->room_count; i++)
        if (session_rooms(session)[i].pending)
            return false;
    return session->reads == 0 && !session->connecting;
}

void session_move(struct sessions *sessions, struct session_set *from, struct session_set *to,
                  struct gateway_link *link, uint64_t socket, struct session *session)
{
    struct namespace_table *namespaces = sessions->rooms->namespaces;

    assert(session_at_rest(session) && !session_find(to, socket));
    for (uint16_t i = 0; i < session->room_count; i++) {
        const struct membership *membership = &session_rooms(session)[i];

        assert(membership->member);
        room_move_member(membership->room, session->link, link, membership->watch);
    }
    table_remove(&from->by_socket, session);
    namespace_add_socket(namespaces, session->namespace, link);
    namespace_remove_socket(namespaces, session->namespace, session->link);
    session->link = link;
    session->socket = socket;
    table_insert(&to->by_socket, session);
}

void session_detach(struct sessions *sessions, struct session_set *set, struct session *session, uint64_t now)
{
    assert(session->reads == 0);
    for (uint16_t i = 0; i < session->room_count; i++) {
        struct membership *membership = &session_rooms(session)[i];

        room_hold(membership->room);
        if (membership->member)
            room_remove_member(sessions->rooms, membership->room, session->link, membership->watch);
    }
    displace(sessions, set, session);
    add_away(sessions, session, now);
}

void session_attach(struct sessions *sessions, struct session_set *set, struct gateway_link *link,
                    uint64_t socket, struct session *session)
{
    assert(!session->link && !session->gone && !session_find(set, socket));
    remove_away(sessions, session);
    session->attachment++;
    for (uint16_t i = session->room_count; i-- > 0;) {
        struct membership *membership = &session_rooms(session)[i];

        if (membership->pending)
            session->unsaved = true; /* its rows may have what was asked for */
        membership->pending = 0;
        membership->wanted = membership->member;
        membership->unconfirmed = false;
        session_tidy(sessions, session, membership);
    }
    place(sessions, set, link, socket, session);
    for (uint16_t i = 0; i < session->room_count; i++) {
        const struct membership *membership = &session_rooms(session)[i];

        room_add_member(sessions->rooms, membership->room, link, membership->watch);
        room_release(sessions->rooms, membership->room);
    }
}

void session_remove(struct sessions *sessions, struct session_set *set, struct session *session)
{
    for (uint16_t i = 0; i < session->room_count; i++) {
        struct membership *membership = &session_rooms(session)[i];

        if (!session->link)
            room_release(sessions->rooms, membership->room);
        else if (membership->member)
            session_exit(sessions, session, membership);
        free(membership->quiet);
    }
    if (session->link)
        displace(sessions, set, session);
    else
        remove_away(sessions, session);
    namespace_release(sessions->rooms->namespaces, session->namespace);
    table_remove(&sessions->by_sid, session);
    if (session->room_capacity > 1)
        free(session->several);
    session->room_capacity = 1;
    session->room_count = 0;
    session->gone = true;
    session_release(session_hold(session));
}

void session_release(struct session *session)
{
    assert(session->references > 0);
    if (--session->references || !session->gone)
        return;
    grant_free(session->grant);
    free(session->data);
    free(session);
}

void session_store(struct session *session, struct bytes data)
{
    free(session->data);
    session->data = data.length ? memory_text(data.data, data.length) : NULL;
}

struct bytes session_from(const struct session *session, char space[SID_LENGTH + 5])
{
    if (grant_sub(session->grant).length)
        return grant_sub(session->grant);
    memcpy(space, "anon:", 5);
    memcpy(space + 5, session->pid, SID_LENGTH);
    return bytes_make(space, SID_LENGTH + 5);
}

struct membership *session_membership(const struct session *session, struct bytes room)
{
    for (uint16_t i = 0; i < session->room_count; i++)
        if (bytes_equal(room_name(session_rooms(session)[i].room), room))
            return &session_rooms(session)[i];
    return NULL;
}

struct membership *session_add_membership(struct session *session, struct room *room)
{
    struct membership *membership;

    if (session->room_count == session->room_capacity) {
        bool first = session->room_capacity == 1;
        uint16_t capacity = (uint16_t)(session->room_capacity * 2);
        struct membership *rooms = memory_resize(first ? NULL : session->several, capacity * sizeof *rooms);

        if (first)
            rooms[0] = session->one;
        session->several = rooms;
        session->room_capacity = capacity;
    }
    membership = &session_rooms(session)[session->room_count++];
    *membership = (struct membership){.room = room};
    if (!session->link)
        room_hold(room);
    return membership;
}

void session_note_sent(struct membership *membership, uint64_t pos)
{
    struct quiet *quiet = membership->quiet;

    if (!quiet)
        quiet = membership->quiet = memory_zero(1, sizeof *quiet);
    if (membership->room->last_pos > quiet->to)
        quiet->from = membership->room->last_pos;
    quiet->to = pos;
}

void session_enter(struct sessions *sessions, struct session *session, struct membership *membership,
                   uint64_t pos, bool watch)
{
    if (!membership->member) {
        membership->member = true;
        membership->joined_pos = pos;
        if (session->link)
            room_add_member(sessions->rooms, membership->room, session->link, watch);
    } else if (membership->watch != watch && session->link) {
        room_change_watch(membership->room, session->link, watch);
    }
    membership->watch = watch;
}

void session_exit(struct sessions *sessions, struct session *session, struct membership *membership)
{
    assert(membership->member);
    membership->member = false;
    if (session->link)
        room_remove_member(sessions->rooms, membership->room, session->link, membership->watch);
}

void session_tidy(struct sessions *sessions, struct session *session, struct membership *membership)
{
    struct room *room = membership->room;

    if (membership->member || membership->pending)
        return;
    free(membership->quiet);
    *membership = session_rooms(session)[--session->room_count];
    if (!session->link)
        room_release(sessions->rooms, room);
}
