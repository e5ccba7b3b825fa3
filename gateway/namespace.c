/*
 * The table of namespaces; see namespace.h.  CONNECT packets make them, sockets hold them.  Its one
 * surprising rule: those that the configuration names are held by the table itself, so they are found and
 * released like any other and never go.
 */
#include "gateway/namespace.h"

#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>

static struct bytes name_key(const void *entry)
{
    const struct namespace_rooms *namespace = entry;

    return namespace->name;
}

/* Held for the caller. */
static struct namespace_rooms *namespace_new(struct namespace_table *table,
                                             const struct namespace_config *config, struct bytes name)
{
    struct namespace_rooms *namespace = memory_new(sizeof *namespace);

    namespace_rooms_init(namespace, config, name);
    namespace->references = 1;
    table->of_patterns += config->is_pattern;
    table_insert(&table->by_name, namespace);
    return namespace;
}

void namespace_table_init(struct namespace_table *table, const struct namespace_list *list, uint32_t limit)
{
    *table = (struct namespace_table){.list = list, .limit = limit};
    table_init(&table->by_name, name_key);
    for (size_t i = 0; i < list->count; i++)
        if (!list->namespaces[i].is_pattern)
            namespace_new(table, &list->namespaces[i], list->namespaces[i].entry);
}

void namespace_table_done(struct namespace_table *table)
{
    struct namespace_rooms *namespace;
    uint32_t cursor = 0;

    assert(table->of_patterns == 0);
    while ((namespace = table_next(&table->by_name, &cursor))) {
        namespace_rooms_done(namespace);
        free(namespace);
    }
    table_done(&table->by_name);
}

struct namespace_rooms *namespace_find(const struct namespace_table *table, struct bytes name)
{
    return table_find(&table->by_name, name);
}

int namespace_open(struct namespace_table *table, struct bytes name, struct namespace_rooms **out)
{
    struct namespace_rooms *namespace = namespace_find(table, name);
    const struct namespace_config *config;

    if (namespace) {
        *out = namespace_hold(namespace);
        return 0;
    }
    config = namespaces_find(table->list, name);
    if (!config)
        return ERROR_NOT_FOUND;
    if (table->of_patterns >= table->limit)
        return ERROR_BUSY;
    *out = namespace_new(table, config, name);
    return 0;
}

void namespace_release(struct namespace_table *table, struct namespace_rooms *namespace)
{
    assert(namespace->references > 0);
    if (--namespace->references)
        return;
    table_remove(&table->by_name, namespace);
    table->of_patterns--;
    namespace_rooms_done(namespace);
    free(namespace);
}
