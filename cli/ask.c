/*
 * The commands that put one question to the router's stats socket and print the answer.
 *
 * The socket speaks lines: an answer ends with an empty line.  The surprise: an answer without that end is a
 * failure, although what came of it has been printed.
 */
#include "cli/commands.h"
#include "common/buffer.h"
#include "common/config.h"
#include "common/error.h"
#include "common/exit_code.h"
#include "common/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    ANSWER_SECONDS = 10,
    SID_LENGTH = 20, /* of the ids that routers give */
    SID_MAX = 64,
};

struct ask_settings {
    char *data;
    char *stats;
};

static const struct config_key keys[] = {
    {.name = "data",
     .type = CONFIG_KEY_PATH,
     CONFIG_FIELD(struct ask_settings, data),
     .minimum = 1,
     .help = "the data folder of hubbub run; ./data unless the file has run.data"},
    {.name = "stats",
     .type = CONFIG_KEY_PATH,
     CONFIG_FIELD(struct ask_settings, stats),
     .minimum = 1,
     .help = "the stats socket; stats.sock in the data folder unless the file has run.stats"},
};

static const char *const others[] = {"run", "router", "gateway", "events", "namespaces", NULL};

/* --data on the command line stands over run.stats of the file: whoever names a folder means that folder. */
static int fill_in(const config_t *file, void *settings, struct buffer *error)
{
    struct ask_settings *ask = settings;
    const char *data = ask->data ? ask->data : "./data";
    const char *stats = NULL;
    struct buffer path = {0};

    (void)error;
    if (ask->stats)
        return 0;
    if (!ask->data) {
        config_lookup_string(file, "run.stats", &stats);
        config_lookup_string(file, "run.data", &data);
    }
    if (stats)
        buffer_append_text(&path, stats);
    else
        buffer_printf(&path, "%s/stats.sock", data);
    ask->stats = memory_text(path.data, path.length);
    buffer_done(&path);
    return 0;
}

/* 0 and a connected socket, or ERROR_SYSTEM with errno. */
static int connect_to(const char *path, int *out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    int fd;

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return ERROR_SYSTEM;
    }
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERROR_SYSTEM;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) ||
        connect(fd, (const struct sockaddr *)&address, sizeof address)) {
        int reason = errno;

        close(fd);
        errno = reason;
        return ERROR_SYSTEM;
    }
    *out = fd;
    return 0;
}

