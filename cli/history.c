/*
 * `hubbub history ROOM` and `hubbub export ROOM`: a room's messages on standard output.
 *
 * The surprise: a signal ends the output between two pages, so that what was written are whole lines; only
 * then does the program end, by that signal, or with success where it would have followed for ever.
 */
#include "cli/commands.h"
#include "cli/room_reader.h"
#include "cli/room_text.h"
#include "cli/stats_client.h"
#include "common/clock.h"
#include "common/exit_code.h"
#include "common/memory.h"
#include "common/printable.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LIMIT_MAX = 10000,
    FOLLOW_MS = 200,   /* between two looks at a room where nothing happens */
    PATIENCE_MS = 200, /* before a busy router is asked again */
    PATIENCE_COUNT = 100,
    PACE = 4,
    PACE_MS_MAX = 1000,
};

struct history_settings {
    struct stats_place place; /* must stay first */
    char *namespace;
    char *before, *after;
    unsigned limit;
    bool follow, json;
};

#define KEY(key, kind) .name = #key, .type = CONFIG_KEY_##kind, CONFIG_FIELD(struct history_settings, key)

#define NAMESPACE_KEY                                                                                        \
    {                                                                                                        \
        KEY(namespace, STRING), .minimum = 1, .maximum = 255, .fallback = "/",                               \
                                .help = "the room's namespace"                                               \
    }
#define AFTER_KEY                                                                                            \
    {                                                                                                        \
        KEY(after, STRING), .minimum = 1, .maximum = 20, .help = "begin behind the message with this number" \
    }

static const struct config_key history_keys[] = {
    STATS_PLACE_KEYS(struct history_settings),
    NAMESPACE_KEY,
    {KEY(before, STRING), .minimum = 1, .maximum = 20,
     .help = "show the last ones before the message with this number"},
    AFTER_KEY,
    {KEY(limit, INTEGER), .minimum = 1, .maximum = LIMIT_MAX, .unit = "messages", .fallback = "50",
     .help = "how many messages, the newest unless --after is given"},
    {KEY(follow, SWITCH), .help = "go on with what is said from now on; with --after all that is behind it"},
    {KEY(json, SWITCH), .help = "one JSON object a line, as export writes them"},
};

static const struct config_key export_keys[] = {STATS_PLACE_KEYS(struct history_settings), NAMESPACE_KEY,
                                                AFTER_KEY};

/* -- signals and output ----------------------------------------------------------------------- */

static volatile sig_atomic_t stopped; /* the signal */

static void on_signal(int number)
{
    stopped = number;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND}; /* a second one kills */

    stats_client_stopped = &stopped;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_DFL); /* whoever reads us had enough: end without a word */
}

/* As if the signal had not been caught. */
static void die_of(int number)
{
    signal(number, SIG_DFL);
    raise(number);
}

/* 0, or ERROR_SYSTEM after saying so. */
static int write_all(struct bytes text)
{
    while (text.length) {
        ssize_t n = write(STDOUT_FILENO, text.data, text.length);

        if (n < 0 && errno != EINTR) {
            fprintf(stderr, "hubbub: cannot write: %s\n", strerror(errno));
            return ERROR_SYSTEM;
        }
        if (n > 0)
            text = bytes_make(text.data + n, text.length - (size_t)n);
    }
    return 0;
}

/* Waits; ends the program when nobody reads its output any more. */
static void wait_ms(int ms)
{
    struct pollfd output = {.fd = STDOUT_FILENO};

    if (poll(&output, 1, ms) > 0) {
        if (output.revents & POLLERR)
            die_of(SIGPIPE);
        poll(NULL, 0, ms);
    }
}

/* -- reading ---------------------------------------------------------------------------------- */

struct printer {
    struct room_reader reader;
    bool json, terminal;
    bool waiting;  /* it was said */
    uint64_t last; /* the newest message printed */
};

static int print_page(struct printer *printer, struct bytes lines)
{
    struct buffer out = {0};
    int result;

    if (printer->json && !printer->terminal)
        return write_all(lines);
    for (const char *line = lines.data, *end = line + lines.length; line < end;) {
        const char *next = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;

        if (printer->json) {
            printable_append(&out, bytes_make(line, (size_t)(next - 1 - line)));
            buffer_append_char(&out, '\n');
        } else {
            room_text_append(&out, bytes_make(line, (size_t)(next - line)));
        }
        line = next;
    }
    result = write_all(buffer_bytes(&out));
    buffer_done(&out);
    return result;
}

/* Everything else is answered at once. */
static void say_waiting(void *argument)
{
    struct printer *printer = argument;

    if (!printer->waiting)
        fputs("hubbub: waiting for the archive: MongoDB may be away\n", stderr);
    printer->waiting = true;
}

