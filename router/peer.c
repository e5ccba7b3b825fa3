/*
 * The ROUTER socket and the peers behind it; see peer.h.  The router owns it, and calls it once a turn to
 * read; the kinds of peers send through it.  Its one surprising rule: ZeroMQ's descriptor tells of changes
 * only, and any call may use one up, so after reading to a bound and after sending the turn looks at
 * ZMQ_EVENTS and comes back.
 */
#include "router/peer.h"

#include "common/hash.h"
#include "common/log.h"
#include "common/memory.h"
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

static struct bytes routing_key(const void *entry)
{
    const struct peer *peer = entry;

    return bytes_make(peer->routing, peer->routing_length);
}

/* -- life of a peer --------------------------------------------------------------------------- */

void peer_init(struct peer *peer, const struct peer_kind *kind, void *argument)
{
    *peer = (struct peer){.kind = kind, .argument = argument};
}

void peer_done(struct peer *peer)
{
    wire_flow_done(&peer->flow);
    wire_batch_done(&peer->out);
}

void peer_release(struct peer *peer)
{
    assert(peer->references > 0);
    if (--peer->references == 0 && peer->removed)
        peer->kind->free(peer);
}

void peer_remove(struct peer *peer)
{
    peer->removed = true;
    peer_release(peer_hold(peer));
}

static void open_peer(struct peers *peers, struct peer *peer, struct bytes routing, uint64_t link)
{
    peer->open = true;
    peer->heard = peer->sent = loop_now(peers->loop);
    peer->received_bytes = 0;
    peer->routing_length = (uint8_t)routing.length;
    memcpy(peer->routing, routing.data, routing.length);
    table_insert(&peers->by_routing, peer);
    wire_flow_reset(&peer->flow, link);
    peers->counters->links++;
}

void peer_close(struct peers *peers, struct peer *peer)
{
    if (!peer->open)
        return;
    table_remove(&peers->by_routing, peer);
    peer->open = false;
    wire_batch_clear(&peer->out);
    peers->counters->links_lost++;
}

/* -- sending ---------------------------------------------------------------------------------- */

