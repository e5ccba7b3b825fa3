/*
 * Answers as text and as JSON; see report.h.  The commands of the stats socket write with it.  Its one
 * surprising rule: nothing is checked here; who forgets a column gets rows that do not fit their heading.
 */
#include "router/report.h"

#include "common/printable.h"
#include "proto/json_text.h"
#include "proto/utf8.h"

struct report report_new(struct buffer *out, bool json)
{
    return (struct report){.out = out, .json = json};
}

/* -- values ----------------------------------------------------------------------------------- */

/* What is no UTF-8 comes from gateways only, and is shown as \xXX. */
static void append_json_text(struct buffer *out, struct bytes text)
{
    struct buffer shown = {0};

    if (utf8_valid(text)) {
        json_append_string(out, text);
        return;
    }
    printable_append(&shown, text);
    json_append_string(out, buffer_bytes(&shown));
    buffer_done(&shown);
}

static bool stands_for_itself(struct bytes text)
{
    struct buffer shown = {0};
    bool same = text.length > 0 && !(text.length == 1 && text.data[0] == '-') && text.data[0] != '#';

    for (size_t i = 0; same && i < text.length; i++)
        same = (unsigned char)text.data[i] > ' ' && !strchr("\",\\", text.data[i]);
    if (same) {
        printable_append(&shown, text);
        same = bytes_equal(buffer_bytes(&shown), text);
    }
    buffer_done(&shown);
    return same;
}

static void append_word(struct buffer *out, struct bytes text)
{
    struct buffer quoted = {0}, shown = {0};

    if (stands_for_itself(text)) {
        buffer_append_bytes(out, text);
        return;
    }
    append_json_text(&quoted, text);
    printable_append(&shown, buffer_bytes(&quoted));
    for (size_t i = 0; i < shown.length; i++)
        if (shown.data[i] == ' ')
            buffer_append_literal(out, "\\u0020");
        else
            buffer_append_char(out, shown.data[i]);
    buffer_done(&quoted);
    buffer_done(&shown);
}

/* What stands in front of a value. */
static void begin_value(struct report *report)
{
    bool first = report->column++ == 0;

    if (!report->json) {
        if (report->in_rows ? !first || report->in_object : report->in_object)
            buffer_append_char(report->out, ' ');
        return;
    }
    if (report->in_rows && report->columns) {
        if (!first)
            buffer_append_char(report->out, ',');
        buffer_printf(report->out, "\"%s\":", report->columns[report->column - 1]);
    }
}

void report_number(struct report *report, uint64_t value)
{
    begin_value(report);
    buffer_append_u64(report->out, value);
}

void report_real(struct report *report, double value)
{
    begin_value(report);
    buffer_printf(report->out, "%.3f", value);
}

void report_text(struct report *report, struct bytes value)
{
    begin_value(report);
    if (report->json)
        append_json_text(report->out, value);
    else
        append_word(report->out, value);
}

void report_flag(struct report *report, bool value)
{
    begin_value(report);
    buffer_append_text(report->out, value ? "true" : "false");
}

void report_nothing(struct report *report)
{
    begin_value(report);
    buffer_append_text(report->out, report->json ? "null" : "-");
}

void report_json(struct report *report, struct bytes value)
{
    begin_value(report);
    if (report->json)
        buffer_append_bytes(report->out, value);
    else
        printable_append(report->out, value);
}

void report_texts_begin(struct report *report)
{
    begin_value(report);
    report->in_texts = false;
    if (report->json)
        buffer_append_char(report->out, '[');
}

void report_texts_add(struct report *report, struct bytes value)
{
    if (report->in_texts)
        buffer_append_char(report->out, ',');
    report->in_texts = true;
    if (report->json)
        append_json_text(report->out, value);
    else
        append_word(report->out, value);
}

void report_texts_end(struct report *report)
{
    if (report->json)
        buffer_append_char(report->out, ']');
    else if (!report->in_texts)
        buffer_append_char(report->out, '-');
}

/* -- lists ------------------------------------------------------------------------------------ */

static void end_row(struct report *report)
{
    if (!report->second)
        return;
    if (!report->json)
        buffer_append_char(report->out, '\n');
    else if (report->columns)
        buffer_append_char(report->out, '}');
}

void report_row(struct report *report)
{
    end_row(report);
    if (report->json && report->second)
        buffer_append_char(report->out, ',');
    report->second = true;
    report->column = 0;
    if (report->json && report->columns)
        buffer_append_char(report->out, '{');
    else if (!report->json && report->in_object)
        buffer_append_text(report->out, report->label);
}

void report_list_begin(struct report *report, const char *name, const char *const *columns)
{
    report->columns = columns;
    report->in_rows = true;
    if (report->json) {
        buffer_printf(report->out, "{\"%s\":[", name);
        return;
    }
    buffer_append_char(report->out, '#');
    for (const char *const *column = columns; *column; column++)
        buffer_printf(report->out, " %s", *column);
    buffer_append_char(report->out, '\n');
}

void report_list_end(struct report *report, uint64_t more)
{
    end_row(report);
    if (report->json)
        buffer_printf(report->out, "],\"more\":%llu}\n\n", (unsigned long long)more);
    else if (more)
        buffer_printf(report->out, "# more %llu\n\n", (unsigned long long)more);
    else
        buffer_append_char(report->out, '\n');
}

/* -- objects ---------------------------------------------------------------------------------- */

/* What ends the line of text, or parts two keys. */
static void part(struct report *report, bool second)
{
    if (second)
        buffer_append_char(report->out, report->json ? ',' : '\n');
}

void report_object_begin(struct report *report)
{
    report->in_object = true;
    if (report->json)
        buffer_append_char(report->out, '{');
}

void report_name(struct report *report, const char *name)
{
    part(report, report->second);
    report->second = true;
    buffer_printf(report->out, report->json ? "\"%s\":" : "%s", name);
}

void report_object_end(struct report *report)
{
    if (report->json)
        buffer_append_char(report->out, '}');
    if (report->json || report->second)
        buffer_append_char(report->out, '\n');
    buffer_append_char(report->out, '\n');
}

void report_rows_begin(struct report *report, const char *name, const char *label, const char *const *columns)
{
    if (report->json)
        report_name(report, name);
    else
        part(report, report->second);
    if (report->json)
        buffer_append_char(report->out, '[');
    report->columns = columns;
    report->label = label;
    report->in_rows = true;
    report->second = false;
}

void report_rows_end(struct report *report)
{
    end_row(report);
    if (report->json)
        buffer_append_char(report->out, ']');
    report->in_rows = false;
    report->second = report->json; /* in text each row has ended its line */
}

void report_done(struct report *report, const char *name, uint64_t number)
{
    if (report->json)
        buffer_append_literal(report->out, "{\"ok\":true");
    else
        buffer_append_literal(report->out, "ok");
    if (name)
        buffer_printf(report->out, report->json ? ",\"%s\":%llu" : " %s %llu", name,
                      (unsigned long long)number);
    buffer_append_text(report->out, report->json ? "}\n\n" : "\n\n");
}

void report_error(struct report *report, const char *text)
{
    buffer_printf(report->out, "error %s\n\n", text);
}
