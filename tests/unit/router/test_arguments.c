/* What programs may send as arguments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/arguments.h"

#include "common/buffer.h"
#include "proto/wire.h"

static int check(const char *arguments, unsigned attachments)
{
    struct wire_list list = {0};
    int result;

    for (unsigned i = 0; i < attachments; i++)
        wire_list_put_blob(&list, BYTES("blob"));
    result = arguments_check(bytes_from_text(arguments),
                             attachments ? wire_list_finish(&list) : (struct bytes){0});
    wire_list_done(&list);
    return result;
}

static void test_texts(void **state)
{
    static const char *const good[] = {"", "1", " 1 , {\"a\":[]} ", "\"\xc3\xa4\",null",
                                       "{\"_placeholder\":true,\"num\":7}"};
    static const char *const bad[] = {" ", "\n", ",", "1,", ",1", "1 2", "1],[2", "{", "\"\xff\"", "nul"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(check(good[i], 0), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(check(bad[i], 0), ERROR_MALFORMED);
}

/* The packet's own array is the first level. */
static void test_depth(void **state)
{
    (void)state;
    for (size_t depth = 127; depth <= 128; depth++) {
        struct buffer text = {0};

        for (size_t i = 0; i < depth; i++)
            buffer_append_char(&text, '[');
        for (size_t i = 0; i < depth; i++)
            buffer_append_char(&text, ']');
        assert_int_equal(arguments_check(buffer_bytes(&text), (struct bytes){0}),
                         depth == 127 ? 0 : ERROR_TOO_DEEP);
        buffer_done(&text);
    }
}

static void test_attachments(void **state)
{
    (void)state;
    assert_int_equal(check("{\"_placeholder\":true,\"num\":1},2", 2), 0);
    assert_int_equal(check("{\"_placeholder\":true,\"num\":2}", 2), ERROR_MALFORMED);
    assert_int_equal(check("", 1), 0);
    assert_int_equal(check("1", 10), 0);
    assert_int_equal(check("1", 11), ERROR_TOO_LARGE);
    assert_int_equal(arguments_check(BYTES("1"), BYTES("\x91\x01")), ERROR_MALFORMED);
    assert_int_equal(arguments_check(BYTES("1"), BYTES("\xc1")), ERROR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_attachments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
