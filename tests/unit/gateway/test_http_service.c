/* HTTP on a connection: requests and bodies split anywhere, one behind another, given up, and refused. */
#include "gateway/http_service.h"
#include "tests/unit/gateway/played.h"
#include "tests/unit/gateway/played_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

static char sid[SESSION_SID_LENGTH + 1];

static struct session *session(void)
{
    return session_find(home, bytes_make(sid, SESSION_SID_LENGTH));
}

static struct gateway *gateway_of(int far)
{
    return far ? other : home;
}

/* "%s" in the format is the session's sid. */
static void write_format(struct client *client, const char *format)
{
    char text[4096];

    snprintf(text, sizeof text, format, sid);
    client_write(client, bytes_from_text(text));
}

/* How often a text stands in another. */
static unsigned occurrences(const char *text, const char *part)
{
    unsigned count = 0;

    for (; (text = strstr(text, part)); text += strlen(part))
        count++;
    return count;
}

/* -- requests split anywhere ------------------------------------------------------------------- */

static const char *const posts[] = {
    "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n40",
    "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
    "chunked\r\n\r\n"
    "1;x=y\r\n4\r\n1\r\n0\r\n0\r\nTrailer: t\r\n\r\n",
};

static void a_post_may_be_split_at_every_byte(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++)
        for (unsigned i = 0; i < sizeof posts / sizeof *posts; i++) {
            char text[1024];
            size_t length;

            snprintf(text, sizeof text, posts[i], "012345678901234567890123");
            length = strlen(text);
            for (size_t at = 1; at < length; at++) {
                struct client client = client_open(gateway_of(far));

                open_session(home, sid);
                snprintf(text, sizeof text, posts[i], sid);
                client_write(&client, bytes_make(text, at));
                played_turn(gateway_of(far));
                if (at % 2)
                    played_settle();
                client_write(&client, bytes_make(text + at, length - at));
                played_settle();
                assert_int_equal(client_answer(&client, NULL), 200);
                assert_int_equal(played_connect(home), 1);
                client_close(&client);
                connection_drop(home, session()->connection, CLOSE_DRAIN);
                played_settle();
            }
        }
}

/* -- one behind another ------------------------------------------------------------------------ */

/* What follows a poll that waits is read when that is answered, and each is answered in turn. */
static void requests_behind_a_poll_wait_for_it(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++) {
        struct client client = client_open(gateway_of(far));
        const char *text;

        open_socket_session(home, sid);
        played_join(home, played_socket(home), "room");
        write_format(&client, "GET /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n\r\n"
                              "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
        write_format(&client, posts[1]);
        client_write(&client, BYTES("GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"));
        played_settle();
        assert_string_equal(client_read(&client), "");
        played_deliver(home, "room", "[\"e\",1]");
        played_settle();
        text = client_read(&client);
        assert_int_equal(occurrences(text, "HTTP/1.1 "), 4);
        assert_true(strstr(text, "42[\"e\",1]") < strstr(text, "ok\n"));
        assert_true(strstr(text, "ok\n") < strstr(text, "text/html"));
        assert_true(strstr(text, "text/html") < strstr(text, "404"));
        client_close(&client);
        played_settle();
        if (session())
            connection_drop(home, session()->connection, CLOSE_DRAIN);
    }
}

static void too_much_behind_a_poll_ends_the_connection(void **state)
{
    static char filler[70 << 10];
    struct client client = client_open(home);

    (void)state;
    open_session(home, sid);
    client_poll(&client, sid);
    client_write(&client, bytes_make(filler, sizeof filler));
    played_settle();
    assert_true(client_ended(&client));
    assert_null(session());
    client_close(&client);
}

/* -- bodies that are refused ---------------------------------------------------------------------- */

static void a_body_that_is_too_large_is_refused_and_the_session_lives(void **state)
{
    const char *const heads[] = {"Content-Length: 1000001\r\n\r\n",
                                 "Transfer-Encoding: chunked\r\n\r\nF4241\r\n"};

    (void)state;
    for (int far = 0; far < 2; far++)
        for (unsigned i = 0; i < 2; i++) {
            struct client client = client_open(gateway_of(far));
            const char *body = "";

            open_session(home, sid);
            write_format(&client, "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n");
            client_write(&client, bytes_from_text(heads[i]));
            client_write(&client, BYTES("4"));
            played_settle();
            assert_int_equal(client_answer(&client, &body), 413);
            assert_string_equal(body, "");
            assert_true(client_ended(&client));
            client_close(&client);
            played_settle();
            assert_int_equal(other->relays.questions.count, 0);
            assert_int_equal(session()->post.number, 0);
            assert_int_equal(post_once(home, sid, "40"), 200); /* no overlap */
            connection_drop(home, session()->connection, CLOSE_DRAIN);
        }
}

