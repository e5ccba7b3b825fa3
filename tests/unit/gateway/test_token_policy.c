/* The group `tokens`: what it may say, and which keys it takes. */
#include "gateway/token_policy.h"

#include "common/memory.h"
#include "tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/hubbub-tokens-XXXXXX";

/* Loads a group whose keys are named by their files alone. */
static int load(const char *group, struct token_policy **out, struct buffer *error)
{
    config_t file;
    int result;

    config_init(&file);
    if (!config_read_string(&file, group))
        fail_msg("%s: %s", config_error_text(&file), group);
    result = token_policy_load(&file, out, error);
    buffer_append_char(error, '\0');
    config_destroy(&file);
    return result;
}

static char *group_of(const char *scalars, const char *algorithm, const char *path)
{
    struct buffer text = {0};

    buffer_printf(&text, "tokens = { %s keys = ( { id = \"k\"; algorithm = \"%s\"; file = \"%s\"; } ); };%c",
                  scalars, algorithm, path, '\0');
    return text.data;
}

static void expect_refused(const char *group, const char *what)
{
    struct token_policy *policy = NULL;
    struct buffer error = {0};

    assert_int_equal(load(group, &policy, &error), ERROR_CONFIG);
    assert_null(policy);
    if (!strstr(error.data, what) || strstr(error.data, "secret of thirty"))
        fail_msg("%s", error.data);
    buffer_done(&error);
}

static void expect_key(const char *algorithm, struct bytes text, unsigned mode, const char *refusal)
{
    char *path = tokens_write_file(folder, "key", text, mode), *group = group_of("", algorithm, path);
    struct token_policy *policy = NULL;
    struct buffer error = {0};

    if (refusal) {
        expect_refused(group, refusal);
    } else {
        assert_int_equal(load(group, &policy, &error), 0);
        assert_string_equal(token_algorithm_text(policy->keys[0].algorithm), algorithm);
    }
    token_policy_free(policy);
    buffer_done(&error);
    unlink(path);
    free(path);
    free(group);
}

static void secrets(void **state)
{
    struct buffer pem = {0};
    EVP_PKEY *rsa = tokens_make_key("RSA", 2048);

    (void)state;
    expect_key("HS256", BYTES(TOKENS_SECRET "\n"), 0600, NULL);
    expect_key("HS256", BYTES("\0\1\2\3\4\5\6\7\0\1\2\3\4\5\6\7\0\1\2\3\4\5\6\7\0\1\2\3\4\5\6\7"), 0400,
               NULL);
    expect_key("HS256", BYTES("0123456789012345678901234567890"), 0600, "a secret of 31 bytes");
    expect_key("HS256", BYTES("0123456789012345678901234567890\r\n"), 0600, "a secret of 31 bytes");
    expect_key("HS256", BYTES(""), 0600, "a secret of 0 bytes");
    expect_key("HS256", BYTES(TOKENS_SECRET), 0644, "0644");
    expect_key("HS256", BYTES(TOKENS_SECRET), 0640, "0640");
    expect_key("HS256", BYTES("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ"), 0600, "other algorithms");
    tokens_append_pem(rsa, false, &pem);
    expect_key("HS256", buffer_bytes(&pem), 0600, "other algorithms");
    buffer_done(&pem);
    EVP_PKEY_free(rsa);
}

