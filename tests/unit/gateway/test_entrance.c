/* The entrance: a balancer's header in pieces of any size, what is behind it, and who may send one. */
#include "gateway/entrance.h"
#include "gateway/http_service.h"
#include "tests/unit/gateway/fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define REQUEST "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"
#define V2                                                                                                   \
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14\xc0\0\x02\x07\x0a\0\0\x01\xdc\x04\x01\xbb\x20\0\x05\x01\0\0\0\0"
#define LOCAL "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"

enum { PATIENCE_MS = 60000 };

static struct gateway *gateway;
static int listening;

static int start(void **state)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct gateway_settings *settings;
    struct buffer error = {0};

    (void)state;
    gateway = fixture_start();
    settings = fixture_settings(gateway);
    settings->proxy_protocol = PROXY_PROTOCOL_REQUIRED;
    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listening < 0 || bind(listening, (struct sockaddr *)&any, sizeof any) < 0 || listen(listening, 1) < 0)
        return -1;
    return ip_ranges_parse("127.0.0.0/8", &settings->trusted_ranges, &error);
}

static int stop(void **state)
{
    (void)state;
    close(listening);
    fixture_stop(gateway);
    return 0;
}

/* A TCP connection of this machine to the gateway, which may have refused it at once.  Its number. */
static uint64_t come_in(int *client)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    struct connection *connection;
    uint32_t cursor = 0;
    int fd;

    *client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(connect(*client, (struct sockaddr *)&address, length), 0);
    fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    entrance_accept(gateway, fd);
    connection = slot_table_next(&gateway->connections.slots, &cursor);
    return connection ? connection->number : 0;
}

static struct connection *give(uint64_t number, int client, struct bytes bytes)
{
    const struct connection *connection = connections_find(gateway, number);
    struct pollfd ready = {.fd = connection->fd, .events = POLLIN};

    assert_int_equal(send(client, bytes.data, bytes.length, MSG_NOSIGNAL), bytes.length);
    assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
    connections_on_event(gateway, number, EPOLLIN);
    return connections_find(gateway, number);
}

static void leave(uint64_t number, int client)
{
    struct connection *connection = connections_find(gateway, number);

    if (connection)
        connection_drop(gateway, connection, CLOSE_PEER_GONE);
    fixture_flush(gateway);
    close(client);
    assert_int_equal(gateway->connections.slots.count, 0);
}

static void assert_client(const struct connection *connection, const char *address, bool secure)
{
    struct ip_address ip = connection_address(connection);
    char text[IP_ADDRESS_TEXT];

    ip_address_text(&ip, text);
    assert_string_equal(text, address);
    assert_int_equal(connection->entrance && connection->entrance->secure, secure);
}

static void assert_answered(int client)
{
    char answer[512];
    ssize_t n;

    fixture_flush(gateway);
    n = recv(client, answer, sizeof answer - 1, 0);
    assert_true(n > 0);
    answer[n] = '\0';
    assert_non_null(strstr(answer, "HTTP/1.1 404 "));
}

static void a_header_and_a_request_may_be_cut_anywhere(void **state)
{
    static const struct {
        struct bytes stream;
        size_t header;
        const char *address;
        bool secure;
    } rows[] = {
        {BYTES(V2 REQUEST), sizeof V2 - 1, "192.0.2.7", true},
        {BYTES(LOCAL REQUEST), sizeof LOCAL - 1, "127.0.0.1", false},
        {BYTES("PROXY TCP6 2001:db8::9 ::1 1 2\r\n" REQUEST), 32, "2001:db8::9", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t cut = 1; cut <= rows[i].stream.length; cut++) {
            struct bytes stream = rows[i].stream;
            struct connection *connection;
            int client;
            uint64_t number = come_in(&client);

            connection = give(number, client, bytes_make(stream.data, cut));
            assert_non_null(connection);
            assert_int_equal(http_is_spoken(connection), cut >= rows[i].header);
            if (cut < stream.length)
                connection = give(number, client, bytes_make(stream.data + cut, stream.length - cut));
            assert_non_null(connection);
            assert_client(connection, rows[i].address, rows[i].secure);
            assert_answered(client);
            leave(number, client);
        }
}

static void without_a_header_nobody_comes_in(void **state)
{
    static const struct bytes wrong[] = {BYTES(REQUEST), BYTES("PROXY TCP4 nobody\r\n" REQUEST),
                                         BYTES("\x16\x03\x01")};
    uint64_t refused = gateway->counters.closed[CLOSE_PROXY_REFUSED];

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int client;
        uint64_t number = come_in(&client);

        assert_null(give(number, client, wrong[i]));
        assert_int_equal(gateway->counters.closed[CLOSE_PROXY_REFUSED], ++refused);
        leave(number, client);
    }
}

static void a_header_does_not_take_for_ever(void **state)
{
    int client;
    uint64_t number = come_in(&client), refused = gateway->counters.closed[CLOSE_PROXY_REFUSED];

    (void)state;
    assert_non_null(give(number, client, BYTES("PROXY ")));
    timer_wheel_advance(&gateway->timers,
                        loop_now(gateway->loop) + gateway->settings->http_head_timeout + 1000,
                        connections_on_timer, gateway);
    assert_null(connections_find(gateway, number));
    assert_int_equal(gateway->counters.closed[CLOSE_PROXY_REFUSED], refused + 1);
    leave(number, client);
}

static void a_stranger_is_not_asked_for_one(void **state)
{
    struct gateway_settings *settings = fixture_settings(gateway);
    struct ip_ranges trusted = settings->trusted_ranges;
    struct buffer error = {0};
    uint64_t refused = gateway->counters.closed[CLOSE_PROXY_REFUSED];
    int client;

    (void)state;
    assert_int_equal(ip_ranges_parse("10.0.0.0/8", &settings->trusted_ranges, &error), 0);
    assert_int_equal(come_in(&client), 0);
    assert_int_equal(gateway->counters.closed[CLOSE_PROXY_REFUSED], refused + 1);
    leave(0, client);
    ip_ranges_done(&settings->trusted_ranges);
    settings->trusted_ranges = trusted;
}

static void who_comes_straight_has_no_entrance(void **state)
{
    struct gateway_settings *settings = fixture_settings(gateway);
    struct connection *connection;
    int client;
    uint64_t number;

    (void)state;
    settings->proxy_protocol = PROXY_PROTOCOL_OFF;
    number = come_in(&client);
    connection = give(number, client, BYTES(REQUEST));
    assert_non_null(connection);
    assert_null(connection->entrance);
    assert_client(connection, "127.0.0.1", false);
    assert_answered(client);
    leave(number, client);
    settings->proxy_protocol = PROXY_PROTOCOL_REQUIRED;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_and_a_request_may_be_cut_anywhere),
        cmocka_unit_test(without_a_header_nobody_comes_in),
        cmocka_unit_test(a_header_does_not_take_for_ever),
        cmocka_unit_test(a_stranger_is_not_asked_for_one),
        cmocka_unit_test(who_comes_straight_has_no_entrance),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
