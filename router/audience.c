/*
 * Whom something is for; see audience.h.  What backends and HTTP publishers ask for begins here.  Its one
 * surprising rule: sockets are gathered before any is visited, because a visit may end one, and change the
 * tables that are walked.
 */
#include "router/audience.h"

#include "common/memory.h"
#include "router/except.h"
#include "router/membership.h"

#include <stdlib.h>

static bool has_room(const struct audience *audience, struct bytes name)
{
    for (uint32_t i = 0; i < audience->room_count; i++)
        if (bytes_equal(audience->rooms[i], name))
            return true;
    return false;
}

/* Gives what is wrong, or NULL. */
static const char *read_rooms(struct bytes list, struct audience *out, enum refusal_code *code)
{
    struct wire_reader reader;
    int count = wire_list_open(&reader, list);

    for (int i = 0; i < count; i++) {
        struct bytes name;

        if (wire_list_text(&reader, &name) < 0 || !room_name_valid(name)) {
            *code = REFUSAL_BAD_ROOM;
            return refusal_message(*code);
        }
        if (has_room(out, name))
            continue;
        if (out->room_count == AUDIENCE_ROOMS_MAX) {
            *code = REFUSAL_TOO_LARGE;
            return "more than 256 rooms";
        }
        out->rooms[out->room_count++] = name;
    }
    return NULL;
}

static const char *read_exceptions(struct bytes list, struct audience *out, enum refusal_code *code)
{
    struct wire_reader reader;
    int count = wire_list_open(&reader, list);

    if (count > AUDIENCE_EXCEPT_MAX) {
        *code = REFUSAL_TOO_LARGE;
        return "more than 256 exceptions";
    }
    for (int i = 0; i < count; i++) {
        struct bytes name;

        if (wire_list_text(&reader, &name) < 0 || !room_name_valid(name)) {
            *code = REFUSAL_BAD_ROOM;
            return refusal_message(*code);
        }
    }
    out->except_count = count > 0 ? (uint32_t)count : 0;
    out->except = count > 0 ? list : (struct bytes){0};
    return NULL;
}

int audience_read(struct router *router, struct bytes namespace, struct bytes rooms, struct bytes except,
                  struct audience *out, enum refusal_code *code, const char **message)
{
    out->room_count = 0;
    *message = read_rooms(rooms, out, code);
    if (!*message)
        *message = read_exceptions(except, out, code);
    if (*message)
        return ERROR_MALFORMED;
    out->namespace = namespace_recall(&router->namespaces, namespace);
    if (out->namespace)
        return 0;
    *code = REFUSAL_BAD_REQUEST;
    *message = "no such namespace";
    return ERROR_MALFORMED;
}

void audience_done(struct router *router, struct audience *audience)
{
    namespace_release(&router->namespaces, audience->namespace);
}

struct session *audience_session(const struct router *router, const struct audience *audience,
                                 struct bytes name)
{
    struct session *session = name.length == SID_LENGTH ? sessions_find_sid(&router->sessions, name) : NULL;

    return session && session->namespace == audience->namespace ? session : NULL;
}

static void copy_list(struct wire_list *out, struct bytes list)
{
    struct wire_reader reader;
    struct bytes name;
    int count = wire_list_open(&reader, list);

    while (count-- > 0 && wire_list_text(&reader, &name) == 0)
        wire_list_put_text(out, name);
}

struct bytes audience_exceptions(const struct audience *audience, uint32_t part, struct wire_list *list)
{
    if (part == 0)
        return audience->except;
    wire_list_clear(list);
    if (audience->except_count)
        copy_list(list, audience->except);
    for (uint32_t i = 0; i < part; i++)
        wire_list_put_text(list, audience->rooms[i]);
    return wire_list_finish(list);
}

struct room *audience_address(struct router *router, const struct audience *audience, uint32_t part,
                              struct wire_list *list, struct journal_message *fields)
{
    struct bytes name = audience->room_count ? audience->rooms[part] : (struct bytes){0};
    struct session *session = audience_session(router, audience, name);

