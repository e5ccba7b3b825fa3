/* Unpredictable bytes and ids, from the kernel.  One pool a thread; aborts if the kernel refuses. */
#ifndef HUBBUB_COMMON_RANDOM_H
#define HUBBUB_COMMON_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void random_bytes(void *out, size_t length);

uint64_t random_u64(void);

/* Writes length characters of A-Z a-z 0-9 - _ (6 random bits each), the first of them no '-', so that no
   command line takes an id for an option; adds no terminator. */
void random_id(char *out, size_t length);

#endif
