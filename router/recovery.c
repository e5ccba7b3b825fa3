/*
 * Judging, replay and takeover of sessions that come back; see recovery.h.  Connecting and the journal's
 * hand-back call it.  Its one surprising rule: a membership keeps the position of its join, though the
 * gateway is told that of the takeover.  If the replay never reaches the client, the next one starts from the
 * same place again.
 */
#include "router/recovery.h"

#include "common/log.h"
#include "common/memory.h"
#include "proto/json_scan.h"
#include "router/away.h"
#include "router/backed.h"
#include "router/connecting.h"
#include "router/except.h"
#include "router/membership.h"
#include "router/resync.h"
#include "router/rows.h"
#include "router/token.h"

#include <stdlib.h>

enum {
    READS_MAX = 32, /* with the journal at once; see READS_MAX in history.c */
    WAITING_MAX = 1 << 14,
    ATTEMPTS_MAX = 8, /* reads for one recovery */
    OFFSET_MAX = JOURNAL_EPOCH_LENGTH + 1 + 20,
    RECORD_OVERHEAD = 64,
};

enum outcome {
    RECOVERED,
    UNKNOWN,
    EXPIRED,
    OTHER_USER,
    FORBIDDEN,
    FOREIGN_EPOCH,
    BAD_OFFSET,
    TOO_MANY,
    UNREADABLE,
    BUSY,
};

#define FIELD(name) offsetof(struct counters, name)

/* discards: the old session is of no use to anybody any more. */
static const struct {
    const char *text;
    size_t counter;
    bool discards;
} outcomes[] = {
    [RECOVERED] = {"recovered", FIELD(recovered), false},
    [UNKNOWN] = {"unknown", FIELD(recoveries_unknown), false},
    [EXPIRED] = {"expired", FIELD(recoveries_expired), false},
    [OTHER_USER] = {"other_user", FIELD(recoveries_other_user), false},
    [FORBIDDEN] = {"forbidden", FIELD(recoveries_forbidden), true},
    [FOREIGN_EPOCH] = {"foreign_epoch", FIELD(recoveries_foreign_epoch), true},
    [BAD_OFFSET] = {"bad_offset", FIELD(recoveries_bad_offset), true},
    [TOO_MANY] = {"too_many", FIELD(recoveries_too_many), true},
    [UNREADABLE] = {"unreadable", FIELD(recoveries_unreadable), true},
    [BUSY] = {"busy", FIELD(recoveries_busy), true},
};

/* What a CONNECT says of a former session. */
struct claim {
    char pid[PID_LENGTH];
    char offset[OFFSET_MAX];
    size_t offset_length; /* 0: no event has come yet */
    bool named;           /* there is a pid, whatever it is */
    bool valid;           /* and it is a text as pids are */
    bool offset_valid;
};

struct recovery {
    struct ticket ticket;         /* must stay first; its session is the fresh one */
    struct journal_change change; /* the old one's next generation */
    struct journal_read read;
    struct recovery *next; /* of those that the journal does not have yet */
    struct router *router;
    struct session *fresh, *old; /* held */
    struct gateway_link *link;   /* held */
    struct namespace *namespace; /* held: the read's */
    uint64_t request;
    uint64_t offset;                   /* 0: none */
    struct journal_missed_room *rooms; /* of the read; behind them their names */
    unsigned attempts;
    size_t auth_length;
    char auth[];
};

static void count(struct router *router, enum outcome outcome)
{
    ++*(uint64_t *)((char *)&router->counters + outcomes[outcome].counter);
    log_debug("recovery", "result=%s", outcomes[outcome].text);
}

/* -- judging ---------------------------------------------------------------------------------- */

static struct claim read_claim(struct bytes auth)
{
    struct json_value object, value;
    struct claim claim = {.offset_valid = true};
    size_t length;

    if (auth.length == 0 || json_scan(auth, &object) < 0 ||
        json_object_find(object, "pid", &value) == ERROR_NOT_FOUND)
        return claim;
    claim.named = true;
    claim.valid = json_object_find(object, "pid", &value) == 0 &&
                  json_string_decode(value, claim.pid, sizeof claim.pid, &length) == 0 &&
                  length == PID_LENGTH;
    if (json_object_find(object, "offset", &value) == ERROR_NOT_FOUND || value.kind == JSON_NULL)
        return claim;
    claim.offset_valid =
        value.kind == JSON_STRING &&
        json_string_decode(value, claim.offset, sizeof claim.offset, &claim.offset_length) == 0;
    return claim;
}

