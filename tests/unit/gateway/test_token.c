/* Tokens: the good ones of each algorithm, and every trick that is known. */
#include "gateway/token.h"

#include "common/memory.h"
#include "proto/grant.h"
#include "tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW     1700000000000U /* ms */
#define HS256   "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define CLAIMS  "{\"sub\":\"ann\",\"exp\":1700000060}"
#define GRANT   "{\"sub\":\"ann\",\"exp\":1700000060}"
#define SECRET  BYTES(TOKENS_SECRET)
#define SECRET2 BYTES("another secret, as long as it should be")

/* One key of each kind, and a second secret. */
static EVP_PKEY *rsa, *ec, *stranger;
static struct token_key keys[4];
static struct token_policy policy = {.leeway = 5000, .grace = 30000, .keys = keys, .key_count = 4};

static int make_keys(void **state)
{
    (void)state;
    rsa = tokens_make_key("RSA", 2048);
    ec = tokens_make_key("EC", 256);
    stranger = tokens_make_key("EC", 256);
    keys[0] = (struct token_key){.id = "2025", .algorithm = TOKEN_HS256};
    buffer_append_bytes(&keys[0].key, SECRET);
    keys[1] = (struct token_key){.id = "2026", .algorithm = TOKEN_HS256};
    buffer_append_bytes(&keys[1].key, SECRET2);
    keys[2] = (struct token_key){.id = "rsa", .algorithm = TOKEN_RS256};
    tokens_append_pem(rsa, false, &keys[2].key);
    assert_int_equal(token_key_open(&keys[2]), 0);
    keys[3] = (struct token_key){.algorithm = TOKEN_ES256};
    tokens_append_pem(ec, false, &keys[3].key);
    assert_int_equal(token_key_open(&keys[3]), 0);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < policy.key_count; i++)
        token_key_done(&keys[i]);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(stranger);
    return 0;
}

static void expect(struct bytes token, enum token_verdict expected, const char *grant)
{
    struct buffer text = {0};
    const char *why = "never said";
    enum token_verdict verdict = token_verify(&policy, token, NOW, &text, &why);

    if (verdict != expected)
        fail_msg("%d for %.*s: %s", verdict, BYTES_PRINTF(token), why ? why : "");
    assert_int_equal(why == NULL, expected == TOKEN_GOOD);
    buffer_append_char(&text, '\0');
    assert_string_equal(text.data, grant);
    buffer_done(&text);
}

static void expect_signed(const char *head, const char *claims, enum token_verdict expected,
                          const char *grant)
{
    struct buffer token = tokens_sign_hmac(bytes_from_text(head), bytes_from_text(claims), SECRET);

    expect(buffer_bytes(&token), expected, grant);
    buffer_done(&token);
}

static void expect_claims(const char *claims, enum token_verdict expected)
{
    expect_signed(HS256, claims, expected, expected == TOKEN_GOOD ? GRANT : "");
}

static void expect_with_key(const char *head, EVP_PKEY *key, enum token_verdict expected)
{
    struct buffer token = tokens_sign(bytes_from_text(head), BYTES(CLAIMS), key);

    expect(buffer_bytes(&token), expected, expected == TOKEN_GOOD ? GRANT : "");
    buffer_done(&token);
}

static void takes_each_algorithm(void **state)
{
    (void)state;
    expect_signed(HS256, CLAIMS, TOKEN_GOOD, GRANT);
    expect_signed("{\"alg\":\"HS256\"}", CLAIMS, TOKEN_GOOD, GRANT);
    expect_signed("{\"alg\":\"HS256\",\"typ\":\"jwt\",\"kid\":\"2025\",\"jku\":\"https://evil.example\"}",
                  CLAIMS, TOKEN_GOOD, GRANT);
    expect_with_key("{\"alg\":\"RS256\"}", rsa, TOKEN_GOOD);
    expect_with_key("{\"alg\":\"RS256\",\"kid\":\"rsa\"}", rsa, TOKEN_GOOD);
    expect_with_key("{\"alg\":\"ES256\",\"typ\":\"JWT\"}", ec, TOKEN_GOOD);
}

