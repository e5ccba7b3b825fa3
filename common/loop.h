/*
 * The event loop of a process or thread: libevent behind the few calls we use.
 *
 * The loop goes in turns, and the product's batching stands on what a turn is:
 *
 *   1. poll: sleep until a descriptor, a signal, a timer or the deadline is ready
 *      (not at all after loop_wake_now());
 *   2. the callback of each watch and signal that was ready, each at most once
 *      for what one poll found;
 *   3. the timers that are due;
 *   4. the turn-end hooks, in the order of their registration.
 *
 * So whatever a turn produced is complete when the hooks run: they send each
 * batch, write each connection once, and free what was closed.  A hook that made
 * new work for an earlier hook calls loop_wake_now().
 *
 * Anything may be called from inside any callback unless it says otherwise; a
 * watch, signal or timer that was freed or stopped is not called any more, even
 * when it was ready in the same turn.  One thread only.
 */
#ifndef HUBBUB_COMMON_LOOP_H
#define HUBBUB_COMMON_LOOP_H

#include "common/error.h"
#include "common/timer_wheel.h"

#include <stdint.h>

struct event_base;
struct loop;
struct loop_watch;
struct loop_signal;

enum loop_interest { LOOP_NONE = 0, LOOP_READ = 1, LOOP_WRITE = 2 };

/* NULL when the system refuses (out of descriptors). */
struct loop *loop_new(void) MUST_CHECK;

/* libevent's, for its own servers (evhttp): their callbacks are as those of watches. */
struct event_base *loop_base(const struct loop *loop);

/* All watches and signals must have been freed.  Takes NULL. */
void loop_free(struct loop *loop);

/*
 * Turns until loop_stop().  0, or ERROR_SYSTEM when polling itself fails.  Also
 * returns 0 when nothing is left that could ever wake it.
 */
int loop_run(struct loop *loop) MUST_CHECK;

/* One turn, for tests and for programs with a loop of their own; as loop_run(). */
int loop_turn(struct loop *loop) MUST_CHECK;

/* loop_run() returns at the end of this turn, after its hooks. */
void loop_stop(struct loop *loop);

/* Monotonic milliseconds, read once a turn when the poll has returned; the same until the next poll. */
uint64_t loop_now(const struct loop *loop);

/* The same in nanoseconds. */
uint64_t loop_now_ns(const struct loop *loop);

/*
 * Has the loop observe itself from now on (both stay the caller's, and must outlive it):
 *   turn  how long each turn took, from the poll's return to the end of its hooks: whatever became ready
 *         meanwhile had to wait for that long at most
 *   lag   four times a second, how late a timer was called: the same seen from outside, and what the process
 *         had to wait for a processor besides
 */
struct histogram;
void loop_measure(struct loop *loop, struct histogram *turn, struct histogram *lag);

/* The next turn does not sleep. */
void loop_wake_now(struct loop *loop);

/*
 * The loop does not sleep past that time (as of loop_now(); TIMER_WHEEL_NEVER for
 * none, which it is at first): the turn that it causes has step 4 only, where the
 * owner of a timer wheel advances it and sets the next deadline.  There is one
 * deadline a loop; setting it costs nothing when it stays the same.
 */
void loop_set_deadline(struct loop *loop, uint64_t due_ms);

/* Step 4 of every turn.  Hooks stay for the loop's life. */
typedef void loop_hook(void *arg);
void loop_on_turn_end(struct loop *loop, loop_hook *hook, void *arg);

/* ready: LOOP_READ, LOOP_WRITE or both; an error or hang-up shows as whatever was asked for. */
typedef void loop_watch_callback(void *arg, int fd, unsigned ready);

/*
 * Watches a descriptor, level-triggered.  interest: LOOP_READ | LOOP_WRITE, or
 * LOOP_NONE for later.  The descriptor stays the caller's: free the watch before
 * closing it.  NULL when the system refuses (errno says why).
 */
struct loop_watch *loop_watch_new(struct loop *loop, int fd, unsigned interest, loop_watch_callback *callback,
                                  void *arg) MUST_CHECK;

/* Changes the interest; nothing is done when it stays the same.  0 or ERROR_SYSTEM. */
int loop_watch_set(struct loop_watch *watch, unsigned interest) MUST_CHECK;

/* Takes NULL; allowed from its own callback. */
void loop_watch_free(struct loop_watch *watch);

typedef void loop_signal_callback(void *arg, int number);

/* One loop a process may take signals.  Several deliveries may become one call.  NULL when refused. */
struct loop_signal *loop_signal_new(struct loop *loop, int number, loop_signal_callback *callback,
                                    void *arg) MUST_CHECK;

/* Takes NULL; restores the signal's former disposition. */
void loop_signal_free(struct loop_signal *signal);

typedef void loop_timer_callback(void *arg);

/* Lives in its owner; loop_timer_stop() before the memory goes. */
struct loop_timer {
    struct wheel_timer wheel; /* must stay first */
    struct loop *loop;
    loop_timer_callback *callback;
    void *arg;
    uint64_t period;
};

void loop_timer_init(struct loop_timer *timer, struct loop *loop, loop_timer_callback *callback, void *arg);

/* Once, delay_ms after loop_now(), never earlier; 0 means in the next turn. Replaces what was set. */
void loop_timer_start(struct loop_timer *timer, uint64_t delay_ms);

/* Every period_ms (at least 1), first after one period; periods missed by a late loop are skipped. */
void loop_timer_repeat(struct loop_timer *timer, uint64_t period_ms);

/* Takes a timer that is not running, or one that is all zero. */
void loop_timer_stop(struct loop_timer *timer);

#endif
