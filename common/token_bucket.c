/*
 * Token buckets; see token_bucket.h.  Called for every event of a client when a rate is set.  The surprising
 * rule: the bucket's only state is a time, and what is missing in it is how far away that is.
 */
#include "common/token_bucket.h"

enum { SECOND_US = 1000000 };

static uint32_t burst_of(const struct token_rate *rate)
{
    return rate->burst ? rate->burst : 1;
}

/* How long one token takes to come. */
static uint64_t token_us(const struct token_rate *rate)
{
    return SECOND_US / rate->per_second;
}

bool token_bucket_take(struct token_bucket *bucket, const struct token_rate *rate, uint64_t now_us)
{
    uint64_t full_at = bucket->full_at > now_us ? bucket->full_at : now_us;

    if (rate->per_second == 0)
        return true;
    full_at += token_us(rate);
    if (full_at - now_us > burst_of(rate) * token_us(rate))
        return false;
    bucket->full_at = full_at;
    return true;
}

uint32_t token_bucket_left(const struct token_bucket *bucket, const struct token_rate *rate, uint64_t now_us)
{
    uint64_t missing = bucket->full_at > now_us ? bucket->full_at - now_us : 0;
    uint64_t whole = rate->per_second ? burst_of(rate) * token_us(rate) : 0;

    if (rate->per_second == 0)
        return UINT32_MAX;
    return missing >= whole ? 0 : (uint32_t)((whole - missing) / token_us(rate));
}