/* Without a kid all keys of the algorithm are tried; with one, that key alone. */
static void looks_a_kid_up_in_the_list_and_nowhere_else(void **state)
{
    static const char *const strange[] = {
        "2026",
        "rsa",
        "2025 ",
        "",
        "../../../../dev/null",
        "/proc/self/environ",
        "file:///etc/hostname",
        "2025' OR '1'='1",
        "' UNION SELECT 'a secret of thirty-two bytes or so' -- ",
        "2025\\u0000",
        "2025\\n",
    };
    struct buffer token = tokens_sign_hmac(BYTES(HS256), BYTES(CLAIMS), SECRET2);
    char head[256];

    (void)state;
    expect(buffer_bytes(&token), TOKEN_GOOD, GRANT);
    buffer_done(&token);
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        snprintf(head, sizeof head, "{\"alg\":\"HS256\",\"kid\":\"%s\"}", strange[i]);
        expect_signed(head, CLAIMS, TOKEN_INVALID, "");
    }
    expect_signed("{\"alg\":\"HS256\",\"kid\":null}", CLAIMS, TOKEN_INVALID, "");
    expect_signed("{\"alg\":\"HS256\",\"kid\":2025}", CLAIMS, TOKEN_INVALID, "");
    expect_signed("{\"alg\":\"HS256\",\"kid\":[\"2025\"]}", CLAIMS, TOKEN_INVALID, "");
    expect_with_key("{\"alg\":\"ES256\",\"kid\":\"es\"}", ec, TOKEN_INVALID);
}

/* An empty file named by a kid would be the empty secret. */
static void takes_no_other_secret(void **state)
{
    static const struct bytes secrets[] = {BYTES(""), BYTES("\0"), BYTES("secret"), BYTES(TOKENS_SECRET "\n"),
                                           BYTES("A" TOKENS_SECRET)};

    (void)state;
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        struct buffer token = tokens_sign_hmac(BYTES(HS256), BYTES(CLAIMS), secrets[i]);

        expect(buffer_bytes(&token), TOKEN_INVALID, "");
        buffer_done(&token);
    }
    expect_with_key("{\"alg\":\"ES256\"}", stranger, TOKEN_INVALID);
}

static void takes_the_algorithm_from_the_key(void **state)
{
    static const char *const heads[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"None\"}",
        "{\"alg\":\"NONE\"}",
        "{\"alg\":\"nOnE\"}",
        "{\"alg\":\"\"}",
        "{\"alg\":null}",
        "{\"alg\":\"hs256\"}",
        "{\"alg\":\"HS384\"}",
        "{\"alg\":\"HS512\"}",
        "{\"alg\":\"RS256\"}",
        "{\"alg\":\"ES256\"}",
        "{\"alg\":\"ES384\"}",
        "{\"alg\":\"PS256\"}",
        "{\"alg\":\"HS256\\u0000\"}",
        "{\"alg\":[\"HS256\"]}",
        "{\"alg\":\"none\",\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"alg\":\"none\"}",
        "{\"alg\":\"HS256\",\"crit\":[\"exp\"]}",
        "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"HS256\",\"typ\":1}",
        "{\"typ\":\"JWT\"}",
        "{}",
        "[]",
        "\"HS256\"",
        "",
        "{\"alg\":\"HS256\"",
    };

    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        expect_signed(heads[i], CLAIMS, TOKEN_INVALID, "");
    /* What one key has signed, under the name of the other's algorithm. */
    expect_with_key("{\"alg\":\"ES256\"}", rsa, TOKEN_INVALID);
    expect_with_key("{\"alg\":\"RS256\"}", ec, TOKEN_INVALID);
    expect_with_key("{\"alg\":\"HS256\"}", rsa, TOKEN_INVALID);
}

