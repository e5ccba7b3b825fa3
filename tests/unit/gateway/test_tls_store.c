/* Certificates by name, tickets, and what a reload changes. */
#include "gateway/tls_store.h"
#include "gateway/tls_ticket.h"
#include "tests/unit/gateway/tls_peer.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILES_MAX = 4 };

static struct tls_file files[FILES_MAX];
static struct tls_plan plan;
static struct tls_store *store;

static char *path(const char *name, const char *extension)
{
    char file[64];

    snprintf(file, sizeof file, "%s%s", name, extension);
    return strdup(tls_path(file));
}

static void plan_done(void)
{
    for (size_t i = 0; i < plan.files.count; i++) {
        free(files[i].certificate);
        free(files[i].key);
    }
    plan = (struct tls_plan){.files.files = files};
}

static void plan_add(const char *certificate, const char *key)
{
    assert_true(plan.files.count < FILES_MAX);
    files[plan.files.count++] = (struct tls_file){path(certificate, ".pem"), path(key, ".key")};
}

static int start(void **state)
{
    (void)state;
    tls_folder_make();
    tls_certificate_write("first", "DNS:first.test");
    tls_certificate_write("wild", "DNS:*.wild.test");
    tls_certificate_write("exact", "DNS:exact.wild.test,DNS:other.test");
    tls_certificate_write("second", "DNS:second.test");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    tls_folder_remove();
    return 0;
}

static int open_store(void **state)
{
    struct buffer error = {0};

    (void)state;
    plan_done();
    plan_add("first", "first");
    plan_add("wild", "wild");
    plan_add("exact", "exact");
    return tls_store_open(&plan, &store, &error);
}

static int close_store(void **state)
{
    (void)state;
    tls_store_free(store);
    plan_done();
    return 0;
}

/* The common name of the certificate that a client gets, valid until the next call. */
static const char *name_of(SSL *client)
{
    static char name[64];
    X509 *certificate = SSL_get1_peer_certificate(client);

    assert_non_null(certificate);
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
    X509_free(certificate);
    return name;
}

static const char *certificate_for(const char *server_name, int version)
{
    SSL *client = tls_client_new(&(struct tls_wishes){.server_name = server_name, .version = version});
    struct tls *server = tls_new(store);
    const char *name;

    assert_int_equal(tls_shake_hands(client, server), 0);
    assert_true(tls_has_begun(server));
    name = name_of(client);
    SSL_free(client);
    tls_free(server);
    return name;
}

static void a_client_gets_the_certificate_of_its_name(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    for (int v = 0; v < 2; v++) {
        assert_string_equal(certificate_for("first.test", versions[v]), "first");
        assert_string_equal(certificate_for("a.wild.test", versions[v]), "wild");
        assert_string_equal(certificate_for("A.WILD.test", versions[v]), "wild");
        assert_string_equal(certificate_for("exact.wild.test", versions[v]),
                            "exact"); /* before the wildcard */
        assert_string_equal(certificate_for("other.test", versions[v]), "exact");
        assert_string_equal(certificate_for("a.b.wild.test", versions[v]), "first"); /* one label only */
        assert_string_equal(certificate_for("wild.test", versions[v]), "first");
        assert_string_equal(certificate_for("wild", versions[v]), "first"); /* a CN is no name */
        assert_string_equal(certificate_for("unknown.test", versions[v]), "first");
        assert_string_equal(certificate_for(NULL, versions[v]), "first");
    }
}

static void the_protocol_is_http_1_1(void **state)
{
    SSL *client = tls_client_new(&(struct tls_wishes){.protocols = BYTES("\x02h2\x08http/1.1")});
    struct tls *server = tls_new(store);
    const unsigned char *protocol;
    unsigned length;

    (void)state;
    assert_int_equal(tls_shake_hands(client, server), 0);
    SSL_get0_alpn_selected(client, &protocol, &length);
    assert_true(bytes_equal_text(bytes_make((const char *)protocol, length), "http/1.1"));
    SSL_free(client);
    tls_free(server);
}

static void the_least_version_counts(void **state)
{
    struct buffer error = {0};
    SSL *client = tls_client_new(&(struct tls_wishes){.version = TLS1_2_VERSION});
    struct tls *server;

    (void)state;
    plan.minimum = TLS_MINIMUM_1_3;
    assert_int_equal(tls_store_reload(store, &plan, &error), 0);
    server = tls_new(store);
    assert_int_equal(tls_shake_hands(client, server), ERROR_PROTOCOL);
    assert_int_equal(tls_failure(server), TLS_FAILURE_VERSION);
    SSL_free(client);
    tls_free(server);
    assert_string_equal(certificate_for(NULL, TLS1_3_VERSION), "first");
}

