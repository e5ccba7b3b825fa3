/* The app as its modules see it; hubbub.h is what programs see. */
#ifndef HUBBUB_APP_APP_H
#define HUBBUB_APP_APP_H

#include "app/hubbub.h"
#include "app/link.h"
#include "app/namespace.h"
#include "app/records.h"
#include "app/request.h"
#include "app/socket.h"
#include "app/task.h"
#include "app/timer.h"
#include "common/key_file.h"
#include "common/timer_wheel.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    BACKEND_NAME_MAX = 255,
    DATA_MAX = 16 << 10,
    TARGET_NAMES_MAX = 64,
};

struct post {
    struct post *next;
    void (*call)(void *arg);
    void *arg;
};

struct hubbub_app {
    struct hubbub_options options; /* its texts are owned */
    struct key secret_key, router_key;
    uint64_t incarnation;
    struct served namespaces;
    struct link link;
    struct sockets sockets;
    struct tasks tasks;
    struct requests requests;
    struct hubbub_target *spent, *spare; /* targets used up in this turn, and those to be used again */
    unsigned spare_count;
    struct buffer scratch;        /* of one function at a time, never across a callback */
    struct event_content content; /* of the event that is being handled */
    struct timer_wheel timers;    /* on the monotonic clock */
    struct alarm *alarms;         /* of hubbub_app_after() */
    uint64_t now;                 /* ms of it, as of this turn */
    int epoll, event;
    pthread_mutex_t lock; /* guards the posts */
    struct post *posts, **posts_end;
    atomic_bool stop;
    bool started; /* it has been run */
    bool inside;  /* of a turn, or of a callback outside of one */
    bool roused;  /* the descriptor has been made readable since the last turn */
    bool doomed;  /* freed inside a callback */
};

/* Something is to be done in the next turn: makes the descriptor readable when that is not now. */
void app_rouse(struct hubbub_app *app);

/* Around callbacks that a call of the program's may make outside of a turn: they must not end it, nor begin
 * one. app_enter() gives what app_leave() wants. */
bool app_enter(struct hubbub_app *app);
void app_leave(struct hubbub_app *app, bool inside);

/* Has the timer's function called, once, so many milliseconds from now; timer_wheel_cancel() stops it. */
void app_timer_start(struct hubbub_app *app, struct app_timer *timer, uint64_t delay_ms);

/* A line of key=value for options.log. */
void app_log(const struct hubbub_app *app, enum hubbub_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * JSON texts joined by commas whose placeholders fit so many attachments, as an event's arguments may be.  0,
 * HUBBUB_ERROR_JSON or HUBBUB_ERROR_TOO_LARGE; NULL is none.  out: without what is not needed.
 */
int app_check_arguments(struct hubbub_app *app, const char *arguments, size_t attachments,
                        struct bytes *out) MUST_CHECK;

#endif
