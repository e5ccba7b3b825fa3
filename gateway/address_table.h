/*
 * Who connects, by address: how many connections each address has, and how fast it makes them.
 *
 * Of IPv6 the network counts, its first 64 bits, since one
 * client has as many addresses in there as it likes.
 *
 * An address is kept while it has connections, or while its bucket is not full; of those without connections
 * at most so many are kept as the table was made for, and the oldest leave first, some hundreds whenever
 * somebody comes or goes.  So a stranger with many addresses makes it no larger than that, though he makes
 * it forget others' buckets.
 */
#ifndef HUBBUB_GATEWAY_ADDRESS_TABLE_H
#define HUBBUB_GATEWAY_ADDRESS_TABLE_H

#include "common/ip_address.h"
#include "common/table.h"
#include "common/token_bucket.h"

#include <stdbool.h>
#include <stdint.h>

struct client_network {
    struct ip_address network;
    uint32_t connections;
    struct token_bucket connects;
    struct client_network *newer, *older; /* in the list of those without connections */
};

struct address_table {
    struct table by_network;
    struct client_network *newest, *oldest; /* of those without connections */
    uint32_t idle_count, idle_max;
};

void address_table_init(struct address_table *table, uint32_t idle_max);
void address_table_done(struct address_table *table);

enum address_verdict { ADDRESS_ADMITTED, ADDRESS_TOO_FAST, ADDRESS_TOO_MANY };

/*
 * Another connection from there, at now_us: admitted, it counts until address_release(), and *out is the
 * address then.  A refused one takes nothing.  most 0: as many connections as it likes.
 */
enum address_verdict address_admit(struct address_table *table, const struct ip_address *from,
                                   const struct token_rate *rate, uint32_t most, uint64_t now_us,
                                   struct client_network **out);

/* One of its connections is gone; the address may be, after that. */
void address_release(struct address_table *table, struct client_network *address, uint64_t now_us);

#endif
