/*
 * The app: its life, its turns, and what other threads hand in; see hubbub.h.  A turn is: posts, what the
 * router sends, timers, memory of what has gone, and one batch to the router.  The surprise: there is no
 * event library underneath.  An epoll set holds ZeroMQ's descriptor and one of ours, so that any loop can
 * wait for it.
 */
#include "app/app.h"

#include "app/target.h"
#include "common/clock.h"
#include "common/endpoint.h"
#include "common/memory.h"
#include "common/random.h"
#include "proto/json_scan.h"
#include "proto/name.h"
#include "proto/placeholder.h"
#include "proto/utf8.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    QUEUE_BYTES = 16 << 20,
    DELAY_MAX_MS = 24 * 3600 * 1000,
    ENDPOINT_MAX = 255,
    INCARNATION_BITS = 48,
};

struct alarm {
    struct app_timer timer; /* must stay first */
    struct hubbub_app *app;
    struct alarm *next, *previous;
    void (*call)(void *arg);
    void *arg;
};

const char *hubbub_version(void)
{
    return HUBBUB_VERSION;
}

const char *hubbub_error_text(int code)
{
    switch (code) {
    case 0:
        return "success";
    case HUBBUB_ERROR_ARGUMENT:
        return "a wrong argument";
    case HUBBUB_ERROR_JSON:
        return "not valid JSON, or placeholders that don't fit the attachments";
    case HUBBUB_ERROR_TOO_LARGE:
        return "larger than the router takes";
    case HUBBUB_ERROR_BUSY:
        return "too much waits for the router already";
    case HUBBUB_ERROR_STATE:
        return "not possible at this time";
    case HUBBUB_ERROR_NOT_FOUND:
        return "there is no such thing, or no more";
    case HUBBUB_ERROR_GONE:
        return "gone";
    case HUBBUB_ERROR_TIMEOUT:
        return "no answer in time";
    case HUBBUB_ERROR_REFUSED:
        return "refused by the router";
    case HUBBUB_ERROR_CONFIG:
        return "a key file that can't be used";
    case HUBBUB_ERROR_SYSTEM:
        return "a system call failed";
    default:
        return "unknown error";
    }
}

void app_log(const struct hubbub_app *app, enum hubbub_level level, const char *format, ...)
{
    char line[512];
    va_list arguments;

    if (!app->options.log)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    app->options.log(app->options.user, level, line);
}

static void make_readable(const struct hubbub_app *app)
{
    (void)!write(app->event, &(uint64_t){1}, sizeof(uint64_t));
}

void app_rouse(struct hubbub_app *app)
{
    if (app->inside || app->roused)
        return;
    app->roused = true;
    make_readable(app);
}

bool app_enter(struct hubbub_app *app)
{
    bool inside = app->inside;

    app->inside = true;
    return inside;
}

void app_leave(struct hubbub_app *app, bool inside)
{
    app->inside = inside;
    app_rouse(app); /* for what the callbacks did */
}

void app_timer_start(struct hubbub_app *app, struct app_timer *timer, uint64_t delay_ms)
{
    /* Not the turn's time: a callback may have taken long by now. */
    timer_wheel_schedule(&app->timers, &timer->wheel, clock_monotonic_ms() + delay_ms);
}

int app_check_arguments(struct hubbub_app *app, const char *arguments, size_t attachments, struct bytes *out)
{
    struct bytes text = bytes_from_text(arguments);
    struct json_event event;

    if (text.length > app->link.max_event)
        return HUBBUB_ERROR_TOO_LARGE;
    if (!utf8_valid(text))
        return HUBBUB_ERROR_JSON;
    buffer_clear(&app->scratch);
    buffer_append_literal(&app->scratch, "[0");
    if (text.length) {
        buffer_append_char(&app->scratch, ',');
        buffer_append_bytes(&app->scratch, text);
    }
    buffer_append_char(&app->scratch, ']');
    if (json_event_begin(buffer_bytes(&app->scratch), &event) < 0 ||
        json_event_finish(&event, NULL, 0, NULL) < 0)
        return HUBBUB_ERROR_JSON;
    if (attachments && placeholders_check(event.arguments, (unsigned)attachments) < 0)
        return HUBBUB_ERROR_JSON;
    *out = event.arguments;
    return 0;
}

/* -- life ------------------------------------------------------------------------------------ */

static char *copy_text(const char *text)
{
    return text ? memory_text(text, strlen(text)) : NULL;
}

