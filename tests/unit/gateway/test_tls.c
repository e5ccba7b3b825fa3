/* TLS on one connection: bytes in pieces of any size, large messages through a narrow descriptor, ends, and
 * what breaks the protocol. */
#include "gateway/tls.h"
#include "gateway/tls_store.h"
#include "tests/unit/gateway/tls_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
enum { VERSIONS = sizeof versions / sizeof *versions };

static struct tls_store *store;

static int start(void **state)
{
    static struct tls_file file;
    struct tls_plan plan = {.files = {.files = &file, .count = 1}};
    struct buffer error = {0};

    (void)state;
    tls_folder_make();
    tls_certificate_write("a", "DNS:a.test");
    file.certificate = (char *)(uintptr_t)tls_path("a.pem");
    file.key = (char *)(uintptr_t)tls_path("a.key");
    return tls_store_open(&plan, &store, &error);
}

static int stop(void **state)
{
    (void)state;
    tls_store_free(store);
    tls_folder_remove();
    return 0;
}

/* Both ends of a connection whose handshake is over. */
struct pair {
    SSL *client;
    struct tls *server;
};

static struct pair pair_make(int version)
{
    struct pair pair = {tls_client_new(&(struct tls_wishes){.version = version}), tls_new(store)};

    assert_non_null(pair.server);
    assert_int_equal(tls_shake_hands(pair.client, pair.server), 0);
    assert_true(tls_has_begun(pair.server));
    assert_true(SSL_is_init_finished(pair.client));
    return pair;
}

static void pair_free(struct pair *pair)
{
    SSL_free(pair->client);
    tls_free(pair->server);
}

/* Gives the server what came, so many bytes at a time; what it says goes behind told. */
static int receive(struct tls *server, struct bytes came, size_t piece, struct buffer *told)
{
    int result = 0;

    while (came.length && result == 0) {
        size_t n = came.length < piece ? came.length : piece, length;
        char *plain, *exact = malloc(n);

        memcpy(exact, came.data, n); /* of exactly its size, so that a sanitizer sees a read beyond it */
        result = tls_receive(server, bytes_make(exact, n), &plain, &length);
        free(exact);
        buffer_append(told, plain, length);
        came = bytes_make(came.data + n, came.length - n);
    }
    return result;
}

static void a_handshake_may_come_byte_by_byte(void **state)
{
    (void)state;
    for (int v = 0; v < VERSIONS; v++)
        for (size_t piece = 1; piece < 40; piece += piece) {
            SSL *client = tls_client_new(&(struct tls_wishes){.version = versions[v]});
            struct tls *server = tls_new(store);
            struct buffer told = {0};
            char answer[10];

            for (int i = 0; i < 4; i++) {
                struct bytes says = tls_client_says(client);

                assert_int_equal(receive(server, says, piece, &told), 0);
                tls_client_hears(client, tls_server_says(server));
            }
            assert_true(tls_has_begun(server));
            assert_int_equal(tls_is_1_3(server), versions[v] == TLS1_3_VERSION);
            assert_false(tls_is_resumed(server));
            assert_int_equal(told.length, 0);
            assert_int_equal(SSL_write(client, "GET /", 5), 5);
            assert_int_equal(SSL_write(client, " HTTP", 5), 5);
            assert_int_equal(receive(server, tls_client_says(client), piece, &told), 0);
            assert_true(bytes_equal(buffer_bytes(&told), BYTES("GET / HTTP")));
            assert_int_equal(tls_waiting(server), 0);
            assert_int_equal(SSL_read(client, answer, sizeof answer), -1); /* takes the ticket */
            buffer_done(&told);
            SSL_free(client);
            tls_free(server);
        }
}

