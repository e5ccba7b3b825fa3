/*
 * Questions to other gateways, and the dispatch of theirs; see relay.h.  exchange.c and arrival.c ask,
 * router_records.c brings what others say.  The surprising rule: nothing here knows whether the link is up; a
 * question that could not be sent goes out when the link is live, like one whose answer got lost.
 */
#include "gateway/relay.h"

#include "common/memory.h"
#include "gateway/arrival.h"
#include "gateway/connection.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/http_service.h"
#include "gateway/polling.h"
#include "gateway/upgrade.h"

#include <stdlib.h>

enum {
    TICK_MS = 250,
    AGAIN_MS = 500, /* after the router said so */
    SLACK = 5000,   /* beyond what limits the waiting itself */
};

/* A question of this gateway. */
struct relay {
    uint64_t number;
    uint64_t home;
    uint64_t waiter;
    uint64_t due;      /* when the home counts as gone */
    uint64_t again_at; /* when to ask again; 0: not by time */
    struct buffer body;
    char sid[SESSION_SID_LENGTH];
    uint8_t kind;
    bool answered; /* at least in part: nothing is to be asked again */
};

static struct relay *find(struct gateway *gateway, uint64_t number)
{
    return slot_table_find(&gateway->relays.questions, number);
}

/* What keeping a question costs. */
static size_t cost(const struct relay *relay)
{
    return sizeof *relay + relay->body.length;
}

static bool is_full(const struct gateway *gateway)
{
    return gateway->relays.bytes > gateway->settings->pending_bytes;
}

static void send_question(struct gateway *gateway, struct relay *relay)
{
    relay->again_at = 0;
    link_pass(gateway->link, &(struct wire_pass){.to = relay->home,
                                                 .number = relay->number,
                                                 .kind = relay->kind,
                                                 .sid = bytes_make(relay->sid, sizeof relay->sid),
                                                 .body = buffer_bytes(&relay->body)});
}

static uint64_t deadline(const struct gateway *gateway, enum relay_kind kind)
{
    const struct gateway_settings *settings = gateway->settings;
    uint64_t now = loop_now(gateway->loop);

    switch (kind) {
    case RELAY_POLL:
        return now + settings->ping_interval + settings->ping_timeout + SLACK;
    case RELAY_BEGIN: /* its body has its own, shorter time */
        return now + settings->http_body_timeout + SLACK;
    case RELAY_CANCEL: /* until the home has heard of it, or is gone itself */
    case RELAY_ENDED:
    case RELAY_PRESENT:
        return UINT64_MAX;
    case RELAY_PROBE: /* the WebSocket has its own, shorter time for each step */
    case RELAY_SWITCH:
        return now + 2 * (uint64_t)settings->upgrade_timeout + SLACK;
    default:
        return now + settings->request_timeout;
    }
}

uint64_t relay_ask(struct gateway *gateway, uint64_t home, enum relay_kind kind, struct bytes sid,
                   struct bytes body, uint64_t waiter)
{
    struct relay *relay;

    if (is_full(gateway) && kind != RELAY_ENDED)
        return 0; /* of sessions that have ended there are no more than there were */
    relay = memory_zero(1, sizeof *relay);
    relay->home = home;
    relay->waiter = waiter;
    relay->kind = (uint8_t)kind;
    relay->due = deadline(gateway, kind);
    memcpy(relay->sid, sid.data, sizeof relay->sid);
    buffer_append_bytes(&relay->body, body);
    gateway->relays.bytes += cost(relay);
    relay->number = slot_table_add(&gateway->relays.questions, relay);
    gateway->counters.relayed++;
    send_question(gateway, relay);
    return relay->number;
}

bool relay_ask_further(struct gateway *gateway, uint64_t number, enum relay_kind kind, struct bytes body)
{
    struct relay *relay = find(gateway, number);

    if (!relay)
        return true; /* it was answered */
    if (body.length && is_full(gateway))
        return false;
    buffer_append_bytes(&relay->body, body);
    gateway->relays.bytes += body.length;
    relay->kind = (uint8_t)kind;
    relay->answered = false;
    relay->due = deadline(gateway, kind);
    send_question(gateway, relay);
    return true;
}

