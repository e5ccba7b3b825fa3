/*
 * Sockets and their backends; see backed.h.  What happens to sessions is in backed_session.c, what happens to
 * backends in backed_backend.c.  Its one surprising rule: a socket is given to a backend only when the
 * gateway has told its client's handshake, which the router keeps from then on, so that another backend can
 * get it, too.
 */
#include "router/backed.h"

#include "common/memory.h"
#include "router/admission.h"
#include "router/ask.h"

#include <assert.h>
#include <stdlib.h>

static struct bytes sid_key(const void *entry)
{
    const struct backed *backed = entry;

    return bytes_make(backed->sid, SID_LENGTH);
}

void backed_table_init(struct table *table)
{
    table_init(table, sid_key);
}

struct backed *backed_find(const struct router *router, struct bytes sid)
{
    return table_find(&router->backends->sockets->by_sid, sid);
}

bool backed_namespace(const struct router *router, const struct namespace *namespace)
{
    return namespace->config->backend || backends_serve(router, namespace);
}

bool backed_is_judged(const struct session *session)
{
    return session->backed && session->backed->kind == WIRE_CONNECTION_NEW;
}

bool backed_is_busy(const struct session *session)
{
    return session->backed && session->backed->first;
}

/* -- which list it is in ---------------------------------------------------------------------- */

static struct backed **first_of(struct router *router, const struct backed *backed)
{
    return backed->backend ? &backed->backend->first : &router->backends->sockets->first;
}

static struct backed **last_of(struct router *router, const struct backed *backed)
{
    return backed->backend ? &backed->backend->last : &router->backends->sockets->last;
}

static void link_in(struct router *router, struct backed *backed)
{
    struct backed **last = last_of(router, backed);

    backed->next = NULL;
    backed->previous = *last;
    *(*last ? &(*last)->next : first_of(router, backed)) = backed;
    *last = backed;
    ++*(backed->backend ? &backed->backend->sockets : &router->backends->sockets->alone);
}

static void link_out_of(struct router *router, struct backed *backed)
{
    *(backed->previous ? &backed->previous->next : first_of(router, backed)) = backed->next;
    *(backed->next ? &backed->next->previous : last_of(router, backed)) = backed->previous;
    --*(backed->backend ? &backed->backend->sockets : &router->backends->sockets->alone);
    for (struct task *task = backed->first; task; task = task->next)
        task_uncount(task); /* what it was asked is another's now */
}

void backed_assign(struct router *router, struct backed *backed, struct backend *backend)
{
    link_out_of(router, backed);
    backed->backend = backend;
    link_in(router, backed);
}

/* -- life ------------------------------------------------------------------------------------- */

struct backed *backed_new(struct router *router, struct session *session, enum wire_connection_kind kind)
{
    struct backed *backed = memory_zero(1, sizeof *backed);

    assert(!session->backed && session->link);
    backed->router = router;
    backed->session = session;
    backed->kind = kind;
    memcpy(backed->sid, session->pid, SID_LENGTH);
    table_insert(&router->backends->sockets->by_sid, backed);
    link_in(router, backed);
    session->backed = backed;
    return backed;
}

static void stop_asking(struct backed *backed)
{
    if (!backed->ask)
        return;
    ask_cancel(backed->ask);
    backed->ask = NULL;
    backed->router->backends->sockets->asking--;
}

void backed_remove(struct router *router, struct backed *backed)
{
    struct task *task;

    stop_asking(backed);
    while ((task = backed->first)) {
        tasks_remove(router, task);
        task->kind->drop(router, task);
    }
    if (backed->session)
        backed->session->backed = NULL;
    else
        router->backends->sockets->suspended--;
    link_out_of(router, backed);
    table_remove(&router->backends->sockets->by_sid, backed);
    wire_list_done(&backed->rooms);
    free((char *)backed->data.data);
    free((char *)backed->handshake.data);
    free(backed);
}

void backed_append(struct backed *backed, struct task *task)
{
    task->next = NULL;
    task->previous = backed->last;
    *(backed->last ? &backed->last->next : &backed->first) = task;
    backed->last = task;
    if (!backed->unsent)
        backed->unsent = task;
}

void backed_take_out(struct backed *backed, struct task *task)
{
    if (backed->unsent == task)
        backed->unsent = task->next;
    *(task->previous ? &task->previous->next : &backed->first) = task->next;
    *(task->next ? &task->next->previous : &backed->last) = task->previous;
}

void backed_forget(struct router *router, struct backed *backed)
{
    backed->state = BACKED_UNKNOWN;
    backed->unsent = backed->first;
    for (struct task *task = backed->first; task; task = task->next)
        task_wait(router, task);
}

/* -- handshakes ------------------------------------------------------------------------------- */

static void on_told(void *argument, int result, struct bytes handshake)
{
    struct backed *backed = argument;
    struct router *router = backed->router;

    backed->ask = NULL;
    router->backends->sockets->asking--;
    if (result == ERROR_AGAIN && backed->kind == WIRE_CONNECTION_NEW) {
        backed->first->kind->expire(router, backed->first);
        return;
    }
    if (result == ERROR_AGAIN)
        handshake = BYTES("{}");
    else if (result && (!backed->session || backed->session->link == backed->asked))
        return; /* it is gone, as its gateway is going to say, or comes back with a new link */
    if (handshake.length)
        backed->handshake = bytes_make(memory_text(handshake.data, handshake.length), handshake.length);
    backed_give(router, backed);
}

