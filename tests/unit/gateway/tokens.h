/* Keys and tokens for tests, made with OpenSSL alone: what they say is not looked at, so tokens may be wrong in
 * any way. */
#ifndef HUBBUB_TESTS_UNIT_GATEWAY_TOKENS_H
#define HUBBUB_TESTS_UNIT_GATEWAY_TOKENS_H

#include "common/buffer.h"

#include <openssl/evp.h>

#define TOKENS_SECRET "a secret of thirty-two bytes or so"

/* "RSA" of that many bits, or "EC" on that curve (bits 256 or 384). */
EVP_PKEY *tokens_make_key(const char *kind, unsigned bits);

/* Appends it as PEM. */
void tokens_append_pem(EVP_PKEY *key, bool secret, struct buffer *out);

void tokens_append_base64url(struct buffer *out, struct bytes bytes);

/* Signs head and claims, both taken as they are: by HMAC with a secret, or with a key as RS256 or ES256. */
struct buffer tokens_sign_hmac(struct bytes head, struct bytes claims, struct bytes secret);
struct buffer tokens_sign(struct bytes head, struct bytes claims, EVP_PKEY *key);

/* A file with that text in the folder, with that mode; its path, to be freed. */
char *tokens_write_file(const char *folder, const char *name, struct bytes text, unsigned mode);

#endif
