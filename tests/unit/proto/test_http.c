/*
 * Tests of proto/http.h.  Every head is parsed whole and at every shorter
 * length: a shorter one gives 0, or the very error of the whole.
 */
#include "proto/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct http_limits limits = {.head = 8192, .line = 8000, .fields = HTTP_FIELDS_MAX};

/* In memory of exactly its size, so that a sanitizer sees a read beyond it. */
static int parse_copy(struct bytes text, const struct http_limits *with, struct http_request *request)
{
    char *copy = malloc(text.length + !text.length);
    assert_non_null(copy);
    memcpy(copy, text.data, text.length);
    int rc = http_request_parse(copy, text.length, with, request);
    free(copy);
    return rc;
}

static int parse_at_every_length(struct bytes text, const struct http_limits *with)
{
    struct http_request request;
    int whole = parse_copy(text, with, &request);
    for (size_t length = 0; length < text.length; length++) {
        int rc = parse_copy(bytes_make(text.data, length), with, &request);
        bool same = rc == 0 ? whole <= 0 || length < (size_t)whole : rc == whole;
        if (!same)
            print_error("%zu bytes give %d, all %zu give %d:\n%.*s\n", length, rc, text.length, whole,
                        BYTES_PRINTF(text));
        assert_true(same);
    }
    return whole;
}

static void assert_status(struct bytes text, int status)
{
    int rc = parse_at_every_length(text, &limits);
    if (rc != -status)
        print_error("%d instead of %d for:\n%.*s\n", rc, -status, BYTES_PRINTF(text));
    assert_int_equal(rc, -status);
}

#define REFUSED(status, literal) assert_status(BYTES(literal), status)

/* The request lives as long as the literal. */
static struct http_request parse(struct bytes text)
{
    struct http_request request = {0};
    assert_int_equal(parse_at_every_length(text, &limits), text.length);
    assert_int_equal(http_request_parse(text.data, text.length, &limits, &request), text.length);
    return request;
}

#define PARSED(literal) parse(BYTES(literal))

static void assert_text(struct bytes bytes, const char *expected)
{
    assert_non_null(bytes.data);
    if (!bytes_equal_text(bytes, expected))
        print_error("\"%.*s\" instead of \"%s\"\n", BYTES_PRINTF(bytes), expected);
    assert_true(bytes_equal_text(bytes, expected));
}

static void a_plain_request_is_taken_apart(void **context)
{
    (void)context;
    struct http_request request = PARSED("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
                                         "Host: example.com:8080\r\n"
                                         "X-Empty:\r\n"
                                         "X-Blank: \t \r\n"
                                         "X-Text:\t a b\t\xc3\xa9 \t\r\n\r\n");
    assert_int_equal(request.method, HTTP_GET);
    assert_text(request.method_text, "GET");
    assert_text(request.target, "/socket.io/?EIO=4&transport=websocket");
    assert_text(request.path, "/socket.io/");
    assert_text(request.query, "EIO=4&transport=websocket");
    assert_text(request.host, "example.com:8080");
    assert_int_equal(request.minor_version, 1);
    assert_int_equal(request.content_length, -1);
    assert_true(request.keep_alive);
    assert_false(request.chunked);
    assert_false(request.upgrade_websocket);
    assert_false(request.expect_continue);
    assert_int_equal(request.field_count, 4);
    assert_text(http_request_field(&request, "x-EMPTY"), "");
    assert_text(http_request_field(&request, "x-blank"), "");
    assert_text(http_request_field(&request, "X-Text"), "a b\t\xc3\xa9");
    assert_null(http_request_field(&request, "X-Tex").data);
}

static void the_head_ends_before_what_follows(void **context)
{
    (void)context;
    struct http_request request;
    struct bytes text = BYTES("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n");
    assert_int_equal(parse_at_every_length(text, &limits), 47);
    assert_int_equal(http_request_parse(text.data, text.length, &limits, &request), 47);
    assert_int_equal(request.content_length, 3);
}

