/*
 * The DEALER socket, its batches and its states; see router_link.h.  What the router's records mean to
 * sockets and rooms is in router_records.c.  The surprising rule: a new link is always a new ZeroMQ socket;
 * see common/dealer.h.
 */
#include "gateway/router_link.h"

#include "common/dealer.h"
#include "common/memory.h"
#include "common/random.h"
#include "gateway/farewell.h"
#include "gateway/gateway.h"
#include "gateway/hello.h"
#include "gateway/metrics.h"
#include "gateway/outstanding.h"
#include "gateway/router_records.h"
#include "proto/wire_flow.h"

#include <assert.h>
#include <stdlib.h>
#include <zmq.h>

enum {
    CONNECT_PATIENCE_MS = 2000, /* as long as ZeroMQ takes for one attempt */
    REOPEN_MS = 10,
    REOPEN_MAX_MS = 1000,
    BATCHES_A_TURN = 256,
    ACKNOWLEDGE_BYTES = 1 << 20, /* received and not yet acknowledged: worth a batch of its own */
    STALLED_MS = 1000,           /* a tick that comes so late was our own fault */
    STATISTICS_MS = 1000,
    COMPLAINT_MS = 60000,
};

enum link_state { LINK_DOWN, LINK_CONNECTING, LINK_SYNCING, LINK_LIVE };

struct router_link {
    struct gateway *gateway;
    void *context;
    void *socket; /* NULL while DOWN */
    struct loop_watch *watch;
    enum link_state state;
    struct wire_flow flow;
    struct wire_batch batch; /* of this turn */
    struct link_progress progress;
    struct farewells farewells;
    size_t received_bytes; /* since we last sent, and so acknowledged */
    uint64_t last_heard, last_sent, last_tick, last_statistics, away_since;
    uint64_t next_complaint; /* when to say again that no router answers */
    uint64_t reopen_delay;
    struct loop_timer tick, reopen;
    bool resync; /* leave this link at the end of what is being read */
    bool look;   /* ZeroMQ may have something, though its descriptor will not say so again */
};

static uint64_t now(const struct router_link *link)
{
    return loop_now(link->gateway->loop);
}

static void set_state(struct router_link *link, enum link_state state)
{
    assert(state == LINK_DOWN || state == link->state + 1);
    link->state = state;
}

uint64_t link_away(const struct router_link *link)
{
    return link->state == LINK_LIVE ? 0 : now(link) - link->away_since;
}

bool link_congested(const struct router_link *link)
{
    const struct gateway *gateway = link->gateway;

    return gateway->requests.bytes > gateway->settings->pending_bytes / 2 ||
           link->flow.unacknowledged_bytes > gateway->settings->max_unacknowledged;
}

bool link_is_live(const struct router_link *link)
{
    return link->state == LINK_LIVE;
}

uint64_t link_unacknowledged(const struct router_link *link)
{
    return link->flow.unacknowledged_bytes;
}

uint64_t link_position(const struct router_link *link)
{
    return link->progress.position;
}

void link_append_offset(const struct router_link *link, struct buffer *out)
{
    buffer_append_text(out, link->progress.epoch);
    buffer_append_char(out, '.');
    buffer_append_u64(out, link->progress.position);
}

/* The descriptor is edge-triggered, and any call may use up its edge: look again in the next turn. */
static void look_again(struct router_link *link)
{
    link->look = true;
    loop_wake_now(link->gateway->loop);
}

/* -- opening and closing --------------------------------------------------------------------- */

static void on_ready(void *arg, int fd, unsigned ready);

static int open_socket(struct router_link *link)
{
    const struct gateway_settings *settings = link->gateway->settings;
    int fd;

    link->socket =
        dealer_open(link->context, settings->router, &settings->secret_key, &settings->router_key, &fd);
    if (!link->socket)
        return ERROR_SYSTEM;
    link->watch = loop_watch_new(link->gateway->loop, fd, LOOP_READ, on_ready, link);
    if (!link->watch)
        goto failed;
    wire_flow_reset(&link->flow, random_u64());
    wire_batch_clear(&link->batch);
    link->progress.minor = 0;
    link->received_bytes = 0;
    link->last_heard = link->last_sent = now(link);
    set_state(link, LINK_CONNECTING);
    look_again(link);
    return 0;

failed:
    zmq_close(link->socket);
    link->socket = NULL;
    return ERROR_SYSTEM;
}

