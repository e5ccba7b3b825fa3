/*
 * What the router has given this backend to do: connections to let in, events to handle, events to judge.
 *
 * The router knows a task by its number, the program by its handle.  Numbers of another run of the router may
 * be the same, so a handle is ours.  An answer is kept until the router has acknowledged the batch that
 * carried it: when the router asks again on a new link it gets the answer that was given, and nothing is done
 * twice.
 *
 *   RUNNING (its callback runs) ----> OPEN (later) ----> ANSWERED ----> forgotten
 */
#ifndef HUBBUB_APP_TASK_H
#define HUBBUB_APP_TASK_H

#include "common/slot_table.h"
#include "common/table.h"
#include "proto/wire.h"

#include <stdbool.h>

struct hubbub_app;
struct hubbub_socket;

enum task_kind { TASK_CONNECTION, TASK_CALL, TASK_JUDGE };
enum task_state { TASK_RUNNING, TASK_OPEN, TASK_ANSWERED };

struct task {
    uint64_t number, handle;
    enum task_kind kind;
    enum task_state state;
    bool wants_answer;            /* of a call */
    struct hubbub_socket *socket; /* NULL when it has gone */
    struct task *newer, *older;   /* of the socket's */
    struct bytes record;          /* the answer, encoded; owned */
    uint64_t serial;              /* of the link on which the router last asked */
    uint64_t batch;               /* of this link, which carries the answer; 0: none does */
    struct task *next;            /* in the queue of those whose batch is not acknowledged */
};

struct tasks {
    struct table by_number;
    struct slot_table by_handle;
    struct task *first, **end; /* answered on this link, in the order of their batches */
    size_t bytes;              /* of the answers that are kept */
};

void tasks_init(struct tasks *tasks);
void tasks_done(struct tasks *tasks);

/* NULL when there is none. */
struct task *tasks_by_number(const struct tasks *tasks, uint64_t number);
struct task *tasks_by_handle(const struct tasks *tasks, uint64_t handle);

struct task *tasks_add(struct hubbub_app *app, uint64_t number, enum task_kind kind,
                       struct hubbub_socket *socket);

/* The router asks again for one that is known: gives it the answer if there is one. */
void task_ask_again(struct hubbub_app *app, struct task *task);

/* Gives the answer that put() writes: at once, or when the router asks again. */
void task_answer(struct hubbub_app *app, struct task *task,
                 void (*put)(struct wire_batch *batch, uint64_t number, const void *record),
                 const void *record);

/* Ends a call that got no answer: nothing, or the acknowledgement with these arguments. */
void task_finish_call(struct hubbub_app *app, struct task *task, struct bytes arguments);

/* The router has acknowledged batches up to that one. */
void tasks_acknowledged(struct tasks *tasks, uint64_t batch);

/* The link is gone, and with it the order of its batches. */
void tasks_unlink(struct tasks *tasks);

/* The socket has gone: what there is to be done for it may still be answered; or, taken away, must not. */
void tasks_forget_socket(struct tasks *tasks, struct hubbub_socket *socket, bool taken_away);

/* Drops what was answered on earlier links and was not asked again on this one. */
void tasks_prune(struct tasks *tasks, uint64_t serial);

#endif
