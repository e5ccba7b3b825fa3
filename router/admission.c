/*
 * Clients that wait for a backend's word; see admission.h.  Connecting calls it, and the backends'
 * dispatcher.  Its one surprising rule: the task holds up everything else of its socket, so what a client
 * sends behind its CONNECT reaches the backend only after it has said yes.
 */
#include "router/admission.h"

#include "common/memory.h"
#include "proto/json_scan.h"
#include "proto/utf8.h"
#include "router/backed.h"
#include "router/connecting.h"

#include <stdlib.h>

struct admission {
    struct task task; /* must stay first */
    uint64_t request;
    size_t auth_length;
    char auth[];
};

static void refuse(struct router *router, struct session *session, uint64_t request, struct bytes error)
{
    router->counters.connects_unbacked++;
    connecting_refuse(router, session, request, error);
}

static void expire(struct router *router, struct task *task)
{
    const struct admission *admission = (const struct admission *)task;

    /* Ends the task as well. */
    refuse(router, task->backed->session, admission->request,
           BYTES("{\"message\":\"No backend serves this namespace\",\"data\":{\"code\":\"unavailable\"}}"));
}

static void drop(struct router *router, struct task *task)
{
    (void)router;
    free(task);
}

/* backed.c puts the record itself. */
static const struct task_kind admission_kind = {.expire = expire, .drop = drop};

bool admission_begin(struct router *router, struct session *session, uint64_t request, struct bytes auth)
{
    struct admission *admission;

    if (!backed_namespace(router, session->namespace))
        return false;
    if (tasks_full(router)) {
        refuse(router, session, request,
               BYTES("{\"message\":\"Too many clients wait for a backend\",\"data\":{\"code\":\"busy\"}}"));
        return true;
    }
    admission = memory_zero(1, sizeof *admission + auth.length);
    admission->request = request;
    admission->auth_length = auth.length;
    if (auth.length)
        memcpy(admission->auth, auth.data, auth.length);
    admission->task.kind = &admission_kind;
    admission->task.backed = backed_new(router, session, WIRE_CONNECTION_NEW);
    admission->task.size = sizeof *admission + auth.length;
    admission->task.ready = true;
    tasks_add(router, &admission->task);
    backed_give(router, session->backed);
    return true;
}

int admission_accept(struct router *router, struct backend *backend, const struct wire_accept *record)
{
    struct task *task = tasks_answered(router, backend, record->task, &admission_kind);
    struct admission *admission = (struct admission *)task;
    struct backed *backed;

    if (!task)
        return 0;
    if (!backend_data_valid(record->data)) {
        backend_cut(router, backend, BACKEND_CUT_JSON);
        return 0;
    }
    backed = task->backed;
    tasks_remove(router, task);
    backed_open(backed);
    session_store(backed->session, record->data);
    connecting_accept(router, backed->session, admission->request,
                      bytes_make(admission->auth, admission->auth_length));
    free(admission);
    backed_pump(router, backed);
    return 0;
}

static bool is_error(struct bytes text)
{
    struct json_value object, message;

    return utf8_valid(text) && json_scan(text, &object) == 0 && object.kind == JSON_OBJECT &&
           json_object_find(object, "message", &message) == 0 && message.kind == JSON_STRING;
}

int admission_reject(struct router *router, struct backend *backend, const struct wire_reject *record)
{
    struct task *task = tasks_answered(router, backend, record->task, &admission_kind);
    struct backed *backed;

    if (!task)
        return 0;
    if (!is_error(record->error)) {
        backend_cut(router, backend, BACKEND_CUT_JSON);
        return 0;
    }
    router->counters.connects_rejected++;
    backed = task->backed;
    backed->state = BACKED_UNKNOWN; /* it has said that itself */
    connecting_refuse(router, backed->session, ((struct admission *)task)->request, record->error);
    return 0;
}