static void close_socket(struct router_link *link)
{
    loop_watch_free(link->watch);
    link->watch = NULL;
    if (link->socket)
        zmq_close(link->socket);
    link->socket = NULL;
    if (link->state == LINK_LIVE)
        link->away_since = now(link);
    link->resync = false; /* left already: another start would put the opening off, turn by turn */
    set_state(link, LINK_DOWN);
}

/* Leaves this link for a new one. */
static void start_anew(struct router_link *link, const char *why)
{
    bool was_live = link->state == LINK_LIVE;

    log_warn("link to the router starts anew", "why=%s position=%llu", why,
             (unsigned long long)link->progress.position);
    link->gateway->counters.link_resets++;
    close_socket(link);
    link->reopen_delay = was_live ? REOPEN_MS : link->reopen_delay * 2;
    if (link->reopen_delay > REOPEN_MAX_MS)
        link->reopen_delay = REOPEN_MAX_MS;
    loop_timer_start(&link->reopen, link->reopen_delay);
}

static void on_reopen(void *arg)
{
    struct router_link *link = arg;

    if (open_socket(link) < 0) {
        log_error("can't open a ZeroMQ socket", "error=%s", zmq_strerror(zmq_errno()));
        loop_timer_start(&link->reopen, REOPEN_MAX_MS);
    }
}

/* -- sending --------------------------------------------------------------------------------- */

/* Sends the batch, empty or not. */
static void send_batch(struct router_link *link)
{
    size_t size = WIRE_HEADER_SIZE + wire_batch_size(&link->batch);
    uint64_t number = wire_flow_send(&link->flow, size);
    struct bytes bytes = wire_batch_finish(&link->batch, link->flow.link, number, link->flow.received);

    if (zmq_send(link->socket, bytes.data, bytes.length, ZMQ_DONTWAIT) < 0)
        link->resync = true; /* no queue takes it: the connection is gone */
    wire_batch_clear(&link->batch);
    link->last_sent = now(link);
    link->received_bytes = 0;
}

struct wire_batch *link_batch(struct router_link *link)
{
    return &link->batch;
}

void link_split(struct router_link *link)
{
    if (wire_batch_size(&link->batch) > WIRE_BATCH_SPLIT)
        send_batch(link);
}

static void put_disconnect(struct router_link *link, uint64_t socket, enum close_reason reason)
{
    wire_put_disconnect(
        &link->batch,
        &(struct wire_disconnect){.socket = socket, .reason = bytes_from_text(close_reason_text(reason))});
}

static void say_hello(struct router_link *link)
{
    hello_put(link->gateway, &link->progress, &link->farewells);
    farewells_renew(&link->farewells, link->flow.sent + 1);
    send_batch(link);
    set_state(link, LINK_SYNCING);
}

static void keep_farewell(struct router_link *link, const struct socket *socket)
{
    struct wire_batch batch = {0};
    uint64_t number = link->state >= LINK_SYNCING ? link->flow.sent + 1 : FAREWELL_UNSENT;
    size_t mark;

    mark = wire_batch_mark(&batch);
    hello_put_socket(&batch, socket);
    farewells_add(&link->farewells, socket->number, number,
                  bytes_make(batch.buffer.data + mark, batch.buffer.length - mark));
    wire_batch_done(&batch);
}

void link_disconnect(struct router_link *link, const struct socket *socket, enum close_reason reason)
{
    bool for_good = reason == CLOSE_CLIENT_DISCONNECT || reason == CLOSE_SERVER_DISCONNECT;

    if (for_good && socket->connected && socket->namespace->config->recovery)
        keep_farewell(link, socket);
    if (link->state >= LINK_SYNCING) /* else the next hello will not have it */
        put_disconnect(link, socket->number, reason);
}

void link_pass(struct router_link *link, const struct wire_pass *record)
{
    if (link->state != LINK_LIVE)
        return;
    wire_put_pass(&link->batch, record);
    link_split(link);
}

int link_take(struct router_link *link, const struct wire_take *record)
{
    if (link->state != LINK_LIVE)
        return ERROR_CLOSED;
    wire_put_take(&link->batch, record);
    link_split(link);
    return 0;
}