static int read_keys(struct hubbub_app *app)
{
    struct buffer error = {0};
    int result = 0;

    if (!app->options.secret_key_file != !app->options.router_key_file)
        return HUBBUB_ERROR_ARGUMENT;
    if (!app->options.secret_key_file) {
        if (!endpoint_is_local(app->options.router))
            app_log(app, HUBBUB_LOG_WARN,
                    "the link to %s is not encrypted: whoever is between can read and do everything",
                    app->options.router);
        return 0;
    }
    if (key_file_read_secret(app->options.secret_key_file, &app->secret_key, &error) < 0 ||
        key_file_read_public(app->options.router_key_file, &app->router_key, &error) < 0) {
        app_log(app, HUBBUB_LOG_ERROR, "%.*s", BYTES_PRINTF(buffer_bytes(&error)));
        result = HUBBUB_ERROR_CONFIG;
    }
    buffer_done(&error);
    return result;
}

static int watch(struct hubbub_app *app, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};

    return epoll_ctl(app->epoll, EPOLL_CTL_ADD, fd, &event);
}

int hubbub_app_new(const struct hubbub_options *options, struct hubbub_app **out)
{
    struct hubbub_app *app;
    int result;

    if (!options || !out || (options->router && strlen(options->router) > ENDPOINT_MAX) ||
        (options->name && !name_valid(bytes_from_text(options->name), BACKEND_NAME_MAX)))
        return HUBBUB_ERROR_ARGUMENT;
    app = memory_zero(1, sizeof *app);
    app->options = *options;
    app->options.router = copy_text(options->router ? options->router : "tcp://127.0.0.1:3010");
    app->options.name = copy_text(options->name ? options->name : "backend");
    app->options.secret_key_file = copy_text(options->secret_key_file);
    app->options.router_key_file = copy_text(options->router_key_file);
    if (!app->options.queue_bytes)
        app->options.queue_bytes = QUEUE_BYTES;
    app->incarnation = random_u64() >> (64 - INCARNATION_BITS);
    app->now = clock_monotonic_ms();
    app->posts_end = &app->posts;
    pthread_mutex_init(&app->lock, NULL);
    timer_wheel_init(&app->timers, app->now);
    sockets_init(&app->sockets);
    tasks_init(&app->tasks);
    requests_init(&app->requests);
    app->epoll = epoll_create1(EPOLL_CLOEXEC);
    app->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    result = read_keys(app);
    if (!result && (app->epoll < 0 || app->event < 0 || watch(app, app->event) < 0))
        result = HUBBUB_ERROR_SYSTEM;
    if (!result)
        result = link_init(app);
    if (result) {
        hubbub_app_free(app);
        return result;
    }
    *out = app;
    return 0;
}

static void free_alarm(struct alarm *alarm)
{
    timer_wheel_cancel(&alarm->timer.wheel);
    if (alarm->next)
        alarm->next->previous = alarm->previous;
    if (alarm->previous)
        alarm->previous->next = alarm->next;
    else
        alarm->app->alarms = alarm->next;
    free(alarm);
}

void hubbub_app_free(struct hubbub_app *app)
{
    struct post *post;

    if (!app)
        return;
    if (app->inside) {
        app->doomed = true;
        return;
    }
    app->inside = true; /* for the callbacks that are still to come */
    link_leave(app);
    requests_done(app);
    link_done(app);
    while (app->alarms)
        free_alarm(app->alarms);
    tasks_done(&app->tasks);
    sockets_done(&app->sockets);
    served_done(&app->namespaces);
    targets_done(app);
    while ((post = app->posts)) {
        app->posts = post->next;
        free(post);
    }
    pthread_mutex_destroy(&app->lock);
    if (app->epoll >= 0)
        close(app->epoll);
    if (app->event >= 0)
        close(app->event);
    buffer_done(&app->scratch);
    buffer_done(&app->content.texts);
    explicit_bzero(&app->secret_key, sizeof app->secret_key);
    free((char *)app->options.router);
    free((char *)app->options.name);
    free((char *)app->options.secret_key_file);
    free((char *)app->options.router_key_file);
    free(app);
}

/* -- turns ----------------------------------------------------------------------------------- */

/* Those that are there now; what they post waits for the next turn. */
static void run_posts(struct hubbub_app *app)
{
    struct post *post, *next;

    pthread_mutex_lock(&app->lock);
    post = app->posts;
    app->posts = NULL;
    app->posts_end = &app->posts;
    pthread_mutex_unlock(&app->lock);
    for (; post; post = next) {
        next = post->next;
        post->call(post->arg);
        free(post);
    }
}