void relay_tell(struct gateway *gateway, uint64_t home, uint64_t number, enum relay_kind kind,
                struct bytes sid)
{
    link_pass(gateway->link,
              &(struct wire_pass){.to = home, .number = number, .kind = (uint64_t)kind, .sid = sid});
}

void relay_forget(struct gateway *gateway, uint64_t number)
{
    struct relay *relay = find(gateway, number);

    if (!relay)
        return;
    gateway->relays.bytes -= cost(relay);
    slot_table_remove(&gateway->relays.questions, number);
    buffer_done(&relay->body);
    free(relay);
}

uint64_t relay_waiter(struct gateway *gateway, uint64_t number)
{
    const struct relay *relay = find(gateway, number);

    return relay ? relay->waiter : 0;
}

void relay_release_polls(struct gateway *gateway)
{
    const struct relay *relay;
    uint32_t cursor = 0;

    while ((relay = slot_table_next(&gateway->relays.questions, &cursor)))
        if (relay->kind == RELAY_POLL)
            relay_tell(gateway, relay->home, relay->number, RELAY_RELEASE,
                       bytes_make(relay->sid, sizeof relay->sid));
}

void relay_answer(struct gateway *gateway, struct caller caller, enum relay_kind kind, struct bytes sid,
                  struct bytes body)
{
    link_pass(
        gateway->link,
        &(struct wire_pass){
            .to = caller.gateway, .number = caller.number, .kind = (uint64_t)kind, .sid = sid, .body = body});
}

/* -- answers --------------------------------------------------------------------------------- */

/* More will come about the same question. */
static bool is_interim(enum relay_kind kind)
{
    return kind == RELAY_WELCOME || kind == RELAY_OFFER || kind == RELAY_OWED || kind == RELAY_PART;
}

/* It was said before the home read how the question went on. */
static bool is_stale(const struct relay *relay, enum relay_kind kind)
{
    return (relay->kind == RELAY_CANCEL || relay->kind == RELAY_ENDED) && kind != RELAY_OK &&
           kind != RELAY_ERROR;
}

static void on_answer(struct gateway *gateway, uint64_t number, enum relay_kind kind, struct bytes body)
{
    struct relay *relay = find(gateway, number);
    struct connection *connection;

    if (!relay || is_stale(relay, kind))
        return;
    connection = connections_find(gateway, relay->waiter);
    if (connection)
        relay->answered = true; /* else it was called off, of which the home has yet to hear */
    if (!is_interim(kind) || (connection && !connection->arrival))
        relay_forget(gateway, number);
    if (!connection)
        return;
    if (connection->arrival)
        arrival_answered(gateway, connection, kind, body);
    else if (http_is_spoken(connection))
        exchange_answer(gateway, connection, kind, body);
}

static void on_unknown(struct gateway *gateway, uint64_t number)
{
    on_answer(gateway, number, RELAY_ERROR, BYTES("1"));
}

/* -- questions of others ---------------------------------------------------------------------- */

static void on_question(struct gateway *gateway, struct caller caller, enum relay_kind kind, struct bytes sid,
                        struct bytes body)
{
    gateway_advance_timers(gateway); /* a session whose time is over is not asked any more */
    switch (kind) {
    case RELAY_POLL:
    case RELAY_POST:
    case RELAY_POST_TYPE:
    case RELAY_METHOD:
    case RELAY_CHECK:
        polling_request(gateway, kind, sid, caller, body);
        break;
    case RELAY_BEGIN:
        polling_begin_post(gateway, sid, caller);
        break;
    case RELAY_FORGET:
        polling_refuse_post(gateway, sid, caller);
        relay_answer(gateway, caller, RELAY_OK, sid, (struct bytes){0});
        break;
    case RELAY_ABORT:
        polling_abort(gateway, sid, caller);
        break;
    case RELAY_RELEASE:
        polling_release(gateway, sid, caller);
        break;
    case RELAY_PROBE:
        upgrade_probe(gateway, sid, caller);
        break;
    case RELAY_PROBED:
        upgrade_probed(gateway, sid, caller);
        break;
    case RELAY_SWITCH:
        upgrade_switch(gateway, sid, caller);
        break;
    case RELAY_CANCEL:
        upgrade_cancel(gateway, sid, caller);
        relay_answer(gateway, caller, RELAY_OK, sid, (struct bytes){0});
        break;
    case RELAY_PRESENT:
        relay_answer(gateway, caller, RELAY_OK, sid, (struct bytes){0});
        break;
    case RELAY_ENDED:
        upgrade_ended(gateway, sid, caller);
        break;
    default: /* of a later version: whoever asked will not wait for ever */
        break;
    }
}

