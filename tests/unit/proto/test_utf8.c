/* Tests of proto/utf8.h: every text whole, and split at every byte. */
#include "proto/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct sample {
    const char *text;
    size_t length;
    size_t fails_after; /* bytes that are accepted before the one that is refused; SIZE_MAX for valid text */
};

#define VALID(text)                                                                                          \
    {                                                                                                        \
        text, sizeof(text) - 1, SIZE_MAX                                                                     \
    }
#define TRUNCATED(text)                                                                                      \
    {                                                                                                        \
        text, sizeof(text) - 1, SIZE_MAX                                                                     \
    }
#define INVALID(after, text)                                                                                 \
    {                                                                                                        \
        text, sizeof(text) - 1, after                                                                        \
    }

static const struct sample valid[] = {
    VALID(""),
    VALID("a"),
    VALID("plain ASCII text, longer than one word and longer than four of them"),
    VALID("\x00\x7f"),
    VALID("\xc2\x80\xdf\xbf"),
    VALID("\xe0\xa0\x80\xe0\xbf\xbf"),
    VALID("\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"),
    VALID("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"),
    VALID("1234567\xc3\xa9"
          "12345678\xe2\x82\xac"
          "1234567890123456789012345678901\xf0\x9f\x98\x80"),
};

static const struct sample truncated[] = {
    TRUNCATED("\xc2"),
    TRUNCATED("a\xe2\x82"),
    TRUNCATED("\xf0\x9f\x98"),
    TRUNCATED("\xe2\x82\xac\xf4"),
};

static const struct sample invalid[] = {
    INVALID(0, "\x80"),
    INVALID(0, "\xbf"
               "a"),
    INVALID(0, "\xc0\x80"),
    INVALID(0, "\xc1\xbf"),
    INVALID(0, "\xf5\x80\x80\x80"),
    INVALID(0, "\xfe"),
    INVALID(0, "\xff"),
    INVALID(1, "\xe0\x9f\xbf"),
    INVALID(1, "\xed\xa0\x80"),
    INVALID(1, "\xed\xbf\xbf"),
    INVALID(1, "\xf0\x8f\xbf\xbf"),
    INVALID(1, "\xf4\x90\x80\x80"),
    INVALID(1, "\xc3"
               "a"),
    INVALID(2, "\xe2\x82"
               "a"),
    INVALID(2, "\xe2\x82\xc2"),
    INVALID(3, "\xf0\x9f\x98"
               "a"),
    INVALID(9, "123456789\x80"
               "12345678"),
    INVALID(40, "1234567890123456789012345678901234567890\xff"
                "234567890123456789012345678901"),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Feeds in two parts: 0, or the error of the part that failed. */
static int feed_split(struct utf8_state *state, const struct sample *sample, size_t at)
{
    int rc = utf8_feed(state, bytes_make(sample->text, at));
    return rc ? rc : utf8_feed(state, bytes_make(sample->text + at, sample->length - at));
}

static void valid_text_passes_at_every_split(void **context)
{
    (void)context;
    for (size_t i = 0; i < COUNT(valid); i++) {
        assert_true(utf8_valid(bytes_make(valid[i].text, valid[i].length)));
        for (size_t at = 0; at <= valid[i].length; at++) {
            struct utf8_state state = {0};
            assert_int_equal(feed_split(&state, &valid[i], at), 0);
            assert_true(utf8_complete(&state));
        }
    }
}

static void truncated_text_is_incomplete_and_no_error(void **context)
{
    (void)context;
    for (size_t i = 0; i < COUNT(truncated); i++) {
        assert_false(utf8_valid(bytes_make(truncated[i].text, truncated[i].length)));
        for (size_t at = 0; at <= truncated[i].length; at++) {
            struct utf8_state state = {0};
            assert_int_equal(feed_split(&state, &truncated[i], at), 0);
            assert_false(utf8_complete(&state));
        }
    }
}

static void invalid_text_fails_at_the_first_impossible_byte(void **context)
{
    (void)context;
    for (size_t i = 0; i < COUNT(invalid); i++) {
        assert_false(utf8_valid(bytes_make(invalid[i].text, invalid[i].length)));
        struct utf8_state state = {0};
        for (size_t at = 0; at < invalid[i].fails_after; at++)
            assert_int_equal(utf8_feed(&state, bytes_make(invalid[i].text + at, 1)), 0);
        assert_int_equal(utf8_feed(&state, bytes_make(invalid[i].text + invalid[i].fails_after, 1)),
                         ERROR_UTF8);
        for (size_t at = 0; at <= invalid[i].length; at++) {
            struct utf8_state split = {0};
            assert_int_equal(feed_split(&split, &invalid[i], at), ERROR_UTF8);
        }
    }
}

/* The grammar of RFC 3629 read the other way round: decode by arithmetic, then ask what the code point is. */
static bool three_bytes_are_a_character(unsigned a, unsigned b, unsigned c)
{
    if ((a & 0xf0) != 0xe0 || (b & 0xc0) != 0x80 || (c & 0xc0) != 0x80)
        return false;
    unsigned point = (a & 0x0f) << 12 | (b & 0x3f) << 6 | (c & 0x3f);
    return point >= 0x800 && (point < 0xd800 || point > 0xdfff);
}

static void every_three_byte_form_is_judged_as_its_code_point(void **context)
{
    (void)context;
    unsigned wrong = 0;
    for (unsigned a = 0xe0; a <= 0xef; a++)
        for (unsigned b = 0; b <= 0xff; b++)
            for (unsigned c = 0x70; c <= 0xcf; c++) {
                const char text[3] = {(char)a, (char)b, (char)c};
                wrong += utf8_valid(bytes_make(text, 3)) != three_bytes_are_a_character(a, b, c);
            }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_text_passes_at_every_split),
        cmocka_unit_test(truncated_text_is_incomplete_and_no_error),
        cmocka_unit_test(invalid_text_fails_at_the_first_impossible_byte),
        cmocka_unit_test(every_three_byte_form_is_judged_as_its_code_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
