/*
 * The ROUTER socket and the gateways behind it; see link.h.  The router owns it, and calls it once a turn to
 * read and once to send.  Its one surprising rule: ZeroMQ's descriptor tells of changes only, and any call
 * may use one up, so after reading to a bound and after sending the turn looks at ZMQ_EVENTS and comes back.
 */
#include "router/link.h"

#include "common/hash.h"
#include "common/log.h"
#include "common/memory.h"
#include "proto/rules.h"
#include "router/unix_socket.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zmq.h>

enum {
    BATCHES_A_TURN = 1000,
    BYTES_A_TURN = 8 << 20,
    ACKNOWLEDGE_BYTES = 256 << 10, /* received and not yet acknowledged: worth a batch of its own */
    QUEUE_MAX = 100000,            /* batches; credit bounds the bytes */
    STALLED_MS = 1000,             /* a tick that comes so late was our own fault */
    REBUFF_SLOTS = 256,
    REBUFF_MS = 1000,
};

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

static struct bytes routing_key(const void *entry)
{
    const struct gateway_link *link = entry;

    return bytes_make(link->routing, link->routing_length);
}

/* -- life of a link --------------------------------------------------------------------------- */

static void free_link(struct gateway_link *link)
{
    session_set_done(&link->sessions);
    wire_flow_done(&link->flow);
    wire_batch_done(&link->out);
    wire_list_done(&link->done);
    wire_list_done(&link->unwelcome);
    free(link->name);
    free(link);
}

void link_release(struct gateway_link *link)
{
    assert(link->references > 0);
    link->references--;
    if (link->removed && link->references == 0)
        free_link(link);
}

/* The transport is gone; the sessions stay. */
static void lose(struct links *links, struct gateway_link *link)
{
    if (link->state == LINK_LOST)
        return;
    table_remove(&links->by_routing, link);
    link_set_state(link, LINK_LOST);
    wire_batch_clear(&link->out);
    wire_list_clear(&link->done);
    links->counters->links_lost++;
}

