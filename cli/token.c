/*
 * `hubbub token`: makes a token for a client, as the group `tokens` of a gateway takes it.
 *
 * The surprise: the key is a file and never an option, because everybody on the machine sees options; and
 * what it makes is for tests and for operators. An application makes its users' tokens itself.  With the file of a
 * stack it takes from the group what a gateway will look for; the file of a public key is no use, though.
 */
#include "cli/commands.h"
#include "cli/stats_client.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/exit_code.h"
#include "common/memory.h"
#include "common/secret_file.h"
#include "proto/grant.h"

#include <jansson.h>
#include <jwt.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SECRET_MIN = 32 }; /* as the gateway wants it */

enum { AUTO, HS256, RS256, ES256 };

static const char *const algorithm_texts[] = {"auto", "HS256", "RS256", "ES256", NULL};
static const jwt_alg_t algorithms[] = {JWT_ALG_NONE, JWT_ALG_HS256, JWT_ALG_RS256, JWT_ALG_ES256};

struct token_settings {
    char *key, *kid, *sub, *issuer, *audience;
    char *join, *publish, *read;
    unsigned algorithm;
    uint64_t expires, not_before; /* ms from now */
};

#define KEY(key_, kind) .name = #key_, .type = CONFIG_KEY_##kind, CONFIG_FIELD(struct token_settings, key_)

static const struct config_key keys[] = {
    {KEY(key, PATH), .minimum = 1,
     .help =
         "the file of the secret (HS256), or of the private key as PEM; required, unless --config has the "
         "secret"},
    {KEY(algorithm, CHOICE), .choices = algorithm_texts, .fallback = "auto",
     .help = "how it is signed; auto: as --config says, else as the key wants it"},
    {KEY(kid, STRING), .minimum = 1, .maximum = 64,
     .help = "the id of the key in the configuration; needed when --config has several"},
    {KEY(sub, STRING), .minimum = 1, .maximum = 255, .help = "who it is for: what from shows; required"},
    {KEY(expires, DURATION), .minimum = 1000, .maximum = 3650ULL * 86400000, .fallback = "1 h",
     .help = "how long it holds"},
    {KEY(not_before, DURATION), .maximum = 3650ULL * 86400000, .fallback = "0", .help = "when it begins to"},
    {KEY(issuer, STRING), .minimum = 1, .maximum = 1024, .help = "its iss; that of --config if absent"},
    {KEY(audience, STRING), .minimum = 1, .maximum = 1024, .help = "its aud; that of --config if absent"},
    {KEY(join, STRING), .maximum = 4095,
     .help = "rooms that may be joined, commas between; a * at the end of one stands for any rest"},
    {KEY(publish, STRING), .maximum = 4095,
     .help = "rooms that may be published to; those of --join if absent"},
    {KEY(read, STRING), .maximum = 4095,
     .help = "rooms whose history may be read; those of --join if absent"},
};

/* -- the configuration of a stack ------------------------------------------------------------- */

static void take_text(const config_setting_t *group, const char *name, char **field)
{
    const char *text;

    if (!*field && config_setting_lookup_string(group, name, &text))
        *field = memory_text(text, strlen(text));
}

/* The entry that is meant; NULL for none, with a line in error when there should be one. */
static const config_setting_t *find_entry(const config_setting_t *list, const struct token_settings *settings,
                                          struct buffer *error)
{
    int count = list ? config_setting_length(list) : 0;
    const char *id;

    if (settings->kid) {
        for (int i = 0; i < count; i++) {
            const config_setting_t *entry = config_setting_get_elem(list, (unsigned)i);

            if (config_setting_is_group(entry) && config_setting_lookup_string(entry, "id", &id) &&
                strcmp(id, settings->kid) == 0)
                return entry;
        }
        buffer_printf(error, "hubbub token: the group tokens has no key with the id \"%s\"", settings->kid);
    } else if (count == 1) {
        const config_setting_t *entry = config_setting_get_elem(list, 0);

        return config_setting_is_group(entry) ? entry : NULL;
    } else if (count > 1 && !settings->key) {
        buffer_append_literal(error, "hubbub token: the group tokens has several keys; say which with --kid");
    }
    return NULL;
}

