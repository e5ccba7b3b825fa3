/*
 * The DEALER socket, its batches, its states and the lease; see link.h.  What the router's records mean is in
 * records.c.  The surprising rule: what was received may be worth nothing.  A batch that waited while this
 * process stood still was meant for the time before, so the lease is judged after the batch's acknowledgement
 * was taken in and before any of its records is.
 */
#include "app/link.h"

#include "app/app.h"
#include "app/records.h"
#include "common/clock.h"
#include "common/dealer.h"
#include "common/memory.h"
#include "common/random.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <zmq.h>

enum {
    HEARTBEAT_MS = 1000, /* until SERVING says what they are */
    DEAD_MS = 5000,
    MAX_EVENT = 1000000,
    INTERVAL_MAX_MS = 600000,
    CONNECT_PATIENCE_MS = 2000, /* as long as ZeroMQ takes for one attempt */
    REOPEN_MS = 10,
    REOPEN_MAX_MS = 1000,
    BATCHES_A_TURN = 64,
    ACKNOWLEDGE_BYTES = 1 << 20, /* received and not yet acknowledged: worth a batch of its own */
    COMPLAINT_MS = 60000,
    LINGER_MS = 500,
    CUTS_MAX = 3,
};

static void set_state(struct link *link, enum link_state state)
{
    assert(state == LINK_DOWN || state == link->state + 1);
    link->state = state;
}

static void tell_state(struct hubbub_app *app, enum hubbub_state state)
{
    if (app->options.on_state)
        app->options.on_state(app->options.user, app, state);
}

bool link_leased(const struct hubbub_app *app)
{
    const struct link *link = &app->link;

    return link->lease_from && clock_boot_ms() - link->lease_from < link->dead;
}

void link_break(struct hubbub_app *app, const char *why)
{
    if (!app->link.broken)
        app->link.broken = why;
    app->link.look = true;
    app_rouse(app);
}

void link_cut(struct hubbub_app *app)
{
    app->link.cut = true;
    link_break(app, "cut off");
    if (++app->link.cuts < CUTS_MAX)
        return;
    /* It would go on for ever if one of the requests is the cause. */
    app->link.cuts = 0;
    requests_refuse(app, BYTES("cut_off"));
}

/* -- opening and closing --------------------------------------------------------------------- */

static void open_socket(struct hubbub_app *app)
{
    struct link *link = &app->link;
    struct epoll_event event = {.events = EPOLLIN};

    link->socket =
        dealer_open(link->context, app->options.router, &app->secret_key, &app->router_key, &link->fd);
    if (link->socket && epoll_ctl(app->epoll, EPOLL_CTL_ADD, link->fd, &event) < 0) {
        zmq_close(link->socket);
        link->socket = NULL;
    }
    if (!link->socket) {
        app_log(app, HUBBUB_LOG_ERROR, "can't open a ZeroMQ socket: %s", zmq_strerror(zmq_errno()));
        app_timer_start(app, &link->reopen, REOPEN_MAX_MS);
        return;
    }
    wire_flow_reset(&link->flow, random_u64());
    wire_batch_clear(&link->batch);
    link->minor = 0;
    link->received_bytes = 0;
    link->opened = link->last_sent = app->now;
    link->serial++;
    link->pruned = false;
    link->acknowledge = false;
    set_state(link, LINK_CONNECTING);
    link->look = true;
}

static void close_socket(struct hubbub_app *app)
{
    struct link *link = &app->link;
    bool was_live = link->state == LINK_LIVE;

    if (link->socket) {
        epoll_ctl(app->epoll, EPOLL_CTL_DEL, link->fd, NULL);
        zmq_close(link->socket);
    }
    link->socket = NULL;
    link->broken = NULL; /* left already */
    link->look = false;
    set_state(link, LINK_DOWN);
    tasks_unlink(&app->tasks);
    if (!was_live)
        return;
    link->away_since = app->now;
    link->next_complaint = app->now + link->dead;
    tell_state(app, HUBBUB_CONNECTING);
}