/* A client that has read its 413 may post at once, and straight to the session's home. */
static void a_refused_body_is_forgotten_before_the_client_hears_of_it(void **state)
{
    struct client first = client_open(other), second = client_open(home);

    (void)state;
    open_session(home, sid);
    write_format(&first, "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n"
                         "Content-Length: 1000001\r\n\r\n");
    played_settle();
    assert_true(session()->reading);
    client_write(&first, BYTES("4"));
    for (;;) {
        played_turn(other);
        if (client_answer(&first, NULL))
            break;
        assert_true(played_pass());
    }
    client_post(&second, sid, "40"); /* nothing is let on before it */
    for (int i = 0; i < 3; i++)
        played_turn(home);
    assert_int_equal(client_answer(&second, NULL), 200);
    assert_non_null(session());
    client_close(&first);
    client_close(&second);
}

static void a_body_as_large_as_allowed_is_read(void **state)
{
    const size_t length = 1000000;
    struct buffer request = {0};
    struct client client = client_open(other);

    (void)state;
    open_socket_session(home, sid);
    buffer_printf(&request,
                  "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n"
                  "Content-Length: %zu\r\n\r\n42[\"m\",\"",
                  sid, length);
    for (size_t i = 8; i < length - 2; i++)
        buffer_append_char(&request, 'x');
    buffer_append_literal(&request, "\"]");
    client_write(&client, buffer_bytes(&request));
    buffer_done(&request);
    played_settle();
    assert_int_equal(client_answer(&client, NULL), 200);
    assert_non_null(session());
    client_close(&client);
}

static void a_body_that_is_none_ends_the_session(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++) {
        struct client client = client_open(gateway_of(far));

        open_session(home, sid);
        write_format(&client, "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n"
                              "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n");
        played_settle();
        assert_int_equal(client_answer(&client, NULL), 400);
        assert_true(client_ended(&client));
        assert_null(session());
        client_close(&client);
        played_settle();
        assert_int_equal(other->relays.questions.count, 0);
    }
}

static void a_post_that_is_given_up_ends_the_session(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++) {
        struct client client = client_open(gateway_of(far));

        open_session(home, sid);
        write_format(&client, "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n"
                              "Content-Length: 20\r\n\r\n40");
        played_settle();
        assert_non_null(session());
        client_close(&client);
        played_settle();
        assert_null(session());
        assert_int_equal(other->relays.questions.count, 0);
    }
}

/* The answer is known with the head, and goes out behind the body: the connection goes on. */
static void a_body_nobody_wants_is_read_to_its_end(void **state)
{
    struct client client = client_open(home);
    const char *text;

    (void)state;
    client_write(&client, BYTES("POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\n"
                                "Content-Length: 40\r\n\r\nGET /healthz HTTP"));
    played_settle();
    assert_string_equal(client_read(&client), "");
    client_write(&client, BYTES("/1.1\r\nHost: h\r\n\r\n      GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"));
    played_settle();
    text = client_read(&client);
    assert_int_equal(occurrences(text, "HTTP/1.1 "), 2);
    assert_non_null(strstr(text, "{\"code\":2,\"message\":\"Bad handshake method\"}"));
    assert_non_null(strstr(text, "404"));
    client_close(&client);
}

/* Only Engine.IO takes bodies: behind another the connection ends, so that none is read as a request. */
static void a_body_on_another_path_ends_the_connection(void **state)
{
    struct client client = client_open(home);
    const char *text;

    (void)state;
    client_write(&client, BYTES("POST /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\n"
                                "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n      "));
    played_settle();
    text = client_read(&client);
    assert_int_equal(occurrences(text, "HTTP/1.1 "), 1);
    assert_int_equal(strncmp(text, "HTTP/1.1 405", 12), 0);
    assert_non_null(strstr(text, "Connection: close"));
    assert_true(client_ended(&client));
    client_close(&client);
}

