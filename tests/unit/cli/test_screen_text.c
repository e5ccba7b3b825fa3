/* Texts that fill columns exactly. */
#include "tests/unit/common/test.h"

#include "cli/screen_text.h"

#include <locale.h>

static void assert_fits(struct bytes text, unsigned columns, enum screen_align align, const char *shown)
{
    struct buffer out = {0};

    screen_text_fit(&out, text, columns, align);
    if (!bytes_equal_text(buffer_bytes(&out), shown))
        fail_msg("expected [%s] but got [%.*s]", shown, BYTES_PRINTF(buffer_bytes(&out)));
    buffer_done(&out);
}

#define LEFT(text, columns, shown)  assert_fits(BYTES(text), columns, SCREEN_LEFT, shown)
#define RIGHT(text, columns, shown) assert_fits(BYTES(text), columns, SCREEN_RIGHT, shown)

static void texts_are_filled_and_cut(void **state)
{
    (void)state;
    LEFT("abc", 5, "abc  ");
    RIGHT("abc", 5, "  abc");
    LEFT("abcde", 5, "abcde");
    LEFT("abcdef", 5, "abcd~");
    RIGHT("abcdef", 5, "abcd~");
    LEFT("", 2, "  ");
    LEFT("abc", 1, "~");
    LEFT("abc", 0, "");
    LEFT("", 0, "");
}

static void wide_characters_take_two_columns(void **state)
{
    (void)state;
    LEFT("\u5ba2\u670d", 5, "\u5ba2\u670d ");
    LEFT("\u5ba2\u670d\u76f4", 5, "\u5ba2\u670d~");
    /* Half of one can't be shown. */
    LEFT("\u5ba2\u670d\u76f4", 4, "\u5ba2~ ");
    RIGHT("\u5ba2\u670d\u76f4", 4, " \u5ba2~");
    LEFT("\u5ba2", 1, "~");
}

static void marks_stay_with_their_character(void **state)
{
    (void)state;
    LEFT("e\u0301a", 3, "e\u0301a ");
    LEFT("e\u0301\u0301\u0301\u0301a", 2, "e\u0301\u0301a");
    LEFT("e\u0301a\u0301", 1, "~");
    LEFT("\u0301a", 2, "a ");
}

static void what_joins_or_acts_does_not_come_through(void **state)
{
    (void)state;
    LEFT("a\u200db\ufe0fc\u2060d", 5, "abcd ");
    LEFT("\x1b[2J", 12, "\\u001b[2J   ");
    LEFT("\x1b[2J", 4, "\\u0~");
    LEFT("a\nb\tc", 6, "a b c ");
    LEFT("\xff", 5, "\\xff ");
}

static void what_the_locale_lacks_is_a_question_mark(void **state)
{
    (void)state;
    setlocale(LC_CTYPE, "C");
    LEFT("stra\u00dfe", 8, "stra?e  ");
    LEFT("\u5ba2\u670d", 3, "?? ");
    setlocale(LC_CTYPE, "C.UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_filled_and_cut),
        cmocka_unit_test(wide_characters_take_two_columns),
        cmocka_unit_test(marks_stay_with_their_character),
        cmocka_unit_test(what_joins_or_acts_does_not_come_through),
        cmocka_unit_test(what_the_locale_lacks_is_a_question_mark),
    };

    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
