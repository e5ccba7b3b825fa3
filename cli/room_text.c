/*
 * Messages as text; see room_text.h.
 *
 * The surprise: the arguments are never parsed, so that they show as they were sent, and so that numbers
 * which a JSON library can't hold are no trouble.
 */
#include "cli/room_text.h"

#include "common/printable.h"

#include <jansson.h>
#include <time.h>

static void append_time(struct buffer *out, uint64_t at)
{
    time_t seconds = (time_t)(at / 1000);
    struct tm parts;
    char text[32];

    if (!gmtime_r(&seconds, &parts) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts))
        text[0] = '\0';
    buffer_printf(out, "%s.%03uZ", text, (unsigned)(at % 1000));
}

static void append_field(struct buffer *out, const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);

    buffer_append_char(out, ' ');
    printable_append(out, bytes_make(json_string_value(value), json_string_length(value)));
}

void room_text_append(struct buffer *out, struct bytes line)
{
    static const struct bytes mark = {",\"args\":[", 9}, end = {"]}\n", 3};
    const char *arguments = memmem(line.data, line.length, mark.data, mark.length);
    struct buffer head = {0};
    size_t attachments;
    json_t *json;

    if (!arguments || line.length < mark.length + end.length)
        return;
    buffer_append(&head, line.data, (size_t)(arguments - line.data));
    buffer_append_char(&head, '}');
    json = json_loadb(head.data, head.length, JSON_ALLOW_NUL, NULL);
    buffer_done(&head);
    append_time(out, (uint64_t)json_integer_value(json_object_get(json, "at")));
    buffer_printf(out, " #%llu", (unsigned long long)json_integer_value(json_object_get(json, "seq")));
    append_field(out, json, "from");
    append_field(out, json, "event");
    arguments += mark.length;
    if (line.data + line.length - end.length > arguments)
        buffer_append_char(out, ' ');
    printable_append(out, bytes_make(arguments, (size_t)(line.data + line.length - end.length - arguments)));
    attachments = json_array_size(json_object_get(json, "attachments"));
    if (attachments)
        buffer_printf(out, " (%zu attachment%s)", attachments, attachments == 1 ? "" : "s");
    buffer_append_char(out, '\n');
    json_decref(json);
}
