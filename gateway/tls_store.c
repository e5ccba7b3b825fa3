/*
 * Certificates and contexts; see tls_store.h.  The gateway has one, tls.c begins connections with it.  The
 * surprising rule: a connection holds the context that it began with, so that a reload drops nobody, but looks
 * for the certificate of its name among those that are current then.
 */
#include "gateway/tls_store.h"

#include "common/log.h"
#include "common/memory.h"
#include "gateway/tls_ticket.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

const char *const tls_minimum_names[] = {"1.2", "1.3", NULL};

/* Of a plan, in its order. */
struct contexts {
    SSL_CTX **items;
    size_t count;
};

struct tls_store {
    struct contexts current;
    struct tls_ticket_keys tickets;
    bool random_tickets; /* they come from no file */
};

static void contexts_done(struct contexts *contexts)
{
    for (size_t i = 0; i < contexts->count; i++)
        SSL_CTX_free(contexts->items[i]);
    free(contexts->items);
    *contexts = (struct contexts){0};
}

/* -- what a client asks for -------------------------------------------------------------------- */

static SSL_CTX *find(const struct contexts *contexts, const char *name, unsigned flags)
{
    for (size_t i = 0; i < contexts->count; i++)
        if (X509_check_host(SSL_CTX_get0_certificate(contexts->items[i]), name, strlen(name),
                            X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | flags, NULL) == 1)
            return contexts->items[i];
    return NULL;
}

/* The certificate for the name: one that has it exactly goes before a wildcard. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const struct tls_store *store = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *context = NULL;

    (void)alert;
    if (name)
        context = find(&store->current, name, X509_CHECK_FLAG_NO_WILDCARDS);
    if (name && !context)
        context = find(&store->current, name, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (!context)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_SSL_CTX(ssl, context);
    return SSL_TLSEXT_ERR_OK;
}

/* RFC 7301: HTTP/1.1, or nothing. */
static int on_protocols(SSL *ssl, const unsigned char **out, unsigned char *length,
                        const unsigned char *offered, unsigned offered_length, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, length, ours, sizeof ours - 1, offered, offered_length) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* -- loading ----------------------------------------------------------------------------------- */

/* Why it failed: what went wrong first led to the rest. */
static const char *first_error(void)
{
    unsigned long error = ERR_peek_error();
    const char *reason =
        ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error)) : ERR_reason_error_string(error);

    return reason ? reason : "unknown error";
}

/* Never asks at the terminal. */
static int on_passphrase(char *out, int size, int writes, void *arg)
{
    (void)out;
    (void)size;
    (void)writes;
    (void)arg;
    return -1;
}

static void warn_of_readers(const char *path)
{
    struct stat status;

    if (stat(path, &status) == 0 && status.st_mode & S_IROTH)
        log_warn("everyone may read the key of a certificate", "file=%s", path);
}

/* Whether there is a private key in the file, of whatever kind, also one with a passphrase. */
static bool holds_key(const char *path)
{
    FILE *file = fopen(path, "re");
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long length;
    bool found = false;

    while (file && !found && PEM_read(file, &name, &header, &data, &length) == 1) {
        found = strstr(name, "PRIVATE KEY");
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(data, (size_t)length);
    }
    if (file)
        fclose(file);
    return found;
}

static int load_files(SSL_CTX *context, const struct tls_file *file, struct buffer *error)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, file->certificate) != 1) {
        buffer_printf(error, "%s: no certificate: %s", file->certificate, first_error());
        return ERROR_CONFIG;
    }
    if (strcmp(file->key, file->certificate) == 0 && !holds_key(file->key)) {
        buffer_printf(error,
                      "%s: no private key in this file; name one with --tls-key (in certificates: key)",
                      file->key);
        return ERROR_CONFIG;
    }
    if (SSL_CTX_use_PrivateKey_file(context, file->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1) {
        buffer_printf(error, "%s: no key for %s: %s", file->key, file->certificate, first_error());
        return ERROR_CONFIG;
    }
    warn_of_readers(file->key);
    return 0;
}

