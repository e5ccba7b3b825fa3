/*
 * Work that takes too long for one turn of the loop: it is done in steps, one a turn, whoever wants how many of
 * them, so that live traffic goes on between any two.
 */
#ifndef HUBBUB_ROUTER_STEPS_H
#define HUBBUB_ROUTER_STEPS_H

#include "common/loop.h"

#include <stdbool.h>

/* How many slots of a table one step looks at: some hundred microseconds. */
enum { STEP_SLOTS = 2048 };

/* Begins a larger struct of its owner's. */
struct step_job {
    /* True: there is more to do.  False: it is over, and out of the steps; the job may be freed in there. */
    bool (*step)(struct step_job *job);
    struct step_job *previous, *next;
};

struct steps {
    struct step_job *first, *last;
    struct loop_timer timer;
};

void steps_init(struct steps *steps, struct loop *loop);

/* Forgets all jobs. */
void steps_done(struct steps *steps);

/* Behind the others; its step is called from the next turn on. */
void steps_add(struct steps *steps, struct step_job *job);

/* It is called no more; not from inside its step. */
void steps_remove(struct steps *steps, struct step_job *job);

#endif
