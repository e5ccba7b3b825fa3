/* TLS under the links of a crowd; see crowd_tls.h.  crowd.c calls it.  The surprise: it reads ahead, so whatever
 * was read must be asked for until there is no more. */
#include "tests/bench/crowd_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

SSL_CTX *crowd_tls_new(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (context) {
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
        SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    }
    return context;
}

void crowd_tls_free(SSL_CTX *context)
{
    SSL_CTX_free(context);
}

SSL *crowd_tls_open(SSL_CTX *context, int fd)
{
    SSL *ssl = SSL_new(context);

    if (ssl && SSL_set_fd(ssl, fd) == 1) {
        SSL_set_connect_state(ssl);
        return ssl;
    }
    SSL_free(ssl);
    return NULL;
}

void crowd_tls_close(SSL *ssl)
{
    SSL_free(ssl);
}

int crowd_tls_shake_hands(SSL *ssl)
{
    int result;

    ERR_clear_error();
    result = SSL_do_handshake(ssl);
    if (result == 1)
        return 0;
    return SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ ? ERROR_AGAIN : ERROR_PROTOCOL;
}

ssize_t crowd_tls_receive(SSL *ssl, char *out, size_t size)
{
    size_t filled = 0, n;

    ERR_clear_error();
    while (filled < size && SSL_read_ex(ssl, out + filled, size - filled, &n))
        filled += n;
    if (filled)
        return (ssize_t)filled;
    switch (SSL_get_error(ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        errno = EPROTO;
        return -1;
    }
}

ssize_t crowd_tls_send(SSL *ssl, const char *data, size_t length)
{
    size_t n;

    ERR_clear_error();
    if (SSL_write_ex(ssl, data, length, &n))
        return (ssize_t)n;
    errno = EPROTO;
    return -1;
}
