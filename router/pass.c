/*
 * The gateways' words to each other; see pass.h.  The dispatcher calls it for PASS, the links' removal and
 * the end of a replay for the rest.  Its one surprising rule: for as long as a silent gateway would be kept,
 * a router that has just started takes one that it does not know for one that has yet to say hello.
 */
#include "router/pass.h"

/* A question that reached nobody goes back: to ask again, or not to. */
static void bounce(struct router *router, struct gateway_link *link, const struct wire_pass *record,
                   bool known)
{
    bool again = known || router_is_young(router);
    struct wire_batch *out = link_out(link);

    if (again)
        router->counters.passes_again++;
    else
        router->counters.passes_unknown++;
    if (out)
        wire_put_passed(out, &(struct wire_passed){.from = record->to,
                                                   .number = record->number,
                                                   .kind = again ? WIRE_PASS_AGAIN : WIRE_PASS_UNKNOWN,
                                                   .sid = record->sid});
}

int pass_on(struct router *router, struct gateway_link *link, const struct wire_pass *record)
{
    struct gateway_link *to;
    struct wire_batch *out;

    if (record->kind < WIRE_PASS_QUESTIONS)
        return ERROR_PROTOCOL;
    to = links_find(&router->links, record->to);
    out = to ? link_out(to) : NULL;
    if (out) {
        router->counters.passes++;
        wire_put_passed(out, &(struct wire_passed){.from = link->incarnation,
                                                   .number = record->number,
                                                   .kind = record->kind,
                                                   .sid = record->sid,
                                                   .body = record->body});
        link_split(&router->links, to);
    } else if (record->kind < WIRE_PASS_ANSWERS) {
        bounce(router, link, record, to);
    } else {
        router->counters.dropped_passes++;
    }
    return 0;
}

void pass_gone(struct router *router, const struct gateway_link *link)
{
    for (uint32_t i = 0; i < router->links.count; i++) {
        struct wire_batch *out = link_out(router->links.all[i]);

        if (out)
            wire_put_gone(out, &(struct wire_gone){.incarnation = link->incarnation});
    }
}

void pass_back(struct router *router, const struct gateway_link *link)
{
    for (uint32_t i = 0; i < router->links.count; i++) {
        struct gateway_link *other = router->links.all[i];
        struct wire_batch *out = other != link ? link_out(other) : NULL;

        if (out)
            wire_put_back(out, &(struct wire_back){.incarnation = link->incarnation});
    }
}