    fields->except = audience_exceptions(audience, part, list);
    fields->deliver = name.length ? DELIVER_ROOM : DELIVER_NAMESPACE;
    if (session) {
        fields->deliver = DELIVER_SELF;
        fields->sender_sid = session_sid(session);
        name = (struct bytes){0};
    }
    return rooms_get(&router->rooms, audience->namespace, name);
}

/* -- sockets ---------------------------------------------------------------------------------- */

struct gathered {
    struct session **sessions; /* each held */
    size_t count, capacity;
    uint64_t pos; /* EXCEPT_NOW or EXCEPT_WANTED */
};

static void gather(struct gathered *gathered, struct session *session, struct bytes except)
{
    if (except_session(except, session, gathered->pos))
        return;
    if (gathered->count == gathered->capacity) {
        gathered->capacity = gathered->capacity ? gathered->capacity * 2 : 16;
        gathered->sessions =
            memory_resize(gathered->sessions, gathered->capacity * sizeof *gathered->sessions);
    }
    gathered->sessions[gathered->count++] = session_hold(session);
}

static void gather_namespace(const struct audience *audience, struct gathered *gathered)
{
    const struct namespace *namespace = audience->namespace;

    for (uint32_t i = 0; i < namespace->link_count; i++) {
        struct session *session;
        uint32_t cursor = 0;

        while ((session = table_next(&namespace->links[i].link->sessions.by_socket, &cursor)))
            if (session->namespace == namespace && !session->connecting)
                gather(gathered, session, audience->except);
    }
}

static const struct membership *find_membership(const struct session *session, const struct room *room)
{
    for (uint16_t i = 0; i < session->room_count; i++)
        if (session_rooms(session)[i].room == room)
            return &session_rooms(session)[i];
    return NULL;
}

static void gather_room(const struct room *room, struct bytes except, struct gathered *gathered)
{
    for (uint32_t i = 0; i < room->link_count; i++) {
        uint32_t left = room->links[i].members;
        struct session *session;
        uint32_t cursor = 0;

        while (left && (session = table_next(&room->links[i].link->sessions.by_socket, &cursor))) {
            const struct membership *membership = find_membership(session, room);

            if (!membership || !membership->member)
                continue;
            left--;
            gather(gathered, session, except);
        }
    }
}

/* Joins on their way count nowhere yet. */
static void gather_wanted(const struct room *room, struct bytes except, struct gathered *gathered)
{
    const struct namespace *namespace = room->namespace;

    for (uint32_t i = 0; i < namespace->link_count; i++) {
        struct session *session;
        uint32_t cursor = 0;

        while ((session = table_next(&namespace->links[i].link->sessions.by_socket, &cursor))) {
            const struct membership *membership = find_membership(session, room);

            if (membership && membership->wanted)
                gather(gathered, session, except);
        }
    }
}

static void gather_part(struct router *router, const struct audience *audience, uint32_t part,
                        struct gathered *gathered)
{
    struct bytes name = audience->rooms[part];
    struct session *session = audience_session(router, audience, name);
    struct wire_list list = {0};
    struct bytes except = audience_exceptions(audience, part, &list);
    const struct room *room;

    if (session) {
        if (session->link && !membership_is_undecided(session))
            gather(gathered, session, except);
    } else {
        room = rooms_find(&router->rooms, audience->namespace, name);
        if (room && gathered->pos == EXCEPT_WANTED)
            gather_wanted(room, except, gathered);
        else if (room)
            gather_room(room, except, gathered);
    }
    wire_list_done(&list);
}

void audience_visit(struct router *router, const struct audience *audience, enum audience_time time,
                    void (*visit)(struct router *router, struct session *session, void *argument),
                    void *argument)
{
    struct gathered gathered = {.pos = time == AUDIENCE_WANTED ? EXCEPT_WANTED : EXCEPT_NOW};

    if (audience->room_count == 0)
        gather_namespace(audience, &gathered);
    for (uint32_t i = 0; i < audience->room_count; i++)
        gather_part(router, audience, i, &gathered);
    for (size_t i = 0; i < gathered.count; i++) {
        if (!gathered.sessions[i]->gone && gathered.sessions[i]->link)
            visit(router, gathered.sessions[i], argument);
        session_release(gathered.sessions[i]);
    }
    free(gathered.sessions);
}
