/*
 * The table of namespaces and who uses them; see namespace.h.  Sessions and rooms hold them, connecting and
 * the link's hello make them.  Its one surprising rule: those that the configuration names are held by the
 * table itself, so they are found and released like any other and never go.
 */
#include "router/namespace.h"

#include "common/memory.h"

#include <assert.h>
#include <stdlib.h>

static struct bytes name_key(const void *entry)
{
    const struct namespace *namespace = entry;

    return namespace->name;
}

/* Held for the caller. */
static struct namespace *namespace_new(struct namespace_table *table, const struct namespace_config *config,
                                       struct bytes name)
{
    struct namespace *namespace = memory_zero(1, sizeof *namespace + name.length);

    memcpy(namespace->text, name.data, name.length);
    namespace->config = config;
    namespace->name = bytes_make(namespace->text, name.length);
    namespace->references = 1;
    table_insert(&table->by_name, namespace);
    return namespace;
}

static void namespace_free(struct namespace *namespace)
{
    free(namespace->links);
    free(namespace);
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
    struct namespace *namespace;
    uint32_t cursor = 0;

    while ((namespace = table_next(&table->by_name, &cursor)))
        namespace_free(namespace);
    table_done(&table->by_name);
}

struct namespace *namespace_find(const struct namespace_table *table, struct bytes name)
{
    return table_find(&table->by_name, name);
}

struct namespace *namespace_recall(struct namespace_table *table, struct bytes name)
{
    struct namespace *namespace = namespace_find(table, name);
    const struct namespace_config *config;

    if (namespace)
        return namespace_hold(namespace);
    config = namespaces_find(table->list, name);
    return config ? namespace_new(table, config, name) : NULL;
}

int namespace_open(struct namespace_table *table, struct bytes name, struct namespace **out)
{
    struct namespace *namespace = namespace_recall(table, name);

    if (!namespace)
        return ERROR_NOT_FOUND;
    if (namespace->config->is_pattern && namespace->link_count == 0 && table->in_use >= table->limit) {
        namespace_release(table, namespace);
        return ERROR_BUSY;
    }
    *out = namespace;
    return 0;
}

void namespace_release(struct namespace_table *table, struct namespace *namespace)
{
    assert(namespace->references > 0);
    if (--namespace->references)
        return;
    assert(namespace->link_count == 0);
    table_remove(&table->by_name, namespace);
    namespace_free(namespace);
}

static struct namespace_link *find_link(const struct namespace *namespace, const struct gateway_link *link)
{
    for (uint32_t i = 0; i < namespace->link_count; i++)
        if (namespace->links[i].link == link)
            return &namespace->links[i];
    return NULL;
}

bool namespace_has_link(const struct namespace *namespace, const struct gateway_link *link)
{
    return find_link(namespace, link);
}

void namespace_add_socket(struct namespace_table *table, struct namespace *namespace,
                          struct gateway_link *link)
{
    struct namespace_link *entry = find_link(namespace, link);

    if (!entry) {
        if (namespace->link_count == namespace->link_capacity) {
            namespace->link_capacity = namespace->link_capacity ? namespace->link_capacity * 2 : 1;
            namespace->links =
                memory_resize(namespace->links, namespace->link_capacity * sizeof *namespace->links);
        }
        table->in_use += namespace->config->is_pattern && namespace->link_count == 0;
        entry = &namespace->links[namespace->link_count++];
        *entry = (struct namespace_link){.link = link};
    }
    entry->sockets++;
}

void namespace_remove_socket(struct namespace_table *table, struct namespace *namespace,
                             struct gateway_link *link)
{
    struct namespace_link *entry = find_link(namespace, link);

    assert(entry && entry->sockets > 0);
    if (--entry->sockets)
        return;
    *entry = namespace->links[--namespace->link_count];
    table->in_use -= namespace->config->is_pattern && namespace->link_count == 0;
}
