/* Allocation that aborts when memory is out, for control paths and bounded sizes. */
#ifndef HUBBUB_COMMON_MEMORY_H
#define HUBBUB_COMMON_MEMORY_H

#include <stddef.h>

/* Uninitialised; never NULL.  Free with free(). */
void *memory_new(size_t size) __attribute__((malloc, returns_nonnull));

/* All zero; never NULL. */
void *memory_zero(size_t count, size_t size) __attribute__((malloc, returns_nonnull));

/* realloc() that never returns NULL. */
void *memory_resize(void *old, size_t size) __attribute__((returns_nonnull));

/* A terminated copy; never NULL. */
char *memory_text(const char *text, size_t length) __attribute__((malloc, returns_nonnull));

/* Appends an item to a list that grows; count and capacity are its own, and all are evaluated more than once. */
#define MEMORY_PUSH(list, count, capacity, item)                                                             \
    do {                                                                                                     \
        if ((count) == (capacity)) {                                                                         \
            (capacity) = (capacity) ? (capacity)*2 : 64;                                                     \
            (list) = memory_resize((list), (capacity) * sizeof *(list));                                     \
        }                                                                                                    \
        (list)[(count)++] = (item);                                                                          \
    } while (0)

#endif
