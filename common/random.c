/* Unpredictable bytes: getrandom() in pages, so that an id costs no system call of its own. */
#include "common/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { POOL_SIZE = 2048 };

static _Thread_local struct {
    uint8_t bytes[POOL_SIZE];
    size_t left;
} pool;

static void refill(void)
{
    size_t got = 0;

    while (got < POOL_SIZE) {
        ssize_t n = getrandom(pool.bytes + got, POOL_SIZE - got, 0);

        if (n < 0 && errno != EINTR) {
            perror("getrandom");
            abort();
        }
        if (n > 0)
            got += (size_t)n;
    }
    pool.left = POOL_SIZE;
}

void random_bytes(void *out, size_t length)
{
    uint8_t *to = out;

    while (length) {
        size_t n = length;

        if (pool.left == 0)
            refill();
        if (n > pool.left)
            n = pool.left;
        pool.left -= n;
        memcpy(to, pool.bytes + pool.left, n);
        memset(pool.bytes + pool.left, 0, n); /* what was handed out must not be readable later */
        to += n;
        length -= n;
    }
}

uint64_t random_u64(void)
{
    uint64_t value;

    random_bytes(&value, sizeof value);
    return value;
}

void random_id(char *out, size_t length)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    random_bytes(out, length);
    for (size_t i = 0; i < length; i++)
        out[i] = alphabet[(uint8_t)out[i] & 63];
    if (length && out[0] == '-') {
        char first;

        random_id(&first, 1);
        out[0] = first;
    }
}