/* The text of a public key is no secret, whoever has it. */
static void takes_no_public_key_for_a_secret(void **state)
{
    static const char *const heads[] = {"{\"alg\":\"HS256\"}", "{\"alg\":\"HS256\",\"kid\":\"rsa\"}",
                                        "{\"alg\":\"RS256\",\"kid\":\"rsa\"}", "{\"alg\":\"RS256\"}",
                                        "{\"alg\":\"ES256\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        for (int key = 2; key <= 3; key++) {
            struct buffer token =
                tokens_sign_hmac(bytes_from_text(heads[i]), BYTES(CLAIMS), buffer_bytes(&keys[key].key));

            expect(buffer_bytes(&token), TOKEN_INVALID, "");
            token.length = (size_t)((char *)memrchr(token.data, '.', token.length) + 1 -
                                    token.data); /* and without a signature */
            expect(buffer_bytes(&token), TOKEN_INVALID, "");
            buffer_done(&token);
        }
}

static void judges_the_dates(void **state)
{
    (void)state;
    expect_signed(HS256, "{\"sub\":\"ann\",\"exp\":1700000060.75}", TOKEN_GOOD, GRANT);
    expect_signed(HS256, "{\"sub\":\"ann\",\"exp\":17e8}", TOKEN_GOOD,
                  "{\"sub\":\"ann\",\"exp\":1700000000}");
    expect_signed(HS256, "{\"sub\":\"ann\",\"exp\":1699999996}", TOKEN_GOOD,
                  "{\"sub\":\"ann\",\"exp\":1699999996}"); /* within the leeway */
    expect_signed(HS256, "{\"sub\":\"ann\",\"exp\":253402300799}", TOKEN_GOOD,
                  "{\"sub\":\"ann\",\"exp\":253402300799}");
    expect_claims("{\"sub\":\"ann\",\"exp\":1699999995}", TOKEN_EXPIRED);
    expect_claims("{\"sub\":\"ann\",\"exp\":1}", TOKEN_EXPIRED);
    expect_claims("{\"sub\":\"ann\",\"exp\":0}", TOKEN_EXPIRED);
    expect_claims("{\"sub\":\"ann\",\"exp\":-1}", TOKEN_EXPIRED);
    expect_claims("{\"sub\":\"ann\",\"exp\":-9223372036854775808}", TOKEN_EXPIRED);
    expect_claims("{\"sub\":\"ann\",\"exp\":253402300800}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\",\"exp\":9223372036854775807}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\",\"exp\":9223372036854775808}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\",\"exp\":1e300}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\",\"exp\":1e400}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\",\"exp\":NaN}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\",\"exp\":\"1700000060\"}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\",\"exp\":true}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\",\"exp\":null}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\"}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\",\"exp\":1700000060,\"nbf\":1700000005,\"iat\":\"x\"}", TOKEN_GOOD);
    expect_claims("{\"sub\":\"ann\",\"exp\":1700000060,\"nbf\":-5}", TOKEN_GOOD);
    expect_claims("{\"sub\":\"ann\",\"exp\":1700000060,\"nbf\":1700000006}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\",\"exp\":1700000060,\"nbf\":\"0\"}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\",\"exp\":1700000060,\"nbf\":null}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\",\"exp\":1699999995,\"nbf\":1800000000}", TOKEN_INVALID);
}

static void reads_claims_strictly(void **state)
{
    (void)state;
    expect_claims("{\"sub\":\"ann\",\"exp\":1700000060,\"sub\":\"ann\"}", TOKEN_INVALID);
    expect_claims("{\"exp\":1,\"sub\":\"ann\",\"exp\":1700000060}", TOKEN_INVALID);
    expect_claims("{\"exp\":1700000060}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"\",\"exp\":1700000060}", TOKEN_INVALID);
    expect_claims("{\"sub\":17,\"exp\":1700000060}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"anon:ann\",\"exp\":1700000060}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"a\\u0000nn\",\"exp\":1700000060}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\\r\\nX: y\",\"exp\":1700000060}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\\u0085\",\"exp\":1700000060}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\xff\",\"exp\":1700000060}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\\ud800\",\"exp\":1700000060}", TOKEN_INVALID);
    expect_claims("[]", TOKEN_INVALID);
    expect_claims("null", TOKEN_INVALID);
    expect_claims("", TOKEN_INVALID);
    expect_claims("ann", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\",\"exp\":1700000060}{}", TOKEN_INVALID);
    expect_claims("{\"sub\":\"ann\",\"exp\":1700000060", TOKEN_INVALID);
}