static void what_a_client_says_behind_its_handshake_is_not_lost(void **state)
{
    (void)state;
    for (int v = 0; v < VERSIONS; v++) {
        SSL *client = tls_client_new(&(struct tls_wishes){.version = versions[v]});
        struct tls *server = tls_new(store);
        struct buffer told = {0}, flight = {0};

        while (!SSL_is_init_finished(client)) {
            buffer_clear(&flight);
            buffer_append_bytes(&flight, tls_client_says(client));
            if (SSL_is_init_finished(client)) /* its last flight, and a request at once */
                assert_int_equal(SSL_write(client, "hello", 5), 5);
            buffer_append_bytes(&flight, tls_client_says(client));
            assert_int_equal(receive(server, buffer_bytes(&flight), SIZE_MAX, &told), 0);
            tls_client_hears(client, tls_server_says(server));
        }
        assert_true(tls_has_begun(server));
        assert_true(bytes_equal(buffer_bytes(&told), BYTES("hello")));
        buffer_done(&told);
        buffer_done(&flight);
        SSL_free(client);
        tls_free(server);
    }
}

static void fill(char *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        data[i] = (char)(i * 7 + i / 251);
}

static void large_messages_pass_a_narrow_descriptor(void **state)
{
    enum { LENGTH = 300000 };
    static char data[LENGTH], got[LENGTH];
    static const size_t cuts[] = {1, 100, 16384, 16385, 100000, LENGTH};

    (void)state;
    fill(data, sizeof data);
    for (int v = 0; v < VERSIONS; v++) {
        struct pair pair = pair_make(versions[v]);
        struct output output = {0};
        uint64_t written = 0, calls = 0, sent = 0;
        size_t have = 0, from = 0;
        int ends[2], size = 4096, blocked = 0, result;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        assert_int_equal(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
        for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            struct chunk *chunk = chunk_new(cuts[i] - from);

            memcpy(chunk->data, data + from, cuts[i] - from);
            output_append(&output, chunk, 0, (uint32_t)(cuts[i] - from));
            chunk_release(chunk);
            from = cuts[i];
        }
        do {
            char records[2000];
            ssize_t n;
            int m;

            result = tls_write(pair.server, &output, ends[1], &written, &calls);
            assert_true(result == 0 || result == ERROR_AGAIN);
            blocked += result == ERROR_AGAIN;
            while ((n = recv(ends[0], records, sizeof records, 0)) > 0) {
                sent += (uint64_t)n;
                tls_client_hears(pair.client, bytes_make(records, (size_t)n));
            }
            while ((m = SSL_read(pair.client, got + have, (int)(sizeof got - have))) > 0)
                have += (size_t)m;
        } while (result == ERROR_AGAIN);
        assert_int_equal(have, LENGTH);
        assert_memory_equal(got, data, LENGTH);
        assert_true(blocked > 10);
        assert_int_equal(written, sent);
        assert_int_equal(tls_waiting(pair.server), 0);
        assert_null(output.first);
        close(ends[0]);
        close(ends[1]);
        pair_free(&pair);
    }
}

static void large_messages_come_in_pieces(void **state)
{
    enum { LENGTH = 200000 };
    static char data[LENGTH];

    (void)state;
    fill(data, sizeof data);
    for (int v = 0; v < VERSIONS; v++)
        for (size_t piece = 1000; piece <= TLS_INPUT_MAX; piece = piece * 8 + 3) {
            struct pair pair = pair_make(versions[v]);
            struct buffer told = {0};

            assert_int_equal(SSL_write(pair.client, data, LENGTH), LENGTH);
            assert_int_equal(receive(pair.server, tls_client_says(pair.client), piece, &told), 0);
            assert_int_equal(told.length, LENGTH);
            assert_memory_equal(told.data, data, LENGTH);
            buffer_done(&told);
            pair_free(&pair);
        }
}

static void both_say_that_they_are_done(void **state)
{
    (void)state;
    for (int v = 0; v < VERSIONS; v++) {
        struct pair pair = pair_make(versions[v]);
        uint64_t written = 0, calls = 0;
        struct buffer told = {0};
        char bytes[100];
        ssize_t n;
        int ends[2];

        assert_int_equal(SSL_write(pair.client, "bye", 3), 3);
        SSL_shutdown(pair.client);
        assert_int_equal(receive(pair.server, tls_client_says(pair.client), SIZE_MAX, &told), ERROR_CLOSED);
        assert_true(bytes_equal(buffer_bytes(&told), BYTES("bye")));
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        assert_int_equal(tls_finish(pair.server, ends[1], &written, &calls), 0);
        n = recv(ends[0], bytes, sizeof bytes, 0);
        assert_true(n > 0);
        tls_client_hears(pair.client, bytes_make(bytes, (size_t)n));
        assert_int_equal(SSL_read(pair.client, bytes, sizeof bytes), 0);
        assert_int_equal(SSL_get_error(pair.client, 0), SSL_ERROR_ZERO_RETURN);
        assert_int_equal(tls_finish(pair.server, ends[1], &written, &calls), 0); /* once */
        assert_int_equal(recv(ends[0], bytes, sizeof bytes, 0), -1);
        close(ends[0]);
        close(ends[1]);
        buffer_done(&told);
        pair_free(&pair);
    }
}

