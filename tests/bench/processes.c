/*
 * CPU time and memory of the servers under load.
 *
 * Called by load.c at the edges of what it measures.  The surprise: CPU time comes from the process's own
 * clock, not from /proc/PID/stat, which counts in steps of 10 ms.
 */
#include "tests/bench/processes.h"

#include "common/bytes.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

int processes_parse(const char *text, struct processes *out)
{
    struct processes processes = {.count = 0};

    while (*text) {
        size_t length = strcspn(text, ",");
        unsigned long long id;

        if (processes.count == PROCESSES_MAX || bytes_parse_u64(bytes_make(text, length), &id) || id == 0 ||
            id > INT_MAX)
            return ERROR_MALFORMED;
        processes.ids[processes.count++] = (pid_t)id;
        text += length;
        text += *text == ',';
    }
    *out = processes;
    return 0;
}

int processes_cpu(const struct processes *processes, uint64_t *out)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < processes->count; i++) {
        struct timespec used;
        clockid_t clock;

        if (clock_getcpuclockid(processes->ids[i], &clock) || clock_gettime(clock, &used))
            return ERROR_NOT_FOUND;
        total += (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
    }
    *out = total;
    return 0;
}

static int memory_of(pid_t id, uint64_t *out)
{
    unsigned long long kilobytes;
    char path[64], line[256];
    int status = ERROR_NOT_FOUND;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)id);
    file = fopen(path, "re");
    if (!file)
        return ERROR_NOT_FOUND;
    while (status && fgets(line, sizeof line, file)) {
        if (sscanf(line, "Pss: %llu kB", &kilobytes) == 1) {
            *out = kilobytes * 1024;
            status = 0;
        }
    }
    fclose(file);
    return status;
}

int processes_memory(const struct processes *processes, uint64_t *out)
{
    uint64_t total = 0, one;

    for (unsigned i = 0; i < processes->count; i++) {
        if (memory_of(processes->ids[i], &one))
            return ERROR_NOT_FOUND;
        total += one;
    }
    *out = total;
    return 0;
}
