/*
 * Clients that mean harm, many at once: the other half of the load test (test_load.py).
 *
 * One epoll loop holds them all.  Each kind has a row in swarm_kinds.c: what it says first, what it does
 * from time to time, and how long it waits before it comes again once it was thrown out.  Each kind has
 * addresses of its own (127.1.KIND.N, a few clients on each), so that limits on addresses meet those who
 * earn them, and this prints how often its clients came, went, and were told to come later.
 *
 * The surprise: it never gives up and checks nothing. Whether the server bore it is judged by what the server
 * counted, and by what the good clients beside it felt.
 */
#include "tests/security/swarm.h"

#include "common/clock.h"
#include "common/config.h"
#include "common/exit_code.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    SWEEP_MS = 50, /* within so long everyone has had its turn */
    PER_ADDRESS = 10,
};

#define KEY(key, kind)                                                                                       \
    .section = "swarm", .name = #key, .type = CONFIG_KEY_##kind, CONFIG_FIELD(struct swarm_settings, key)

static const struct config_key keys[] = {
    {KEY(port, INTEGER), .minimum = 1, .fallback = "3000", .help = "a gateway's port on 127.0.0.1"},
    {KEY(router_port, INTEGER), .fallback = "0",
     .help = "the router's port on 127.0.0.1; 0: strangers stay away"},
    {KEY(router_key, PATH), .fallback = "", .help = "the file of the router's public key, for forged hellos"},
    {KEY(each, INTEGER), .minimum = 1, .maximum = 10000, .fallback = "50", .help = "clients of each kind"},
    {KEY(kinds, STRING), .fallback = "", .help = "only these kinds: names with commas between them"},
    {KEY(time, DURATION), .maximum = 3600000, .fallback = "60 s", .help = "how long they go on"},
    {KEY(calm, DURATION), .minimum = 50, .maximum = 60000, .fallback = "2 s",
     .help = "how long most of them wait before they come again"},
    {KEY(tokens, PATH), .fallback = "", .help = "a file of bad tokens, one a line"},
};

static const struct config_program program = {
    .name = "swarm",
    .summary = "clients that mean harm, for the load test",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
};

struct figures {
    uint64_t came, thrown_out, told_later;
};

struct swarm {
    struct intruder *all;
    unsigned count;
    unsigned next; /* whose turn it is */
    uint64_t owed; /* turns, times SWEEP_MS */
};

static struct swarm_settings settings;
static struct figures counted[SWARM_KINDS];
static int poller;
static uint64_t now;

static struct figures *figures_of(const struct intruder *intruder)
{
    return &counted[intruder->kind - swarm_kinds];
}

/* -- coming and going ------------------------------------------------------------------------- */

static void go(struct intruder *intruder, uint64_t pause)
{
    close(intruder->fd); /* out of the poller with it */
    intruder->fd = -1;
    intruder->due = now + pause;
}

