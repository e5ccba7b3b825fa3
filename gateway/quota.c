/*
 * Limits on what one client may use; see quota.h.  The listener, connection.c and whoever takes in events
 * call it.  The surprising rule: refusing costs nearly as much as serving, so a client that does not heed
 * refusals is left unread instead, and its own TCP slows it down.
 */
#include "gateway/quota.h"

#include "common/memory.h"
#include "gateway/client_source.h"
#include "gateway/connection.h"
#include "gateway/entrance.h"
#include "gateway/gateway.h"

#include <stdlib.h>

enum {
    US_PER_MS = 1000,
    REFUSALS_HEARD = 32, /* refusals in a row before a client is left unread */
};

/* Of a connection. */
struct quota {
    struct token_bucket events;
    struct client_network *network; /* that it counts for; NULL: none */
    uint32_t refused;               /* events in a row */
};

static struct token_rate event_rate(const struct gateway_settings *settings)
{
    return (struct token_rate){.per_second = settings->events_per_second, .burst = settings->events_burst};
}

static bool limits_addresses(const struct gateway_settings *settings)
{
    return settings->connects_per_second || settings->max_connections_per_address;
}

static bool is_on(const struct gateway_settings *settings)
{
    return settings->events_per_second || limits_addresses(settings);
}

static uint64_t now_us(const struct gateway *gateway)
{
    return loop_now(gateway->loop) * US_PER_MS;
}

/* NULL: nothing was noted of it. */
static struct quota *quota_of(const struct gateway *gateway, const struct connection *connection)
{
    uint32_t slot = (uint32_t)connection->number;

    return slot < gateway->quotas.capacity ? &gateway->quotas.by_slot[slot] : NULL;
}

/* Makes room for it. */
static struct quota *quota_reach(struct gateway *gateway, const struct connection *connection)
{
    struct quotas *quotas = &gateway->quotas;
    uint32_t slot = (uint32_t)connection->number, capacity = quotas->capacity ? quotas->capacity : 64;

    while (capacity <= slot)
        capacity *= 2;
    if (capacity > quotas->capacity) {
        quotas->by_slot = memory_resize(quotas->by_slot, capacity * sizeof *quotas->by_slot);
        memset(&quotas->by_slot[quotas->capacity], 0,
               (capacity - quotas->capacity) * sizeof *quotas->by_slot);
        quotas->capacity = capacity;
    }
    return &quotas->by_slot[slot];
}

void quotas_init(struct gateway *gateway)
{
    gateway->quotas = (struct quotas){0};
    address_table_init(&gateway->quotas.addresses, gateway->settings->max_idle_addresses);
}

void quotas_done(struct gateway *gateway)
{
    address_table_done(&gateway->quotas.addresses);
    free(gateway->quotas.by_slot);
}

/* -- addresses -------------------------------------------------------------------------------- */

/* Whether it may have one connection more; counts the refusal if not.  *out is NULL where it counts for none. */
static bool admit(struct gateway *gateway, const struct connection *connection, const struct ip_address *from,
                  struct client_network **out)
{
    const struct gateway_settings *settings = gateway->settings;
    struct token_rate rate = {.per_second = settings->connects_per_second, .burst = settings->connects_burst};
    bool told = connection->entrance && connection->entrance->told;

    *out = NULL;
    if (!limits_addresses(settings) || !ip_address_is_known(from) ||
        (!told && ip_ranges_have(&settings->trusted_ranges, from)))
        return true;
    switch (address_admit(&gateway->quotas.addresses, from, &rate, settings->max_connections_per_address,
                          now_us(gateway), out)) {
    case ADDRESS_TOO_FAST:
        gateway->counters.address_too_fast++;
        return false;
    case ADDRESS_TOO_MANY:
        gateway->counters.address_too_many++;
        return false;
    case ADDRESS_ADMITTED:
        break;
    }
    return true;
}

bool quota_admit(struct gateway *gateway, const struct connection *connection,
                 const struct http_request *request, struct client_network **out)
{
    struct ip_address from;

    *out = NULL;
    if (!limits_addresses(gateway->settings))
        return true;
    from = client_source_of(gateway, connection, request).address;
    return admit(gateway, connection, &from, out);
}

void quota_begin(struct gateway *gateway, const struct connection *connection, struct client_network *network)
{
    if (is_on(gateway->settings))
        *quota_reach(gateway, connection) = (struct quota){.network = network};
}

void quota_end(struct gateway *gateway, const struct connection *connection)
{
    struct quota *quota = quota_of(gateway, connection);

    if (!quota)
        return;
    if (quota->network)
        address_release(&gateway->quotas.addresses, quota->network, now_us(gateway));
    *quota = (struct quota){0};
}

bool quota_attribute(struct gateway *gateway, const struct connection *connection,
                     const struct http_request *request)
{
    struct ip_address from;
    struct quota *quota;

    if (!limits_addresses(gateway->settings))
        return true;
    quota = quota_reach(gateway, connection);
    if (quota->network)
        return true;
    from = request ? client_source_of(gateway, connection, request).address : connection_address(connection);
    return admit(gateway, connection, &from, &quota->network);
}

/* -- events ----------------------------------------------------------------------------------- */

bool quota_take_event(struct gateway *gateway, struct connection *connection)
{
    struct token_rate rate = event_rate(gateway->settings);
    struct quota *quota;

    if (rate.per_second == 0)
        return true;
    quota = quota_reach(gateway, connection);
    if (token_bucket_take(&quota->events, &rate, now_us(gateway))) {
        quota->refused = 0;
        return true;
    }
    if (++quota->refused >= REFUSALS_HEARD)
        connection_pause(gateway, connection);
    return false;
}

bool quota_may_resume(const struct gateway *gateway, const struct connection *connection)
{
    struct token_rate rate = event_rate(gateway->settings);
    const struct quota *quota = quota_of(gateway, connection);

    if (rate.per_second == 0 || !quota || quota->refused < REFUSALS_HEARD)
        return true;
    return token_bucket_left(&quota->events, &rate, now_us(gateway)) >= (rate.burst + 1) / 2;
}
