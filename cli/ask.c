/*
 * The commands that put one question to the router's stats socket and print the answer.
 *
 * The socket speaks lines: an answer ends with an empty line.  The surprise: an answer without that end is a
 * failure, although what came of it has been printed.
 */
#include "cli/commands.h"
#include "cli/stats_client.h"
#include "common/exit_code.h"
#include "common/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SID_LENGTH = 20, /* of the ids that routers give */
    SID_MAX = 64,
};

struct ask_settings {
    struct stats_place place; /* must stay first */
};

static const struct config_key keys[] = {STATS_PLACE_KEYS(struct ask_settings)};

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

    if (stats_client_connect(path, &fd)) {
        stats_client_complain(path);
        return EXIT_RUNTIME;
    }
    buffer_printf(&text, "%s\nquit\n", question);
    status = stats_client_send(fd, buffer_bytes(&text));
    buffer_clear(&text);
    if (!status)
        status = stats_client_read(fd, &text);
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
        exit_code = ask(settings.place.stats, text.data);
        buffer_done(&text);
    }
    config_settings_done(program, &settings);
    return exit_code;
}

#define ASK_PROGRAM(command, text)                                                                           \
    .name = "hubbub " command, .summary = text, .keys = keys, .key_count = sizeof keys / sizeof *keys,       \
    .others = stats_place_others, .finish = stats_place_finish

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

int command_backends(int argc, char **argv)
{
    static const struct config_program program = {
        ASK_PROGRAM("backends", "lists the backends of a running router")};

    return ask_command(&program, argc, argv, "backends");
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
        exit_code = ask(settings.place.stats, question);
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
