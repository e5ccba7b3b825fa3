/* Certificates that are made when they are needed, and the client's side of TLS over memory. */
#ifndef HUBBUB_TESTS_GATEWAY_TLS_PEER_H
#define HUBBUB_TESTS_GATEWAY_TLS_PEER_H

#include "common/buffer.h"
#include "gateway/tls.h"

#include <openssl/ssl.h>

/* A folder of this program's own, removed with what is in it. */
const char *tls_folder_make(void);
void tls_folder_remove(void);

/* A path in it, valid until the 16th call after this one. */
const char *tls_path(const char *name);

/* Writes NAME.pem and NAME.key: a certificate that signed itself.  names: of its SAN, "DNS:a,DNS:*.b", or
 * NULL; its CN is name. */
void tls_certificate_write(const char *name, const char *names);

/* The same for one that expires in so many seconds, instead of a day. */
void tls_certificate_write_for(const char *name, const char *names, long seconds);

/* Writes the file, which nobody else may read. */
void tls_file_write(const char *name, struct bytes bytes);

/* What a client asks for; zero for nothing. */
struct tls_wishes {
    int version; /* the only one, such as TLS1_2_VERSION */
    const char *server_name;
    struct bytes protocols; /* ALPN, with the length in front of each */
    SSL_SESSION *session;
    const char *ciphers; /* of TLS 1.2 */
};

/* A client, which takes every certificate. */
SSL *tls_client_new(const struct tls_wishes *wishes);

/* What it has to send, after an attempt to go on; valid until the next call. */
struct bytes tls_client_says(SSL *client);
void tls_client_hears(SSL *client, struct bytes bytes);

/* What waits at the server's side, taken from there through a pair of sockets; valid until the next call. */
struct bytes tls_server_says(struct tls *server);

/* Both go on until the handshake is over or has failed.  The last result of tls_receive(). */
int tls_shake_hands(SSL *client, struct tls *server);

#endif
