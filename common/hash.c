/* SipHash with one compression and three finalisation rounds (Aumasson and Bernstein, 2012). */
#include "common/hash.h"

#include "common/random.h"

#include <pthread.h>

static uint64_t process_key[2];
static pthread_once_t process_key_once = PTHREAD_ONCE_INIT;

static void make_process_key(void)
{
    random_bytes(process_key, sizeof process_key);
}

static uint64_t rotate(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

uint64_t hash_bytes_keyed(struct bytes bytes, uint64_t key0, uint64_t key1)
{
    uint64_t v[4] = {key0 ^ 0x736f6d6570736575ULL, key1 ^ 0x646f72616e646f6dULL, key0 ^ 0x6c7967656e657261ULL,
                     key1 ^ 0x7465646279746573ULL};
    uint64_t last = (uint64_t)bytes.length << 56;
    size_t whole = bytes.length & ~(size_t)7;

    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word;

        memcpy(&word, bytes.data + i, sizeof word);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = whole; i < bytes.length; i++)
        last |= (uint64_t)(uint8_t)bytes.data[i] << (8 * (i - whole));
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_bytes(struct bytes bytes)
{
    pthread_once(&process_key_once, make_process_key);
    return hash_bytes_keyed(bytes, process_key[0], process_key[1]);
}
