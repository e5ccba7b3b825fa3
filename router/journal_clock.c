/*
 * The wall clock as far as it can be believed; see journal_clock.h.  The journal thread owns it and asks it
 * before it removes anything by age.  Its one surprising rule: it takes the lowest that the wall clock said,
 * beside the monotonic one, in the last whole span of trust, so it may run up to two spans behind a jump
 * forward, and an error of many short jumps moves it not at all.
 */
#include "router/journal_clock.h"

static int64_t offset_of(uint64_t monotonic, uint64_t wall)
{
    return (int64_t)wall - (int64_t)monotonic;
}

void journal_clock_init(struct journal_clock *clock, uint64_t monotonic, uint64_t wall, uint64_t newest_at)
{
    int64_t offset = offset_of(monotonic, wall);

    *clock = (struct journal_clock){.believed = offset, .lowest = offset, .since = monotonic};
    if (newest_at && newest_at < wall)
        clock->believed = offset_of(monotonic, newest_at);
}

uint64_t journal_clock_now(struct journal_clock *clock, uint64_t monotonic, uint64_t wall)
{
    int64_t offset = offset_of(monotonic, wall);

    if (offset < clock->lowest)
        clock->lowest = offset;
    if (clock->lowest < clock->believed || monotonic - clock->since >= JOURNAL_CLOCK_TRUST_MS)
        clock->believed = clock->lowest;
    if (monotonic - clock->since >= JOURNAL_CLOCK_TRUST_MS) {
        clock->lowest = offset;
        clock->since = monotonic;
    }
    return (uint64_t)((int64_t)monotonic + clock->believed);
}
