/*
 * Draining; see drain.h.  main.c begins it for a signal, router_records.c for an operator.  The surprising
 * rule: a client whose turn has come is not read any more, and closed only when the router has answered what it
 * asked before, so its last publish has an outcome that it knows; only for a backend's answer nobody waits
 * longer than the drain takes.
 */
#include "gateway/drain.h"

#include "common/memory.h"
#include "gateway/arrival.h"
#include "gateway/engine.h"
#include "gateway/gateway.h"
#include "gateway/http_service.h"
#include "gateway/listener.h"

#include <stdlib.h>

enum {
    STEP_MS = 20,
    LATE_MS = 1000,    /* for who is connected and has asked nothing yet when the port is closed */
    ANSWERS_MS = 3000, /* for the last answers, once all have had their turn */
    LEAVE_MS = 3000,   /* for clients to take their Close frames, after that */
    REOPEN_MS = 1000,
};

struct drain_asking {
    uint64_t number; /* the connection's */
    bool stopped;    /* it is not read because of us */
};

static uint64_t now(const struct gateway *gateway)
{
    return loop_now(gateway->loop);
}

bool drain_announced(const struct gateway *gateway)
{
    return gateway->drain.state != DRAIN_SERVING;
}

/* -- clients --------------------------------------------------------------------------------- */

/* A session, or a bare WebSocket; not HTTP, nor what is on its way to a session elsewhere. */
static bool is_client(const struct connection *connection)
{
    return connection->state == CONNECTION_OPEN && connection->heartbeat_due && !connection->arrival;
}

/* Has the router still to answer it?  Backends may take as long as they like. */
static bool is_asking(const struct connection *connection)
{
    for (const struct socket *socket = connection->sockets; socket; socket = socket->next)
        if (socket->unanswered || socket->calls)
            return true;
    return false;
}

static void tell(struct gateway *gateway, struct connection *connection)
{
    struct drain *drain = &gateway->drain;

    drain->told++;
    if (!is_asking(connection)) {
        engine_close(gateway, connection, CLOSE_DRAIN);
        return;
    }
    if (drain->asking_count == drain->asking_capacity) {
        drain->asking_capacity = drain->asking_capacity ? drain->asking_capacity * 2 : 64;
        drain->asking = memory_resize(drain->asking, drain->asking_capacity * sizeof *drain->asking);
    }
    drain->asking[drain->asking_count++] = (struct drain_asking){
        .number = connection->number, .stopped = connection->fd >= 0 && !connection->stopped};
    connection->leaving = true;
    if (connection->fd >= 0)
        connection_stop_reading(gateway, connection); /* last: if it fails, the connection is gone */
}

/* Those whose turn it is; all of them in the end, also who came by an upgrade meanwhile. */
static void tell_next(struct gateway *gateway)
{
    struct drain *drain = &gateway->drain;
    uint64_t passed = now(gateway) - drain->began;
    bool last = passed >= drain->spread;
    uint64_t due = last ? UINT64_MAX : drain->clients * passed / drain->spread;

    if (last)
        drain->cursor = 0;
    while (drain->told < due) {
        struct connection *connection = slot_table_next(&gateway->connections.slots, &drain->cursor);

        if (!connection)
            break;
        if (is_client(connection) && !connection->leaving)
            tell(gateway, connection);
    }
    drain->all_told = last;
    drain->told_at = now(gateway);
}

static void close_answered(struct gateway *gateway)
{
    struct drain *drain = &gateway->drain;
    bool patient = !drain->all_told || now(gateway) - drain->told_at < ANSWERS_MS;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < drain->asking_count; i++) {
        struct connection *connection = connections_find(gateway, drain->asking[i].number);

        if (!connection || connection->state != CONNECTION_OPEN)
            continue;
        if (patient && is_asking(connection))
            drain->asking[kept++] = drain->asking[i];
        else {
            connection->leaving = false;
            engine_close(gateway, connection, CLOSE_DRAIN);
        }
    }
    drain->asking_count = kept;
}