static void timer_due(struct wheel_timer *timer, void *arg)
{
    struct app_timer *due = (struct app_timer *)timer;

    due->due(arg, due);
}

static void turn(struct hubbub_app *app)
{
    app->inside = true;
    app->now = clock_monotonic_ms();
    if (!app->started) {
        app->started = true;
        link_start(app);
    }
    (void)!read(app->event, &(uint64_t){0}, sizeof(uint64_t));
    app->roused = false;
    run_posts(app);
    link_read(app);
    timer_wheel_advance(&app->timers, app->now, timer_due, app);
    link_flush(app);
    sockets_sweep(&app->sockets);
    targets_sweep(app);
    app->inside = false;
}

int hubbub_app_process(struct hubbub_app *app)
{
    if (!app)
        return HUBBUB_ERROR_ARGUMENT;
    if (app->inside)
        return HUBBUB_ERROR_STATE;
    turn(app);
    if (!app->doomed)
        return 0;
    hubbub_app_free(app);
    return HUBBUB_ERROR_STATE;
}

int hubbub_app_fd(const struct hubbub_app *app)
{
    return app ? app->epoll : HUBBUB_ERROR_ARGUMENT;
}

int hubbub_app_timeout(const struct hubbub_app *app)
{
    uint64_t now, due;

    if (!app)
        return HUBBUB_ERROR_ARGUMENT;
    if (!app->started || app->link.look)
        return 0;
    due = timer_wheel_next_due((struct timer_wheel *)&app->timers);
    if (due == TIMER_WHEEL_NEVER)
        return -1;
    now = clock_monotonic_ms();
    if (due <= now)
        return 0;
    return due - now > INT32_MAX ? INT32_MAX : (int)(due - now);
}

int hubbub_app_run(struct hubbub_app *app)
{
    if (!app)
        return HUBBUB_ERROR_ARGUMENT;
    if (app->inside)
        return HUBBUB_ERROR_STATE;
    while (!atomic_exchange(&app->stop, false)) {
        struct pollfd ready = {.fd = app->epoll, .events = POLLIN};
        int result;

        if (poll(&ready, 1, hubbub_app_timeout(app)) < 0 && errno != EINTR)
            return HUBBUB_ERROR_SYSTEM;
        result = hubbub_app_process(app);
        if (result)
            return result;
    }
    return 0;
}

void hubbub_app_stop(struct hubbub_app *app)
{
    int reason = errno;

    if (!app)
        return;
    atomic_store(&app->stop, true);
    make_readable(app);
    errno = reason;
}

int hubbub_app_post(struct hubbub_app *app, void (*call)(void *arg), void *arg)
{
    struct post *post;

    if (!app || !call)
        return HUBBUB_ERROR_ARGUMENT;
    post = memory_new(sizeof *post);
    *post = (struct post){.call = call, .arg = arg};
    pthread_mutex_lock(&app->lock);
    *app->posts_end = post;
    app->posts_end = &post->next;
    pthread_mutex_unlock(&app->lock);
    make_readable(app);
    return 0;
}

static void alarm_due(struct hubbub_app *app, struct app_timer *timer)
{
    struct alarm *alarm = (struct alarm *)timer;
    void (*call)(void *arg) = alarm->call;
    void *arg = alarm->arg;

    (void)app;
    free_alarm(alarm);
    call(arg);
}

int hubbub_app_after(struct hubbub_app *app, uint64_t delay_ms, void (*call)(void *arg), void *arg)
{
    struct alarm *alarm;

    if (!app || !call || delay_ms > DELAY_MAX_MS)
        return HUBBUB_ERROR_ARGUMENT;
    alarm = memory_zero(1, sizeof *alarm);
    alarm->timer.due = alarm_due;
    alarm->app = app;
    alarm->call = call;
    alarm->arg = arg;
    alarm->next = app->alarms;
    if (app->alarms)
        app->alarms->previous = alarm;
    app->alarms = alarm;
    app_timer_start(app, &alarm->timer, delay_ms);
    app_rouse(app);
    return 0;
}

enum hubbub_state hubbub_app_state(const struct hubbub_app *app)
{
    return app && app->link.state == LINK_LIVE ? HUBBUB_LIVE : HUBBUB_CONNECTING;
}
