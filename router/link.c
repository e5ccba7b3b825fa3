/*
 * The gateways among the peers; see link.h.  The router calls it once a turn to send.  Its one surprising
 * rule: what is not for a live gateway is dropped without a word, because its next link asks for everything
 * again.
 */
#include "router/link.h"

#include "common/log.h"
#include "common/memory.h"
#include "proto/rules.h"

#include <assert.h>
#include <stdlib.h>

enum { TAKEOVERS_MS = 60000 };

static const char *const state_texts[] = {"greeting", "waiting", "live", "behind", "lost"};

const char *link_state_text(enum link_state state)
{
    return state_texts[state];
}

void link_set_state(struct gateway_link *link, enum link_state state)
{
    assert(state == LINK_LOST || state == link->state + 1);
    link->state = state;
}

/* -- life of a link --------------------------------------------------------------------------- */

static void free_link(struct peer *peer)
{
    struct gateway_link *link = (struct gateway_link *)peer;

    session_set_done(&link->sessions);
    wire_list_done(&link->done);
    wire_list_done(&link->unwelcome);
    free(link->name);
    peer_done(peer);
    free(link);
}

/* The transport is gone; the sessions stay. */
static void lose(struct links *links, struct gateway_link *link)
{
    if (link->state == LINK_LOST)
        return;
    peer_close(links->peers, &link->peer);
    link_set_state(link, LINK_LOST);
    wire_list_clear(&link->done);
}

static void remove_link(struct links *links, struct gateway_link *link, enum link_end end)
{
    uint32_t at = 0;

    lose(links, link);
    while (links->all[at] != link)
        at++;
    links->all[at] = links->all[--links->count];
    links->events->removed(links->argument, link, end);
    peer_remove(&link->peer);
}

void link_remove(struct links *links, struct gateway_link *link)
{
    remove_link(links, link, LINK_END_GONE);
}

struct gateway_link *links_find(const struct links *links, uint64_t incarnation)
{
    for (uint32_t i = 0; i < links->count; i++)
        if (links->all[i]->incarnation == incarnation)
            return links->all[i];
    return NULL;
}

/* -- sending ---------------------------------------------------------------------------------- */

static void on_lost(void *argument, struct peer *peer)
{
    struct gateway_link *link = (struct gateway_link *)peer;

    log_warn("link lost", "gateway=%s", link->name);
    lose(argument, link);
}

static void on_behind(void *argument, struct peer *peer)
{
    struct links *links = argument;
    struct gateway_link *link = (struct gateway_link *)peer;

    if (link->state != LINK_LIVE)
        return;
    log_warn("gateway is behind", "gateway=%s unacknowledged=%llu", link->name,
             (unsigned long long)peer->flow.unacknowledged_bytes);
    links->counters->links_behind++;
    wire_list_clear(&link->done);
    link_set_state(link, LINK_BEHIND);
}

/* Asks for a new link and gives this one up. */
static void resync(struct links *links, struct gateway_link *link, const char *reason)
{
    peer_resync(links->peers, &link->peer, reason);
    lose(links, link);
}

void link_done(struct gateway_link *link, uint64_t request)
{
    if (link->state == LINK_LIVE)
        wire_list_put_u64(&link->done, request);
}

void link_settle(struct gateway_link *link)
{
    if (link->done.count == 0)
        return;
    wire_put_done(&link->peer.out, &(struct wire_done){.requests = wire_list_finish(&link->done)});
    wire_list_clear(&link->done);
}

void link_tell(struct gateway_link *link, uint64_t released)
{
    if (link->told >= released)
        return;
    wire_put_position(&link->peer.out, &(struct wire_position){.pos = released});
    link->told = released;
}

void links_flush(struct links *links, uint64_t released)
{
    links->released = released;
    for (uint32_t i = 0; i < links->count; i++) {
        struct gateway_link *link = links->all[i];

        if (link->state == LINK_LOST)
            continue;
        if (link->state == LINK_BEHIND && link->peer.flow.acknowledged == link->peer.flow.sent) {
            resync(links, link, "behind");
            continue;
        }
        link_settle(link);
        if (link->peer.out.records && link->state == LINK_LIVE)
            link_tell(link, released);
        peer_flush(links->peers, &link->peer);
    }
}

/* -- what peers call -------------------------------------------------------------------------- */

static void on_fault(void *argument, struct peer *peer, enum peer_fault fault, const char *what)
{
    struct links *links = argument;
    struct gateway_link *link = (struct gateway_link *)peer;
    bool greeting = link->state == LINK_GREETING;

    (void)fault;
    log_warn("malformed batch", "gateway=%s what=%s", link->name, what);
    resync(links, link, "malformed");
    if (greeting)
        remove_link(links, link, LINK_END_RENEWED); /* half a hello says nothing about its sockets */
}

static struct gateway_link *find_name(const struct links *links, struct bytes name)
{
    for (uint32_t i = 0; i < links->count; i++)
        if (bytes_equal_text(name, links->all[i]->name))
            return links->all[i];
    return NULL;
}

