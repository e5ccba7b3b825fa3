/* CORS: which origins are named to whom, on answers of every kind. */
#include "gateway/cors.h"
#include "tests/unit/gateway/played.h"
#include "tests/unit/gateway/played_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

/* The fields for a request from that origin; NULL: it names none. */
static const char *fields(const char *origins, bool credentials, const char *origin)
{
    static struct buffer out;
    struct gateway_settings settings = {.cors_origins = (char *)(uintptr_t)origins,
                                        .cors_credentials = credentials};
    struct http_limits limits = HTTP_LIMITS_DEFAULT;
    struct http_request request;
    char text[256];

    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: h\r\n%s%s%s\r\n", origin ? "Origin: " : "",
             origin ? origin : "", origin ? "\r\n" : "");
    assert_true(http_request_parse(text, strlen(text), &limits, &request) > 0);
    buffer_clear(&out);
    cors_append(&settings, &request, &out);
    buffer_append_char(&out, '\0');
    return out.data;
}

#define ALLOW(origin) "Access-Control-Allow-Origin: " origin "\r\n"
#define VARY          "Vary: Origin\r\n"
#define CREDENTIALS   "Access-Control-Allow-Credentials: true\r\n"

static void origins_are_named_to_themselves(void **state)
{
    (void)state;
    assert_string_equal(fields("", false, "https://a"), "");
    assert_string_equal(fields("", true, "https://a"), "");
    assert_string_equal(fields("*", false, "https://a"), ALLOW("*"));
    assert_string_equal(fields("*", false, NULL), ALLOW("*"));
    assert_string_equal(fields("*", true, "https://a"), VARY ALLOW("https://a") CREDENTIALS);
    assert_string_equal(fields("*", true, NULL), VARY);
    assert_string_equal(fields("https://a", false, "https://a"), VARY ALLOW("https://a"));
    assert_string_equal(fields("https://a", true, "https://a"), VARY ALLOW("https://a") CREDENTIALS);
    assert_string_equal(fields("https://a", true, "https://b"), VARY);
    assert_string_equal(fields("https://a", true, NULL), VARY);
}

static void lists_have_whole_origins(void **state)
{
    const char *const lists[] = {"https://a https://b", "https://a,https://b", " https://a ,  https://b, "};

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_string_equal(fields(lists[i], false, "https://a"), VARY ALLOW("https://a"));
        assert_string_equal(fields(lists[i], false, "https://b"), VARY ALLOW("https://b"));
        assert_string_equal(fields(lists[i], false, "https://"), VARY);
        assert_string_equal(fields(lists[i], false, "https://a https://b"), VARY);
        assert_string_equal(fields(lists[i], false, "https://bb"), VARY);
        assert_string_equal(fields(lists[i], false, "*"), VARY);
    }
    assert_string_equal(fields("https://a *", false, "https://c"), ALLOW("*"));
}

/* -- on answers --------------------------------------------------------------------------------- */

static char origins[] = "https://a";

static const char *answer_to(struct gateway *gateway, struct client *client, const char *request)
{
    *client = client_open(gateway);
    client_write(client, bytes_from_text(request));
    played_settle();
    return client_read(client);
}

static void every_answer_of_the_engine_has_them(void **state)
{
    char sid[SESSION_SID_LENGTH + 1];
    const char *const requests[] = {
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nOrigin: https://a\r\nHost: h\r\n\r\n",
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nOrigin: https://a\r\nHost: h\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET /socket.io/?EIO=3&transport=polling HTTP/1.1\r\nOrigin: https://a\r\nHost: h\r\n\r\n",
        "POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nOrigin: https://a\r\nHost: "
        "h\r\nContent-Length: 1\r\n\r\nx",
        "GET /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nOrigin: https://a\r\nHost: h\r\n\r\n",
        "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nOrigin: https://a\r\nHost: "
        "h\r\nContent-Length: 2\r\n\r\n40",
        "PUT /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nOrigin: https://a\r\nHost: h\r\n\r\n",
        "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nOrigin: https://a\r\nHost: "
        "h\r\nContent-Length: 1000001\r\n\r\nx",
    };

    (void)state;
    for (int far = 0; far < 2; far++)
        for (unsigned i = 0; i < sizeof requests / sizeof *requests; i++) {
            struct gateway *gateway = far ? other : home;
            struct client client;
            char text[1024];
            const char *answer;

            fixture_settings(gateway)->cors_origins = origins;
            open_socket_session(home, sid);
            played_join(home, played_socket(home), "room");
            played_deliver(home, "room", "[\"e\",1]");
            snprintf(text, sizeof text, requests[i], sid);
            answer = answer_to(gateway, &client, text);
            assert_non_null(strstr(answer, VARY ALLOW("https://a")));
            client_close(&client);
            played_settle();
            if (session_find(home, bytes_make(sid, SESSION_SID_LENGTH)))
                connection_drop(home, session_find(home, bytes_make(sid, SESSION_SID_LENGTH))->connection,
                                CLOSE_DRAIN);
        }
}

static void a_preflight_is_answered_while_cors_is_on(void **state)
{
    static const char request[] =
        "OPTIONS /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nOrigin: https://a\r\nHost: h\r\n"
        "Access-Control-Request-Headers: x-one, x-two\r\n\r\n";
    struct client client;
    const char *answer;

    (void)state;
    answer = answer_to(home, &client, request);
    assert_int_equal(strncmp(answer, "HTTP/1.1 400", 12), 0);
    assert_null(strstr(answer, "Access-Control"));
    client_close(&client);
    fixture_settings(home)->cors_origins = origins;
    answer = answer_to(home, &client, request);
    assert_int_equal(strncmp(answer, "HTTP/1.1 204", 12), 0);
    assert_non_null(strstr(answer, "Access-Control-Allow-Headers: x-one, x-two\r\n"));
    assert_non_null(strstr(answer, "Access-Control-Allow-Methods: "));
    assert_non_null(strstr(answer, VARY ALLOW("https://a")));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    client_close(&client);
}

static char *own[2];

static int start(void **state)
{
    played_start(state);
    own[0] = home->settings->cors_origins;
    own[1] = other->settings->cors_origins;
    return 0;
}

static int stop(void **state)
{
    fixture_settings(home)->cors_origins = own[0];
    fixture_settings(other)->cors_origins = own[1];
    return played_stop(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(origins_are_named_to_themselves),
        cmocka_unit_test(lists_have_whole_origins),
        cmocka_unit_test_setup_teardown(every_answer_of_the_engine_has_them, start, stop),
        cmocka_unit_test_setup_teardown(a_preflight_is_answered_while_cors_is_on, start, stop),
    };

    return cmocka_run_group_tests_name("gateway cors", tests, NULL, NULL);
}
