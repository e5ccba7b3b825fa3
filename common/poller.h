/*
 * Many small connections in one epoll set, which costs the loop a single watch.
 *
 * A descriptor costs no memory here: epoll keeps 64 bits of the caller's for it.
 * Level-triggered; in each turn where something is ready, one epoll_wait() of at
 * most POLLER_BATCH events is dispatched (the rest in the next turn; the kernel
 * rotates, so nobody starves).
 *
 * Stale events.  The callback may add, modify, remove or close any descriptor,
 * also one whose event comes later in the same batch: that event still arrives,
 * with the data it was registered with.  So the data must tell: put an index and
 * a generation in it, raise the generation when the slot's connection goes, and
 * ignore events whose generation is not the slot's.  A plain pointer is safe only
 * where memory is freed at the end of the turn and a closed mark is checked.
 */
#ifndef HUBBUB_COMMON_POLLER_H
#define HUBBUB_COMMON_POLLER_H

#include "common/error.h"
#include "common/loop.h"

#include <stdint.h>
#include <sys/epoll.h>

enum { POLLER_BATCH = 1024 };

struct poller;

/* events: EPOLLIN, EPOLLOUT, EPOLLRDHUP, and always EPOLLERR and EPOLLHUP. */
typedef void poller_callback(void *arg, uint64_t data, uint32_t events);

/* NULL when the system refuses. */
struct poller *poller_new(struct loop *loop, poller_callback *callback, void *arg) MUST_CHECK;

/* Takes NULL; not from its own callback.  Before loop_free(). */
void poller_free(struct poller *poller);

/*
 * 0; ERROR_EXISTS when it is in already; ERROR_NO_SPACE when the kernel's limit on
 * watches is reached; ERROR_SYSTEM for anything else.  Do not use EPOLLET or EPOLLONESHOT.
 */
int poller_add(struct poller *poller, int fd, uint32_t events, uint64_t data) MUST_CHECK;

/* 0; ERROR_NOT_FOUND when it is not in; ERROR_SYSTEM. */
int poller_modify(struct poller *poller, int fd, uint32_t events, uint64_t data) MUST_CHECK;

/* Before close(): a descriptor that was duplicated (by a fork) would stay in otherwise.  One that is not in
 * is ignored. */
void poller_remove(struct poller *poller, int fd);

#endif
