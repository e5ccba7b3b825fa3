/*
 * Hello and replay; see resync.h.  The dispatcher and the journal's hand-back call it.  Its one surprising
 * rule: nothing is queued for a link that waits for its replay.  When the journal has read what memory lacks,
 * the newer part comes from memory in one go, up to this very moment, and the link is live.
 */
#include "router/resync.h"

#include "common/log.h"
#include "common/memory.h"
#include "router/away.h"
#include "router/backed.h"
#include "router/except.h"
#include "router/orders.h"
#include "router/pass.h"
#include "router/reply.h"
#include "router/rows.h"

#include <assert.h>
#include <stdlib.h>

enum { REPLAYS_MAX = 64, RECORD_OVERHEAD = 64 };

/* A read of what memory no longer has. */
struct replay_read {
    struct journal_read read; /* must stay first */
    struct router *router;
    struct gateway_link *link; /* held */
};

/* -- the hello -------------------------------------------------------------------------------- */

void resync_hello(struct router *router, struct gateway_link *link, const struct wire_hello *record)
{
    if (record->rules_digest == namespaces_digest(&router->settings->namespaces))
        return;
    router->counters.digests++;
    log_warn("gateway has other event rules", "gateway=%s", link->name);
}

static void turn_away(struct router *router, struct gateway_link *link, uint64_t socket)
{
    router->counters.sockets_skipped++;
    wire_list_put_u64(&link->unwelcome, socket);
}

/* Such a name stands for no user: ids of clients must not count for it. */
static bool is_anonymous(const struct wire_socket *record)
{
    struct bytes prefix = BYTES("anon:");

    return bytes_starts_with(record->from, prefix) &&
           bytes_equal(bytes_make(record->from.data + prefix.length, record->from.length - prefix.length),
                       record->sid);
}

void resync_close_older(const struct session *session)
{
    struct gateway_link *link = session->link;
    struct wire_batch *out = link_out(link);

    if (out)
        wire_put_close(
            out, &(struct wire_close){.socket = session->socket, .reason = BYTES("taken over"), .final = 0});
    else if (link->state == LINK_GREETING || link->state == LINK_WAITING)
        wire_list_put_u64(&link->unwelcome, session->socket);
}

static struct session *take_new(struct router *router, struct gateway_link *link,
                                const struct wire_socket *record, struct namespace *namespace,
                                struct bytes from)
{
    struct session *session =
        session_new(&router->sessions, &link->sessions, link, record->socket, namespace, record->sid, from);

    assert(session); /* number and sid are free */
    session->self_pos = LAST_POS_UNKNOWN;
    return session;
}

/*
 * A session of that sid is here already: it goes on with this socket, unless the one that it has is as young,
 * or its client has gone on with a younger one.  What else the hello says of it is true.  NULL when it was
 * turned away.
 */
static struct session *take_known(struct router *router, struct gateway_link *link,
                                  const struct wire_socket *record, struct namespace *namespace,
                                  struct bytes from, struct session *session)
{
    if (record->generation > UINT32_MAX || record->generation < session->generation ||
        (session->link && record->generation == session->generation)) {
        turn_away(router, link, record->socket);
        return NULL;
    }
    if (session->link)
        resync_close_older(session);
    if (!session_recoverable(session) || !session->told || session->namespace != namespace ||
        !bytes_equal(grant_sub(session->grant), from)) {
        away_discard(router, session);
        session = take_new(router, link, record, namespace, from);
    } else {
        away_displace(router, session);
        session_attach(&router->sessions, &link->sessions, link, record->socket, session);
        session->unsaved |= session->generation != record->generation;
        for (uint16_t i = 0; i < session->room_count; i++)
            session_rooms(session)[i].unconfirmed = true;
    }
    session->generation = (uint32_t)record->generation;
    return session;
}

/* Who it is: as its grant says, if it has one. */
static struct bytes user_of(const struct wire_socket *record, const struct grant *grant)
{
    if (grant)
        return grant_sub(grant);
    return is_anonymous(record) ? (struct bytes){0} : record->from;
}

