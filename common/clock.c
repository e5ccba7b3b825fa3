/* The clocks; see clock.h. */
#include "common/clock.h"

#include <time.h>

static struct timespec read_clock(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return now;
}

static uint64_t milliseconds(struct timespec time)
{
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

uint64_t clock_monotonic_ms(void)
{
    return milliseconds(read_clock(CLOCK_MONOTONIC));
}

uint64_t clock_boot_ms(void)
{
    return milliseconds(read_clock(CLOCK_BOOTTIME));
}

uint64_t clock_monotonic_ns(void)
{
    struct timespec now = read_clock(CLOCK_MONOTONIC);

    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t clock_wall_ms(void)
{
    return milliseconds(read_clock(CLOCK_REALTIME));
}