static void limits_the_length_of_sub(void **state)
{
    struct buffer claims = {0};

    (void)state;
    for (int length = 255; length <= 256; length++) {
        buffer_clear(&claims);
        buffer_printf(&claims, "{\"exp\":1700000060,\"sub\":\"%0*d\"}%c", length, 0, '\0');
        struct buffer token = tokens_sign_hmac(BYTES(HS256), bytes_from_text(claims.data), SECRET),
                      grant = {0};
        const char *why;

        assert_int_equal(token_verify(&policy, buffer_bytes(&token), NOW, &grant, &why),
                         length == 255 ? TOKEN_GOOD : TOKEN_INVALID);
        buffer_done(&token);
        buffer_done(&grant);
    }
    buffer_done(&claims);
}

static void judges_issuer_and_audience(void **state)
{
    static const struct {
        const char *claims;
        enum token_verdict verdict;
    } cases[] = {
        {"\"iss\":\"id\",\"aud\":\"chat\"", TOKEN_GOOD},
        {"\"iss\":\"id\",\"aud\":[\"shop\",\"chat\"]", TOKEN_GOOD},
        {"\"iss\":\"id\"", TOKEN_INVALID},
        {"\"aud\":\"chat\"", TOKEN_INVALID},
        {"\"iss\":\"ID\",\"aud\":\"chat\"", TOKEN_INVALID},
        {"\"iss\":\"id \",\"aud\":\"chat\"", TOKEN_INVALID},
        {"\"iss\":[\"id\"],\"aud\":\"chat\"", TOKEN_INVALID},
        {"\"iss\":\"id\",\"aud\":\"chatter\"", TOKEN_INVALID},
        {"\"iss\":\"id\",\"aud\":[]", TOKEN_INVALID},
        {"\"iss\":\"id\",\"aud\":[[\"chat\"]]", TOKEN_INVALID},
        {"\"iss\":\"id\",\"aud\":{\"chat\":\"chat\"}", TOKEN_INVALID},
    };

    (void)state;
    policy.issuer = "id";
    policy.audience = "chat";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char claims[256];

        snprintf(claims, sizeof claims, "{\"sub\":\"ann\",\"exp\":1700000060,%s}", cases[i].claims);
        expect_claims(claims, cases[i].verdict);
    }
    policy.issuer = policy.audience = NULL;
    expect_claims("{\"sub\":\"ann\",\"exp\":1700000060,\"iss\":\"x\",\"aud\":[1]}", TOKEN_GOOD);
}

static void makes_rights_of_the_claim(void **state)
{
#define BASE "{\"sub\":\"ann\",\"exp\":1700000060,"
    (void)state;
    expect_signed(HS256, BASE "\"hubbub\":{\"join\":[\"a*\",\"b\"],\"publish\":[],\"read\":[\"*\"]}}",
                  TOKEN_GOOD, BASE "\"rights\":{\"join\":[\"a*\",\"b\"],\"publish\":[],\"read\":[\"*\"]}}");
    expect_signed(HS256, BASE "\"hubbub\":{\"join\":[\"a\"]}}", TOKEN_GOOD,
                  BASE "\"rights\":{\"join\":[\"a\"],\"publish\":[\"a\"],\"read\":[\"a\"]}}");
    expect_signed(HS256, BASE "\"hubbub\":{}}", TOKEN_GOOD,
                  BASE "\"rights\":{\"join\":[],\"publish\":[],\"read\":[]}}");
    expect_claims(BASE "\"hubbub\":[]}", TOKEN_INVALID);
    expect_claims(BASE "\"hubbub\":null}", TOKEN_INVALID);
    expect_claims(BASE "\"hubbub\":{\"join\":\"*\"}}", TOKEN_INVALID);
    expect_claims(BASE "\"hubbub\":{\"join\":[1]}}", TOKEN_INVALID);
    expect_claims(BASE "\"hubbub\":{\"join\":[\"\"]}}", TOKEN_INVALID);
    expect_claims(BASE "\"hubbub\":{\"join\":[\"a\\n\"]}}", TOKEN_INVALID);
    expect_claims(BASE "\"hubbub\":{\"admin\":true}}", TOKEN_INVALID);
    policy.rights = "{\"join\":[\"lobby\"],\"publish\":[],\"read\":[]}";
    expect_signed(HS256, CLAIMS, TOKEN_GOOD,
                  BASE "\"rights\":{\"join\":[\"lobby\"],\"publish\":[],\"read\":[]}}");
    expect_signed(HS256, BASE "\"hubbub\":{\"join\":[\"a\"]}}", TOKEN_GOOD,
                  BASE "\"rights\":{\"join\":[\"a\"],\"publish\":[\"a\"],\"read\":[\"a\"]}}");
    policy.rights = NULL;
}

