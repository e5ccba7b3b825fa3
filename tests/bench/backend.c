/*
 * The backend of the benchmark: it acknowledges the event "call" of each client, and does nothing else.
 *
 *     backend ROUTER       prints "ready" when the router has taken it in, runs until it gets SIGTERM
 */
#include <hubbub.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct hubbub_app *app;

static void on_call(void *user, struct hubbub_socket *socket, const struct hubbub_event *event)
{
    int result = hubbub_answer(app, event->task, "{\"ok\":true,\"by\":\"backend\"}");

    (void)user;
    (void)socket;
    if (result)
        fprintf(stderr, "backend: %s\n", hubbub_error_text(result));
}

static void on_state(void *user, struct hubbub_app *which, enum hubbub_state state)
{
    (void)user;
    (void)which;
    if (state != HUBBUB_LIVE)
        return;
    puts("ready");
    fflush(stdout);
}

static void on_log(void *user, enum hubbub_level level, const char *line)
{
    (void)user;
    (void)level;
    fprintf(stderr, "backend: %s\n", line);
}

static void on_signal(int number)
{
    (void)number;
    hubbub_app_stop(app);
}

int main(int argc, char **argv)
{
    struct hubbub_options options = {
        .router = argc > 1 ? argv[1] : NULL, .name = "bench", .on_state = on_state, .log = on_log};
    struct hubbub_namespace *all;
    int result = hubbub_app_new(&options, &app);

    if (!result)
        result = hubbub_serve(app, "/", NULL, NULL, &all);
    if (!result)
        result = hubbub_on(all, "call", on_call, NULL);
    if (!result) {
        signal(SIGTERM, on_signal);
        result = hubbub_app_run(app);
    }
    if (result)
        fprintf(stderr, "backend: %s\n", hubbub_error_text(result));
    hubbub_app_free(app);
    return result ? EXIT_FAILURE : EXIT_SUCCESS;
}
