/* The clocks: monotonic for every judgement by time, wall only for what people read. */
#ifndef HUBBUB_COMMON_CLOCK_H
#define HUBBUB_COMMON_CLOCK_H

#include <stdint.h>

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t clock_monotonic_ms(void);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t clock_monotonic_ns(void);

/* Milliseconds of CLOCK_BOOTTIME, which goes on while the machine sleeps: for what another machine may take
 * away. */
uint64_t clock_boot_ms(void);

/* Milliseconds since 1970 of CLOCK_REALTIME; may step in either direction. */
uint64_t clock_wall_ms(void);

#endif
