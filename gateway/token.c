/*
 * Tokens; see token.h.  authentication.c calls it for what clients bring.  The surprising rule: libraries check
 * nothing but signatures.  libjwt takes the algorithm from the token, reads JSON leniently (of equal keys the
 * last counts) and knows nothing of kid; so head and claims are read here, strictly, before and after it.
 */
#include "gateway/token.h"

#include "common/base64.h"
#include "common/memory.h"
#include "proto/grant.h"
#include "proto/json_text.h"

#include <jansson.h>
#include <jwt.h>
#include <math.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECONDS_MAX 253402300799.0 /* the last second of the year 9999 */

enum {
    SIGNATURE_MAX = 2048, /* bytes: of an RSA key of 16384 bits */
    P256_BYTES = 32,      /* of each number of ES256 */
};

/* -- the three parts -------------------------------------------------------------------------- */

struct parts {
    struct bytes head, claims;
};

/* Base64url without padding, as RFC 7515 2 wants it. */
static bool is_base64url(struct bytes text)
{
    for (size_t i = 0; i < text.length; i++)
        if (base64_digit(text.data[i]) < 0 || text.data[i] == '+' || text.data[i] == '/')
            return false;
    return text.length && text.length % 4 != 1;
}

/* Cuts off what stands before the next dot. */
static bool cut(struct bytes *rest, struct bytes *part)
{
    const char *dot = memchr(rest->data, '.', rest->length);

    if (!dot)
        return false;
    *part = bytes_make(rest->data, (size_t)(dot - rest->data));
    *rest = bytes_make(dot + 1, rest->length - part->length - 1);
    return is_base64url(*part);
}

static bool split(struct bytes token, struct parts *parts)
{
    return cut(&token, &parts->head) && cut(&token, &parts->claims) && is_base64url(token);
}

/* A JSON object; NULL for anything else, and for one with a key twice. */
static json_t *read_object(struct bytes text)
{
    json_t *object = json_loadb(text.data, text.length, JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(object))
        return object;
    json_decref(object);
    return NULL;
}

static json_t *decode_object(struct bytes part)
{
    struct buffer text = {0};
    json_t *object;

    buffer_extend(&text, base64_read(buffer_reserve(&text, part.length), part));
    object = read_object(buffer_bytes(&text));
    buffer_done(&text);
    return object;
}

/* -- the signature ---------------------------------------------------------------------------- */

static int find_algorithm(const char *text, enum token_algorithm *out)
{
    for (unsigned i = 0; i < TOKEN_ALGORITHMS; i++)
        if (text && strcmp(text, token_algorithm_text(i)) == 0) {
            *out = (enum token_algorithm)i;
            return 0;
        }
    return ERROR_UNSUPPORTED;
}

/* By HMAC: libjwt compares in constant time (as Debian has it, CVE-2024-25189). */
static bool signed_with_secret(const struct token_key *key, const char *token)
{
    jwt_t *jwt = NULL;
    bool good = jwt_decode(&jwt, token, (const unsigned char *)key->key.data, (int)key->key.length) == 0 &&
                jwt_get_alg(jwt) == JWT_ALG_HS256;

    jwt_free(jwt);
    return good;
}

/* The two numbers of ECDSA as DER has them (RFC 7518 3.4).  The length, 0 for what are none; to be freed. */
static size_t numbers_to_der(const unsigned char *numbers, size_t length, unsigned char **der)
{
    ECDSA_SIG *signature;
    int result;

    if (length != 2 * P256_BYTES)
        return 0;
    signature = ECDSA_SIG_new();
    ECDSA_SIG_set0(signature, BN_bin2bn(numbers, P256_BYTES, NULL),
                   BN_bin2bn(numbers + P256_BYTES, P256_BYTES, NULL));
    result = i2d_ECDSA_SIG(signature, der);
    ECDSA_SIG_free(signature);
    return result > 0 ? (size_t)result : 0;
}

