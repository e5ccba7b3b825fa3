/*
 * Starting, watching and ending one process for the supervisor.
 *
 * The surprise: between fork() and exec all signals are blocked, because a handler of the loop that ran in
 * the child would write to the pipe that it shares with its parent.
 */
#include "cli/child.h"

#include "common/exit_code.h"
#include "common/ready.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void set_state(struct child *child, enum child_state state)
{
    static const unsigned legal[] = {
        [CHILD_IDLE] = 1 << CHILD_STARTING,
        [CHILD_STARTING] = 1 << CHILD_READY | 1 << CHILD_WAITING | 1 << CHILD_STOPPING | 1 << CHILD_IDLE,
        [CHILD_READY] = 1 << CHILD_WAITING | 1 << CHILD_STOPPING | 1 << CHILD_IDLE,
        [CHILD_WAITING] = 1 << CHILD_STARTING | 1 << CHILD_IDLE,
        [CHILD_STOPPING] = 1 << CHILD_IDLE,
    };

    assert(legal[child->state] >> state & 1);
    child->state = state;
}

static void forget_ready_pipe(struct child *child)
{
    loop_watch_free(child->ready_watch);
    child->ready_watch = NULL;
    if (child->ready_fd >= 0)
        close(child->ready_fd);
    child->ready_fd = -1;
}

static void ready_pipe_readable(void *arg, int fd, unsigned ready)
{
    struct child *child = arg;
    char line[64];
    ssize_t n = read(fd, line, sizeof line);

    (void)ready;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    forget_ready_pipe(child);
    if (n >= 5 && memcmp(line, "ready", 5) == 0 && child->state == CHILD_STARTING) {
        set_state(child, CHILD_READY);
        if (child->reload)
            child_reload(child);
        child->ready(child, child->arg);
    }
}

static void restart_due(void *arg)
{
    struct child *child = arg;

    child->restarts++;
    if (child_start(child)) {
        /* The system is short of something: that passes, or the user ends us. */
        child->restarts--;
        loop_timer_start(&child->restart_timer, CHILD_DELAY_MAX_MS);
    }
}

void child_init(struct child *child, struct loop *loop, child_callback *ready, void *arg)
{
    child->state = CHILD_IDLE;
    child->delay_ms = CHILD_DELAY_MS;
    child->loop = loop;
    child->ready_fd = -1;
    child->ready = ready;
    child->arg = arg;
    loop_timer_init(&child->restart_timer, loop, restart_due, child);
}

void child_done(struct child *child)
{
    if (!child->loop)
        return;
    loop_timer_stop(&child->restart_timer);
    forget_ready_pipe(child);
}

/* In the child, signals blocked; does not return. */
static void become(const struct child *child, pid_t parent, int ready_fd, const sigset_t *mask)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    int nothing = open("/dev/null", O_RDONLY);
    char number[16];

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(EXIT_RUNTIME); /* it died before the prctl() */
    for (int i = 1; i < NSIG; i++)
        if (i != SIGHUP)
            sigaction(i, &standard, NULL); /* fails for the few that can't be caught */
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (nothing >= 0)
        dup2(nothing, STDIN_FILENO);
    if (nothing > STDERR_FILENO)
        close(nothing);
    snprintf(number, sizeof number, "%d", ready_fd);
    if (fcntl(ready_fd, F_SETFD, 0) == 0 && setenv(READY_VARIABLE, number, 1) == 0)
        execvp(child->argv[0], child->argv);
    fprintf(stderr, "hubbub: cannot start %s: %s\n", child->argv[0], strerror(errno));
    _exit(EXIT_RUNTIME);
}

static int spawn(struct child *child, int ready_fd)
{
    pid_t parent = getpid();
    sigset_t all, mask;
    pid_t pid;
    int reason;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &mask);
    pid = fork();
    if (pid == 0)
        become(child, parent, ready_fd, &mask);
    reason = errno;
    sigprocmask(SIG_SETMASK, &mask, NULL);
    if (pid < 0) {
        errno = reason;
        return ERROR_SYSTEM;
    }
    setpgid(pid, pid); /* also here, so that it is done whoever runs first */
    child->pid = pid;
    return 0;
}

int child_start(struct child *child)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        goto fail;
    child->ready_fd = ends[0];
    child->ready_watch = loop_watch_new(child->loop, ends[0], LOOP_READ, ready_pipe_readable, child);
    if (!child->ready_watch || spawn(child, ends[1])) {
        int reason = errno;

        forget_ready_pipe(child);
        close(ends[1]);
        errno = reason;
        goto fail;
    }
    close(ends[1]);
    set_state(child, CHILD_STARTING);
    child->reload = false;
    child->started_ms = loop_now(child->loop);
    printf("%s pid=%d %s", child->name, (int)child->pid, child->info);
    if (child->restarts)
        printf(" restarted=%u", child->restarts);
    putchar('\n');
    return 0;
fail:
    fprintf(stderr, "hubbub: cannot start %s: %s\n", child->name, strerror(errno));
    return ERROR_SYSTEM;
}

void child_describe_end(int wait_status, char out[static 64])
{
    if (WIFSIGNALED(wait_status))
        snprintf(out, 64, "was killed by signal %d (%s)", WTERMSIG(wait_status),
                 strsignal(WTERMSIG(wait_status)));
    else
        snprintf(out, 64, "exited with code %d", WEXITSTATUS(wait_status));
}

void child_restart_later(struct child *child, int wait_status)
{
    bool sound = child->state == CHILD_READY && loop_now(child->loop) - child->started_ms >= CHILD_SOUND_MS;
    char end[64];

    if (sound)
        child->delay_ms = CHILD_DELAY_MS;
    child_describe_end(wait_status, end);
    fprintf(stderr, "hubbub: %s (pid %d) %s; starting it again in %u ms\n", child->name, (int)child->pid, end,
            (unsigned)child->delay_ms);
    forget_ready_pipe(child);
    child->pid = 0;
    set_state(child, CHILD_WAITING);
    loop_timer_start(&child->restart_timer, child->delay_ms);
    if (!sound)
        child->delay_ms = child->delay_ms * 2 < CHILD_DELAY_MAX_MS ? child->delay_ms * 2 : CHILD_DELAY_MAX_MS;
}

void child_ended(struct child *child)
{
    forget_ready_pipe(child);
    child->pid = 0;
    set_state(child, CHILD_IDLE);
}

void child_reload(struct child *child)
{
    child->reload = child->state == CHILD_STARTING;
    if (child->state == CHILD_READY)
        kill(child->pid, SIGHUP);
}

void child_stop(struct child *child, int signal_number)
{
    switch (child->state) {
    case CHILD_IDLE:
        return;
    case CHILD_WAITING:
        loop_timer_stop(&child->restart_timer);
        set_state(child, CHILD_IDLE);
        return;
    case CHILD_STARTING:
    case CHILD_READY:
        set_state(child, CHILD_STOPPING);
        break;
    case CHILD_STOPPING:
        break;
    }
    kill(child->pid, signal_number);
}