/* Whatever it is, and whatever it waits for. */
static void end_connection(struct gateway *gateway, struct connection *connection)
{
    if (http_is_spoken(connection) && connection->exchange)
        return; /* it ends with its answer */
    if (connection->arrival)
        arrival_end(gateway, connection, CLOSE_DRAIN);
    else if (!connection->heartbeat_due) /* still HTTP */
        connection_end(gateway, connection, CLOSE_DRAIN);
    else
        engine_close(gateway, connection, CLOSE_DRAIN);
}

static void end_http(struct gateway *gateway, struct connection *connection)
{
    if (!connection->heartbeat_due)
        end_connection(gateway, connection);
}

static void drop(struct gateway *gateway, struct connection *connection)
{
    connection_drop(gateway, connection, CLOSE_DRAIN);
}

/* -- steps ----------------------------------------------------------------------------------- */

static void forget_asking(struct drain *drain)
{
    free(drain->asking);
    drain->asking = NULL;
    drain->asking_count = drain->asking_capacity = 0;
}

/* Those that are still to be told have that long from now on. */
static void set_pace(struct gateway *gateway, uint64_t spread)
{
    struct drain *drain = &gateway->drain;
    const struct connection *connection;
    uint32_t cursor = 0;

    drain->clients = drain->told = drain->cursor = 0;
    while ((connection = slot_table_next(&gateway->connections.slots, &cursor)))
        drain->clients += is_client(connection) && !connection->leaving;
    drain->began = now(gateway);
    drain->spread = (uint64_t)drain->clients * 1000 / DRAIN_PACE;
    if (drain->spread > spread)
        drain->spread = spread;
    log_info("draining", "clients=%u connections=%u spread_ms=%llu", drain->clients,
             gateway->connections.slots.count, (unsigned long long)drain->spread);
}

/* Is there anybody whose request has not come yet?  Whether it is the first one can't be told. */
static bool has_newcomers(const struct gateway *gateway)
{
    const struct connection *connection;
    uint32_t cursor = 0;

    while ((connection = slot_table_next(&gateway->connections.slots, &cursor)))
        if (connection->state == CONNECTION_OPEN && !connection->heartbeat_due && !connection->arrival &&
            !(http_is_spoken(connection) && connection->exchange))
            return true;
    return false;
}

/* The kernel would reset what waits at a port that is closed, though the client takes it for connected. */
static void close_port(struct gateway *gateway)
{
    struct drain *drain = &gateway->drain;

    listener_accept_waiting(gateway->listener);
    listener_free(gateway->listener);
    gateway->listener = NULL;
    drain->state = DRAIN_LATE;
    drain->late_until = now(gateway) + (has_newcomers(gateway) ? LATE_MS : 0);
}

static void begin_closing(struct gateway *gateway)
{
    struct drain *drain = &gateway->drain;

    drain->state = DRAIN_CLOSING;
    gateway->draining = true;
    relay_release_polls(gateway);
    drain->all_told = false;
    drain->answered_at = 0;
    set_pace(gateway, drain->spread);
}

static void finish(struct gateway *gateway)
{
    struct drain *drain = &gateway->drain;

    loop_timer_stop(&drain->timer);
    forget_asking(drain);
    if (gateway->connections.slots.count)
        log_warn("clients that did not go are cut off", "connections=%u", gateway->connections.slots.count);
    connections_each(gateway, drop);
    drain->state = DRAIN_EMPTY;
    log_info("drained", "clients=%u took_ms=%llu", drain->told,
             (unsigned long long)(now(gateway) - drain->closing_at));
    if (!drain->ends)
        return;
    link_say_bye(gateway->link);
    loop_stop(gateway->loop);
}

static void on_step(void *arg)
{
    struct gateway *gateway = arg;
    struct drain *drain = &gateway->drain;

    if (drain->state == DRAIN_NOTICE && now(gateway) >= drain->closing_at)
        close_port(gateway);
    if (drain->state == DRAIN_LATE && now(gateway) >= drain->late_until)
        begin_closing(gateway);
    if (drain->state != DRAIN_CLOSING)
        return;
    if (!drain->all_told)
        tell_next(gateway);
    close_answered(gateway);
    if (!drain->all_told)
        return;
    if (!drain->asking_count && !drain->answered_at)
        drain->answered_at = now(gateway);
    /* Polls of sessions that are told come on connections that are there; nobody else needs them. */
    if (gateway->counters.polling_sessions == 0)
        connections_each(gateway, end_http);
    if (gateway->connections.slots.count == 0 ||
        (drain->answered_at && now(gateway) - drain->answered_at >= LEAVE_MS))
        finish(gateway);
}