/* Leaves this link for a new one. */
static void start_anew(struct hubbub_app *app)
{
    struct link *link = &app->link;
    bool was_live = link->state == LINK_LIVE;

    if (was_live || link->reopen_delay < REOPEN_MAX_MS)
        app_log(app, HUBBUB_LOG_WARN, "link to the router starts anew: %s", link->broken);
    close_socket(app);
    link->reopen_delay = was_live ? REOPEN_MS : link->reopen_delay * 2;
    if (link->cut || link->reopen_delay > REOPEN_MAX_MS)
        link->reopen_delay = REOPEN_MAX_MS;
    link->cut = false;
    app_timer_start(app, &link->reopen, link->reopen_delay);
}

static void on_reopen(struct hubbub_app *app, struct app_timer *timer)
{
    (void)timer;
    open_socket(app);
}

/* -- sending --------------------------------------------------------------------------------- */

/* The times have the flow's numbers and grow with it. */
static void note_time(struct link *link)
{
    uint64_t number = link->flow.sent;

    if (!link->sent_times || number - link->flow.acknowledged > link->sent_mask) {
        uint32_t mask = link->sent_times ? link->sent_mask * 2 + 1 : 63;
        uint64_t *times = memory_new(((size_t)mask + 1) * sizeof *times);

        for (uint64_t n = link->flow.acknowledged + 1; n < number; n++)
            times[n & mask] = link->sent_times[n & link->sent_mask];
        free(link->sent_times);
        link->sent_times = times;
        link->sent_mask = mask;
    }
    link->sent_times[number & link->sent_mask] = clock_boot_ms();
}

/* Sends the batch, empty or not. */
static void send_batch(struct hubbub_app *app)
{
    struct link *link = &app->link;
    uint64_t number = wire_flow_send(&link->flow, WIRE_HEADER_SIZE + wire_batch_size(&link->batch));
    struct bytes bytes = wire_batch_finish(&link->batch, link->flow.link, number, link->flow.received);

    note_time(link);
    if (zmq_send(link->socket, bytes.data, bytes.length, ZMQ_DONTWAIT) < 0)
        link_break(app, "sending failed"); /* no queue takes it: the connection is gone */
    wire_batch_clear(&link->batch);
    link->last_sent = app->now;
    link->received_bytes = 0;
    link->acknowledge = false;
    link->sent = true;
}

void link_split(struct hubbub_app *app)
{
    if (wire_batch_size(&app->link.batch) > WIRE_BATCH_SPLIT)
        send_batch(app);
}

static void say_hello(struct hubbub_app *app)
{
    struct link *link = &app->link;
    const struct hubbub_socket *socket;
    uint32_t cursor = 0;
    uint64_t count = 0;

    wire_list_clear(&link->list);
    for (size_t i = 0; i < app->namespaces.count; i++)
        wire_list_put_text(&link->list, app->namespaces.entries[i]->name);
    wire_put_serve(&link->batch, &(struct wire_serve){.name = bytes_from_text(app->options.name),
                                                      .incarnation = app->incarnation,
                                                      .namespaces = wire_list_finish(&link->list),
                                                      .program_version = BYTES(HUBBUB_VERSION),
                                                      .minor = WIRE_MINOR});
    while ((socket = table_next(&app->sockets.by_sid, &cursor))) {
        if (socket->state == SOCKET_CONNECTING)
            continue; /* the router will ask for it again */
        wire_put_hold(&link->batch, &(struct wire_hold){.sid = socket->sid});
        count++;
        link_split(app);
    }
    wire_put_serve_end(&link->batch, &(struct wire_serve_end){.sockets = count});
    send_batch(app);
    set_state(link, LINK_GREETING);
}

void link_live(struct hubbub_app *app, const struct wire_serving *serving)
{
    struct link *link = &app->link;

    set_state(link, LINK_LIVE);
    link->minor = serving->minor;
    if (serving->heartbeat && serving->heartbeat < INTERVAL_MAX_MS)
        link->heartbeat = serving->heartbeat;
    if (serving->dead && serving->dead <= INTERVAL_MAX_MS)
        link->dead = serving->dead;
    if (serving->max_event)
        link->max_event = serving->max_event;
    link->live_since = app->now;
    link->reopen_delay = REOPEN_MS;
    app_log(app, HUBBUB_LOG_INFO, "link to the router is live");
    requests_send_again(app);
    tell_state(app, HUBBUB_LIVE);
}

