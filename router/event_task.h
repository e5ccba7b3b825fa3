/*
 * A client's event in the hands of a backend: what CALL and JUDGE have in common.
 *
 * The gateway's request stays open as long as the task.  A gateway whose link broke makes its requests again:
 * one whose task is still open is that task's, and gets its answer.
 */
#ifndef HUBBUB_ROUTER_EVENT_TASK_H
#define HUBBUB_ROUTER_EVENT_TASK_H

#include "router/backed.h"

struct event_task {
    struct task task;        /* must stay first */
    struct wire_event event; /* its texts are copies behind the struct */
    uint64_t link;           /* of the gateway, on which the request was last made */
    void *kept; /* an answer that came while the gateway had no link; its kind's, freed with it */
};

/* The task of a request that was made before and is still open, which is this link's from now on; NULL: there
   is none.  Before event_task_recall(), and whatever the rules say of such an event now. */
struct event_task *event_task_resume(const struct gateway_link *link, struct backed *backed, uint64_t request,
                                     const struct task_kind *kind);

/* Whether that request was perhaps made before, so that nobody knows what became of it.  To be called once
   for each event of a backend's that has no task. */
bool event_task_recall(const struct router *router, const struct gateway_link *link, struct backed *backed,
                       uint64_t request);

/* Makes and adds one; size: of the kind's struct. */
struct event_task *event_task_new(struct router *router, struct backed *backed,
                                  const struct wire_event *event, const struct task_kind *kind, size_t size,
                                  bool ready, bool again);

/* The flags of CALL and JUDGE. */
uint64_t event_task_flags(const struct event_task *task);

/* The link on which the request can be answered; NULL when that can't be done now: the gateway's link broke,
   and it has not made the request again. */
struct gateway_link *event_task_link(const struct event_task *task);

/* Refuses the event, and removes and frees the task. */
void event_task_refuse(struct router *router, struct event_task *task, enum refusal_code code,
                       const char *message);

/* Removes and frees it. */
void event_task_end(struct router *router, struct event_task *task);

/* For struct task_kind: expire and drop. */
void event_task_expire(struct router *router, struct task *task);
void event_task_drop(struct router *router, struct task *task);

#endif
