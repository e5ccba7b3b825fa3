/*
 * What becomes of sockets as backends come and go; see backed.h.  Its one surprising rule: after the router's
 * start a backend may name sockets that no gateway has named yet.  Such a claim waits for the gateway, as
 * long as the router is young, and until then nobody else gets a socket that a backend could still claim.
 */
#include "router/backed.h"

#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>

enum { CLAIMS_MAX = 4 << 20 };

struct claim {
    struct backend *backend; /* the claim ends with it */
    char sid[SID_LENGTH];
};

static struct bytes claim_key(const void *entry)
{
    const struct claim *claim = entry;

    return bytes_make(claim->sid, SID_LENGTH);
}

static void take_away(struct backend *backend, struct bytes sid)
{
    struct wire_batch *out = backend_out(backend);

    if (out)
        wire_put_taken_away(out, &(struct wire_taken_away){.sid = sid});
    else
        wire_list_put_text(&backend->unwelcome, sid);
}

/* -- claims ----------------------------------------------------------------------------------- */

struct backend *backed_claimant(struct router *router, struct bytes sid)
{
    struct table *claims = &router->backends->sockets->claims;
    struct claim *claim = table_find(claims, sid);
    struct backend *backend;

    if (!claim)
        return NULL;
    backend = claim->backend;
    table_remove(claims, claim);
    free(claim);
    return backend;
}

static void add_claim(struct router *router, struct backend *backend, struct bytes sid)
{
    struct table *claims = &router->backends->sockets->claims;
    struct claim *claim = table_find(claims, sid);

    if (claim && claim->backend == backend)
        return;
    if (claim || claims->count >= CLAIMS_MAX) {
        take_away(backend, sid);
        return;
    }
    claim = memory_zero(1, sizeof *claim);
    claim->backend = backend;
    memcpy(claim->sid, sid.data, SID_LENGTH);
    table_insert(claims, claim);
}

/* Ends those of a backend, or with NULL all. */
static void end_claims(struct router *router, const struct backend *backend)
{
    struct table *claims = &router->backends->sockets->claims;
    uint32_t count = 0, cursor = 0;
    struct claim **ended, *claim;

    if (claims->count == 0)
        return;
    ended = memory_new(claims->count * sizeof(struct claim *));
    while ((claim = table_next(claims, &cursor)))
        if (!backend || claim->backend == backend)
            ended[count++] = claim;
    for (uint32_t i = 0; i < count; i++) {
        table_remove(claims, ended[i]);
        if (!backend)
            take_away(ended[i]->backend, bytes_make(ended[i]->sid, SID_LENGTH));
        free(ended[i]);
    }
    free(ended);
}

/* Whoever holds a socket has said so by now. */
static void on_maturity(void *arg)
{
    struct router *router = arg;
    struct backed_sockets *sockets = router->backends->sockets;

    if (router_is_young(router)) {
        loop_timer_start(&sockets->maturity, 1);
        return;
    }
    end_claims(router, NULL);
    for (struct backed *backed = sockets->first; backed; backed = backed->next)
        backed->foreign = false;
    sockets->waiting = true;
}

/* -- a hello ---------------------------------------------------------------------------------- */

void backed_hold(struct router *router, struct backend *backend, struct bytes sid)
{
    struct backed *backed = backed_find(router, sid);

    if (!backed && router_is_young(router)) {
        add_claim(router, backend, sid);
    } else if (backed && backed->kind != WIRE_CONNECTION_NEW &&
               (!backed->backend || backed->backend == backend)) {
        if (!backed->backend)
            backed_assign(router, backed, backend);
        backed_forget(router, backed);
        backed->kind = WIRE_CONNECTION_HELD;
        backed->foreign = false;
    } else if (!backed || backed->backend != backend) {
        wire_list_put_text(&backend->unwelcome, sid);
    } /* else it is asked again whether it may connect */
}

static void put_unwelcome(struct backend *backend)
{
    struct wire_reader list;
    int count = backend->unwelcome.count ? wire_list_open(&list, wire_list_finish(&backend->unwelcome)) : 0;
    struct bytes sid;

    while (count-- > 0 && wire_list_text(&list, &sid) == 0)
        wire_put_taken_away(backend_out(backend), &(struct wire_taken_away){.sid = sid});
    wire_list_clear(&backend->unwelcome);
}

