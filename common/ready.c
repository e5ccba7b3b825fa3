/*
 * The line of readiness, for gateway and router.
 *
 * The surprise: the variable is taken out of the environment, so that a second call, or a child of the
 * program's own, cannot write to a descriptor that is something else by then.
 */
#include "common/ready.h"

#include "common/bytes.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

void ready_announce(void)
{
    const char *number = getenv(READY_VARIABLE);
    unsigned long long fd;

    if (!number || bytes_parse_u64(bytes_from_text(number), &fd) || fd <= STDERR_FILENO || fd > INT_MAX)
        return;
    (void)!write((int)fd, "ready\n", 6); /* a supervisor that is gone is no failure of ours */
    close((int)fd);
    unsetenv(READY_VARIABLE);
}