/* -- reload ------------------------------------------------------------------------------------ */

static void a_reload_is_for_connections_to_come(void **state)
{
    SSL *client = tls_client_new(&(struct tls_wishes){.server_name = "first.test"});
    SSL *late = tls_client_new(&(struct tls_wishes){.server_name = "second.test"});
    struct tls *server = tls_new(store), *begun = tls_new(store);
    struct buffer error = {0};
    char *plain;
    size_t length;

    (void)state;
    assert_int_equal(tls_shake_hands(client, server), 0);
    plan_done();
    plan_add("second", "second");
    assert_int_equal(tls_store_reload(store, &plan, &error), 0);
    assert_string_equal(certificate_for("first.test", 0), "second");
    /* One that is there goes on; one whose handshake had not begun looks among the new ones. */
    assert_int_equal(SSL_write(client, "hello", 5), 5);
    assert_int_equal(tls_receive(server, tls_client_says(client), &plain, &length), 0);
    assert_true(bytes_equal_text(bytes_make(plain, length), "hello"));
    assert_int_equal(tls_shake_hands(late, begun), 0);
    assert_string_equal(name_of(late), "second");
    SSL_free(client);
    SSL_free(late);
    tls_free(server);
    tls_free(begun);
}

static void expect_refused(const char *what)
{
    struct tls_store *other = NULL;
    struct buffer error = {0};

    assert_int_equal(tls_store_reload(store, &plan, &error), ERROR_CONFIG);
    buffer_append_char(&error, '\0');
    if (!strstr(error.data, what) || strchr(error.data, '\n'))
        fail_msg("%s", error.data);
    buffer_done(&error);
    error = (struct buffer){0};
    assert_int_equal(tls_store_open(&plan, &other, &error), ERROR_CONFIG);
    assert_null(other);
    buffer_done(&error);
    assert_string_equal(certificate_for("first.test", 0), "first");
    assert_string_equal(certificate_for("a.wild.test", 0), "wild");
}

