/*
 * The loop's turns on libevent's event_base, for gateway, router and the supervisor.
 *
 * One event_base_loop(EVLOOP_ONCE) is the poll and its callbacks; our timers and the hooks follow.  The
 * surprise: libevent's own timers only end the sleep.  Our timers are judged by loop_now()
 * alone, so an early wake-up finds nothing due, and the sleep is set again.
 */
#include "common/loop.h"

#include "common/clock.h"
#include "common/histogram.h"
#include "common/memory.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>

enum { PROBE_MS = 250, NANOSECONDS_A_MILLISECOND = 1000000 };

struct hook {
    loop_hook *call;
    void *arg;
};

struct loop {
    struct event_base *base;
    struct event *alarm;
    struct timer_wheel timers;
    uint64_t now, now_ns;
    uint64_t deadline;
    uint64_t alarm_due; /* what the alarm is set to */
    struct hook *hooks;
    unsigned hook_count;
    struct histogram *turns, *lags; /* NULL: not measured */
    struct loop_timer probe;
    uint64_t probe_due; /* ms */
    bool stale;         /* the poll may have slept since now was read */
    bool wake;
    bool stopped;
};

struct loop_watch {
    struct loop *loop;
    struct event *event;
    loop_watch_callback *callback;
    void *arg;
    int fd;
    unsigned interest;
};

struct loop_signal {
    struct loop *loop;
    struct event *event;
    loop_signal_callback *callback;
    void *arg;
};

/* Whatever runs first after the poll reads the clock. */
static void refresh(struct loop *loop)
{
    if (loop->stale) {
        loop->now_ns = clock_monotonic_ns();
        loop->now = loop->now_ns / NANOSECONDS_A_MILLISECOND;
        loop->stale = false;
    }
}

static void alarm_rang(evutil_socket_t fd, short events, void *arg)
{
    struct loop *loop = arg;

    (void)fd;
    (void)events;
    loop->alarm_due = TIMER_WHEEL_NEVER;
}

/* NULL when the system refuses.  With the coarse clock a sleep ends up to two ticks of the kernel late. */
static struct event_base *precise_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (config && event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER) == 0)
        base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    return base;
}

struct loop *loop_new(void)
{
    struct loop *loop = memory_zero(1, sizeof *loop);

    loop->base = precise_base();
    if (!loop->base)
        goto fail;
    loop->alarm = evtimer_new(loop->base, alarm_rang, loop);
    if (!loop->alarm)
        goto fail;
    loop->stale = true;
    refresh(loop);
    loop->deadline = loop->alarm_due = TIMER_WHEEL_NEVER;
    timer_wheel_init(&loop->timers, loop->now);
    return loop;
fail:
    loop_free(loop);
    return NULL;
}

struct event_base *loop_base(const struct loop *loop)
{
    return loop->base;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    if (loop->alarm)
        event_free(loop->alarm);
    if (loop->base)
        event_base_free(loop->base);
    free(loop->hooks);
    free(loop);
}

static uint64_t next_due(struct loop *loop)
{
    uint64_t due = timer_wheel_next_due(&loop->timers);

    return loop->deadline < due ? loop->deadline : due;
}

/* 0, or ERROR_SYSTEM. */
static int set_alarm(struct loop *loop)
{
    uint64_t due = next_due(loop);
    struct timeval delay;
    uint64_t wait;

    if (due == loop->alarm_due)
        return 0;
    if (due == TIMER_WHEEL_NEVER) {
        if (event_del(loop->alarm))
            return ERROR_SYSTEM;
        loop->alarm_due = due;
        return 0;
    }
    wait = due > loop->now ? due - loop->now : 0;
    delay = (struct timeval){.tv_sec = (time_t)(wait / 1000), .tv_usec = (suseconds_t)(wait % 1000 * 1000)};
    if (event_add(loop->alarm, &delay))
        return ERROR_SYSTEM;
    loop->alarm_due = due;
    return 0;
}

static void timer_due(struct wheel_timer *wheel, void *arg)
{
    struct loop_timer *timer = (struct loop_timer *)wheel;
    struct loop *loop = arg;

    if (timer->period) {
        uint64_t missed = (loop->now - wheel->due) / timer->period;

        timer_wheel_schedule(&loop->timers, wheel, wheel->due + (missed + 1) * timer->period);
    }
    timer->callback(timer->arg);
}

/* empty: no event is left that could ever end a sleep. */
static int turn(struct loop *loop, bool *empty)
{
    int flags = EVLOOP_ONCE;
    int rc;

    if (loop->wake)
        flags |= EVLOOP_NONBLOCK;
    if (set_alarm(loop))
        return ERROR_SYSTEM;
    loop->wake = false;
    loop->stale = true;
    rc = event_base_loop(loop->base, flags);
    if (rc < 0)
        return ERROR_SYSTEM;
    refresh(loop);
    timer_wheel_advance(&loop->timers, loop->now, timer_due, loop);
    for (unsigned i = 0; i < loop->hook_count; i++)
        loop->hooks[i].call(loop->hooks[i].arg);
    if (loop->turns)
        histogram_observe(loop->turns, clock_monotonic_ns() - loop->now_ns);
    *empty = !loop->wake && next_due(loop) == TIMER_WHEEL_NEVER &&
             event_base_get_num_events(loop->base, EVENT_BASE_COUNT_ADDED) == 0;
    return 0;
}

