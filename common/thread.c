/*
 * Starting threads; see thread.h.  The router's journal and archive call it.  Its one surprising rule: the
 * mask is the starter's for a moment, because a new thread inherits it.
 */
#include "common/thread.h"

#include <signal.h>
#include <stdlib.h>

void thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    sigset_t all, old;

    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(thread, NULL, run, argument))
        abort();
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}