static void copy_text(char *out, size_t limit, struct bytes text)
{
    size_t length = text.length < limit ? text.length : limit;

    memcpy(out, text.data, length);
    out[length] = '\0';
}

/* A gateway that was restarted does that once; two of one name do it for as long as both run. */
static void note_takeover(struct gateway_link *link, const struct gateway_link *former, uint64_t now)
{
    bool again = former->taken_over && now - former->taken_over < TAKEOVERS_MS;

    link->takeovers = again ? former->takeovers + 1 : 1;
    link->taken_over = now;
    if (again)
        log_error(
            "processes take one gateway's name from each other: give each gateway a name of its own, unless "
            "one restarts again and again",
            "gateway=%s takeovers=%u incarnation=%llx address=%s former_incarnation=%llx former_address=%s",
            link->name, link->takeovers, (unsigned long long)link->incarnation, link->address,
            (unsigned long long)former->incarnation, former->address);
    else
        log_warn("another process takes over a gateway's name: fine if it was restarted",
                 "gateway=%s incarnation=%llx address=%s former_incarnation=%llx former_address=%s",
                 link->name, (unsigned long long)link->incarnation, link->address,
                 (unsigned long long)former->incarnation, former->address);
}

static void succeed(struct links *links, struct gateway_link *link, struct gateway_link *former)
{
    bool same = former->incarnation == link->incarnation;

    if (!same && former->state != LINK_LOST) {
        note_takeover(link, former, loop_now(links->peers->loop));
    } else {
        link->takeovers = former->takeovers;
        link->taken_over = former->taken_over;
    }
    remove_link(links, former, same ? LINK_END_RENEWED : LINK_END_SUCCEEDED);
}

static const struct peer_kind gateway_kind;

static struct peer *on_greet(void *argument, struct bytes routing, struct wire_reader *reader,
                             const char **refusal)
{
    struct links *links = argument;
    struct gateway_link *link, *former;
    struct wire_hello hello;

    (void)routing;
    if (wire_get_hello(reader, &hello) < 0 || !room_name_valid(hello.name) ||
        hello.epoch.length > LINK_EPOCH_MAX)
        return NULL;
    if (!peers_version_fits(links->peers, hello.minor, hello.name, hello.program_version, refusal))
        return NULL;
    former = find_name(links, hello.name);
    if (!former && links->count >= links->settings->max_gateways) {
        log_error("too many gateways", "gateway=%.*s limit=%u", BYTES_PRINTF(hello.name),
                  links->settings->max_gateways);
        *refusal = "too many gateways";
        return NULL;
    }
    link = memory_zero(1, sizeof *link);
    peer_init(&link->peer, &gateway_kind, links);
    link->peer.minor = hello.minor;
    link->name = memory_text(hello.name.data, hello.name.length);
    copy_text(link->version, LINK_VERSION_MAX, hello.program_version);
    copy_text(link->epoch, LINK_EPOCH_MAX, hello.epoch);
    copy_text(link->address, LINK_ADDRESS_MAX, bytes_from_text(peers_address(links->peers)));
    link->incarnation = hello.incarnation;
    link->pos = hello.pos;
    session_set_init(&link->sessions);
    if (former)
        succeed(links, link, former);
    links->all = memory_resize(links->all, (links->count + 1) * sizeof(struct gateway_link *));
    links->all[links->count++] = link;
    links->events->hello(links->argument, link, &hello);
    return &link->peer;
}

static int on_record(void *argument, struct peer *peer, struct wire_reader *reader, unsigned type)
{
    struct links *links = argument;

    return links->events->record(links->argument, (struct gateway_link *)peer, reader, type);
}

static void on_tick(void *argument, uint64_t now, bool stalled)
{
    struct links *links = argument;

    for (uint32_t i = links->count; i-- > 0;) {
        struct gateway_link *link = links->all[i];

        if (!stalled && now - link->peer.heard > links->settings->dead) {
            log_warn("gateway is gone", "gateway=%s sockets=%u silent_ms=%llu", link->name,
                     link->sessions.by_socket.count, (unsigned long long)(now - link->peer.heard));
            links->counters->gateways_dead++;
            link_remove(links, link);
        } else if (link->state != LINK_LOST && now - link->peer.sent >= links->settings->heartbeat) {
            if (link->state == LINK_LIVE)
                link_tell(link, links->released);
            peer_send(links->peers, &link->peer);
        }
    }
}

static const struct peer_kind gateway_kind = {
    .first = WIRE_TYPE_HELLO,
    .greet = on_greet,
    .record = on_record,
    .fault = on_fault,
    .lost = on_lost,
    .behind = on_behind,
    .tick = on_tick,
    .free = free_link,
};

/* -- all of them ------------------------------------------------------------------------------ */

void links_init(struct links *links, struct peers *peers, const struct link_events *events, void *argument)
{
    *links = (struct links){.settings = peers->settings,
                            .events = events,
                            .argument = argument,
                            .counters = peers->counters,
                            .peers = peers};
    peers_add_kind(peers, &gateway_kind, links);
}

void links_done(struct links *links)
{
    while (links->count)
        link_remove(links, links->all[0]);
    free(links->all);
    *links = (struct links){0};
}
