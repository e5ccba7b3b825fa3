/*
 * Rules read again; see rules_reload.h.  Owns nothing; reload.c of router and gateway calls it.  Surprising:
 * rules that are the same change places, too, so that what is shown of them has the lines of the file as it
 * is.
 */
#include "proto/rules_reload.h"

#include <assert.h>

static bool is_same_namespace(const struct namespace_config *one, const struct namespace_config *other)
{
    return bytes_equal(one->entry, other->entry) && one->is_pattern == other->is_pattern &&
           one->builtin == other->builtin && one->recovery == other->recovery &&
           one->backend == other->backend && one->tokens == other->tokens;
}

enum namespaces_change namespaces_compare(const struct namespace_list *one,
                                          const struct namespace_list *other)
{
    if (one->count != other->count)
        return NAMESPACES_OTHER;
    for (size_t i = 0; i < one->count; i++)
        if (!is_same_namespace(&one->namespaces[i], &other->namespaces[i]))
            return NAMESPACES_OTHER;
    return namespaces_digest(one) == namespaces_digest(other) ? NAMESPACES_SAME : NAMESPACES_RULES;
}

void namespaces_exchange_rules(struct namespace_list *one, struct namespace_list *other)
{
    assert(one->count == other->count);
    for (size_t i = 0; i < one->count; i++) {
        struct namespace_config *a = &one->namespaces[i], *b = &other->namespaces[i];
        struct rule_set rules = a->rules;
        char *origin = a->origin;

        a->rules = b->rules;
        a->origin = b->origin;
        b->rules = rules;
        b->origin = origin;
    }
}