static bool configure(SSL_CTX *context, struct tls_store *store, enum tls_minimum minimum)
{
    static const unsigned char purpose[] = "hubbub";

    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_default_passwd_cb(context, on_passphrase);
    SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(context, store);
    SSL_CTX_set_alpn_select_cb(context, on_protocols, NULL);
    tls_ticket_keys_use(context, &store->tickets);
    return SSL_CTX_set_min_proto_version(context,
                                         minimum == TLS_MINIMUM_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
           SSL_CTX_set_session_id_context(context, purpose, sizeof purpose - 1) == 1;
}

static int load_contexts(struct tls_store *store, const struct tls_plan *plan, struct contexts *out,
                         struct buffer *error)
{
    struct contexts contexts = {.items = memory_zero(plan->files.count, sizeof *contexts.items)};
    int result = 0;

    while (contexts.count < plan->files.count && !result) {
        SSL_CTX *context = SSL_CTX_new(TLS_server_method());

        if (!context || !configure(context, store, plan->minimum)) {
            buffer_printf(error, "TLS is not to be had: %s", first_error());
            SSL_CTX_free(context);
            result = ERROR_CONFIG;
            break;
        }
        result = load_files(context, &plan->files.files[contexts.count], error);
        contexts.items[contexts.count++] = context;
    }
    ERR_clear_error();
    if (result)
        contexts_done(&contexts);
    else
        *out = contexts;
    return result;
}

static int load_tickets(const struct tls_store *store, const struct tls_plan *plan,
                        struct tls_ticket_keys *out, struct buffer *error)
{
    if (plan->ticket_key)
        return tls_ticket_keys_read(plan->ticket_key, out, error);
    if (store->random_tickets) {
        *out = store->tickets;
        return 0;
    }
    if (tls_ticket_keys_make(out) < 0) {
        buffer_append_text(error, "no random bytes for the keys of tickets");
        return ERROR_CONFIG;
    }
    return 0;
}

int tls_store_reload(struct tls_store *store, const struct tls_plan *plan, struct buffer *error)
{
    struct tls_ticket_keys tickets;
    struct contexts contexts;
    int result = load_tickets(store, plan, &tickets, error);

    if (result < 0)
        return result;
    result = load_contexts(store, plan, &contexts, error);
    if (result == 0) {
        contexts_done(&store->current);
        store->current = contexts;
        store->tickets = tickets;
        store->random_tickets = !plan->ticket_key;
    }
    tls_ticket_keys_wipe(&tickets);
    return result;
}

int tls_store_open(const struct tls_plan *plan, struct tls_store **out, struct buffer *error)
{
    struct tls_store *store = memory_zero(1, sizeof *store);
    int result = tls_store_reload(store, plan, error);

    if (result < 0)
        tls_store_free(store);
    else
        *out = store;
    return result;
}

void tls_store_warn_of_time(const struct tls_store *store, const struct tls_plan *plan)
{
    for (size_t i = 0; i < store->current.count; i++) {
        const X509 *certificate = SSL_CTX_get0_certificate(store->current.items[i]);
        const char *file = plan->files.files[i].certificate;

        if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
            log_warn("a certificate has expired: clients refuse it", "file=%s", file);
        else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
            log_warn("a certificate is not valid yet: clients refuse it", "file=%s", file);
    }
}

uint64_t tls_store_expiry(const struct tls_store *store)
{
    uint64_t first = UINT64_MAX;

    for (size_t i = 0; i < store->current.count; i++) {
        const X509 *certificate = SSL_CTX_get0_certificate(store->current.items[i]);
        struct tm time;
        int64_t seconds = 0;

        if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) == 1)
            seconds = timegm(&time);
        if (seconds < 0)
            seconds = 0;
        if ((uint64_t)seconds < first)
            first = (uint64_t)seconds;
    }
    return first;
}

void tls_store_free(struct tls_store *store)
{
    if (!store)
        return;
    contexts_done(&store->current);
    tls_ticket_keys_wipe(&store->tickets);
    free(store);
}

SSL *tls_store_begin(struct tls_store *store)
{
    SSL *ssl = SSL_new(store->current.items[0]);

    if (ssl)
        SSL_set_accept_state(ssl);
    return ssl;
}