void link_flush(struct hubbub_app *app)
{
    struct link *link = &app->link;

    if (link->broken) {
        start_anew(app);
        return;
    }
    if (link->state < LINK_GREETING)
        return;
    if (link->batch.records || link->received_bytes > ACKNOWLEDGE_BYTES || link->acknowledge)
        send_batch(app);
    if (link->sent && !link->broken) {
        /* The descriptor is edge-triggered, and any call may use up its edge. */
        link->sent = false;
        if (dealer_events(link->socket) != ZMQ_POLLOUT)
            link->look = true;
    }
    if (link->broken)
        start_anew(app);
}

/* -- receiving ------------------------------------------------------------------------------- */

/* What the router has acknowledged, it has heard. */
static void renew_lease(struct hubbub_app *app, uint64_t before)
{
    struct link *link = &app->link;
    uint64_t acknowledged = link->flow.acknowledged;

    if (acknowledged == before)
        return;
    /* On the same link it proves that the router has not given us up.  A new one tells of each socket. */
    if (link->state == LINK_GREETING && !link_leased(app))
        link->trusted = link->serial;
    link->lease_from = link->sent_times[acknowledged & link->sent_mask];
    tasks_acknowledged(&app->tasks, acknowledged);
}

/* The one record of a batch with WIRE_NUMBER_STRANGER tells why. */
static void log_refusal(struct hubbub_app *app, struct wire_reader *reader)
{
    struct wire_resync resync;
    unsigned type;

    if (wire_reader_next(reader, &type) == 1 && type == WIRE_TYPE_RESYNC &&
        wire_get_resync(reader, &resync) == 0)
        app_log(app, HUBBUB_LOG_WARN, "the router refuses the link: %.*s", BYTES_PRINTF(resync.reason));
}

/* One batch.  Breaks the link when it can't go on. */
static void read_batch(struct hubbub_app *app, struct bytes bytes)
{
    struct link *link = &app->link;
    struct wire_reader reader;
    uint64_t before = link->flow.acknowledged;
    unsigned type;
    int result = wire_reader_open(&reader, bytes);

    if (result < 0) {
        link_break(app, result == ERROR_UNSUPPORTED ? "the router speaks another major version"
                                                    : "a batch is malformed");
        return;
    }
    if (reader.number == WIRE_NUMBER_STRANGER && reader.link == link->flow.link) {
        log_refusal(app, &reader);
        link_break(app, "the router does not know it");
        return;
    }
    if (wire_flow_receive(&link->flow, reader.link, reader.number, reader.acknowledged) < 0) {
        link_break(app, "a batch is not the next one");
        return;
    }
    link->received_bytes += bytes.length;
    renew_lease(app, before);
    while (!link->broken && !app->doomed && (result = wire_reader_next(&reader, &type)) > 0) {
        reader.lenient = link->minor < WIRE_MINOR;
        result = records_handle(app, &reader, type);
        if (result < 0)
            break;
    }
    if (result == ERROR_CLOSED)
        link_break(app, "this process stood still for too long");
    else if (result == ERROR_UNSUPPORTED)
        link_break(app, "the router's version is too far away from that of this library");
    else if (result < 0)
        link_break(app, "a record is malformed, or out of place");
}

static void receive_batches(struct hubbub_app *app)
{
    struct link *link = &app->link;

    for (int i = 0; i < BATCHES_A_TURN && !link->broken && !app->doomed; i++) {
        zmq_msg_t message;

        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, link->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&message);
            return;
        }
        read_batch(app, bytes_make(zmq_msg_data(&message), zmq_msg_size(&message)));
        zmq_msg_close(&message);
    }
    link->look = true;
}

void link_read(struct hubbub_app *app)
{
    struct link *link = &app->link;
    int events;

    link->look = false;
    if (link->state >= LINK_GREETING)
        receive_batches(app);
    if (link->state == LINK_DOWN || link->broken)
        return;
    events = dealer_events(link->socket);
    if (link->state == LINK_CONNECTING && events & ZMQ_POLLOUT)
        say_hello(app);
    else if (link->state >= LINK_GREETING && !(events & ZMQ_POLLOUT))
        link_break(app, "the connection is gone");
    if (events & ZMQ_POLLIN)
        link->look = true;
}

