/*
 * The time that sessions without a socket have; see away.h.  Disconnects, the end of links and the start call
 * it, recovery takes sessions out again.  Its one surprising rule: a timer that comes much too late waits
 * another second, because the process stood still, and the clients that came back meanwhile are still to be
 * read.
 */
#include "router/away.h"

#include "common/hash.h"
#include "common/memory.h"
#include "router/backed.h"
#include "router/history.h"
#include "router/rows.h"

#include <stdlib.h>

enum {
    ENDED_A_TURN = 1000,
    STALLED_MS = 1000,
    FORMER_SLOTS = 1 << 14, /* of 4 bytes */
};

static void arm(struct router *router, uint64_t due)
{
    uint64_t now = loop_now(router->loop);

    router->window_due = due > now ? due : now + 1;
    loop_timer_start(&router->window, router->window_due - now);
}

static uint64_t tag_of(struct bytes sid, uint32_t *tag)
{
    uint64_t hash = hash_bytes(sid);

    *tag = (uint32_t)(hash >> 32) | 1;
    return hash % FORMER_SLOTS;
}

static void expire(struct router *router, struct session *session)
{
    uint32_t tag;
    uint64_t slot = tag_of(session_sid(session), &tag);

    router->former[slot] = tag;
    router->counters.aways_expired++;
    away_discard(router, session);
}

bool away_expired(const struct router *router, struct bytes sid)
{
    uint32_t tag;
    uint64_t slot = tag_of(sid, &tag);

    return router->former[slot] == tag;
}

static void on_window(void *arg)
{
    struct router *router = arg;
    uint64_t now = loop_now(router->loop);
    struct session *session;

    if (now - router->window_due > STALLED_MS) {
        arm(router, now + STALLED_MS);
        return;
    }
    for (unsigned i = 0; i < ENDED_A_TURN && (session = router->sessions.first_away); i++) {
        uint64_t due = session->away_since + router->settings->recovery_window;

        if (due > now) {
            arm(router, due);
            return;
        }
        expire(router, session);
    }
    if (router->sessions.first_away)
        arm(router, now);
}

void away_init(struct router *router)
{
    loop_timer_init(&router->window, router->loop, on_window, router);
    router->former = memory_zero(FORMER_SLOTS, sizeof *router->former);
}

void away_done(struct router *router)
{
    loop_timer_stop(&router->window);
    free(router->former);
}

static void added(struct router *router)
{
    struct sessions *sessions = &router->sessions;

    if (sessions->away == 1)
        arm(router, sessions->first_away->away_since + router->settings->recovery_window);
    router->counters.aways++;
}

void away_displace(struct router *router, struct session *session)
{
    if (!session->link)
        return;
    backed_lost(router, session, "transport close");
    history_settle_joins(router, session);
    session_detach(&router->sessions, &session->link->sessions, session, loop_now(router->loop));
}

/* What a restart found is no crowd before its gateways had the time to name what is live. */
static uint64_t limit(const struct router *router)
{
    return router->settings->max_away_sessions + (router_is_young(router) ? (uint64_t)router->restored : 0);
}

static void make_room(struct router *router)
{
    struct sessions *sessions = &router->sessions;

    for (unsigned i = 0; i < ENDED_A_TURN && sessions->away > limit(router); i++) {
        router->counters.aways_too_many++;
        away_discard(router, sessions->first_away);
    }
}

void away_begin(struct router *router, struct session *session)
{
    if (!session_recoverable(session) || !session->told || router->closing) {
        away_discard(router, session);
        return;
    }
    away_displace(router, session);
    added(router);
    make_room(router);
}

void away_discard(struct router *router, struct session *session)
{
    backed_lost(router, session, "transport close");
    if (!router->closing)
        rows_remove(router, session);
    session_remove(&router->sessions, session->link ? &session->link->sessions : NULL, session);
}

static void restore_room(struct router *router, struct session *session,
                         const struct journal_session_room *row)
{
    struct membership *membership;

    if (!room_name_valid(row->room))
        return;
    membership = session_add_membership(session, rooms_get(&router->rooms, session->namespace, row->room));
    membership->wanted = true;
    membership->room->last_pos = LAST_POS_UNKNOWN;
    session_enter(&router->sessions, session, membership, row->joined_pos, row->watch);
}

void away_restore(void *argument, const struct journal_session *row)
{
    struct router *router = argument;
    struct namespace *namespace = namespace_recall(&router->namespaces, row->namespace);
    struct session *session = NULL;

    if (namespace && namespace->config->recovery && row->sid.length == SID_LENGTH &&
        row->secret.length == SESSION_SECRET_LENGTH) {
        session = session_restore(&router->sessions, namespace,
                                  &(struct session_row){.serial = row->id,
                                                        .connected_pos = row->connected_pos,
                                                        .generation = (uint32_t)row->generation,
                                                        .sid = row->sid,
                                                        .secret = row->secret,
                                                        .from = row->from},
                                  loop_now(router->loop));
    }
    if (session) {
        session_store(session, row->data);
        namespace->last_pos = LAST_POS_UNKNOWN;
        for (size_t i = 0; i < row->room_count; i++)
            restore_room(router, session, &row->rooms[i]);
        router->restored++;
        added(router);
    } else {
        /* It may leave late, for want of space, and must not take the rows of a new session along. */
        sessions_note_serial(&router->sessions, row->id);
        rows_remove_later(router, row->id);
    }
    if (namespace)
        namespace_release(&router->namespaces, namespace); /* the session holds it */
}