static int take_socket(struct router *router, struct gateway_link *link, const struct wire_socket *record,
                       struct grant *grant)
{
    struct bytes from = user_of(record, grant);
    struct namespace *namespace;
    struct session *session;

    if (record->sid.length != SID_LENGTH || !room_name_valid(record->sid) || record->socket == 0 ||
        (record->from.length && !room_name_valid(record->from)))
        return ERROR_PROTOCOL;
    link->greeted++;
    if (session_find(&link->sessions, record->socket))
        return ERROR_PROTOCOL;
    if (namespace_open(&router->namespaces, record->namespace, &namespace) < 0) {
        turn_away(router, link, record->socket);
        grant_free(grant);
        return 0;
    }
    session = sessions_find_sid(&router->sessions, record->sid);
    if (session) {
        session = take_known(router, link, record, namespace, from, session);
    } else {
        session = take_new(router, link, record, namespace, from);
        if (record->generation <= UINT32_MAX)
            session->generation = (uint32_t)record->generation;
    }
    if (session)
        session_set_grant(session, grant);
    else
        grant_free(grant);
    namespace_release(&router->namespaces, namespace); /* the session holds it */
    return 0;
}

int resync_socket(struct router *router, struct gateway_link *link, const struct wire_socket *record)
{
    struct grant *grant = NULL;
    int result;

    if (record->grant.length && grant_parse(&router->sessions.grants, record->grant, &grant) < 0)
        return ERROR_MALFORMED;
    result = take_socket(router, link, record, grant);
    if (result < 0)
        grant_free(grant);
    return result;
}

/* What was joined under an earlier, higher limit stays, or that gateway's hello could never pass. */
static int take_member(struct router *router, struct session *session, const struct wire_members *record,
                       uint64_t joined_pos, bool watch)
{
    struct membership *membership = session_membership(session, record->room);

    if (!bytes_equal(session->namespace->name, record->namespace) ||
        (membership && !membership->unconfirmed) ||
        (!membership && session->room_count >= ROOMS_PER_CONNECTION_MAX))
        return ERROR_PROTOCOL;
    if (!membership) {
        membership =
            session_add_membership(session, rooms_get(&router->rooms, session->namespace, record->room));
        membership->wanted = true;
        membership->joined_pos = joined_pos;
        membership->room->last_pos = LAST_POS_UNKNOWN;
        session->unsaved = true;
    }
    session->unsaved |= membership->watch != watch || joined_pos < membership->joined_pos;
    /* A gateway knows a recovered socket's membership from the recovery on, and its client may have got
       nothing of what was replayed then. */
    if (joined_pos < membership->joined_pos)
        membership->joined_pos = joined_pos;
    membership->unconfirmed = false;
    session_enter(&router->sessions, session, membership, joined_pos, watch);
    return 0;
}

/* The hello names all rooms of its sockets: others were left, and rows are brought in line. */
static void settle(struct router *router, struct session *session)
{
    for (uint16_t i = session->room_count; i-- > 0;) {
        struct membership *membership = &session_rooms(session)[i];

        if (!membership->unconfirmed)
            continue;
        membership->wanted = membership->unconfirmed = false;
        session_exit(&router->sessions, session, membership);
        session_tidy(&router->sessions, session, membership);
        session->unsaved = true;
    }
    if (session->unsaved)
        rows_save(router, session);
}

int resync_members(struct router *router, struct gateway_link *link, const struct wire_members *record)
{
    struct wire_reader list;
    int count = wire_list_open(&list, record->members);

    if (count < 0 || count % 3 || !room_name_valid(record->room))
        return ERROR_MALFORMED;
    for (; count > 0; count -= 3) {
        uint64_t socket, joined_pos, watch;
        struct session *session;
        int result;

        if (wire_list_u64(&list, &socket) < 0 || wire_list_u64(&list, &joined_pos) < 0 ||
            wire_list_u64(&list, &watch) < 0)
            return ERROR_MALFORMED;
        session = session_find(&link->sessions, socket);
        if (!session)
            continue; /* one of the unwelcome */
        result = take_member(router, session, record, joined_pos, watch);
        if (result)
            return result;
    }
    return 0;
}

