/*
 * Listening and accepting; see listener.h.  The surprising rule: one descriptor is kept in reserve, so that
 * when the process has no more, a waiting client can still be accepted and told so instead of hanging.
 */
#include "gateway/listener.h"

#include "common/host_addresses.h"
#include "common/memory.h"
#include "gateway/entrance.h"
#include "gateway/gateway.h"
#include "gateway/http_service.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,
    ACCEPTS_A_TURN = 256,
    RESERVED_DESCRIPTORS = 64, /* for ZeroMQ, the loop and the like */
};

struct listener {
    struct gateway *gateway;
    struct loop_watch *watches[HOST_ADDRESSES_MAX];
    int fds[HOST_ADDRESSES_MAX];
    unsigned count;
    int reserve; /* /dev/null, or -1 while it is lent */
    uint32_t limit;
};

static uint32_t connection_limit(const struct gateway_settings *settings)
{
    struct rlimit limit;
    uint64_t allowed = UINT32_MAX;
    uint64_t reserved = RESERVED_DESCRIPTORS + (*settings->admin ? settings->max_admin_connections : 0);

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
            allowed = limit.rlim_cur > reserved ? limit.rlim_cur - reserved : 1;
    }
    if (settings->max_connections && settings->max_connections < allowed)
        allowed = settings->max_connections;
    return allowed > UINT32_MAX ? UINT32_MAX : (uint32_t)allowed;
}

static void refuse_with_reserve(struct listener *listener, int listening)
{
    int fd;

    close(listener->reserve);
    fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        listener->gateway->counters.refused_too_many++;
        http_refuse(listener->gateway, fd, 503);
    }
    listener->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* At most so many. */
static void accept_some(struct listener *listener, int listening, uint32_t most)
{
    struct gateway *gateway = listener->gateway;

    for (uint32_t i = 0; i < most; i++) {
        int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0 && listener_is_full(listener)) {
            gateway->counters.refused_too_many++;
            http_refuse(gateway, fd, 503);
        } else if (fd >= 0) {
            entrance_accept(gateway, fd);
        } else if (errno == EMFILE || errno == ENFILE) {
            log_warn("no descriptor left for a client", "connections=%u", gateway->connections.slots.count);
            refuse_with_reserve(listener, listening);
            break;
        } else if (errno != ECONNABORTED && errno != EINTR) {
            if (errno != EAGAIN)
                log_warn("accepting failed", "error=%s", strerror(errno));
            break;
        }
    }
}

static void on_ready(void *arg, int listening, unsigned ready)
{
    (void)ready;
    accept_some(arg, listening, ACCEPTS_A_TURN);
}

void listener_accept_waiting(struct listener *listener)
{
    for (unsigned i = 0; listener && i < listener->count; i++)
        accept_some(listener, listener->fds[i], BACKLOG);
}

/* Opens one address.  The descriptor, or -1 with errno. */
static int open_address(const struct sockaddr *address, socklen_t length,
                        const struct gateway_settings *settings)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, off = 0;
    int failure;

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        (settings->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 || /* accepted sockets inherit it */
        (address->sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0) ||
        bind(fd, address, length) < 0 || listen(fd, BACKLOG) < 0) {
        failure = errno;
        close(fd);
        errno = failure;
        return -1;
    }
    return fd;
}

static int add_address(struct listener *listener, const struct sockaddr *address, socklen_t length)
{
    int fd = open_address(address, length, listener->gateway->settings);
    struct loop_watch *watch;

    if (fd < 0)
        return ERROR_SYSTEM;
    watch = loop_watch_new(listener->gateway->loop, fd, LOOP_READ, on_ready, listener);
    if (!watch) {
        close(fd);
        return ERROR_SYSTEM;
    }
    listener->watches[listener->count] = watch;
    listener->fds[listener->count++] = fd;
    return 0;
}

/* One dual-stack socket on all addresses; IPv4 alone where the system has no IPv6. */
static int open_everywhere(struct listener *listener, uint16_t port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};

    if (add_address(listener, (const struct sockaddr *)&six, sizeof six) == 0)
        return 0;
    if (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL)
        return ERROR_SYSTEM;
    return add_address(listener, (const struct sockaddr *)&four, sizeof four);
}

/* All addresses of the name that this machine has: there may be no IPv6. */
static int open_host(struct listener *listener, const char *host, uint16_t port)
{
    struct host_address found[HOST_ADDRESSES_MAX];
    const char *reason;
    int count = host_addresses(host, port, found, &reason), result = count;

    if (count < 0) {
        log_error("the host to listen on is unknown", "host=%s error=%s", host, reason);
        errno = 0;
        return ERROR_SYSTEM;
    }
    for (int i = 0; i < count; i++) {
        result = add_address(listener, (const struct sockaddr *)&found[i].address, found[i].length);
        if (result < 0 && errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL)
            return result;
    }
    return listener->count ? 0 : result;
}

int listener_new(struct gateway *gateway, struct listener **out)
{
    const struct gateway_settings *settings = gateway->settings;
    struct listener *listener = memory_zero(1, sizeof *listener);
    int result;

    listener->gateway = gateway;
    listener->limit = connection_limit(settings);
    listener->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
    result = settings->host[0] ? open_host(listener, settings->host, settings->port)
                               : open_everywhere(listener, settings->port);
    if (result < 0) {
        if (errno)
            log_error("can't listen", "host=%s port=%u error=%s", settings->host, settings->port,
                      strerror(errno));
        listener_free(listener);
        return result;
    }
    *out = listener;
    return 0;
}

bool listener_is_full(const struct listener *listener)
{
    return listener && listener->gateway->connections.slots.count >= listener->limit;
}

void listener_limit_again(struct listener *listener)
{
    if (listener)
        listener->limit = connection_limit(listener->gateway->settings);
}

void listener_free(struct listener *listener)
{
    if (!listener)
        return;
    for (unsigned i = 0; i < listener->count; i++) {
        loop_watch_free(listener->watches[i]);
        close(listener->fds[i]);
    }
    if (listener->reserve >= 0)
        close(listener->reserve);
    free(listener);
}
