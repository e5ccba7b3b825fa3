/*
 * Lines into words; see command.h.  stats_command.c calls it.  Its one surprising rule: what is no UTF-8, or has
 * control characters outside JSON's escapes, is no command at all, whatever word it stands in.
 */
#include "router/command.h"

#include "proto/json_scan.h"
#include "proto/utf8.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_text(struct bytes line)
{
    for (size_t i = 0; i < line.length; i++)
        if (((unsigned char)line.data[i] < ' ' && line.data[i] != '\t') || line.data[i] == 0x7f)
            return false;
    return utf8_valid(line);
}

/* Where a JSON string that begins there ends, behind its quote; NULL when it does not. */
static const char *string_end(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\' && at + 1 < end)
            at++;
    return at < end ? at + 1 : NULL;
}

/* Reads the word that begins at *at, and moves it on. */
static int read_word(const char **at, const char *end, struct command_word *word, char **space,
                     const char **problem)
{
    const char *from = *at;
    struct json_value string;
    size_t length;

    word->quoted = *from == '"';
    if (!word->quoted) {
        while (*at < end && !is_blank(**at))
            ++*at;
        length = (size_t)(*at - from);
        memcpy(*space, from, length);
    } else {
        *at = string_end(from, end);
        *problem = "a quote that does not end";
        if (!*at)
            return ERROR_MALFORMED;
        *problem = "what begins with a quote must be a JSON string, and a blank behind it";
        if ((*at < end && !is_blank(**at)) || json_scan(bytes_make(from, (size_t)(*at - from)), &string) ||
            json_string_decode(string, *space, (size_t)(*at - from), &length))
            return ERROR_MALFORMED;
    }
    word->text = bytes_make(*space, length);
    *space += length;
    return 0;
}

int command_parse(struct bytes line, struct command *out, const char **problem)
{
    const char *at = line.data, *end = line.data + line.length;
    char *space = out->space;

    out->count = 0;
    out->json = false;
    *problem = "the line is too long";
    if (line.length > sizeof out->space)
        return ERROR_TOO_LARGE;
    *problem = "the line is no text";
    if (!is_text(line))
        return ERROR_MALFORMED;
    for (;;) {
        while (at < end && is_blank(*at))
            at++;
        if (at == end)
            break;
        *problem = "too many words";
        if (out->count == COMMAND_WORDS_MAX)
            return ERROR_TOO_LARGE;
        if (read_word(&at, end, &out->words[out->count], &space, problem) < 0)
            return ERROR_MALFORMED;
        out->count++;
    }
    if (out->count > 1 && command_is(out, out->count - 1, "json")) {
        out->json = true;
        out->count--;
    }
    *problem = NULL;
    return 0;
}

bool command_is(const struct command *command, unsigned index, const char *keyword)
{
    return index < command->count && !command->words[index].quoted &&
           bytes_equal_text(command->words[index].text, keyword);
}