/* In a time that tells nothing about where they differ. */
static bool same_secret(struct bytes a, const char *b)
{
    unsigned char difference = 0;

    for (size_t i = 0; i < a.length; i++)
        difference |= (unsigned char)(a.data[i] ^ b[i]);
    return difference == 0;
}

/* Whether the client that connects is the one that the session belongs to. */
static bool same_user(const struct session *old, const struct session *fresh)
{
    return bytes_equal(grant_sub(old->grant), grant_sub(fresh->grant));
}

static enum outcome judge_offset(const struct router *router, const struct claim *claim, uint64_t *pos)
{
    struct bytes text = bytes_make(claim->offset, claim->offset_length);
    struct bytes epoch = bytes_from_text(journal_epoch(router->journal));
    unsigned long long number;

    *pos = 0;
    if (!claim->offset_valid)
        return BAD_OFFSET;
    if (text.length == 0)
        return RECOVERED;
    if (text.length <= epoch.length || text.data[epoch.length] != '.' ||
        bytes_parse_u64(bytes_make(text.data + epoch.length + 1, text.length - epoch.length - 1), &number) <
            0)
        return BAD_OFFSET;
    if (!bytes_starts_with(text, epoch))
        return FOREIGN_EPOCH;
    if (number > router->released)
        return BAD_OFFSET;
    *pos = number;
    return RECOVERED;
}

static enum outcome judge(const struct router *router, const struct session *fresh, const struct claim *claim,
                          struct session **old, uint64_t *offset)
{
    struct bytes sid = bytes_make(claim->pid, SID_LENGTH);
    struct session *session = claim->valid ? sessions_find_sid(&router->sessions, sid) : NULL;

    if (!session && claim->valid && away_expired(router, sid))
        return EXPIRED;
    if (!session || session == fresh || !session_recoverable(session) || !session->told ||
        session->namespace != fresh->namespace ||
        !same_secret(session_secret(session), claim->pid + SID_LENGTH))
        return UNKNOWN;
    if (!same_user(session, fresh))
        return OTHER_USER;
    *old = session;
    return judge_offset(router, claim, offset);
}

/* -- what was missed -------------------------------------------------------------------------- */

/* What it got last, or was shown no more than. */
static uint64_t start_after(const struct recovery *recovery, uint64_t joined_pos)
{
    return recovery->offset > joined_pos ? recovery->offset : joined_pos;
}

static uint64_t start_in(const struct recovery *recovery, const struct membership *membership)
{
    uint64_t start = start_after(recovery, membership->joined_pos);
    const struct quiet *quiet = membership->quiet;

    return quiet && start >= quiet->from && start < quiet->to ? quiet->to : start;
}

/* The position beyond which something may have been missed; that of the log's end when nothing was. */
static uint64_t earliest(const struct recovery *recovery)
{
    const struct session *old = recovery->old;
    uint64_t from = recovery->router->released;
    uint64_t start = start_after(recovery, old->connected_pos);

    if ((old->namespace->last_pos > start || old->self_pos > start) && start < from)
        from = start;
    for (uint16_t i = 0; i < old->room_count; i++) {
        const struct membership *membership = &session_rooms(old)[i];

        start = start_in(recovery, membership);
        if (membership->member && membership->room->last_pos > start && start < from)
            from = start;
    }
    return from;
}

static const struct membership *find_membership(const struct session *session, const struct room *room)
{
    for (uint16_t i = 0; i < session->room_count; i++)
        if (session_rooms(session)[i].room == room)
            return session_rooms(session)[i].member ? &session_rooms(session)[i] : NULL;
    return NULL;
}

/* room: the message's; NULL when the router has none of that name. */
static bool missed(const struct recovery *recovery, const struct journal_message *fields,
                   const struct room *room)
{
    const struct session *old = recovery->old;
    bool is_own = bytes_equal(fields->sender_sid, session_sid(old));
    const struct membership *membership;

    if (except_session(fields->except, old, fields->pos))
        return false;
    if (fields->deliver == DELIVER_NAMESPACE || fields->deliver == DELIVER_SELF)
        return fields->pos > start_after(recovery, old->connected_pos) &&
               (fields->deliver == DELIVER_NAMESPACE || is_own);
    membership = room ? find_membership(old, room) : NULL;
    return membership && fields->pos > start_after(recovery, membership->joined_pos) &&
           (fields->deliver == DELIVER_ROOM || !is_own);
}

