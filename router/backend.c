/*
 * Links of backends; see backend.h.  The peers call it, and the router at the end of a turn.  Its one
 * surprising rule: a backend that reads too slowly is found out while something is sent to it, but cut off
 * only at the end of the turn, because being cut off hands its sockets over, and whoever was sending still
 * holds one.
 */
#include "router/backend.h"

#include "common/log.h"
#include "common/memory.h"
#include "proto/json_scan.h"
#include "proto/utf8.h"
#include "router/backed.h"
#include "router/backend_dispatch.h"
#include "router/judge.h"
#include "router/question.h"

#include <assert.h>
#include <stdlib.h>

static const char *const state_texts[] = {"greeting", "live", "lost"};

#define FIELD(name) offsetof(struct counters, name)

static const struct {
    const char *text;
    size_t counter;
} cuts[] = {
#define X(name, counter, text) [BACKEND_CUT_##name] = {text, FIELD(counter)},
    BACKEND_CUT_TABLE(X)
#undef X
};

const char *backend_state_text(enum backend_state state)
{
    return state_texts[state];
}

bool backend_serves(const struct backend *backend, struct bytes namespace)
{
    for (uint32_t i = 0; i < backend->namespace_count; i++)
        if (bytes_equal(backend->namespaces[i], namespace) ||
            (memchr(backend->namespaces[i].data, '*', backend->namespaces[i].length) &&
             namespace_pattern_matches(backend->namespaces[i], namespace)))
            return true;
    return false;
}

bool backends_serve(const struct router *router, const struct namespace *namespace)
{
    const struct backends *backends = router->backends;

    for (uint32_t i = 0; i < backends->count; i++)
        if (backends->all[i]->state == BACKEND_LIVE && backend_serves(backends->all[i], namespace->name))
            return true;
    return false;
}

bool backend_data_valid(struct bytes data)
{
    struct json_value value;

    return data.length == 0 ||
           (data.length <= BACKEND_DATA_MAX && utf8_valid(data) && json_scan(data, &value) == 0);
}

/* -- life of a backend ------------------------------------------------------------------------ */

static void forget_namespaces(struct backend *backend)
{
    for (uint32_t i = 0; i < backend->namespace_count; i++)
        free((char *)backend->namespaces[i].data);
    free(backend->namespaces);
    backend->namespaces = NULL;
    backend->namespace_count = 0;
}

static void free_backend(struct peer *peer)
{
    struct backend *backend = (struct backend *)peer;

    assert(!backend->first);
    forget_namespaces(backend);
    wire_list_done(&backend->unwelcome);
    free(backend->name);
    peer_done(peer);
    free(backend);
}

static void lose(struct router *router, struct backend *backend)
{
    peer_close(&router->peers, &backend->peer);
    backend->state = BACKEND_LOST;
}

static void remove_backend(struct router *router, struct backend *backend)
{
    struct backends *backends = router->backends;
    uint32_t at = 0;

    lose(router, backend);
    while (at < backends->count && backends->all[at] != backend)
        at++;
    if (at == backends->count)
        return; /* it has been removed already, and is held */
    backends->all[at] = backends->all[--backends->count];
    questions_forget(router, backend);
    backed_hand_over(router, backend);
    peer_remove(&backend->peer);
}

void backend_cut(struct router *router, struct backend *backend, enum backend_cut why)
{
    if (!backend->peer.open)
        return;
    log_warn("backend is cut off", "backend=%s incarnation=%llx why=\"%s\" sockets=%u", backend->name,
             (unsigned long long)backend->incarnation, cuts[why].text, backend->sockets);
    ++*(uint64_t *)((char *)&router->counters + cuts[why].counter);
    wire_put_cut(&backend->peer.out, &(struct wire_cut){.reason = bytes_from_text(cuts[why].text)});
    peer_send(&router->peers, &backend->peer);
    remove_backend(router, backend);
}

void backend_leave(struct router *router, struct backend *backend)
{
    log_info("backend leaves", "backend=%s incarnation=%llx sockets=%u", backend->name,
             (unsigned long long)backend->incarnation, backend->sockets);
    remove_backend(router, backend);
}

