/*
 * What becomes of backends' sockets as their sessions come and go; see backed.h.  Whoever changes sessions
 * calls it. Its one surprising rule: a gateway that makes a new link has its sessions torn down and built up
 * again here, of which its clients notice nothing, and so backends must not either: they are told only what
 * is different after it.
 */
#include "router/backed.h"

#include "common/memory.h"

#include <stdlib.h>

static const char closed[] = "transport close";

void backed_lost(struct router *router, struct session *session, const char *reason)
{
    struct backed *backed = session->backed;
    struct wire_list rooms = {0};

    if (!backed)
        return;
    backed_list_rooms(session, &rooms);
    backed_tell_gone(router, backed, reason, rooms.count ? wire_list_finish(&rooms) : (struct bytes){0});
    wire_list_done(&rooms);
    backed_remove(router, backed);
}

/* A suspended one's socket is not there any more. */
static void lose_suspended(struct router *router, struct backed *backed, const char *reason)
{
    backed_tell_gone(router, backed, reason,
                     backed->rooms.count ? wire_list_finish(&backed->rooms) : (struct bytes){0});
    backed_remove(router, backed);
}

/* -- a gateway's new link --------------------------------------------------------------------- */

void backed_suspend(struct router *router, struct session *session)
{
    struct backed *backed = session->backed;

    if (!backed)
        return;
    if (session->connecting) { /* its CONNECT is asked again, as one of another session */
        backed_lost(router, session, closed);
        return;
    }
    backed_list_rooms(session, &backed->rooms);
    if (session->data) {
        struct bytes data = session_data(session);

        backed->data = bytes_make(memory_text(data.data, data.length), data.length);
    }
    backed->gateway = session->link->incarnation;
    backed->since = loop_now(router->loop);
    backed->session = NULL;
    session->backed = NULL;
    router->backends->sockets->suspended++;
}

static struct bytes name_key(const void *entry)
{
    return *(const struct bytes *)entry;
}

/* Tells of the rooms that differ from those that it was in. */
static void tell_rooms(const struct session *session, struct backed *backed)
{
    struct wire_reader list;
    int count = backed->rooms.count ? wire_list_open(&list, wire_list_finish(&backed->rooms)) : 0;
    struct bytes *names = memory_new(((size_t)(count > 0 ? count : 0) + 1) * sizeof *names);
    struct table former;

    table_init(&former, name_key);
    for (int i = 0; i < count && wire_list_text(&list, &names[i]) == 0; i++)
        table_insert(&former, &names[i]);
    for (uint16_t i = 0; i < session->room_count; i++) {
        struct bytes name = room_name(session_rooms(session)[i].room);
        struct bytes *known = table_find(&former, name);

        if (!session_rooms(session)[i].member)
            continue;
        if (known)
            table_remove(&former, known);
        else
            backed_entered(session, name);
    }
    for (int i = 0; i < count; i++)
        if (table_find(&former, names[i]))
            backed_exited(session, names[i]);
    table_done(&former);
    free(names);
    wire_list_clear(&backed->rooms);
}

static void resume(struct router *router, struct backed *backed, struct session *session)
{
    router->backends->sockets->suspended--;
    backed->session = session;
    session->backed = backed;
    if (backed->data.length && !session->data)
        session_store(session, backed->data);
    free((char *)backed->data.data);
    backed->data = (struct bytes){0};
    tell_rooms(session, backed);
    backed_give(router, backed);
}

/* Gives it to the backend that holds it, or to none before all that may hold it could say so. */
static void give_found(struct router *router, struct session *session, enum wire_connection_kind kind)
{
    struct backend *claimant = backed_claimant(router, session_sid(session));
    struct backed *backed = backed_new(router, session, claimant ? WIRE_CONNECTION_HELD : kind);

    backed->foreign = !claimant && router_is_young(router);
    if (claimant)
        backed_assign(router, backed, claimant);
    backed_give(router, backed);
}

/* Among the sockets of a gateway's hello. */
static void find(struct router *router, struct session *session)
{
    bool young = router_is_young(router);

    give_found(router, session,
               !young && session_recoverable(session) ? WIRE_CONNECTION_RECOVERED : WIRE_CONNECTION_HANDED);
    if (young)
        session->backed->again_until = loop_now(router->loop) + router->settings->dead;
}

/* Those of that gateway which are suspended, once they are nobody's any more. */
static void lose_all_suspended(struct router *router, uint64_t incarnation, const char *reason)
{
    struct backed_sockets *sockets = router->backends->sockets;
    uint32_t count = 0, cursor = 0;
    struct backed **all, *backed;

    if (sockets->suspended == 0)
        return;
    all = memory_new(sockets->suspended * sizeof(struct backed *));
    while ((backed = table_next(&sockets->by_sid, &cursor)))
        if (!backed->session && backed->gateway == incarnation)
            all[count++] = backed;
    for (uint32_t i = 0; i < count; i++)
        lose_suspended(router, all[i], reason);
    free(all);
}

void backed_link_live(struct router *router, struct gateway_link *link)
{
    struct session *session;
    uint32_t cursor = 0;

    while ((session = table_next(&link->sessions.by_socket, &cursor))) {
        struct backed *backed = backed_find(router, session_sid(session));

        if (backed && !backed->session)
            resume(router, backed, session);
        else if (backed)
            backed_give(router, backed);
        else if (backed_namespace(router, session->namespace))
            find(router, session);
    }
    lose_all_suspended(router, link->incarnation, closed);
}

void backed_gateway_gone(struct router *router, uint64_t incarnation, const char *reason)
{
    lose_all_suspended(router, incarnation, reason);
}

void backed_tick(struct router *router, uint64_t now)
{
    struct backed_sockets *sockets = router->backends->sockets;
    struct backed *backed;
    uint32_t cursor = 0;

    while (sockets->suspended && (backed = table_next(&sockets->by_sid, &cursor))) {
        if (backed->session || now - backed->since <= router->settings->dead ||
            links_find(&router->links, backed->gateway))
            continue;
        lose_all_suspended(router, backed->gateway, closed);
        cursor = 0;
    }
}

/* -- other things ----------------------------------------------------------------------------- */

void backed_recovered(struct router *router, struct session *session)
{
    struct backed *backed = backed_find(router, session_sid(session));

    if (backed)
        lose_suspended(router, backed, closed);
    if (backed_namespace(router, session->namespace))
        give_found(router, session, WIRE_CONNECTION_RECOVERED);
}

static struct wire_batch *out_for(const struct session *session)
{
    struct backed *backed = session->backed;

    return backed && backed->state == BACKED_OPEN && backed->backend ? backend_out(backed->backend) : NULL;
}

void backed_entered(const struct session *session, struct bytes room)
{
    struct wire_batch *out = out_for(session);

    if (out)
        wire_put_entered(out, &(struct wire_entered){.sid = session_sid(session), .room = room});
}

void backed_exited(const struct session *session, struct bytes room)
{
    struct wire_batch *out = out_for(session);

    if (out)
        wire_put_exited(out, &(struct wire_exited){.sid = session_sid(session), .room = room});
}
