/* Comparing and parsing borrowed bytes. */
#include "tests/unit/common/test.h"

#include "common/bytes.h"
#include "common/error.h"

#include <limits.h>

static void equality_is_bytewise_and_empty_equals_absent(void **state)
{
    (void)state;
    assert_true(bytes_equal(BYTES("room"), BYTES("room")));
    assert_false(bytes_equal(BYTES("room"), BYTES("Room")));
    assert_false(bytes_equal(BYTES("room"), BYTES("roo")));
    assert_true(bytes_equal(BYTES("a\0b"), BYTES("a\0b")));
    assert_false(bytes_equal(BYTES("a\0b"), BYTES("a\0c")));
    assert_true(bytes_equal(BYTES(""), (struct bytes){NULL, 0}));
    assert_true(bytes_equal_text((struct bytes){NULL, 0}, NULL));
    assert_false(bytes_equal_text(BYTES("a\0"), "a"));
}

static void prefixes(void **state)
{
    (void)state;
    assert_true(bytes_starts_with(BYTES("anon:x"), BYTES("anon:")));
    assert_true(bytes_starts_with(BYTES("anon:"), BYTES("anon:")));
    assert_true(bytes_starts_with(BYTES("x"), (struct bytes){NULL, 0}));
    assert_false(bytes_starts_with(BYTES("anon"), BYTES("anon:")));
    assert_false(bytes_starts_with(BYTES("Anon:"), BYTES("anon:")));
}

static void only_ascii_letters_lose_their_case(void **state)
{
    (void)state;
    assert_true(bytes_equal_nocase(BYTES("UpGrAdE"), BYTES("upgrade")));
    assert_true(bytes_equal_nocase(BYTES("AZaz"), BYTES("azAZ")));
    assert_false(bytes_equal_nocase(BYTES("@["), BYTES("`{")));
    assert_false(bytes_equal_nocase(BYTES("\xc4"), BYTES("\xe4")));
    assert_false(bytes_equal_nocase(BYTES("keep"), BYTES("keep-alive")));
}

static void decimal_numbers_and_nothing_else(void **state)
{
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "0x1", "1e3", "18446744073709551616", "99999999999999999999999"};
    unsigned long long value = 42;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(bytes_parse_u64(bytes_from_text(bad[i]), &value), ERROR_MALFORMED);
    assert_int_equal(value, 42);
    assert_int_equal(bytes_parse_u64(BYTES("0"), &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(bytes_parse_u64(BYTES("007"), &value), 0);
    assert_int_equal(value, 7);
    assert_int_equal(bytes_parse_u64(BYTES("18446744073709551615"), &value), 0);
    assert_true(value == ULLONG_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_is_bytewise_and_empty_equals_absent),
        cmocka_unit_test(prefixes),
        cmocka_unit_test(only_ascii_letters_lose_their_case),
        cmocka_unit_test(decimal_numbers_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
