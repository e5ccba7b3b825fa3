/*
 * The commands that put one question to the router's stats socket and print the answer.
 *
 * The socket speaks lines: an answer ends with an empty line.  The surprise: an answer without that end is a
 * failure, although what came of it has been printed.
 */
#include "cli/commands.h"
#include "cli/stats_client.h"
#include "common/exit_code.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ask_settings {
    struct stats_place place; /* must stay first */
    bool json;
};

static const struct config_key keys[] = {
    STATS_PLACE_KEYS(struct ask_settings),
    {.name = "json",
     .type = CONFIG_KEY_SWITCH,
     CONFIG_FIELD(struct ask_settings, json),
     .help = "answer as one line of JSON"},
};

/* The words behind a command are those of the stats socket (docs/protocol.md, section 4). */
static const struct question {
    const char *name, *summary, *arguments;
    unsigned minimum, maximum; /* words */
} questions[] = {
    {"stats", "shows the figures of a running router", "[json]", 0, 1},
    {"rooms", "lists the largest rooms of a running router",
     "[PREFIX] [in NAMESPACE] [by members|rate] [LIMIT]", 0, 6},
    {"room", "shows one room: members, seq, rate, gateways, first users", "NAME [in NAMESPACE]", 1, 3},
    {"gateways", "lists the gateways of a running router", NULL, 0, 0},
    {"backends", "lists the backends of a running router", NULL, 0, 0},
    {"user", "shows the sessions of a user, over all gateways, with their rooms", "ID", 1, 1},
    {"session", "shows one session of a running router, and what its client told when it connected", "SID", 1,
     1},
    {"archive", "shows how far the archive is", NULL, 0, 0},
    {"kick", "disconnects a session, or all of a user's, for good", "SID|user ID [REASON]", 1,
     CONFIG_POSITIONAL_MAX},
    {"close", "has all members leave a room", "ROOM [in NAMESPACE]", 1, 3},
    {"drain", "has a gateway take no more clients, and send those away that it has", "GATEWAY [SECONDS]", 1,
     2},
    {"resume", "has a gateway serve again that was told to drain", "GATEWAY", 1, 1},
    {"loglevel", "says what is logged from now on: error, warn, info or debug", "[router|GATEWAY] LEVEL", 1,
     2},
    {"config",
     "shows the configuration of the running router, or of a gateway, and where each value comes from",
     "[router|GATEWAY]", 0, 1},
};

/* Prints the answer, or its error on standard error. */
static int show_answer(struct bytes answer)
{
    static const struct bytes mark = {"error ", 6};

    if (bytes_starts_with(answer, mark)) {
        answer = bytes_make(answer.data + mark.length, answer.length - mark.length);
        fprintf(stderr, "hubbub: %.*s", BYTES_PRINTF(answer));
        return bytes_starts_with(answer, BYTES("expected ")) ? EXIT_USAGE : EXIT_RUNTIME;
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
        fprintf(stderr, "hubbub: no whole answer from %s: %s\n", path, stats_client_reason(status));
    buffer_done(&text);
    close(fd);
    return status ? EXIT_RUNTIME : exit_code;
}

/* Appends a word as the socket wants it.  One that begins with a quote is taken as it is.  False when it can't be
   said. */
static bool append_word(struct buffer *out, const char *word)
{
    json_t *string = json_string(word); /* NULL for what is no UTF-8 */
    char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    bool plain = *word;

    for (const char *at = word; plain && *at; at++)
        plain = (unsigned char)*at > ' ' && *at != 0x7f;
    buffer_append_char(out, ' ');
    if (quoted)
        buffer_append_text(out, plain ? word : quoted);
    json_decref(string);
    free(quoted);
    return quoted;
}

static int complain(const struct config_program *program, const char *what, const char *more)
{
    fprintf(stderr, "%s: %s%s (see --help)\n", program->name, what, more);
    return EXIT_USAGE;
}

static int ask_words(const struct config_program *program, const struct question *question,
                     const struct ask_settings *settings, const struct config_result *result)
{
    struct buffer line = {0};
    int exit_code;
    bool sayable = true;

    if (result->positional_count < question->minimum)
        return complain(program, "expected ", question->arguments);
    buffer_append_text(&line, question->name);
    for (unsigned i = 0; i < result->positional_count; i++)
        sayable = append_word(&line, result->positional[i]) && sayable;
    if (settings->json)
        buffer_append_literal(&line, " json");
    buffer_append_char(&line, '\0');
    exit_code =
        sayable ? ask(settings->place.stats, line.data) : complain(program, "an argument is no UTF-8", "");
    buffer_done(&line);
    return exit_code;
}

static int ask_command(const struct question *question, int argc, char **argv)
{
    char name[32];
    const struct config_program program = {.name = name,
                                           .summary = question->summary,
                                           .keys = keys,
                                           .key_count = sizeof keys / sizeof *keys,
                                           .others = stats_place_others,
                                           .finish = stats_place_finish,
                                           .positional_maximum = question->maximum,
                                           .positional_help = question->arguments};
    struct ask_settings settings = {0};
    struct config_result result;
    int exit_code;

    snprintf(name, sizeof name, "hubbub %s", question->name);
    if (config_load(&program, argc, argv, &settings, &result))
        return config_report(&result);
    exit_code = ask_words(&program, question, &settings, &result);
    config_settings_done(&program, &settings);
    return exit_code;
}

int command_ask(int argc, char **argv)
{
    const struct question *question = questions;

    while (strcmp(question->name, argv[0]) != 0)
        question++; /* main.c has no others */
    return ask_command(question, argc, argv);
}
