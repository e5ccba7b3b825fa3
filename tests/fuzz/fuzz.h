/* What every driver needs. */
#ifndef HUBBUB_TESTS_FUZZ_FUZZ_H
#define HUBBUB_TESTS_FUZZ_FUZZ_H

#include "common/bytes.h"
#include "common/memory.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run, with the input kept, unless a property holds. */
static inline void require(bool holds)
{
    if (!holds)
        abort();
}

/* The bytes in memory that ends where they do, so that a step beyond them is seen; to be freed. */
static inline char *copy_of(struct bytes bytes)
{
    char *copy = memory_new(bytes.length + !bytes.length);
    if (bytes.length)
        memcpy(copy, bytes.data, bytes.length);
    return copy;
}

/* Takes up to that many bytes from the front. */
static inline struct bytes take_front(struct bytes *rest, size_t length)
{
    struct bytes front = bytes_make(rest->data, length < rest->length ? length : rest->length);
    *rest = bytes_make(rest->data + front.length, rest->length - front.length);
    return front;
}

#endif
