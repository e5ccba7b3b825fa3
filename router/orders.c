/*
 * Orders to gateways; see orders.h.  The stats socket and the links call it.  Its one surprising rule: an order
 * to a gateway that can't be reached now is not refused, it waits for the next link.
 */
#include "router/orders.h"

#include "common/memory.h"

#include <stdlib.h>

enum drain_order { DRAIN_NONE, DRAIN_ON, DRAIN_OFF };

struct order {
    struct order *next;
    uint64_t incarnation;
    enum drain_order drain;
    uint64_t seconds, until; /* until: ms; both 0 for the gateway's own setting */
    const char *level;       /* NULL: none was given */
};

static struct order **find(struct router *router, const struct gateway_link *link)
{
    struct order **at = &router->orders;

    while (*at && (*at)->incarnation != link->incarnation)
        at = &(*at)->next;
    return at;
}

static struct order *get(struct router *router, const struct gateway_link *link)
{
    struct order **at = find(router, link);

    if (!*at) {
        *at = memory_zero(1, sizeof **at);
        (*at)->incarnation = link->incarnation;
    }
    return *at;
}

static void drop(struct order **at)
{
    struct order *order = *at;

    *at = order->next;
    free(order);
}

void orders_forget(struct router *router, const struct gateway_link *link)
{
    struct order **at = find(router, link);

    if (*at)
        drop(at);
}

void orders_done(struct router *router)
{
    while (router->orders)
        drop(&router->orders);
}

bool orders_draining(const struct router *router, const struct gateway_link *link)
{
    const struct order *order = router->orders;

    while (order && order->incarnation != link->incarnation)
        order = order->next;
    return order && order->drain == DRAIN_ON;
}

/* What is left of the time that it was given, 1 at least. */
static uint64_t seconds_left(const struct router *router, const struct order *order)
{
    uint64_t now = loop_now(router->loop);

    if (order->seconds == 0)
        return 0;
    return order->until > now ? (order->until - now + 999) / 1000 : 1;
}

static void put_drain(struct order *order, struct wire_batch *out)
{
    wire_put_drain(out, &(struct wire_drain){.on = order->drain == DRAIN_ON,
                                             .seconds = order->drain == DRAIN_ON ? order->seconds : 0});
    if (order->drain == DRAIN_OFF)
        order->drain = DRAIN_NONE; /* once: it may drain for another reason later */
}

void orders_live(struct router *router, struct gateway_link *link)
{
    struct order *order = *find(router, link);

    if (!order)
        return;
    order->seconds = seconds_left(router, order);
    if (order->drain != DRAIN_NONE)
        put_drain(order, &link->peer.out);
    if (order->level)
        wire_put_level(&link->peer.out, &(struct wire_level){.level = bytes_from_text(order->level)});
}

static void order_drain(struct stats_request *request, struct gateway_link *link, enum drain_order drain,
                        uint64_t seconds)
{
    struct router *router = request->router;
    struct order *order = get(router, link);
    struct wire_batch *out = link_out(link);

    order->drain = drain;
    order->seconds = seconds;
    order->until = loop_now(router->loop) + seconds * 1000;
    log_info("gateway has an order", "gateway=%s order=%s seconds=%llu", link->name,
             drain == DRAIN_ON ? "drain" : "resume", (unsigned long long)seconds);
    if (out)
        put_drain(order, out);
    report_done(&request->report, NULL, 0);
}

enum stats_outcome orders_drain(struct stats_request *request)
{
    unsigned count = request->command->count;
    unsigned long long seconds = 0;
    struct gateway_link *link;

    if (count < 2 || count > 3)
        return stats_misused(request);
    if (count == 3 && (bytes_parse_u64(stats_word(request, 2), &seconds) < 0 || seconds == 0 ||
                       seconds > ORDER_SECONDS_MAX))
        return stats_misused_word(request, "SECONDS is a whole number from 1 to %d", ORDER_SECONDS_MAX);
    link = stats_find_gateway(request->router, stats_word(request, 1));
    if (!link)
        return stats_refuse(request, "no such gateway");
    order_drain(request, link, DRAIN_ON, seconds);
    return STATS_ANSWERED;
}

enum stats_outcome orders_resume(struct stats_request *request)
{
    struct gateway_link *link;

    if (request->command->count != 2)
        return stats_misused(request);
    link = stats_find_gateway(request->router, stats_word(request, 1));
    if (!link)
        return stats_refuse(request, "no such gateway");
    order_drain(request, link, DRAIN_OFF, 0);
    return STATS_ANSWERED;
}

static void order_level(struct router *router, struct gateway_link *link, enum log_level level)
{
    struct wire_batch *out = link_out(link);

    get(router, link)->level = log_level_names[level];
    if (out)
        wire_put_level(out, &(struct wire_level){.level = bytes_from_text(log_level_names[level])});
}

static void set_own_level(enum log_level level)
{
    if (level > log_get_level())
        log_set_level(level); /* the more talkative of both levels shows the line */
    log_warn("log level changed", "level=%s", log_level_names[level]);
    log_set_level(level);
}

/* [router|GATEWAY] LEVEL; without a name all of them. */
enum stats_outcome orders_loglevel(struct stats_request *request)
{
    struct router *router = request->router;
    unsigned count = request->command->count;
    struct gateway_link *link = NULL;
    enum log_level level;

    if (count < 2 || count > 3)
        return stats_misused(request);
    if (log_level_find(stats_word(request, count - 1), &level) < 0)
        return stats_misused_word(request, "LEVEL is error, warn, info or debug");
    if (count == 3 && !command_is(request->command, 1, "router")) {
        link = stats_find_gateway(router, stats_word(request, 1));
        if (!link)
            return stats_refuse(request, "no such gateway");
        order_level(router, link, level);
    } else {
        set_own_level(level);
        for (uint32_t i = 0; count == 2 && i < router->links.count; i++)
            order_level(router, router->links.all[i], level);
    }
    report_done(&request->report, NULL, 0);
    return STATS_ANSWERED;
}
