/*
 * The group `tokens`; see token_policy.h.  Settings load it at the start and for each reload.  The surprising
 * rule: a secret that looks like a public key is refused, because everybody who has that public key could
 * sign with it.
 */
#include "gateway/token_policy.h"

#include "common/config.h"
#include "common/memory.h"
#include "common/secret_file.h"
#include "proto/grant.h"
#include "proto/json_text.h"
#include "proto/name.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

static const char *const algorithm_texts[] = {
#define X(name) #name,
    TOKEN_ALGORITHM_TABLE(X)
#undef X
        NULL};

const char *token_algorithm_text(enum token_algorithm algorithm)
{
    return algorithm_texts[algorithm];
}

#define KEY(name_, kind)                                                                                     \
    .section = "tokens", .name = #name_, .type = CONFIG_KEY_##kind, CONFIG_FIELD(struct token_policy, name_)

static const struct config_key keys[] = {
    {KEY(required, BOOL)},
    {KEY(issuer, STRING), .minimum = 1, .maximum = 1024},
    {KEY(audience, STRING), .minimum = 1, .maximum = 1024},
    {KEY(leeway, DURATION), .maximum = 600000},
    {KEY(grace, DURATION), .maximum = 3600000},
};

/* The group by itself, as far as its values stand in a table. */
static const struct config_program group_program = {
    .name = "tokens",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
    .origins = offsetof(struct token_policy, origins),
};

enum { LEEWAY_DEFAULT = 5000, GRACE_DEFAULT = 30000 };

/* A key as the configuration has it. */
struct key_source {
    char *id;
    char *file;
    enum token_algorithm algorithm;
    bool has_algorithm;
};

#define SOURCE_KEY(name_, kind)                                                                              \
    .section = "tokens.keys", .name = #name_, .type = CONFIG_KEY_##kind,                                     \
    CONFIG_FIELD(struct key_source, name_)

static const struct config_key source_keys[] = {
    {SOURCE_KEY(id, STRING), .minimum = 1, .maximum = TOKEN_KEY_ID_MAX},
    {SOURCE_KEY(file, PATH), .minimum = 1},
    {SOURCE_KEY(algorithm, CHOICE), .choices = algorithm_texts},
};

/* -- files ------------------------------------------------------------------------------------ */

static bool contains(struct bytes text, const char *what)
{
    return memmem(text.data, text.length, what, strlen(what)) != NULL;
}

static int check_secret(const char *path, struct buffer *key, struct buffer *error)
{
    struct bytes text = buffer_bytes(key);

    if (text.length && text.data[text.length - 1] == '\n')
        text.length--;
    if (text.length && text.data[text.length - 1] == '\r')
        text.length--;
    if (contains(text, "-----BEGIN") || bytes_starts_with(text, BYTES("ssh-"))) {
        buffer_printf(error, "%s: a key for other algorithms; expected a secret for HS256", path);
        return ERROR_CONFIG;
    }
    if (text.length < TOKEN_SECRET_MIN || text.length > TOKEN_SECRET_MAX) {
        buffer_printf(error, "%s: a secret of %zu bytes; expected %d to %d", path, text.length,
                      TOKEN_SECRET_MIN, TOKEN_SECRET_MAX);
        return ERROR_CONFIG;
    }
    key->length = text.length;
    return 0;
}

static bool is_p256(const EVP_PKEY *key)
{
    char group[32];

    return EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1 &&
           strcmp(group, SN_X9_62_prime256v1) == 0;
}

int token_key_open(struct token_key *key)
{
    BIO *bio;

    if (contains(buffer_bytes(&key->key), "PRIVATE KEY"))
        return ERROR_MALFORMED;
    bio = BIO_new_mem_buf(key->key.data ? key->key.data : "", (int)key->key.length);
    key->opened = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return key->opened ? 0 : ERROR_MALFORMED;
}

void token_key_done(struct token_key *key)
{
    secret_file_wipe(&key->key);
    EVP_PKEY_free(key->opened);
    key->opened = NULL;
}

static int check_public(const char *path, struct token_key *token_key, struct buffer *error)
{
    enum token_algorithm algorithm = token_key->algorithm;
    const EVP_PKEY *key = token_key_open(token_key) < 0 ? NULL : token_key->opened;
    const char *expected = NULL;

    if (!key)
        expected = "a public key as PEM (-----BEGIN PUBLIC KEY-----)";
    else if (algorithm == TOKEN_RS256 &&
             (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_bits(key) < TOKEN_RSA_BITS_MIN))
        expected = "an RSA key of at least 2048 bits for RS256";
    else if (algorithm == TOKEN_ES256 && (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || !is_p256(key)))
        expected = "a key on the curve P-256 for ES256";
    if (expected)
        buffer_printf(error, "%s: not a key for %s; expected %s", path, token_algorithm_text(algorithm),
                      expected);
    return expected ? ERROR_CONFIG : 0;
}

