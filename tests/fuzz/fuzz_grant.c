/* Any bytes as a grant: what is taken comes out as a grant that allows the same. */
#include "fuzz.h"
#include "proto/grant.h"

static void check(struct grant_table *table, const struct grant *grant)
{
    static const struct bytes rooms[] = {{"", 0},       {"a", 1},     {"lobby", 5},
                                         {"team-1", 6}, {"{sub}", 5}, {"*", 1}};
    struct buffer text = {0};
    struct grant *again;

    grant_append_text(grant, &text);
    require(grant_parse(table, buffer_bytes(&text), &again) == 0);
    require(again->rights == grant->rights && again->expires == grant->expires);
    require(bytes_equal(grant_sub(again), grant_sub(grant)));
    require(grant_sub(grant).length == 0 || grant_sub_valid(grant_sub(grant)));
    for (enum right right = 0; right < RIGHTS; right++)
        for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
            require(grant_allows(again, right, rooms[i]) == grant_allows(grant, right, rooms[i]));
    grant_free(again);
    buffer_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = copy_of(bytes_make((const char *)data, size));
    struct grant_table table;
    struct grant *grant;

    grant_table_init(&table);
    if (grant_parse(&table, bytes_make(copy, size), &grant) == 0) {
        check(&table, grant);
        grant_free(grant);
    }
    grant_table_done(&table);
    free(copy);
    return 0;
}
