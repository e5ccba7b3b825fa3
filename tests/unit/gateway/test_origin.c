/* Origins: the list, and who is refused at which path. */
#include "gateway/origin.h"
#include "tests/unit/gateway/played.h"
#include "tests/unit/gateway/played_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static bool listed(const char *origins, const char *origin)
{
    return origin_listed(origins, bytes_from_text(origin), BYTES("chat.example.com:8443"));
}

static void a_list_has_what_stands_in_it(void **state)
{
    (void)state;
    assert_true(listed("", "https://anything"));
    assert_true(listed("  , ", "https://anything"));
    assert_true(listed("*", "null"));
    assert_true(listed("https://a.example https://b.example", "https://b.example"));
    assert_true(listed("https://a.example,https://b.example", "https://a.example"));
    assert_false(listed("https://a.example", "http://a.example"));
    assert_false(listed("https://a.example", "https://a.example:444"));
    assert_false(listed("https://a.example", "https://a.example.evil.com"));
    assert_false(listed("https://a.example", "https://a.exampl"));
    assert_false(listed("https://a.example", ""));
    assert_false(listed("https://a.example", "null"));
    assert_true(listed("https://a.example null", "null"));
}

static void self_is_the_host_that_was_asked(void **state)
{
    (void)state;
    assert_true(listed("self", "https://chat.example.com:8443"));
    assert_true(listed("self", "http://CHAT.example.com:8443"));
    assert_false(listed("self", "https://chat.example.com"));
    assert_false(listed("self", "https://chat.example.com:8443.evil.com"));
    assert_false(listed("self", "https://evil.com/chat.example.com:8443"));
    assert_false(listed("self", "file://chat.example.com:8443"));
    assert_false(listed("self", "null"));
    assert_false(origin_listed("self", BYTES("https://"), BYTES("")));
}

static void a_star_is_a_subdomain(void **state)
{
    (void)state;
    assert_true(listed("https://*.example.com", "https://a.example.com"));
    assert_true(listed("https://*.example.com", "https://a.b.example.com"));
    assert_true(listed("https://*.example.com:8443", "https://a.example.com:8443"));
    assert_false(listed("https://*.example.com", "https://example.com"));
    assert_false(listed("https://*.example.com", "https://.example.com"));
    assert_false(listed("https://*.example.com", "http://a.example.com"));
    assert_false(listed("https://*.example.com", "https://a.example.com:8443"));
    assert_false(listed("https://*.example.com", "https://a.example.com.evil.com"));
    assert_false(listed("https://*.example.com", "https://evil.com/.example.com"));
    assert_false(listed("https://*.example.com", "https://evil.com:1.example.com"));
    assert_false(listed("https://*.example.com", "https://badexample.com"));
    assert_false(listed("https://*", "https://evil.com"));
    assert_false(listed("ht*", "https://evil.com"));
}

static bool valid(const char *entry)
{
    return origin_entry_valid(bytes_from_text(entry), true);
}

static void an_entry_is_what_browsers_say(void **state)
{
    static const char *const good[] = {"*",
                                       "self",
                                       "null",
                                       "file://",
                                       "https://app.example",
                                       "http://localhost:3000",
                                       "https://*.app.example",
                                       "https://*.app.example:8443",
                                       "http://[::1]:3000",
                                       "http://192.0.2.1",
                                       "https://app.example:80",
                                       "capacitor://localhost",
                                       "chrome-extension://abcdefgh",
                                       "https://xn--bcher-kva.example"};
    static const char *const bad[] = {"app.example",
                                      "app.example:3000",
                                      "//app.example",
                                      "https:app.example",
                                      "https://",
                                      "https://app.example/",
                                      "https://app.example/chat",
                                      "https://App.example",
                                      "HTTPS://app.example",
                                      "https://app.example:443",
                                      "http://app.example:80",
                                      "https://app.example:",
                                      "https://app.example:0",
                                      "https://app.example:65536",
                                      "https://app.example:1x",
                                      "https://ann@app.example",
                                      "https://*",
                                      "https://*.",
                                      "https://a.*.example",
                                      "*.app.example",
                                      "https://b\xc3\xbc.example",
                                      "Null",
                                      "ht*",
                                      "http://[::1",
                                      "http://[]",
                                      "http://[::1]x",
                                      "https://app.example;"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!valid(good[i]))
            fail_msg("%s is one", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (valid(bad[i]))
            fail_msg("%s is none", bad[i]);
    assert_false(origin_entry_valid(BYTES("self"), false));
    assert_false(origin_entry_valid(BYTES("https://*.app.example"), false));
    assert_true(origin_entry_valid(BYTES("https://app.example"), false));
    assert_true(bytes_equal(origins_find_invalid(" https://a.example, self app.example x", true),
                            BYTES("app.example")));
    assert_int_equal(origins_find_invalid("https://a.example,self", true).length, 0);
    assert_int_equal(origins_find_invalid("", true).length, 0);
}

/* -- requests ----------------------------------------------------------------------------------- */

static char only_one[] = "https://good.example";

/* The status that a request gets from that origin; NULL: it has none. */
static int status(const char *line, const char *origin, const char *fields)
{
    struct client client = client_open(home);
    char text[512];
    int code;

    snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: h\r\n%s%s%s%s\r\n", line, origin ? "Origin: " : "",
             origin ? origin : "", origin ? "\r\n" : "", fields);
    client_write(&client, bytes_from_text(text));
    played_settle();
    code = client_answer(&client, NULL);
    client_close(&client);
    played_settle();
    return code;
}

