/*
 * What backends are to do and to answer: one task for each CONNECTION that waits, each CALL, each JUDGE.
 *
 *                    tasks_add()          task_sent()         tasks_take()
 *   (memory)  -----------------> WAITING -----------> SENT ------------------> the caller's
 *                                   ^  |                 |
 *                 task_wait(): its  |  |                 |
 *                 backend is gone   +--|-----------------+
 *                                      +----> expired: nobody took it within backend_wait
 *
 * A task is of a kind (struct task_kind), begins a larger struct of that kind's, and belongs to a socket
 * (backed.h), which keeps its own in their order.
 */
#ifndef HUBBUB_ROUTER_TASK_H
#define HUBBUB_ROUTER_TASK_H

#include "router/backend.h"

struct task;

struct task_kind {
    /* Puts the record that asks for it. */
    void (*put)(struct router *router, const struct task *task, struct wire_batch *out);
    /* Nobody took it in time: who waits is refused.  Ends it with tasks_remove(). */
    void (*expire)(struct router *router, struct task *task);
    /* Its socket is gone, and the task has been removed: frees it. */
    void (*drop)(struct router *router, struct task *task);
};

struct task {
    uint64_t number;
    const struct task_kind *kind;
    struct backed *backed;
    struct backend *asked; /* in whose tasks it counts; NULL: in nobody's */
    struct task *previous, *next; /* of the socket's */
    struct task *earlier, *later; /* of those that wait */
    uint64_t since;               /* ms: when it began to wait */
    size_t size;                  /* what it counts for */
    bool ready;                   /* may be sent; else it holds up what is behind it */
    bool waiting, sent;
    bool again;  /* some backend may have begun with it */
    bool parked; /* nothing is to be sent for it, and it holds up nothing */
};

struct tasks {
    struct table by_number;
    uint64_t last_number;
    size_t bytes;
    struct task *first, *last; /* those that wait */
    struct loop_timer timer;
};

struct tasks *tasks_new(struct router *router);
void tasks_free(struct tasks *tasks);

/* Whether so many or so large ones are open that no more can be taken in. */
bool tasks_full(const struct router *router);

/* Gives it a number and has it wait.  Its kind, backed, size and ready are set. */
void tasks_add(struct router *router, struct task *task);

/* It was put on its backend's link. */
void task_sent(struct router *router, struct task *task);

/* It counts no more as asked and not answered. */
void task_uncount(struct task *task);

/* It neither waits nor is sent from now on. */
void task_park(struct router *router, struct task *task);

/* A parked one is to be done after all, once it is ready. */
void task_unpark(struct router *router, struct task *task);

/* It waits again, from now on, and was perhaps begun with; a parked one stays as it is. */
void task_wait(struct router *router, struct task *task);

/* Takes it out of its socket and everything; the memory is the caller's. */
void tasks_remove(struct router *router, struct task *task);

/* NULL when there is none. */
struct task *tasks_find(const struct router *router, uint64_t number);

/*
 * A backend answers that task.  NULL when there is nothing to be done about it: the task is not, or no more,
 * its own; or it has answered before, and is cut off.  The task stays open.
 */
struct task *tasks_answered(struct router *router, struct backend *backend, uint64_t number,
                            const struct task_kind *kind);

#endif
