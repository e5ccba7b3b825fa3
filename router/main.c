/*
 * hubbub-router: settings, loop, signals and the router, and nothing else.  Its one surprising rule: it says
 * that it is ready (common/ready.h) only once the journal is open and gateways can connect.
 */
#include "common/exit_code.h"
#include "common/ready.h"
#include "router/archive_client.h"
#include "router/examine.h"
#include "router/journal_copy.h"
#include "router/reload.h"
#include "router/router.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void on_signal(void *arg, int number)
{
    (void)number;
    router_drain(arg);
}

struct reload {
    struct router *router;
    struct router_settings *settings;
    const struct config_command *command;
};

static void on_reload(void *arg, int number)
{
    const struct reload *reload = arg;

    (void)number;
    router_reload(reload->router, reload->settings, reload->command);
}

static int run(struct router_settings *settings, const struct config_command *command)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    struct loop_signal *signals[2] = {NULL}, *reload = NULL;
    struct loop *loop = loop_new();
    struct router router;
    struct reload what = {&router, settings, command};
    int exit_code = EXIT_RUNTIME;
    bool watching = true;

    if (!loop) {
        log_error("can't make an event loop");
        return EXIT_RUNTIME;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a full disk, which publishers are told of */
    if (router_start(&router, settings, loop) == 0) {
        for (unsigned i = 0; i < 2; i++) {
            signals[i] = loop_signal_new(loop, numbers[i], on_signal, &router);
            watching = watching && signals[i];
        }
        reload = loop_signal_new(loop, SIGHUP, on_reload, &what);
        if (!watching || !reload) {
            log_error("can't watch for signals");
        } else {
            ready_announce();
            exit_code = loop_run(loop) < 0 ? EXIT_RUNTIME : router.exit_code;
        }
    }
    router_done(&router);
    loop_signal_free(signals[0]);
    loop_signal_free(signals[1]);
    loop_signal_free(reload);
    loop_free(loop);
    return exit_code;
}

/* An exit code. */
static int examine(const struct router_settings *settings)
{
    struct buffer findings = {0};
    bool written;

    router_examine(settings, &findings);
    written = fwrite(findings.data, 1, findings.length, stdout) == findings.length && fflush(stdout) == 0;
    buffer_done(&findings);
    return written ? EXIT_OK : EXIT_RUNTIME;
}

/* An exit code. */
static int copy_journal(const struct router_settings *settings, const char *file)
{
    struct buffer journal = {0};
    char message[512] = "";
    int result;

    if (settings->restore && mkdir(settings->data, 0700) < 0 && errno != EEXIST) {
        fprintf(stderr, "hubbub-router: %s: %s\n", settings->data, strerror(errno));
        return EXIT_RUNTIME;
    }
    buffer_printf(&journal, "%s/journal.sqlite%c", settings->data, '\0');
    result = settings->backup ? journal_backup(journal.data, file, message, sizeof message)
                              : journal_restore(file, journal.data, message, sizeof message);
    buffer_done(&journal);
    if (result)
        fprintf(stderr, "hubbub-router: %s\n", message);
    return result ? EXIT_RUNTIME : EXIT_OK;
}

/* What else there is to do than to be a router; an exit code, or -1 for nothing else. */
static int do_else(const struct router_settings *settings, const struct config_result *result)
{
    const char *file = result->positional_count ? result->positional[0] : NULL;

    if (settings->backup && settings->restore) {
        fputs("hubbub-router: --backup and --restore exclude each other (see --help)\n", stderr);
        return EXIT_USAGE;
    }
    if (!(settings->backup || settings->restore) != !file) {
        fputs("hubbub-router: a FILE belongs to --backup or --restore (see --help)\n", stderr);
        return EXIT_USAGE;
    }
    if (file)
        return copy_journal(settings, file);
    return settings->examine ? examine(settings) : -1;
}

int main(int argc, char **argv)
{
    struct router_settings settings = {0};
    struct config_command command;
    struct config_result result;
    int exit_code;

    archive_client_hide_counters();
    config_hide_secrets(&router_config, argc, argv);
    config_command_init(&command, argc, argv);
    if (config_load(&router_config, argc, argv, &settings, &result) != 0) {
        config_command_done(&command);
        router_settings_done(&settings);
        return config_report(&result);
    }
    log_set_program(settings.name);
    log_set_level(settings.log_level);
    exit_code = do_else(&settings, &result);
    if (exit_code < 0)
        exit_code = run(&settings, &command);
    config_command_done(&command);
    router_settings_done(&settings);
    return exit_code;
}
