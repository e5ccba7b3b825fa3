/*
 * One program that the supervisor runs: its process, and how ready and how lucky it is.
 *
 *   IDLE -> STARTING -> READY          child_start(), then its line of readiness
 *   STARTING, READY -> WAITING         it died; its timer starts it again
 *   WAITING -> STARTING
 *   STARTING, READY -> STOPPING -> IDLE   it was told to end, and did
 *   WAITING -> IDLE                    told to end while there was no process
 */
#ifndef HUBBUB_CLI_CHILD_H
#define HUBBUB_CLI_CHILD_H

#include "common/error.h"
#include "common/loop.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum child_state { CHILD_IDLE, CHILD_STARTING, CHILD_READY, CHILD_WAITING, CHILD_STOPPING };

enum {
    CHILD_DELAY_MS = 100,       /* before the first restart */
    CHILD_DELAY_MAX_MS = 10000, /* doubling ends here */
    CHILD_SOUND_MS = 1000,      /* a ready one that lived so long was no failed start */
};

struct child;
typedef void child_callback(struct child *child, void *arg);

struct child {
    const char *name; /* "gateway-1"; borrowed, as are the rest of the texts */
    char **argv;      /* argv[0] is the program: a path, or a name to look for in PATH */
    const char *info; /* what its line says after the process id: "port=3000" */
    enum child_state state;
    pid_t pid; /* 0: no process */
    unsigned restarts;
    uint64_t started_ms;
    uint64_t delay_ms; /* before the next restart */
    bool reload;       /* as soon as it is ready */
    struct loop *loop;
    struct loop_watch *ready_watch;
    int ready_fd;
    struct loop_timer restart_timer;
    child_callback *ready;
    void *arg;
};

/* The caller has set name, argv and info, and all else is zero.  ready() is called whenever it became READY.
 */
void child_init(struct child *child, struct loop *loop, child_callback *ready, void *arg);

/* Closes what is open; the process must be gone. */
void child_done(struct child *child);

/*
 * Starts the process in a process group of its own, so that the terminal's signals do not reach it, and
 * so that it gets SIGTERM if the supervisor dies.  Prints its line on standard output.
 * 0, or ERROR_SYSTEM after saying so on standard error (still IDLE or WAITING).
 */
int child_start(struct child *child) MUST_CHECK;

/* Its process is gone, and nobody asked it to: WAITING, and what happened and when it starts again is said.
 */
void child_restart_later(struct child *child, int wait_status);

/* Its process is gone, and it shall not come back. */
void child_ended(struct child *child);

/* Sends a signal to the process, which is STOPPING from now on; one that waits for its restart becomes IDLE.
 */
void child_stop(struct child *child, int signal_number);

/* Has a process read its configuration again.  One that starts is told when it is ready: it may have read the former
   one, and a signal could still end it. */
void child_reload(struct child *child);

/* Writes how a process ended to out: "exited with code 70", "was killed by signal 9 (Killed)". */
void child_describe_end(int wait_status, char out[static 64]);

#endif