void backend_split(struct router *router, struct backend *backend)
{
    peer_split(&router->peers, &backend->peer);
}

/* -- hello ------------------------------------------------------------------------------------ */

/* A copy of the names; NULL when they are none. */
static struct bytes *read_namespaces(struct bytes namespaces, uint32_t *count)
{
    struct wire_reader list;
    int number = wire_list_open(&list, namespaces);
    struct bytes *names, name;

    *count = 0;
    if (number < 1 || number > BACKEND_NAMESPACES_MAX)
        return NULL;
    names = memory_new((size_t)number * sizeof *names);
    while (*count < (uint32_t)number && wire_list_text(&list, &name) == 0 && namespace_name_valid(name))
        names[(*count)++] = bytes_make(memory_text(name.data, name.length), name.length);
    if (*count == (uint32_t)number)
        return names;
    while (*count > 0)
        free((char *)names[--*count].data);
    free(names);
    return NULL;
}

static struct backend *find(const struct backends *backends, uint64_t incarnation)
{
    for (uint32_t i = 0; i < backends->count; i++)
        if (backends->all[i]->incarnation == incarnation)
            return backends->all[i];
    return NULL;
}

static const struct peer_kind backend_kind;

static struct backend *make(struct router *router, const struct wire_serve *serve)
{
    struct backends *backends = router->backends;
    struct backend *backend = memory_zero(1, sizeof *backend);

    peer_init(&backend->peer, &backend_kind, router);
    backend->incarnation = serve->incarnation;
    backends->all = memory_resize(backends->all, (backends->count + 1) * sizeof(struct backend *));
    backends->all[backends->count++] = backend;
    return backend;
}

static struct peer *on_greet(void *argument, struct bytes routing, struct wire_reader *reader,
                             const char **refusal)
{
    struct router *router = argument;
    struct backend *backend;
    struct bytes *namespaces;
    struct wire_serve serve;
    uint32_t count;

    (void)routing;
    if (wire_get_serve(reader, &serve) < 0 || !room_name_valid(serve.name) || serve.incarnation == 0) {
        *refusal = "SERVE wants a name and an incarnation";
        return NULL;
    }
    if (!peers_version_fits(&router->peers, serve.minor, serve.name, serve.program_version, refusal))
        return NULL;
    namespaces = read_namespaces(serve.namespaces, &count);
    if (!namespaces) {
        *refusal = "SERVE wants 1 to 64 names or patterns of namespaces";
        return NULL;
    }
    backend = find(router->backends, serve.incarnation);
    if (!backend && router->backends->count >= router->settings->max_backends) {
        log_error("too many backends", "backend=%.*s limit=%u", BYTES_PRINTF(serve.name),
                  router->settings->max_backends);
        *refusal = "too many backends";
        for (uint32_t i = 0; i < count; i++)
            free((char *)namespaces[i].data);
        free(namespaces);
        return NULL;
    }
    if (!backend)
        backend = make(router, &serve);
    peer_close(&router->peers, &backend->peer);
    forget_namespaces(backend);
    free(backend->name);
    backend->name = memory_text(serve.name.data, serve.name.length);
    backend->namespaces = namespaces;
    backend->namespace_count = count;
    snprintf(backend->version, sizeof backend->version, "%.*s", BYTES_PRINTF(serve.program_version));
    backend->peer.minor = serve.minor;
    backend->state = BACKEND_GREETING;
    backend->slow = false;
    backend->greeted = 0;
    memset(backend->answered, 0, sizeof backend->answered);
    wire_list_clear(&backend->unwelcome);
    return &backend->peer;
}

