/*
 * One step a turn; see steps.h.  The commands of the stats socket that look at everything use it.  Its one
 * surprising rule: jobs take turns, so ten that are asked at once take ten times as long each.
 */
#include "router/steps.h"

static void take_out(struct steps *steps, struct step_job *job)
{
    *(job->previous ? &job->previous->next : &steps->first) = job->next;
    *(job->next ? &job->next->previous : &steps->last) = job->previous;
}

static void put_last(struct steps *steps, struct step_job *job)
{
    job->previous = steps->last;
    job->next = NULL;
    *(steps->last ? &steps->last->next : &steps->first) = job;
    steps->last = job;
}

static void on_turn(void *arg)
{
    struct steps *steps = arg;
    struct step_job *job = steps->first;

    if (!job)
        return;
    take_out(steps, job);
    if (job->step(job))
        put_last(steps, job);
    if (steps->first)
        loop_timer_start(&steps->timer, 0);
}

void steps_init(struct steps *steps, struct loop *loop)
{
    *steps = (struct steps){0};
    loop_timer_init(&steps->timer, loop, on_turn, steps);
}

void steps_done(struct steps *steps)
{
    loop_timer_stop(&steps->timer);
    steps->first = steps->last = NULL;
}

void steps_add(struct steps *steps, struct step_job *job)
{
    put_last(steps, job);
    loop_timer_start(&steps->timer, 0);
}

void steps_remove(struct steps *steps, struct step_job *job)
{
    take_out(steps, job);
}
