/*
 * Puts the parts together and orders the end of a turn; see gateway.h.  The order matters: what the router
 * and the timers bring goes to the rooms, the rooms to the connections, the connections to the kernel; what
 * all of that had to say to the router goes last, in one batch.
 */
#include "gateway/gateway.h"

#include "gateway/admin.h"
#include "gateway/arrival.h"
#include "gateway/engine.h"
#include "gateway/http_service.h"
#include "gateway/listener.h"
#include "gateway/metrics.h"
#include "gateway/tls_store.h"
#include "gateway/upgrade.h"
#include "proto/deflate.h"

void gateway_advance_timers(struct gateway *gateway)
{
    uint64_t now = loop_now(gateway->loop);

    if (gateway->timers_advanced == now)
        return;
    gateway->timers_advanced = now;
    timer_wheel_advance(&gateway->timers, now, connections_on_timer, gateway);
}

static void on_turn_end(void *arg)
{
    struct gateway *gateway = arg;

    link_look(gateway->link);
    connections_wake(gateway);
    if (gateway->reading.paused_count && !link_congested(gateway->link))
        connections_resume(gateway);
    gateway_advance_timers(gateway);
    upgrade_look(gateway);
    fanout_flush(gateway);
    connections_flush(gateway);
    publishing_settle(gateway);
    link_flush(gateway->link);
    connections_reap(gateway);
    loop_set_deadline(gateway->loop, timer_wheel_next_due(&gateway->timers));
}

int gateway_prepare(struct gateway *gateway, const struct gateway_settings *settings, struct loop *loop)
{
    *gateway = (struct gateway){.settings = settings, .loop = loop};
    histograms_init(&gateway->histograms);
    gateway->incarnation = session_draw_incarnation();
    timer_wheel_init(&gateway->timers, loop_now(loop));
    gateway->tokens = settings->tokens;
    grant_table_init(&gateway->grants);
    connections_init(&gateway->connections);
    connection_reading_init(&gateway->reading);
    quotas_init(gateway);
    fanout_init(&gateway->fanout);
    if (settings->compression || bytes_from_text(settings->msgpack_path).length)
        gateway->encoder = encoder_new(settings->compression_threshold);
    requests_init(&gateway->requests);
    sessions_init(&gateway->sessions);
    relays_start(gateway);
    gateway->deflate = deflate_new();
    namespace_table_init(&gateway->namespaces, &settings->namespaces, settings->max_pattern_namespaces);
    gateway->poller = poller_new(loop, connections_on_event, gateway);
    return gateway->poller ? 0 : ERROR_SYSTEM;
}

/* -- TLS -------------------------------------------------------------------------------------- */

/* 0, or ERROR_CONFIG after logging what is wrong. */
static int open_tls(struct gateway *gateway)
{
    const struct tls_plan *plan = &gateway->settings->tls;
    struct buffer error = {0};
    int result = plan->files.count ? tls_store_open(plan, &gateway->tls, &error) : 0;

    if (result < 0)
        log_error("no TLS", "error=%.*s", BYTES_PRINTF(buffer_bytes(&error)));
    else if (gateway->tls)
        tls_store_warn_of_time(gateway->tls, plan);
    buffer_done(&error);
    return result;
}

/* -- start and end ------------------------------------------------------------------------------ */

int gateway_start(struct gateway *gateway, const struct gateway_settings *settings, struct loop *loop)
{
    int result = gateway_prepare(gateway, settings, loop);

    if (result < 0)
        return result;
    result = open_tls(gateway);
    if (result < 0)
        return result;
    result = listener_new(gateway, &gateway->listener);
    if (result < 0)
        return result;
    result = link_new(gateway, &gateway->link);
    if (result < 0)
        return result;
    result = admin_open(gateway, &gateway->admin);
    if (result < 0)
        return result;
    loop_on_turn_end(loop, on_turn_end, gateway);
    loop_measure(loop, &gateway->histograms.turn, &gateway->histograms.lag);
    return 0;
}

bool gateway_is_healthy(const struct gateway *gateway, const char **why)
{
    if (drain_announced(gateway))
        *why = "draining";
    else if (link_away(gateway->link) > gateway->settings->dead)
        *why = "the router is away";
    else
        return true;
    return false;
}

void gateway_done(struct gateway *gateway)
{
    drain_done(gateway);
    listener_free(gateway->listener);
    admin_close(gateway->admin);
    if (gateway->poller)
        connections_done(gateway, CLOSE_DRAIN);
    connection_reading_done(&gateway->reading);
    quotas_done(gateway);
    relays_done(gateway);
    link_free(gateway->link);
    poller_free(gateway->poller);
    tls_store_free(gateway->tls);
    namespace_table_done(&gateway->namespaces);
    slot_table_done(&gateway->sockets);
    grant_table_done(&gateway->grants);
    sessions_done(&gateway->sessions);
    requests_done(&gateway->requests);
    publishing_done(&gateway->publishing);
    deflate_free(gateway->deflate);
    buffer_done(&gateway->inflated);
    buffer_done(&gateway->unpacked);
    wire_list_done(&gateway->unpacked_attachments);
    fanout_done(&gateway->fanout);
    deliver_space_done(&gateway->deliver);
    exceptions_done(&gateway->exceptions);
    encoder_free(gateway->encoder);
    buffer_done(&gateway->scratch);
    if (gateway->answer_head)
        chunk_release(gateway->answer_head);
}
