/*
 * Who asked for something, a backend or a gateway's HTTP publisher, and OUTCOME: what came of it.
 *
 * A backend goes on under its incarnation with another link; a gateway's new link asks again.
 */
#ifndef HUBBUB_ROUTER_OUTCOME_H
#define HUBBUB_ROUTER_OUTCOME_H

#include "proto/refusal.h"
#include "router/backend.h"

/* One of the two, and the number that OUTCOME names. */
struct asker {
    struct gateway_link *gateway;
    struct backend *backend;
    uint64_t number;
};

/* The same with a hold of its own. */
struct asker asker_hold(const struct asker *asker);
void asker_release(const struct asker *asker);

/* The incarnation that its numbers belong to. */
uint64_t asker_incarnation(const struct asker *asker);

/* It went well.  id empty, seqs of length 0 and at 0 where there is nothing to say. */
void outcome_put(struct router *router, const struct asker *asker, struct bytes id, struct bytes seqs,
                 uint64_t at);

/* It did not, and nothing of it was done; message NULL for the usual one. */
void outcome_refuse(struct router *router, const struct asker *asker, enum refusal_code code,
                    const char *message);

/* What no backend may send: cuts it off.  A gateway's publisher is refused. */
void outcome_reject(struct router *router, const struct asker *asker, enum backend_cut why,
                    enum refusal_code code, const char *message);

#endif
