/*
 * What all TLS connections of a gateway share: certificates and their keys, which of them a client gets by
 * the name that it asks for (SNI, RFC 6066 3), and the keys of tickets.
 *
 * TLS 1.2 (forward secrecy and AEAD only) and 1.3; no renegotiation, no compression, no early data; no session
 * is kept here (RFC 5077 instead).
 */
#ifndef HUBBUB_GATEWAY_TLS_STORE_H
#define HUBBUB_GATEWAY_TLS_STORE_H

#include "common/buffer.h"
#include "common/error.h"
#include "gateway/tls_files.h"

#include <openssl/ssl.h>
#include <stdint.h>

enum tls_minimum { TLS_MINIMUM_1_2, TLS_MINIMUM_1_3 };

extern const char *const tls_minimum_names[]; /* NULL at the end */

struct tls_plan {
    struct tls_files files;
    enum tls_minimum minimum;
    const char *ticket_key; /* path; NULL: a random key, which a reload keeps */
};

struct tls_store;

/*
 * Reads the files, at least one.  0, or ERROR_CONFIG with one line without newline in error: a file that can't
 * be read, holds something else, or a key that is not its certificate's.
 */
int tls_store_open(const struct tls_plan *plan, struct tls_store **out, struct buffer *error) MUST_CHECK;

/* Reads them anew, for connections that begin from now on.  ERROR_CONFIG as above; then nothing has changed. */
int tls_store_reload(struct tls_store *store, const struct tls_plan *plan, struct buffer *error) MUST_CHECK;

/* Logs a warning for each certificate that clients refuse now, because it has expired or is not valid yet.  plan: of which
   it was opened. */
void tls_store_warn_of_time(const struct tls_store *store, const struct tls_plan *plan);

/* When the first of the certificates expires, in seconds since 1970. */
uint64_t tls_store_expiry(const struct tls_store *store);

/* Takes NULL.  Connections may outlive it if nothing comes in on them any more. */
void tls_store_free(struct tls_store *store);

/* A connection that waits for a client's first bytes; the caller's.  NULL when there is no memory. */
SSL *tls_store_begin(struct tls_store *store) MUST_CHECK;

#endif
