/* JSON strings are written as JavaScript writes them, and read back as they were. */
#include "proto/json_scan.h"
#include "proto/json_text.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void strings_are_escaped(void **state)
{
    static const struct {
        struct bytes text;
        const char *want;
    } samples[] = {
        {BYTES(""), "\"\""},
        {BYTES("plain"), "\"plain\""},
        {BYTES("a\"b\\c/d"), "\"a\\\"b\\\\c/d\""},
        {BYTES("\b\t\n\f\r"), "\"\\b\\t\\n\\f\\r\""},
        {BYTES("\0\x01\x0b\x1f"), "\"\\u0000\\u0001\\u000b\\u001f\""},
        {BYTES("\x7f \xc2\x80 \xe2\x80\xa8 \xf0\x9f\x98\x80"),
         "\"\x7f \xc2\x80 \xe2\x80\xa8 \xf0\x9f\x98\x80\""},
        {BYTES("\"\""), "\"\\\"\\\"\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct buffer out = {0};

        buffer_append_literal(&out, ">");
        json_append_string(&out, samples[i].text);
        assert_int_equal(out.data[0], '>');
        assert_true(bytes_equal_text(bytes_make(out.data + 1, out.length - 1), samples[i].want));
        assert_int_equal(json_quoted_length(samples[i].text), strlen(samples[i].want));
        buffer_done(&out);
    }
}

/* The writer looks at eight bytes at a time. */
static void what_needs_an_escape_is_found_at_every_place(void **state)
{
    enum { LENGTH = 26 };
    static const char special[] = {'\0', '\x1f', '"', '\\'};

    (void)state;
    for (unsigned length = 1; length <= LENGTH; length++) {
        for (unsigned at = 0; at < length; at++) {
            for (size_t i = 0; i < sizeof special; i++) {
                struct buffer out = {0};
                char text[LENGTH], back[LENGTH];
                struct json_value value;
                size_t decoded;

                memset(text, at % 2 ? ' ' : 0x7e, length);
                text[at] = special[i];
                json_append_string(&out, bytes_make(text, length));
                assert_int_equal(out.length, json_quoted_length(bytes_make(text, length)));
                assert_int_equal(out.length, length + 2 + (special[i] < ' ' ? 5 : 1));
                assert_int_equal(json_scan(buffer_bytes(&out), &value), 0);
                assert_int_equal(json_string_decode(value, back, sizeof back, &decoded), 0);
                assert_true(bytes_equal(bytes_make(back, decoded), bytes_make(text, length)));
                buffer_done(&out);
            }
        }
    }
}

static void every_byte_comes_back(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 128; c++) {
        char text[3] = {'x', (char)c, 'y'};
        struct buffer out = {0};
        struct json_value value;
        char back[3];
        size_t length;

        json_append_string(&out, bytes_make(text, 3));
        assert_int_equal(json_scan(buffer_bytes(&out), &value), 0);
        assert_int_equal(json_string_decode(value, back, sizeof back, &length), 0);
        assert_true(bytes_equal(bytes_make(back, length), bytes_make(text, 3)));
        buffer_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(what_needs_an_escape_is_found_at_every_place),
        cmocka_unit_test(every_byte_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
