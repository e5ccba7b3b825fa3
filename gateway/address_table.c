/*
 * Addresses and what they do; see address_table.h.  quota.c asks it.  The surprising rule: nothing runs by
 * time; what has become meaningless leaves when something else comes.
 */
#include "gateway/address_table.h"

#include "common/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
    NETWORK_BYTES = 8, /* of an IPv6 address */
    TRIM_STEP = 256,   /* addresses that leave at once; any number above 1 keeps up with those that come */
};

static struct bytes key_of(const void *entry)
{
    const struct client_network *address = entry;

    return bytes_make((const char *)&address->network, sizeof address->network);
}

void address_table_init(struct address_table *table, uint32_t idle_max)
{
    *table = (struct address_table){.idle_max = idle_max};
    table_init(&table->by_network, key_of);
}

void address_table_done(struct address_table *table)
{
    uint32_t cursor = 0;
    struct client_network *address;

    while ((address = table_next(&table->by_network, &cursor)))
        free(address);
    table_done(&table->by_network);
}

/* -- those without connections ---------------------------------------------------------------- */

static void idle_add(struct address_table *table, struct client_network *address)
{
    address->older = table->newest;
    address->newer = NULL;
    if (table->newest)
        table->newest->newer = address;
    else
        table->oldest = address;
    table->newest = address;
    table->idle_count++;
}

static void idle_remove(struct address_table *table, struct client_network *address)
{
    *(address->newer ? &address->newer->older : &table->newest) = address->older;
    *(address->older ? &address->older->newer : &table->oldest) = address->newer;
    table->idle_count--;
}

static void forget(struct address_table *table, struct client_network *address)
{
    table_remove(&table->by_network, address);
    free(address);
}

/* Lets some of the oldest go while there are too many, or while they mean nothing any more: many may come to
   mean nothing at the same time, and one turn is not to pay for all of them. */
static void trim(struct address_table *table, uint64_t now_us)
{
    for (unsigned left = TRIM_STEP;
         left && table->oldest &&
         (table->idle_count > table->idle_max || token_bucket_is_full(&table->oldest->connects, now_us));
         left--) {
        struct client_network *oldest = table->oldest;

        idle_remove(table, oldest);
        forget(table, oldest);
    }
}

/* -- connections ------------------------------------------------------------------------------ */

static struct ip_address network_of(const struct ip_address *from)
{
    static const uint8_t ipv4[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct ip_address network = *from;

    if (memcmp(from->bytes, ipv4, sizeof ipv4) != 0)
        memset(&network.bytes[NETWORK_BYTES], 0, IP_ADDRESS_BYTES - NETWORK_BYTES);
    return network;
}

/* It has no connections, and is in no list. */
static struct client_network *address_new(struct address_table *table, const struct ip_address *network)
{
    struct client_network *address = memory_zero(1, sizeof *address);

    address->network = *network;
    table_insert(&table->by_network, address);
    return address;
}

static void settle(struct address_table *table, struct client_network *address, uint64_t now_us)
{
    if (address->connections == 0)
        idle_add(table, address);
    trim(table, now_us);
}

enum address_verdict address_admit(struct address_table *table, const struct ip_address *from,
                                   const struct token_rate *rate, uint32_t most, uint64_t now_us,
                                   struct client_network **out)
{
    struct ip_address network = network_of(from);
    struct client_network *address =
        table_find(&table->by_network, bytes_make((const char *)&network, sizeof network));
    enum address_verdict verdict = ADDRESS_ADMITTED;

    if (!address)
        address = address_new(table, &network);
    else if (address->connections == 0)
        idle_remove(table, address);
    if (most && address->connections >= most)
        verdict = ADDRESS_TOO_MANY;
    else if (!token_bucket_take(&address->connects, rate, now_us))
        verdict = ADDRESS_TOO_FAST;
    else {
        address->connections++;
        *out = address;
    }
    settle(table, address, now_us);
    return verdict;
}

void address_release(struct address_table *table, struct client_network *address, uint64_t now_us)
{
    address->connections--;
    settle(table, address, now_us);
}
