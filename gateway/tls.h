/*
 * TLS on one connection: bytes in, bytes out, over OpenSSL.
 *
 * OpenSSL neither reads nor writes the descriptor.  What came is given to it whole, and all of it is used up at
 * once: nothing waits inside that the poller would not tell of.  What it has to send is taken from it at once,
 * so that it never wants the same bytes again; what the kernel does not take then waits here.  So it holds no
 * buffer while a connection is idle.
 *
 *   HANDSHAKE ------> ESTABLISHED ------> CLOSED (close_notify was sent, or it failed: nothing more goes out
 *       |                                    ^    but what waits)
 *       +------------------------------------+
 */
#ifndef HUBBUB_GATEWAY_TLS_H
#define HUBBUB_GATEWAY_TLS_H

#include "common/bytes.h"
#include "common/error.h"
#include "gateway/output.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls;
struct tls_store;

/* X(NAME, what it means): why a handshake failed, as far as it can be told. */
#define TLS_FAILURE_TABLE(X)                                                                                 \
    X(PROTOCOL)  /* what came is not TLS, or breaks its rules */                                             \
    X(HTTP)      /* HTTP in the clear */                                                                     \
    X(VERSION)   /* no version that both speak */                                                            \
    X(AGREEMENT) /* no cipher, group, signature or application protocol that both have */                    \
    X(ALERT)     /* the client gave up, as when it does not know who signed the certificate */

enum tls_failure {
#define X(name) TLS_FAILURE_##name,
    TLS_FAILURE_TABLE(X)
#undef X
};

enum { TLS_INPUT_MAX = 64 << 10 }; /* bytes that may be given at once */

/* Waits for the client's handshake.  NULL when there is no memory. */
struct tls *tls_new(struct tls_store *store) MUST_CHECK;

/* Takes NULL. */
void tls_free(struct tls *tls);

/* Whether the handshake is over, well. */
bool tls_has_begun(const struct tls *tls);

/*
 * Takes in what came.  *plain: what it says, perhaps nothing; valid until the next call of any connection, and
 * may be changed in place.  Also with an error.  0; ERROR_CLOSED when the client said that nothing more comes;
 * ERROR_PROTOCOL when it broke the protocol (tls_failure() says how; an alert waits to be sent);
 * ERROR_TOO_LARGE when it asks for answers and does not read them.
 */
int tls_receive(struct tls *tls, struct bytes came, char **plain, size_t *length) MUST_CHECK;

/* After ERROR_PROTOCOL. */
enum tls_failure tls_failure(const struct tls *tls);

/* Bytes that wait to be sent, as the descriptor gets them. */
size_t tls_waiting(const struct tls *tls);

/* Puts bytes behind them that are not TLS at all. */
void tls_say_plainly(struct tls *tls, struct bytes bytes);

/*
 * Sends what waits, then everything in output, which must be empty before the handshake is over: see
 * output_write().
 */
int tls_write(struct tls *tls, struct output *output, int fd, uint64_t *written, uint64_t *calls) MUST_CHECK;

/* Sends what waits, with a close_notify at its end (RFC 8446 6.1) if there can be one. */
int tls_finish(struct tls *tls, int fd, uint64_t *written, uint64_t *calls) MUST_CHECK;

/* Of an established one: whether it is TLS 1.3, and whether it goes on where an earlier one was. */
bool tls_is_1_3(const struct tls *tls);
bool tls_is_resumed(const struct tls *tls);

#endif
