/*
 * The keys of session tickets (RFC 5077 4, RFC 8446 4.6.1): what a client needs to resume a TLS session is
 * with the client, encrypted under them, so that a gateway keeps nothing of it.
 *
 * The file has one to three keys of 80 random bytes, the newest first: that one encrypts, the others still
 * decrypt.  Gateways with the same file resume each other's sessions.
 */
#ifndef HUBBUB_GATEWAY_TLS_TICKET_H
#define HUBBUB_GATEWAY_TLS_TICKET_H

#include "common/buffer.h"
#include "common/error.h"

#include <openssl/ssl.h>
#include <stddef.h>

enum { TLS_TICKET_KEYS = 3 };

struct tls_ticket_key {
    unsigned char name[16];
    unsigned char cipher[32]; /* AES-256-CBC */
    unsigned char mac[32];    /* HMAC-SHA-256 */
};

/* All zero has none, and no ticket is given. */
struct tls_ticket_keys {
    struct tls_ticket_key keys[TLS_TICKET_KEYS];
    size_t count;
};

/* A random key, for a gateway by itself.  0 or ERROR_SYSTEM. */
int tls_ticket_keys_make(struct tls_ticket_keys *out) MUST_CHECK;

/* Reads the file; nobody but its owner may have rights to it.  0, or ERROR_CONFIG with a line in error. */
int tls_ticket_keys_read(const char *path, struct tls_ticket_keys *out, struct buffer *error) MUST_CHECK;

/* The context gives and takes tickets under the keys, as they are when they are needed: they must outlive it,
 * and may change. */
void tls_ticket_keys_use(SSL_CTX *context, struct tls_ticket_keys *keys);

void tls_ticket_keys_wipe(struct tls_ticket_keys *keys);

#endif
