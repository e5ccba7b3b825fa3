/*
 * What Prometheus expects of every process, about the process itself
 * (https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics).
 */
#ifndef HUBBUB_COMMON_PROCESS_H
#define HUBBUB_COMMON_PROCESS_H

#include "common/exposition.h"

#include <stdbool.h>

/* X(field, name, meaning, action), as in the tables of counters. */
#define PROCESS_TABLE(X)                                                                                     \
    X(cpu, "process_cpu_seconds_total", "processor time used, user and system together",                     \
      "its rate is the cores in use; near 1 for a gateway: start another one; for the router: look at "      \
      "hubbub_turn_seconds")                                                                                 \
    X(open_descriptors, "process_open_fds", "open file descriptors",                                         \
      "near process_max_fds: raise the limit")                                                               \
    X(max_descriptors, "process_max_fds", "the limit of open file descriptors",                              \
      "set when the process starts")                                                                         \
    X(virtual_bytes, "process_virtual_memory_bytes", "virtual memory", "of little meaning by itself")        \
    X(resident_bytes, "process_resident_memory_bytes", "resident memory",                                    \
      "compare with hubbub_connections and, of the router, hubbub_rooms and hubbub_sessions_away")           \
    X(started, "process_start_time_seconds", "when it started, in seconds since 1970",                       \
      "it changed: the process was restarted; the log of whoever starts it says why")

struct process_figures {
#define X(field, name, meaning, action) double field;
    PROCESS_TABLE(X)
#undef X
};

/* Reads the figures from the system; what it does not tell is 0. */
void process_measure(struct process_figures *out);

/* Open descriptors, counted the short way (Linux from 6.2 on), which gives 0 where there is none, or the long
 * one, which takes some 100 ns for each that the process ever had at once. */
unsigned long process_count_descriptors(bool short_way);

/* Adds them, and hubbub_build_info. */
void process_expose(struct exposition *exposition);

#endif