/* The missed ones among what was read and what memory has beyond that, oldest first. */
struct walk {
    const struct recovery *recovery;
    const struct journal_read *read; /* or NULL */
    size_t at;                       /* in read */
    uint32_t next;                   /* in memory */
};

static struct walk walk_start(const struct recovery *recovery, const struct journal_read *read, uint64_t from)
{
    return (struct walk){recovery, read, 0, recent_after(&recovery->router->recent, from)};
}

static const struct journal_message *walk_next(struct walk *walk)
{
    struct router *router = walk->recovery->router;
    const struct namespace *namespace = walk->recovery->old->namespace;

    while (walk->read && walk->at < walk->read->count) {
        const struct journal_message *fields = &walk->read->messages[walk->at++];

        if (bytes_equal(fields->namespace, namespace->name) &&
            missed(walk->recovery, fields, rooms_find(&router->rooms, namespace, fields->room)))
            return fields;
    }
    while (walk->next < router->recent.count) {
        const struct ticket *ticket = &recent_at(&router->recent, walk->next++)->ticket;

        if (ticket->room->namespace == namespace &&
            missed(walk->recovery, &ticket->entry.message, ticket->room))
            return &ticket->entry.message;
    }
    return NULL;
}

/* Whether so much can be replayed. */
static bool fits(const struct router *router, struct walk walk)
{
    const struct journal_message *fields;
    uint64_t messages = 0, bytes = 0;

    while ((fields = walk_next(&walk))) {
        bytes +=
            RECORD_OVERHEAD + fields->event.length + fields->arguments.length + fields->attachments.length;
        if (fields->meta)
            bytes += RECORD_OVERHEAD + fields->room.length + fields->publish_id.length +
                     fields->sender_name.length;
        if (++messages > router->settings->recovery_max_messages ||
            bytes > router->settings->recovery_max_bytes)
            return false;
    }
    return true;
}

/* -- the end ---------------------------------------------------------------------------------- */

static void free_recovery(struct recovery *recovery)
{
    journal_read_free(&recovery->read);
    free(recovery->rooms);
    namespace_release(&recovery->router->namespaces, recovery->namespace);
    session_release(recovery->old);
    session_release(recovery->fresh);
    link_release(recovery->link);
    free(recovery);
}

/* The claim on the old session (NULL when there is none) comes to nothing. */
static void reject(struct router *router, struct session *old, enum outcome outcome)
{
    count(router, outcome);
    if (!outcomes[outcome].discards || old->gone)
        return;
    if (old->link)
        resync_close_older(old);
    away_discard(router, old);
}

/* The client gets a session of its own, and nothing of the old one. */
static void fail(struct recovery *recovery, enum outcome outcome)
{
    struct router *router = recovery->router;

    reject(router, recovery->old, outcome);
    recovery->fresh->recovering = false;
    connecting_begin(router, recovery->fresh, recovery->request,
                     bytes_make(recovery->auth, recovery->auth_length));
}

static void take_room(struct router *router, struct session *session, const struct membership *membership)
{
    membership_put_joined(session, membership, router->released);
    if (membership->watch)
        room_announce_again(&router->rooms, membership->room); /* it has missed some of that, too */
}

