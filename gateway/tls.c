/*
 * TLS on one connection; see tls.h.  The entrance makes it, connection.c reads and writes through it.  The
 * surprising rule: the buffers between OpenSSL and us belong to the process, so whatever a call leaves in them
 * is taken out before it returns.
 */
#include "gateway/tls.h"

#include "common/memory.h"
#include "gateway/tls_store.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    RECORD_MAX = 16 << 10,
    PLAIN_MAX = TLS_INPUT_MAX + 2 * RECORD_MAX, /* also a record that had come in part, and then some */
    WRITE_MAX = 4 * RECORD_MAX,                 /* of what waits, encrypted at once */
    UNREAD_MAX = 64 << 10,                      /* bytes of answers that a client may leave unread */
};

enum tls_state { TLS_HANDSHAKE, TLS_ESTABLISHED, TLS_CLOSED };

struct tls {
    SSL *ssl;
    struct output waiting; /* records that the kernel did not take */
    uint8_t state;         /* enum tls_state */
    uint8_t failure;       /* enum tls_failure */
};

/* One for the process. */
static struct {
    BIO_METHOD *method;
    struct bytes came;     /* what OpenSSL has not read yet */
    struct buffer records; /* what it has written */
    char *plain;           /* PLAIN_MAX */
    struct buffer gathered;
} shared;

/* -- OpenSSL's side ---------------------------------------------------------------------------- */