void relay_on_passed(struct gateway *gateway, const struct wire_passed *record)
{
    uint64_t home;

    if (record->kind == WIRE_PASS_UNKNOWN) {
        const struct relay *relay = find(gateway, record->number);
        bool asked_for = relay && relay->kind == RELAY_PRESENT;

        on_unknown(gateway, record->number);
        if (asked_for)
            relay_on_gone(gateway, record->from);
    } else if (record->kind == WIRE_PASS_AGAIN) {
        struct relay *relay = find(gateway, record->number);

        if (relay)
            relay->again_at = loop_now(gateway->loop) + AGAIN_MS;
    } else if (record->kind >= WIRE_PASS_ANSWERS)
        on_answer(gateway, record->number, (enum relay_kind)record->kind, record->body);
    else if (session_home(record->sid, &home) == 0)
        on_question(gateway, (struct caller){record->from, record->number}, (enum relay_kind)record->kind,
                    record->sid, record->body);
}

/* -- losses ---------------------------------------------------------------------------------- */

void relay_on_gone(struct gateway *gateway, uint64_t incarnation)
{
    struct relay *relay;
    uint32_t cursor = 0;

    while ((relay = slot_table_next(&gateway->relays.questions, &cursor)))
        if (relay->home == incarnation)
            on_unknown(gateway, relay->number);
    polling_on_gone(gateway, incarnation);
}

static void ask_again(struct gateway *gateway, uint64_t home, bool all)
{
    struct relay *relay;
    uint32_t cursor = 0;

    while ((relay = slot_table_next(&gateway->relays.questions, &cursor)))
        if (!relay->answered && (all || relay->home == home))
            send_question(gateway, relay);
}

void relay_on_back(struct gateway *gateway, uint64_t incarnation)
{
    ask_again(gateway, incarnation, false);
}

static bool asks_for(const struct gateway *gateway, uint64_t home)
{
    const struct relay *relay;
    uint32_t cursor = 0;

    while ((relay = slot_table_next(&gateway->relays.questions, &cursor)))
        if (relay->kind == RELAY_PRESENT && relay->home == home)
            return true;
    return false;
}

/* A router that has just started does not know of those who went with the former one, and can't say so. */
static void ask_for_partners(struct gateway *gateway)
{
    char sid[SESSION_SID_LENGTH];
    uint32_t count;
    uint64_t *partners = sessions_partners(gateway, &count);

    session_make_sid(gateway, sid); /* any will do */
    for (uint32_t i = 0; i < count; i++)
        if (!asks_for(gateway, partners[i]))
            relay_ask(gateway, partners[i], RELAY_PRESENT, bytes_make(sid, sizeof sid), (struct bytes){0}, 0);
    free(partners);
}

void relay_on_live(struct gateway *gateway)
{
    arrivals_on_live(gateway);
    ask_again(gateway, 0, true);
    ask_for_partners(gateway);
}

static void on_tick(void *arg)
{
    struct gateway *gateway = arg;
    uint64_t now = loop_now(gateway->loop);
    struct relay *relay;
    uint32_t cursor = 0;

    while ((relay = slot_table_next(&gateway->relays.questions, &cursor))) {
        if (now >= relay->due)
            on_unknown(gateway, relay->number);
        else if (relay->again_at && now >= relay->again_at)
            send_question(gateway, relay);
    }
}

void relays_start(struct gateway *gateway)
{
    loop_timer_init(&gateway->relays.tick, gateway->loop, on_tick, gateway);
    loop_timer_repeat(&gateway->relays.tick, TICK_MS);
}

void relays_done(struct gateway *gateway)
{
    struct relay *relay;
    uint32_t cursor = 0;

    loop_timer_stop(&gateway->relays.tick);
    while ((relay = slot_table_next(&gateway->relays.questions, &cursor)))
        relay_forget(gateway, relay->number);
    slot_table_done(&gateway->relays.questions);
}
