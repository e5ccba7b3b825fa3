/* Tests of proto/proxy_protocol.h: headers of both versions, cut at every byte, and what is none. */
#include "proto/proxy_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define FOUR      "\xc0\0\x02\x07" /* 192.0.2.7 */ "\x0a\0\0\x01\xdc\x04\x01\xbb"
#define SIX                                                                                                  \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09" /* 2001:db8::9 */                                           \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xdc\x04\x01\xbb"

/* Reads a copy in memory of exactly its size, so that a sanitizer sees a read beyond it. */
static int read_exactly(struct bytes data, struct proxy_header *out)
{
    char *copy = malloc(data.length + !data.length);
    int result;

    assert_non_null(copy);
    if (data.length)
        memcpy(copy, data.data, data.length);
    result = proxy_protocol_read(bytes_make(copy, data.length), out);
    free(copy);
    return result;
}

/* The header is read when its last byte is there, and not before; what is behind it does not matter. */
static void assert_header(struct bytes header, const char *client, bool secure)
{
    char longer[1024], text[IP_ADDRESS_TEXT];
    struct proxy_header out = {{{1}}, true};

    for (size_t length = 0; length < header.length; length++) {
        assert_int_equal(read_exactly(bytes_make(header.data, length), &out), 0);
        assert_int_equal(out.client.bytes[0], 1);
    }
    assert_true(header.length + 6 < sizeof longer);
    memcpy(longer, header.data, header.length);
    memcpy(longer + header.length, "GET / ", 6);
    for (size_t behind = 0; behind <= 6; behind++) {
        assert_int_equal(read_exactly(bytes_make(longer, header.length + behind), &out), header.length);
        ip_address_text(&out.client, text);
        assert_string_equal(text, client);
        assert_int_equal(out.secure, secure);
    }
}

/* It is refused, at its last byte at the latest, and never read. */
static void assert_refused(struct bytes header, int error)
{
    struct proxy_header out = {{{1}}, true};

    for (size_t length = 0; length < header.length; length++) {
        int result = read_exactly(bytes_make(header.data, length), &out);

        assert_true(result == 0 || result == error);
        if (result == error) /* and stays so */
            assert_int_equal(read_exactly(bytes_make(header.data, length + 1), &out), error);
    }
    assert_int_equal(read_exactly(header, &out), error);
    assert_int_equal(out.client.bytes[0], 1);
    assert_true(out.secure);
}

static void version_1_names_the_client(void **state)
{
    (void)state;
    assert_header(BYTES("PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n"), "192.0.2.7", false);
    assert_header(BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255",
                  false);
    assert_header(BYTES("PROXY TCP6 2001:db8::9 2001:db8::1 0 443\r\n"), "2001:db8::9", false);
    assert_header(BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
                  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false);
    assert_header(BYTES("PROXY UNKNOWN\r\n"), "", false);
    assert_header(BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"), /* 107 bytes */
                  "", false);
}

