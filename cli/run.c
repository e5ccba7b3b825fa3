/*
 * `hubbub run`: settings, checks, and the command lines of the processes; then the supervisor has it.
 *
 * The surprise: whatever can be seen to be wrong (configuration, keys, folder, ports) is found before the first
 * process is started, so that a second start changes nothing for the first.
 */
#include "cli/commands.h"
#include "cli/doctor_program.h"
#include "cli/places.h"
#include "cli/run_settings.h"
#include "cli/supervisor.h"
#include "common/buffer.h"
#include "common/config.h"
#include "common/exit_code.h"
#include "common/finding.h"
#include "common/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SOCKET_PATH_MAX = 100, /* the system takes 107 bytes, ZeroMQ a little less */
    ARGUMENTS_MAX = 20,
    CHECK_OPTIONS = 3,   /* at most, of a program that checks its configuration */
    PATIENCE_MS = 10000, /* beyond the drain: for answers, for Close frames, and to end */
};

static const struct config_program program = {
    .name = "hubbub run",
    .summary = "starts the whole stack on this machine: a router, gateways, the journal",
    .keys = run_settings_keys,
    .key_count = RUN_SETTINGS_KEYS,
    .others = run_settings_others,
    .finish = run_settings_finish,
};

/* An argument vector, or anything else of owned texts; NULL at the end. */
struct texts {
    char *items[ARGUMENTS_MAX + 1];
    unsigned count;
};

static char *format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *format_text(const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        abort();
    va_end(arguments);
    return text;
}

static void add_text(struct texts *texts, char *owned)
{
    assert(texts->count < ARGUMENTS_MAX);
    texts->items[texts->count++] = owned;
}

static void texts_done(struct texts *texts)
{
    for (unsigned i = 0; i < texts->count; i++)
        free(texts->items[i]);
}

struct run {
    struct run_settings settings;
    char *file; /* the configuration's absolute path, or NULL */
    char *data;
    char *stats;
    char *router_program;
    char *gateway_program;
    int lock_fd;
    struct child children[RUN_GATEWAYS_MAX + 1]; /* gateways, then the router */
    struct texts arguments[RUN_GATEWAYS_MAX + 1];
    struct texts labels[RUN_GATEWAYS_MAX + 1]; /* name and info */
};

/* Lets a program check its configuration; what is wrong it says itself.  options: what it is given, NULL at the
 * end.  Returns its exit code. */
static int check_program(const char *path, char *const *options)
{
    char *argv[CHECK_OPTIONS + 3] = {(char *)(uintptr_t)path, (char *)(uintptr_t) "--check-config"};
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        int nothing = open("/dev/null", O_WRONLY);

        for (unsigned i = 0; options[i]; i++)
            argv[i + 2] = options[i];
        if (nothing >= 0)
            dup2(nothing, STDOUT_FILENO);
        execvp(path, argv);
        fprintf(stderr, "hubbub: cannot start %s: %s\n", path, strerror(errno));
        _exit(EXIT_RUNTIME);
    }
    if (pid < 0) {
        perror("hubbub: cannot start a process");
        return EXIT_RUNTIME;
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return EXIT_RUNTIME;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    fprintf(stderr, "hubbub: %s was killed by signal %d\n", path, WTERMSIG(status));
    return EXIT_RUNTIME;
}

/* What a gateway's configuration comes from. */
static void add_gateway_options(const struct run *run, struct texts *options)
{
    if (run->file)
        add_text(options, format_text("--config=%s", run->file));
    if (run->settings.tls_certificate)
        add_text(options, format_text("--tls-certificate=%s", run->settings.tls_certificate));
    if (run->settings.tls_key)
        add_text(options, format_text("--tls-key=%s", run->settings.tls_key));
    assert(options->count <= CHECK_OPTIONS);
}

/* Whether the file is right for all programs, and the gateways can use the certificate.  An exit code. */
static int check_programs(const struct run *run)
{
    struct texts options = {0};
    int exit_code = EXIT_OK;

    if (run->file) {
        add_text(&options, format_text("--config=%s", run->file));
        exit_code = check_program(run->router_program, options.items);
        texts_done(&options);
        options = (struct texts){0};
    }
    add_gateway_options(run, &options);
    if (options.count && exit_code == EXIT_OK)
        exit_code = check_program(run->gateway_program, options.items);
    texts_done(&options);
    return exit_code;
}

