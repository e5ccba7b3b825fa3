/*
 * The namespaces that this gateway serves at the moment: those that the configuration names, and those of its
 * patterns that sockets here are in.
 */
#ifndef HUBBUB_GATEWAY_NAMESPACE_H
#define HUBBUB_GATEWAY_NAMESPACE_H

#include "common/error.h"
#include "gateway/room.h"

struct namespace_table {
    struct table by_name; /* of struct namespace_rooms */
    const struct namespace_list *list;
    uint32_t limit; /* of those of patterns */
    uint32_t of_patterns;
    uint32_t room_count; /* of all namespaces; for room.c */
};

void namespace_table_init(struct namespace_table *table, const struct namespace_list *list, uint32_t limit);

/* Those of patterns must be gone, the rooms of all empty. */
void namespace_table_done(struct namespace_table *table);

/* NULL when no socket here is in it and the configuration does not name it. */
struct namespace_rooms *namespace_find(const struct namespace_table *table, struct bytes name);

/*
 * For a socket that wants to be in it: made if need be, and held for the caller.  ERROR_NOT_FOUND when the
 * configuration serves no such name; ERROR_BUSY when it would be one more of a pattern than there may be.
 */
int namespace_open(struct namespace_table *table, struct bytes name, struct namespace_rooms **out) MUST_CHECK;

static inline struct namespace_rooms *namespace_hold(struct namespace_rooms *namespace)
{
    namespace->references++;
    return namespace;
}

/* Gives back a hold; frees what came from a pattern with the last one. */
void namespace_release(struct namespace_table *table, struct namespace_rooms *namespace);

#endif
