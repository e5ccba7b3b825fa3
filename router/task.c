/*
 * Tasks, by number and by how long they wait; see task.h.  The kinds of tasks and backed.c call it.  Its one
 * surprising rule: an answer to a task that is not open is no offence by itself, as its socket may have gone
 * meanwhile; only one of the last BACKEND_ANSWERED that this very backend has answered on this link tells
 * that it answers twice.
 */
#include "router/task.h"

#include "common/memory.h"
#include "common/random.h"
#include "router/backed.h"

#include <assert.h>
#include <stdlib.h>

enum { EXPIRED_A_TURN = 1000 };

static struct bytes number_key(const void *entry)
{
    const struct task *task = entry;

    return bytes_make((const char *)&task->number, sizeof task->number);
}

static void arm(struct router *router)
{
    struct tasks *tasks = router->backends->tasks;
    uint64_t now = loop_now(router->loop), due;

    if (!tasks->first)
        return;
    due = tasks->first->since + router->settings->backend_wait;
    loop_timer_start(&tasks->timer, due > now ? due - now : 1);
}

static void on_timer(void *arg)
{
    struct router *router = arg;
    struct tasks *tasks = router->backends->tasks;
    uint64_t now = loop_now(router->loop);

    for (unsigned i = 0; i < EXPIRED_A_TURN && tasks->first; i++) {
        if (now - tasks->first->since < router->settings->backend_wait)
            break;
        router->counters.tasks_expired++;
        tasks->first->kind->expire(router, tasks->first);
    }
    arm(router);
}

struct tasks *tasks_new(struct router *router)
{
    struct tasks *tasks = memory_zero(1, sizeof *tasks);

    table_init(&tasks->by_number, number_key);
    /* Answers to tasks of an earlier run must not be taken for answers to these. */
    random_bytes(&tasks->last_number, sizeof tasks->last_number);
    tasks->last_number >>= 16;
    loop_timer_init(&tasks->timer, router->loop, on_timer, router);
    return tasks;
}

void tasks_free(struct tasks *tasks)
{
    assert(tasks->by_number.count == 0);
    loop_timer_stop(&tasks->timer);
    table_done(&tasks->by_number);
    free(tasks);
}

bool tasks_full(const struct router *router)
{
    const struct tasks *tasks = router->backends->tasks;

    return tasks->by_number.count >= router->settings->max_backend_tasks ||
           tasks->bytes > router->settings->max_backend_bytes;
}

static void add_waiting(struct router *router, struct task *task)
{
    struct tasks *tasks = router->backends->tasks;

    task->waiting = true;
    task->since = loop_now(router->loop);
    task->later = NULL;
    task->earlier = tasks->last;
    if (tasks->last)
        tasks->last->later = task;
    else
        tasks->first = task;
    tasks->last = task;
    if (tasks->first == task)
        arm(router);
}

static void remove_waiting(struct tasks *tasks, struct task *task)
{
    if (!task->waiting)
        return;
    task->waiting = false;
    if (task->earlier)
        task->earlier->later = task->later;
    else
        tasks->first = task->later;
    if (task->later)
        task->later->earlier = task->earlier;
    else
        tasks->last = task->earlier;
}

void tasks_add(struct router *router, struct task *task)
{
    struct tasks *tasks = router->backends->tasks;

    task->number = ++tasks->last_number;
    table_insert(&tasks->by_number, task);
    tasks->bytes += task->size;
    router->counters.tasks++;
    add_waiting(router, task);
    backed_append(task->backed, task);
}

void task_uncount(struct task *task)
{
    if (task->asked)
        task->asked->tasks--;
    task->asked = NULL;
}

void task_sent(struct router *router, struct task *task)
{
    remove_waiting(router->backends->tasks, task);
    task_uncount(task);
    task->sent = true;
    task->asked = task->backed->backend;
    if (task->asked)
        task->asked->tasks++;
    router->counters.tasks_again += task->again;
}

void task_park(struct router *router, struct task *task)
{
    remove_waiting(router->backends->tasks, task);
    task_uncount(task);
    task->parked = true;
}

void task_unpark(struct router *router, struct task *task)
{
    task->parked = task->sent = task->ready = false;
    task->backed->unsent = task->backed->first;
    add_waiting(router, task);
}

void task_wait(struct router *router, struct task *task)
{
    if (task->waiting || task->parked)
        return;
    task_uncount(task);
    task->again |= task->sent;
    task->sent = false;
    add_waiting(router, task);
}

void tasks_remove(struct router *router, struct task *task)
{
    struct tasks *tasks = router->backends->tasks;

    remove_waiting(tasks, task);
    task_uncount(task);
    table_remove(&tasks->by_number, task);
    tasks->bytes -= task->size;
    backed_take_out(task->backed, task);
}

struct task *tasks_find(const struct router *router, uint64_t number)
{
    return table_find(&router->backends->tasks->by_number, bytes_make((const char *)&number, sizeof number));
}

static bool has_answered(const struct backend *backend, uint64_t number)
{
    for (unsigned i = 0; i < BACKEND_ANSWERED; i++)
        if (backend->answered[i] == number)
            return true;
    return false;
}

struct task *tasks_answered(struct router *router, struct backend *backend, uint64_t number,
                            const struct task_kind *kind)
{
    struct task *task = tasks_find(router, number);

    if (!task || !task->sent || task->parked || task->backed->backend != backend) {
        if (number && has_answered(backend, number))
            backend_cut(router, backend, BACKEND_CUT_TWICE);
        return NULL;
    }
    if (task->kind != kind) {
        backend_cut(router, backend, BACKEND_CUT_NONSENSE);
        return NULL;
    }
    backend->answered[backend->answered_at++ % BACKEND_ANSWERED] = number;
    return task;
}
