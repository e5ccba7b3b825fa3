/*
 * The table of commands; see stats_command.h.  The stats socket calls it with whole lines.  Its one surprising
 * rule: the argument of `history` is JSON by itself, so its line is not taken apart into words.
 */
#include "router/stats_command.h"

#include "common/nearest.h"
#include "router/closing.h"
#include "router/inquiry.h"
#include "router/orders.h"
#include "router/show_config.h"
#include "router/show_links.h"
#include "router/show_rooms.h"
#include "router/show_sessions.h"
#include "router/transcript.h"

#include <stdarg.h>
#include <stdio.h>

static enum stats_outcome show_help(struct stats_request *request);

static enum stats_outcome show_stats(struct stats_request *request)
{
    if (request->command->count != 1)
        return stats_misused(request);
    stats_show(request->stats, request->report.json, request->report.out);
    return STATS_ANSWERED;
}

static enum stats_outcome show_archive(struct stats_request *request)
{
    if (request->command->count != 1)
        return stats_misused(request);
    stats_show_archive(request->stats, request->report.json, request->report.out);
    return STATS_ANSWERED;
}

static void cancel_transcript(void *pending)
{
    transcript_cancel(pending);
}

static enum stats_outcome show_history(struct stats_request *request)
{
    struct stats_waiter *waiter = request->waiter;

    waiter->pending =
        transcript_start(request->router, request->rest, waiter->done, waiter->argument, request->report.out);
    waiter->cancel = cancel_transcript;
    return waiter->pending ? STATS_LATER : STATS_ANSWERED;
}

static enum stats_outcome hang_up(struct stats_request *request)
{
    buffer_append_char(request->report.out, '\n');
    return STATS_HANG_UP;
}

static const struct {
    const char *name;
    const char *arguments; /* "" for none */
    const char *summary;
    enum stats_outcome (*run)(struct stats_request *request);
} rows[] = {
    {"help", "", "this", show_help},
    {"stats", "", "what this stack does, and how much of it", show_stats},
    {"rooms", "[PREFIX] [in NAMESPACE] [by members|rate] [LIMIT]", "the largest rooms", show_rooms},
    {"room", "NAME [in NAMESPACE]", "one room: members, seq, rate, gateways, first users", show_room},
    {"gateways", "", "the gateways", show_gateways},
    {"backends", "", "the backends", show_backends},
    {"user", "ID", "the sessions of a user, over all gateways", show_user},
    {"session", "SID", "one session, and what its client told when it connected", inquiry_start},
    {"archive", "", "how far the archive is", show_archive},
    {"history", "{\"room\":R}", "a page of a room's messages, one a line", show_history},
    {"kick", "SID|user ID [REASON]", "disconnect for good, as disconnect() does", kick},
    {"close", "ROOM [in NAMESPACE]", "all members leave the room", closing_start},
    {"drain", "GATEWAY [SECONDS]", "a gateway takes no more clients, and sends those it has away",
     orders_drain},
    {"resume", "GATEWAY", "a gateway serves again", orders_resume},
    {"loglevel", "[router|GATEWAY] LEVEL", "what is logged: error, warn, info or debug", orders_loglevel},
    {"config", "[router|GATEWAY]", "effective values, and where each comes from", show_config},
    {"quit", "", "hang up", hang_up},
};

enum { ROWS = sizeof rows / sizeof *rows };

static enum stats_outcome show_help(struct stats_request *request)
{
    static const char *const columns[] = {"command", "arguments", "summary", NULL};
    struct report *report = &request->report;

    if (request->command->count != 1)
        return stats_misused(request);
    if (!report->json) {
        for (unsigned i = 0; i < ROWS; i++)
            buffer_printf(report->out, "%-9s%-52s%s\n", rows[i].name, rows[i].arguments, rows[i].summary);
        buffer_append_literal(report->out,
                              "Behind any of them `json` answers as one line of JSON. A name with blanks or "
                              "odd bytes is a JSON string.\n\n");
        return STATS_ANSWERED;
    }
    report_list_begin(report, "commands", columns);
    for (unsigned i = 0; i < ROWS; i++) {
        report_row(report);
        report_text(report, bytes_from_text(rows[i].name));
        report_text(report, bytes_from_text(rows[i].arguments));
        report_text(report, bytes_from_text(rows[i].summary));
    }
    report_list_end(report, 0);
    return STATS_ANSWERED;
}

/* -- for the commands ------------------------------------------------------------------------- */

