/*
 * The namespaces that the router knows of at the moment: those that the configuration names, and those that
 * clients have made out of its patterns.
 *
 * One that came from a pattern lives as long as something holds it: a session, a room (which lives as long as
 * members, messages in memory or tickets need it).  Only those with sockets count for the limit; the others
 * cost no more than the rooms and messages that hold them, which have limits of their own.
 */
#ifndef HUBBUB_ROUTER_NAMESPACE_H
#define HUBBUB_ROUTER_NAMESPACE_H

#include "common/error.h"
#include "common/table.h"
#include "proto/rules.h"

struct gateway_link;

/* Of a room, a namespace or a session that may have got messages before the router knew it. */
#define LAST_POS_UNKNOWN UINT64_MAX

/* How many of its sockets a gateway holds. */
struct namespace_link {
    struct gateway_link *link;
    uint32_t sockets;
};

struct namespace
{
    const struct namespace_config *config;
    struct bytes name; /* the concrete one; lives as long as this */
    uint32_t references;
    uint32_t waiting; /* tickets of its rooms that the journal has */
    uint32_t link_count, link_capacity;
    struct namespace_link *links; /* the ones with sockets, on the heap */
    uint64_t last_pos;            /* of the last message for all of it */
    char text[];
};

struct namespace_table {
    struct table by_name;
    const struct namespace_list *list;
    uint32_t limit;  /* of those of patterns with sockets */
    uint32_t in_use; /* so many there are */
};

void namespace_table_init(struct namespace_table *table, const struct namespace_list *list, uint32_t limit);

/* Frees all, whoever holds them. */
void namespace_table_done(struct namespace_table *table);

/* NULL when it is not known at the moment: then it has no sockets and no rooms either. */
struct namespace *namespace_find(const struct namespace_table *table, struct bytes name);

/*
 * For a socket that wants to be in it: made if need be, and held for the caller.  ERROR_NOT_FOUND when the
 * configuration serves no such name; ERROR_BUSY when it would be one more of a pattern than may have sockets.
 */
int namespace_open(struct namespace_table *table, struct bytes name, struct namespace **out) MUST_CHECK;

/* For a message that there is: the same, without the limit.  NULL when the configuration serves no such name.
 */
struct namespace *namespace_recall(struct namespace_table *table, struct bytes name);

static inline struct namespace *namespace_hold(struct namespace *namespace)
{
    namespace->references++;
    return namespace;
}

/* Gives back a hold; frees what came from a pattern with the last one. */
void namespace_release(struct namespace_table *table, struct namespace *namespace);

/* Counts a socket of that gateway, and takes one back. The caller holds the namespace. */
void namespace_add_socket(struct namespace_table *table, struct namespace *namespace,
                          struct gateway_link *link);
void namespace_remove_socket(struct namespace_table *table, struct namespace *namespace,
                             struct gateway_link *link);

/* Whether that gateway holds sockets of it. */
bool namespace_has_link(const struct namespace *namespace, const struct gateway_link *link);

#endif
