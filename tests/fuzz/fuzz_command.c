/* Any bytes as a line of the stats socket: words are text, and what an answer says of them reads back as the same. */
#include "fuzz.h"
#include "proto/json_scan.h"
#include "proto/utf8.h"
#include "router/command.h"
#include "router/report.h"

/* The word as a value of an answer, in text: one word again, and the same. */
static void check_text(struct bytes text)
{
    static struct command again;
    struct buffer out = {0};
    struct report report = report_new(&out, false);
    const char *problem;
    int result;

    report_object_begin(&report);
    report_name(&report, "x");
    report_text(&report, text);
    result = command_parse(buffer_bytes(&out), &again, &problem);
    require(result == 0 || result == ERROR_TOO_LARGE);
    if (result == 0) {
        require(again.count == 2 || (again.json && again.count == 1));
        require(again.json || bytes_equal(again.words[1].text, text));
    }
    buffer_done(&out);
}

static void check_json(struct bytes text)
{
    struct buffer out = {0};
    struct report report = report_new(&out, true);
    char *space = memory_new(text.length + 1);
    struct json_value object, value = {0};
    size_t length;

    report_object_begin(&report);
    report_name(&report, "x");
    report_text(&report, text);
    report_object_end(&report);
    require(json_scan(buffer_bytes(&out), &object) == 0 && json_object_find(object, "x", &value) == 0);
    require(json_string_decode(value, space, text.length, &length) == 0);
    require(bytes_equal(bytes_make(space, length), text));
    free(space);
    buffer_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct command command;
    char *line = copy_of(bytes_make((const char *)data, size));
    const char *problem = NULL;
    int result = command_parse(bytes_make(line, size), &command, &problem);

    require(result == 0 || result == ERROR_MALFORMED || result == ERROR_TOO_LARGE);
    require((result == 0) == (problem == NULL));
    require(command.count <= COMMAND_WORDS_MAX);
    for (unsigned i = 0; result == 0 && i < command.count; i++) {
        struct bytes text = command.words[i].text;

        require(utf8_valid(text) && (command.words[i].quoted || text.length > 0));
        check_text(text);
        check_json(text);
    }
    free(line);
    return 0;
}