static void remove_link(struct links *links, struct gateway_link *link, enum link_end end)
{
    uint32_t at = 0;

    lose(links, link);
    while (links->all[at] != link)
        at++;
    links->all[at] = links->all[--links->count];
    link->removed = true;
    link_hold(link);
    links->events->removed(links->argument, link, end);
    link_release(link);
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

static int send_to(struct links *links, struct bytes routing, struct bytes batch)
{
    if (zmq_send(links->socket, routing.data, routing.length, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0 ||
        zmq_send(links->socket, batch.data, batch.length, ZMQ_DONTWAIT) < 0)
        return ERROR_CLOSED;
    links->look = true;
    links->counters->batches_out++;
    links->counters->bytes_out += batch.length;
    return 0;
}

static void send_batch(struct links *links, struct gateway_link *link)
{
    size_t size = WIRE_HEADER_SIZE + wire_batch_size(&link->out);
    uint64_t number = wire_flow_send(&link->flow, size);
    struct bytes bytes = wire_batch_finish(&link->out, link->flow.link, number, link->flow.received);
    int result = send_to(links, routing_key(link), bytes);

    wire_batch_clear(&link->out);
    link->sent = loop_now(links->loop);
    link->received_bytes = 0;
    if (result) {
        log_warn("link lost", "gateway=%s error=%s", link->name, zmq_strerror(zmq_errno()));
        lose(links, link);
        return;
    }
    if (link->state == LINK_LIVE && link->flow.unacknowledged_bytes > links->settings->max_unacknowledged) {
        log_warn("gateway is behind", "gateway=%s unacknowledged=%llu", link->name,
                 (unsigned long long)link->flow.unacknowledged_bytes);
        links->counters->links_behind++;
        wire_list_clear(&link->done);
        link_set_state(link, LINK_BEHIND);
    }
}

/* Asks for a new link and gives this one up. */
static void resync(struct links *links, struct gateway_link *link, const char *reason)
{
    wire_batch_clear(&link->out);
    wire_put_resync(&link->out, &(struct wire_resync){.reason = bytes_from_text(reason)});
    send_batch(links, link);
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
    wire_put_done(&link->out, &(struct wire_done){.requests = wire_list_finish(&link->done)});
    wire_list_clear(&link->done);
}

void link_tell(struct gateway_link *link, uint64_t released)
{
    if (link->told >= released)
        return;
    wire_put_position(&link->out, &(struct wire_position){.pos = released});
    link->told = released;
}

void link_split(struct links *links, struct gateway_link *link)
{
    if (wire_batch_size(&link->out) >= WIRE_BATCH_SPLIT)
        send_batch(links, link);
}

static bool may_read(const struct links *links)
{
    int events = 0;
    size_t size = sizeof events;

    return zmq_getsockopt(links->socket, ZMQ_EVENTS, &events, &size) == 0 && events & ZMQ_POLLIN;
}

void links_flush(struct links *links, uint64_t released)
{
    links->released = released;
    for (uint32_t i = 0; i < links->count; i++) {
        struct gateway_link *link = links->all[i];

        if (link->state == LINK_LOST)
            continue;
        if (link->state == LINK_BEHIND && link->flow.acknowledged == link->flow.sent) {
            resync(links, link, "behind");
            continue;
        }
        link_settle(link);
        if (link->out.records && link->state == LINK_LIVE)
            link_tell(link, released);
        if (link->out.records || link->received_bytes > ACKNOWLEDGE_BYTES)
            send_batch(links, link);
    }
    if (links->look) {
        links->look = false;
        links->readable |= may_read(links);
    }
    if (links->readable)
        loop_wake_now(links->loop);
}

/* -- reading ---------------------------------------------------------------------------------- */

/* A peer without a link is told to make one, but not for each of its batches. */
static void rebuff(struct links *links, struct bytes routing, uint64_t link, const char *reason)
{
    uint64_t *last = &links->rebuffed[hash_bytes(routing) % REBUFF_SLOTS];
    uint64_t now = loop_now(links->loop);
    struct wire_batch batch = {0};

    links->counters->strangers++;
    if (*last && now - *last < REBUFF_MS)
        return;
    *last = now;
    wire_put_resync(&batch, &(struct wire_resync){.reason = bytes_from_text(reason)});
    /* A peer that is gone needs no word. */
    (void)send_to(links, routing, wire_batch_finish(&batch, link, WIRE_NUMBER_STRANGER, 0));
    wire_batch_done(&batch);
}

static void malformed(struct links *links, struct gateway_link *link, const char *what)
{
    bool greeting;

    links->counters->malformed++;
    log_warn("malformed batch", "gateway=%s what=%s", link->name, what);
    greeting = link->state == LINK_GREETING;
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

static struct gateway_link *new_link(struct links *links, struct bytes routing,
                                     const struct wire_hello *hello)
{
    struct gateway_link *link = memory_zero(1, sizeof *link);

    link->name = memory_text(hello->name.data, hello->name.length);
    copy_text(link->version, LINK_VERSION_MAX, hello->program_version);
    copy_text(link->epoch, LINK_EPOCH_MAX, hello->epoch);
    link->incarnation = hello->incarnation;
    link->pos = hello->pos;
    link->routing_length = (uint8_t)routing.length;
    memcpy(link->routing, routing.data, routing.length);
    session_set_init(&link->sessions);
    link->heard = link->sent = loop_now(links->loop);
    table_insert(&links->by_routing, link);
    links->all = memory_resize(links->all, (links->count + 1) * sizeof(struct gateway_link *));
    links->all[links->count++] = link;
    links->counters->links++;
    return link;
}

/* The first batch of a peer must begin with a hello.  NULL when this is none. */
static struct gateway_link *greet(struct links *links, struct bytes routing, struct wire_reader *reader)
{
    struct gateway_link *link, *former;
    struct wire_hello hello;
    unsigned type;

    if (reader->number != 1 || wire_reader_next(reader, &type) != 1 || type != WIRE_TYPE_HELLO ||
        wire_get_hello(reader, &hello) < 0 || !room_name_valid(hello.name) ||
        hello.epoch.length > LINK_EPOCH_MAX) {
        rebuff(links, routing, reader->link, "say hello first");
        return NULL;
    }
    former = find_name(links, hello.name);
    if (!former && links->count >= links->settings->max_gateways) {
        log_error("too many gateways", "gateway=%.*s limit=%u", BYTES_PRINTF(hello.name),
                  links->settings->max_gateways);
        rebuff(links, routing, reader->link, "too many gateways");
        return NULL;
    }
    if (former) {
        bool same = former->incarnation == hello.incarnation;

        if (!same && former->state != LINK_LOST)
            log_warn("another process takes over a gateway's name: fine if it was restarted", "gateway=%s",
                     former->name);
        remove_link(links, former, same ? LINK_END_RENEWED : LINK_END_SUCCEEDED);
    }
    link = new_link(links, routing, &hello);
    wire_flow_reset(&link->flow, reader->link);
    if (wire_flow_receive(&link->flow, reader->link, reader->number, reader->acknowledged) < 0) {
        malformed(links, link, "acknowledges what was never sent");
        return NULL;
    }
    links->events->hello(links->argument, link, &hello);
    return link;
}

static void take_records(struct links *links, struct gateway_link *link, struct wire_reader *reader)
{
    unsigned type = 0;
    int result;

    while ((result = wire_reader_next(reader, &type)) > 0) {
        result = links->events->record(links->argument, link, reader, type);
        if (result < 0)
            break;
        if (link->state == LINK_LOST)
            return;
        link_split(links, link);
    }
    if (result < 0)
        malformed(links, link, wire_type_name(type) ? wire_type_name(type) : error_text(result));
}

static void take_batch(struct links *links, struct bytes routing, struct bytes batch)
{
    struct gateway_link *link = table_find(&links->by_routing, routing);
    struct wire_reader reader = {0};
    int result = wire_reader_open(&reader, batch);

    links->counters->batches_in++;
    links->counters->bytes_in += batch.length;
    if (result == ERROR_UNSUPPORTED) {
        links->counters->versions++;
        log_warn("batch of another protocol version", "gateway=%s", link ? link->name : "");
        return;
    }
    if (result < 0) {
        if (link)
            malformed(links, link, "header");
        else
            rebuff(links, routing, 0, "malformed");
        return;
    }
    if (link)
        result = wire_flow_receive(&link->flow, reader.link, reader.number, reader.acknowledged);
    else
        link = greet(links, routing, &reader);
    if (!link)
        return;
    if (result < 0) {
        malformed(links, link, "batch numbers");
        return;
    }
    link_hold(link);
    link->heard = loop_now(links->loop);
    link->received_bytes += batch.length;
    take_records(links, link, &reader);
    link_release(link);
}

/* Reads one ZeroMQ message of one or more parts.  False when there is none. */
static bool read_message(struct links *links, size_t *bytes)
{
    zmq_msg_t routing, batch, extra;
    bool more;

    zmq_msg_init(&routing);
    if (zmq_msg_recv(&routing, links->socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&routing);
        return false;
    }
    zmq_msg_init(&batch);
    more = zmq_msg_more(&routing) && zmq_msg_recv(&batch, links->socket, ZMQ_DONTWAIT) >= 0 &&
           zmq_msg_more(&batch);
    *bytes += zmq_msg_size(&batch);
    if (more) {
        zmq_msg_close(&batch);
        zmq_msg_init(&batch); /* a batch is one part: what came is none */
    }
    while (more) {
        zmq_msg_init(&extra);
        more = zmq_msg_recv(&extra, links->socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&extra);
        zmq_msg_close(&extra);
    }
    take_batch(links, bytes_make(zmq_msg_data(&routing), zmq_msg_size(&routing)),
               bytes_make(zmq_msg_data(&batch), zmq_msg_size(&batch)));
    zmq_msg_close(&batch);
    zmq_msg_close(&routing);
    return true;
}

void links_read(struct links *links)
{
    size_t bytes = 0;

    gate_serve(&links->gate);
    if (!links->readable)
        return;
    links->readable = false;
    for (int i = 0; i < BATCHES_A_TURN && bytes < BYTES_A_TURN; i++)
        if (!read_message(links, &bytes))
            return;
    links->readable = true;
}

static void on_ready(void *arg, int fd, unsigned ready)
{
    struct links *links = arg;

    (void)fd;
    (void)ready;
    links->readable = true;
}

/* -- time ------------------------------------------------------------------------------------- */

static void on_tick(void *arg)
{
    struct links *links = arg;
    uint64_t now = loop_now(links->loop);
    bool stalled = now - links->ticked > links->settings->heartbeat + STALLED_MS;

    links->ticked = now;
    for (uint32_t i = links->count; i-- > 0;) {
        struct gateway_link *link = links->all[i];

        if (!stalled && now - link->heard > links->settings->dead) {
            log_warn("gateway is gone", "gateway=%s sockets=%u silent_ms=%llu", link->name,
                     link->sessions.by_socket.count, (unsigned long long)(now - link->heard));
            links->counters->gateways_dead++;
            link_remove(links, link);
        } else if (link->state != LINK_LOST && now - link->sent >= links->settings->heartbeat) {
            if (link->state == LINK_LIVE)
                link_tell(link, links->released);
            send_batch(links, link);
        }
    }
}

/* -- life of the socket ----------------------------------------------------------------------- */

static int set_number(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int bind_endpoint(struct links *links, char *message, size_t message_size)
{
    const char *endpoint = links->settings->listen;
    const char *path = strncmp(endpoint, "ipc://", 6) == 0 && endpoint[6] != '@' ? endpoint + 6 : NULL;
    mode_t former;
    int result;

    /* ZeroMQ would take the path away from one that still listens there. */
    if (path && unix_socket_answers(path)) {
        snprintf(message, message_size, "%s: another process listens there", endpoint);
        return ERROR_LOCKED;
    }
    former = umask(0177);
    result = zmq_bind(links->socket, endpoint);
    umask(former);
    if (result == 0)
        return 0;
    snprintf(message, message_size, "%s: %s", endpoint, zmq_strerror(zmq_errno()));
    switch (zmq_errno()) {
    case EADDRINUSE:
        return ERROR_LOCKED;
    case EINVAL:
    case EPROTONOSUPPORT:
    case ENOCOMPATPROTO:
        return ERROR_CONFIG;
    default:
        return ERROR_SYSTEM;
    }
}

int links_open(struct links *links, const struct router_settings *settings, struct loop *loop,
               const struct link_events *events, void *argument, struct counters *counters, char *message,
               size_t message_size)
{
    int64_t batch_max = settings->max_batch;
    size_t fd_size = sizeof(int);
    int fd = -1;
    int result;

    *links = (struct links){.settings = settings,
                            .events = events,
                            .argument = argument,
                            .counters = counters,
                            .loop = loop,
                            .ticked = loop_now(loop),
                            .readable = true};
    table_init(&links->by_routing, routing_key);
    links->rebuffed = memory_zero(REBUFF_SLOTS, sizeof *links->rebuffed);
    links->context = zmq_ctx_new();
    links->socket = links->context ? zmq_socket(links->context, ZMQ_ROUTER) : NULL;
    if (!links->socket || set_number(links->socket, ZMQ_ROUTER_MANDATORY, 1) < 0 ||
        set_number(links->socket, ZMQ_LINGER, 0) < 0 ||
        set_number(links->socket, ZMQ_SNDHWM, QUEUE_MAX) < 0 ||
        set_number(links->socket, ZMQ_RCVHWM, QUEUE_MAX) < 0 ||
        zmq_setsockopt(links->socket, ZMQ_MAXMSGSIZE, &batch_max, sizeof batch_max) < 0) {
        snprintf(message, message_size, "ZeroMQ: %s", zmq_strerror(zmq_errno()));
        return ERROR_SYSTEM;
    }
    result = gate_open(&links->gate, settings, loop, links->context, links->socket, counters, message,
                       message_size);
    if (!result)
        result = bind_endpoint(links, message, message_size);
    if (result)
        return result;
    if (zmq_getsockopt(links->socket, ZMQ_FD, &fd, &fd_size) == 0)
        links->watch = loop_watch_new(loop, fd, LOOP_READ, on_ready, links);
    if (!links->watch) {
        snprintf(message, message_size, "can't watch the ZeroMQ socket");
        return ERROR_SYSTEM;
    }
    loop_timer_init(&links->timer, loop, on_tick, links);
    loop_timer_repeat(&links->timer, settings->heartbeat / 4 + 1);
    return 0;
}

void links_done(struct links *links, int linger_ms)
{
    loop_timer_stop(&links->timer);
    while (links->count)
        link_remove(links, links->all[0]);
    loop_watch_free(links->watch);
    if (links->socket) {
        (void)set_number(links->socket, ZMQ_LINGER, linger_ms);
        zmq_close(links->socket);
    }
    gate_close(&links->gate);
    if (links->context)
        zmq_ctx_term(links->context);
    if (links->by_routing.key)
        table_done(&links->by_routing);
    free(links->rebuffed);
    free(links->all);
    *links = (struct links){0};
}
