/* What the processes under load have used, read from the system; none of them has to cooperate. */
#ifndef HUBBUB_TESTS_BENCH_PROCESSES_H
#define HUBBUB_TESTS_BENCH_PROCESSES_H

#include "common/error.h"

#include <stdint.h>
#include <sys/types.h>

enum { PROCESSES_MAX = 64 };

struct processes {
    pid_t ids[PROCESSES_MAX];
    unsigned count;
};

/* Reads "PID,PID,...", at most PROCESSES_MAX; 0, or ERROR_MALFORMED. */
int processes_parse(const char *text, struct processes *out) MUST_CHECK;

/* The CPU time of all of them since they started, in ns; 0, or ERROR_NOT_FOUND when one has ended. */
int processes_cpu(const struct processes *processes, uint64_t *out) MUST_CHECK;

/*
 * Their memory in bytes (PSS: a page that several share counts once over all of them); 0, or ERROR_NOT_FOUND
 * when one has ended or may not be looked at.
 */
int processes_memory(const struct processes *processes, uint64_t *out) MUST_CHECK;

#endif
