/* TLS under the links of a crowd.  Whatever certificate the server has is taken. */
#ifndef HUBBUB_TESTS_BENCH_CROWD_TLS_H
#define HUBBUB_TESTS_BENCH_CROWD_TLS_H

#include "common/error.h"

#include <openssl/types.h>
#include <stddef.h>
#include <sys/types.h>

/* What the connections share.  NULL when it is not to be had. */
SSL_CTX *crowd_tls_new(void) MUST_CHECK;
void crowd_tls_free(SSL_CTX *context);

/* Of a connected descriptor; NULL when there is no memory. */
SSL *crowd_tls_open(SSL_CTX *context, int fd) MUST_CHECK;
void crowd_tls_close(SSL *ssl);

/* Goes on with the handshake.  0 when it is over, ERROR_AGAIN, or ERROR_PROTOCOL. */
int crowd_tls_shake_hands(SSL *ssl) MUST_CHECK;

/* As recv() and send() on a descriptor that does not block; all that has come is read. */
ssize_t crowd_tls_receive(SSL *ssl, char *out, size_t size);
ssize_t crowd_tls_send(SSL *ssl, const char *data, size_t length);

#endif