static void an_end_before_the_handshake_says_nothing(void **state)
{
    struct tls *server = tls_new(store);
    uint64_t written = 0, calls = 0;
    int ends[2];
    char byte;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    assert_int_equal(tls_finish(server, ends[1], &written, &calls), 0);
    assert_int_equal(recv(ends[0], &byte, 1, 0), -1);
    close(ends[0]);
    close(ends[1]);
    tls_free(server);
}

/* -- failures ---------------------------------------------------------------------------------- */

static void expect_failure(struct bytes came, enum tls_failure failure)
{
    for (size_t piece = 1; piece <= came.length; piece += came.length > 1 ? came.length - 1 : 1) {
        struct tls *server = tls_new(store);
        struct buffer told = {0};

        assert_int_equal(receive(server, came, piece, &told), ERROR_PROTOCOL);
        assert_int_equal(tls_failure(server), failure);
        assert_int_equal(told.length, 0);
        assert_false(tls_has_begun(server));
        assert_int_equal(receive(server, came, piece, &told), ERROR_CLOSED); /* and nothing more */
        tls_free(server);
    }
}

static void what_is_no_tls_fails_by_its_kind(void **state)
{
    (void)state;
    expect_failure(BYTES("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), TLS_FAILURE_HTTP);
    expect_failure(BYTES("POST /socket.io/ HTTP/1.1\r\n\r\n"), TLS_FAILURE_HTTP);
    expect_failure(BYTES("CONNECT h:443 HTTP/1.1\r\n\r\n"), TLS_FAILURE_HTTP);
    expect_failure(BYTES("SSH-2.0-OpenSSH_9.2\r\n"), TLS_FAILURE_PROTOCOL);
    expect_failure(BYTES("\0\0\0\0\0\0\0\0\0\0\0\0"), TLS_FAILURE_PROTOCOL);
    expect_failure(BYTES("\x16\x03\x01\xff\xff\x01\0\0\0\0\0\0"),
                   TLS_FAILURE_PROTOCOL);                               /* too long a record */
    expect_failure(BYTES("\x17\x03\x03\0\x01x"), TLS_FAILURE_PROTOCOL); /* data first */
}

static void expect_refusal(const struct tls_wishes *wishes, enum tls_failure failure)
{
    SSL *client = tls_client_new(wishes);
    struct tls *server = tls_new(store);

    assert_int_equal(tls_shake_hands(client, server), ERROR_PROTOCOL);
    assert_int_equal(tls_failure(server), failure);
    assert_int_equal(SSL_do_handshake(client), -1);
    assert_int_equal(SSL_get_error(client, -1), SSL_ERROR_SSL); /* it got the alert */
    SSL_free(client);
    tls_free(server);
}

static void a_client_that_wants_what_is_not_to_be_had_is_told(void **state)
{
    (void)state;
    expect_refusal(&(struct tls_wishes){.version = TLS1_1_VERSION}, TLS_FAILURE_VERSION);
    expect_refusal(&(struct tls_wishes){.version = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-AES128-SHA"},
                   TLS_FAILURE_AGREEMENT);
    expect_refusal(&(struct tls_wishes){.version = TLS1_2_VERSION, .ciphers = "AES128-GCM-SHA256"},
                   TLS_FAILURE_AGREEMENT);
    expect_refusal(&(struct tls_wishes){.protocols = BYTES("\x02h2")}, TLS_FAILURE_AGREEMENT);
}

static void a_client_that_does_not_take_the_certificate_gives_up(void **state)
{
    (void)state;
    for (int v = 0; v < VERSIONS; v++) {
        SSL *client = tls_client_new(&(struct tls_wishes){.version = versions[v]});
        struct tls *server = tls_new(store);

        SSL_set_verify(client, SSL_VERIFY_PEER, NULL);
        assert_int_equal(tls_shake_hands(client, server), ERROR_PROTOCOL);
        assert_int_equal(tls_failure(server), TLS_FAILURE_ALERT);
        assert_int_equal(tls_waiting(server), 0); /* an alert is not answered */
        SSL_free(client);
        tls_free(server);
    }
}

static void a_forged_record_ends_it(void **state)
{
    (void)state;
    for (int v = 0; v < VERSIONS; v++) {
        struct pair pair = pair_make(versions[v]);
        struct buffer told = {0};
        struct bytes says;

        assert_int_equal(SSL_write(pair.client, "hello", 5), 5);
        says = tls_client_says(pair.client);
        ((char *)(uintptr_t)says.data)[says.length - 1] ^= 1;
        assert_int_equal(receive(pair.server, says, SIZE_MAX, &told), ERROR_PROTOCOL);
        assert_int_equal(told.length, 0);
        assert_true(tls_waiting(pair.server) > 0); /* the alert */
        buffer_done(&told);
        pair_free(&pair);
    }
}

static void a_client_that_asks_for_answers_must_read_them(void **state)
{
    struct pair pair = pair_make(TLS1_3_VERSION);
    struct buffer told = {0};
    unsigned rounds = 0;
    int result = 0;

    (void)state;
    while (result == 0 && rounds < 100000) {
        struct bytes says;

        assert_int_equal(SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED), 1);
        SSL_do_handshake(pair.client);
        says = tls_client_says(pair.client);
        assert_true(says.length > 0);
        result = receive(pair.server, says, SIZE_MAX, &told);
        rounds++;
    }
    assert_int_equal(result, ERROR_TOO_LARGE);
    assert_true(rounds > 100);
    pair_free(&pair);
}

static void keys_may_change(void **state)
{
    struct pair pair = pair_make(TLS1_3_VERSION);
    struct buffer told = {0};

    (void)state;
    assert_int_equal(SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_write(pair.client, "hello", 5), 5);
    assert_int_equal(receive(pair.server, tls_client_says(pair.client), 7, &told), 0);
    assert_true(bytes_equal(buffer_bytes(&told), BYTES("hello")));
    buffer_done(&told);
    pair_free(&pair);
}

static void nobody_negotiates_again(void **state)
{
    struct pair pair = pair_make(TLS1_2_VERSION);
    struct buffer told = {0};

    (void)state;
    assert_int_equal(SSL_renegotiate(pair.client), 1);
    SSL_do_handshake(pair.client);
    (void)receive(pair.server, tls_client_says(pair.client), SIZE_MAX, &told);
    tls_client_hears(pair.client, tls_server_says(pair.server));
    assert_true(SSL_do_handshake(pair.client) <= 0);
    assert_int_equal(SSL_get_error(pair.client, -1), SSL_ERROR_SSL);
    assert_int_equal(told.length, 0);
    pair_free(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handshake_may_come_byte_by_byte),
        cmocka_unit_test(what_a_client_says_behind_its_handshake_is_not_lost),
        cmocka_unit_test(large_messages_pass_a_narrow_descriptor),
        cmocka_unit_test(large_messages_come_in_pieces),
        cmocka_unit_test(both_say_that_they_are_done),
        cmocka_unit_test(an_end_before_the_handshake_says_nothing),
        cmocka_unit_test(what_is_no_tls_fails_by_its_kind),
        cmocka_unit_test(a_client_that_wants_what_is_not_to_be_had_is_told),
        cmocka_unit_test(a_client_that_does_not_take_the_certificate_gives_up),
        cmocka_unit_test(a_forged_record_ends_it),
        cmocka_unit_test(a_client_that_asks_for_answers_must_read_them),
        cmocka_unit_test(keys_may_change),
        cmocka_unit_test(nobody_negotiates_again),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