/* The old session's socket is this one from now on; its records stand in one batch. */
static void take_over(struct recovery *recovery, struct walk walk)
{
    struct router *router = recovery->router;
    struct session *old = recovery->old;
    struct gateway_link *link = recovery->link;
    struct wire_batch *out = link_out(link);
    uint64_t socket = recovery->fresh->socket;
    const char *epoch = router_epoch_for(router, old->namespace);
    const struct journal_message *fields;

    count(router, RECOVERED);
    link_split(&router->links, link);
    session_set_grant(old, recovery->fresh->grant);
    recovery->fresh->grant = NULL;
    session_remove(&router->sessions, &link->sessions, recovery->fresh);
    if (old->link)
        resync_close_older(old);
    away_displace(router, old);
    while ((fields = walk_next(&walk))) {
        buffer_clear(&router->scratch);
        message_append_payload(&router->scratch, fields, epoch);
        wire_put_emit(out,
                      &(struct wire_emit){.socket = socket,
                                          .flags = WIRE_DELIVER_REPLAY | message_payload_flags(fields, epoch),
                                          .payload = buffer_bytes(&router->scratch),
                                          .attachments = fields->attachments});
        router->counters.recovered_messages++;
    }
    session_attach(&router->sessions, &link->sessions, link, socket, old);
    old->generation++;
    old->unsaved |= old->generation != recovery->change.session.generation;
    for (uint16_t i = 0; i < old->room_count; i++)
        take_room(router, old, &session_rooms(old)[i]);
    connecting_put_connected(router, old, recovery->request, true);
    backed_recovered(router, old);
    link_split(&router->links, link);
    if (old->unsaved)
        rows_save(router, old);
}

/* Whether it is in a room that the token with which its client came back does not allow. */
static bool is_forbidden(const struct recovery *recovery)
{
    const struct session *old = recovery->old;

    for (uint16_t i = 0; i < old->room_count; i++)
        if (token_excludes(recovery->router, old, recovery->fresh->grant,
                           room_name(session_rooms(old)[i].room)))
            return true;
    return false;
}

/* Everything is at hand: what was read (may be NULL), and what memory has beyond `from`. */
static void finish(struct recovery *recovery, const struct journal_read *read, uint64_t from)
{
    struct router *router = recovery->router;
    struct walk walk = walk_start(recovery, read, from);

    if (is_forbidden(recovery))
        fail(recovery, FORBIDDEN);
    else if (fits(router, walk))
        take_over(recovery, walk);
    else
        fail(recovery, TOO_MANY);
}

/* Whether the socket is still there to be answered. */
static bool is_wanted(const struct recovery *recovery)
{
    return !recovery->fresh->gone && link_out(recovery->link);
}

/* It is not: the session stays as it was.  If the link is merely broken, the gateway asks again. */
static void abandon(struct recovery *recovery)
{
    if (!recovery->old->gone && !recovery->router->closing)
        rows_save(recovery->router, recovery->old); /* its generation */
}

static enum outcome gone_as(const struct recovery *recovery)
{
    return away_expired(recovery->router, session_sid(recovery->old)) ? EXPIRED : UNKNOWN;
}

/* -- reading ---------------------------------------------------------------------------------- */

static bool start_read(struct recovery *recovery);

static void on_read(struct journal_read *read, void *argument)
{
    struct recovery *recovery = argument;
    struct router *router = recovery->router;
    bool again = false;

    router->recovery_reads--;
    router->recoveries_waiting--;
    if (!is_wanted(recovery))
        abandon(recovery);
    else if (recovery->old->gone)
        fail(recovery, gone_as(recovery));
    else if (read->result)
        fail(recovery, UNREADABLE);
    else if (!read->complete)
        fail(recovery, TOO_MANY);
    else if (read->last >= router->recent.floor)
        finish(recovery, read, read->last);
    else
        again = start_read(recovery); /* memory has moved on meanwhile */
    if (!again)
        free_recovery(recovery);
    recovery_continue(router);
}

/* The rooms that may have something, and what is found under the session's own sid. */
static size_t list_rooms(struct recovery *recovery)
{
    const struct session *old = recovery->old;
    uint64_t connected = start_after(recovery, old->connected_pos);
    size_t bytes = 0, count = 0;
    char *names;

    for (uint16_t i = 0; i < old->room_count; i++)
        bytes += room_name(session_rooms(old)[i].room).length;
    free(recovery->rooms);
    recovery->rooms = memory_new((old->room_count + (size_t)1) * sizeof *recovery->rooms + bytes);
    names = (char *)(recovery->rooms + old->room_count + 1);
    if (old->self_pos > connected)
        recovery->rooms[count++] = (struct journal_missed_room){session_sid(old), connected};
    for (uint16_t i = 0; i < old->room_count; i++) {
        const struct membership *membership = &session_rooms(old)[i];
        uint64_t start = start_in(recovery, membership);
        struct bytes name = room_name(membership->room);

        if (!membership->member || membership->room->last_pos <= start)
            continue;
        memcpy(names, name.data, name.length);
        recovery->rooms[count++] = (struct journal_missed_room){bytes_make(names, name.length), start};
        names += name.length;
    }
    return count;
}