/* room_reader_ask(), with patience for a busy router and an archive that is away. */
static int ask(struct printer *printer, const struct room_question *question, struct room_page *page)
{
    uint64_t started = clock_monotonic_ms();
    int result = ERROR_BUSY;

    for (unsigned i = 0; i < PATIENCE_COUNT && result == ERROR_BUSY && !stopped; i++) {
        if (i)
            wait_ms(PATIENCE_MS);
        result = room_reader_ask(&printer->reader, question, page);
        if (result == ERROR_BUSY && clock_monotonic_ms() - started >= ROOM_READER_SLOW_MS)
            say_waiting(printer);
    }
    return stopped ? ERROR_AGAIN : result;
}

static void append_room(struct buffer *out, const struct printer *printer)
{
    buffer_append_char(out, '\'');
    printable_append(out, bytes_from_text(printer->reader.room));
    buffer_append_literal(out, "' in namespace ");
    printable_append(out, bytes_from_text(printer->reader.namespace));
}

/* What went wrong, if anything did and it has not been said, on standard error. */
static void complain(const struct printer *printer, int result)
{
    struct buffer text = {0};
    int reason = errno;

    switch (result) {
    case 0:
    case ERROR_AGAIN:
    case ERROR_SYSTEM:
        return;
    case ERROR_NOT_FOUND:
        buffer_append_literal(&text, "no such room: ");
        append_room(&text, printer);
        break;
    case ERROR_CLOSED:
        if (printer->last == 0 && reason) {
            errno = reason;
            stats_client_complain(printer->reader.path);
            return;
        }
        errno = reason;
        buffer_printf(&text, "no whole answer from %s: %s", printer->reader.path,
                      stats_client_reason(reason ? ERROR_SYSTEM : ERROR_CLOSED));
        break;
    case ERROR_USAGE:
        if (printer->reader.answer.length == 0)
            buffer_append_literal(&text, "a room and a namespace are UTF-8 text");
        else
            printable_append(&text, room_reader_refusal(&printer->reader));
        break;
    default:
        printable_append(&text, room_reader_refusal(&printer->reader));
    }
    if (printer->last)
        buffer_printf(&text, "; go on with --after %llu", (unsigned long long)printer->last);
    fprintf(stderr, "hubbub: %.*s\n", BYTES_PRINTF(buffer_bytes(&text)));
    buffer_done(&text);
}

/*
 * Keeps the router free for others: it has four times as long for them as the page before took.  A router
 * that is busy answers later, and so is asked less.
 */
static void pace(uint64_t asked)
{
    uint64_t pause = (clock_monotonic_ns() - asked) * PACE / 1000000;

    wait_ms((int)(pause < PACE_MS_MAX ? pause : PACE_MS_MAX));
}

/* Prints what is above `after`, until so many were printed, or `last` was, or there is no more. */
static int print_forward(struct printer *printer, uint64_t after, uint64_t limit, uint64_t last)
{
    struct room_page page = {.more = true};

    while (page.more && limit && after < last) {
        struct room_question question = {.has_after = true,
                                         .after = after,
                                         .limit = limit < ROOM_PAGE_MAX ? (unsigned)limit : ROOM_PAGE_MAX};
        uint64_t asked = clock_monotonic_ns();
        int result = ask(printer, &question, &page);

        if (!result) {
            if (page.more)
                pace(asked);
            result = print_page(printer, page.lines);
        }
        if (result)
            return result;
        if (page.count == 0)
            return 0;
        after = printer->last = page.last;
        limit -= page.count;
    }
    return 0;
}

/* Prints the newest below `before` (0: of all), oldest first: the pages are gathered from the newest on. */
static int print_backward(struct printer *printer, uint64_t before, uint64_t limit)
{
    struct bytes *pages = NULL;
    size_t count = 0;
    uint64_t newest = 0;
    struct room_page page = {.more = true};
    int result = 0;

    while (page.more && limit && !result) {
        struct room_question question = {.before = before,
                                         .limit = limit < ROOM_PAGE_MAX ? (unsigned)limit : ROOM_PAGE_MAX};

        result = ask(printer, &question, &page);
        if (result || page.count == 0)
            break;
        pages = memory_resize(pages, (count + 1) * sizeof *pages);
        pages[count++] = bytes_make(memory_text(page.lines.data, page.lines.length), page.lines.length);
        if (!newest)
            newest = page.last;
        before = page.first;
        limit -= page.count;
    }
    for (size_t i = count; i > 0; i--) {
        if (!result)
            result = print_page(printer, pages[i - 1]);
        free((char *)pages[i - 1].data);
    }
    free(pages);
    if (!result)
        printer->last = newest;
    return result;
}