int resync_hello_end(struct router *router, struct gateway_link *link, const struct wire_hello_end *record)
{
    struct session *session;
    uint32_t cursor = 0;

    if (record->sockets != link->greeted)
        return ERROR_PROTOCOL;
    while ((session = table_next(&link->sessions.by_socket, &cursor)))
        settle(router, session);
    link_set_state(link, LINK_WAITING);
    router_submit(router, memory_zero(1, sizeof(struct ticket)), TICKET_HELLO, link, NULL, 0, 0);
    return 0;
}

void resync_forget(struct router *router, struct gateway_link *link, enum link_end end)
{
    const char *reason = link->leaving ? "server shutting down" : "transport close";
    uint32_t count = link->sessions.by_socket.count;
    struct session **all = memory_new((count + 1) * sizeof(struct session *));
    uint32_t cursor = 0;

    /* The table must not change under the walk. */
    for (uint32_t i = 0; i < count; i++)
        all[i] = table_next(&link->sessions.by_socket, &cursor);
    for (uint32_t i = 0; i < count; i++) {
        if (end == LINK_END_RENEWED)
            backed_suspend(router, all[i]);
        else
            backed_lost(router, all[i], reason);
        away_begin(router, all[i]);
    }
    free(all);
    if (end != LINK_END_RENEWED)
        backed_gateway_gone(router, link->incarnation, reason);
}

/* -- replay ----------------------------------------------------------------------------------- */

/* The number of the request that made a message under an id of this gateway's incarnation; 0 for any other.
 * A client's own id may look like one: ids that gateways make are shown to everyone.
 */
static uint64_t request_of(const struct gateway_link *link, const struct journal_message *fields)
{
    struct bytes id = fields->publish_id;
    uint64_t numbers[2] = {0, 0};
    unsigned at = 0;

    if (fields->own_id)
        return 0;
    for (size_t i = 0; i < id.length; i++) {
        char c = id.data[i];

        if (c == '-' && at == 0 && i > 0)
            at = 1;
        else if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))
            numbers[at] = numbers[at] << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
        else
            return 0;
    }
    return at == 1 && numbers[0] == link->incarnation ? numbers[1] : 0;
}

/* The sender's session if it is on this gateway. */
static const struct session *local_sender(const struct router *router, const struct gateway_link *link,
                                          const struct journal_message *fields)
{
    const struct session *session = sessions_find_sid(&router->sessions, fields->sender_sid);

    return session && session->link == link ? session : NULL;
}

/* What of a message a gateway must get. */
struct share {
    uint64_t request; /* to be answered; 0 for none */
    const struct session *sender;
    bool deliver;
};

static struct share share_of(const struct router *router, const struct gateway_link *link,
                             const struct journal_message *fields)
{
    const struct namespace *namespace = namespace_find(&router->namespaces, fields->namespace);
    struct share share = {.request = request_of(link, fields)};
    const struct room *room;

    if (!namespace)
        return share;
    switch (fields->deliver) {
    case DELIVER_ROOM:
    case DELIVER_OTHERS:
        room = rooms_find(&router->rooms, namespace, fields->room);
        share.deliver = room && room_find_link(room, link);
        if (share.deliver && fields->deliver == DELIVER_OTHERS)
            share.sender = local_sender(router, link, fields);
        break;
    case DELIVER_SELF:
        share.sender = local_sender(router, link, fields);
        share.deliver = share.sender && !except_session(fields->except, share.sender, fields->pos);
        break;
    case DELIVER_NAMESPACE:
        share.deliver = namespace_has_link(namespace, link);
        break;
    }
    return share;
}

static size_t cost_of(const struct router *router, const struct gateway_link *link,
                      const struct journal_message *fields)
{
    struct share share = share_of(router, link, fields);
    size_t names = fields->namespace.length + fields->room.length * 2 + fields->publish_id.length;

    if (!share.deliver)
        return share.request ? RECORD_OVERHEAD + names : 0;
    return RECORD_OVERHEAD * 3 + names + fields->event.length + fields->sender_name.length +
           fields->arguments.length + fields->attachments.length + fields->except.length;
}