void stats_reply_later(const struct stats_request *request, struct stats_reply *reply, void *pending,
                       void (*cancel)(void *pending))
{
    reply->done = request->waiter->done;
    reply->argument = request->waiter->argument;
    reply->json = request->report.json;
    request->waiter->pending = pending;
    request->waiter->cancel = cancel;
}

void stats_reply_send(struct stats_reply *reply)
{
    reply->done(reply->argument, buffer_bytes(&reply->out));
    buffer_clear(&reply->out);
}

struct bytes stats_word(const struct stats_request *request, unsigned index)
{
    return index < request->command->count ? request->command->words[index].text : (struct bytes){0};
}

enum stats_outcome stats_refuse(struct stats_request *request, const char *text)
{
    report_error(&request->report, text);
    return STATS_ANSWERED;
}

static void append_expected(struct stats_request *request)
{
    unsigned i = 0;

    while (!bytes_equal_text(request->command->words[0].text, rows[i].name))
        i++;
    buffer_printf(request->report.out, "error expected %s%s%s", rows[i].name, *rows[i].arguments ? " " : "",
                  rows[i].arguments);
}

enum stats_outcome stats_misused(struct stats_request *request)
{
    append_expected(request);
    buffer_append_literal(request->report.out, "\n\n");
    return STATS_ANSWERED;
}

enum stats_outcome stats_misused_word(struct stats_request *request, const char *format, ...)
{
    char text[128];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    append_expected(request);
    buffer_printf(request->report.out, ": %s\n\n", text);
    return STATS_ANSWERED;
}

bool stats_read_namespace(const struct stats_request *request, unsigned *index, struct bytes *namespace)
{
    *namespace = BYTES("/");
    if (!command_is(request->command, *index, "in"))
        return true;
    if (*index + 1 >= request->command->count)
        return false;
    *namespace = stats_word(request, *index + 1);
    *index += 2;
    return true;
}

struct room *stats_read_room(struct stats_request *request, enum stats_outcome *outcome)
{
    const struct namespace *namespace;
    struct bytes name;
    struct room *room;
    unsigned at = 2;

    if (request->command->count < 2 || !stats_read_namespace(request, &at, &name) ||
        at != request->command->count) {
        *outcome = stats_misused(request);
        return NULL;
    }
    namespace = namespace_find(&request->router->namespaces, name);
    name = stats_word(request, 1);
    room = namespace && room_name_valid(name) ? rooms_find(&request->router->rooms, namespace, name) : NULL;
    if (!room)
        *outcome = stats_refuse(request, "no such room");
    return room;
}

struct gateway_link *stats_find_gateway(const struct router *router, struct bytes name)
{
    for (uint32_t i = 0; i < router->links.count; i++)
        if (bytes_equal_text(name, router->links.all[i]->name))
            return router->links.all[i];
    return NULL;
}

/* -- lines ------------------------------------------------------------------------------------ */

static enum stats_outcome unknown(struct stats_request *request, struct bytes name)
{
    struct nearest nearest;
    char word[32];
    const char *meant;

    snprintf(word, sizeof word, "%.*s", BYTES_PRINTF(name));
    nearest_init(&nearest, word);
    for (unsigned i = 0; i < ROWS; i++)
        nearest_offer(&nearest, rows[i].name);
    meant = nearest_found(&nearest);
    buffer_printf(request->report.out, "error unknown command; %s%s%s\n\n",
                  meant ? "did you mean " : "try help", meant ? meant : "", meant ? "?" : "");
    return STATS_ANSWERED;
}

enum stats_outcome stats_command(struct stats *stats, struct bytes line, struct stats_waiter *waiter,
                                 struct buffer *out)
{
    static const struct bytes history = {"history ", 8};
    bool raw = bytes_starts_with(line, history);
    struct command command;
    struct stats_request request = {.stats = stats,
                                    .router = stats_router(stats),
                                    .command = &command,
                                    .waiter = waiter,
                                    .report = report_new(out, false)};
    const char *problem;

    if (raw)
        request.rest = bytes_make(line.data + history.length, line.length - history.length);
    if (command_parse(raw ? BYTES("history") : line, &command, &problem) < 0)
        return stats_refuse(&request, problem);
    request.report.json = command.json;
    if (command.count == 0)
        return stats_refuse(&request, "no command; try help");
    for (unsigned i = 0; i < ROWS; i++)
        if (command_is(&command, 0, rows[i].name))
            return rows[i].run(&request);
    return unknown(&request, command.words[0].text);
}
