/*
 * Which tokens a gateway takes: the group `tokens` of the configuration, with the keys in its files.
 *
 *   tokens = {
 *     required = true; issuer = "https://id.example"; audience = "chat"; leeway = "5 s"; grace = "30 s";
 *     keys = ( { id = "2026"; algorithm = "ES256"; file = "/etc/hubbub/token.pub"; },
 *              { algorithm = "HS256"; file = "/etc/hubbub/token.key"; } );
 *     rights = { join = ( "lobby", "user-{sub}" ); publish = ( "lobby" ); read = ( "*" ); };
 *     anonymous = { join = ( "lobby" ); publish = ( ); };
 *   };
 *
 * A key has one algorithm, whatever a token says.  HS256: the file is the secret, without the line break at
 * its end; nobody but its owner may have rights to it.  RS256 and ES256: a public key as PEM.
 */
#ifndef HUBBUB_GATEWAY_TOKEN_POLICY_H
#define HUBBUB_GATEWAY_TOKEN_POLICY_H

#include "common/buffer.h"
#include "common/config_describe.h"
#include "common/error.h"

#include <libconfig.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TOKEN_KEYS_MAX = 16,
    TOKEN_KEY_ID_MAX = 64,
    TOKEN_SECRET_MIN = 32, /* bytes: as many as HS256 has (RFC 7518 3.2) */
    TOKEN_SECRET_MAX = 4096,
    TOKEN_RSA_BITS_MIN = 2048, /* RFC 7518 3.3 */
};

/* X(NAME): as tokens name it. */
#define TOKEN_ALGORITHM_TABLE(X) X(HS256) X(RS256) X(ES256)

enum token_algorithm {
#define X(name) TOKEN_##name,
    TOKEN_ALGORITHM_TABLE(X)
#undef X
        TOKEN_ALGORITHMS
};

struct token_key {
    char *id; /* kid; NULL: none */
    enum token_algorithm algorithm;
    struct buffer key;          /* the secret, or the PEM text */
    struct evp_pkey_st *opened; /* RS256 and ES256: OpenSSL's, of the PEM text */
};

struct token_policy {
    bool required; /* unless a namespace says otherwise */
    char *issuer, *audience;
    uint32_t leeway, grace; /* ms */
    struct token_key *keys;
    size_t key_count;
    char *rights;    /* of a token that says none, as a grant has them; NULL: everything */
    char *anonymous; /* of who has no token, where none is required; NULL: everything */
    char **origins;  /* for config_describe() */
    char *keys_origin, *rights_origin, *anonymous_origin; /* "FILE:LINE"; NULL: a default */
};

/* Reads the PEM text of a key for RS256 or ES256, for token_key_done(). ERROR_MALFORMED when it is no public
 * key. */
int token_key_open(struct token_key *key) MUST_CHECK;

/* Wipes and frees what the key is made of, but its id. */
void token_key_done(struct token_key *key);

/* "HS256" and so on; static. */
const char *token_algorithm_text(enum token_algorithm algorithm);

/*
 * Reads the group and the files of its keys.  *out is NULL when there is no such group: then tokens mean
 * nothing.  0, or ERROR_CONFIG with one line in error, which holds nothing of a key.
 */
int token_policy_load(const config_t *file, struct token_policy **out, struct buffer *error) MUST_CHECK;

/*
 * Visits what the group says, or leaves at its default, as config_describe() does: "tokens.required" and so
 * on.  Of the keys only ids and algorithms, "2026:ES256 -:HS256"; rights as a grant has them, absent for
 * everything.  policy NULL: there is no group, and tokens.keys is absent.
 */
void token_policy_describe(const struct token_policy *policy, config_visit *visit, void *argument);

/* Wipes the keys.  Takes NULL. */
void token_policy_free(struct token_policy *policy);

#endif