static void put_delivery(struct gateway_link *link, const struct journal_message *fields, uint64_t flags,
                         uint64_t except, struct bytes payload)
{
    if (fields->except.length)
        wire_put_cast(&link->peer.out, &(struct wire_cast){.pos = fields->pos,
                                                           .namespace = fields->namespace,
                                                           .room = fields->room,
                                                           .flags = flags,
                                                           .except = fields->except,
                                                           .payload = payload,
                                                           .attachments = fields->attachments});
    else
        wire_put_deliver(&link->peer.out, &(struct wire_deliver){.pos = fields->pos,
                                                                 .namespace = fields->namespace,
                                                                 .room = fields->room,
                                                                 .flags = flags,
                                                                 .except = except,
                                                                 .payload = payload,
                                                                 .attachments = fields->attachments});
    link->told = fields->pos;
}

static void replay(struct router *router, struct gateway_link *link, const struct journal_message *fields)
{
    struct share share = share_of(router, link, fields);
    const char *epoch = router_epoch_for(router, namespace_find(&router->namespaces, fields->namespace));
    uint64_t flags = WIRE_DELIVER_REPLAY | message_payload_flags(fields, epoch);
    struct buffer *scratch = &router->scratch;

    if (share.request) {
        buffer_clear(scratch);
        message_append_answer(scratch, fields);
        wire_put_answer(&link->peer.out,
                        &(struct wire_answer){.request = share.request, .answer = buffer_bytes(scratch)});
    }
    if (!share.deliver)
        return;
    router->counters.replayed++;
    buffer_clear(scratch);
    message_append_payload(scratch, fields, epoch);
    if (fields->deliver == DELIVER_SELF) {
        wire_put_emit(&link->peer.out, &(struct wire_emit){.socket = share.sender->socket,
                                                           .flags = flags,
                                                           .payload = buffer_bytes(scratch),
                                                           .attachments = fields->attachments});
        link_tell(link, fields->pos);
    } else {
        if (fields->deliver == DELIVER_NAMESPACE)
            flags |= WIRE_DELIVER_NAMESPACE;
        put_delivery(link, fields, flags, share.sender ? share.sender->socket : 0, buffer_bytes(scratch));
    }
}

static void announce_watched(struct router *router, struct gateway_link *link)
{
    const struct session *session;
    uint32_t cursor = 0;

    while ((session = table_next(&link->sessions.by_socket, &cursor)))
        for (uint16_t i = 0; i < session->room_count; i++)
            if (session_rooms(session)[i].watch)
                room_announce_again(&router->rooms, session_rooms(session)[i].room);
}

static void put_welcome(struct router *router, struct gateway_link *link, bool resume)
{
    wire_put_welcome(&link->peer.out,
                     &(struct wire_welcome){.epoch = bytes_from_text(journal_epoch(router->journal)),
                                            .head = router->released,
                                            .resume = resume,
                                            .rules_digest = namespaces_digest(&router->settings->namespaces),
                                            .minor = WIRE_MINOR,
                                            .program_version = BYTES(HUBBUB_VERSION)});
    link->told = resume ? link->pos : router->released;
}

static void close_unwelcome(struct gateway_link *link)
{
    struct wire_reader list;
    uint64_t socket;
    int count = link->unwelcome.count ? wire_list_open(&list, wire_list_finish(&link->unwelcome)) : 0;

    while (count-- > 0 && wire_list_u64(&list, &socket) == 0)
        wire_put_close(&link->peer.out,
                       &(struct wire_close){.socket = socket, .reason = BYTES("not taken over"), .final = 0});
    wire_list_done(&link->unwelcome);
}

static void go_live(struct router *router, struct gateway_link *link, bool resumed)
{
    wire_put_live(&link->peer.out, &(struct wire_live){.pos = router->released});
    link->told = router->released;
    link_set_state(link, LINK_LIVE);
    close_unwelcome(link);
    orders_live(router, link);
    announce_watched(router, link);
    pass_back(router, link);
    backed_link_live(router, link);
    link_split(&router->links, link);
    log_info("gateway is live", "gateway=%s version=%s protocol=%d.%llu sockets=%u pos=%llu resumed=%d",
             link->name, link->version, WIRE_MAJOR, (unsigned long long)link->peer.minor,
             link->sessions.by_socket.count, (unsigned long long)router->released, resumed);
}

