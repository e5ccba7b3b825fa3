/* What is kept of a handshake: its JSON, its size, and what is not taken from another gateway. */
#include "gateway/handshake.h"

#include "common/memory.h"
#include "proto/json_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { WALL_MS = 1700000000 };
#define WALL ((uint64_t)WALL_MS * 1000 + 42)

static struct handshake *make(struct bytes head)
{
    struct http_limits limits = HTTP_LIMITS_DEFAULT;
    struct http_request request;
    int length;

    limits.head = 1 << 20;
    length = http_request_parse(head.data, head.length, &limits, &request);
    if (length <= 0)
        fail_msg("%d: %.*s", length, BYTES_PRINTF(head));
    return handshake_new(&request, BYTES("192.0.2.1"), false, WALL);
}

/* The JSON as a text to be freed.  It is one line of valid JSON. */
static char *json_of(const struct handshake *handshake, struct bytes auth)
{
    struct buffer out = {0};
    struct json_value value;
    char *text;

    handshake_append_json(handshake, auth, false, &out);
    assert_int_equal(json_scan(buffer_bytes(&out), &value), 0);
    assert_int_equal(value.kind, JSON_OBJECT);
    for (size_t i = 0; i < out.length; i++)
        assert_true((unsigned char)out.data[i] >= ' ' && out.data[i] != 0x7f);
    text = memory_text(out.data, out.length);
    buffer_done(&out);
    return text;
}

static char *json_of_head(struct bytes head, struct bytes auth)
{
    struct handshake *handshake = make(head);
    char *text = json_of(handshake, auth);

    handshake_free(handshake);
    return text;
}

/* Checks one member of the JSON that comes from fields and a target. */
static void expect_member(const char *member, struct bytes fields, const char *target, const char *expected)
{
    struct buffer head = {0};
    struct buffer wanted = {0};
    char *text;

    buffer_printf(&head, "GET %s HTTP/1.1\r\n", target);
    buffer_append_bytes(&head, fields);
    buffer_append_literal(&head, "\r\n");
    text = json_of_head(buffer_bytes(&head), (struct bytes){0});
    buffer_printf(&wanted, "\"%s\":%s", member, expected);
    buffer_append_char(&wanted, '\0');
    if (!strstr(text, wanted.data))
        fail_msg("%s\nnot in\n%s", wanted.data, text);
    free(text);
    buffer_done(&head);
    buffer_done(&wanted);
}

static const char browser[] = "GET /socket.io/?EIO=4&transport=websocket&token=a%20b HTTP/1.1\r\n"
                              "Host: chat.example:3000\r\n"
                              "Connection: Upgrade\r\n"
                              "Pragma: no-cache\r\n"
                              "Cache-Control: no-cache\r\n"
                              "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
                              "Upgrade: websocket\r\n"
                              "Origin: https://chat.example\r\n"
                              "Sec-WebSocket-Version: 13\r\n"
                              "Accept-Encoding: gzip, deflate, br, zstd\r\n"
                              "Accept-Language: en-US,en;q=0.9\r\n"
                              "Cookie: id=1\r\n"
                              "X-Custom: Yes\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                              "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
#define BROWSER BYTES(browser)

static void everything_of_a_browser(void **state)
{
    char *text = json_of_head(BROWSER, BYTES("{\"token\":\"x\"}"));

    (void)state;
    assert_string_equal(
        text,
        "{\"headers\":{\"host\":\"chat.example:3000\",\"pragma\":\"no-cache\",\"cache-control\":\"no-cache\","
        "\"user-agent\":\"Mozilla/5.0 (X11; Linux x86_64)\",\"origin\":\"https://chat.example\","
        "\"accept-encoding\":\"gzip, deflate, br, zstd\",\"accept-language\":\"en-US,en;q=0.9\","
        "\"cookie\":\"id=1\",\"x-custom\":\"Yes\"},"
        "\"time\":\"2023-11-14T22:13:20.042Z\",\"issued\":1700000000042,\"address\":\"192.0.2.1\","
        "\"xdomain\":true,\"secure\":false,\"url\":\"/socket.io/?EIO=4&transport=websocket&token=a%20b\","
        "\"query\":{\"EIO\":\"4\",\"transport\":\"websocket\",\"token\":\"a "
        "b\"},\"auth\":{\"token\":\"x\"}}");
    free(text);
}

