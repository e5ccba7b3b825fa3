/*
 * Timers in bulk: one small intrusive struct for each object that waits.
 *
 * A hierarchical wheel of 1 ms ticks.  A timer fires in the first advance whose
 * time has reached its due time: never before it, and never an advance later.
 * Scheduling and cancelling are O(1); a timer is moved at most once a level
 * (64 ms, 4 s, 4 min, ...) on its way.  Not for several threads.
 */
#ifndef HUBBUB_COMMON_TIMER_WHEEL_H
#define HUBBUB_COMMON_TIMER_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What timer_wheel_next_due() says when no timer is scheduled. */
#define TIMER_WHEEL_NEVER UINT64_MAX

enum { TIMER_WHEEL_SLOTS = 64, TIMER_WHEEL_LEVELS = 11 };

/* Zero-initialised is idle.  Must stay where it is, and in memory, while it is scheduled. */
struct wheel_timer {
    struct wheel_timer *previous;
    struct wheel_timer *next; /* NULL while idle */
    uint64_t due;
};

/* Opaque in spirit; about 11 KB.  Must not be moved after timer_wheel_init(). */
struct timer_wheel {
    uint64_t now;
    bool advancing;
    struct wheel_timer overdue;            /* list head: due at or before now, for the next advance */
    struct wheel_timer firing;             /* list head: what the running advance still has to call */
    uint64_t occupied[TIMER_WHEEL_LEVELS]; /* a bit for each slot that may hold timers */
    struct wheel_timer slots[TIMER_WHEEL_LEVELS][TIMER_WHEEL_SLOTS];
};

/* The timer is idle again when this runs, so it may be scheduled, or its memory freed. */
typedef void wheel_timer_callback(struct wheel_timer *timer, void *arg);

/* now_ms: the caller's clock, usually loop_now(); due times are on the same clock. */
void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms);

/*
 * Schedules an idle timer, or moves a scheduled one.  A due time at or before the
 * last advance fires in the next advance (never within the one that is running).
 */
void timer_wheel_schedule(struct timer_wheel *wheel, struct wheel_timer *timer, uint64_t due_ms);

/* Makes the timer idle; allowed on an idle one.  Needs no wheel, and works for one that is about to fire. */
void timer_wheel_cancel(struct wheel_timer *timer);

static inline bool wheel_timer_scheduled(const struct wheel_timer *timer)
{
    return timer->next != NULL;
}

/*
 * Calls back for every timer with due <= now_ms, in no particular order.  A time
 * before the last one counts as the last one.  The callback may schedule and cancel
 * any timer, itself and others that are due now included (a cancelled one is not
 * called); it must not call timer_wheel_advance().
 */
void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms, wheel_timer_callback *callback,
                         void *arg);

/*
 * When to advance next: never later than the earliest due time, and after the last
 * advance unless something is overdue; it may be earlier than needed (at most a few
 * times for each timer), so an advance that fires nothing is normal.
 * TIMER_WHEEL_NEVER when nothing is scheduled.
 */
uint64_t timer_wheel_next_due(struct timer_wheel *wheel);

#endif
