/*
 * The supervisor of `hubbub run`, on the loop: signals in, processes started and ended.
 *
 * The surprise: gateways are not started before the router was ready once, so that a router that can't
 * start (a damaged journal, another configuration) is the only one to complain.
 */
#include "cli/supervisor.h"

#include "common/exit_code.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum phase { PHASE_ROUTER, PHASE_GATEWAYS, PHASE_SERVING, PHASE_STOP_GATEWAYS, PHASE_STOP_ROUTER };

enum { SIGNALS = 4 };

struct supervisor {
    const struct supervisor_plan *plan;
    struct loop *loop;
    struct loop_signal *signals[SIGNALS];
    bool had_terminal;          /* at the start */
    struct loop_timer patience; /* how long those who are told to end may take */
    enum phase phase;
    bool has_served;
    int exit_code;
};

static void set_phase(struct supervisor *supervisor, enum phase phase)
{
    assert(phase == supervisor->phase + 1 || (phase == PHASE_STOP_GATEWAYS && supervisor->phase < phase));
    supervisor->phase = phase;
}

static struct child *child_at(struct supervisor *supervisor, unsigned i)
{
    return i < supervisor->plan->gateway_count ? &supervisor->plan->gateways[i] : supervisor->plan->router;
}

static unsigned child_count(const struct supervisor *supervisor)
{
    return supervisor->plan->gateway_count + 1;
}

static bool all_gateways_idle(const struct supervisor *supervisor)
{
    for (unsigned i = 0; i < supervisor->plan->gateway_count; i++)
        if (supervisor->plan->gateways[i].state != CHILD_IDLE)
            return false;
    return true;
}

static void go_on_stopping(struct supervisor *supervisor)
{
    if (supervisor->phase == PHASE_STOP_GATEWAYS && all_gateways_idle(supervisor)) {
        set_phase(supervisor, PHASE_STOP_ROUTER);
        loop_timer_start(&supervisor->patience, SUPERVISOR_STOP_SECONDS * 1000);
        child_stop(supervisor->plan->router, SIGTERM);
    }
    if (supervisor->phase == PHASE_STOP_ROUTER && supervisor->plan->router->state == CHILD_IDLE)
        loop_stop(supervisor->loop);
}

static void stop(struct supervisor *supervisor, int exit_code)
{
    supervisor->exit_code = exit_code;
    set_phase(supervisor, PHASE_STOP_GATEWAYS);
    loop_timer_start(&supervisor->patience, supervisor->plan->gateway_patience * 1000ULL);
    for (unsigned i = 0; i < supervisor->plan->gateway_count; i++)
        child_stop(&supervisor->plan->gateways[i], SIGTERM);
    go_on_stopping(supervisor);
}

static bool stopping(const struct supervisor *supervisor)
{
    return supervisor->phase >= PHASE_STOP_GATEWAYS;
}

static void patience_ended(void *arg)
{
    struct supervisor *supervisor = arg;

    for (unsigned i = 0; i < child_count(supervisor); i++) {
        struct child *child = child_at(supervisor, i);

        if (child->state != CHILD_STOPPING)
            continue;
        fprintf(stderr, "hubbub: %s (pid %d) has not ended within %u s; killing it\n", child->name,
                (int)child->pid,
                supervisor->phase == PHASE_STOP_GATEWAYS ? supervisor->plan->gateway_patience
                                                         : SUPERVISOR_STOP_SECONDS);
        child_stop(child, SIGKILL);
    }
}

static void asked_to_stop(void *arg, int number)
{
    struct supervisor *supervisor = arg;

    (void)number;
    if (!stopping(supervisor)) {
        stop(supervisor, EXIT_OK);
        return;
    }
    fputs("hubbub: asked again; killing what still runs\n", stderr);
    for (unsigned i = 0; i < child_count(supervisor); i++)
        child_stop(child_at(supervisor, i), SIGKILL);
    go_on_stopping(supervisor);
}

static void start_gateways(struct supervisor *supervisor)
{
    set_phase(supervisor, PHASE_GATEWAYS);
    for (unsigned i = 0; i < supervisor->plan->gateway_count; i++) {
        if (child_start(&supervisor->plan->gateways[i])) {
            stop(supervisor, EXIT_RUNTIME);
            return;
        }
    }
}