static void start_afresh(struct router *router, struct gateway_link *link, const char *why)
{
    log_warn("gateway can't be resumed", "gateway=%s why=%s pos=%llu head=%llu", link->name, why,
             (unsigned long long)link->pos, (unsigned long long)router->released);
    router->counters.replays_impossible++;
    put_welcome(router, link, false);
    go_live(router, link, false);
}

/* Replays what was read (may be NULL), and what memory has above `from`. */
static void resume(struct router *router, struct gateway_link *link, const struct journal_read *read,
                   uint64_t from)
{
    const struct recent *recent = &router->recent;
    uint32_t first = recent_after(recent, from);
    size_t count = read ? read->count : 0;
    size_t cost = 0;

    if (from < recent->floor) {
        start_afresh(router, link, "memory moved on");
        return;
    }
    for (size_t i = 0; i < count; i++)
        cost += cost_of(router, link, &read->messages[i]);
    for (uint32_t i = first; i < recent->count; i++)
        cost += cost_of(router, link, &recent_at(recent, i)->ticket.entry.message);
    if (cost > router->settings->resync_max) {
        start_afresh(router, link, "too much to replay");
        return;
    }
    put_welcome(router, link, true);
    for (size_t i = 0; i < count && link->state == LINK_WAITING; i++) {
        replay(router, link, &read->messages[i]);
        link_split(&router->links, link);
    }
    for (uint32_t i = first; i < recent->count && link->state == LINK_WAITING; i++) {
        replay(router, link, &recent_at(recent, i)->ticket.entry.message);
        link_split(&router->links, link);
    }
    router->counters.replays++;
    if (link->state == LINK_WAITING)
        go_live(router, link, true);
}

static void range_read(struct journal_read *read, void *argument)
{
    struct replay_read *replay_read = argument;
    struct router *router = replay_read->router;
    struct gateway_link *link = replay_read->link;

    if (link->state == LINK_WAITING) {
        if (read->result == ERROR_NOT_FOUND)
            start_afresh(router, link, "the journal does not go back that far");
        else if (read->result)
            start_afresh(router, link, "the journal could not be read");
        else if (!read->complete)
            start_afresh(router, link, "too much to replay");
        else
            resume(router, link, read, read->last);
    }
    router->replays--;
    link_release(link);
    journal_read_free(read);
    free(replay_read);
}

static void read_range(struct router *router, struct gateway_link *link)
{
    struct replay_read *replay_read;

    if (router->replays >= REPLAYS_MAX) {
        start_afresh(router, link, "too many replays at once");
        return;
    }
    replay_read = memory_zero(1, sizeof *replay_read);
    replay_read->router = router;
    replay_read->link = link;
    replay_read->read = (struct journal_read){.kind = JOURNAL_READ_RANGE,
                                              .first = link->pos + 1,
                                              .last = router->released,
                                              .max_bytes = router->settings->resync_max,
                                              .done = range_read,
                                              .argument = replay_read};
    if (journal_read(router->journal, &replay_read->read)) {
        free(replay_read);
        start_afresh(router, link, "too many reads wait");
        return;
    }
    link_hold(link);
    router->replays++;
}

void resync_release(struct router *router, struct ticket *ticket)
{
    struct gateway_link *link = ticket->link;

    free(ticket);
    if (link->state != LINK_WAITING)
        return;
    if (link->epoch[0] == '\0' && link->greeted == 0) {
        /* A gateway that has seen nothing yet misses nothing. */
        link->pos = router->released;
        put_welcome(router, link, true);
        go_live(router, link, true);
    } else if (strcmp(link->epoch, journal_epoch(router->journal)) != 0) {
        start_afresh(router, link, "another epoch");
    } else if (link->pos > router->released) {
        start_afresh(router, link, "a position beyond the log");
    } else if (link->pos < router->released && link->pos + 1 < journal_tail(router->journal)) {
        start_afresh(router, link, "the journal does not go back that far");
    } else if (link->pos >= router->recent.floor) {
        resume(router, link, NULL, link->pos);
    } else {
        read_range(router, link);
    }
}