static void methods_are_known_by_their_exact_names(void **context)
{
    (void)context;
    assert_int_equal(PARSED("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").method, HTTP_HEAD);
    assert_int_equal(PARSED("POST / HTTP/1.1\r\nHost: a\r\n\r\n").method, HTTP_POST);
    assert_int_equal(PARSED("PUT / HTTP/1.1\r\nHost: a\r\n\r\n").method, HTTP_PUT);
    assert_int_equal(PARSED("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n").method, HTTP_DELETE);
    assert_int_equal(PARSED("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n").method, HTTP_OPTIONS);
    assert_int_equal(PARSED("PATCH / HTTP/1.1\r\nHost: a\r\n\r\n").method, HTTP_PATCH);
    REFUSED(501, "get / HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(501, "GETS / HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(501, "GE / HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(501, "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(501, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
}

static void request_lines_are_exact(void **context)
{
    (void)context;
    REFUSED(400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\nHost: a\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\rHost: a\r\n\r\n");
    REFUSED(400, "GET /\r\n\r\n");
    REFUSED(400, "GET /\n");
    REFUSED(400, "GET HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET / http/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET / HTTP/11\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.10\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.x\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET / HTTPS/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "G\x80T / HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET: / HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "\x16\x03\x01\x02\x00\x01");
    REFUSED(400, "\0\0\0\0");
}

static void versions_other_than_1_x_are_refused(void **context)
{
    (void)context;
    REFUSED(505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n");
    REFUSED(505, "GET / HTTP/0.9\r\nHost: a\r\n\r\n");
    REFUSED(505, "GET / HTTP/3.1\r\nHost: a\r\n\r\n");
    assert_int_equal(PARSED("GET / HTTP/1.0\r\n\r\n").minor_version, 0);
    assert_int_equal(PARSED("GET / HTTP/1.2\r\nHost: a\r\n\r\n").minor_version, 1);
}

static void targets_hold_visible_ascii_without_a_fragment(void **context)
{
    (void)context;
    assert_text(PARSED("GET /a%20b;c=|{}^\"\\ HTTP/1.1\r\nHost: a\r\n\r\n").path, "/a%20b;c=|{}^\"\\");
    assert_text(PARSED("GET //a//b HTTP/1.1\r\nHost: a\r\n\r\n").path, "//a//b");
    assert_text(PARSED("GET /?? HTTP/1.1\r\nHost: a\r\n\r\n").query, "?");
    assert_text(PARSED("GET /? HTTP/1.1\r\nHost: a\r\n\r\n").query, "");
    assert_null(PARSED("GET / HTTP/1.1\r\nHost: a\r\n\r\n").query.data);
    REFUSED(400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET /a\0 HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET a HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void absolute_targets_name_the_host(void **context)
{
    (void)context;
    struct http_request request = PARSED("GET http://Example.com:80/a?b HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_text(request.target, "http://Example.com:80/a?b");
    assert_text(request.host, "Example.com:80");
    assert_text(request.path, "/a");
    assert_text(request.query, "b");
    request = PARSED("GET HTTPS://[::1] HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_text(request.host, "[::1]");
    assert_text(request.path, "/");
    request = PARSED("GET http://a?x=/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_text(request.path, "/");
    assert_text(request.query, "x=/");
    assert_text(PARSED("GET http://a/ HTTP/1.0\r\n\r\n").host, "a");
    REFUSED(400, "GET http://a/ HTTP/1.1\r\n\r\n");
    REFUSED(400, "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET http://:80/ HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void an_asterisk_is_for_options_only(void **context)
{
    (void)context;
    assert_text(PARSED("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
    assert_text(PARSED("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
    assert_text(PARSED("OPTIONS http://a?b HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
    assert_text(PARSED("OPTIONS /a HTTP/1.1\r\nHost: a\r\n\r\n").path, "/a");
    REFUSED(400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "OPTIONS *? HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void up_to_two_empty_lines_may_come_first(void **context)
{
    (void)context;
    assert_text(PARSED("\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n").path, "/a");
    assert_text(PARSED("\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n").path, "/a");
    REFUSED(400, "\r\n\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "\rGET /a HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void fields_are_exact(void **context)
{
    (void)context;
    REFUSED(400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tfolded\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\n: value\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\nX@: b\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa9: b\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\n\0X: b\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\n\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\n\rX");
}

static void a_host_is_needed_once_and_valid(void **context)
{
    (void)context;
    REFUSED(400, "GET / HTTP/1.1\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: []\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n");
    assert_text(PARSED("GET / HTTP/1.1\r\nHost:\r\n\r\n").host, "");
    assert_text(PARSED("GET / HTTP/1.1\r\nhOsT:[2001:db8::1.2.3.4]:8080\r\n\r\n").host,
                "[2001:db8::1.2.3.4]:8080");
    assert_text(PARSED("GET / HTTP/1.1\r\nHost: a_b.example:\r\n\r\n").host, "a_b.example:");
    assert_null(PARSED("GET / HTTP/1.0\r\n\r\n").host.data);
}

static void content_length_is_one_number(void **context)
{
    (void)context;
    assert_int_equal(PARSED("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").content_length, 0);
    assert_true(
        PARSED("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n").content_length ==
        INT64_MAX);
    REFUSED(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n");
    REFUSED(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n");
    REFUSED(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n");
    REFUSED(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n");
    REFUSED(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n");
    REFUSED(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n");
    REFUSED(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\n");
    REFUSED(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n");
    REFUSED(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
    REFUSED(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n");
}

static void the_only_transfer_coding_is_chunked(void **context)
{
    (void)context;
    struct http_request request = PARSED("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n");
    assert_true(request.chunked);
    assert_int_equal(request.content_length, -1);
    REFUSED(501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n");
    REFUSED(501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n");
    REFUSED(501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n");
    REFUSED(501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n");
    REFUSED(501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n");
    REFUSED(501,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n");
    REFUSED(400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n");
    REFUSED(400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: gzip\r\n\r\n");
    REFUSED(400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void connections_persist_as_their_version_says(void **context)
{
    (void)context;
    assert_true(PARSED("GET / HTTP/1.1\r\nHost: a\r\n\r\n").keep_alive);
    assert_false(PARSED("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").keep_alive);
    assert_false(PARSED("GET / HTTP/1.1\r\nHost: a\r\nConnection: x ,\tCLOSE\r\n\r\n").keep_alive);
    assert_false(
        PARSED("GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n").keep_alive);
    assert_true(PARSED("GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n").keep_alive);
    assert_false(PARSED("GET / HTTP/1.0\r\n\r\n").keep_alive);
    assert_true(PARSED("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
    assert_false(PARSED("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n").keep_alive);
}

static void expectations_are_seen_in_1_1(void **context)
{
    (void)context;
    assert_true(PARSED("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n").expect_continue);
    assert_false(PARSED("POST / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n").expect_continue);
    assert_false(PARSED("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expect_continue);
}

static void tokens_are_found_in_lists(void **context)
{
    (void)context;
    assert_true(http_field_has_token(BYTES("upgrade"), "Upgrade"));
    assert_true(http_field_has_token(BYTES(" , a,\tupgrade\t,b"), "upgrade"));
    assert_false(http_field_has_token(BYTES("upgrades, an upgrade, upgrad"), "upgrade"));
    assert_false(http_field_has_token(BYTES(""), "upgrade"));
}

/* A request that fills a limit to the byte, and one that is a byte over it. */
static struct buffer filled_request(size_t target_length, size_t value_length)
{
    struct buffer text = {0};
    buffer_append_text(&text, "GET /");
    memset(buffer_reserve(&text, target_length), 't', target_length);
    buffer_extend(&text, target_length - 1);
    buffer_append_text(&text, " HTTP/1.1\r\nHost: a\r\nX: ");
    memset(buffer_reserve(&text, value_length + 1), 'v', value_length);
    buffer_extend(&text, value_length);
    buffer_append_text(&text, "\r\n\r\n");
    return text;
}

static void assert_filled(const struct http_limits *with, size_t target_length, size_t value_length,
                          int status)
{
    struct buffer text = filled_request(target_length, value_length);
    assert_int_equal(parse_at_every_length(buffer_bytes(&text), with), status ? -status : (int)text.length);
    buffer_done(&text);
}

static void limits_hold_to_the_byte(void **context)
{
    (void)context;
    static const struct http_limits small = {.head = 100, .line = 40, .fields = 3};
    /* The line has 13 bytes beside the target; the rest of the head 18 beside the value and the line. */
    assert_filled(&small, 40 - 13, 1, 0);
    assert_filled(&small, 41 - 13, 1, 414);
    assert_filled(&small, 1, 100 - 14 - 2 - 14 - 2, 0);
    assert_filled(&small, 1, 101 - 14 - 2 - 14 - 2, 431);
    /* A line within its own limit that fills the whole head. */
    static const struct http_limits tight = {.head = 30, .line = 40, .fields = 3};
    assert_filled(&tight, 25, 1, 414);

    assert_int_equal(
        parse_at_every_length(BYTES("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n"), &small), 39);
    assert_int_equal(
        parse_at_every_length(BYTES("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\nE: f\r\n\r\n"), &small),
        -431);
}

static void the_default_limits_are_the_documented_ones(void **context)
{
    (void)context;
    struct http_limits with = HTTP_LIMITS_DEFAULT;
    struct http_request request;
    struct buffer text = filled_request(8000 - 13, 8192 - 8000 - 2 - 14 - 2);
    assert_int_equal(text.length, 8192);
    assert_int_equal(http_request_parse(text.data, text.length, &with, &request), 8192);
    buffer_done(&text);
    text = filled_request(8001 - 13, 1);
    assert_int_equal(http_request_parse(text.data, text.length, &with, &request), -414);
    buffer_done(&text);

    buffer_append_text(&text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 1; i < HTTP_FIELDS_MAX; i++)
        buffer_append_text(&text, "A: b\r\n");
    buffer_append_text(&text, "\r\n");
    assert_int_equal(http_request_parse(text.data, text.length, &with, &request), text.length);
    assert_int_equal(request.field_count, HTTP_FIELDS_MAX);
    text.length -= 2;
    buffer_append_text(&text, "A: b\r\n\r\n");
    assert_int_equal(http_request_parse(text.data, text.length, &with, &request), -431);
    buffer_done(&text);
}

static void a_refused_request_leaves_the_output_alone(void **context)
{
    (void)context;
    struct http_request request = {.minor_version = 77, .content_length = 5};
    struct bytes text = BYTES("GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n");
    assert_int_equal(http_request_parse(text.data, text.length, &limits, &request), -400);
    assert_int_equal(http_request_parse(text.data, text.length - 1, &limits, &request), 0);
    assert_int_equal(request.minor_version, 77);
    assert_int_equal(request.content_length, 5);
}

/* Decoding appends the value; a failure appends nothing. */
static void assert_query(const char *query, const char *name, int rc, const char *expected)
{
    struct bytes names[] = {BYTES("another"), bytes_from_text(name), BYTES("a third")};
    struct buffer decoded = {0};
    struct bytes values[3];

    buffer_append_text(&decoded, "before ");
    http_query_read(bytes_from_text(query), names, 3, values);
    assert_null(values[0].data);
    assert_null(values[2].data);
    if (values[1].data)
        assert_int_equal(http_value_decode(values[1], &decoded), rc);
    else
        assert_int_equal(ERROR_NOT_FOUND, rc);
    assert_true(bytes_starts_with(buffer_bytes(&decoded), BYTES("before ")));
    assert_text(bytes_make(decoded.data + 7, decoded.length - 7), expected);
    buffer_done(&decoded);
    assert_int_equal(http_value_is(values[1], expected), rc == 0);
    assert_false(http_value_is(values[1], "another"));
    if (*expected)
        assert_false(http_value_is(values[1], ""));
}

static void query_parameters_are_found_and_decoded(void **context)
{
    (void)context;
    assert_query("a=1&b=2", "a", 0, "1");
    assert_query("a=1&b=2", "b", 0, "2");
    assert_query("a=1&a=2", "a", 0, "1");
    assert_query("aa=1&a=2", "a", 0, "2");
    assert_query("a=1=2&b", "a", 0, "1=2");
    assert_query("a=1=2&b", "b", 0, "");
    assert_query("&&a=&", "a", 0, "");
    assert_query("room=caf%C3%a9+%2B%26%3d", "room", 0, "caf\xc3\xa9 +&=");
    assert_query("%72oom=x", "room", 0, "x");
    assert_query("a=%&b=1", "b", 0, "1");
    assert_query("%zz=1&b=2", "b", 0, "2");
    assert_query("ab=1", "a", ERROR_NOT_FOUND, "");
    assert_query("a=1", "ab", ERROR_NOT_FOUND, "");
    assert_query("A=1", "a", ERROR_NOT_FOUND, "");
    assert_query("", "a", ERROR_NOT_FOUND, "");
    assert_query(NULL, "a", ERROR_NOT_FOUND, "");
    assert_query("a=1%", "a", ERROR_MALFORMED, "");
    assert_query("a=1%4", "a", ERROR_MALFORMED, "");
    assert_query("a=%4&41", "a", ERROR_MALFORMED, "");
    assert_query("a=%4g", "a", ERROR_MALFORMED, "");
    assert_query("a=%g4&a=1", "a", ERROR_MALFORMED, "");
    assert_query("a=%+1", "a", ERROR_MALFORMED, "");
}

static void several_parameters_are_read_in_any_order(void **context)
{
    (void)context;
    static const struct bytes names[] = {{"a", 1}, {"bc", 2}, {"d", 1}};
    struct bytes values[3];

    http_query_read(BYTES("d=4&e=5&%62c=2%20&a=1&a=9&bc=9"), names, 3, values);
    assert_text(values[0], "1");
    assert_text(values[1], "2%20"); /* as it stands there */
    assert_text(values[2], "4");
    http_query_read(BYTES("bc&d="), names, 3, values);
    assert_null(values[0].data);
    assert_non_null(values[1].data);
    assert_int_equal(values[1].length, 0);
    assert_non_null(values[2].data);
    assert_int_equal(values[2].length, 0);
}

static void a_decoded_value_may_hold_nul(void **context)
{
    (void)context;
    struct buffer decoded = {0};
    assert_int_equal(http_value_decode(BYTES("x%00y"), &decoded), 0);
    assert_int_equal(decoded.length, 3);
    assert_memory_equal(decoded.data, "x\0y", 3);
    buffer_done(&decoded);
}

#define HANDSHAKE(fields) "GET /ws HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define UPGRADE           "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
#define VERSION           "Sec-WebSocket-Version: 13\r\n"
#define KEY               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static void assert_handshake(struct bytes text, bool upgrade, int status)
{
    struct http_request request = parse(text);
    struct bytes key = {NULL, 0};
    assert_int_equal(request.upgrade_websocket, upgrade);
    int rc = http_websocket_check(&request, &key);
    if (rc != -status)
        print_error("%d instead of %d for:\n%.*s\n", rc, -status, BYTES_PRINTF(text));
    assert_int_equal(rc, -status);
    if (status)
        assert_null(key.data);
    else
        assert_int_equal(key.length, 24);
}

static void websocket_handshakes_are_checked(void **context)
{
    (void)context;
    assert_handshake(BYTES(HANDSHAKE(UPGRADE VERSION KEY)), true, 0);
    assert_handshake(
        BYTES(HANDSHAKE("Connection: x\r\nConnection: upgrade\r\nUpgrade: h2c, websocket\r\n" VERSION KEY)),
        true, 0);
    assert_handshake(BYTES(HANDSHAKE(UPGRADE VERSION KEY "Content-Length: 0\r\n")), true, 0);
    assert_handshake(BYTES(HANDSHAKE(UPGRADE VERSION "Sec-WebSocket-Key: +/09azAZ+/09azAZ+/09az==\r\n")),
                     true, 0);

    assert_handshake(BYTES(HANDSHAKE(VERSION KEY)), false, 400);
    assert_handshake(BYTES(HANDSHAKE("Connection: Upgrade\r\n" VERSION KEY)), false, 400);
    assert_handshake(BYTES(HANDSHAKE("Upgrade: websocket\r\n" VERSION KEY)), false, 400);
    assert_handshake(BYTES(HANDSHAKE("Connection: Upgrade\r\nUpgrade: h2c\r\n" VERSION KEY)), false, 400);
    assert_handshake(BYTES("POST /ws HTTP/1.1\r\nHost: a\r\n" UPGRADE VERSION KEY "\r\n"), false, 400);
    assert_handshake(BYTES("GET /ws HTTP/1.0\r\nHost: a\r\n" UPGRADE VERSION KEY "\r\n"), false, 400);

    assert_handshake(BYTES(HANDSHAKE(UPGRADE VERSION KEY "Content-Length: 1\r\n")), true, 400);
    assert_handshake(BYTES(HANDSHAKE(UPGRADE VERSION KEY "Transfer-Encoding: chunked\r\n")), true, 400);

    assert_handshake(BYTES(HANDSHAKE(UPGRADE KEY)), true, 400);
    assert_handshake(BYTES(HANDSHAKE(UPGRADE VERSION VERSION KEY)), true, 400);
    assert_handshake(BYTES(HANDSHAKE(UPGRADE "Sec-WebSocket-Version: 8\r\n" KEY)), true, 426);
    assert_handshake(BYTES(HANDSHAKE(UPGRADE "Sec-WebSocket-Version: 13, 8\r\n" KEY)), true, 426);
    assert_handshake(BYTES(HANDSHAKE(UPGRADE "Sec-WebSocket-Version: 7\r\n")), true, 426);

    assert_handshake(BYTES(HANDSHAKE(UPGRADE VERSION)), true, 400);
    assert_handshake(BYTES(HANDSHAKE(UPGRADE VERSION KEY KEY)), true, 400);
    assert_handshake(BYTES(HANDSHAKE(UPGRADE VERSION "Sec-WebSocket-Key:\r\n")), true, 400);
    assert_handshake(BYTES(HANDSHAKE(UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n")), true,
                     400);
    assert_handshake(BYTES(HANDSHAKE(UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n")),
                     true, 400);
    assert_handshake(BYTES(HANDSHAKE(UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZA=A\r\n")),
                     true, 400);
    assert_handshake(BYTES(HANDSHAKE(UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNh-XBsZSBub25jZQ==\r\n")),
                     true, 400);
    assert_handshake(BYTES(HANDSHAKE(UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==AAAA\r\n")),
                     true, 400);
}

static void statuses_have_their_phrases(void **context)
{
    (void)context;
    assert_string_equal(http_reason(101), "Switching Protocols");
    assert_string_equal(http_reason(431), "Request Header Fields Too Large");
    assert_string_equal(http_reason(299), "Unknown");
}

static void assert_subprotocol(const char *fields, int status, const char *expected)
{
    struct buffer text = {0};
    struct http_request request;
    struct bytes first = BYTES("untouched");

    buffer_printf(&text, "GET /ws HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    request = parse(buffer_bytes(&text));
    assert_int_equal(http_websocket_subprotocol(&request, &first), status);
    assert_true(bytes_equal_text(first, expected));
    buffer_done(&text);
}

static void the_first_offered_subprotocol_is_found(void **context)
{
    (void)context;
    assert_subprotocol("", 0, "");
    assert_subprotocol("Sec-WebSocket-Protocol: chat\r\n", 0, "chat");
    assert_subprotocol("sec-websocket-protocol:\tchat , superchat\r\n", 0, "chat");
    assert_subprotocol("Sec-WebSocket-Protocol: a,b,a\r\nSec-WebSocket-Protocol: c\r\n", 0, "a");
    assert_subprotocol("Sec-WebSocket-Protocol:\r\n", -400, "untouched");
    assert_subprotocol("Sec-WebSocket-Protocol: , b\r\n", -400, "untouched");
    assert_subprotocol("Sec-WebSocket-Protocol: a b\r\n", -400, "untouched");
    assert_subprotocol("Sec-WebSocket-Protocol: \"a\"\r\n", -400, "untouched");
    assert_subprotocol("Sec-WebSocket-Protocol: \xc3\xa4\r\n", -400, "untouched");
}

static void a_subprotocol_is_found_among_all_that_are_offered(void **context)
{
    static const struct {
        const char *fields;
        bool offered;
    } table[] = {
        {"", false},
        {"Sec-WebSocket-Protocol: a.b\r\n", true},
        {"Sec-WebSocket-Protocol: x,\t a.b ,y\r\n", true},
        {"sec-websocket-protocol: x\r\nSec-WebSocket-Protocol: y,a.b\r\n", true},
        {"Sec-WebSocket-Protocol: A.b, a.bc, xa.b, a.b c\r\n", false},
        {"Sec-WebSocket-Protocol: ,\r\n", false},
    };

    (void)context;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct buffer text = {0};
        struct http_request request;

        buffer_printf(&text, "GET /ws HTTP/1.1\r\nHost: a\r\n%s\r\n", table[i].fields);
        request = parse(buffer_bytes(&text));
        assert_int_equal(http_websocket_offers(&request, "a.b"), table[i].offered);
        buffer_done(&text);
    }
}

#define ACCEPTED(value) assert_true(http_accepts_coding(BYTES(value), "gzip"))
#define REJECTED(value) assert_false(http_accepts_coding(BYTES(value), "gzip"))

static void a_coding_is_accepted_by_name_and_weight(void **context)
{
    (void)context;
    ACCEPTED("gzip");
    ACCEPTED("GZip");
    ACCEPTED("deflate, gzip, br");
    ACCEPTED("gzip, deflate, br, zstd");
    ACCEPTED("gzip;q=1");
    ACCEPTED("gzip ; q=1.000");
    ACCEPTED("br;q=0, gzip;Q=0.001");
    ACCEPTED("gzip;q=1.");
    ACCEPTED(", ,gzip\t,");
}

static void a_coding_that_is_not_named_needs_a_star(void **context)
{
    (void)context;
    ACCEPTED("*");
    ACCEPTED("br, *;q=0.1");
    REJECTED("*;q=0");
    REJECTED("*, gzip;q=0");
    REJECTED("gzip;q=0, *");
    ACCEPTED("*;q=0, gzip");
    REJECTED("");
    REJECTED("identity");
    REJECTED("x-gzip");
    REJECTED("gzipped");
    REJECTED("gzi");
    assert_false(http_accepts_coding((struct bytes){NULL, 0}, "gzip"));
}

static void a_weight_of_zero_or_a_bad_one_refuses(void **context)
{
    (void)context;
    REJECTED("gzip;q=0");
    REJECTED("gzip;q=0.");
    REJECTED("gzip;q=0.000");
    REJECTED("gzip;q=0.0000");
    REJECTED("gzip;q=0.1234");
    REJECTED("gzip;q=1.001");
    REJECTED("gzip;q=2");
    REJECTED("gzip;q=");
    REJECTED("gzip;q");
    REJECTED("gzip;");
    REJECTED("gzip;q=0x1");
    REJECTED("gzip;q=.5");
    REJECTED("gzip;level=1");
    REJECTED("gzip q=1");
    REJECTED("gzip;q=1;q=0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_request_is_taken_apart),
        cmocka_unit_test(the_head_ends_before_what_follows),
        cmocka_unit_test(methods_are_known_by_their_exact_names),
        cmocka_unit_test(request_lines_are_exact),
        cmocka_unit_test(versions_other_than_1_x_are_refused),
        cmocka_unit_test(targets_hold_visible_ascii_without_a_fragment),
        cmocka_unit_test(absolute_targets_name_the_host),
        cmocka_unit_test(an_asterisk_is_for_options_only),
        cmocka_unit_test(up_to_two_empty_lines_may_come_first),
        cmocka_unit_test(fields_are_exact),
        cmocka_unit_test(a_host_is_needed_once_and_valid),
        cmocka_unit_test(content_length_is_one_number),
        cmocka_unit_test(the_only_transfer_coding_is_chunked),
        cmocka_unit_test(connections_persist_as_their_version_says),
        cmocka_unit_test(expectations_are_seen_in_1_1),
        cmocka_unit_test(tokens_are_found_in_lists),
        cmocka_unit_test(limits_hold_to_the_byte),
        cmocka_unit_test(the_default_limits_are_the_documented_ones),
        cmocka_unit_test(a_refused_request_leaves_the_output_alone),
        cmocka_unit_test(query_parameters_are_found_and_decoded),
        cmocka_unit_test(several_parameters_are_read_in_any_order),
        cmocka_unit_test(a_decoded_value_may_hold_nul),
        cmocka_unit_test(websocket_handshakes_are_checked),
        cmocka_unit_test(statuses_have_their_phrases),
        cmocka_unit_test(the_first_offered_subprotocol_is_found),
        cmocka_unit_test(a_subprotocol_is_found_among_all_that_are_offered),
        cmocka_unit_test(a_coding_is_accepted_by_name_and_weight),
        cmocka_unit_test(a_coding_that_is_not_named_needs_a_star),
        cmocka_unit_test(a_weight_of_zero_or_a_bad_one_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
