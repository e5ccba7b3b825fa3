/*
 * The configuration, shown; see show_config.h.  The stats socket calls it.  Its one surprising rule: a gateway's
 * own comes from the gateway, as JSON, which is taken apart here so that it looks like the router's.
 */
#include "router/show_config.h"

#include "common/config_describe.h"
#include "common/memory.h"
#include "proto/json_scan.h"
#include "proto/rules_describe.h"
#include "router/ask.h"

#include <stdlib.h>

enum { CONFIG_TEXT_MAX = 8192 };

static const char *const columns[] = {"key", "value", "origin", NULL};

static void append_key(void *argument, const char *name, const char *value, const char *origin)
{
    struct report *report = argument;

    if (strcmp(name, "router.log_level") == 0 && strcmp(value, log_level_names[log_get_level()]) != 0) {
        value = log_level_names[log_get_level()];
        origin = "loglevel"; /* the command has set it since */
    }
    report_row(report);
    report_text(report, bytes_from_text(name));
    if (value)
        report_text(report, bytes_from_text(value));
    else
        report_nothing(report);
    report_text(report, bytes_from_text(origin));
}

static enum stats_outcome show_own(struct stats_request *request)
{
    report_list_begin(&request->report, "config", columns);
    config_describe(&router_config, request->router->settings, append_key, &request->report);
    namespaces_describe(&request->router->settings->namespaces, append_key, &request->report);
    report_list_end(&request->report, 0);
    return STATS_ANSWERED;
}

struct config_question {
    struct ask *ask;
    struct stats_reply reply;
};

static int append_text(struct report *report, struct json_cursor *cursor)
{
    char space[CONFIG_TEXT_MAX];
    struct json_value value;
    size_t length;

    if (json_cursor_next(cursor, &value) < 0)
        return ERROR_MALFORMED;
    if (value.kind == JSON_NULL) {
        report_nothing(report);
        return 0;
    }
    if (json_string_decode(value, space, sizeof space, &length) < 0)
        return ERROR_MALFORMED;
    report_text(report, bytes_make(space, length));
    return 0;
}

/* [["gateway.port","3000","default"], ..] */
static int append_list(struct report *report, struct bytes text)
{
    struct json_value list, row;
    struct json_cursor rows;

    if (json_scan(text, &list) < 0 || list.kind != JSON_ARRAY)
        return ERROR_MALFORMED;
    rows = json_array_cursor(list);
    report_list_begin(report, "config", columns);
    while (json_cursor_next(&rows, &row) == 0) {
        struct json_cursor cells = json_array_cursor(row);

        report_row(report);
        if (append_text(report, &cells) < 0 || append_text(report, &cells) < 0 ||
            append_text(report, &cells) < 0)
            return ERROR_MALFORMED;
    }
    report_list_end(report, 0);
    return 0;
}

static void on_told(void *argument, int result, struct bytes text)
{
    struct config_question *question = argument;
    struct report report = report_new(&question->reply.out, question->reply.json);
    const char *why = NULL;

    if (result == ERROR_NOT_FOUND)
        why = "the gateway is too old to tell";
    else if (result == ERROR_CLOSED)
        why = "the link to the gateway is down";
    else if (result)
        why = "the gateway does not answer";
    else if (append_list(&report, text) < 0)
        why = "the gateway's answer can't be read";
    if (why) {
        buffer_clear(&question->reply.out);
        report_error(&report, why);
    }
    stats_reply_send(&question->reply);
    buffer_done(&question->reply.out);
    free(question);
}

static void cancel(void *pending)
{
    struct config_question *question = pending;

    ask_cancel(question->ask);
    buffer_done(&question->reply.out);
    free(question);
}

enum stats_outcome show_config(struct stats_request *request)
{
    struct config_question *question;
    struct gateway_link *link;

    if (request->command->count > 2)
        return stats_misused(request);
    if (request->command->count == 1 || command_is(request->command, 1, "router"))
        return show_own(request);
    link = stats_find_gateway(request->router, stats_word(request, 1));
    if (!link)
        return stats_refuse(request, "no such gateway");
    question = memory_zero(1, sizeof *question);
    if (ask_configuration(request->router, link, on_told, question, &question->ask) < 0) {
        free(question);
        return stats_refuse(request, "the link to the gateway is down");
    }
    stats_reply_later(request, &question->reply, question, cancel);
    return STATS_LATER;
}