/* It is another backend's, or nobody's; one that its backend knew is handed over. */
static void detach(struct router *router, struct backed *backed)
{
    router->counters.handed_over += backed->state == BACKED_OPEN;
    backed_forget(router, backed);
    backed_assign(router, backed, NULL);
    router->backends->sockets->waiting = true;
}

/* What a backend has on its new link: those that it held, those that it may never have heard of, and others'.
 */
static void greet_socket(struct router *router, struct backend *backend, struct backed *backed)
{
    struct bytes sid = bytes_make(backed->sid, SID_LENGTH);
    bool serves = !backed->session || backend_serves(backend, backed->session->namespace->name);

    if (!serves && backed->kind == WIRE_CONNECTION_HELD)
        take_away(backend, sid);
    if (!serves || backed->state == BACKED_OPEN) {
        if (backed->kind == WIRE_CONNECTION_HELD)
            backed->kind = WIRE_CONNECTION_HANDED;
        detach(router, backed);
        return;
    }
    backed_forget(router, backed);
    backed_pump(router, backed);
}

/* Sessions of its namespaces that were no backend's business so far. */
static void find_sessions(struct router *router, const struct backend *backend)
{
    struct session *session;
    uint32_t cursor = 0;

    while ((session = table_next(&router->sessions.by_sid, &cursor))) {
        if (!session->link || session->backed || session->recovering ||
            !backend_serves(backend, session->namespace->name) || session->link->state == LINK_GREETING ||
            session->link->state == LINK_WAITING)
            continue;
        backed_new(router, session, WIRE_CONNECTION_HANDED)->foreign = router_is_young(router);
    }
}

void backed_greeted(struct router *router, struct backend *backend)
{
    struct backed *next;

    put_unwelcome(backend);
    for (struct backed *backed = backend->first; backed; backed = next) {
        next = backed->next;
        greet_socket(router, backend, backed);
    }
    find_sessions(router, backend);
    router->backends->sockets->waiting = true;
}

/* -- the end ---------------------------------------------------------------------------------- */

void backed_hand_over(struct router *router, struct backend *backend)
{
    end_claims(router, backend);
    while (backend->first) {
        if (backend->first->kind == WIRE_CONNECTION_HELD)
            backend->first->kind = WIRE_CONNECTION_HANDED;
        detach(router, backend->first);
    }
}

/* Goes on where it had too much at once. */
static void give_deferred(struct router *router, struct backend *backend)
{
    if (!backend->deferred || backend_used(backend) > router->settings->max_unacknowledged / 4)
        return;
    backend->deferred = false;
    for (struct backed *backed = backend->first; backed; backed = backed->next)
        backed_pump(router, backed);
}

void backed_settle(struct router *router)
{
    struct backed_sockets *sockets = router->backends->sockets;
    struct backed *next;

    for (uint32_t i = 0; i < router->backends->count; i++)
        give_deferred(router, router->backends->all[i]);
    if (!sockets->waiting && !(sockets->more && sockets->asking <= BACKED_ASKING_MAX / 2))
        return;
    sockets->waiting = sockets->more = false;
    for (struct backed *backed = sockets->first; backed; backed = next) {
        next = backed->next;
        backed_give(router, backed);
    }
}

struct backed_sockets *backed_sockets_new(struct router *router)
{
    struct backed_sockets *sockets = memory_zero(1, sizeof *sockets);

    backed_table_init(&sockets->by_sid);
    table_init(&sockets->claims, claim_key);
    loop_timer_init(&sockets->maturity, router->loop, on_maturity, router);
    loop_timer_start(&sockets->maturity, router->settings->dead);
    return sockets;
}

void backed_sockets_free(struct backed_sockets *sockets)
{
    assert(sockets->by_sid.count == 0 && sockets->claims.count == 0);
    loop_timer_stop(&sockets->maturity);
    table_done(&sockets->by_sid);
    table_done(&sockets->claims);
    free(sockets);
}
