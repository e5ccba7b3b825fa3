/*
 * The sockets of all gateways; see session.h.  The dispatcher's handlers own their changes.  Its one
 * surprising rule: most sockets are in one room, so the first membership lives in the session itself, and
 * the list moves to the heap with the second.
 */
#include "router/session.h"

#include "common/memory.h"

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
    table_init(&sessions->by_sid, sid_key);
}

void sessions_done(struct sessions *sessions)
{
    assert(sessions->by_sid.count == 0);
    table_done(&sessions->by_sid);
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

struct session *session_new(struct sessions *sessions, struct session_set *set, struct gateway_link *link,
                            uint64_t socket, struct namespace *namespace, struct bytes sid, struct bytes from)
{
    struct session *session;

    assert(sid.length == SID_LENGTH);
    if (session_find(set, socket) || sessions_find_sid(sessions, sid))
        return NULL;
    session = memory_zero(1, sizeof *session);
    session->link = link;
    session->socket = socket;
    session->serial = ++sessions->last_serial;
    session->namespace = namespace_hold(namespace);
    session->from = from.length ? memory_text(from.data, from.length) : NULL;
    session->rooms = session->own;
    session->room_capacity = SESSION_ROOMS_INLINE;
    memcpy(session->sid, sid.data, SID_LENGTH);
    table_insert(&set->by_socket, session);
    table_insert(&sessions->by_sid, session);
    namespace_add_socket(sessions->rooms->namespaces, namespace, link);
    return session;
}

bool session_at_rest(const struct session *session)
{
    for (uint16_t i = 0; i < session->room_count; i++)
        if (session->rooms[i].pending)
            return false;
    return session->reads == 0;
}

void session_move(struct sessions *sessions, struct session_set *from, struct session_set *to,
                  struct gateway_link *link, uint64_t socket, struct session *session)
{
    struct namespace_table *namespaces = sessions->rooms->namespaces;

    assert(session_at_rest(session) && !session_find(to, socket));
    for (uint16_t i = 0; i < session->room_count; i++) {
        const struct membership *membership = &session->rooms[i];

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

void session_remove(struct sessions *sessions, struct session_set *set, struct session *session)
{
    for (uint16_t i = 0; i < session->room_count; i++)
        if (session->rooms[i].member)
            session_exit(sessions, session, &session->rooms[i]);
    namespace_remove_socket(sessions->rooms->namespaces, session->namespace, session->link);
    namespace_release(sessions->rooms->namespaces, session->namespace);
    table_remove(&set->by_socket, session);
    table_remove(&sessions->by_sid, session);
    if (session->rooms != session->own)
        free(session->rooms);
    free(session->from);
    free(session);
}

struct bytes session_from(const struct session *session, char space[SID_LENGTH + 5])
{
    if (session->from)
        return bytes_from_text(session->from);
    memcpy(space, "anon:", 5);
    memcpy(space + 5, session->sid, SID_LENGTH);
    return bytes_make(space, SID_LENGTH + 5);
}

struct membership *session_membership(const struct session *session, struct bytes room)
{
    for (uint16_t i = 0; i < session->room_count; i++)
        if (bytes_equal(room_name(session->rooms[i].room), room))
            return &session->rooms[i];
    return NULL;
}

struct membership *session_add_membership(struct session *session, struct room *room)
{
    if (session->room_count == session->room_capacity) {
        uint16_t capacity = (uint16_t)(session->room_capacity * 2);
        struct membership *rooms =
            memory_resize(session->rooms == session->own ? NULL : session->rooms, capacity * sizeof *rooms);

        if (session->rooms == session->own)
            memcpy(rooms, session->own, sizeof session->own);
        session->rooms = rooms;
        session->room_capacity = capacity;
    }
    session->rooms[session->room_count] = (struct membership){.room = room};
    return &session->rooms[session->room_count++];
}

void session_enter(struct sessions *sessions, struct session *session, struct membership *membership,
                   uint64_t pos, bool watch)
{
    if (!membership->member) {
        membership->member = true;
        membership->joined_pos = pos;
        room_add_member(sessions->rooms, membership->room, session->link, watch);
    } else if (membership->watch != watch) {
        room_change_watch(membership->room, session->link, watch);
    }
    membership->watch = watch;
}

void session_exit(struct sessions *sessions, struct session *session, struct membership *membership)
{
    assert(membership->member);
    membership->member = false;
    room_remove_member(sessions->rooms, membership->room, session->link, membership->watch);
}

void session_tidy(struct session *session, struct membership *membership)
{
    if (membership->member || membership->pending)
        return;
    *membership = session->rooms[--session->room_count];
}