static int bio_read(BIO *bio, char *out, int length)
{
    size_t taken = (size_t)length < shared.came.length ? (size_t)length : shared.came.length;

    BIO_clear_retry_flags(bio);
    if (taken == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(out, shared.came.data, taken);
    shared.came = bytes_make(shared.came.data + taken, shared.came.length - taken);
    return (int)taken;
}

static int bio_write(BIO *bio, const char *data, int length)
{
    BIO_clear_retry_flags(bio);
    buffer_append(&shared.records, data, (size_t)length);
    return length;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static void prepare(void)
{
    if (shared.method)
        return;
    shared.method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hubbub");
    if (!shared.method || BIO_meth_set_read(shared.method, bio_read) != 1 ||
        BIO_meth_set_write(shared.method, bio_write) != 1 ||
        BIO_meth_set_ctrl(shared.method, bio_control) != 1 ||
        BIO_meth_set_create(shared.method, bio_create) != 1)
        abort(); /* there is no memory at the start */
    shared.plain = memory_new(PLAIN_MAX);
}

/* -- the connection ---------------------------------------------------------------------------- */

struct tls *tls_new(struct tls_store *store)
{
    struct tls *tls = memory_zero(1, sizeof *tls);
    BIO *bio;

    prepare();
    bio = BIO_new(shared.method);
    tls->ssl = bio ? tls_store_begin(store) : NULL;
    if (!tls->ssl) {
        BIO_free(bio);
        free(tls);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_bio(tls->ssl, bio, bio);
    return tls;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    output_done(&tls->waiting);
    free(tls);
}

static void set_state(struct tls *tls, enum tls_state state)
{
    assert(state > tls->state);
    tls->state = (uint8_t)state;
}

bool tls_has_begun(const struct tls *tls)
{
    return SSL_is_init_finished(tls->ssl);
}

enum tls_failure tls_failure(const struct tls *tls)
{
    return tls->failure;
}

size_t tls_waiting(const struct tls *tls)
{
    return tls->waiting.bytes;
}

bool tls_is_1_3(const struct tls *tls)
{
    return SSL_version(tls->ssl) == TLS1_3_VERSION;
}

bool tls_is_resumed(const struct tls *tls)
{
    return SSL_session_reused(tls->ssl);
}

void tls_say_plainly(struct tls *tls, struct bytes bytes)
{
    memcpy(output_reserve(&tls->waiting, bytes.length), bytes.data, bytes.length);
}

/* What OpenSSL has written waits to be sent. */
static void keep_records(struct tls *tls, size_t from)
{
    struct bytes records = bytes_make(shared.records.data + from, shared.records.length - from);

    if (records.length)
        tls_say_plainly(tls, records);
    buffer_clear(&shared.records);
}

/* -- reading ----------------------------------------------------------------------------------- */

static enum tls_failure classify(unsigned long error)
{
    int reason = ERR_GET_REASON(error);

    if (ERR_GET_LIB(error) != ERR_LIB_SSL)
        return TLS_FAILURE_PROTOCOL;
    if (reason >= SSL_AD_REASON_OFFSET)
        return TLS_FAILURE_ALERT;
    switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
        return TLS_FAILURE_HTTP;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
        return TLS_FAILURE_VERSION;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return TLS_FAILURE_AGREEMENT;
    default:
        return TLS_FAILURE_PROTOCOL;
    }
}

/* Why reading has stopped: 0 for want of more. */
static int reason_to_stop(struct tls *tls)
{
    switch (SSL_get_error(tls->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return ERROR_CLOSED;
    default:
        tls->failure = (uint8_t)classify(ERR_peek_error());
        set_state(tls, TLS_CLOSED);
        return ERROR_PROTOCOL;
    }
}

int tls_receive(struct tls *tls, struct bytes came, char **plain, size_t *length)
{
    size_t filled = 0, n;
    int result;

    assert(came.length <= TLS_INPUT_MAX);
    *plain = shared.plain;
    *length = 0;
    if (tls->state == TLS_CLOSED)
        return ERROR_CLOSED;
    shared.came = came;
    ERR_clear_error();
    while (SSL_read_ex(tls->ssl, shared.plain + filled, PLAIN_MAX - filled, &n)) {
        filled += n;
        assert(filled < PLAIN_MAX);
    }
    if (tls->state == TLS_HANDSHAKE && SSL_is_init_finished(tls->ssl))
        set_state(tls, TLS_ESTABLISHED);
    result = reason_to_stop(tls);
    assert(result || shared.came.length == 0);
    shared.came = (struct bytes){0};
    keep_records(tls, 0);
    ERR_clear_error();
    *length = filled;
    return result == 0 && tls->waiting.bytes > WRITE_MAX + UNREAD_MAX ? ERROR_TOO_LARGE : result;
}

/* -- writing ----------------------------------------------------------------------------------- */

/* The first bytes of what waits, in one piece. */
static struct bytes take_piece(const struct output *output)
{
    const struct segment *first = output->first;
    size_t wanted = output->bytes < WRITE_MAX ? output->bytes : WRITE_MAX;

    if (first->length >= wanted)
        return bytes_make(first->chunk->data + first->offset, wanted);
    buffer_clear(&shared.gathered);
    for (const struct segment *segment = first; shared.gathered.length < wanted; segment = segment->next) {
        size_t rest = wanted - shared.gathered.length;

        buffer_append(&shared.gathered, segment->chunk->data + segment->offset,
                      segment->length < rest ? segment->length : rest);
    }
    return buffer_bytes(&shared.gathered);
}

/* Records of the first bytes of what waits in output.  0 or ERROR_CLOSED. */
static int encrypt(struct tls *tls, struct output *output)
{
    struct bytes piece = take_piece(output);
    size_t n;

    ERR_clear_error();
    if (!SSL_write_ex(tls->ssl, piece.data, piece.length, &n) || n != piece.length) {
        buffer_clear(&shared.records);
        return ERROR_CLOSED;
    }
    output_consume(output, n);
    return 0;
}

/* Sends the records; what is left of them waits.  As tls_write(). */
static int send_records(struct tls *tls, int fd, uint64_t *written, uint64_t *calls)
{
    ssize_t n = send(fd, shared.records.data, shared.records.length, MSG_NOSIGNAL);
    bool whole = n == (ssize_t)shared.records.length;

    ++*calls;
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        buffer_clear(&shared.records);
        return ERROR_CLOSED;
    }
    if (n > 0)
        *written += (uint64_t)n;
    keep_records(tls, n > 0 ? (size_t)n : 0);
    return whole ? 0 : ERROR_AGAIN;
}

int tls_write(struct tls *tls, struct output *output, int fd, uint64_t *written, uint64_t *calls)
{
    int result = output_write(&tls->waiting, fd, written, calls);

    while (result == 0 && output->first && tls->state == TLS_ESTABLISHED) {
        result = encrypt(tls, output);
        if (result == 0)
            result = send_records(tls, fd, written, calls);
    }
    return result;
}

int tls_finish(struct tls *tls, int fd, uint64_t *written, uint64_t *calls)
{
    if (tls->state == TLS_ESTABLISHED) {
        ERR_clear_error();
        SSL_shutdown(tls->ssl); /* what it says does not matter: there is no waiting for the client's */
        keep_records(tls, 0);
        set_state(tls, TLS_CLOSED);
    }
    return output_write(&tls->waiting, fd, written, calls);
}