static void start_asking(struct router *router, struct backed *backed)
{
    struct backed_sockets *sockets = router->backends->sockets;

    if (backed->ask)
        return;
    if (sockets->asking >= BACKED_ASKING_MAX) {
        sockets->more = true;
        return;
    }
    backed->asked = backed->session->link;
    /* A link that is not live now will be, or another: backed_link_live(). */
    if (ask_start(router, backed->session, on_told, backed, &backed->ask) == 0)
        sockets->asking++;
}

/* -- giving ----------------------------------------------------------------------------------- */

void backed_list_rooms(const struct session *session, struct wire_list *out)
{
    for (uint16_t i = 0; i < session->room_count; i++)
        if (session_rooms(session)[i].member)
            wire_list_put_text(out, room_name(session_rooms(session)[i].room));
}

static void put_connection(struct backed *backed, struct wire_batch *out, uint64_t task)
{
    const struct session *session = backed->session;
    struct wire_list rooms = {0};
    char from[SID_LENGTH + 5];

    backed_list_rooms(session, &rooms);
    wire_put_connection(
        out, &(struct wire_connection){.task = task,
                                       .kind = backed->kind,
                                       .namespace = session->namespace->name,
                                       .sid = session_sid(session),
                                       .from = session_from(session, from),
                                       .rooms = rooms.count ? wire_list_finish(&rooms) : (struct bytes){0},
                                       .data = session_data(session),
                                       .handshake = backed->handshake});
    wire_list_done(&rooms);
}

void backed_open(struct backed *backed)
{
    backed->state = BACKED_OPEN;
    backed->kind = WIRE_CONNECTION_HANDED; /* if another one is to be told */
}

static void announce(struct router *router, struct backed *backed, struct wire_batch *out)
{
    struct task *task = backed->kind == WIRE_CONNECTION_NEW ? backed->first : NULL;

    put_connection(backed, out, task ? task->number : 0);
    if (!task) {
        backed_open(backed);
        return;
    }
    task_sent(router, task);
    backed->unsent = task->next;
    backed->state = BACKED_JUDGED;
}

/*
 * Whether a backend can take what has piled up: all of it at once might be more than it may be behind, and it
 * would be cut off as a slow one, and the next one, too.  What is new it gets in any case.
 */
static bool has_credit(const struct router *router, struct backend *backend)
{
    if (backend_used(backend) < router->settings->max_unacknowledged / 2)
        return true;
    backend->deferred = true;
    return false;
}

static bool is_new(const struct task *task)
{
    return !task->again && !task->next;
}

void backed_pump(struct router *router, struct backed *backed)
{
    struct backend *backend = backed->backend;
    struct wire_batch *out = backend && backed->session ? backend_out(backend) : NULL;
    struct task *task;

    if (!out || (backed->state == BACKED_UNKNOWN && !has_credit(router, backend)))
        return;
    if (backed->state == BACKED_UNKNOWN)
        announce(router, backed, out);
    while (backed->state == BACKED_OPEN && (task = backed->unsent) && (task->ready || task->parked)) {
        if (!task->parked && !task->sent) {
            if (!is_new(task) && !has_credit(router, backend))
                break;
            task->kind->put(router, task, out);
            task_sent(router, task);
        }
        backed->unsent = task->next;
    }
    backend_split(router, backend);
}

/* Of those that serve the namespace, the one with the fewest sockets. */
static struct backend *choose(const struct router *router, const struct namespace *namespace)
{
    const struct backends *backends = router->backends;
    struct backend *chosen = NULL;

    for (uint32_t i = 0; i < backends->count; i++) {
        struct backend *backend = backends->all[i];

        if (backend->state == BACKEND_LIVE && backend_serves(backend, namespace->name) &&
            (!chosen || backend->sockets < chosen->sockets))
            chosen = backend;
    }
    return chosen;
}

void backed_give(struct router *router, struct backed *backed)
{
    if (!backed->session)
        return;
    if (!backed->backend) {
        struct backend *backend = backed->foreign ? NULL : choose(router, backed->session->namespace);

        if (!backend)
            return;
        if (!backed->handshake.data) {
            start_asking(router, backed);
            return;
        }
        backed_assign(router, backed, backend);
    }
    backed_pump(router, backed);
}

void backed_tell_gone(struct router *router, struct backed *backed, const char *reason, struct bytes rooms)
{
    struct wire_batch *out =
        backed->backend && backed->state != BACKED_UNKNOWN ? backend_out(backed->backend) : NULL;

    if (!out)
        return;
    wire_put_disconnection(out, &(struct wire_disconnection){.sid = bytes_make(backed->sid, SID_LENGTH),
                                                             .reason = bytes_from_text(reason),
                                                             .rooms = rooms});
    backend_split(router, backed->backend);
}
