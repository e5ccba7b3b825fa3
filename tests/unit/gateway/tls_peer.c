/* The client's side; see tls_peer.h. */
#include "tests/unit/gateway/tls_peer.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATHS = 16 };

static char folder[64];
static char said[1 << 20];

const char *tls_folder_make(void)
{
    snprintf(folder, sizeof folder, "/tmp/hubbub-tls-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return folder;
}

void tls_folder_remove(void)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;

    assert_non_null(directory);
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.')
            unlink(tls_path(entry->d_name));
    closedir(directory);
    rmdir(folder);
}

const char *tls_path(const char *name)
{
    static char paths[PATHS][sizeof folder + 300];
    static unsigned next;
    char *path = paths[next++ % PATHS];

    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void tls_file_write(const char *name, struct bytes bytes)
{
    int fd = open(tls_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.data, bytes.length), bytes.length);
    close(fd);
}

void tls_certificate_write(const char *name, const char *names)
{
    tls_certificate_write_for(name, names, 86400);
}

void tls_certificate_write_for(const char *name, const char *names, long seconds)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_get_subject_name(certificate);
    char file[64];
    FILE *out;

    assert_non_null(key);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_set_version(certificate, X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), seconds);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, subject);
    X509_set_pubkey(certificate, key);
    if (names) {
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

        assert_non_null(extension);
        X509_add_ext(certificate, extension, -1);
        X509_EXTENSION_free(extension);
    }
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    snprintf(file, sizeof file, "%s.pem", name);
    out = fopen(tls_path(file), "w");
    assert_non_null(out);
    assert_int_equal(PEM_write_X509(out, certificate), 1);
    fclose(out);
    snprintf(file, sizeof file, "%s.key", name);
    out = fopen(tls_path(file), "w");
    assert_non_null(out);
    assert_int_equal(fchmod(fileno(out), 0600), 0);
    assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(out);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

SSL *tls_client_new(const struct tls_wishes *wishes)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *client;

    assert_non_null(context);
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    if (wishes->version) {
        SSL_CTX_set_security_level(context, 0);
        SSL_CTX_set_min_proto_version(context, wishes->version);
        SSL_CTX_set_max_proto_version(context, wishes->version);
    }
    if (wishes->ciphers)
        assert_int_equal(SSL_CTX_set_cipher_list(context, wishes->ciphers), 1);
    client = SSL_new(context);
    SSL_CTX_free(context);
    assert_non_null(client);
    if (wishes->server_name)
        SSL_set_tlsext_host_name(client, wishes->server_name);
    if (wishes->protocols.length)
        SSL_set_alpn_protos(client, (const unsigned char *)wishes->protocols.data,
                            (unsigned)wishes->protocols.length);
    if (wishes->session)
        SSL_set_session(client, wishes->session);
    SSL_set_bio(client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(client);
    return client;
}

struct bytes tls_client_says(SSL *client)
{
    int n;

    if (!SSL_is_init_finished(client))
        SSL_do_handshake(client);
    n = BIO_read(SSL_get_wbio(client), said, sizeof said);
    return bytes_make(said, n > 0 ? (size_t)n : 0);
}

void tls_client_hears(SSL *client, struct bytes bytes)
{
    if (bytes.length)
        assert_int_equal(BIO_write(SSL_get_rbio(client), bytes.data, (int)bytes.length), bytes.length);
}

struct bytes tls_server_says(struct tls *server)
{
    struct output nothing = {0};
    uint64_t written = 0, calls = 0;
    size_t length = 0;
    int ends[2];
    ssize_t n;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    while (tls_waiting(server)) {
        int result = tls_write(server, &nothing, ends[1], &written, &calls);

        assert_true(result == 0 || result == ERROR_AGAIN);
        while ((n = recv(ends[0], said + length, sizeof said - length, 0)) > 0)
            length += (size_t)n;
    }
    assert_int_equal(written, length);
    close(ends[0]);
    close(ends[1]);
    return bytes_make(said, length);
}

int tls_shake_hands(SSL *client, struct tls *server)
{
    int result = 0;

    for (int i = 0; i < 6 && result == 0; i++) {
        struct bytes bytes = tls_client_says(client);
        char *plain;
        size_t length;

        if (bytes.length)
            result = tls_receive(server, bytes, &plain, &length);
        tls_client_hears(client, tls_server_says(server));
    }
    return result;
}