static void a_line_that_is_not_exactly_so_is_refused(void **state)
{
    static const char *const wrong[] = {
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443 1\r\n",
        "PROXY TCP4 192.0.2.7  10.0.0.1 56324 443\r\n",
        "PROXY  TCP4 192.0.2.7 10.0.0.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443 \r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 056 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 -1 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1  443\r\n",
        "PROXY TCP4 192.0.2.256 10.0.0.1 56324 443\r\n",
        "PROXY TCP4 2001:db8::9 10.0.0.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.7 2001:db8::9 56324 443\r\n",
        "PROXY TCP6 192.0.2.7 10.0.0.1 56324 443\r\n",
        "PROXY TCP5 192.0.2.7 10.0.0.1 56324 443\r\n",
        "PROXY tcp4 192.0.2.7 10.0.0.1 56324 443\r\n",
        "PROXY UNKNOW\r\n",
        "PROXY \r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\rx",
        "proxy TCP4 192.0.2.7 10.0.0.1 56324 443\r\n",
        "PROXY\tTCP4 192.0.2.7 10.0.0.1 56324 443\r\n",
        "GET / HTTP/1.1\r\n",
        "\x16\x03\x01",
        /* 108 bytes */
        ("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
         "65535 \r\n"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_refused(bytes_from_text(wrong[i]), ERROR_MALFORMED);
}

static void a_line_without_an_end_is_not_awaited_for_ever(void **state)
{
    char line[200];
    struct proxy_header out;

    (void)state;
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    assert_int_equal(read_exactly(bytes_make(line, 106), &out), 0);
    assert_int_equal(read_exactly(bytes_make(line, 107), &out), ERROR_MALFORMED);
    assert_int_equal(read_exactly(bytes_make(line, sizeof line), &out), ERROR_MALFORMED);
}

static void version_2_names_the_client(void **state)
{
    (void)state;
    assert_header(BYTES(SIGNATURE "\x21\x11\0\x0c" FOUR), "192.0.2.7", false);
    assert_header(BYTES(SIGNATURE "\x21\x21\0\x24" SIX), "2001:db8::9", false);
    assert_header(BYTES(SIGNATURE "\x21\x12\0\x0c" FOUR), "192.0.2.7", false);
    assert_header(BYTES(SIGNATURE "\x21\0\0\0"), "", false);
    assert_header(BYTES(SIGNATURE "\x21\0\0\x04\x04\0\x01x"), "", false);
}

static void a_health_check_speaks_for_itself(void **state)
{
    (void)state;
    assert_header(BYTES(SIGNATURE "\x20\0\0\0"), "", false);
    assert_header(BYTES(SIGNATURE "\x20\x11\0\x0c" FOUR), "", false);
    assert_header(BYTES(SIGNATURE "\x20\x11\0\x03\x20\xff\xff"), "", false); /* what it holds is no matter */
}

static void what_follows_the_addresses_says_whether_it_is_tls(void **state)
{
    char unix_header[16 + 216 + 8];

    (void)state;
    assert_header(BYTES(SIGNATURE "\x21\x11\0\x14" FOUR "\x20\0\x05\x01\0\0\0\0"), "192.0.2.7", true);
    assert_header(BYTES(SIGNATURE "\x21\x11\0\x14" FOUR "\x20\0\x05\0\0\0\0\0"), "192.0.2.7", false);
    assert_header(BYTES(SIGNATURE "\x21\x11\0\x14" FOUR "\x20\0\x05\x06\0\0\0\0"), "192.0.2.7", false);
    assert_header(BYTES(SIGNATURE "\x21\x11\0\x0f" FOUR "\x20\0\0"), "192.0.2.7", false);
    assert_header(BYTES(SIGNATURE "\x21\x21\0\x30" SIX "\x04\0\x01x\x20\0\x05\x07\0\0\0\0"), "2001:db8::9",
                  true);
    assert_header(BYTES(SIGNATURE "\x21\0\0\x08\x20\0\x05\x01\0\0\0\0"), "", true);
    memset(unix_header, 'u', sizeof unix_header);
    memcpy(unix_header, SIGNATURE "\x21\x31\0\xe0", 16);
    memcpy(unix_header + 16 + 216, "\x20\0\x05\x01\0\0\0\0", 8);
    assert_header(bytes_make(unix_header, sizeof unix_header), "", true);
}

static void a_head_that_lies_is_refused(void **state)
{
    (void)state;
    assert_refused(BYTES(SIGNATURE "\x11\x11\0\x0c" FOUR), ERROR_MALFORMED);               /* version 1 */
    assert_refused(BYTES(SIGNATURE "\x31\x11\0\x0c" FOUR), ERROR_MALFORMED);               /* version 3 */
    assert_refused(BYTES(SIGNATURE "\x22\x11\0\x0c" FOUR), ERROR_MALFORMED);               /* its command */
    assert_refused(BYTES(SIGNATURE "\x21\x41\0\x0c" FOUR), ERROR_MALFORMED);               /* its family */
    assert_refused(BYTES(SIGNATURE "\x21\x13\0\x0c" FOUR), ERROR_MALFORMED);               /* its transport */
    assert_refused(BYTES(SIGNATURE "\x21\x11\0\x0b" FOUR), ERROR_MALFORMED);               /* too short */
    assert_refused(BYTES(SIGNATURE "\x21\x21\0\x0c" FOUR), ERROR_MALFORMED);               /* for IPv6 */
    assert_refused(BYTES(SIGNATURE "\x21\x31\0\x0c" FOUR), ERROR_MALFORMED);               /* for a path */
    assert_refused(BYTES(SIGNATURE "\x21\x11\0\x0e" FOUR "\x20\0"), ERROR_MALFORMED);      /* a TLV's head */
    assert_refused(BYTES(SIGNATURE "\x21\x11\0\x10" FOUR "\x20\0\x02x"), ERROR_MALFORMED); /* and its rest */
    assert_refused(BYTES("\r\n\r\n\0\r\nQUIT\r"), ERROR_MALFORMED);
    assert_refused(BYTES("\r\n\r\nx"), ERROR_MALFORMED);
}

static void a_header_of_any_length_is_not_awaited(void **state)
{
    static char large[PROXY_PROTOCOL_MAX] = SIGNATURE "\x20\0\x1f\xf0"; /* 16 + 8176 */
    struct proxy_header out;

    (void)state;
    assert_int_equal(read_exactly(bytes_make(large, sizeof large), &out), sizeof large);
    assert_refused(BYTES(SIGNATURE "\x20\0\x1f\xf1"), ERROR_TOO_LARGE);
    assert_refused(BYTES(SIGNATURE "\x21\x11\xff\xff" FOUR), ERROR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_names_the_client),
        cmocka_unit_test(a_line_that_is_not_exactly_so_is_refused),
        cmocka_unit_test(a_line_without_an_end_is_not_awaited_for_ever),
        cmocka_unit_test(version_2_names_the_client),
        cmocka_unit_test(a_health_check_speaks_for_itself),
        cmocka_unit_test(what_follows_the_addresses_says_whether_it_is_tls),
        cmocka_unit_test(a_head_that_lies_is_refused),
        cmocka_unit_test(a_header_of_any_length_is_not_awaited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
