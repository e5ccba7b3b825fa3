/* Tests of common/base64.h. */
#include "common/base64.h"
#include "tests/unit/common/test.h"

#include <stdlib.h>

static void assert_written(struct bytes bytes, const char *text)
{
    size_t length = base64_length(bytes.length);
    char *out = malloc(length + 1);
    assert_non_null(out);
    base64_write(out, bytes);
    out[length] = '\0';
    assert_string_equal(out, text);
    free(out);
}

/* Into memory of exactly the promised size, and in place. */
static void assert_read(struct bytes text, struct bytes bytes)
{
    size_t most = base64_decoded_max(text.length);
    char *out = malloc(most + !most);
    char *copy = malloc(text.length + !text.length);
    assert_true(out && copy);
    if (text.length)
        memcpy(copy, text.data, text.length);
    assert_true(bytes_equal(bytes_make(out, base64_read(out, text)), bytes));
    assert_true(bytes_equal(bytes_make(copy, base64_read(copy, bytes_make(copy, text.length))), bytes));
    free(out);
    free(copy);
}

#define READ(text, bytes) assert_read(BYTES(text), BYTES(bytes))

static void the_vectors_of_rfc_4648_10(void **state)
{
    (void)state;
    static const struct {
        struct bytes bytes;
        const char *text;
    } vectors[] = {
        {{"", 0}, ""},
        {{"f", 1}, "Zg=="},
        {{"fo", 2}, "Zm8="},
        {{"foo", 3}, "Zm9v"},
        {{"foob", 4}, "Zm9vYg=="},
        {{"fooba", 5}, "Zm9vYmE="},
        {{"foobar", 6}, "Zm9vYmFy"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        assert_written(vectors[i].bytes, vectors[i].text);
        assert_read(bytes_from_text(vectors[i].text), vectors[i].bytes);
    }
}

static void every_byte_comes_back_at_every_place(void **state)
{
    (void)state;
    char bytes[259];
    char text[400];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 167);
    for (size_t start = 0; start < 3; start++) {
        struct bytes part = bytes_make(bytes + start, sizeof bytes - start);
        base64_write(text, part);
        assert_read(bytes_make(text, base64_length(part.length)), part);
    }
}

static void both_alphabets_are_read(void **state)
{
    (void)state;
    assert_written(BYTES("\xfb\xff\xbf"), "+/+/");
    READ("+/+/", "\xfb\xff\xbf");
    READ("-_-_", "\xfb\xff\xbf");
    READ("+_-/", "\xfb\xff\xbf");
}

/* What Node 20's Buffer.from(text, 'base64') gives. */
static void what_is_no_base64_is_read_as_node_reads_it(void **state)
{
    (void)state;
    READ("YQ", "a");
    READ("YQ=", "a");
    READ("YWI", "ab");
    READ("A", "");
    READ("AAA", "\0\0");
    READ("YR", "a"); /* bits to spare */
    READ("YWJjZ", "abc");
    READ("YW\nI=", "ab");
    READ("\0Y Q = =", "a");
    READ("\xc3\xa9Y\xffQ==", "a");
    READ("Y=Q", "");
    READ("=YQ==", "");
    READ("YQ==YQ==", "a");
    READ("YWJjZ=YY=", "abc");
    READ("====", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_rfc_4648_10),
        cmocka_unit_test(every_byte_comes_back_at_every_place),
        cmocka_unit_test(both_alphabets_are_read),
        cmocka_unit_test(what_is_no_base64_is_read_as_node_reads_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