/* Its own messages are read, too, and passed over: so it may be somewhat more than can be replayed. */
static void describe_read(struct recovery *recovery)
{
    const struct router *router = recovery->router;
    size_t count = list_rooms(recovery);

    recovery->read =
        (struct journal_read){.kind = JOURNAL_READ_MISSED,
                              .namespace = recovery->namespace->name,
                              .room_count = count,
                              .rooms = recovery->rooms,
                              .namespace_from = start_after(recovery, recovery->old->connected_pos),
                              .limit = router->settings->recovery_max_messages * 2,
                              .last = router->released,
                              .max_bytes = router->settings->recovery_max_bytes * 2ULL,
                              .done = on_read,
                              .argument = recovery};
}

void recovery_continue(struct router *router)
{
    struct recovery *recovery;

    while ((recovery = router->recoveries) && router->recovery_reads < READS_MAX) {
        describe_read(recovery);
        if (journal_read(router->journal, &recovery->read))
            return; /* others have taken its places; each that ends makes room */
        router->recoveries = recovery->next;
        router->recovery_reads++;
    }
}

/* Queues a read.  False when the recovery has failed instead. */
static bool start_read(struct recovery *recovery)
{
    struct router *router = recovery->router;

    journal_read_free(&recovery->read);
    if (router->recoveries_waiting >= WAITING_MAX || ++recovery->attempts > ATTEMPTS_MAX) {
        fail(recovery, BUSY);
        return false;
    }
    recovery->next = NULL;
    if (router->recoveries)
        router->last_recovery->next = recovery;
    else
        router->recoveries = recovery;
    router->last_recovery = recovery;
    router->recoveries_waiting++;
    return true;
}

void recovery_release(struct router *router, struct ticket *ticket)
{
    struct recovery *recovery = (struct recovery *)ticket;

    if (!recovery->old->gone)
        rows_note(router, recovery->old, ticket);
    if (!is_wanted(recovery))
        abandon(recovery);
    else if (recovery->old->gone)
        fail(recovery, gone_as(recovery));
    else if (earliest(recovery) >= router->recent.floor)
        finish(recovery, NULL, earliest(recovery));
    else if (start_read(recovery))
        return; /* the turn's end hands it over */
    free_recovery(recovery);
}

void recovery_drop(struct router *router, struct ticket *ticket)
{
    (void)router;
    free_recovery((struct recovery *)ticket);
}

bool recovery_begin(struct router *router, struct session *fresh, const struct wire_connect *record)
{
    struct claim claim;
    struct recovery *recovery;
    struct session *old = NULL;
    enum outcome outcome;
    uint64_t offset = 0;

    if (!fresh->namespace->config->recovery)
        return false;
    claim = read_claim(record->auth);
    if (!claim.named)
        return false;
    outcome = judge(router, fresh, &claim, &old, &offset);
    if (outcome != RECOVERED) {
        reject(router, old, outcome);
        return false;
    }
    recovery = memory_zero(1, sizeof *recovery + record->auth.length);
    recovery->router = router;
    recovery->fresh = session_hold(fresh);
    fresh->recovering = true;
    recovery->old = session_hold(old);
    recovery->link = link_hold(fresh->link);
    recovery->namespace = namespace_hold(old->namespace);
    recovery->request = record->request;
    recovery->offset = offset;
    recovery->auth_length = record->auth.length;
    memcpy(recovery->auth, record->auth.data, record->auth.length);
    recovery->change.kind = JOURNAL_SESSION_GENERATION;
    recovery->change.session.id = old->serial;
    recovery->change.session.generation = old->generation + 1;
    recovery->ticket.entry.kind = JOURNAL_CHANGE;
    recovery->ticket.entry.change = &recovery->change;
    router_submit(router, &recovery->ticket, TICKET_RECOVER, fresh->link, NULL, record->socket,
                  record->request);
    return true;
}

void recovery_done(struct router *router)
{
    struct recovery *recovery;

    while ((recovery = router->recoveries)) {
        router->recoveries = recovery->next;
        free_recovery(recovery);
    }
}
