/* Where a request's client is: whose word counts, and how far to the left. */
#include "gateway/client_source.h"
#include "gateway/entrance.h"
#include "tests/unit/gateway/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct gateway *gateway;

/* A request with those fields, over a connection from that address ("" for a Unix socket). */
static struct client_source source_by(bool told, const char *peer, bool secure, const char *fields)
{
    struct peer client = fixture_peer(gateway);
    struct entrance *entrance = calloc(1, sizeof *entrance);
    struct http_limits limits = HTTP_LIMITS_DEFAULT;
    struct client_source source;
    struct http_request request;
    char text[2048];

    assert_non_null(entrance);
    if (*peer)
        assert_int_equal(ip_address_parse(bytes_from_text(peer), &entrance->address), 0);
    entrance->told = told;
    entrance->secure = secure;
    client.connection->entrance = entrance;
    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", fields);
    assert_true(http_request_parse(text, strlen(text), &limits, &request) > 0);
    source = client_source_of(gateway, client.connection, &request);
    connection_drop(gateway, client.connection, CLOSE_PEER_GONE);
    fixture_flush(gateway);
    fixture_peer_done(&client);
    return source;
}

static struct client_source source_of(const char *peer, bool secure, const char *fields)
{
    return source_by(false, peer, secure, fields);
}

static void expect(const char *peer, const char *fields, const char *address)
{
    struct client_source source = source_of(peer, false, fields);
    char text[IP_ADDRESS_TEXT];

    ip_address_text(&source.address, text);
    assert_string_equal(text, address);
}

static int start(void **state)
{
    struct buffer error = {0};

    (void)state;
    gateway = fixture_start();
    return ip_ranges_parse("10.0.0.0/8 fd00::/8", &fixture_settings(gateway)->trusted_ranges, &error);
}

static int stop(void **state)
{
    (void)state;
    fixture_stop(gateway);
    return 0;
}

static void a_stranger_may_say_what_it_likes(void **state)
{
    (void)state;
    expect("192.0.2.1", "X-Forwarded-For: 203.0.113.9\r\n", "192.0.2.1");
    expect("", "X-Forwarded-For: 203.0.113.9\r\n", "");
    assert_false(source_of("192.0.2.1", false, "X-Forwarded-Proto: https\r\n").secure);
    assert_true(source_of("192.0.2.1", true, "X-Forwarded-Proto: http\r\n").secure);
}

static void the_rightmost_that_is_not_trusted_is_the_client(void **state)
{
    (void)state;
    expect("10.0.0.1", "", "10.0.0.1");
    expect("10.0.0.1", "X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9");
    expect("fd00::1", "x-forwarded-for: 2001:db8::7\r\n", "2001:db8::7");
    expect("10.0.0.1", "X-Forwarded-For: 127.0.0.1, 203.0.113.9\r\n", "203.0.113.9");
    expect("10.0.0.1", "X-Forwarded-For: 127.0.0.1, 203.0.113.9,10.0.0.2 , fd00::9\r\n", "203.0.113.9");
    expect("10.0.0.1", "X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3");
    expect("10.0.0.1",
           "X-Forwarded-For: 198.51.100.1\r\nX-Other: 1.1.1.1\r\nX-Forwarded-For: 203.0.113.9\r\n",
           "203.0.113.9");
    expect("10.0.0.1", "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 10.0.0.2\r\n", "198.51.100.1");
}

static void an_entry_may_have_a_port(void **state)
{
    (void)state;
    expect("10.0.0.1", "X-Forwarded-For: 203.0.113.9:4711\r\n", "203.0.113.9");
    expect("10.0.0.1", "X-Forwarded-For: [2001:db8::7]:4711\r\n", "2001:db8::7");
    expect("10.0.0.1", "X-Forwarded-For: [2001:db8::7]\r\n", "2001:db8::7");
    expect("10.0.0.1", "X-Forwarded-For: ::ffff:203.0.113.9\r\n", "203.0.113.9");
}

static void what_is_no_address_hides_nobody(void **state)
{
    (void)state;
    expect("10.0.0.1", "X-Forwarded-For: 203.0.113.9, unknown\r\n", "10.0.0.1");
    expect("10.0.0.1", "X-Forwarded-For: 203.0.113.9, [2001:db8::7, 10.0.0.2\r\n", "10.0.0.2");
    expect("10.0.0.1", "X-Forwarded-For: 203.0.113.9,\r\n", "10.0.0.1");
    expect("10.0.0.1", "X-Forwarded-For:\r\n", "10.0.0.1");
    expect("10.0.0.1", "X-Forwarded-For: 203.0.113.9,,10.0.0.2\r\n", "10.0.0.2");
}

static void a_balancer_says_whether_it_is_tls(void **state)
{
    (void)state;
    assert_true(source_of("10.0.0.1", false, "X-Forwarded-Proto: https\r\n").secure);
    assert_true(source_of("10.0.0.1", false, "X-Forwarded-Proto: WSS\r\n").secure);
    assert_true(source_of("10.0.0.1", false, "X-Forwarded-Proto: http, https\r\n").secure);
    assert_false(source_of("10.0.0.1", false, "X-Forwarded-Proto: https, http\r\n").secure);
    assert_false(source_of("10.0.0.1", true, "X-Forwarded-Proto: http\r\n").secure);
    assert_true(source_of("10.0.0.1", true, "").secure);
    assert_false(source_of("10.0.0.1", false, "").secure);
}

/* A PROXY header names a client, which is not believed for having an address like a balancer's. */
static void who_a_proxy_header_names_is_no_balancer(void **state)
{
    struct client_source source =
        source_by(true, "10.0.0.1", false, "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n");
    char text[IP_ADDRESS_TEXT];

    (void)state;
    ip_address_text(&source.address, text);
    assert_string_equal(text, "10.0.0.1");
    assert_false(source.secure);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stranger_may_say_what_it_likes),
        cmocka_unit_test(the_rightmost_that_is_not_trusted_is_the_client),
        cmocka_unit_test(an_entry_may_have_a_port),
        cmocka_unit_test(what_is_no_address_hides_nobody),
        cmocka_unit_test(a_balancer_says_whether_it_is_tls),
        cmocka_unit_test(who_a_proxy_header_names_is_no_balancer),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
