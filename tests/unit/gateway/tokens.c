#include "tokens.h"

#include "common/base64.h"
#include "common/memory.h"

#include <assert.h>
#include <fcntl.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The tests are worth nothing when this fails. */
static void must(bool holds)
{
    if (!holds)
        abort();
}

EVP_PKEY *tokens_make_key(const char *kind, unsigned bits)
{
    EVP_PKEY *key = *kind == 'R' ? EVP_RSA_gen(bits) : EVP_EC_gen(bits == 256 ? "P-256" : "P-384");

    must(key != NULL);
    return key;
}

void tokens_append_pem(EVP_PKEY *key, bool secret, struct buffer *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long length;

    must((secret ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
                 : PEM_write_bio_PUBKEY(bio, key)) == 1);
    length = BIO_get_mem_data(bio, &text);
    buffer_append(out, text, (size_t)length);
    BIO_free(bio);
}

void tokens_append_base64url(struct buffer *out, struct bytes bytes)
{
    char *at = buffer_reserve(out, base64_length(bytes.length));
    size_t length = base64_length(bytes.length);

    base64_write(at, bytes);
    while (length && at[length - 1] == '=')
        length--;
    for (size_t i = 0; i < length; i++)
        at[i] = at[i] == '+' ? '-' : at[i] == '/' ? '_' : at[i];
    buffer_extend(out, length);
}

static struct buffer unsigned_token(struct bytes head, struct bytes claims)
{
    struct buffer token = {0};

    tokens_append_base64url(&token, head);
    buffer_append_char(&token, '.');
    tokens_append_base64url(&token, claims);
    return token;
}

struct buffer tokens_sign_hmac(struct bytes head, struct bytes claims, struct bytes secret)
{
    struct buffer token = unsigned_token(head, claims);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned length;

    must(HMAC(EVP_sha256(), secret.data, (int)secret.length, (const unsigned char *)token.data, token.length,
              mac, &length) != NULL);
    buffer_append_char(&token, '.');
    tokens_append_base64url(&token, bytes_make((const char *)mac, length));
    return token;
}

/* ECDSA's two numbers, one behind the other (RFC 7518 3.4). */
static void append_numbers(struct buffer *token, const unsigned char *der, size_t length, int width)
{
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)length);
    unsigned char numbers[2 * 48];

    must(signature != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(signature), numbers, width) == width &&
         BN_bn2binpad(ECDSA_SIG_get0_s(signature), numbers + width, width) == width);
    tokens_append_base64url(token, bytes_make((const char *)numbers, 2 * (size_t)width));
    ECDSA_SIG_free(signature);
}

struct buffer tokens_sign(struct bytes head, struct bytes claims, EVP_PKEY *key)
{
    struct buffer token = unsigned_token(head, claims);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char signature[1024];
    size_t length = sizeof signature;

    must(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
         EVP_DigestSign(context, signature, &length, (const unsigned char *)token.data, token.length) == 1);
    EVP_MD_CTX_free(context);
    buffer_append_char(&token, '.');
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC)
        append_numbers(&token, signature, length, EVP_PKEY_get_bits(key) / 8);
    else
        tokens_append_base64url(&token, bytes_make((const char *)signature, length));
    return token;
}

char *tokens_write_file(const char *folder, const char *name, struct bytes text, unsigned mode)
{
    struct buffer path = {0};
    int fd;

    buffer_printf(&path, "%s/%s%c", folder, name, '\0');
    unlink(path.data);
    fd = open(path.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    must(fd >= 0 && fchmod(fd, mode) == 0 && write(fd, text.data, text.length) == (ssize_t)text.length &&
         close(fd) == 0);
    return path.data;
}