static int send_all(int fd, const struct buffer *text)
{
    size_t done = 0;

    while (done < text->length) {
        ssize_t n = send(fd, text->data + done, text->length - done, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            return ERROR_SYSTEM;
        if (n > 0)
            done += (size_t)n;
    }
    return 0;
}

/* Reads the answer up to its empty line, which is left out.  0, ERROR_SYSTEM with errno, or ERROR_CLOSED:
   what came is in out all the same. */
static int read_answer(int fd, struct buffer *out)
{
    char block[16384];
    bool line_start = true;

    for (;;) {
        ssize_t n = recv(fd, block, sizeof block, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERROR_SYSTEM;
        if (n == 0)
            return ERROR_CLOSED;
        for (ssize_t i = 0; i < n; i++) {
            if (line_start && block[i] == '\n')
                return 0;
            line_start = block[i] == '\n';
            buffer_append_char(out, block[i]);
        }
    }
}

/* Prints the answer, or its error on standard error. */
static int show_answer(struct bytes answer)
{
    static const struct bytes mark = {"error ", 6};

    if (bytes_starts_with(answer, mark)) {
        fprintf(stderr, "hubbub: %.*s", (int)(answer.length - mark.length), answer.data + mark.length);
        return EXIT_RUNTIME;
    }
    fwrite(answer.data, 1, answer.length, stdout);
    return EXIT_OK;
}

static int ask(const char *path, const char *question)
{
    struct buffer text = {0};
    int fd = -1;
    int status, exit_code;

    if (connect_to(path, &fd)) {
        fprintf(stderr, "hubbub: nobody answers at %s: %s (is hubbub running? see --stats and --data)\n",
                path, strerror(errno));
        return EXIT_RUNTIME;
    }
    buffer_printf(&text, "%s\nquit\n", question);
    status = send_all(fd, &text);
    buffer_clear(&text);
    if (!status)
        status = read_answer(fd, &text);
    exit_code = show_answer(buffer_bytes(&text));
    if (!status && fflush(stdout))
        status = ERROR_SYSTEM;
    if (status)
        fprintf(stderr, "hubbub: no whole answer from %s: %s\n", path,
                status == ERROR_CLOSED ? "the connection was closed" : strerror(errno));
    buffer_done(&text);
    close(fd);
    return status ? EXIT_RUNTIME : exit_code;
}

static int ask_command(const struct config_program *program, int argc, char **argv, const char *question)
{
    struct ask_settings settings = {0};
    struct config_result result;
    int exit_code;

    if (config_load(program, argc, argv, &settings, &result))
        return config_report(&result);
    if (result.positional_count && strcmp(result.positional[0], "json") != 0) {
        fprintf(stderr, "%s: unexpected argument '%s'; expected json (see --help)\n", program->name,
                result.positional[0]);
        exit_code = EXIT_USAGE;
    } else {
        struct buffer text = {0};

        buffer_printf(&text, "%s%s", question, result.positional_count ? " json" : "");
        buffer_append_char(&text, '\0');
        exit_code = ask(settings.stats, text.data);
        buffer_done(&text);
    }
    config_settings_done(program, &settings);
    return exit_code;
}

#define ASK_PROGRAM(command, text)                                                                           \
    .name = "hubbub " command, .summary = text, .keys = keys, .key_count = sizeof keys / sizeof *keys,       \
    .others = others, .finish = fill_in

int command_stats(int argc, char **argv)
{
    static const struct config_program program = {
        ASK_PROGRAM("stats", "shows the figures of a running router"), .positional_maximum = 1,
        .positional_help = "[json]"};

    return ask_command(&program, argc, argv, "stats");
}

int command_rooms(int argc, char **argv)
{
    static const struct config_program program = {
        ASK_PROGRAM("rooms", "lists the rooms of a running router")};

    return ask_command(&program, argc, argv, "rooms");
}

int command_gateways(int argc, char **argv)
{
    static const struct config_program program = {
        ASK_PROGRAM("gateways", "lists the gateways of a running router")};

    return ask_command(&program, argc, argv, "gateways");
}

/* A socket's id as it stands in the client's socket.id: nothing that could be another line. */
static bool is_sid(const char *text)
{
    size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

    return length && length <= SID_MAX && text[length] == '\0';
}

static int show_socket(const struct config_program *program, int argc, char **argv)
{
    struct ask_settings settings = {0};
    struct config_result result;
    int exit_code;

    if (config_load(program, argc, argv, &settings, &result))
        return config_report(&result);
    if (result.positional_count == 0 || !is_sid(result.positional[0])) {
        fprintf(stderr, "%s: expected a socket's id, as its client has it in socket.id (see --help)\n",
                program->name);
        exit_code = EXIT_USAGE;
    } else {
        char question[SID_MAX + sizeof "socket "];

        snprintf(question, sizeof question, "socket %s", result.positional[0]);
        exit_code = ask(settings.stats, question);
    }
    config_settings_done(program, &settings);
    return exit_code;
}

int command_socket(int argc, char **argv)
{
    static const struct config_program program = {
        ASK_PROGRAM("socket",
                    "shows one socket of a running router, and what its client told when it connected"),
        .positional_maximum = 1, .positional_help = "SID"};
    static char end_of_options[] = "--";
    char **words = memory_new((size_t)(argc + 2) * sizeof *words);
    const char *last = argv[argc - 1];
    int exit_code;

    memcpy(words, argv, (size_t)(argc + 1) * sizeof *words);
    if (argc > 1 && last[0] == '-' && strlen(last) == SID_LENGTH && is_sid(last)) {
        /* One id in 64 begins like an option, and nobody who pastes it should have to know. */
        words[argc - 1] = end_of_options;
        words[argc] = argv[argc - 1];
        words[++argc] = NULL;
    }
    exit_code = show_socket(&program, argc, words);
    free(words);
    return exit_code;
}