static int send_to(struct peers *peers, struct bytes routing, struct bytes batch)
{
    if (zmq_send(peers->socket, routing.data, routing.length, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0 ||
        zmq_send(peers->socket, batch.data, batch.length, ZMQ_DONTWAIT) < 0)
        return ERROR_CLOSED;
    peers->look = true;
    peers->counters->batches_out++;
    peers->counters->bytes_out += batch.length;
    return 0;
}

void peer_send(struct peers *peers, struct peer *peer)
{
    size_t size = WIRE_HEADER_SIZE + wire_batch_size(&peer->out);
    uint64_t number = wire_flow_send(&peer->flow, size);
    struct bytes bytes = wire_batch_finish(&peer->out, peer->flow.link, number, peer->flow.received);
    int result = send_to(peers, routing_key(peer), bytes);

    wire_batch_clear(&peer->out);
    peer->sent = loop_now(peers->loop);
    peer->received_bytes = 0;
    if (result) {
        peer_close(peers, peer);
        peer->kind->lost(peer->argument, peer);
    } else if (peer->flow.unacknowledged_bytes > peers->settings->max_unacknowledged) {
        peer->kind->behind(peer->argument, peer);
    }
}

void peer_flush(struct peers *peers, struct peer *peer)
{
    if (peer->out.records || peer->received_bytes > ACKNOWLEDGE_BYTES)
        peer_send(peers, peer);
}

void peer_resync(struct peers *peers, struct peer *peer, const char *reason)
{
    wire_batch_clear(&peer->out);
    wire_put_resync(&peer->out, &(struct wire_resync){.reason = bytes_from_text(reason)});
    peer_send(peers, peer);
    peer_close(peers, peer);
}

static bool may_read(const struct peers *peers)
{
    int events = 0;
    size_t size = sizeof events;

    return zmq_getsockopt(peers->socket, ZMQ_EVENTS, &events, &size) == 0 && events & ZMQ_POLLIN;
}

void peers_settle(struct peers *peers)
{
    if (peers->look) {
        peers->look = false;
        peers->readable |= may_read(peers);
    }
    if (peers->readable)
        loop_wake_now(peers->loop);
}

/* -- reading ---------------------------------------------------------------------------------- */

/* A peer without a link is told to make one, but not for each of its batches. */
static void rebuff(struct peers *peers, struct bytes routing, uint64_t link, const char *reason)
{
    uint64_t *last = &peers->rebuffed[hash_bytes(routing) % REBUFF_SLOTS];
    uint64_t now = loop_now(peers->loop);
    struct wire_batch batch = {0};

    peers->counters->strangers++;
    if (*last && now - *last < REBUFF_MS)
        return;
    *last = now;
    wire_put_resync(&batch, &(struct wire_resync){.reason = bytes_from_text(reason)});
    /* A peer that is gone needs no word. */
    (void)send_to(peers, routing, wire_batch_finish(&batch, link, WIRE_NUMBER_STRANGER, 0));
    wire_batch_done(&batch);
}

bool peers_version_fits(struct peers *peers, uint64_t minor, struct bytes name, struct bytes program,
                        const char **refusal)
{
    if (wire_minor_fits(minor))
        return true;
    peers->counters->versions++;
    log_error("refused a program whose version is too far away: upgrade it, or the router, first",
              "peer=%.*s program_version=%.*s protocol=%d.%llu ours=%d.%d", BYTES_PRINTF(name),
              BYTES_PRINTF(program), WIRE_MAJOR, (unsigned long long)minor, WIRE_MAJOR, WIRE_MINOR);
    snprintf(peers->refusal, sizeof peers->refusal,
             "the router speaks version %d.%d of the protocol, not %d.%llu; its program is " HUBBUB_VERSION,
             WIRE_MAJOR, WIRE_MINOR, WIRE_MAJOR, (unsigned long long)minor);
    *refusal = peers->refusal;
    return false;
}

const char *peers_address(const struct peers *peers)
{
    const char *address = peers->batch ? zmq_msg_gets(peers->batch, "Peer-Address") : NULL;

    return address ? address : "-";
}

static void fault(struct peers *peers, struct peer *peer, enum peer_fault what, const char *text)
{
    peers->counters->malformed++;
    peer->kind->fault(peer->argument, peer, what, text);
}

static struct peer *make_peer(struct peers *peers, struct bytes routing, struct wire_reader *reader,
                              const char **refusal)
{
    unsigned type;

    reader->lenient = true; /* only the record tells */
    if (reader->number != 1 || wire_reader_next(reader, &type) != 1)
        return NULL;
    for (unsigned i = 0; i < peers->kind_count; i++)
        if (peers->kinds[i].kind->first == type)
            return peers->kinds[i].kind->greet(peers->kinds[i].argument, routing, reader, refusal);
    return NULL;
}

/* The first batch of a stranger must begin a link.  NULL when this one does not. */
static struct peer *greet(struct peers *peers, struct bytes routing, struct wire_reader *reader)
{
    const char *refusal = "say hello first";
    struct peer *peer = make_peer(peers, routing, reader, &refusal);

    if (!peer) {
        rebuff(peers, routing, reader->link, refusal);
        return NULL;
    }
    open_peer(peers, peer, routing, reader->link);
    if (wire_flow_receive(&peer->flow, reader->link, reader->number, reader->acknowledged) < 0) {
        fault(peers, peer, PEER_FAULT_NUMBERS, "acknowledges what was never sent");
        return NULL;
    }
    return peer;
}

static void take_records(struct peers *peers, struct peer *peer, struct wire_reader *reader)
{
    unsigned type = 0;
    int result;

    reader->lenient = peer->minor < WIRE_MINOR;
    while ((result = wire_reader_next(reader, &type)) > 0) {
        result = peer->kind->record(peer->argument, peer, reader, type);
        if (result < 0)
            break;
        if (!peer->open)
            return;
        peer_split(peers, peer);
    }
    if (result < 0)
        fault(peers, peer, PEER_FAULT_RECORD,
              wire_type_name(type) ? wire_type_name(type) : error_text(result));
}

static void take_batch(struct peers *peers, struct bytes routing, struct bytes batch)
{
    struct peer *peer = table_find(&peers->by_routing, routing);
    struct wire_reader reader = {0};
    int result = wire_reader_open(&reader, batch);

    peers->counters->batches_in++;
    peers->counters->bytes_in += batch.length;
    if (result == ERROR_UNSUPPORTED) {
        peers->counters->versions++;
        log_error("refused a program of another major version", "protocol=%llu ours=%d.%d linked=%d",
                  (unsigned long long)wire_major(batch), WIRE_MAJOR, WIRE_MINOR, peer != NULL);
        if (!peer) /* it can't read this but for the version, and can say so to its people */
            rebuff(peers, routing, 0, "another version of the protocol");
        return;
    }
    if (result < 0) {
        if (peer)
            fault(peers, peer, PEER_FAULT_BATCH, "header");
        else
            rebuff(peers, routing, 0, "malformed");
        return;
    }
    if (peer)
        result = wire_flow_receive(&peer->flow, reader.link, reader.number, reader.acknowledged);
    else
        peer = greet(peers, routing, &reader);
    if (!peer)
        return;
    if (result < 0) {
        fault(peers, peer, PEER_FAULT_NUMBERS, "batch numbers");
        return;
    }
    peer_hold(peer);
    peer->heard = loop_now(peers->loop);
    peer->received_bytes += batch.length;
    take_records(peers, peer, &reader);
    peer_release(peer);
}

/* Reads one ZeroMQ message of one or more parts.  False when there is none. */
static bool read_message(struct peers *peers, size_t *bytes)
{
    zmq_msg_t routing, batch, extra;
    bool more;

    zmq_msg_init(&routing);
    if (zmq_msg_recv(&routing, peers->socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&routing);
        return false;
    }
    zmq_msg_init(&batch);
    more = zmq_msg_more(&routing) && zmq_msg_recv(&batch, peers->socket, ZMQ_DONTWAIT) >= 0 &&
           zmq_msg_more(&batch);
    *bytes += zmq_msg_size(&batch);
    if (more) {
        zmq_msg_close(&batch);
        zmq_msg_init(&batch); /* a batch is one part: what came is none */
    }
    while (more) {
        zmq_msg_init(&extra);
        more = zmq_msg_recv(&extra, peers->socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&extra);
        zmq_msg_close(&extra);
    }
    peers->batch = &batch;
    take_batch(peers, bytes_make(zmq_msg_data(&routing), zmq_msg_size(&routing)),
               bytes_make(zmq_msg_data(&batch), zmq_msg_size(&batch)));
    peers->batch = NULL;
    zmq_msg_close(&batch);
    zmq_msg_close(&routing);
    return true;
}

void peers_read(struct peers *peers)
{
    size_t bytes = 0;

    gate_serve(&peers->gate);
    if (!peers->readable)
        return;
    peers->readable = false;
    for (int i = 0; i < BATCHES_A_TURN && bytes < BYTES_A_TURN; i++)
        if (!read_message(peers, &bytes))
            return;
    peers->readable = true;
}

static void on_ready(void *arg, int fd, unsigned ready)
{
    struct peers *peers = arg;

    (void)fd;
    (void)ready;
    peers->readable = true;
}

/* -- time ------------------------------------------------------------------------------------- */

static void on_tick(void *arg)
{
    struct peers *peers = arg;
    uint64_t now = loop_now(peers->loop);
    bool stalled = now - peers->ticked > peers->settings->heartbeat + STALLED_MS;

    peers->ticked = now;
    for (unsigned i = 0; i < peers->kind_count; i++)
        peers->kinds[i].kind->tick(peers->kinds[i].argument, now, stalled);
}

/* -- life of the socket ----------------------------------------------------------------------- */

static int set_number(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int bind_endpoint(struct peers *peers, char *message, size_t message_size)
{
    const char *endpoint = peers->settings->listen;
    const char *path = strncmp(endpoint, "ipc://", 6) == 0 && endpoint[6] != '@' ? endpoint + 6 : NULL;
    mode_t former;
    int result;

    /* ZeroMQ would take the path away from one that still listens there. */
    if (path && unix_socket_answers(path)) {
        snprintf(message, message_size, "%s: another process listens there", endpoint);
        return ERROR_LOCKED;
    }
    former = umask(0177);
    result = zmq_bind(peers->socket, endpoint);
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

int peers_open(struct peers *peers, const struct router_settings *settings, struct loop *loop,
               struct counters *counters, char *message, size_t message_size)
{
    int64_t batch_max = settings->max_batch;
    size_t fd_size = sizeof(int);
    int fd = -1;
    int result;

    *peers = (struct peers){
        .settings = settings, .counters = counters, .loop = loop, .ticked = loop_now(loop), .readable = true};
    table_init(&peers->by_routing, routing_key);
    peers->rebuffed = memory_zero(REBUFF_SLOTS, sizeof *peers->rebuffed);
    peers->context = zmq_ctx_new();
    peers->socket = peers->context ? zmq_socket(peers->context, ZMQ_ROUTER) : NULL;
    if (!peers->socket || set_number(peers->socket, ZMQ_ROUTER_MANDATORY, 1) < 0 ||
        set_number(peers->socket, ZMQ_LINGER, 0) < 0 ||
        set_number(peers->socket, ZMQ_SNDHWM, QUEUE_MAX) < 0 ||
        set_number(peers->socket, ZMQ_RCVHWM, QUEUE_MAX) < 0 ||
        zmq_setsockopt(peers->socket, ZMQ_MAXMSGSIZE, &batch_max, sizeof batch_max) < 0) {
        snprintf(message, message_size, "ZeroMQ: %s", zmq_strerror(zmq_errno()));
        return ERROR_SYSTEM;
    }
    result = gate_open(&peers->gate, settings, loop, peers->context, peers->socket, counters, message,
                       message_size);
    if (!result)
        result = bind_endpoint(peers, message, message_size);
    if (result)
        return result;
    if (zmq_getsockopt(peers->socket, ZMQ_FD, &fd, &fd_size) == 0)
        peers->watch = loop_watch_new(loop, fd, LOOP_READ, on_ready, peers);
    if (!peers->watch) {
        snprintf(message, message_size, "can't watch the ZeroMQ socket");
        return ERROR_SYSTEM;
    }
    loop_timer_init(&peers->timer, loop, on_tick, peers);
    loop_timer_repeat(&peers->timer, settings->heartbeat / 4 + 1);
    return 0;
}

void peers_add_kind(struct peers *peers, const struct peer_kind *kind, void *argument)
{
    assert(peers->kind_count < PEER_KINDS_MAX);
    peers->kinds[peers->kind_count].kind = kind;
    peers->kinds[peers->kind_count++].argument = argument;
}

void peers_stop(struct peers *peers)
{
    loop_timer_stop(&peers->timer);
}

void peers_done(struct peers *peers, int linger_ms)
{
    assert(peers->by_routing.count == 0);
    loop_watch_free(peers->watch);
    if (peers->socket) {
        (void)set_number(peers->socket, ZMQ_LINGER, linger_ms);
        zmq_close(peers->socket);
    }
    gate_close(&peers->gate);
    if (peers->context)
        zmq_ctx_term(peers->context);
    if (peers->by_routing.key)
        table_done(&peers->by_routing);
    free(peers->rebuffed);
    *peers = (struct peers){0};
}
