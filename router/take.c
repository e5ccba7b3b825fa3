/*
 * Sockets that change hands; see take.h.  The dispatcher calls it.  Its one surprising rule: the new gateway
 * is told of the position first, so that after a resync it is shown nothing that the former one got for the
 * sockets; their own join positions may be far below.
 */
#include "router/take.h"

#include "common/log.h"
#include "router/backed.h"
#include "router/connecting.h"
#include "router/membership.h"

/* A socket's numbers: the former gateway's and the new one's. */
struct pair {
    uint64_t theirs, ours;
    struct session *session;
};

struct taking {
    struct gateway_link *from, *to;
    unsigned count;
    struct pair pairs[TAKE_SOCKETS_MAX];
};

/* Reads the list; one that is too long is read to its end, and counts as empty. */
static int read_pairs(struct taking *taking, struct bytes sockets, bool *too_many)
{
    struct wire_reader list;
    int count = wire_list_open(&list, sockets);

    if (count < 0 || count % 2)
        return ERROR_MALFORMED;
    *too_many = count / 2 > TAKE_SOCKETS_MAX;
    for (int i = 0; i < count / 2; i++) {
        struct pair pair = {0};

        if (wire_list_u64(&list, &pair.theirs) < 0 || wire_list_u64(&list, &pair.ours) < 0 ||
            pair.theirs == 0 || pair.ours == 0)
            return ERROR_MALFORMED;
        if (!*too_many)
            taking->pairs[taking->count++] = pair;
    }
    return 0;
}

static bool stands_before(const struct taking *taking, unsigned at)
{
    for (unsigned i = 0; i < at; i++)
        if (taking->pairs[i].theirs == taking->pairs[at].theirs ||
            taking->pairs[i].ours == taking->pairs[at].ours)
            return true;
    return false;
}

/* Finds the sessions; what stands against the move, or NULL. */
static const char *objection(struct taking *taking)
{
    unsigned rooms = 0;

    if (!taking->from || !link_out(taking->from))
        return "its gateway is not live";
    if (taking->from == taking->to)
        return "it is here";
    for (unsigned i = 0; i < taking->count; i++) {
        struct pair *pair = &taking->pairs[i];

        pair->session = session_find(&taking->from->sessions, pair->theirs);
        if (!pair->session)
            return "no such socket";
        if (!session_at_rest(pair->session) || backed_is_busy(pair->session))
            return "something is on its way";
        if (session_find(&taking->to->sessions, pair->ours) || stands_before(taking, i))
            return "a number is in use";
        rooms += pair->session->room_count;
        if (rooms > TAKE_ROOMS_MAX)
            return "too many rooms";
    }
    return NULL;
}

static void put_given(const struct taking *taking, uint64_t number)
{
    struct wire_list list = {0};

    for (unsigned i = 0; i < taking->count; i++)
        wire_list_put_u64(&list, taking->pairs[i].theirs);
    link_settle(taking->from);
    wire_put_given(link_out(taking->from), &(struct wire_given){.to = taking->to->incarnation,
                                                                .number = number,
                                                                .sockets = wire_list_finish(&list)});
    wire_list_done(&list);
}

static void move(struct router *router, const struct taking *taking)
{
    for (unsigned i = 0; i < taking->count; i++) {
        struct session *session = taking->pairs[i].session;

        session_move(&router->sessions, &taking->from->sessions, &taking->to->sessions, taking->to,
                     taking->pairs[i].ours, session);
        connecting_put_connected(router, session, 0, false);
        for (uint16_t room = 0; room < session->room_count; room++)
            membership_put_joined(session, &session_rooms(session)[room],
                                  session_rooms(session)[room].joined_pos);
    }
    router->counters.sockets_moved += taking->count;
}

int take_sockets(struct router *router, struct gateway_link *link, const struct wire_take *record)
{
    struct taking taking = {.from = links_find(&router->links, record->from), .to = link};
    bool too_many;
    const char *why;

    if (read_pairs(&taking, record->sockets, &too_many) < 0)
        return ERROR_MALFORMED;
    if (!link_out(link)) {
        router->counters.takes_refused++;
        return 0; /* behind: its next link knows of no such socket, and it asks again */
    }
    why = too_many ? "too many sockets" : objection(&taking);
    if (why) {
        router->counters.takes_refused++;
        log_debug("sockets can't move", "gateway=%s from=%llx why=\"%s\"", link->name,
                  (unsigned long long)record->from, why);
    } else {
        router->counters.takes++;
        put_given(&taking, record->number);
        move(router, &taking);
        link_split(&router->links, taking.from);
    }
    wire_put_taken(link_out(link), &(struct wire_taken){.number = record->number, .ok = !why});
    return 0;
}
