/* Addresses: what is one, how it is written, and which ranges have it. */
#include "common/ip_address.h"
#include "tests/unit/common/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct ip_address address_of(const char *text)
{
    struct ip_address address;

    assert_int_equal(ip_address_parse(bytes_from_text(text), &address), 0);
    return address;
}

static void assert_text(const struct ip_address *address, const char *expected)
{
    char text[IP_ADDRESS_TEXT];
    struct bytes bytes = ip_address_text(address, text);

    assert_string_equal(text, expected);
    assert_ptr_equal(bytes.data, text);
    assert_int_equal(bytes.length, strlen(expected));
}

static void an_address_is_read_and_written(void **state)
{
    static const struct {
        const char *read, *written;
    } rows[] = {
        {"127.0.0.1", "127.0.0.1"},
        {"255.255.255.255", "255.255.255.255"},
        {"::ffff:192.0.2.7", "192.0.2.7"},
        {"::FFFF:c000:0207", "192.0.2.7"},
        {"2001:DB8::1", "2001:db8::1"},
        {"::1", "::1"},
        {"2001:db8:1111:2222:3333:4444:5555:6666", "2001:db8:1111:2222:3333:4444:5555:6666"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ip_address address = address_of(rows[i].read);

        assert_text(&address, rows[i].written);
        assert_true(ip_address_is_known(&address));
    }
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",         " ",         "localhost",
        "1.2.3",    "1.2.3.4.5", "1.2.3.256",
        "1.2.3.4 ", " 1.2.3.4",  "1.2.3.4:80",
        "[::1]",    "::1%lo",    ":::1",
        "1::2::3",  "12345::",   "unknown",
        "_hidden",  "1.2.3.4/8", "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb",
    };
    struct ip_address address = {{7}};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(ip_address_parse(bytes_from_text(wrong[i]), &address), ERROR_MALFORMED);
    assert_int_equal(ip_address_parse(BYTES("127.0.0.1\0"), &address), ERROR_MALFORMED);
    assert_int_equal(address.bytes[0], 7);
}

static void a_client_is_the_same_over_both_families(void **state)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "x"};
    struct ip_address a, b, c;

    (void)state;
    inet_pton(AF_INET, "192.0.2.1", &four.sin_addr);
    inet_pton(AF_INET6, "::ffff:192.0.2.1", &six.sin6_addr);
    a = ip_address_of((struct sockaddr *)&four);
    b = ip_address_of((struct sockaddr *)&six);
    c = ip_address_of((struct sockaddr *)&local);
    assert_true(ip_address_equal(&a, &b));
    assert_text(&a, "192.0.2.1");
    assert_false(ip_address_is_known(&c));
    assert_text(&c, "");
}

static bool lists(const char *text, const char *address)
{
    struct ip_address ip = address_of(address);
    struct ip_ranges ranges = {0};
    struct buffer error = {0};
    bool has;

    assert_int_equal(ip_ranges_parse(text, &ranges, &error), 0);
    assert_int_equal(error.length, 0);
    has = ip_ranges_have(&ranges, &ip);
    ip_ranges_done(&ranges);
    return has;
}

static void ranges_have_what_begins_like_them(void **state)
{
    (void)state;
    assert_true(lists("127.0.0.1", "127.0.0.1"));
    assert_true(lists("127.0.0.1", "::ffff:127.0.0.1"));
    assert_false(lists("127.0.0.1", "127.0.0.2"));
    assert_true(lists("10.0.0.0/8", "10.255.255.255"));
    assert_false(lists("10.0.0.0/8", "11.0.0.0"));
    assert_true(lists("192.0.2.128/25", "192.0.2.128"));
    assert_false(lists("192.0.2.128/25", "192.0.2.127"));
    assert_true(lists("192.0.2.4/30", "192.0.2.7"));
    assert_false(lists("192.0.2.4/30", "192.0.2.8"));
    assert_true(lists("0.0.0.0/0", "203.0.113.9"));
    assert_false(lists("0.0.0.0/0", "2001:db8::1"));
    assert_true(lists("::/0", "2001:db8::1"));
    assert_true(lists("::/0", "203.0.113.9"));
    assert_true(lists("fd00::/8", "fdff::1"));
    assert_false(lists("fd00::/8", "fe00::1"));
    assert_true(lists("::ffff:0:0/96", "10.1.2.3"));
    assert_true(lists("2001:db8::1/128", "2001:db8::1"));
    assert_true(lists("::1 10.0.0.0/8,192.0.2.1", "192.0.2.1"));
    assert_true(lists(" ::1 , 10.0.0.0/8 ", "::1"));
    assert_false(lists("", "127.0.0.1"));
    assert_false(lists(" , ", "127.0.0.1"));
}

static void an_unknown_address_is_in_no_range(void **state)
{
    struct ip_address unknown = {{0}};
    struct ip_ranges ranges = {0};
    struct buffer error = {0};

    (void)state;
    assert_int_equal(ip_ranges_parse("::/0 0.0.0.0/0", &ranges, &error), 0);
    assert_false(ip_ranges_have(&ranges, &unknown));
    ip_ranges_done(&ranges);
}

static void what_is_no_range_is_told(void **state)
{
    static const char *const wrong[] = {"10.0.0.0/33", "10.0.0.1/8",   "::/129",        "10.0.0.0/",
                                        "10.0.0.0/-1", "10/8",         "localhost",     "/8",
                                        "::1/8",       "10.0.0.0/8/8", "127.0.0.1;::1", "10.0.0.0/8x",
                                        "10.0.0.0/ 8"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct ip_ranges ranges = {0};
        struct buffer error = {0};
        char text[64];

        snprintf(text, sizeof text, "127.0.0.1 %s", wrong[i]);
        assert_int_equal(ip_ranges_parse(text, &ranges, &error), ERROR_CONFIG);
        assert_null(ranges.ranges);
        assert_true(error.length > 0 && !memchr(error.data, '\n', error.length));
        buffer_done(&error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_read_and_written),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(a_client_is_the_same_over_both_families),
        cmocka_unit_test(ranges_have_what_begins_like_them),
        cmocka_unit_test(an_unknown_address_is_in_no_range),
        cmocka_unit_test(what_is_no_range_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