void link_told(struct router_link *link, uint64_t ask, struct bytes handshake)
{
    wire_put_told(&link->batch, &(struct wire_told){.ask = ask, .handshake = handshake});
    link_split(link);
}

void link_flush(struct router_link *link)
{
    if (link->state >= LINK_SYNCING &&
        (link->batch.records || link->received_bytes > ACKNOWLEDGE_BYTES || link->progress.acknowledge)) {
        link->progress.acknowledge = false;
        send_batch(link);
        if (dealer_events(link->socket) & ZMQ_POLLIN)
            look_again(link);
    }
    if (link->resync)
        start_anew(link, "sending failed");
}

/* -- receiving ------------------------------------------------------------------------------- */

/* The one record of a batch with WIRE_NUMBER_STRANGER tells why. */
static void log_refusal(const struct router_link *link, struct wire_reader *reader)
{
    struct wire_resync resync;
    unsigned type;

    if (wire_reader_next(reader, &type) == 1 && type == WIRE_TYPE_RESYNC &&
        wire_get_resync(reader, &resync) == 0)
        log_warn("the router refuses this link", "why=%.*s", BYTES_PRINTF(resync.reason));
    if (link->state == LINK_LIVE)
        log_warn(
            "the router has no such link any more: it was restarted, or another gateway has the same name",
            "gateway=%s", link->gateway->settings->name);
}

/* One batch.  0, or a negative error: the link can't go on. */
static int read_batch(struct router_link *link, struct bytes bytes)
{
    struct gateway *gateway = link->gateway;
    struct wire_reader reader;
    unsigned type;
    int result = wire_reader_open(&reader, bytes);

    if (result == ERROR_UNSUPPORTED)
        log_error("the router speaks another major version", "protocol=%llu ours=%d.%d",
                  (unsigned long long)wire_major(bytes), WIRE_MAJOR, WIRE_MINOR);
    if (result < 0)
        return result;
    if (reader.number == WIRE_NUMBER_STRANGER && reader.link == link->flow.link) {
        log_refusal(link, &reader);
        link->resync = true; /* the router lost this link, and with it both sides' numbers */
        return 0;
    }
    result = wire_flow_receive(&link->flow, reader.link, reader.number, reader.acknowledged);
    if (result < 0)
        return result;
    link->received_bytes += bytes.length;
    farewells_confirm(&link->farewells, link->flow.acknowledged);
    while ((result = wire_reader_next(&reader, &type)) > 0) {
        reader.lenient = link->progress.minor < WIRE_MINOR;
        switch (type) {
        case WIRE_TYPE_LIVE: {
            struct wire_live live;

            if (wire_get_live(&reader, &live) < 0 || link->state != LINK_SYNCING)
                return ERROR_PROTOCOL;
            link->progress.position = live.pos;
            set_state(link, LINK_LIVE);
            link->reopen_delay = REOPEN_MS;
            log_info("link to the router is live", "epoch=%s position=%llu", link->progress.epoch,
                     (unsigned long long)live.pos);
            outstanding_send_again(gateway);
            relay_on_live(gateway);
            if (gateway->on_live)
                gateway->on_live();
            break;
        }
        case WIRE_TYPE_RESYNC:
            link->resync = true;
            break;
        default:
            result = records_handle(gateway, &link->progress, &reader, type);
            if (result < 0)
                return result;
        }
    }
    return result;
}

static void receive_batches(struct router_link *link)
{
    for (int i = 0; i < BATCHES_A_TURN && !link->resync; i++) {
        zmq_msg_t message;
        int result;

        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, link->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&message);
            return;
        }
        result = read_batch(link, bytes_make(zmq_msg_data(&message), zmq_msg_size(&message)));
        zmq_msg_close(&message);
        link->last_heard = now(link);
        if (result < 0) {
            if (result == ERROR_UNSUPPORTED)
                link->gateway->counters.link_versions++;
            else
                link->gateway->counters.link_malformed++;
            start_anew(link, error_text(result));
            return;
        }
    }
    look_again(link);
}

static void look(struct router_link *link)
{
    int events;

    if (link->state >= LINK_SYNCING)
        receive_batches(link);
    if (link->resync) {
        start_anew(link, "the router asks for it");
        return;
    }
    if (link->state == LINK_DOWN)
        return;
    events = dealer_events(link->socket);
    if (link->state == LINK_CONNECTING && events & ZMQ_POLLOUT)
        say_hello(link);
    else if (link->state >= LINK_SYNCING && !(events & ZMQ_POLLOUT)) /* there is no limit: no peer, then */
        start_anew(link, "the connection is gone");
    else if (events & ZMQ_POLLIN)
        look_again(link);
}