/* -- time ------------------------------------------------------------------------------------ */

/* Whoever starts a backend with the wrong endpoint should read why nothing works. */
static void complain_of_silence(struct hubbub_app *app)
{
    struct link *link = &app->link;

    if (link->state == LINK_LIVE || app->now < link->next_complaint)
        return;
    app_log(app, HUBBUB_LOG_WARN, "no router answers: endpoint=%s away_ms=%llu", app->options.router,
            (unsigned long long)(app->now - link->away_since));
    link->next_complaint = app->now + COMPLAINT_MS;
}

/* Tasks and sockets of an earlier link that the router has had time to take up again, and did not. */
static void prune(struct hubbub_app *app)
{
    struct link *link = &app->link;

    if (link->pruned || app->now - link->live_since < link->dead)
        return;
    link->pruned = true;
    tasks_prune(&app->tasks, link->serial);
    records_drop_ghosts(app);
}

static void on_tick(struct hubbub_app *app, struct app_timer *timer)
{
    struct link *link = &app->link;

    app_timer_start(app, timer, link->heartbeat / 4 + 1);
    complain_of_silence(app);
    switch (link->state) {
    case LINK_DOWN:
        break;
    case LINK_CONNECTING: /* a refused handshake ends ZeroMQ's own attempts, and the keys may be right by now
                           */
    case LINK_GREETING:
        if (app->now - link->opened > link->dead + CONNECT_PATIENCE_MS)
            link_break(app, "no answer");
        else if (link->state == LINK_GREETING && app->now - link->last_sent >= link->heartbeat)
            link->acknowledge = true;
        break;
    case LINK_LIVE:
        if (!link_leased(app)) {
            link_break(app, "the router is silent");
            break;
        }
        if (app->now - link->last_sent >=
            link->heartbeat / 4) /* often: the lease is as old as what was sent last */
            link->acknowledge = true;
        prune(app);
    }
}

/* -- life ------------------------------------------------------------------------------------ */

int link_init(struct hubbub_app *app)
{
    struct link *link = &app->link;
    void *trial;

    link->heartbeat = HEARTBEAT_MS;
    link->dead = DEAD_MS;
    link->max_event = MAX_EVENT;
    link->reopen_delay = REOPEN_MS;
    link->tick.due = on_tick;
    link->reopen.due = on_reopen;
    link->context = zmq_ctx_new();
    trial = link->context ? dealer_open(link->context, app->options.router, &app->secret_key,
                                        &app->router_key, &link->fd)
                          : NULL;
    if (!trial) {
        app_log(app, HUBBUB_LOG_ERROR, "can't connect to %s: %s", app->options.router,
                zmq_strerror(zmq_errno()));
        return HUBBUB_ERROR_SYSTEM;
    }
    zmq_close(trial);
    return 0;
}

void link_start(struct hubbub_app *app)
{
    app->link.away_since = app->now;
    app->link.next_complaint = app->now + app->link.dead;
    on_tick(app, &app->link.tick);
    open_socket(app);
}

void link_leave(struct hubbub_app *app)
{
    struct link *link = &app->link;

    if (link->state != LINK_LIVE || link->broken)
        return;
    wire_put_leaving(&link->batch, &(struct wire_leaving){.reason = BYTES("stop")});
    zmq_setsockopt(link->socket, ZMQ_LINGER, &(int){LINGER_MS}, sizeof(int));
    send_batch(app);
}

void link_done(struct hubbub_app *app)
{
    struct link *link = &app->link;

    timer_wheel_cancel(&link->tick.wheel);
    timer_wheel_cancel(&link->reopen.wheel);
    if (link->socket)
        zmq_close(link->socket);
    if (link->context)
        zmq_ctx_term(link->context);
    wire_flow_done(&link->flow);
    wire_batch_done(&link->batch);
    wire_batch_done(&link->scratch);
    wire_list_done(&link->list);
    wire_list_done(&link->second_list);
    free(link->sent_times);
}
