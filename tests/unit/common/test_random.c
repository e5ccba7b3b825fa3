/* Unpredictable bytes: full length across the pool's edge, the whole alphabet, no repeats. */
#include "tests/unit/common/test.h"

#include "common/random.h"

#include <string.h>

static void requests_across_the_pool_are_filled(void **state)
{
    unsigned char bytes[5000];
    unsigned seen[256] = {0};

    (void)state;
    memset(bytes, 0, sizeof bytes);
    random_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        seen[bytes[i]]++;
    /* 5000 draws from 256 values: each is expected 19.5 times, and 100 would be 18 deviations. */
    for (unsigned i = 0; i < 256; i++)
        assert_in_range(seen[i], 0, 100);
}

static void ids_use_exactly_the_url_safe_alphabet(void **state)
{
    char id[6400];
    unsigned seen[256] = {0};
    unsigned kinds = 0;

    (void)state;
    random_id(id, sizeof id);
    for (size_t i = 0; i < sizeof id; i++) {
        assert_non_null(
            memchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", id[i], 64));
        if (!seen[(unsigned char)id[i]]++)
            kinds++;
    }
    assert_int_equal(kinds, 64);
}

static void no_id_looks_like_an_option(void **state)
{
    char id[20];

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        size_t length = 1 + i % sizeof id;

        random_id(id, length);
        assert_int_not_equal(id[0], '-');
    }
    random_id(id, 0);
}

static void an_id_writes_no_terminator(void **state)
{
    char id[22];

    (void)state;
    memset(id, '!', sizeof id);
    random_id(id, 20);
    assert_null(memchr(id, '!', 20));
    assert_memory_equal(id + 20, "!!", 2);
}

static void numbers_do_not_repeat(void **state)
{
    uint64_t drawn[1000];

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        drawn[i] = random_u64();
        for (unsigned j = 0; j < i; j++)
            assert_true(drawn[j] != drawn[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_across_the_pool_are_filled),
        cmocka_unit_test(ids_use_exactly_the_url_safe_alphabet),
        cmocka_unit_test(no_id_looks_like_an_option),
        cmocka_unit_test(an_id_writes_no_terminator),
        cmocka_unit_test(numbers_do_not_repeat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