/* What only a look at the clock shows, and does not keep a stack from starting, which warns of it.  An exit code. */
static int check_certificates(const struct run *run)
{
    struct texts options = {0};
    struct buffer findings = {0};
    struct bytes lines;
    struct finding finding;
    int exit_code = EXIT_OK;

    if (!run->settings.tls)
        return EXIT_OK;
    add_gateway_options(run, &options);
    doctor_examine_program(&findings, "gateway", (const char *const *)options.items);
    lines = buffer_bytes(&findings);
    while (lines.length)
        if (finding_read(&lines, &finding) == 0 && finding.level == FINDING_ERROR &&
            bytes_equal_text(finding.check, "certificate")) {
            fprintf(stderr, "hubbub: %.*s\n", BYTES_PRINTF(finding.found));
            exit_code = EXIT_CONFIGURATION;
        }
    buffer_done(&findings);
    texts_done(&options);
    return exit_code;
}

/* config_load() leaves nothing in the settings after --check-config, but the programs are to check the same. */
static void load_again(int argc, char **argv, struct run_settings *settings)
{
    char **words = memory_new((size_t)(argc + 1) * sizeof *words);
    struct config_result result;
    int count = 0;

    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--check-config") != 0)
            words[count++] = argv[i];
    words[count] = NULL;
    memset(settings, 0, sizeof *settings);
    if (config_load(&program, count, words, settings, &result))
        buffer_done(&result.output); /* the file has just changed: it is checked without what it says */
    free(words);
}

static int check_socket_path(const char *path, const char *option)
{
    if (strlen(path) <= SOCKET_PATH_MAX)
        return 0;
    fprintf(stderr, "hubbub: the path of the socket %s is longer than %d bytes; choose a shorter %s\n", path,
            SOCKET_PATH_MAX, option);
    return ERROR_TOO_LARGE;
}

/* Takes what the stack needs.  0, or an error that was told. */
static int take_places(struct run *run)
{
    char *link;
    int status = places_take_folder(run->settings.data, &run->data, &run->lock_fd);

    if (status)
        return status;
    if (run->settings.stats) {
        status = places_absolute(run->settings.stats, &run->stats);
    } else {
        run->stats = format_text("%s/stats.sock", run->data);
    }
    if (status)
        return status;
    link = format_text("%s/router.ipc", run->data);
    status = check_socket_path(link, "--data");
    free(link);
    if (!status)
        status = check_socket_path(run->stats, run->settings.stats ? "--stats" : "--data or --stats");
    for (unsigned i = 0; i < run->settings.gateways && !status; i++)
        if (run->settings.ports || i == 0)
            status = places_probe_port(run->settings.host, run->settings.port_list[i]);
    for (unsigned i = 0; i < run->settings.gateways && !status && run->settings.admin_port; i++)
        status = places_probe_port("127.0.0.1", (uint16_t)(run->settings.admin_port + i));
    if (!status && run->settings.router_admin_port)
        status = places_probe_port("127.0.0.1", run->settings.router_admin_port);
    return status;
}

/* After its texts are complete: the supervisor borrows them. */
static void describe(struct run *run, unsigned i)
{
    run->children[i] = (struct child){
        .name = run->labels[i].items[0], .info = run->labels[i].items[1], .argv = run->arguments[i].items};
}

static void plan_router(struct run *run, unsigned i)
{
    struct texts *arguments = &run->arguments[i];

    add_text(arguments, format_text("%s", run->router_program));
    if (run->file)
        add_text(arguments, format_text("--config=%s", run->file));
    add_text(arguments, format_text("--name=router"));
    add_text(arguments, format_text("--listen=ipc://%s/router.ipc", run->data));
    add_text(arguments, format_text("--data=%s", run->data));
    add_text(arguments, format_text("--stats=%s", run->stats));
    if (run->settings.router_admin_port)
        add_text(arguments, format_text("--admin=127.0.0.1:%u", run->settings.router_admin_port));
    add_text(&run->labels[i], format_text("router"));
    add_text(&run->labels[i], format_text("journal=%s/journal.sqlite", run->data));
    describe(run, i);
}

