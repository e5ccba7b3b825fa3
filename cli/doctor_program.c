/*
 * Asking the programs for their findings; see doctor_program.h.
 *
 * The surprise: what a program says on standard error becomes a finding, too, so that its complaint about a
 * configuration stands in the list like everything else.
 */
#include "cli/doctor_program.h"

#include "cli/places.h"
#include "common/clock.h"
#include "common/exit_code.h"
#include "common/finding.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCK = 4096, OUTPUT_MAX = 1 << 20, PATIENCE_MS = 60000, NOT_STARTED = 127 };

/* A program on its way: what it says on both of its outputs. */
struct saying {
    pid_t pid;
    int fds[2]; /* -1: at its end */
    struct buffer texts[2];
};

/* In the child.  Does not return. */
static void become(const char *program, const char *const *options, int out, int err)
{
    const char *argv[DOCTOR_OPTIONS_MAX + 3] = {program, "--examine"};

    for (unsigned i = 0; options[i] && i < DOCTOR_OPTIONS_MAX; i++)
        argv[i + 2] = options[i];
    if (dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0) {
        execvp(program, (char *const *)(uintptr_t)argv);
        fprintf(stderr, "it can't be started: %s\n", strerror(errno));
    }
    _exit(NOT_STARTED);
}

/* 0, or ERROR_SYSTEM with errno. */
static int start(struct saying *saying, const char *program, const char *const *options)
{
    int out[2], err[2] = {-1, -1};

    if (pipe2(out, O_CLOEXEC))
        return ERROR_SYSTEM;
    if (pipe2(err, O_CLOEXEC) == 0)
        saying->pid = fork();
    else
        saying->pid = -1;
    if (saying->pid == 0)
        become(program, options, out[1], err[1]);
    close(out[1]);
    if (err[1] >= 0)
        close(err[1]);
    saying->fds[0] = out[0];
    saying->fds[1] = err[0];
    return saying->pid < 0 ? ERROR_SYSTEM : 0;
}

static void take_some(struct saying *saying, unsigned i)
{
    char *block = buffer_reserve(&saying->texts[i], BLOCK);
    ssize_t n = read(saying->fds[i], block, BLOCK);

    if (n > 0)
        buffer_extend(&saying->texts[i], (size_t)n);
    if (n == 0 || (n < 0 && errno != EINTR) || saying->texts[i].length > OUTPUT_MAX) {
        close(saying->fds[i]);
        saying->fds[i] = -1;
    }
}

/* Reads both outputs to their ends, or until it takes too long; then the program is killed. */
static void listen_to(struct saying *saying)
{
    uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

    while (saying->fds[0] >= 0 || saying->fds[1] >= 0) {
        struct pollfd watched[2] = {{.fd = saying->fds[0], .events = POLLIN},
                                    {.fd = saying->fds[1], .events = POLLIN}};
        uint64_t now = clock_monotonic_ms();

        if (now >= deadline || (poll(watched, 2, (int)(deadline - now)) < 0 && errno != EINTR)) {
            kill(saying->pid, SIGKILL);
            return;
        }
        for (unsigned i = 0; i < 2; i++)
            if (watched[i].revents)
                take_some(saying, i);
    }
}

/* The program's exit code; -1 when a signal ended it. */
static int reap(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void report_failure(struct buffer *out, const char *program, int exit_code, struct bytes words)
{
    struct bytes line = bytes_make(words.data, words.length ? strcspn(words.data, "\n") : 0);

    if (exit_code == EXIT_CONFIGURATION)
        finding_append(out, FINDING_ERROR, "configuration", "mend it there; --check-config looks again",
                       "%s: %.*s", program, BYTES_PRINTF(line));
    else
        finding_append(out, FINDING_ERROR, "versions", "install programs of one version side by side",
                       "%s: %.*s", program,
                       BYTES_PRINTF(line.length ? line : BYTES("it ended before its time")));
}

static void report(struct buffer *out, const char *program, int exit_code, struct bytes lines,
                   struct bytes words)
{
    struct finding finding;

    if (exit_code != EXIT_OK) {
        report_failure(out, program, exit_code, words);
        return;
    }
    while (lines.length) {
        struct bytes line = lines;

        if (finding_read(&lines, &finding) == 0)
            buffer_append(out, line.data, (size_t)(lines.data - line.data));
    }
}

void doctor_examine_program(struct buffer *out, const char *part, const char *const *options)
{
    struct saying saying = {.fds = {-1, -1}};
    char *program = places_find_program(part);

    if (start(&saying, program, options)) {
        finding_append(out, FINDING_ERROR, "versions", NULL, "%s can't be started: %s", program,
                       strerror(errno));
    } else {
        int exit_code;

        listen_to(&saying);
        exit_code = reap(saying.pid);
        buffer_append_char(&saying.texts[1], '\0');
        saying.texts[1].length--;
        report(out, program, exit_code, buffer_bytes(&saying.texts[0]), buffer_bytes(&saying.texts[1]));
    }
    for (unsigned i = 0; i < 2; i++) {
        if (saying.fds[i] >= 0)
            close(saying.fds[i]);
        buffer_done(&saying.texts[i]);
    }
    free(program);
}
