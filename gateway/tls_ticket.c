/*
 * The keys of session tickets; see tls_ticket.h.  tls_store.c has them.  The surprising rule: a ticket under
 * an older key is taken and replaced, so that a key may be given up a ticket's life after its successor came.
 */
#include "gateway/tls_ticket.h"

#include "common/secret_file.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <string.h>

static_assert(sizeof(struct tls_ticket_key) == 80, "as it stands in the file");

int tls_ticket_keys_make(struct tls_ticket_keys *out)
{
    struct tls_ticket_keys made = {.count = 1};

    if (RAND_bytes((unsigned char *)made.keys, sizeof *made.keys) != 1)
        return ERROR_SYSTEM;
    *out = made;
    return 0;
}

int tls_ticket_keys_read(const char *path, struct tls_ticket_keys *out, struct buffer *error)
{
    struct buffer text = {0};
    int result = secret_file_read(path, true, "the keys of tickets", &text, error);

    if (result == 0 &&
        (text.length == 0 || text.length > sizeof out->keys || text.length % sizeof *out->keys)) {
        buffer_printf(error, "%s: %zu bytes; expected 80 random bytes for each of 1 to %d keys", path,
                      text.length, TLS_TICKET_KEYS);
        result = ERROR_CONFIG;
    }
    if (result == 0) {
        *out = (struct tls_ticket_keys){.count = text.length / sizeof *out->keys};
        memcpy(out->keys, text.data, text.length);
    }
    secret_file_wipe(&text);
    return result;
}

void tls_ticket_keys_wipe(struct tls_ticket_keys *keys)
{
    explicit_bzero(keys, sizeof *keys);
}

/* Where a key stands by its name; count when it is none of them. */
static size_t find(const struct tls_ticket_keys *keys, const unsigned char *name)
{
    size_t i = 0;

    while (i < keys->count && memcmp(keys->keys[i].name, name, sizeof keys->keys[i].name) != 0)
        i++;
    return i;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1: done; 2: done, and the ticket is to be replaced; 0: no such
 * key; -1: failed. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypts)
{
    struct tls_ticket_keys *keys = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    size_t at = encrypts ? 0 : find(keys, name);
    char digest[] = "SHA256";
    struct tls_ticket_key *key;

    if (at >= keys->count)
        return 0;
    key = &keys->keys[at];
    if (encrypts) {
        memcpy(name, key->name, sizeof key->name);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
            return -1;
    }

    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    if (EVP_CipherInit_ex2(cipher, EVP_aes_256_cbc(), key->cipher, iv, encrypts, NULL) != 1 ||
        EVP_MAC_CTX_set_params(mac, parameters) != 1)
        return -1;
    return at == 0 ? 1 : 2;
}

void tls_ticket_keys_use(SSL_CTX *context, struct tls_ticket_keys *keys)
{
    SSL_CTX_set_app_data(context, keys);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
}
