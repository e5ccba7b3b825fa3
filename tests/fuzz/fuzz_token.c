/* Any bytes as a token, and as the claims of one whose signature is good: what is taken is a grant, and nothing
 * is taken without a signature. */
#include "fuzz.h"
#include "gateway/token.h"
#include "proto/grant.h"

static struct token_key keys[] = {{.id = "k", .algorithm = TOKEN_HS256}};
static struct token_policy policy = {.leeway = 5000,
                                     .keys = keys,
                                     .key_count = 1,
                                     .rights = "{\"join\":[\"lobby\"],\"publish\":[],\"read\":[]}"};

static void check_grant(struct bytes text)
{
    struct grant_table table;
    struct grant *grant;

    grant_table_init(&table);
    require(grant_parse(&table, text, &grant) == 0);
    require(grant->expires > 0 && grant->sub_length > 0);
    grant_free(grant);
    grant_table_done(&table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t now = 1700000000000;
    char *copy = copy_of(bytes_make((const char *)data, size));
    struct bytes input = bytes_make(copy, size);
    struct buffer grant = {0};
    const char *why;

    if (!keys[0].key.length)
        buffer_append_literal(&keys[0].key, "a secret that no input of this driver can know");
    require(token_verify(&policy, input, now, &grant, &why) != TOKEN_GOOD && why && grant.length == 0);
    if (token_judge(&policy, input, now, &grant, &why) == TOKEN_GOOD)
        check_grant(buffer_bytes(&grant));
    else
        require(why && grant.length == 0);
    buffer_done(&grant);
    free(copy);
    return 0;
}