static int take_entry(const config_setting_t *entry, struct token_settings *settings, struct buffer *error)
{
    const char *text = NULL;
    unsigned algorithm = AUTO;

    if (config_setting_lookup_string(entry, "algorithm", &text))
        for (unsigned i = HS256; algorithm_texts[i]; i++)
            if (strcmp(text, algorithm_texts[i]) == 0)
                algorithm = i;
    take_text(entry, "id", &settings->kid);
    if (settings->algorithm == AUTO)
        settings->algorithm = algorithm;
    if (algorithm == HS256)
        take_text(entry, "file", &settings->key);
    if (settings->key)
        return 0;
    buffer_printf(
        error,
        "hubbub token: the configuration has the public key for %s only; expected --key with the file "
        "of the private one",
        algorithm == AUTO ? "tokens" : algorithm_texts[algorithm]);
    return ERROR_CONFIG;
}

static int finish(const config_t *file, void *loaded, struct buffer *error)
{
    struct token_settings *settings = loaded;
    const config_setting_t *group = config_lookup(file, "tokens"), *list, *entry;

    if (!group || !config_setting_is_group(group))
        return 0;
    take_text(group, "issuer", &settings->issuer);
    take_text(group, "audience", &settings->audience);
    list = config_setting_get_member(group, "keys");
    entry = find_entry(list, settings, error);
    if (error->length)
        return ERROR_CONFIG;
    return entry ? take_entry(entry, settings, error) : 0;
}

/* -- the token -------------------------------------------------------------------------------- */

static json_t *list_of(const char *text)
{
    json_t *list = json_array();

    while (*text) {
        size_t length = strcspn(text, ",");

        if (length)
            json_array_append_new(list, json_stringn(text, length));
        text += length + (text[length] == ',');
    }
    return list;
}

/* NULL when there is nothing to say. */
static json_t *rights_of(const struct token_settings *settings)
{
    json_t *rights;

    if (!settings->join && !settings->publish && !settings->read)
        return NULL;
    rights = json_object();
    json_object_set_new(rights, "join", list_of(settings->join ? settings->join : ""));
    if (settings->publish)
        json_object_set_new(rights, "publish", list_of(settings->publish));
    if (settings->read)
        json_object_set_new(rights, "read", list_of(settings->read));
    return rights;
}

static void set_text(json_t *claims, const char *name, const char *text)
{
    if (text)
        json_object_set_new(claims, name, json_string(text));
}

static char *claims_of(const struct token_settings *settings)
{
    uint64_t now = clock_wall_ms();
    json_t *claims = json_object(), *rights = rights_of(settings);
    char *text;

    set_text(claims, "sub", settings->sub);
    set_text(claims, "iss", settings->issuer);
    set_text(claims, "aud", settings->audience);
    json_object_set_new(claims, "iat", json_integer((json_int_t)(now / 1000)));
    json_object_set_new(claims, "exp", json_integer((json_int_t)((now + settings->expires) / 1000)));
    if (settings->not_before)
        json_object_set_new(claims, "nbf", json_integer((json_int_t)((now + settings->not_before) / 1000)));
    if (rights)
        json_object_set_new(claims, "hubbub", rights);
    text = json_dumps(claims, JSON_COMPACT);
    json_decref(claims);
    return text;
}

/* NULL when the library takes none of it. */
static char *sign(const struct token_settings *settings, struct bytes key)
{
    char *claims = claims_of(settings), *token = NULL;
    jwt_t *jwt = NULL;

    if (claims && jwt_new(&jwt) == 0 && jwt_add_grants_json(jwt, claims) == 0 &&
        jwt_set_alg(jwt, algorithms[settings->algorithm], (const unsigned char *)key.data, (int)key.length) ==
            0 &&
        (!settings->kid || jwt_add_header(jwt, "kid", settings->kid) == 0))
        token = jwt_encode_str(jwt);
    jwt_free(jwt);
    free(claims);
    return token;
}

/* The secret without the line break at its end, as the gateway reads it; PEM as it is. */
static struct bytes key_bytes(const struct token_settings *settings, const struct buffer *file)
{
    struct bytes key = buffer_bytes(file);

    if (settings->algorithm != HS256)
        return key;
    if (key.length && key.data[key.length - 1] == '\n')
        key.length--;
    if (key.length && key.data[key.length - 1] == '\r')
        key.length--;
    return key;
}

/* What a file of a key can sign: HS256 when it is no PEM; AUTO when it is PEM, but no private key that we can use. */
static unsigned algorithm_of(struct bytes text)
{
    unsigned algorithm = AUTO;
    EVP_PKEY *key;
    BIO *bio;

    if (!memmem(text.data, text.length, "-----BEGIN", 10))
        return HS256;
    bio = BIO_new_mem_buf(text.data, (int)text.length);
    key = PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)(uintptr_t) ""); /* no passphrase is asked for */
    if (key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
        algorithm = RS256;
    else if (key && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC)
        algorithm = ES256;
    EVP_PKEY_free(key);
    BIO_free(bio);
    ERR_clear_error();
    return algorithm;
}

