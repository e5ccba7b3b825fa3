/* Lines of the stats socket: words, quotes, and what is none. */
#include "tests/unit/common/test.h"

#include "router/command.h"

#include <stdio.h>

static struct command command;

/* The words, parted by '|', quoted ones between angle brackets, "json" behind them after a colon. */
static const char *parse(const char *line)
{
    static char shown[2 * COMMAND_LENGTH_MAX];
    const char *problem;
    int length = 0;

    if (command_parse(bytes_from_text(line), &command, &problem) < 0)
        return problem;
    assert_null(problem);
    shown[0] = '\0';
    for (unsigned i = 0; i < command.count; i++) {
        const struct command_word *word = &command.words[i];

        length += snprintf(shown + length, sizeof shown - (size_t)length,
                           word->quoted ? "%s<%.*s>" : "%s%.*s", i ? "|" : "", BYTES_PRINTF(word->text));
    }
    if (command.json)
        snprintf(shown + length, sizeof shown - (size_t)length, ":json");
    return shown;
}

static void blanks_part_words(void **state)
{
    (void)state;
    assert_string_equal(parse(""), "");
    assert_string_equal(parse(" \t "), "");
    assert_string_equal(parse("stats"), "stats");
    assert_string_equal(parse("  rooms  a\tby rate 20 "), "rooms|a|by|rate|20");
    assert_string_equal(parse("room M\xc3\xbcnchen"), "room|M\xc3\xbcnchen");
    assert_string_equal(parse("room a\"b\\c"), "room|a\"b\\c");
}

static void a_quoted_word_is_a_json_string(void **state)
{
    (void)state;
    assert_string_equal(parse("room \"two words\" in \"/n\""), "room|<two words>|in|</n>");
    assert_string_equal(parse("room \"\""), "room|<>");
    assert_string_equal(parse("room \"\\\"\\\\\\u00fc\\ud83d\\ude00\""),
                        "room|<\"\\\xc3\xbc\xf0\x9f\x98\x80>");
    assert_string_equal(parse("room \"a\\u0000b\""), "room|<a>"); /* printed up to there */
    assert_int_equal(command.words[1].text.length, 3);
}

static void json_is_a_word_only_at_the_end(void **state)
{
    (void)state;
    assert_string_equal(parse("stats json"), "stats:json");
    assert_string_equal(parse("json"), "json");
    assert_string_equal(parse("room json json"), "room|json:json");
    assert_string_equal(parse("room \"json\""), "room|<json>");
    assert_string_equal(parse("stats JSON"), "stats|JSON");
}

static void what_is_no_command(void **state)
{
    static const char quotes[] = "what begins with a quote must be a JSON string, and a blank behind it";
    char line[COMMAND_LENGTH_MAX + 2];
    const char *problem;

    (void)state;
    assert_string_equal(parse("room \"a"), "a quote that does not end");
    assert_string_equal(parse("room \"a\\\""), "a quote that does not end");
    assert_string_equal(parse("room \""), "a quote that does not end");
    assert_string_equal(parse("room \"a\"b"), quotes);
    assert_string_equal(parse("room \"a\"\"b\""), quotes);
    assert_string_equal(parse("room \"\\x\""), quotes);
    assert_string_equal(parse("room \"\\ud83d\""), quotes);
    assert_string_equal(parse("room \xff"), "the line is no text");
    assert_string_equal(parse("room \x01"), "the line is no text");
    assert_string_equal(parse("room \x7f"), "the line is no text");
    assert_int_equal(command_parse(bytes_make("stats\0", 6), &command, &problem), ERROR_MALFORMED);
    assert_string_equal(parse("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"), "too many words");
    memset(line, 'a', sizeof line);
    assert_int_equal(command_parse(bytes_make(line, COMMAND_LENGTH_MAX + 1), &command, &problem),
                     ERROR_TOO_LARGE);
    assert_string_equal(problem, "the line is too long");
    assert_int_equal(command_parse(bytes_make(line, COMMAND_LENGTH_MAX), &command, &problem), 0);
    assert_int_equal(command.words[0].text.length, COMMAND_LENGTH_MAX);
}

static void keywords_have_no_quotes(void **state)
{
    (void)state;
    parse("rooms \"by\" by");
    assert_false(command_is(&command, 1, "by"));
    assert_true(command_is(&command, 2, "by"));
    assert_false(command_is(&command, 3, "by"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blanks_part_words),
        cmocka_unit_test(a_quoted_word_is_a_json_string),
        cmocka_unit_test(json_is_a_word_only_at_the_end),
        cmocka_unit_test(what_is_no_command),
        cmocka_unit_test(keywords_have_no_quotes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
