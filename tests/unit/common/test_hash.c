/* SipHash-1-3 against CPython's, which hashes bytes with it (PYTHONHASHSEED=0 makes the key all zero). */
#include "tests/unit/common/test.h"

#include "common/hash.h"

static void it_agrees_with_another_implementation(void **state)
{
    char counting[64];

    (void)state;
    for (unsigned i = 0; i < sizeof counting; i++)
        counting[i] = (char)i;
    assert_true(hash_bytes_keyed(BYTES("a"), 0, 0) == 0x407448d2b89b1813);
    assert_true(hash_bytes_keyed(BYTES("abc"), 0, 0) == 0xc03bc3a0042630f2);
    assert_true(hash_bytes_keyed(BYTES("1234567"), 0, 0) == 0xa33d651594fdae81);
    assert_true(hash_bytes_keyed(BYTES("12345678"), 0, 0) == 0x3489982430560a87);
    assert_true(hash_bytes_keyed(BYTES("123456789"), 0, 0) == 0x0fbc0f0007965fcf);
    assert_true(hash_bytes_keyed(bytes_make(counting, sizeof counting), 0, 0) == 0x75e05fd5bbc870c6);
}

static void both_halves_of_the_key_and_every_byte_count(void **state)
{
    uint64_t reference = hash_bytes_keyed(BYTES("room-1"), 1, 2);

    (void)state;
    assert_true(hash_bytes_keyed(BYTES("room-1"), 1, 2) == reference);
    assert_true(hash_bytes_keyed(BYTES("room-1"), 2, 2) != reference);
    assert_true(hash_bytes_keyed(BYTES("room-1"), 1, 3) != reference);
    assert_true(hash_bytes_keyed(BYTES("room-2"), 1, 2) != reference);
    assert_true(hash_bytes_keyed(BYTES("room-1\0"), 1, 2) != reference);
}

static void one_process_has_one_key(void **state)
{
    (void)state;
    assert_true(hash_bytes(BYTES("room-1")) == hash_bytes(BYTES("room-1")));
    assert_true(hash_bytes(BYTES("room-1")) != hash_bytes_keyed(BYTES("room-1"), 0, 0));
    assert_true(hash_bytes((struct bytes){NULL, 0}) == hash_bytes(BYTES("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_another_implementation),
        cmocka_unit_test(both_halves_of_the_key_and_every_byte_count),
        cmocka_unit_test(one_process_has_one_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