#define UPGRADE                                                                                              \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"                             \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static void foreign_pages_are_refused_on_every_transport(void **state)
{
    static const char *const lines[][2] = {
        {"GET /socket.io/?EIO=4&transport=polling", ""},
        {"GET /socket.io/?EIO=4&transport=websocket", UPGRADE},
        {"GET /socket.io/?EIO=4&transport=polling&sid=abcdefghijklmnopqrstuvwx", ""},
        {"POST /socket.io/?EIO=4&transport=polling&sid=abcdefghijklmnopqrstuvwx", "Content-Length: 1\r\n"},
        {"OPTIONS /socket.io/?EIO=4&transport=polling", ""},
        {"GET /ws?room=R", UPGRADE},
    };
    struct gateway_settings *settings = fixture_settings(home);
    char *before = settings->origins;
    uint64_t refused = 0;

    (void)state;
    settings->origins = only_one;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_int_equal(status(lines[i][0], "https://evil.example", lines[i][1]), 403);
        assert_int_equal(status(lines[i][0], "null", lines[i][1]), 403);
        refused += 2;
        assert_int_equal(home->counters.origins_refused, refused);
        assert_int_not_equal(status(lines[i][0], "https://good.example", lines[i][1]), 403);
        assert_int_not_equal(status(lines[i][0], NULL, lines[i][1]), 403);
        assert_int_equal(home->counters.origins_refused, refused);
    }
    assert_int_equal(home->counters.engine_refused[ENGINEIO_ERROR_FORBIDDEN], 10);
    assert_int_equal(home->counters.http_refused[403 - HTTP_REFUSED_FIRST], 12);
    settings->origins = before;
}

static void two_origins_are_refused(void **state)
{
    struct gateway_settings *settings = fixture_settings(home);
    char *before = settings->origins;

    (void)state;
    for (int listed = 0; listed < 2; listed++) {
        settings->origins = listed ? only_one : before;
        assert_int_equal(status("GET /socket.io/?EIO=4&transport=websocket", "https://good.example",
                                "origin: https://evil.example\r\n" UPGRADE),
                         403);
        assert_int_equal(status("GET /ws?room=R", "https://evil.example",
                                "Origin: https://good.example\r\n" UPGRADE),
                         403);
    }
    assert_int_equal(home->counters.origins_refused, 4);
    settings->origins = before;
}

static void files_are_for_everyone(void **state)
{
    struct gateway_settings *settings = fixture_settings(home);
    char *before = settings->origins;

    (void)state;
    settings->origins = only_one;
    assert_int_equal(status("GET /", "https://evil.example", ""), 200);
    assert_int_not_equal(status("GET /healthz", "https://evil.example", ""), 403);
    settings->origins = before;
}

static void no_list_refuses_nobody(void **state)
{
    (void)state;
    assert_int_equal(status("GET /socket.io/?EIO=4&transport=polling", "https://evil.example", ""), 200);
    assert_int_equal(home->counters.origins_refused, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_has_what_stands_in_it),
        cmocka_unit_test(self_is_the_host_that_was_asked),
        cmocka_unit_test(a_star_is_a_subdomain),
        cmocka_unit_test(an_entry_is_what_browsers_say),
        cmocka_unit_test_setup_teardown(foreign_pages_are_refused_on_every_transport, played_start,
                                        played_stop),
        cmocka_unit_test_setup_teardown(two_origins_are_refused, played_start, played_stop),
        cmocka_unit_test_setup_teardown(files_are_for_everyone, played_start, played_stop),
        cmocka_unit_test_setup_teardown(no_list_refuses_nobody, played_start, played_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