/* Until a signal comes, or the output fails. */
static int follow(struct printer *printer)
{
    bool away = false;

    for (;;) {
        struct room_question question = {.has_after = true, .after = printer->last, .limit = ROOM_PAGE_MAX};
        struct room_page page = {0};
        int result = ask(printer, &question, &page);

        if (!result)
            result = print_page(printer, page.lines);
        if (result && result != ERROR_CLOSED && result != ERROR_BUSY)
            return result;
        if (result && !away)
            fputs("hubbub: the router does not answer; waiting for it\n", stderr);
        if (!result && page.count) {
            printer->last = page.last;
        } else {
            room_reader_close(&printer->reader); /* others want to ask too */
            wait_ms(FOLLOW_MS);
        }
        away = result != 0;
    }
}

/* -- commands --------------------------------------------------------------------------------- */

/* Whether the text is absent or a number; number becomes 0 when it is absent. */
static bool read_seq(const struct config_program *program, const char *option, const char *text,
                     uint64_t least, uint64_t *out)
{
    unsigned long long number = 0;

    if (text && (bytes_parse_u64(bytes_from_text(text), &number) || number < least || number > INT64_MAX)) {
        fprintf(stderr, "%s: --%s takes the number of a message (see --help)\n", program->name, option);
        return false;
    }
    *out = number;
    return true;
}

static int show_history(struct printer *printer, const struct history_settings *settings, uint64_t before,
                        uint64_t after)
{
    int result;

    if (settings->after)
        result = print_forward(printer, after, settings->follow ? UINT64_MAX : settings->limit, UINT64_MAX);
    else
        result = print_backward(printer, before, settings->limit);
    if (!settings->follow)
        return result;
    if (result == ERROR_NOT_FOUND) {
        struct buffer text = {0};

        append_room(&text, printer);
        fprintf(stderr, "hubbub: no room %.*s yet; waiting for it\n", BYTES_PRINTF(buffer_bytes(&text)));
        buffer_done(&text);
        result = 0;
    }
    if (printer->last < after)
        printer->last = after;
    return result ? result : follow(printer);
}

/* The messages that there are now, and those that come while it runs if they share a page with these. */
static int export_room(struct printer *printer, uint64_t after)
{
    struct room_page newest = {0};
    int result = ask(printer, &(struct room_question){.limit = 1}, &newest);

    return result ? result : print_forward(printer, after, UINT64_MAX, newest.last);
}

static int run(const struct config_program *program, int argc, char **argv, bool export)
{
    struct history_settings settings = {0};
    struct config_result config;
    struct printer printer = {0};
    uint64_t before, after;
    int exit_code = EXIT_USAGE;
    int result;

    if (config_load(program, argc, argv, &settings, &config))
        return config_report(&config);
    if (config.positional_count == 0) {
        fprintf(stderr, "%s: which room? (see --help)\n", program->name);
    } else if (settings.before && (settings.after || settings.follow)) {
        fprintf(stderr, "%s: --before goes with neither --after nor --follow (see --help)\n", program->name);
    } else if (read_seq(program, "before", settings.before, 1, &before) &&
               read_seq(program, "after", settings.after, 0, &after)) {
        printer.reader = (struct room_reader){.path = settings.place.stats,
                                              .namespace = settings.namespace,
                                              .room = config.positional[0],
                                              .slow = say_waiting,
                                              .slow_argument = &printer};
        printer.json = export || settings.json;
        printer.terminal = isatty(STDOUT_FILENO);
        catch_signals();
        result = export ? export_room(&printer, after) : show_history(&printer, &settings, before, after);
        complain(&printer, result);
        exit_code = !result                      ? EXIT_OK
                    : result == ERROR_USAGE      ? EXIT_USAGE
                    : stopped && settings.follow ? EXIT_OK
                                                 : EXIT_RUNTIME;
        room_reader_done(&printer.reader);
    }
    config_settings_done(program, &settings);
    if (stopped && exit_code == EXIT_RUNTIME)
        die_of(stopped);
    return exit_code;
}

#define ROOM_PROGRAM(command, text)                                                                          \
    .name = "hubbub " #command, .summary = text, .keys = command##_keys,                                     \
    .key_count = sizeof command##_keys / sizeof *command##_keys, .others = stats_place_others,               \
    .finish = stats_place_finish, .positional_maximum = 1, .positional_help = "ROOM"

int command_history(int argc, char **argv)
{
    static const struct config_program program = {
        ROOM_PROGRAM(history, "shows the messages of a room, and follows it")};

    return run(&program, argc, argv, false);
}

int command_export(int argc, char **argv)
{
    static const struct config_program program = {
        ROOM_PROGRAM(export, "writes all messages of a room as JSON lines, oldest first")};

    return run(&program, argc, argv, true);
}
