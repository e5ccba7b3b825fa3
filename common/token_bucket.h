/*
 * Token buckets: so many things a second on average, and a burst of them at once.
 *
 * A bucket is one number, the time at which it will be full again (the generic cell rate algorithm of ITU-T
 * I.371), so one that nobody uses needs no refilling. Times are microseconds of a clock that does not go back.
 */
#ifndef HUBBUB_COMMON_TOKEN_BUCKET_H
#define HUBBUB_COMMON_TOKEN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* per_second 0: no limit at all, and buckets are not touched.  burst 0 counts as 1. */
struct token_rate {
    uint32_t per_second; /* at most 1,000,000 */
    uint32_t burst;      /* tokens of a full bucket */
};

/* Zero-initialised is full. */
struct token_bucket {
    uint64_t full_at;
};

/* Takes one out; false when there is none. */
bool token_bucket_take(struct token_bucket *bucket, const struct token_rate *rate, uint64_t now_us);

/* Whole tokens that are in it. */
uint32_t token_bucket_left(const struct token_bucket *bucket, const struct token_rate *rate, uint64_t now_us);

/* Whether it says nothing any more: it is full. */
static inline bool token_bucket_is_full(const struct token_bucket *bucket, uint64_t now_us)
{
    return bucket->full_at <= now_us;
}

#endif