static void on_ready(void *arg, int fd, unsigned ready)
{
    (void)fd;
    (void)ready;
    look(arg);
}

void link_look(struct router_link *link)
{
    if (!link->look)
        return;
    link->look = false;
    look(link);
}

/* -- time ------------------------------------------------------------------------------------ */

static void put_statistics(struct router_link *link)
{
    metrics_put(link->gateway, &link->batch);
    link->last_statistics = now(link);
}

/* Whoever starts a gateway by hand with the wrong endpoint should read why nothing works. */
static void complain_of_silence(struct router_link *link)
{
    const struct gateway_settings *settings = link->gateway->settings;

    if (link->state != LINK_CONNECTING) {
        link->next_complaint = now(link) + settings->dead;
        return;
    }
    if (now(link) < link->next_complaint)
        return;
    log_warn("no router answers", "endpoint=%s away_ms=%llu", settings->router,
             (unsigned long long)link_away(link));
    link->next_complaint = now(link) + COMPLAINT_MS;
}

/* A refused handshake ends ZeroMQ's own attempts for good, and the keys may be right by now. */
static void retry(struct router_link *link)
{
    if (link->state != LINK_CONNECTING ||
        now(link) - link->last_heard <= link->gateway->settings->dead + CONNECT_PATIENCE_MS)
        return;
    close_socket(link);
    on_reopen(link);
}

static void on_tick(void *arg)
{
    struct router_link *link = arg;
    const struct gateway_settings *settings = link->gateway->settings;
    bool stalled = now(link) - link->last_tick > settings->heartbeat + STALLED_MS;

    link->last_tick = now(link);
    outstanding_expire(link->gateway);
    complain_of_silence(link);
    retry(link);
    if (link->state < LINK_SYNCING)
        return;
    if (now(link) - link->last_heard > settings->dead && !stalled) {
        start_anew(link, "the router is silent");
        return;
    }
    if (link->state == LINK_LIVE && now(link) - link->last_statistics >= STATISTICS_MS)
        put_statistics(link);
    if (now(link) - link->last_sent >= settings->heartbeat && link->batch.records == 0)
        link->progress.acknowledge = true;
}

/* -- life ------------------------------------------------------------------------------------ */

int link_new(struct gateway *gateway, struct router_link **out)
{
    struct router_link *link = memory_zero(1, sizeof *link);

    link->gateway = gateway;
    link->away_since = link->last_tick = loop_now(gateway->loop);
    link->next_complaint = link->away_since + gateway->settings->dead;
    link->reopen_delay = REOPEN_MS;
    loop_timer_init(&link->tick, gateway->loop, on_tick, link);
    loop_timer_init(&link->reopen, gateway->loop, on_reopen, link);
    link->context = zmq_ctx_new();
    if (!link->context || open_socket(link) < 0) {
        log_error("can't connect to the router", "endpoint=%s error=%s", gateway->settings->router,
                  zmq_strerror(zmq_errno()));
        link_free(link);
        return ERROR_SYSTEM;
    }
    loop_timer_repeat(&link->tick, gateway->settings->heartbeat / 4 + 1);
    *out = link;
    return 0;
}

void link_free(struct router_link *link)
{
    if (!link)
        return;
    loop_timer_stop(&link->tick);
    loop_timer_stop(&link->reopen);
    loop_watch_free(link->watch);
    if (link->socket)
        zmq_close(link->socket);
    if (link->context)
        zmq_ctx_term(link->context);
    wire_flow_done(&link->flow);
    farewells_done(&link->farewells);
    wire_batch_done(&link->batch);
    free(link);
}

void link_say_bye(struct router_link *link)
{
    enum { LINGER_MS = 500 };

    if (link->state < LINK_SYNCING)
        return;
    wire_put_bye(&link->batch, &(struct wire_bye){.reason = BYTES("drain")});
    if (zmq_setsockopt(link->socket, ZMQ_LINGER, &(int){LINGER_MS}, sizeof(int)) == 0)
        send_batch(link);
}