/* By OpenSSL: libjwt reads the PEM text anew for each token, which takes several times as long as all else. */
static bool signed_with_public(const struct token_key *key, const char *token)
{
    const char *dot = strrchr(token, '.');
    unsigned char raw[SIGNATURE_MAX], *der = NULL;
    const unsigned char *signature = raw;
    size_t text_length = strlen(dot + 1), length;
    EVP_MD_CTX *context;
    bool good = false;

    if (base64_decoded_max(text_length) > sizeof raw)
        return false;
    length = base64_read((char *)raw, bytes_make(dot + 1, text_length));
    if (key->algorithm == TOKEN_ES256) {
        length = numbers_to_der(raw, length, &der);
        signature = der;
    }
    context = EVP_MD_CTX_new();
    if (length && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key->opened) == 1)
        good = EVP_DigestVerify(context, signature, length, (const unsigned char *)token,
                                (size_t)(dot - token)) == 1;
    EVP_MD_CTX_free(context);
    OPENSSL_free(der);
    ERR_clear_error();
    return good;
}

static bool signed_with(const struct token_key *key, const char *token)
{
    return key->algorithm == TOKEN_HS256 ? signed_with_secret(key, token) : signed_with_public(key, token);
}

static bool is_candidate(const struct token_key *key, enum token_algorithm algorithm, const char *id)
{
    return key->algorithm == algorithm && (!id || (key->id && strcmp(key->id, id) == 0));
}

/* NULL, or what is wrong with the head, or the signature. */
static const char *check_signature(const struct token_policy *policy, const json_t *head, struct bytes token)
{
    const json_t *kid = json_object_get(head, "kid"), *type = json_object_get(head, "typ");
    const char *id = json_string_value(kid);
    enum token_algorithm algorithm;
    const char *why = "no key of that algorithm and id";
    char *text;

    if (find_algorithm(json_string_value(json_object_get(head, "alg")), &algorithm) < 0)
        return "an algorithm that is not taken";
    if (json_object_get(head, "crit"))
        return "a critical extension";
    if (type && (!json_is_string(type) || strcasecmp(json_string_value(type), "JWT") != 0))
        return "a type other than JWT";
    if (kid && !id)
        return "a kid that is no text";
    text = memory_text(token.data, token.length);
    for (size_t i = 0; why && i < policy->key_count; i++)
        if (is_candidate(&policy->keys[i], algorithm, id))
            why = signed_with(&policy->keys[i], text) ? NULL : "a signature that is not by the key";
    free(text);
    return why;
}

/* -- claims ----------------------------------------------------------------------------------- */

/* A NumericDate (RFC 7519 2) in ms.  0 or ERROR_MALFORMED. */
static int read_date(const json_t *value, double *out)
{
    double seconds = json_number_value(value);

    if (!json_is_number(value) || !isfinite(seconds) || seconds > SECONDS_MAX)
        return ERROR_MALFORMED;
    *out = seconds * 1000;
    return 0;
}

static bool is_text(const json_t *value, const char *wanted)
{
    return json_is_string(value) && json_string_length(value) == strlen(wanted) &&
           strcmp(json_string_value(value), wanted) == 0;
}

static bool names_audience(const json_t *value, const char *audience)
{
    size_t count = json_array_size(value); /* 0 for what is no array */

    for (size_t i = 0; i < count; i++)
        if (is_text(json_array_get(value, i), audience))
            return true;
    return is_text(value, audience);
}

static struct bytes text_of(const json_t *value)
{
    return json_is_string(value) ? bytes_make(json_string_value(value), json_string_length(value))
                                 : (struct bytes){0};
}

static int append_patterns(const json_t *list, struct buffer *out)
{
    size_t count = json_array_size(list);

    if ((list && !json_is_array(list)) || count > GRANT_PATTERNS_MAX)
        return ERROR_MALFORMED;
    buffer_append_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        struct bytes pattern = text_of(json_array_get(list, i));

        if (!grant_pattern_valid(pattern))
            return ERROR_MALFORMED;
        if (i)
            buffer_append_char(out, ',');
        json_append_string(out, pattern);
    }
    buffer_append_char(out, ']');
    return 0;
}

