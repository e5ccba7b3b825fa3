/* hubbub-gateway: wiring only. */
#include "common/endpoint.h"
#include "common/exit_code.h"
#include "common/ready.h"
#include "gateway/examine.h"
#include "gateway/gateway.h"
#include "gateway/reload.h"

#include <signal.h>
#include <stdio.h>

static void on_stop(void *arg, int number)
{
    struct gateway *gateway = arg;

    (void)number;
    if (gateway->drain.ends)
        drain_at_once(gateway);
    else
        drain_begin(gateway, DRAIN_DEFAULT, true);
}

struct reload {
    struct gateway *gateway;
    struct gateway_settings *settings;
    const struct config_command *command;
};

static void on_reload(void *arg, int number)
{
    const struct reload *reload = arg;

    (void)number;
    gateway_reload(reload->gateway, reload->settings, reload->command);
}

static int run(struct gateway_settings *settings, const struct config_command *command)
{
    struct gateway gateway;
    struct reload what = {&gateway, settings, command};
    struct loop *loop = loop_new();
    struct loop_signal *terminate = NULL, *interrupt = NULL, *reload = NULL;
    int code = EXIT_RUNTIME;

    if (!loop) {
        log_error("can't make an event loop");
        return code;
    }
    if (gateway_start(&gateway, settings, loop) < 0)
        goto done;
    gateway.on_live = ready_announce;
    terminate = loop_signal_new(loop, SIGTERM, on_stop, &gateway);
    interrupt = loop_signal_new(loop, SIGINT, on_stop, &gateway);
    reload = loop_signal_new(loop, SIGHUP, on_reload, &what);
    if (!terminate || !interrupt || !reload) {
        log_error("can't watch for signals");
        goto done;
    }
    if (settings->allow_plain && !settings->curve_secret_key && !endpoint_is_local(settings->router))
        log_warn("the link is not encrypted (allow_plain): whoever is between can read and do everything",
                 "router=%s", settings->router);
    log_info("listening", "host=%s port=%u router=%s version=%s", settings->host, settings->port,
             settings->router, HUBBUB_VERSION);
    if (loop_run(loop) < 0)
        log_error("the event loop failed");
    else
        code = EXIT_OK;

done:
    loop_signal_free(terminate);
    loop_signal_free(interrupt);
    loop_signal_free(reload);
    gateway_done(&gateway);
    loop_free(loop);
    return code;
}

/* An exit code. */
static int examine(const struct gateway_settings *settings)
{
    struct buffer findings = {0};
    bool written;

    gateway_examine(settings, &findings);
    written = fwrite(findings.data, 1, findings.length, stdout) == findings.length && fflush(stdout) == 0;
    buffer_done(&findings);
    return written ? EXIT_OK : EXIT_RUNTIME;
}

int main(int argc, char **argv)
{
    struct gateway_settings settings = {0};
    struct config_command command;
    struct config_result result;
    int code;

    config_command_init(&command, argc, argv);
    if (config_load(&gateway_config, argc, argv, &settings, &result) != 0) {
        config_command_done(&command);
        gateway_settings_done(&settings);
        return config_report(&result);
    }
    signal(SIGPIPE, SIG_IGN);
    log_set_program(settings.name);
    log_set_level(settings.log_level);
    code = settings.examine ? examine(&settings) : run(&settings, &command);
    config_command_done(&command);
    gateway_settings_done(&settings);
    return code;
}