static void child_is_ready(struct child *child, void *arg)
{
    struct supervisor *supervisor = arg;

    if (supervisor->phase == PHASE_ROUTER && child == supervisor->plan->router)
        start_gateways(supervisor);
    if (supervisor->phase != PHASE_GATEWAYS)
        return;
    for (unsigned i = 0; i < child_count(supervisor); i++)
        if (child_at(supervisor, i)->state != CHILD_READY)
            return;
    set_phase(supervisor, PHASE_SERVING);
    supervisor->has_served = true;
    supervisor->plan->serving(supervisor->plan->arg);
}

/* Whether a child that ended so would only end so again. */
static bool hopeless(const struct supervisor *supervisor, int wait_status)
{
    if (!WIFEXITED(wait_status))
        return false;
    switch (WEXITSTATUS(wait_status)) {
    case EXIT_USAGE:
    case EXIT_CONFIGURATION:
        return true;
    case EXIT_RUNTIME:
        return !supervisor->has_served;
    default:
        return false;
    }
}

static void child_is_gone(struct supervisor *supervisor, struct child *child, int wait_status)
{
    char end[64];

    if (stopping(supervisor)) {
        child_ended(child);
        go_on_stopping(supervisor);
        return;
    }
    if (!hopeless(supervisor, wait_status)) {
        child_restart_later(child, wait_status);
        return;
    }
    child_describe_end(wait_status, end);
    fprintf(stderr, "hubbub: %s (pid %d) %s; stopping everything\n", child->name, (int)child->pid, end);
    child_ended(child);
    stop(supervisor, WEXITSTATUS(wait_status));
}

static void children_changed(void *arg, int number)
{
    struct supervisor *supervisor = arg;
    int wait_status;
    pid_t pid;

    (void)number;
    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
        for (unsigned i = 0; i < child_count(supervisor); i++)
            if (child_at(supervisor, i)->pid == pid)
                child_is_gone(supervisor, child_at(supervisor, i), wait_status);
}

/* Whether there is a terminal that this process belongs to; one that was closed is none any more. */
static bool has_terminal(void)
{
    int terminal = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);

    if (terminal < 0)
        return false;
    close(terminal);
    return true;
}

/* The terminal was closed, or somebody asks for the configuration to be read again. */
static void hung_up(void *arg, int number)
{
    struct supervisor *supervisor = arg;

    if (supervisor->had_terminal && !has_terminal()) {
        asked_to_stop(arg, number);
        return;
    }
    for (unsigned i = 0; i < child_count(supervisor); i++)
        child_reload(child_at(supervisor, i));
}

/* As nohup leaves SIGHUP, for what shall outlive its terminal. */
static bool ignored(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static int take_signals(struct supervisor *supervisor)
{
    static const struct {
        int number;
        loop_signal_callback *callback;
    } wanted[SIGNALS] = {
        {SIGCHLD, children_changed}, {SIGINT, asked_to_stop}, {SIGTERM, asked_to_stop}, {SIGHUP, hung_up}};

    for (unsigned i = 0; i < SIGNALS; i++) {
        if (wanted[i].number == SIGHUP && ignored(SIGHUP))
            continue;
        supervisor->signals[i] =
            loop_signal_new(supervisor->loop, wanted[i].number, wanted[i].callback, supervisor);
        if (!supervisor->signals[i])
            return ERROR_SYSTEM;
    }
    return 0;
}

int supervisor_run(const struct supervisor_plan *plan)
{
    struct supervisor supervisor = {
        .plan = plan, .loop = loop_new(), .exit_code = EXIT_RUNTIME, .had_terminal = has_terminal()};

    if (!supervisor.loop || take_signals(&supervisor)) {
        perror("hubbub: cannot watch for signals");
        goto out;
    }
    loop_timer_init(&supervisor.patience, supervisor.loop, patience_ended, &supervisor);
    for (unsigned i = 0; i < child_count(&supervisor); i++)
        child_init(child_at(&supervisor, i), supervisor.loop, child_is_ready, &supervisor);
    if (child_start(plan->router))
        goto out;
    if (loop_run(supervisor.loop)) {
        perror("hubbub: cannot wait for events");
        supervisor.exit_code = EXIT_RUNTIME; /* and the processes end with us: PR_SET_PDEATHSIG */
    }
out:
    for (unsigned i = 0; i < child_count(&supervisor); i++)
        child_done(child_at(&supervisor, i));
    for (unsigned i = 0; i < SIGNALS; i++)
        loop_signal_free(supervisor.signals[i]);
    loop_free(supervisor.loop);
    return supervisor.exit_code;
}
