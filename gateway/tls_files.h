/*
 * Which files the certificates stand in: the keys tls_certificate and tls_key, and at the top of the file
 *
 *   certificates = ( { certificate = "a.pem"; key = "a.key"; }, { certificate = "b.pem"; } );
 *
 * A key that is not named stands in the certificate's file.  The first certificate is for clients that name
 * no server, or one that nobody has a certificate for.
 */
#ifndef HUBBUB_GATEWAY_TLS_FILES_H
#define HUBBUB_GATEWAY_TLS_FILES_H

#include "common/buffer.h"
#include "common/config_describe.h"
#include "common/error.h"

#include <libconfig.h>
#include <stddef.h>

struct tls_file {
    char *certificate; /* path: PEM, the certificate first, then those that lead to its root */
    char *key;         /* path: PEM */
    char *origin;      /* "FILE:LINE" of an entry of certificates; NULL: the two keys */
};

/* Zero-initialised has none: no TLS. */
struct tls_files {
    struct tls_file *files; /* owned */
    size_t count;
};

/*
 * certificate and key: what the two keys say, or NULL.  No file is opened.  0, or ERROR_CONFIG with one line
 * without newline in error.
 */
int tls_files_load(const config_t *config, const char *certificate, const char *key, struct tls_files *out,
                   struct buffer *error) MUST_CHECK;

/* Visits the entries of certificates as config_describe() does keys: "certificates[0]", with the value
   "certificate=a.pem;key=a.key". */
void tls_files_describe(const struct tls_files *files, config_visit *visit, void *argument);

void tls_files_done(struct tls_files *files);

#endif