static void public_keys(void **state)
{
    static const struct {
        const char *kind;
        unsigned bits;
        bool secret;
        const char *rs256, *es256; /* what is said against it */
    } cases[] = {
        {"RSA", 2048, false, NULL, "P-256"},
        {"RSA", 1024, false, "2048 bits", "P-256"},
        {"RSA", 2048, true, "public key", "public key"},
        {"EC", 256, false, "RSA", NULL},
        {"EC", 384, false, "RSA", "P-256"},
        {"EC", 256, true, "public key", "public key"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        EVP_PKEY *key = tokens_make_key(cases[i].kind, cases[i].bits);
        struct buffer pem = {0};

        tokens_append_pem(key, cases[i].secret, &pem);
        expect_key("RS256", buffer_bytes(&pem), 0644, cases[i].rs256);
        expect_key("ES256", buffer_bytes(&pem), 0644, cases[i].es256);
        buffer_done(&pem);
        EVP_PKEY_free(key);
    }
    expect_key("RS256", BYTES(TOKENS_SECRET), 0600, "public key");
    expect_key("ES256", BYTES(""), 0600, "public key");
}

static void groups(void **state)
{
    char *path = tokens_write_file(folder, "key", BYTES(TOKENS_SECRET), 0600);
    static const struct {
        const char *scalars, *refusal;
    } cases[] = {
        {"required = 1;", "required"},
        {"leeway = \"5 x\";", "leeway"},
        {"grace = \"2 h\";", "grace"},
        {"issuer = \"\";", "issuer"},
        {"secret = \"x\";", "unknown key"},
        {"rights = { join = \"a\"; };", "join"},
        {"rights = { join = ( 1 ); };", "room"},
        {"rights = { join = ( \"\" ); };", "room"},
        {"rights = { enter = ( \"a\" ); };", "unknown key"},
        {"anonymous = 1;", "anonymous"},
    };
    struct token_policy *policy;
    struct buffer error = {0};
    char *group;

    (void)state;
    assert_int_equal(load("", &policy, &error), 0);
    assert_null(policy);
    group = group_of(
        "required = true; issuer = \"id\"; audience = \"chat\"; leeway = \"2 s\"; grace = 500; "
        "rights = { join = ( \"a*\", \"u-{sub}\" ); publish = ( ); }; anonymous = { read = [ \"b\" ]; };",
        "HS256", path);
    buffer_clear(&error);
    assert_int_equal(load(group, &policy, &error), 0);
    free(group);
    assert_true(policy->required);
    assert_string_equal(policy->issuer, "id");
    assert_string_equal(policy->audience, "chat");
    assert_int_equal(policy->leeway, 2000);
    assert_int_equal(policy->grace, 500);
    assert_string_equal(policy->keys[0].id, "k");
    assert_string_equal(policy->rights,
                        "{\"join\":[\"a*\",\"u-{sub}\"],\"publish\":[],\"read\":[\"a*\",\"u-{sub}\"]}");
    assert_string_equal(policy->anonymous, "{\"join\":[],\"publish\":[],\"read\":[\"b\"]}");
    token_policy_free(policy);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        group = group_of(cases[i].scalars, "HS256", path);
        expect_refused(group, cases[i].refusal);
        free(group);
    }
    expect_refused("tokens = { };", "no keys");
    expect_refused("tokens = 1;", "tokens");
    expect_refused("tokens = { keys = ( ); };", "1 to 16");
    expect_refused("tokens = { keys = ( { algorithm = \"HS256\"; } ); };", "file");
    expect_refused("tokens = { keys = ( { file = \"/nowhere\"; } ); };", "algorithm");
    expect_refused("tokens = { keys = ( { algorithm = \"none\"; file = \"/nowhere\"; } ); };", "HS256");
    expect_refused("tokens = { keys = ( { algorithm = \"HS512\"; file = \"/nowhere\"; } ); };", "HS256");
    expect_refused("tokens = { keys = ( { algorithm = \"HS256\"; file = \"/nowhere\"; } ); };", "/nowhere");
    buffer_done(&error);
    unlink(path);
    free(path);
}

static void append_row(void *argument, const char *name, const char *value, const char *origin)
{
    buffer_printf(argument, "%s %s %s\n", name, value ? value : "-", origin);
}

static void assert_shown(const struct token_policy *policy, const char *expected)
{
    struct buffer shown = {0};

    token_policy_describe(policy, append_row, &shown);
    buffer_append_char(&shown, '\0');
    assert_string_equal(shown.data, expected);
    buffer_done(&shown);
}

static void what_is_in_effect_is_shown(void **state)
{
    char *path = tokens_write_file(folder, "key", BYTES(TOKENS_SECRET), 0600);
    char *group = group_of("\nleeway = \"2 s\";\naudience = \"chat\";\nrights = { join = ( \"lobby\" ); };\n",
                           "HS256", path);
    struct token_policy *policy = NULL;
    struct buffer error = {0};

    (void)state;
    assert_int_equal(load(group, &policy, &error), 0);
    assert_shown(policy,
                 "tokens.required false default\n"
                 "tokens.issuer - default\n"
                 "tokens.audience chat :3\n"
                 "tokens.leeway 2s :2\n"
                 "tokens.grace 30s default\n"
                 "tokens.keys k:HS256 :5\n"
                 "tokens.rights {\"join\":[\"lobby\"],\"publish\":[\"lobby\"],\"read\":[\"lobby\"]} :4\n"
                 "tokens.anonymous - default\n");
    assert_shown(NULL, "tokens.keys - default\n");
    token_policy_free(policy);
    buffer_done(&error);
    unlink(path);
    free(path);
    free(group);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets),
        cmocka_unit_test(public_keys),
        cmocka_unit_test(groups),
        cmocka_unit_test(what_is_in_effect_is_shown),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