static void nothing_but_a_target(void **state)
{
    char *text = json_of_head(BYTES("GET /socket.io/ HTTP/1.1\r\nHost: h\r\n\r\n"), (struct bytes){0});

    (void)state;
    assert_string_equal(
        text, "{\"headers\":{\"host\":\"h\"},\"time\":\"2023-11-14T22:13:20.042Z\",\"issued\":1700000000042,"
              "\"address\":\"192.0.2.1\",\"xdomain\":false,\"secure\":false,\"url\":\"/socket.io/"
              "\",\"query\":{},\"auth\":{}}");
    free(text);
}

static void repeated_fields(void **state)
{
    static const struct {
        struct bytes fields;
        const char *headers;
    } cases[] = {
        {BYTES("X-A: 1\r\nx-b: 2\r\nX-a: 3\r\nx-A:\r\n"),
         "{\"host\":\"h\",\"x-a\":\"1, 3, \",\"x-b\":\"2\"}"},
        {BYTES("Accept: a\r\nACCEPT: b\r\n"), "{\"host\":\"h\",\"accept\":\"a, b\"}"},
        {BYTES("Cookie: a=1\r\ncookie: b=2\r\n"), "{\"host\":\"h\",\"cookie\":\"a=1; b=2\"}"},
        {BYTES("User-Agent: a\r\nUser-Agent: b\r\n"), "{\"host\":\"h\",\"user-agent\":\"a\"}"},
        {BYTES("Authorization: a\r\nAuthorization: b\r\n"), "{\"host\":\"h\",\"authorization\":\"a\"}"},
        {BYTES("Set-Cookie: a\r\nSet-Cookie: \"b\"\r\n"),
         "{\"host\":\"h\",\"set-cookie\":[\"a\",\"\\\"b\\\"\"]}"},
        {BYTES("Set-Cookie: a\r\n"), "{\"host\":\"h\",\"set-cookie\":[\"a\"]}"},
        {BYTES("CONNECTION: x\r\nupgrade: y\r\nsec-websocket-KEY: z\r\nSec-WebSocket-Protocol: p\r\n"),
         "{\"host\":\"h\",\"sec-websocket-protocol\":\"p\"}"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buffer fields = {0};

        buffer_append_literal(&fields, "Host: h\r\n");
        buffer_append_bytes(&fields, cases[i].fields);
        expect_member("headers", buffer_bytes(&fields), "/", cases[i].headers);
        buffer_done(&fields);
    }
}

static void bytes_of_fields_are_latin1(void **state)
{
    (void)state;
    expect_member("headers", BYTES("Host: h\r\nX: \"a\\b\"\tc\r\n"), "/",
                  "{\"host\":\"h\",\"x\":\"\\\"a\\\\b\\\"\\u0009c\"}");
    expect_member("headers", BYTES("Host: h\r\nX: \xe9\xff\r\n"), "/",
                  "{\"host\":\"h\",\"x\":\"\xc3\xa9\xc3\xbf\"}");
    expect_member("headers", BYTES("Host: h\r\nX: \xc3\xa9\r\n"), "/",
                  "{\"host\":\"h\",\"x\":\"\xc3\x83\xc2\xa9\"}");
    expect_member("headers", BYTES("Host: h\r\nX: a\x9b[2J\r\n"), "/",
                  "{\"host\":\"h\",\"x\":\"a\\u009b[2J\"}");
}

static void queries(void **state)
{
    static const struct {
        const char *target, *query;
    } cases[] = {
        {"/", "{}"},
        {"/?", "{}"},
        {"/?&&", "{}"},
        {"/?a", "{\"a\":\"\"}"},
        {"/?a=", "{\"a\":\"\"}"},
        {"/?=b", "{\"\":\"b\"}"},
        {"/?a=b=c", "{\"a\":\"b=c\"}"},
        {"/?a=1&b=2&a=3", "{\"a\":\"3\",\"b\":\"2\"}"},
        {"/?%61=1&a=2", "{\"a\":\"2\"}"},
        {"/?a=x+y%20z%2B", "{\"a\":\"x y z+\"}"},
        {"/?a=%&b=%4&c=%zz&d=%4z1", "{\"a\":\"%\",\"b\":\"%4\",\"c\":\"%zz\",\"d\":\"%4z1\"}"},
        {"/?a=%22%5c%0A%00", "{\"a\":\"\\\"\\\\\\u000a\\u0000\"}"},
        {"/?%22=\"", "{\"\\\"\":\"\\\"\"}"},
        {"/?a=%c3%a9%F0%9f%98%80", "{\"a\":\"\xc3\xa9\xf0\x9f\x98\x80\"}"},
        {"/?a=%ff%c3%c3%a9", "{\"a\":\"\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9\"}"},
        {"/?a=%f0%9f%98x%e2%82", "{\"a\":\"\xef\xbf\xbdx\xef\xbf\xbd\"}"},
        {"/?a=%ed%a0%80", "{\"a\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}"},
        {"/?a=%c0%80", "{\"a\":\"\xef\xbf\xbd\xef\xbf\xbd\"}"},
        {"/?a=%C2%9B%7f%c2%a0", "{\"a\":\"\\u009b\\u007f\xc2\xa0\"}"},
        {"/?a?b=1", "{\"a?b\":\"1\"}"},
        {"http://h/p?a=1", "{\"a\":\"1\"}"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_member("query", BYTES("Host: h\r\n"), cases[i].target, cases[i].query);
}

static void auth_becomes_one_line(void **state)
{
    struct handshake *handshake = make(BROWSER);
    char *text = json_of(handshake, BYTES("{\"a\" :\r\n\n\t[1.0, \"\x7f\xc2\x9b\xc2\xa0\xc3\xa9\\n\"]}"));

    (void)state;
    assert_non_null(strstr(text, "\"auth\":{\"a\" :    [1.0, \"\\u007f\\u009b\xc2\xa0\xc3\xa9\\n\"]}}"));
    free(text);
    handshake_free(handshake);
}

static void it_is_smaller_than_the_head(void **state)
{
    struct handshake *handshake = make(BROWSER);

    (void)state;
    assert_true(handshake_bytes(handshake).length < 270);
    assert_true(handshake_bytes(handshake).length < BROWSER.length * 6 / 10);
    assert_true(bytes_equal(handshake_address(handshake), BYTES("192.0.2.1")));
    assert_int_equal(handshake_address(NULL).length, 0);
    handshake_free(handshake);
    handshake_free(NULL);
}

static void another_gateway_takes_it_as_it_is(void **state)
{
    struct handshake *handshake = make(BROWSER), *moved = NULL;
    struct bytes block = handshake_bytes(handshake);
    char *text = json_of(handshake, (struct bytes){0}), *again;

    (void)state;
    assert_int_equal(handshake_from_bytes(block, &moved), 0);
    assert_true(bytes_equal(handshake_bytes(moved), block));
    again = json_of(moved, (struct bytes){0});
    assert_string_equal(text, again);
    free(text);
    free(again);
    handshake_free(moved);
    for (size_t length = 0; length < block.length; length++) {
        char *part = memory_new(length ? length : 1); /* so that a read beyond the end is seen */

        memcpy(part, block.data, length);
        moved = NULL;
        if (handshake_from_bytes(bytes_make(part, length), &moved) == 0) { /* it ends behind a field */
            free(json_of(moved, (struct bytes){0}));
            handshake_free(moved);
        } else {
            assert_null(moved);
        }
        free(part);
    }
    handshake_free(handshake);
}

static void what_is_not_taken(void **state)
{
    static const struct bytes refused[] = {
        BYTES(""),
        BYTES("\1"),
        BYTES("\3\0\0\1/"), /* another version */
        BYTES("\1\0\0\0"),  /* no target */
        BYTES("\1\0\0\1 "), /* a blank in it */
        BYTES("\1\0\0\1#"),
        BYTES("\1\0\0\1\xc3"),
        BYTES("\1\0\1x\1/"), /* no address */
        BYTES("\1\0\1\0\1/"),
        BYTES("\1\xff\xff\xff\xff\xff\xff\xff\x7f\0\1/"),      /* a time beyond the year 9999 */
        BYTES("\1\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\0"), /* a number without an end */
        BYTES("\1\0\0\2/"),                                    /* lengths that lie */
        BYTES("\1\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1/"),
        BYTES("\1\0\0\1/\1"),
        BYTES("\1\0\0\1/\1\5a"),
        BYTES("\1\0\0\1/\1\1\n"), /* control characters */
        BYTES("\1\0\0\1/\1\1\x7f"),
        BYTES("\1\0\0\1/\xff\1a"), /* a name's number that is none */
        BYTES("\1\0\0\1/\0\0\1a"), /* no name */
        BYTES("\1\0\0\1/\0\1A\1a"),
        BYTES("\1\0\0\1/\0\1\"\1a"),
        BYTES("\1\0\0\1/\0\1\0\1a"),
        BYTES("\1\0\0\1/\0\4host\1a"), /* has a number */
        BYTES("\1\0\0\1/\0\7upgrade\1a"),
    };
    struct handshake *out = NULL;
    struct buffer block = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        if (handshake_from_bytes(refused[i], &out) != ERROR_MALFORMED)
            fail_msg("taken: %zu", i);
        assert_null(out);
    }
    assert_int_equal(handshake_from_bytes(BYTES("\1\0\0\1/\0\1x\2\t\xff"), &out), 0);
    handshake_free(out);
    out = NULL;
    buffer_append_literal(&block, "\1\0\0\1/");
    for (size_t i = 0; i < HTTP_FIELDS_MAX; i++)
        buffer_append_literal(&block, "\1\0");
    assert_int_equal(handshake_from_bytes(buffer_bytes(&block), &out), 0);
    handshake_free(out);
    out = NULL;
    buffer_append_literal(&block, "\1\0");
    assert_int_equal(handshake_from_bytes(buffer_bytes(&block), &out), ERROR_MALFORMED);
    assert_null(out);
    buffer_done(&block);
}

/* Comparing each name with all others would take minutes. */
static void a_query_of_nothing_but_names(void **state)
{
    enum { LENGTH = 1 << 20 };
    struct buffer block = {0};
    struct handshake *handshake = NULL;
    char *text;

    (void)state;
    buffer_append_literal(&block, "\1\0\0\x80\x80\x40/?");
    while (block.length < LENGTH + 6)
        buffer_printf(&block, "%06zx&", block.length);
    block.length = LENGTH + 6;
    assert_int_equal(handshake_from_bytes(buffer_bytes(&block), &handshake), 0);
    text = json_of(handshake, (struct bytes){0});
    assert_non_null(strstr(text, "\"query\":{\"000008\":\"\",\"00000f\":\"\","));
    free(text);
    handshake_free(handshake);
    buffer_done(&block);
}

static void a_client_over_tls_is_secure_wherever_it_goes(void **state)
{
    struct http_limits limits = HTTP_LIMITS_DEFAULT;
    struct http_request request;
    struct handshake *handshake, *moved;
    char *text;

    (void)state;
    assert_true(http_request_parse(browser, sizeof browser - 1, &limits, &request) > 0);
    handshake = handshake_new(&request, BYTES("192.0.2.1"), true, WALL);
    assert_int_equal(handshake_from_bytes(handshake_bytes(handshake), &moved), 0);
    text = json_of(moved, (struct bytes){0});
    assert_non_null(strstr(text, "\"address\":\"192.0.2.1\",\"xdomain\":true,\"secure\":true,\"url\":"));
    free(text);
    handshake_free(handshake);
    handshake_free(moved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_of_a_browser),
        cmocka_unit_test(nothing_but_a_target),
        cmocka_unit_test(repeated_fields),
        cmocka_unit_test(bytes_of_fields_are_latin1),
        cmocka_unit_test(queries),
        cmocka_unit_test(auth_becomes_one_line),
        cmocka_unit_test(it_is_smaller_than_the_head),
        cmocka_unit_test(another_gateway_takes_it_as_it_is),
        cmocka_unit_test(what_is_not_taken),
        cmocka_unit_test(a_query_of_nothing_but_names),
        cmocka_unit_test(a_client_over_tls_is_secure_wherever_it_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
