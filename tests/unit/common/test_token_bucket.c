/* Token buckets: bursts, averages, and what time does to them. */
#include "tests/unit/common/test.h"

#include "common/token_bucket.h"

enum { SECOND = 1000000 };

static const struct token_rate rate = {.per_second = 50, .burst = 100};

/* How many of count can be taken at that time. */
static unsigned take(struct token_bucket *bucket, unsigned count, uint64_t now)
{
    unsigned taken = 0;

    while (count--)
        taken += token_bucket_take(bucket, &rate, now);
    return taken;
}

static void a_new_one_gives_its_burst(void **state)
{
    struct token_bucket bucket = {0};

    (void)state;
    assert_int_equal(token_bucket_left(&bucket, &rate, 0), 100);
    assert_int_equal(take(&bucket, 1000, 0), 100);
    assert_int_equal(token_bucket_left(&bucket, &rate, 0), 0);
    bucket = (struct token_bucket){0};
    assert_int_equal(take(&bucket, 1000, 5000ULL * SECOND), 100);
}

static void it_fills_at_its_rate_and_no_further(void **state)
{
    struct token_bucket bucket = {0};

    (void)state;
    take(&bucket, 100, SECOND);
    assert_int_equal(take(&bucket, 10, SECOND + 19999), 0);
    assert_int_equal(take(&bucket, 10, SECOND + 20000), 1);
    assert_int_equal(take(&bucket, 1000, 2 * SECOND), 49);
    assert_int_equal(take(&bucket, 1000, 3600ULL * SECOND), 100);
}

static void a_steady_stream_at_the_rate_always_passes(void **state)
{
    struct token_bucket bucket = {0};
    uint64_t now = SECOND;

    (void)state;
    take(&bucket, 100, now);
    for (unsigned i = 0; i < 10000; i++) {
        now += 20000;
        assert_true(token_bucket_take(&bucket, &rate, now));
    }
    assert_false(token_bucket_take(&bucket, &rate, now));
}

static void refusals_take_nothing(void **state)
{
    struct token_bucket bucket = {0};

    (void)state;
    take(&bucket, 100000, SECOND);
    assert_int_equal(token_bucket_left(&bucket, &rate, 2 * SECOND), 50);
    assert_false(token_bucket_is_full(&bucket, 3 * SECOND - 1));
    assert_true(token_bucket_is_full(&bucket, 3 * SECOND));
}

static void no_rate_is_no_limit(void **state)
{
    static const struct token_rate none = {0};
    struct token_bucket bucket = {0};

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        assert_true(token_bucket_take(&bucket, &none, 7));
    assert_int_equal(bucket.full_at, 0);
    assert_int_equal(token_bucket_left(&bucket, &none, 7), UINT32_MAX);
}

static void a_burst_of_none_is_one(void **state)
{
    static const struct token_rate single = {.per_second = 1};
    struct token_bucket bucket = {0};

    (void)state;
    assert_true(token_bucket_take(&bucket, &single, 10));
    assert_false(token_bucket_take(&bucket, &single, 10));
    assert_true(token_bucket_take(&bucket, &single, 10 + SECOND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_one_gives_its_burst),
        cmocka_unit_test(it_fills_at_its_rate_and_no_further),
        cmocka_unit_test(a_steady_stream_at_the_rate_always_passes),
        cmocka_unit_test(refusals_take_nothing),
        cmocka_unit_test(no_rate_is_no_limit),
        cmocka_unit_test(a_burst_of_none_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
