/*
 * The process' own figures; see process.h.  /metrics of both programs has them.  Its one surprising rule: on a
 * kernel that does not tell how many descriptors are open, each number is tried: reading the folder of
 * /proc makes an entry of the kernel's for each, which takes a gateway tens of milliseconds.
 */
#include "common/process.h"

#include "common/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* One more than the largest number that a descriptor can have had. */
static unsigned long table_size(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    unsigned long size = 0;
    char line[256];

    while (file && size == 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "FDSize: %lu", &size) != 1)
            size = 0;
    if (file)
        fclose(file);
    return size;
}

unsigned long process_count_descriptors(bool short_way)
{
    unsigned long count = 0, size;
    struct stat status;

    if (short_way)
        return stat("/proc/self/fd", &status) == 0 ? (unsigned long)status.st_size : 0;
    size = table_size();
    for (unsigned long fd = 0; fd < size; fd++)
        count += fcntl((int)fd, F_GETFD) >= 0;
    return count;
}

/* Seconds since 1970; the same in every call, though clocks are corrected. */
static double start_time(void)
{
    static double start;
    FILE *file = start > 0 ? NULL : fopen("/proc/self/stat", "re");
    unsigned long long ticks = 0;
    char line[1024];
    const char *fields;

    if (!file)
        return start;
    if (fgets(line, sizeof line, file) && (fields = strrchr(line, ')')) && /* a name may hold anything */
        sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ticks) == 1)
        start = ((double)clock_wall_ms() - (double)clock_boot_ms()) / 1e3 +
                (double)ticks / (double)sysconf(_SC_CLK_TCK);
    fclose(file);
    return start;
}

static void measure_memory(struct process_figures *out)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long whole, resident;
    double page = (double)sysconf(_SC_PAGESIZE);

    if (file && fscanf(file, "%lu %lu", &whole, &resident) == 2) {
        out->virtual_bytes = (double)whole * page;
        out->resident_bytes = (double)resident * page;
    }
    if (file)
        fclose(file);
}

void process_measure(struct process_figures *out)
{
    struct timespec cpu = {0};
    struct rlimit limit = {0};
    unsigned long descriptors = process_count_descriptors(true);

    *out = (struct process_figures){.started = start_time()};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    out->cpu = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
    out->open_descriptors = (double)(descriptors ? descriptors : process_count_descriptors(false));
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        out->max_descriptors = (double)limit.rlim_cur;
    measure_memory(out);
}

void process_expose(struct exposition *exposition)
{
    struct process_figures figures;

    process_measure(&figures);
#define X(field, name, meaning, action) exposition_add_real(exposition, name, meaning, figures.field);
    PROCESS_TABLE(X)
#undef X
    exposition_describe(exposition, "hubbub_build_info", "1; the label is the version of the program");
    exposition_add_labelled(exposition, "hubbub_build_info", "version", BYTES(HUBBUB_VERSION), 1);
}