/* Whether the key is one for that algorithm; says on standard error what is wrong with it. */
static bool fits(const char *path, unsigned algorithm, struct bytes key)
{
    unsigned fitting = algorithm_of(key);

    if (fitting == AUTO)
        fprintf(stderr,
                "hubbub token: %s: cannot sign with it; expected a private key as PEM, RSA or EC, without "
                "a passphrase\n",
                path);
    else if (fitting != algorithm && fitting == HS256)
        fprintf(stderr, "hubbub token: %s: cannot sign with it; expected a private key as PEM for %s\n", path,
                algorithm_texts[algorithm]);
    else if (fitting != algorithm)
        fprintf(stderr, "hubbub token: %s: this is a private key for --algorithm %s, not for %s\n", path,
                algorithm_texts[fitting], algorithm_texts[algorithm]);
    else if (algorithm == HS256 && key.length < SECRET_MIN)
        fprintf(stderr, "hubbub token: %s: expected a secret of at least %d bytes for HS256\n", path,
                SECRET_MIN);
    else
        return true;
    return false;
}

/* Whether a gateway takes its name and its rooms; says on standard error what is wrong with them. */
static bool can_be_granted(const struct token_settings *settings)
{
    const char *const lists[] = {settings->join, settings->publish, settings->read};

    if (strncmp(settings->sub, "anon:", 5) == 0) {
        fputs("hubbub token: names that begin with anon: are those of clients without a token\n", stderr);
        return false;
    }
    if (!grant_sub_valid(bytes_from_text(settings->sub))) {
        fputs("hubbub token: --sub: expected a name in UTF-8 without control characters\n", stderr);
        return false;
    }
    for (unsigned right = 0; right < RIGHTS; right++) {
        unsigned count = 0;

        for (const char *at = lists[right] ? lists[right] : ""; *at;) {
            size_t length = strcspn(at, ",");

            if (length && (count++ == GRANT_PATTERNS_MAX || !grant_pattern_valid(bytes_make(at, length)))) {
                fprintf(stderr,
                        "hubbub token: --%s: expected at most %d rooms, each 1 to 255 bytes of UTF-8 without "
                        "control characters\n",
                        right_text((enum right)right), GRANT_PATTERNS_MAX);
                return false;
            }
            at += length + (at[length] == ',');
        }
    }
    return true;
}

static int make_token(struct token_settings *settings)
{
    struct buffer file = {0}, error = {0};
    struct bytes key;
    char *token = NULL;
    int exit_code = EXIT_RUNTIME;

    if (secret_file_read(settings->key, true, "the key", &file, &error)) {
        fprintf(stderr, "hubbub token: %.*s\n", (int)error.length, error.data);
        goto out;
    }
    if (settings->algorithm == AUTO)
        settings->algorithm = algorithm_of(buffer_bytes(&file));
    key = key_bytes(settings, &file);
    if (!fits(settings->key, settings->algorithm, key))
        goto out;
    token = sign(settings, key);
    if (token) {
        puts(token);
        exit_code = EXIT_OK;
    } else {
        fprintf(stderr, "hubbub token: %s: cannot sign with it; expected a private key as PEM for %s\n",
                settings->key, algorithm_texts[settings->algorithm]);
    }
out:
    free(token);
    secret_file_wipe(&file);
    buffer_done(&error);
    return exit_code;
}

int command_token(int argc, char **argv)
{
    static const struct config_program program = {
        .name = "hubbub token",
        .summary = "makes a token with which a client may connect, and prints it",
        .keys = keys,
        .key_count = sizeof keys / sizeof *keys,
        .others = stats_place_others,
        .finish = finish};
    struct token_settings settings = {0};
    struct config_result result;
    int exit_code = EXIT_USAGE;

    if (config_load(&program, argc, argv, &settings, &result))
        return config_report(&result);
    if (!settings.key || !settings.sub)
        fprintf(stderr, "hubbub token: %s (see --help)\n",
                settings.key ? "for whom? expected --sub"
                             : "which key? expected --key, or --config with the file of a stack");
    else if (can_be_granted(&settings))
        exit_code = make_token(&settings);
    config_settings_done(&program, &settings);
    return exit_code;
}
