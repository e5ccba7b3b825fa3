/*
 * The time by which the journal judges age: the wall clock, as far as it can be believed.
 *
 * A wall clock may jump.  What is removed because it looks old is gone for good, so a jump forward is
 * believed only when it has lasted for JOURNAL_CLOCK_TRUST_MS of the monotonic clock; one back at once, which
 * keeps messages longer.  After a start the newest message's time stands for the former run's: it goes on
 * from there until the wall clock has been ahead of it for as long.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_CLOCK_H
#define HUBBUB_ROUTER_JOURNAL_CLOCK_H

#include <stdint.h>

#define JOURNAL_CLOCK_TRUST_MS ((uint64_t)3600 * 1000)

struct journal_clock {
    int64_t believed; /* wall minus monotonic, in ms */
    int64_t lowest;   /* the same, the lowest seen since `since` */
    uint64_t since;   /* monotonic */
};

/* newest_at: of the newest message; 0 for none. */
void journal_clock_init(struct journal_clock *clock, uint64_t monotonic, uint64_t wall, uint64_t newest_at);

/* The believed wall clock in ms, given both clocks; to be asked now and then, and never with a monotonic time
   before that of the last call. */
uint64_t journal_clock_now(struct journal_clock *clock, uint64_t monotonic, uint64_t wall);

#endif