/* Every token that is cut short, or has one character changed, but for bits that make no byte. */
static void takes_nothing_that_was_changed(void **state)
{
    struct buffer token = tokens_sign_hmac(BYTES(HS256), BYTES(CLAIMS), SECRET);
    char *copy = memory_text(token.data, token.length);

    (void)state;
    for (size_t length = 0; length < token.length; length++)
        expect(bytes_make(copy, length), TOKEN_INVALID, "");
    for (size_t i = 0; i + 1 < token.length; i++) {
        static const char others[] = "AZaz09-_.+/= %\n\xff";

        for (const char *c = others; *c; c++) {
            if (*c == token.data[i])
                continue;
            copy[i] = *c;
            expect(bytes_make(copy, token.length), TOKEN_INVALID, "");
        }
        copy[i] = token.data[i];
    }
    free(copy);
    buffer_append_literal(&token, ".x");
    expect(buffer_bytes(&token), TOKEN_INVALID, "");
    token.length--;
    expect(buffer_bytes(&token), TOKEN_INVALID, "");
    buffer_done(&token);
}

static void takes_nothing_huge(void **state)
{
    struct buffer claims = {0}, token;

    (void)state;
    buffer_append_literal(&claims, "{\"sub\":\"ann\",\"exp\":1700000060,\"more\":\"");
    while (claims.length < TOKEN_LENGTH_MAX)
        buffer_append_char(&claims, 'x');
    buffer_append_literal(&claims, "\"}");
    token = tokens_sign_hmac(BYTES(HS256), buffer_bytes(&claims), SECRET);
    expect(buffer_bytes(&token), TOKEN_INVALID, "");
    buffer_done(&token);
    buffer_clear(&claims);
    buffer_append_literal(&claims, "{\"sub\":\"ann\",\"exp\":1700000060,\"more\":");
    for (int i = 0; i < 3000; i++)
        buffer_append_char(&claims, '[');
    token = tokens_sign_hmac(BYTES(HS256), buffer_bytes(&claims), SECRET);
    expect(buffer_bytes(&token), TOKEN_INVALID, "");
    buffer_done(&token);
    buffer_done(&claims);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_each_algorithm),
        cmocka_unit_test(looks_a_kid_up_in_the_list_and_nowhere_else),
        cmocka_unit_test(takes_no_other_secret),
        cmocka_unit_test(takes_the_algorithm_from_the_key),
        cmocka_unit_test(takes_no_public_key_for_a_secret),
        cmocka_unit_test(judges_the_dates),
        cmocka_unit_test(reads_claims_strictly),
        cmocka_unit_test(limits_the_length_of_sub),
        cmocka_unit_test(judges_issuer_and_audience),
        cmocka_unit_test(makes_rights_of_the_claim),
        cmocka_unit_test(takes_nothing_that_was_changed),
        cmocka_unit_test(takes_nothing_huge),
    };

    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