int loop_turn(struct loop *loop)
{
    bool empty;

    return turn(loop, &empty);
}

int loop_run(struct loop *loop)
{
    bool empty = false;
    int error = 0;

    while (!loop->stopped && !empty && !error)
        error = turn(loop, &empty);
    loop->stopped = false;
    return error;
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}

uint64_t loop_now(const struct loop *loop)
{
    return loop->now;
}

uint64_t loop_now_ns(const struct loop *loop)
{
    return loop->now_ns;
}

static void start_probe(struct loop *loop)
{
    loop_timer_start(&loop->probe, PROBE_MS);
    loop->probe_due = loop->now + PROBE_MS;
}

static void on_probe(void *arg)
{
    struct loop *loop = arg;

    histogram_observe(loop->lags, clock_monotonic_ns() - loop->probe_due * NANOSECONDS_A_MILLISECOND);
    start_probe(loop);
}

void loop_measure(struct loop *loop, struct histogram *turn, struct histogram *lag)
{
    loop->turns = turn;
    loop->lags = lag;
    loop_timer_init(&loop->probe, loop, on_probe, loop);
    start_probe(loop);
}

void loop_wake_now(struct loop *loop)
{
    loop->wake = true;
}

void loop_set_deadline(struct loop *loop, uint64_t due_ms)
{
    loop->deadline = due_ms;
}

void loop_on_turn_end(struct loop *loop, loop_hook *hook, void *arg)
{
    loop->hooks = memory_resize(loop->hooks, (loop->hook_count + 1) * sizeof *loop->hooks);
    loop->hooks[loop->hook_count++] = (struct hook){hook, arg};
}

static void watch_ready(evutil_socket_t fd, short events, void *arg)
{
    struct loop_watch *watch = arg;
    unsigned ready = 0;

    refresh(watch->loop);
    if (events & EV_READ)
        ready |= LOOP_READ;
    if (events & EV_WRITE)
        ready |= LOOP_WRITE;
    watch->callback(watch->arg, fd, ready);
}

static short event_flags(unsigned interest)
{
    return (short)((interest & LOOP_READ ? EV_READ : 0) | (interest & LOOP_WRITE ? EV_WRITE : 0) |
                   EV_PERSIST);
}

struct loop_watch *loop_watch_new(struct loop *loop, int fd, unsigned interest, loop_watch_callback *callback,
                                  void *arg)
{
    struct loop_watch *watch = memory_zero(1, sizeof *watch);

    watch->loop = loop;
    watch->fd = fd;
    watch->interest = interest;
    watch->callback = callback;
    watch->arg = arg;
    watch->event = event_new(loop->base, fd, event_flags(interest), watch_ready, watch);
    if (!watch->event || (interest && event_add(watch->event, NULL))) {
        loop_watch_free(watch);
        return NULL;
    }
    return watch;
}

int loop_watch_set(struct loop_watch *watch, unsigned interest)
{
    if (interest == watch->interest)
        return 0;
    if (event_del(watch->event) ||
        event_assign(watch->event, watch->loop->base, watch->fd, event_flags(interest), watch_ready, watch))
        return ERROR_SYSTEM;
    watch->interest = LOOP_NONE;
    if (interest && event_add(watch->event, NULL))
        return ERROR_SYSTEM;
    watch->interest = interest;
    return 0;
}

void loop_watch_free(struct loop_watch *watch)
{
    if (!watch)
        return;
    if (watch->event)
        event_free(watch->event);
    free(watch);
}

static void signal_ready(evutil_socket_t number, short events, void *arg)
{
    struct loop_signal *signal = arg;

    (void)events;
    refresh(signal->loop);
    signal->callback(signal->arg, number);
}

struct loop_signal *loop_signal_new(struct loop *loop, int number, loop_signal_callback *callback, void *arg)
{
    struct loop_signal *signal = memory_zero(1, sizeof *signal);

    signal->loop = loop;
    signal->callback = callback;
    signal->arg = arg;
    signal->event = evsignal_new(loop->base, number, signal_ready, signal);
    if (!signal->event || evsignal_add(signal->event, NULL)) {
        loop_signal_free(signal);
        return NULL;
    }
    return signal;
}

void loop_signal_free(struct loop_signal *signal)
{
    if (!signal)
        return;
    if (signal->event)
        event_free(signal->event);
    free(signal);
}

void loop_timer_init(struct loop_timer *timer, struct loop *loop, loop_timer_callback *callback, void *arg)
{
    *timer = (struct loop_timer){.loop = loop, .callback = callback, .arg = arg};
}

void loop_timer_start(struct loop_timer *timer, uint64_t delay_ms)
{
    timer->period = 0;
    timer_wheel_schedule(&timer->loop->timers, &timer->wheel, timer->loop->now + delay_ms);
}

void loop_timer_repeat(struct loop_timer *timer, uint64_t period_ms)
{
    assert(period_ms > 0);
    timer->period = period_ms;
    timer_wheel_schedule(&timer->loop->timers, &timer->wheel, timer->loop->now + period_ms);
}

void loop_timer_stop(struct loop_timer *timer)
{
    timer_wheel_cancel(&timer->wheel);
}