static void begin_steps(struct gateway *gateway)
{
    loop_timer_init(&gateway->drain.timer, gateway->loop, on_step, gateway);
    loop_timer_repeat(&gateway->drain.timer, STEP_MS);
    on_step(gateway);
}

void drain_begin(struct gateway *gateway, uint64_t spread, bool ends)
{
    struct drain *drain = &gateway->drain;

    drain->ends |= ends;
    if (spread == DRAIN_DEFAULT)
        spread = gateway->settings->drain_time;
    switch (drain->state) {
    case DRAIN_SERVING:
        drain->state = DRAIN_NOTICE;
        drain->spread = spread;
        drain->closing_at = now(gateway) + gateway->settings->drain_delay;
        log_info("drain begins", "delay_ms=%u ends=%d", gateway->settings->drain_delay, drain->ends);
        begin_steps(gateway);
        break;
    case DRAIN_REOPENING: /* no balancer has sent anybody yet */
        loop_timer_stop(&drain->timer);
        drain->spread = spread;
        drain->closing_at = now(gateway);
        log_info("drain begins", "delay_ms=0 ends=%d", drain->ends);
        begin_closing(gateway);
        begin_steps(gateway);
        break;
    case DRAIN_EMPTY:
        if (drain->ends)
            finish(gateway);
        break;
    case DRAIN_NOTICE:
    case DRAIN_LATE:
        if (drain->spread > spread)
            drain->spread = spread;
        break;
    case DRAIN_CLOSING:
        if (!drain->all_told && now(gateway) + spread < drain->began + drain->spread)
            set_pace(gateway, spread);
    }
}

void drain_at_once(struct gateway *gateway)
{
    struct drain *drain = &gateway->drain;

    log_warn("draining at once", "connections=%u", gateway->connections.slots.count);
    loop_timer_stop(&drain->timer);
    listener_free(gateway->listener);
    gateway->listener = NULL;
    gateway->draining = true;
    connections_each(gateway, end_connection);
    link_say_bye(gateway->link);
    loop_stop(gateway->loop);
}

/* -- serving again --------------------------------------------------------------------------- */

static void on_reopen(void *arg)
{
    struct gateway *gateway = arg;

    if (listener_new(gateway, &gateway->listener) < 0)
        return; /* which was logged */
    loop_timer_stop(&gateway->drain.timer);
    gateway->draining = false;
    gateway->drain.state = DRAIN_SERVING;
    log_info("serving again", "port=%u", gateway->settings->port);
}

void drain_resume(struct gateway *gateway)
{
    struct drain *drain = &gateway->drain;

    if (drain->state == DRAIN_SERVING || drain->state == DRAIN_REOPENING || drain->ends)
        return;
    loop_timer_stop(&drain->timer);
    for (uint32_t i = 0; i < drain->asking_count; i++) {
        struct connection *connection = connections_find(gateway, drain->asking[i].number);

        if (!connection)
            continue;
        connection->leaving = false;
        if (drain->asking[i].stopped)
            connection_start_reading(gateway, connection);
    }
    forget_asking(drain);
    if (gateway->listener) { /* nobody has been told */
        drain->state = DRAIN_SERVING;
        log_info("serving again", "port=%u", gateway->settings->port);
        return;
    }
    drain->state = DRAIN_REOPENING;
    loop_timer_init(&drain->timer, gateway->loop, on_reopen, gateway);
    loop_timer_repeat(&drain->timer, REOPEN_MS);
    on_reopen(gateway);
}

void drain_done(struct gateway *gateway)
{
    loop_timer_stop(&gateway->drain.timer);
    forget_asking(&gateway->drain);
}