static void one_that_expects_to_be_asked_is_asked(void **state)
{
    struct client client = client_open(home);

    (void)state;
    open_session(home, sid);
    write_format(&client, "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n"
                          "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    played_settle();
    assert_string_equal(client_read(&client), "HTTP/1.1 100 Continue\r\n\r\n");
    client_write(&client, BYTES("40"));
    played_settle();
    assert_int_equal(client_answer(&client, NULL), 200);
    client_close(&client);
}

/* -- time ------------------------------------------------------------------------------------------ */

static void a_head_has_its_time(void **state)
{
    struct client slow = client_open(home), silent = client_open(home);

    (void)state;
    client_write(&slow, BYTES("GET /healthz HTTP/1.1\r\nX: "));
    played_settle();
    for (int i = 0; i < 3; i++) { /* a byte now and then gives it no more */
        played_skip(home->settings->http_head_timeout / 4);
        client_write(&slow, BYTES("T"));
        played_turn(home);
        assert_string_equal(client_read(&slow), "");
    }
    played_skip(home->settings->http_head_timeout / 4);
    assert_int_equal(client_answer(&slow, NULL), 408);
    assert_string_equal(client_read(&silent), ""); /* it has not begun one */
    assert_true(client_ended(&silent));
    client_close(&slow);
    client_close(&silent);
}

static void a_connection_is_kept_for_a_while(void **state)
{
    struct client client = client_open(home);

    (void)state;
    client_write(&client, BYTES("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"));
    played_settle();
    assert_int_not_equal(client_answer(&client, NULL), 0);
    played_skip(home->settings->http_idle_timeout - 1);
    assert_false(client_ended(&client));
    played_skip(1);
    assert_true(client_ended(&client));
    client_close(&client);
}

/* -- answers ---------------------------------------------------------------------------------------- */

static void a_large_answer_is_compressed_for_those_who_take_it(void **state)
{
    static char payload[3000];

    (void)state;
    memset(payload, 'x', sizeof payload - 1);
    memcpy(payload, "[\"", 2);
    memcpy(payload + sizeof payload - 3, "\"]", 2);
    for (int which = 0; which < 4; which++) {
        struct client client = client_open(gateway_of(which & 1));
        const char *text;
        bool takes = which & 2;

        open_socket_session(home, sid);
        played_join(home, played_socket(home), "room");
        played_deliver(home, "room", payload);
        write_format(&client, "GET /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n");
        client_write(&client, takes ? BYTES("Accept-Encoding: br, gzip\r\n\r\n")
                                    : BYTES("Accept-Encoding: br\r\n\r\n"));
        played_settle();
        text = client_read(&client);
        assert_int_equal(strncmp(text, "HTTP/1.1 200", 12), 0);
        if (takes) {
            const char *body = strstr(text, "\r\n\r\n") + 4;
            z_stream stream = {.next_in = (unsigned char *)(uintptr_t)body,
                               .avail_in = (unsigned)(client.in.length - 1 - (size_t)(body - text))};
            char out[4096];

            assert_non_null(strstr(text, "Content-Encoding: gzip\r\n"));
            assert_int_equal(inflateInit2(&stream, 31), Z_OK);
            stream.next_out = (unsigned char *)out;
            stream.avail_out = sizeof out;
            assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
            assert_int_equal(stream.total_out, 2 + sizeof payload - 1);
            assert_memory_equal(out + 2, payload, sizeof payload - 1);
            inflateEnd(&stream);
        } else {
            assert_null(strstr(text, "Content-Encoding"));
            assert_non_null(strstr(text, payload));
        }
        client_close(&client);
        played_settle();
        connection_drop(home, session()->connection, CLOSE_DRAIN);
    }
}

static void a_full_gateway_opens_no_session(void **state)
{
    struct client client = client_open(home);

    (void)state;
    home->draining = true; /* refuses in the same way */
    client_write(&client, BYTES("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\n\r\n"));
    played_settle();
    assert_int_equal(client_answer(&client, NULL), 503);
    assert_int_equal(home->sessions.by_sid.count, 0);
    client_close(&client);
    home->draining = false;
}

/* Nothing that may be in a query stops anything. */
static void queries_may_be_anything(void **state)
{
    const char *const queries[] = {
        "",
        "?",
        "?EIO=4",
        "?transport=polling",
        "?EIO=4&transport=polling&sid=%",
        "?EIO=4&transport=polling&sid=%00",
        "?EIO=4&transport=polling&sid=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAAAAAA",
        "?EIO=3&transport=polling",
        "?EIO=4&transport=websocket",
        "?EIO=4&transport=webtransport"};
    const char *const methods[] = {"GET", "POST", "PUT", "OPTIONS", "HEAD", "DELETE"};

    (void)state;
    for (unsigned q = 0; q < sizeof queries / sizeof *queries; q++)
        for (unsigned m = 0; m < sizeof methods / sizeof *methods; m++)
            for (int has_body = 0; has_body < 2; has_body++) {
                struct client client = client_open(home);
                struct buffer request = {0};
                int status;

                buffer_printf(&request, "%s /socket.io/%s HTTP/1.1\r\nHost: h\r\n%s", methods[m], queries[q],
                              has_body ? "Content-Length: 3\r\n\r\nabc" : "\r\n");
                client_write(&client, buffer_bytes(&request));
                buffer_done(&request);
                played_settle();
                status = client_answer(&client, NULL);
                assert_int_equal(status, 400);
                client_close(&client);
                played_settle();
            }
    assert_int_equal(home->sessions.by_sid.count, 0);
    assert_int_equal(home->connections.slots.count, 0);
    assert_int_equal(home->relays.questions.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, played_start, played_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_post_may_be_split_at_every_byte),
        TEST(requests_behind_a_poll_wait_for_it),
        TEST(too_much_behind_a_poll_ends_the_connection),
        TEST(a_body_that_is_too_large_is_refused_and_the_session_lives),
        TEST(a_refused_body_is_forgotten_before_the_client_hears_of_it),
        TEST(a_body_as_large_as_allowed_is_read),
        TEST(a_body_that_is_none_ends_the_session),
        TEST(a_post_that_is_given_up_ends_the_session),
        TEST(a_body_nobody_wants_is_read_to_its_end),
        TEST(a_body_on_another_path_ends_the_connection),
        TEST(one_that_expects_to_be_asked_is_asked),
        TEST(a_head_has_its_time),
        TEST(a_connection_is_kept_for_a_while),
        TEST(a_large_answer_is_compressed_for_those_who_take_it),
        TEST(a_full_gateway_opens_no_session),
        TEST(queries_may_be_anything),
    };

    return cmocka_run_group_tests_name("gateway http_service", tests, NULL, NULL);
}