static void plan_gateway(struct run *run, unsigned i)
{
    struct texts *arguments = &run->arguments[i];
    unsigned port = run->settings.port_list[i];

    add_text(arguments, format_text("%s", run->gateway_program));
    if (run->file)
        add_text(arguments, format_text("--config=%s", run->file));
    add_text(arguments, format_text("--name=gateway-%u", i + 1));
    add_text(arguments, format_text("--port=%u", port));
    if (*run->settings.host)
        add_text(arguments, format_text("--host=%s", run->settings.host));
    add_text(arguments, format_text("--reuse-port=%s", run->settings.ports ? "false" : "true"));
    add_text(arguments, format_text("--router=ipc://%s/router.ipc", run->data));
    if (run->settings.admin_port)
        add_text(arguments, format_text("--admin=127.0.0.1:%u", run->settings.admin_port + i));
    if (run->settings.publish_key)
        add_text(arguments, format_text("--publish-key=%s", run->settings.publish_key));
    if (run->settings.tls_certificate)
        add_text(arguments, format_text("--tls-certificate=%s", run->settings.tls_certificate));
    if (run->settings.tls_key)
        add_text(arguments, format_text("--tls-key=%s", run->settings.tls_key));
    add_text(&run->labels[i], format_text("gateway-%u", i + 1));
    add_text(&run->labels[i], format_text("port=%u", port));
    describe(run, i);
}

static void serving(void *arg)
{
    const struct run *run = arg;
    const char *host = *run->settings.host ? run->settings.host : "localhost";
    bool bare_ipv6 = strchr(host, ':') != NULL;

    puts("ready");
    for (unsigned i = 0; i < run->settings.gateways; i++)
        if (run->settings.ports || i == 0)
            printf("open %s://%s%s%s:%u/\n", run->settings.tls ? "https" : "http", bare_ipv6 ? "[" : "", host,
                   bare_ipv6 ? "]" : "", run->settings.port_list[i]);
    if (run->settings.admin_port && run->settings.publishes)
        printf("publish http://127.0.0.1:%u/api/publish\n", run->settings.admin_port);
    printf("stats %s\nstop with Ctrl-C\n", run->stats);
}

static int supervise(struct run *run)
{
    unsigned gateways = run->settings.gateways;

    for (unsigned i = 0; i < gateways; i++)
        plan_gateway(run, i);
    plan_router(run, gateways);

    struct supervisor_plan plan = {
        .router = &run->children[gateways],
        .gateways = run->children,
        .gateway_count = gateways,
        .gateway_patience = (run->settings.drain_delay + run->settings.drain_time + PATIENCE_MS + 999) / 1000,
        .serving = serving,
        .arg = run};

    return supervisor_run(&plan);
}

static void run_done(struct run *run)
{
    for (unsigned i = 0; i <= RUN_GATEWAYS_MAX; i++) {
        texts_done(&run->arguments[i]);
        texts_done(&run->labels[i]);
    }
    if (run->lock_fd >= 0)
        close(run->lock_fd);
    free(run->file);
    free(run->data);
    free(run->stats);
    free(run->router_program);
    free(run->gateway_program);
    config_settings_done(&program, &run->settings);
}

int command_run(int argc, char **argv)
{
    static struct run run;
    struct config_result result;
    int loaded, exit_code;

    /* Whoever reads our lines through a pipe waits for them. */
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    run.lock_fd = -1;
    loaded = config_load(&program, argc, argv, &run.settings, &result);
    if (loaded && !result.checked)
        return config_report(&result);
    run.router_program = places_find_program("router");
    run.gateway_program = places_find_program("gateway");
    if (result.checked)
        load_again(argc, argv, &run.settings);
    exit_code = EXIT_RUNTIME;
    if (result.file_name && places_absolute(result.file_name, &run.file))
        goto out;
    exit_code = check_programs(&run);
    if (exit_code != EXIT_OK)
        goto out;
    if (loaded) {
        exit_code = check_certificates(&run);
        if (exit_code == EXIT_OK)
            exit_code = config_report(&result);
    } else if (take_places(&run)) {
        exit_code = EXIT_RUNTIME;
    } else {
        exit_code = supervise(&run);
    }
out:
    buffer_done(&result.output);
    run_done(&run);
    return exit_code;
}