static int read_key(const struct key_source *source, struct token_key *key, struct buffer *error)
{
    bool secret = source->algorithm == TOKEN_HS256;
    int result = secret_file_read(source->file, secret, "the key for tokens", &key->key, error);

    if (result)
        return result;
    return secret ? check_secret(source->file, &key->key, error) : check_public(source->file, key, error);
}

/* -- groups ----------------------------------------------------------------------------------- */

static const struct config_key *find_key(const struct config_key *table, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

static int complain_unknown(const config_setting_t *setting, const char *expected, struct buffer *error)
{
    config_complain(error, setting, "unknown key \"%s\", expected one of: %s", config_setting_name(setting),
                    expected);
    return ERROR_CONFIG;
}

static int read_source(const config_setting_t *group, struct key_source *source, struct buffer *error)
{
    if (!config_setting_is_group(group)) {
        config_complain(error, group,
                        "this is no key for tokens, expected { id = \"..\"; algorithm = \"HS256\"; file = "
                        "\"..\"; }");
        return ERROR_CONFIG;
    }
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);
        const struct config_key *key =
            find_key(source_keys, sizeof source_keys / sizeof *source_keys, config_setting_name(setting));

        if (!key)
            return complain_unknown(setting, "id algorithm file", error);
        if (config_key_load(key, setting, source, error))
            return ERROR_CONFIG;
        source->has_algorithm |= strcmp(key->name, "algorithm") == 0;
    }
    if (!source->has_algorithm || !source->file) {
        config_complain(error, group, "a key for tokens lacks its %s", source->file ? "algorithm" : "file");
        return ERROR_CONFIG;
    }
    return 0;
}

static bool has_key(const struct token_policy *policy, const char *id)
{
    for (size_t i = 0; i < policy->key_count; i++)
        if (policy->keys[i].id && strcmp(policy->keys[i].id, id) == 0)
            return true;
    return false;
}

static int load_key(const config_setting_t *group, struct token_policy *policy, struct buffer *error)
{
    struct key_source source = {0};
    struct token_key *key;
    int result = read_source(group, &source, error);

    if (!result && source.id && has_key(policy, source.id)) {
        config_complain(error, group, "the id \"%s\" stands here twice, expected each once", source.id);
        result = ERROR_CONFIG;
    }
    if (!result) {
        key = &policy->keys[policy->key_count++];
        *key = (struct token_key){.id = source.id, .algorithm = source.algorithm};
        source.id = NULL;
        result = read_key(&source, key, error);
    }
    free(source.id);
    free(source.file);
    return result;
}

static int load_keys(const config_setting_t *list, struct token_policy *policy, struct buffer *error)
{
    int count = config_setting_length(list);

    if (!config_setting_is_list(list) || count < 1 || count > TOKEN_KEYS_MAX) {
        config_complain(error, list, "keys is bad, expected a list of 1 to %d: ( { ... }, ... )",
                        TOKEN_KEYS_MAX);
        return ERROR_CONFIG;
    }
    policy->keys = memory_zero((size_t)count, sizeof *policy->keys);
    for (int i = 0; i < count; i++)
        if (load_key(config_setting_get_elem(list, (unsigned)i), policy, error))
            return ERROR_CONFIG;
    return 0;
}

static int append_patterns(const config_setting_t *list, struct buffer *out, struct buffer *error)
{
    int count = config_setting_length(list);

    if ((!config_setting_is_list(list) && !config_setting_is_array(list)) || count > GRANT_PATTERNS_MAX) {
        config_complain(error, list,
                        "%s is bad, expected a list of at most %d rooms: ( \"lobby\", \"team-*\" )",
                        config_setting_name(list), GRANT_PATTERNS_MAX);
        return ERROR_CONFIG;
    }
    buffer_append_char(out, '[');
    for (int i = 0; i < count; i++) {
        const config_setting_t *setting = config_setting_get_elem(list, (unsigned)i);
        const char *pattern = config_setting_get_string(setting);

        if (!pattern || !grant_pattern_valid(bytes_from_text(pattern))) {
            config_complain(error, setting,
                            "this is no room, expected a text of 1 to %d bytes, perhaps with "
                            "a * at its end",
                            ROOM_NAME_MAX);
            return ERROR_CONFIG;
        }
        if (i)
            buffer_append_char(out, ',');
        json_append_string(out, bytes_from_text(pattern));
    }
    buffer_append_char(out, ']');
    return 0;
}