static void a_broken_file_changes_nothing(void **state)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    FILE *locked = fopen(tls_path("locked.key"), "w");

    (void)state;
    plan_add("missing", "missing");
    expect_refused("missing.pem: no certificate: No such file or directory");
    plan_done();
    plan_add("first", "missing");
    expect_refused("missing.key: no key for ");
    plan_done();
    plan_add("first", "second");
    expect_refused("second.key: no key for ");
    plan_done();
    files[plan.files.count++] = (struct tls_file){path("first", ".pem"), path("first", ".pem")};
    expect_refused("first.pem: no private key in this file; name one with --tls-key");
    plan_done();
    tls_file_write("broken.pem", BYTES("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    plan_add("broken", "first");
    expect_refused("broken.pem: no certificate");
    plan_done();
    /* A key under a passphrase is not asked for at the terminal. */
    assert_int_equal(
        PEM_write_PrivateKey(locked, key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL),
        1);
    fclose(locked);
    EVP_PKEY_free(key);
    plan_add("first", "locked");
    expect_refused("locked.key: no key for ");
}

/* -- tickets ----------------------------------------------------------------------------------- */

/* A session as a client has it after a connection to that store. */
static SSL_SESSION *meet(struct tls_store *at, SSL_SESSION *session, int version, bool *resumed)
{
    SSL *client = tls_client_new(&(struct tls_wishes){.session = session, .version = version});
    struct tls *server = tls_new(at);
    SSL_SESSION *kept;
    char bytes[16];

    assert_int_equal(tls_shake_hands(client, server), 0);
    SSL_read(client, bytes, sizeof bytes); /* takes the ticket */
    *resumed = tls_is_resumed(server);
    assert_int_equal(SSL_session_reused(client), *resumed);
    kept = SSL_get1_session(client);
    SSL_shutdown(client); /* else the session counts as broken */
    SSL_free(client);
    tls_free(server);
    return kept;
}

static bool resumes(struct tls_store *first, struct tls_store *second, int version)
{
    bool resumed;
    SSL_SESSION *session = meet(first, NULL, version, &resumed), *again;

    assert_false(resumed);
    again = meet(second, session, version, &resumed);
    SSL_SESSION_free(session);
    SSL_SESSION_free(again);
    return resumed;
}

static void write_tickets(const char *name, const unsigned char *keys, size_t count)
{
    tls_file_write(name, bytes_make((const char *)keys, count * 80));
}

static void random_keys_survive_a_reload(void **state)
{
    struct buffer error = {0};
    bool resumed;
    SSL_SESSION *session = meet(store, NULL, 0, &resumed), *again;
    struct tls_store *other;

    (void)state;
    assert_int_equal(tls_store_reload(store, &plan, &error), 0);
    again = meet(store, session, 0, &resumed);
    assert_true(resumed);
    SSL_SESSION_free(again);
    assert_int_equal(tls_store_open(&plan, &other, &error), 0);
    again = meet(other, session, 0, &resumed);
    assert_false(resumed); /* it has keys of its own */
    SSL_SESSION_free(again);
    SSL_SESSION_free(session);
    tls_store_free(other);
}

static void gateways_with_the_same_file_resume_each_others_sessions(void **state)
{
    unsigned char keys[240];
    struct buffer error = {0};
    struct tls_store *other;

    (void)state;
    assert_int_equal(RAND_bytes(keys, sizeof keys), 1);
    write_tickets("tickets", keys, 1);
    plan.ticket_key = tls_path("tickets");
    assert_int_equal(tls_store_reload(store, &plan, &error), 0);
    assert_int_equal(tls_store_open(&plan, &other, &error), 0);
    assert_true(resumes(store, other, TLS1_3_VERSION));
    assert_true(resumes(other, store, TLS1_2_VERSION));

    /* A new key in front: tickets under the old one count, and are replaced. */
    write_tickets("tickets", keys + 80, 2);
    memmove(keys + 160, keys, 80);
    write_tickets("tickets", keys + 80, 2);
    assert_int_equal(tls_store_reload(other, &plan, &error), 0);
    assert_true(resumes(store, other, TLS1_3_VERSION));
    assert_true(resumes(store, other, TLS1_2_VERSION));
    assert_false(resumes(other, store, TLS1_3_VERSION)); /* which has not read the file yet */
    assert_int_equal(tls_store_reload(store, &plan, &error), 0);
    assert_true(resumes(other, store, TLS1_3_VERSION));
    write_tickets("tickets", keys + 80, 1);
    assert_int_equal(tls_store_reload(other, &plan, &error), 0);
    assert_true(resumes(store, other, TLS1_3_VERSION));
    tls_store_free(other);
}

static void ticket_files_are_whole_and_nobody_elses(void **state)
{
    unsigned char keys[400] = {0};

    (void)state;
    plan.ticket_key = tls_path("bad-tickets");
    expect_refused("bad-tickets: cannot read the keys of tickets");
    for (size_t length = 0; length <= sizeof keys; length += 79) {
        tls_file_write("bad-tickets", bytes_make((const char *)keys, length));
        expect_refused("expected 80 random bytes for each of 1 to 3 keys");
    }
    write_tickets("bad-tickets", keys, 4);
    expect_refused("expected 80 random bytes for each of 1 to 3 keys");
    write_tickets("bad-tickets", keys, 1);
    assert_int_equal(chmod(tls_path("bad-tickets"), 0640), 0);
    expect_refused("others have rights to");
}

static void the_first_to_expire_is_told(void **state)
{
    const uint64_t now = (uint64_t)time(NULL);
    struct buffer error = {0};

    (void)state;
    assert_in_range(tls_store_expiry(store), now + 86400 - 600, now + 86400);
    tls_certificate_write_for("soon", "DNS:soon.test", 7200);
    plan_add("soon", "soon");
    assert_int_equal(tls_store_reload(store, &plan, &error), 0);
    assert_in_range(tls_store_expiry(store), now + 7200 - 60, now + 7200 + 600);
    tls_certificate_write_for("soon", "DNS:soon.test", -1800);
    assert_int_equal(tls_store_reload(store, &plan, &error), 0);
    assert_in_range(tls_store_expiry(store), now - 1800 - 60, now - 1800 + 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_client_gets_the_certificate_of_its_name, open_store, close_store),
        cmocka_unit_test_setup_teardown(the_first_to_expire_is_told, open_store, close_store),
        cmocka_unit_test_setup_teardown(the_protocol_is_http_1_1, open_store, close_store),
        cmocka_unit_test_setup_teardown(the_least_version_counts, open_store, close_store),
        cmocka_unit_test_setup_teardown(a_reload_is_for_connections_to_come, open_store, close_store),
        cmocka_unit_test_setup_teardown(a_broken_file_changes_nothing, open_store, close_store),
        cmocka_unit_test_setup_teardown(random_keys_survive_a_reload, open_store, close_store),
        cmocka_unit_test_setup_teardown(gateways_with_the_same_file_resume_each_others_sessions, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(ticket_files_are_whole_and_nobody_elses, open_store, close_store),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