int backend_greeted(struct router *router, struct backend *backend, const struct wire_serve_end *record)
{
    if (record->sockets != backend->greeted)
        return ERROR_PROTOCOL;
    backend->state = BACKEND_LIVE;
    wire_put_serving(&backend->peer.out,
                     &(struct wire_serving){.epoch = bytes_from_text(journal_epoch(router->journal)),
                                            .heartbeat = router->settings->heartbeat,
                                            .dead = router->settings->dead,
                                            .max_event = router->settings->max_event,
                                            .minor = WIRE_MINOR,
                                            .program_version = BYTES(HUBBUB_VERSION)});
    router->counters.backends++;
    log_info("backend is live", "backend=%s incarnation=%llx version=%s held=%llu", backend->name,
             (unsigned long long)backend->incarnation, backend->version,
             (unsigned long long)backend->greeted);
    backed_greeted(router, backend);
    return 0;
}

/* -- what peers call -------------------------------------------------------------------------- */

static int on_record(void *argument, struct peer *peer, struct wire_reader *reader, unsigned type)
{
    return backend_dispatch(argument, (struct backend *)peer, reader, type);
}

static void on_fault(void *argument, struct peer *peer, enum peer_fault fault, const char *what)
{
    struct router *router = argument;
    struct backend *backend = (struct backend *)peer;

    log_warn("malformed batch", "backend=%s what=%s", backend->name, what);
    if (fault != PEER_FAULT_NUMBERS) {
        backend_cut(router, backend, BACKEND_CUT_NONSENSE);
        return;
    }
    peer_resync(&router->peers, peer, "batch numbers");
    lose(router, backend);
}

static void on_lost(void *argument, struct peer *peer)
{
    struct backend *backend = (struct backend *)peer;

    (void)argument;
    log_warn("backend is lost", "backend=%s incarnation=%llx sockets=%u", backend->name,
             (unsigned long long)backend->incarnation, backend->sockets);
    backend->state = BACKEND_LOST;
}

static void on_behind(void *argument, struct peer *peer)
{
    (void)argument;
    ((struct backend *)peer)->slow = true;
}

static void on_tick(void *argument, uint64_t now, bool stalled)
{
    struct router *router = argument;
    struct backends *backends = router->backends;

    for (uint32_t i = backends->count; i-- > 0;) {
        struct backend *backend = backends->all[i];

        if (!stalled && now - backend->peer.heard > router->settings->dead) {
            log_warn("backend is gone", "backend=%s incarnation=%llx sockets=%u silent_ms=%llu",
                     backend->name, (unsigned long long)backend->incarnation, backend->sockets,
                     (unsigned long long)(now - backend->peer.heard));
            router->counters.backends_dead++;
            remove_backend(router, backend);
        } else if (backend->peer.open && now - backend->peer.sent >= router->settings->heartbeat) {
            peer_send(&router->peers, &backend->peer);
        }
    }
    if (!stalled)
        backed_tick(router, now);
}

static const struct peer_kind backend_kind = {
    .first = WIRE_TYPE_SERVE,
    .greet = on_greet,
    .record = on_record,
    .fault = on_fault,
    .lost = on_lost,
    .behind = on_behind,
    .tick = on_tick,
    .free = free_backend,
};

/* -- all of them ------------------------------------------------------------------------------ */

void backends_init(struct router *router)
{
    router->backends = memory_zero(1, sizeof *router->backends);
    router->backends->sockets = backed_sockets_new(router);
    router->backends->tasks = tasks_new(router);
    router->backends->judgements = judgements_new();
}

void backends_attach(struct router *router)
{
    peers_add_kind(&router->peers, &backend_kind, router);
}

void backends_flush(struct router *router)
{
    struct backends *backends = router->backends;

    for (uint32_t i = backends->count; i-- > 0;)
        if (backends->all[i]->slow)
            backend_cut(router, backends->all[i], BACKEND_CUT_SLOW);
    backed_settle(router);
    for (uint32_t i = 0; i < backends->count; i++)
        if (backends->all[i]->peer.open)
            peer_flush(&router->peers, &backends->all[i]->peer);
}

void backends_done(struct router *router)
{
    struct backends *backends = router->backends;

    while (backends->count)
        remove_backend(router, backends->all[0]);
    while (backends->sockets->first)
        backed_remove(router, backends->sockets->first);
    judgements_free(backends->judgements);
    tasks_free(backends->tasks);
    backed_sockets_free(backends->sockets);
    free(backends->all);
    free(backends);
    router->backends = NULL;
}
