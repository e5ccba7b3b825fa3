/* What a terminal may be shown. */
#include "tests/unit/common/test.h"

#include "common/printable.h"

static void assert_shown(struct bytes text, const char *shown)
{
    struct buffer out = {0};

    printable_append(&out, text);
    assert_true(bytes_equal_text(buffer_bytes(&out), shown));
    buffer_done(&out);
}

#define SHOWN(text, shown) assert_shown(BYTES(text), shown)

static void plain_text_stays(void **state)
{
    (void)state;
    SHOWN("", "");
    SHOWN("a \"b\" \\ ~", "a \"b\" \\ ~");
    SHOWN("\u00e9\u00a0\u0640\u20ac\ufffd\U0001f600\U0010ffff",
          "\u00e9\u00a0\u0640\u20ac\ufffd\U0001f600\U0010ffff");
}

static void what_acts_on_a_terminal_is_escaped(void **state)
{
    (void)state;
    SHOWN("a\tb\nc\rd", "a b c d");
    SHOWN("\0\x1b[2J\x7f", "\\u0000\\u001b[2J\\u007f");
    SHOWN("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0", "\\u0080\\u009b\\u009f\xc2\xa0");
    SHOWN("\u061c\u200d\u200e\u200f\u2010", "\\u061c\u200d\\u200e\\u200f\u2010");
    SHOWN("\u2027\u2028\u2029\u202a\u202e\u202f", "\u2027\\u2028\\u2029\\u202a\\u202e\u202f");
    SHOWN("\u2065\u2066\u2069\u206a\ufeff", "\u2065\\u2066\\u2069\u206a\\ufeff");
}

static void what_is_no_text_is_escaped(void **state)
{
    (void)state;
    SHOWN("\x80z", "\\x80z");
    SHOWN("\xc2", "\\xc2");
    SHOWN("\xe2\x82", "\\xe2\\x82");
    SHOWN("\xe2\x82z", "\\xe2\\x82z");
    SHOWN("\xc0\x9b", "\\xc0\\x9b");          /* overlong */
    SHOWN("\xe0\x82\x9b", "\\xe0\\x82\\x9b"); /* overlong */
    SHOWN("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* a surrogate */
    SHOWN("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
    SHOWN("\xff\xfe", "\\xff\\xfe");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_stays),
        cmocka_unit_test(what_acts_on_a_terminal_is_escaped),
        cmocka_unit_test(what_is_no_text_is_escaped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
