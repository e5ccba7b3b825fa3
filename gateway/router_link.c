/*
 * The DEALER socket, its batches and its states; see router_link.h.  What the router's records mean to
 * sockets and rooms is in router_records.c.  The surprising rule: a new link is always a new ZeroMQ socket;
 * see common/dealer.h.
 */
#include "gateway/router_link.h"

#include "common/dealer.h"
#include "common/memory.h"
#include "common/random.h"
#include "gateway/admin.h"
#include "gateway/authentication.h"
#include "gateway/engine.h"
#include "gateway/farewell.h"
#include "gateway/gateway.h"
#include "gateway/metrics.h"
#include "gateway/router_records.h"
#include "proto/wire_flow.h"

#include <assert.h>
#include <errno.h>
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
    SEND_MAX = 256 << 20,
};

enum link_state { LINK_DOWN, LINK_CONNECTING, LINK_SYNCING, LINK_LIVE };

struct router_link {
    struct gateway *gateway;
    void *context;
    void *socket; /* NULL while DOWN */
    struct loop_watch *watch;
    enum link_state state;
    struct wire_flow flow;
    struct wire_batch batch;   /* of this turn */
    struct wire_batch scratch; /* a record that can't be sent yet */
    struct wire_list list;
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

static void split_batch(struct router_link *link)
{
    if (wire_batch_size(&link->batch) > WIRE_BATCH_SPLIT)
        send_batch(link);
}

static void put_members(struct router_link *link, const struct room *room)
{
    wire_list_clear(&link->list);
    for (uint32_t i = 0; i < room->count; i++) {
        struct socket *socket = sockets_at(link->gateway, room->members[i].socket);
        const struct membership *membership = socket_membership_in(socket, room);

        wire_list_put_u64(&link->list, socket->number);
        wire_list_put_u64(&link->list, membership->joined_pos);
        wire_list_put_u64(&link->list, membership->watch);
    }
    wire_put_members(&link->batch, &(struct wire_members){.namespace = room->namespace->name,
                                                          .room = bytes_make(room->name, room->name_length),
                                                          .members = wire_list_finish(&link->list)});
}

static void put_socket(struct wire_batch *batch, const struct socket *socket)
{
    struct buffer grant = {0};

    authentication_append_grant(socket, &grant);
    wire_put_socket(batch, &(struct wire_socket){.socket = socket->number,
                                                 .namespace = socket->namespace->name,
                                                 .sid = bytes_make(socket->sid, socket->sid_length),
                                                 .from = authentication_sub(socket),
                                                 .generation = socket->session_generation,
                                                 .grant = buffer_bytes(&grant)});
    buffer_done(&grant);
}

static void put_disconnect(struct router_link *link, uint64_t socket, enum close_reason reason)
{
    wire_put_disconnect(
        &link->batch,
        &(struct wire_disconnect){.socket = socket, .reason = bytes_from_text(close_reason_text(reason))});
}

/* Those whose end the router may not have heard of are named once more; how many. */
static uint64_t put_farewells(struct router_link *link)
{
    const struct farewell *farewell;
    uint64_t count = 0;

    for (farewell = link->farewells.first; farewell; farewell = farewell->next) {
        wire_batch_append_encoded(&link->batch, farewell->record);
        count++;
        split_batch(link);
    }
    return count;
}

/* And behind the hello they are gone. */
static void end_farewells(struct router_link *link)
{
    const struct farewell *farewell;

    for (farewell = link->farewells.first; farewell; farewell = farewell->next) {
        put_disconnect(link, farewell->socket, CLOSE_CLIENT_DISCONNECT);
        split_batch(link);
    }
    farewells_renew(&link->farewells, link->flow.sent + 1);
}

static void say_hello(struct router_link *link)
{
    struct gateway *gateway = link->gateway;
    const struct gateway_settings *settings = gateway->settings;
    const struct namespace_rooms *namespace;
    struct socket *socket;
    uint32_t cursor = 0, walk = 0;
    uint64_t count = 0;

    sockets_begin_again(gateway);
    wire_put_hello(&link->batch,
                   &(struct wire_hello){.name = bytes_from_text(settings->name),
                                        .incarnation = gateway->incarnation,
                                        .epoch = bytes_from_text(link->progress.epoch),
                                        .pos = link->progress.position,
                                        .rules_digest = namespaces_digest(&settings->namespaces),
                                        .program_version = BYTES(HUBBUB_VERSION),
                                        .minor = WIRE_MINOR});
    while ((socket = sockets_next(gateway, &cursor))) {
        if (!socket->connected)
            continue; /* its CONNECT will be sent again */
        put_socket(&link->batch, socket);
        count++;
        split_batch(link);
    }
    count += put_farewells(link);
    while ((namespace = table_next(&gateway->namespaces.by_name, &walk))) {
        const struct room *room;

        cursor = 0;
        while ((room = table_next(&namespace->rooms, &cursor))) {
            put_members(link, room);
            split_batch(link);
        }
    }
    wire_put_hello_end(&link->batch, &(struct wire_hello_end){.sockets = count});
    end_farewells(link);
    send_batch(link);
    set_state(link, LINK_SYNCING);
}

int link_request(struct router_link *link, enum request_kind kind, unsigned weight, struct socket *socket,
                 long long ack, void (*put)(struct wire_batch *batch, uint64_t number, const void *record),
                 const void *record)
{
    struct request_queue *requests = &link->gateway->requests;
    struct wire_batch *batch = link->state == LINK_LIVE ? &link->batch : &link->scratch;
    struct request *request;
    size_t mark;

    if (requests->bytes >= link->gateway->settings->pending_bytes)
        return ERROR_BUSY;
    if (batch == &link->scratch)
        wire_batch_clear(batch);
    mark = wire_batch_mark(batch);
    put(batch, requests_next(requests), record);
    request = requests_add(requests, kind, socket ? socket->number : 0, ack,
                           bytes_make(batch->buffer.data + mark, batch->buffer.length - mark), now(link));
    request->weight = (uint8_t)weight;
    request->taken = loop_now_ns(link->gateway->loop);
    if (socket) {
        socket->unanswered += weight;
        socket->calls += kind == REQUEST_CALL;
    }
    request->sent = batch == &link->batch;
    if (request->sent)
        split_batch(link);
    return 0;
}

static void keep_farewell(struct router_link *link, const struct socket *socket)
{
    struct wire_batch *batch = &link->scratch;
    uint64_t number = link->state >= LINK_SYNCING ? link->flow.sent + 1 : FAREWELL_UNSENT;
    size_t mark;

    wire_batch_clear(batch);
    mark = wire_batch_mark(batch);
    put_socket(batch, socket);
    farewells_add(&link->farewells, socket->number, number,
                  bytes_make(batch->buffer.data + mark, batch->buffer.length - mark));
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
    split_batch(link);
}

int link_take(struct router_link *link, const struct wire_take *record)
{
    if (link->state != LINK_LIVE)
        return ERROR_CLOSED;
    wire_put_take(&link->batch, record);
    split_batch(link);
    return 0;
}

void link_told(struct router_link *link, uint64_t ask, struct bytes handshake)
{
    wire_put_told(&link->batch, &(struct wire_told){.ask = ask, .handshake = handshake});
    split_batch(link);
}

/* After LIVE: everything without an answer goes out again, in order. */
static void send_requests_again(struct router_link *link)
{
    struct request_queue *requests = &link->gateway->requests;
    struct request *request;
    uint64_t cursor = 0;

    while ((request = requests_walk(requests, &cursor))) {
        if (request->socket && !sockets_find(link->gateway, request->socket)) {
            socket_finish_request(link->gateway, request);
            continue;
        }
        request->sent = true;
        if (request->socket) /* whoever waits for the admin port does not wait longer */
            request->since = now(link);
        wire_batch_append_encoded(&link->batch, bytes_make(request->record, request->length));
        split_batch(link);
    }
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
            send_requests_again(link);
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

static void put_counter(void *argument, const char *name, uint64_t value)
{
    struct router_link *link = argument;

    wire_list_put_text(&link->list, bytes_from_text(name));
    wire_list_put_u64(&link->list, value);
}

static void put_statistics(struct router_link *link)
{
    wire_list_clear(&link->list);
    metrics_each(link->gateway, put_counter, link);
    wire_put_statistics(&link->batch, &(struct wire_statistics){.counters = wire_list_finish(&link->list)});
    link->last_statistics = now(link);
}

/* How long it may wait, in ms.  The router answers everything by itself at once, but for what is a backend's.
 */
static uint64_t patience(const struct gateway_settings *settings, const struct request *request)
{
    if (request->sent && request->kind == REQUEST_CALL)
        return UINT64_MAX;
    if (request->sent && request->kind == REQUEST_CONNECT &&
        settings->connect_timeout > settings->request_timeout)
        return settings->connect_timeout;
    return settings->request_timeout;
}

/* What a backend takes its time for no longer keeps its client from being read. */
static void make_light(struct socket *socket, struct request *request)
{
    socket->unanswered -= request->weight;
    request->weight = 0;
}

/* Refuses what was never sent and waits too long; closes the clients of what was sent and gets no answer. */
static void expire_requests(struct router_link *link)
{
    struct gateway *gateway = link->gateway;
    struct request *request;
    uint64_t cursor = 0;

    while ((request = requests_walk(&gateway->requests, &cursor))) {
        struct socket *socket = sockets_find(gateway, request->socket);
        uint64_t waited = now(link) - request->since;

        if (request->socket == 0) {
            if (waited >= gateway->settings->request_timeout) {
                admin_expire(gateway->admin, (uint64_t)request->ack, request->sent);
                requests_finish(&gateway->requests, request);
            }
            continue;
        }
        if (socket && request->kind == REQUEST_CALL && waited >= gateway->settings->request_timeout)
            make_light(socket, request);
        if (socket &&
            (waited < patience(gateway->settings, request) || (request->sent && link->state != LINK_LIVE)))
            continue;
        if (socket && (request->sent || request->kind == REQUEST_CONNECT))
            engine_close(gateway, socket->connection, CLOSE_ROUTER_SILENT);
        else if (socket && request->kind == REQUEST_RESPONSE)
            gateway->counters.answers_dropped++;
        else if (socket) {
            struct wire_reader reader;
            struct wire_event event = {0};
            unsigned type;

            wire_reader_open_record(&reader, bytes_make(request->record, request->length));
            if (wire_reader_next(&reader, &type) == 1 && type == WIRE_TYPE_EVENT &&
                wire_get_event(&reader, &event) < 0)
                event.event = (struct bytes){0};
            socket_refuse(gateway, socket, request->ack, event.event, REFUSAL_UNAVAILABLE, NULL);
        }
        socket_finish_request(gateway, request);
    }
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
    expire_requests(link);
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
    wire_batch_done(&link->scratch);
    wire_list_done(&link->list);
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
