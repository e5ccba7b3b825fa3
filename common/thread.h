/* Threads beside the loop's. */
#ifndef HUBBUB_COMMON_THREAD_H
#define HUBBUB_COMMON_THREAD_H

#include <pthread.h>

/* Starts one that gets no signals, which are the loop's, but for those of its own faults.  Aborts when there
   can be no more threads. */
void thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument);

#endif
