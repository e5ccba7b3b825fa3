/*
 * Outcomes; see outcome.h.  What backends and HTTP publishers ask for ends here.  Its one surprising rule: an
 * asker without a live link is told nothing, since it asks again on its next one, under the same number.
 */
#include "router/outcome.h"

static struct wire_batch *open_batch(const struct asker *asker)
{
    return asker->gateway ? link_out(asker->gateway) : backend_out(asker->backend);
}

struct asker asker_hold(const struct asker *asker)
{
    if (asker->gateway)
        link_hold(asker->gateway);
    else
        backend_hold(asker->backend);
    return *asker;
}

void asker_release(const struct asker *asker)
{
    if (asker->gateway)
        link_release(asker->gateway);
    else
        backend_release(asker->backend);
}

uint64_t asker_incarnation(const struct asker *asker)
{
    return asker->gateway ? asker->gateway->incarnation : asker->backend->incarnation;
}

static void put(struct router *router, const struct asker *asker, const struct wire_outcome *outcome)
{
    struct wire_batch *out = open_batch(asker);

    if (!out)
        return;
    wire_put_outcome(out, outcome);
    if (asker->gateway)
        link_split(&router->links, asker->gateway);
    else
        backend_split(router, asker->backend);
}

void outcome_put(struct router *router, const struct asker *asker, struct bytes id, struct bytes seqs,
                 uint64_t at)
{
    put(router, asker, &(struct wire_outcome){.number = asker->number, .id = id, .seqs = seqs, .at = at});
}

void outcome_refuse(struct router *router, const struct asker *asker, enum refusal_code code,
                    const char *message)
{
    router->counters.refused[code]++;
    put(router, asker,
        &(struct wire_outcome){.number = asker->number,
                               .error = bytes_from_text(refusal_text(code)),
                               .message = bytes_from_text(message ? message : refusal_message(code))});
}

void outcome_reject(struct router *router, const struct asker *asker, enum backend_cut why,
                    enum refusal_code code, const char *message)
{
    if (asker->backend)
        backend_cut(router, asker->backend, why);
    else
        outcome_refuse(router, asker, code, message);
}
