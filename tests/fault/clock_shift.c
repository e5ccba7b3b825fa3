/*
 * A shim for LD_PRELOAD: one program sees another wall clock, and the machine's stays as it is.
 *
 * test_clock.mjs starts the stack with it.  HUBBUB_TEST_CLOCK_PROGRAM is the program's name, and
 * HUBBUB_TEST_CLOCK_FILE a file of eight bytes, a signed number of seconds in the machine's byte order,
 * that is added to CLOCK_REALTIME whenever somebody asks.
 *
 * The surprise: it is loaded into every process of the stack and does nothing in all others.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift_seconds;

__attribute__((constructor)) static void find_file(void)
{
    const char *program = getenv("HUBBUB_TEST_CLOCK_PROGRAM"), *path = getenv("HUBBUB_TEST_CLOCK_FILE");
    void *mapped;
    int fd;

    if (!program || !path || strcmp(program, program_invocation_short_name) != 0)
        return;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    mapped = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *shift_seconds, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        _exit(EXIT_FAILURE);
    close(fd);
    shift_seconds = mapped;
}

int clock_gettime(clockid_t id, struct timespec *out)
{
    int status = (int)syscall(SYS_clock_gettime, id, out);

    if (!status && shift_seconds && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        out->tv_sec += *shift_seconds;
    return status;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now))
        return -1;
    *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;

    if (clock_gettime(CLOCK_REALTIME, &now))
        return (time_t)-1;
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
