/* Allocation that aborts when memory is out; see memory.h. */
#include "common/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *check(void *memory)
{
    if (!memory) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *memory_new(size_t size)
{
    return check(malloc(size ? size : 1));
}

void *memory_zero(size_t count, size_t size)
{
    return check(calloc(count ? count : 1, size ? size : 1));
}

void *memory_resize(void *old, size_t size)
{
    return check(realloc(old, size ? size : 1));
}

char *memory_text(const char *text, size_t length)
{
    char *copy = memory_new(length + 1);

    if (length)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}
