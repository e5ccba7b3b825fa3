/*
 * The timers of many objects, used by the loop for its own and by the gateway for its connections.
 *
 * Time is read as eleven digits of six bits.  A timer stands at the highest digit in which its due time
 * differs from now, in the slot of that digit's value: so all of one level is due before all of the next,
 * and when now's digit arrives there, the slot's timers go to lower levels or are due.  The surprise:
 * cancelling only unlinks, so a set bit in occupied means "may hold timers"; whoever looks clears it.
 */
#include "common/timer_wheel.h"

#include <assert.h>

enum { DIGIT_BITS = 6 };

static void list_init(struct wheel_timer *head)
{
    head->previous = head->next = head;
}

static bool list_empty(const struct wheel_timer *head)
{
    return head->next == head;
}

static void list_append(struct wheel_timer *head, struct wheel_timer *timer)
{
    timer->previous = head->previous;
    timer->next = head;
    head->previous->next = timer;
    head->previous = timer;
}

static void list_unlink(struct wheel_timer *timer)
{
    timer->previous->next = timer->next;
    timer->next->previous = timer->previous;
    timer->previous = timer->next = NULL;
}

/* Moves everything to the end of another list. */
static void list_splice(struct wheel_timer *to, struct wheel_timer *from)
{
    if (list_empty(from))
        return;
    from->next->previous = to->previous;
    to->previous->next = from->next;
    from->previous->next = to;
    to->previous = from->previous;
    list_init(from);
}

static unsigned digit(uint64_t time, unsigned level)
{
    return (unsigned)(time >> (level * DIGIT_BITS)) & (TIMER_WHEEL_SLOTS - 1);
}

static void place(struct timer_wheel *wheel, struct wheel_timer *timer)
{
    uint64_t difference = timer->due ^ wheel->now;
    unsigned level = (63 - (unsigned)__builtin_clzll(difference)) / DIGIT_BITS;
    unsigned slot = digit(timer->due, level);

    list_append(&wheel->slots[level][slot], timer);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms)
{
    wheel->now = now_ms;
    wheel->advancing = false;
    list_init(&wheel->overdue);
    list_init(&wheel->firing);
    for (unsigned level = 0; level < TIMER_WHEEL_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (unsigned slot = 0; slot < TIMER_WHEEL_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
    }
}

void timer_wheel_schedule(struct timer_wheel *wheel, struct wheel_timer *timer, uint64_t due_ms)
{
    timer_wheel_cancel(timer);
    timer->due = due_ms;
    if (due_ms <= wheel->now)
        list_append(&wheel->overdue, timer);
    else
        place(wheel, timer);
}

void timer_wheel_cancel(struct wheel_timer *timer)
{
    if (timer->next)
        list_unlink(timer);
}

/* Takes the timers out of every slot that now passes or reaches on its way to now_ms. */
static void collect(struct timer_wheel *wheel, uint64_t now_ms, struct wheel_timer *found)
{
    for (unsigned level = 0; level < TIMER_WHEEL_LEVELS; level++) {
        unsigned above = (level + 1) * DIGIT_BITS;
        bool whole_round = above < 64 && wheel->now >> above != now_ms >> above;
        unsigned last = whole_round ? TIMER_WHEEL_SLOTS - 1 : digit(now_ms, level);
        uint64_t passed = wheel->occupied[level] & (~UINT64_C(0) >> (TIMER_WHEEL_SLOTS - 1 - last));

        wheel->occupied[level] &= ~passed;
        for (; passed; passed &= passed - 1)
            list_splice(found, &wheel->slots[level][__builtin_ctzll(passed)]);
        if (!whole_round)
            break;
    }
}

void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms, wheel_timer_callback *callback,
                         void *arg)
{
    struct wheel_timer found;

    assert(!wheel->advancing);
    wheel->advancing = true;
    list_splice(&wheel->firing, &wheel->overdue);
    if (now_ms > wheel->now) {
        list_init(&found);
        collect(wheel, now_ms, &found);
        wheel->now = now_ms;
        while (!list_empty(&found)) {
            struct wheel_timer *timer = found.next;

            list_unlink(timer);
            if (timer->due <= now_ms)
                list_append(&wheel->firing, timer);
            else
                place(wheel, timer);
        }
    }
    while (!list_empty(&wheel->firing)) {
        struct wheel_timer *timer = wheel->firing.next;

        list_unlink(timer);
        callback(timer, arg);
    }
    wheel->advancing = false;
}

uint64_t timer_wheel_next_due(struct timer_wheel *wheel)
{
    if (!list_empty(&wheel->overdue) || !list_empty(&wheel->firing))
        return wheel->now;
    for (unsigned level = 0; level < TIMER_WHEEL_LEVELS; level++) {
        while (wheel->occupied[level]) {
            unsigned slot = (unsigned)__builtin_ctzll(wheel->occupied[level]);

            if (!list_empty(&wheel->slots[level][slot])) {
                unsigned shift = level * DIGIT_BITS;
                uint64_t above = shift + DIGIT_BITS < 64 ? ~UINT64_C(0) << (shift + DIGIT_BITS) : 0;

                return (wheel->now & above) | (uint64_t)slot << shift;
            }
            wheel->occupied[level] &= wheel->occupied[level] - 1;
        }
    }
    return TIMER_WHEEL_NEVER;
}
