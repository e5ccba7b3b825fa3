/*
 * An epoll set nested in the loop's: the plain connections of the gateway, where libevent's own record for
 * each event would cost more memory and time than the connection.
 *
 * The surprise: a batch is dispatched to its end even when a callback removes descriptors of it, so stale
 * events are the user's to recognise; see the header.
 */
#include "common/poller.h"

#include "common/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct poller {
    int epoll;
    struct loop_watch *watch;
    poller_callback *callback;
    void *arg;
    struct epoll_event batch[POLLER_BATCH];
};

static void set_ready(void *arg, int fd, unsigned ready)
{
    struct poller *poller = arg;
    int count = epoll_wait(fd, poller->batch, POLLER_BATCH, 0);

    (void)ready;
    for (int i = 0; i < count; i++)
        poller->callback(poller->arg, poller->batch[i].data.u64, poller->batch[i].events);
}

struct poller *poller_new(struct loop *loop, poller_callback *callback, void *arg)
{
    struct poller *poller = memory_zero(1, sizeof *poller);

    poller->callback = callback;
    poller->arg = arg;
    poller->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (poller->epoll < 0)
        goto fail;
    poller->watch = loop_watch_new(loop, poller->epoll, LOOP_READ, set_ready, poller);
    if (!poller->watch)
        goto fail;
    return poller;
fail:
    poller_free(poller);
    return NULL;
}

void poller_free(struct poller *poller)
{
    if (!poller)
        return;
    loop_watch_free(poller->watch);
    if (poller->epoll >= 0)
        close(poller->epoll);
    free(poller);
}

static int control(struct poller *poller, int operation, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};

    if (epoll_ctl(poller->epoll, operation, fd, &event) == 0)
        return 0;
    switch (errno) {
    case EEXIST:
        return ERROR_EXISTS;
    case ENOENT:
        return ERROR_NOT_FOUND;
    case ENOSPC:
        return ERROR_NO_SPACE;
    default:
        return ERROR_SYSTEM;
    }
}

int poller_add(struct poller *poller, int fd, uint32_t events, uint64_t data)
{
    return control(poller, EPOLL_CTL_ADD, fd, events, data);
}

int poller_modify(struct poller *poller, int fd, uint32_t events, uint64_t data)
{
    return control(poller, EPOLL_CTL_MOD, fd, events, data);
}

void poller_remove(struct poller *poller, int fd)
{
    epoll_ctl(poller->epoll, EPOLL_CTL_DEL, fd, NULL);
}