/* What is published to and read may stand there; else it is what may be joined. */
static int load_rights(const config_setting_t *group, char **out, struct buffer *error)
{
    struct buffer text = {0};
    int result = 0;

    if (!config_setting_is_group(group)) {
        config_complain(error, group, "%s is bad, expected { join = ( \"lobby\" ); }",
                        config_setting_name(group));
        return ERROR_CONFIG;
    }
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);
        const char *name = config_setting_name(setting);

        if (strcmp(name, right_text(RIGHT_JOIN)) != 0 && strcmp(name, right_text(RIGHT_PUBLISH)) != 0 &&
            strcmp(name, right_text(RIGHT_READ)) != 0)
            return complain_unknown(setting, "join publish read", error);
    }
    for (unsigned right = 0; !result && right < RIGHTS; right++) {
        const config_setting_t *list = config_setting_get_member(group, right_text(right));

        if (!list)
            list = config_setting_get_member(group, right_text(RIGHT_JOIN));
        buffer_printf(&text, "%c\"%s\":", right ? ',' : '{', right_text(right));
        if (list)
            result = append_patterns(list, &text, error);
        else
            buffer_append_literal(&text, "[]");
    }
    buffer_append_char(&text, '}');
    if (!result) {
        free(*out);
        *out = memory_text(text.data, text.length);
    }
    buffer_done(&text);
    return result;
}

static int load_value(const struct config_key *key, const config_setting_t *setting,
                      struct token_policy *policy, struct buffer *error)
{
    int result = config_key_load(key, setting, policy, error);
    char *place;

    if (result)
        return result;
    place = config_place(setting);
    config_origin_note(&group_program, key, policy, place);
    free(place);
    return 0;
}

static void note_place(char **origin, const config_setting_t *setting)
{
    free(*origin);
    *origin = config_place(setting);
}

static int load_setting(const config_setting_t *setting, struct token_policy *policy, struct buffer *error)
{
    const char *name = config_setting_name(setting);
    const struct config_key *key = find_key(keys, sizeof keys / sizeof *keys, name);

    if (key)
        return load_value(key, setting, policy, error);
    if (strcmp(name, "keys") == 0) {
        note_place(&policy->keys_origin, setting);
        return load_keys(setting, policy, error);
    }
    if (strcmp(name, "rights") == 0) {
        note_place(&policy->rights_origin, setting);
        return load_rights(setting, &policy->rights, error);
    }
    if (strcmp(name, "anonymous") == 0) {
        note_place(&policy->anonymous_origin, setting);
        return load_rights(setting, &policy->anonymous, error);
    }
    return complain_unknown(setting, "required issuer audience leeway grace keys rights anonymous", error);
}

int token_policy_load(const config_t *file, struct token_policy **out, struct buffer *error)
{
    const config_setting_t *group = config_lookup(file, "tokens");
    struct token_policy *policy;
    int result = 0;

    if (!group) {
        *out = NULL;
        return 0;
    }
    policy = memory_zero(1, sizeof *policy);
    policy->leeway = LEEWAY_DEFAULT;
    policy->grace = GRACE_DEFAULT;
    if (!config_setting_is_group(group)) {
        config_complain(error, group, "tokens is bad, expected { keys = ( ... ); ... }");
        result = ERROR_CONFIG;
    }
    for (int i = 0; !result && i < config_setting_length(group); i++)
        result = load_setting(config_setting_get_elem(group, (unsigned)i), policy, error);
    if (!result && policy->key_count == 0) {
        config_complain(error, group, "tokens has no keys, expected keys = ( { ... } )");
        result = ERROR_CONFIG;
    }
    if (result)
        token_policy_free(policy);
    else
        *out = policy;
    return result;
}

void token_policy_describe(const struct token_policy *policy, config_visit *visit, void *argument)
{
    struct buffer list = {0};

    if (!policy) {
        visit(argument, "tokens.keys", NULL, "default");
        return;
    }
    for (size_t i = 0; i < policy->key_count; i++)
        buffer_printf(&list, "%s%s:%s", i ? " " : "", policy->keys[i].id ? policy->keys[i].id : "-",
                      token_algorithm_text(policy->keys[i].algorithm));
    buffer_append_char(&list, '\0');
    config_describe(&group_program, policy, visit, argument);
    visit(argument, "tokens.keys", list.data, config_origin_text(policy->keys_origin));
    visit(argument, "tokens.rights", policy->rights, config_origin_text(policy->rights_origin));
    visit(argument, "tokens.anonymous", policy->anonymous, config_origin_text(policy->anonymous_origin));
    buffer_done(&list);
}

void token_policy_free(struct token_policy *policy)
{
    if (!policy)
        return;
    for (size_t i = 0; i < policy->key_count; i++) {
        token_key_done(&policy->keys[i]);
        free(policy->keys[i].id);
    }
    free(policy->keys);
    free(policy->issuer);
    free(policy->audience);
    free(policy->rights);
    free(policy->anonymous);
    config_origins_done(&group_program, policy);
    free(policy->keys_origin);
    free(policy->rights_origin);
    free(policy->anonymous_origin);
    free(policy);
}