static void come(struct intruder *intruder)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = intruder};
    int yes = 1, small = 4096, large = 1 << 20;

    from.sin_addr.s_addr = htonl(0x7f010000U | (uint32_t)(intruder->kind - swarm_kinds) << 8 |
                                 (1 + intruder->number / PER_ADDRESS % 250));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(intruder->kind->router ? settings.router_port : settings.port);
    intruder->greeted = false;
    intruder->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (intruder->fd < 0) {
        intruder->due = now + settings.calm;
        return;
    }
    /* The kernel chooses the port when both ends are known. */
    setsockopt(intruder->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    setsockopt(intruder->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(intruder->fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
    if (intruder->kind->deaf)
        setsockopt(intruder->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (bind(intruder->fd, (struct sockaddr *)&from, sizeof from) < 0 ||
        (connect(intruder->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) ||
        epoll_ctl(poller, EPOLL_CTL_ADD, intruder->fd, &event) < 0)
        go(intruder, settings.calm);
}

static void begin(struct intruder *intruder)
{
    const struct kind *kind = intruder->kind;
    struct epoll_event event = {.events = kind->deaf ? 0 : EPOLLIN, .data.ptr = intruder};

    intruder->greeted = true;
    intruder->sid[0] = '\0';
    intruder->due = now + kind->step_ms;
    figures_of(intruder)->came++;
    kind->greet(intruder);
    epoll_ctl(poller, EPOLL_CTL_MOD, intruder->fd, &event);
}

static void on_ready(struct intruder *intruder, uint32_t events)
{
    static char space[64 << 10];
    const struct kind *kind = intruder->kind;
    ssize_t n = 0;

    if (!intruder->greeted && !(events & (EPOLLERR | EPOLLHUP))) {
        begin(intruder);
        return;
    }
    if (!kind->deaf && intruder->greeted) {
        n = recv(intruder->fd, space, sizeof space, 0);
        if (n > 12 && memcmp(space, "HTTP/1.1 429", 12) == 0)
            figures_of(intruder)->told_later++;
        if (n > 0 && kind->hear && !kind->hear(intruder, space, (size_t)n)) {
            go(intruder, settings.calm);
            return;
        }
        if (n > 0 || (n < 0 && errno == EAGAIN))
            return;
    }
    figures_of(intruder)->thrown_out += intruder->greeted;
    go(intruder, settings.calm);
}

static void look_after(struct intruder *intruder)
{
    const struct kind *kind = intruder->kind;

    if (now < intruder->due)
        return;
    if (intruder->fd < 0)
        come(intruder);
    else if (intruder->greeted && kind->restless)
        go(intruder, 0);
    else if (intruder->greeted && kind->step) {
        kind->step(intruder);
        intruder->due = now + kind->step_ms;
    }
}

/* A few have their turn, as clients of many machines come and speak: not all of them in one moment. */
static void sweep(struct swarm *swarm, uint64_t passed_ms)
{
    swarm->owed += (passed_ms < SWEEP_MS ? passed_ms : SWEEP_MS) * swarm->count;
    for (; swarm->owed >= SWEEP_MS; swarm->owed -= SWEEP_MS) {
        look_after(&swarm->all[swarm->next]);
        swarm->next = (swarm->next + 1) % swarm->count;
    }
}

/* -- the whole -------------------------------------------------------------------------------- */

static bool is_wanted(const struct kind *kind)
{
    const char *at = settings.kinds;
    size_t length = strlen(kind->name);

    if (kind->router && settings.router_port == 0)
        return false;
    if (!at[0])
        return true;
    for (; at; at = strchr(at, ','), at += at ? 1 : 0)
        if (strncmp(at, kind->name, length) == 0 && (at[length] == ',' || !at[length]))
            return true;
    return false;
}

/* The kinds in turn, so that each has some early ones. */
static bool muster(struct swarm *swarm)
{
    const struct kind *wanted[SWARM_KINDS];
    unsigned kinds = 0;

    for (unsigned i = 0; i < SWARM_KINDS; i++)
        if (is_wanted(&swarm_kinds[i]))
            wanted[kinds++] = &swarm_kinds[i];
    swarm->count = kinds * settings.each;
    swarm->all = calloc(swarm->count, sizeof *swarm->all);
    if (!swarm->all || kinds == 0)
        return false;
    for (unsigned i = 0; i < swarm->count; i++)
        swarm->all[i] = (struct intruder){.fd = -1,
                                          .kind = wanted[i % kinds],
                                          .number = i / kinds,
                                          .due = now + (uint64_t)settings.calm * i / swarm->count};
    return true;
}

static void disband(struct swarm *swarm)
{
    for (unsigned i = 0; i < swarm->count; i++) {
        if (swarm->all[i].fd >= 0)
            close(swarm->all[i].fd);
        swarm_stranger_leave(&swarm->all[i]);
    }
    free(swarm->all);
}

static void print_figures(void)
{
    bool first = true;

    putchar('{');
    for (unsigned i = 0; i < SWARM_KINDS; i++) {
        if (!is_wanted(&swarm_kinds[i]))
            continue;
        printf("%s\"%s\": {\"came\": %" PRIu64 ", \"thrown_out\": %" PRIu64 ", \"told_later\": %" PRIu64 "}",
               first ? "" : ", ", swarm_kinds[i].name, counted[i].came, counted[i].thrown_out,
               counted[i].told_later);
        first = false;
    }
    puts("}");
}

static int run(void)
{
    struct swarm swarm = {0};
    struct epoll_event events[256];
    uint64_t end;

    now = clock_monotonic_ms();
    end = now + settings.time;
    if (!muster(&swarm)) {
        fprintf(stderr, "swarm: no such kind: %s\n", settings.kinds);
        free(swarm.all);
        return EXIT_USAGE;
    }
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) {
        disband(&swarm);
        return EXIT_RUNTIME;
    }
    while (now < end) {
        int ready = epoll_wait(poller, events, 256, 1);
        uint64_t before = now;

        now = clock_monotonic_ms();
        for (int i = 0; i < ready; i++)
            on_ready(events[i].data.ptr, events[i].events);
        sweep(&swarm, now - before);
    }
    disband(&swarm);
    close(poller);
    print_figures();
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    struct config_result result;
    struct rlimit files;
    int code = EXIT_CONFIGURATION;

    if (config_load(&program, argc, argv, &settings, &result) != 0) {
        config_settings_done(&program, &settings);
        return config_report(&result);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (swarm_kinds_init(&settings) == 0)
        code = run();
    swarm_kinds_done();
    config_settings_done(&program, &settings);
    return code;
}