static int append_rights(const json_t *claim, struct buffer *out)
{
    size_t known = 0;

    if (!json_is_object(claim))
        return ERROR_MALFORMED;
    for (unsigned right = 0; right < RIGHTS; right++) {
        const json_t *list = json_object_get(claim, right_text(right));

        known += list != NULL;
        buffer_printf(out, "%c\"%s\":", right ? ',' : '{', right_text(right));
        if (append_patterns(list ? list : json_object_get(claim, right_text(RIGHT_JOIN)), out) < 0)
            return ERROR_MALFORMED;
    }
    buffer_append_char(out, '}');
    return known == json_object_size(claim) ? 0 : ERROR_MALFORMED;
}

static enum token_verdict judge(const struct token_policy *policy, const json_t *claims, uint64_t now_ms,
                                struct buffer *grant, const char **why)
{
    double now = (double)now_ms, leeway = policy->leeway, expires, begins;
    const json_t *nbf = json_object_get(claims, "nbf"), *rights = json_object_get(claims, "hubbub");
    struct bytes sub = text_of(json_object_get(claims, "sub"));

    if (policy->issuer && !is_text(json_object_get(claims, "iss"), policy->issuer))
        *why = "another issuer";
    else if (policy->audience && !names_audience(json_object_get(claims, "aud"), policy->audience))
        *why = "another audience";
    else if (!grant_sub_valid(sub))
        *why = "no sub, or one that can't be a name";
    else if (read_date(json_object_get(claims, "exp"), &expires) < 0)
        *why = "no exp, or one that is no date";
    else if (nbf && read_date(nbf, &begins) < 0)
        *why = "a nbf that is no date";
    else if (nbf && begins > now + leeway)
        *why = "not valid yet";
    if (*why)
        return TOKEN_INVALID;
    if (expires < 1000 || expires + leeway <= now) {
        *why = "expired";
        return TOKEN_EXPIRED;
    }
    buffer_append_literal(grant, "{\"sub\":");
    json_append_string(grant, sub);
    buffer_append_literal(grant, ",\"exp\":");
    buffer_append_u64(grant, (uint64_t)(expires / 1000));
    if (rights) {
        buffer_append_literal(grant, ",\"rights\":");
        if (append_rights(rights, grant) < 0) {
            *why = "rights that are none";
            return TOKEN_INVALID;
        }
    } else if (policy->rights) {
        buffer_append_literal(grant, ",\"rights\":");
        buffer_append_text(grant, policy->rights);
    }
    buffer_append_char(grant, '}');
    return TOKEN_GOOD;
}

enum token_verdict token_judge(const struct token_policy *policy, struct bytes text, uint64_t now_ms,
                               struct buffer *grant, const char **why)
{
    json_t *claims = read_object(text);
    size_t before = grant->length;
    enum token_verdict verdict;

    *why = NULL;
    if (!claims) {
        *why = "claims that are no object";
        return TOKEN_INVALID;
    }
    verdict = judge(policy, claims, now_ms, grant, why);
    json_decref(claims);
    if (verdict != TOKEN_GOOD)
        grant->length = before;
    return verdict;
}

enum token_verdict token_verify(const struct token_policy *policy, struct bytes token, uint64_t now_ms,
                                struct buffer *grant, const char **why)
{
    struct buffer claims = {0};
    enum token_verdict verdict;
    struct parts parts;
    json_t *head;

    *why = "not three parts in base64url";
    if (token.length > TOKEN_LENGTH_MAX || !split(token, &parts))
        return TOKEN_INVALID;
    head = decode_object(parts.head);
    *why = head ? check_signature(policy, head, token) : "a head that is no object";
    json_decref(head);
    if (*why)
        return TOKEN_INVALID;
    buffer_extend(&claims, base64_read(buffer_reserve(&claims, parts.claims.length), parts.claims));
    verdict = token_judge(policy, buffer_bytes(&claims), now_ms, grant, why);
    buffer_done(&claims);
    return verdict;
}

void token_append_anonymous(const struct token_policy *policy, struct buffer *grant)
{
    if (policy->anonymous)
        buffer_printf(grant, "{\"rights\":%s}", policy->anonymous);
}
