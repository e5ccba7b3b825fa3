/*
 * Tests of proto/http_body.h.  Every body is read whole, cut in two at every
 * byte, and byte by byte; status, bytes and place of the end must be the same.
 */
#include "proto/http_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { LIMIT = 20, WHOLE = -1, BYTE_BY_BYTE = -2 };

static const struct http_request chunked = {.content_length = -1, .chunked = true};

/* What reading gave: 1, 0 or a status, the bytes of the body, and how many of the input were taken. */
struct outcome {
    int rc;
    size_t consumed;
    struct buffer out;
};

/* One read, in memory of exactly its size; false when there is nothing more to read. */
static bool read_part(struct http_body *body, struct bytes part, struct outcome *outcome)
{
    size_t consumed = SIZE_MAX;
    char *copy = malloc(part.length + !part.length);
    assert_non_null(copy);
    if (part.length)
        memcpy(copy, part.data, part.length);
    outcome->rc = http_body_read(body, copy, part.length, &consumed, &outcome->out);
    free(copy);
    if (outcome->rc < 0) {
        assert_int_equal(consumed, SIZE_MAX);
        return false;
    }
    assert_true(consumed <= part.length);
    assert_true(outcome->rc || consumed == part.length);
    outcome->consumed += consumed;
    return outcome->rc == 0;
}

static struct outcome read_body(const struct http_request *request, size_t limit, struct bytes text, long cut)
{
    struct outcome outcome = {0};
    struct http_body body;
    http_body_init(&body, request, limit);
    if (cut == BYTE_BY_BYTE) {
        for (size_t i = 0; i < text.length; i++)
            if (!read_part(&body, bytes_make(text.data + i, 1), &outcome))
                break;
        if (text.length == 0)
            read_part(&body, text, &outcome);
        return outcome;
    }
    size_t first = cut == WHOLE ? text.length : (size_t)cut;
    if (read_part(&body, bytes_make(text.data, first), &outcome) && cut != WHOLE)
        read_part(&body, bytes_make(text.data + first, text.length - first), &outcome);
    if (outcome.rc < 0) {
        /* A refusal is for good. */
        size_t consumed;
        assert_int_equal(http_body_read(&body, "0\r\n\r\n", 5, &consumed, &outcome.out), outcome.rc);
    }
    return outcome;
}

static void assert_outcome(const struct http_request *request, size_t limit, struct bytes text, int rc,
                           struct bytes expected, size_t consumed)
{
    for (long cut = BYTE_BY_BYTE; cut <= (long)text.length; cut++) {
        struct outcome outcome = read_body(request, limit, text, cut);
        if (outcome.rc != rc)
            print_error("cut at %ld: %d instead of %d for:\n%.*s\n", cut, outcome.rc, rc, BYTES_PRINTF(text));
        assert_int_equal(outcome.rc, rc);
        if (rc >= 0) {
            assert_true(bytes_equal(buffer_bytes(&outcome.out), expected));
            assert_int_equal(outcome.consumed, consumed);
        }
        assert_true(outcome.out.length <= limit);
        buffer_done(&outcome.out);
    }
}

/* A chunked body that is complete, alone and with the next request behind it; and not before its last byte.
 */
#define READ(literal, expected)                                                                              \
    do {                                                                                                     \
        struct bytes text_ = BYTES(literal);                                                                 \
        assert_outcome(&chunked, LIMIT, text_, 1, BYTES(expected), text_.length);                            \
        assert_outcome(&chunked, LIMIT, BYTES(literal "GET /"), 1, BYTES(expected), text_.length);           \
        text_.length--;                                                                                      \
        assert_outcome(&chunked, LIMIT, text_, 0, BYTES(expected), text_.length);                            \
    } while (0)

#define REFUSED(status, literal) assert_outcome(&chunked, LIMIT, BYTES(literal), -(status), BYTES(""), 0)

static void a_counted_body_ends_at_its_length(void **context)
{
    (void)context;
    struct http_request request = {.content_length = 5};
    assert_outcome(&request, 5, BYTES("hello"), 1, BYTES("hello"), 5);
    assert_outcome(&request, 5, BYTES("helloGET / HTTP/1.1\r\n"), 1, BYTES("hello"), 5);
    assert_outcome(&request, 5, BYTES("hell"), 0, BYTES("hell"), 4);
    assert_outcome(&request, 5, BYTES(""), 0, BYTES(""), 0);
}

static void a_request_without_a_length_has_no_body(void **context)
{
    (void)context;
    struct http_request none = {.content_length = -1};
    struct http_request zero = {.content_length = 0};
    assert_outcome(&none, 0, BYTES("GET /"), 1, BYTES(""), 0);
    assert_outcome(&none, 0, BYTES(""), 1, BYTES(""), 0);
    assert_outcome(&zero, 0, BYTES("GET /"), 1, BYTES(""), 0);
}

static void a_length_over_the_limit_is_refused_at_once(void **context)
{
    (void)context;
    struct http_request request = {.content_length = 6};
    struct http_request huge = {.content_length = INT64_MAX};
    assert_outcome(&request, 5, BYTES(""), -413, BYTES(""), 0);
    assert_outcome(&request, 5, BYTES("hello!"), -413, BYTES(""), 0);
    assert_outcome(&request, 6, BYTES("hello!"), 1, BYTES("hello!"), 6);
    assert_outcome(&huge, 1000000, BYTES(""), -413, BYTES(""), 0);
}

static void chunks_are_joined(void **context)
{
    (void)context;
    READ("0\r\n\r\n", "");
    READ("5\r\nhello\r\n0\r\n\r\n", "hello");
    READ("5\r\nhello\r\n1\r\n \r\n6\r\nworld!\r\n0\r\n\r\n", "hello world!");
    READ("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789");
    READ("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n");
    READ("4\r\n\0\xff\r\n\r\n0\r\n\r\n", "\0\xff\r\n");
    READ("0005\r\nhello\r\n0000\r\n\r\n", "hello");
    READ("00000000000000000000000005\r\nhello\r\n0\r\n\r\n", "hello");
}

static void extensions_are_passed_over(void **context)
{
    (void)context;
    READ("5;a\r\nhello\r\n0;b=c;d=\"e;\tf\\\"\xc3\xa9\"\r\n\r\n", "hello");
    READ("5 ;a\r\nhello\r\n0\t ; b = c\r\n\r\n", "hello");
    READ("5;\r\nhello\r\n0\r\n\r\n", "hello");
    REFUSED(400, "5 \r\nhello\r\n0\r\n\r\n");
    REFUSED(400, "5 a\r\nhello\r\n0\r\n\r\n");
    REFUSED(400, "5;a\nhello\r\n0\r\n\r\n");
    REFUSED(400, "5;a\rhello\r\n0\r\n\r\n");
    REFUSED(400, "5;a\r\rhello\r\n0\r\n\r\n");
    REFUSED(400, "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n");
    REFUSED(400, "5;\0\r\nhello\r\n0\r\n\r\n");
    REFUSED(400, "5;\x7f\r\nhello\r\n0\r\n\r\n");
}

static void trailers_are_checked_and_dropped(void **context)
{
    (void)context;
    READ("1\r\na\r\n0\r\nX: y\r\n\r\n", "a");
    READ("0\r\nX:\r\nX-2:\t \xc3\xa9 : \r\nContent-Length: 5\r\n\r\n", "");
    REFUSED(400, "0\r\nX: y\n\r\n");
    REFUSED(400, "0\r\nX: y\r\r\n");
    REFUSED(400, "0\r\nX : y\r\n\r\n");
    REFUSED(400, "0\r\nX\r\n\r\n");
    REFUSED(400, "0\r\n: y\r\n\r\n");
    REFUSED(400, "0\r\nX: y\r\n z\r\n\r\n");
    REFUSED(400, "0\r\n X: y\r\n\r\n");
    REFUSED(400, "0\r\nX: \x01\r\n\r\n");
    REFUSED(400, "0\r\n\rX");
    REFUSED(400, "0\r\n\n");
}

static void a_size_is_nothing_but_hexadecimal_digits(void **context)
{
    (void)context;
    REFUSED(400, "\r\n");
    REFUSED(400, ";a\r\n");
    REFUSED(400, " 5\r\nhello\r\n");
    REFUSED(400, "+5\r\nhello\r\n");
    REFUSED(400, "-5\r\nhello\r\n");
    REFUSED(400, "0x5\r\nhello\r\n");
    REFUSED(400, "5h\r\nhello\r\n");
    REFUSED(400, "g\r\nhello\r\n");
    REFUSED(400, "5,5\r\nhello\r\n");
    REFUSED(400, "5\0\r\nhello\r\n");
    REFUSED(400, "5\nhello\r\n0\r\n\r\n");
    REFUSED(400, "5\rhello\r\n0\r\n\r\n");
    REFUSED(400, "5\r hello\r\n0\r\n\r\n");
    REFUSED(400, "@\r\n");
    REFUSED(400, "`\r\n");
}

static void a_chunk_ends_where_its_size_says(void **context)
{
    (void)context;
    REFUSED(400, "5\r\nhello0\r\n\r\n");
    REFUSED(400, "5\r\nhello!\r\n0\r\n\r\n");
    REFUSED(400, "5\r\nhell\r\n0\r\n\r\n");
    REFUSED(400, "5\r\nhello\n0\r\n\r\n");
    REFUSED(400, "5\r\nhello\r0\r\n\r\n");
    REFUSED(400, "5\r\nhello\r\n\r\n");
}

static void sizes_beyond_the_limit_and_beyond_64_bits(void **context)
{
    (void)context;
    REFUSED(413, "15\r\n");
    REFUSED(413, "15;a");
    REFUSED(413, "15 ");
    REFUSED(413, "a\r\n0123456789\r\nb\r\n");
    REFUSED(413, "a\r\n0123456789\r\na\r\n0123456789\r\n1\r\n");
    REFUSED(413, "ffffffffffffffff\r\n");
    REFUSED(413, "1\r\na\r\nffffffffffffffff\r\n");
    REFUSED(413, "8000000000000000\r\n");
    REFUSED(400, "10000000000000000\r\n");
    REFUSED(400, "fffffffffffffffff");
    REFUSED(400, "10000000000000005\r\nhello\r\n0\r\n\r\n");
    /* A size that is no size is malformed, however large. */
    REFUSED(400, "ffff\n");
}

/* The same piece again and again until it is refused: how many bytes that took, at most some more than the
 * bound. */
static size_t endless(struct bytes head, struct bytes piece, int *rc)
{
    struct http_body body;
    struct buffer out = {0};
    size_t consumed;
    size_t total = 0;
    http_body_init(&body, &chunked, SIZE_MAX);
    *rc = http_body_read(&body, head.data, head.length, &consumed, &out);
    while (*rc == 0 && total < 3 * HTTP_BODY_EXTRA_MAX) {
        *rc = http_body_read(&body, piece.data, piece.length, &consumed, &out);
        total += piece.length;
    }
    buffer_done(&out);
    return total;
}

static void whatever_is_beside_the_body_is_bounded(void **context)
{
    (void)context;
    static const struct {
        struct bytes head;
        struct bytes piece;
    } cases[] = {
        {{"5;", 2}, {"a", 1}},                          /* one extension */
        {{"5", 1}, {" ", 1}},                           /* blanks before it */
        {{"5", 1}, {";", 1}},                           /* many extensions */
        {{"", 0}, {"0", 1}},                            /* zeros of a size */
        {{"", 0}, {"1;abcdefghijklmnop\r\na\r\n", 23}}, /* an extension a chunk */
        {{"", 0}, {"00000000000000001\r\na\r\n", 22}},  /* zeros a chunk */
        {{"0\r\nA: ", 6}, {"b", 1}},                    /* one trailer */
        {{"0\r\n", 3}, {"Abcdefgh: b\r\n", 13}},        /* many trailers */
        {{"0\r\n", 3}, {"A", 1}},                       /* the name of one */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int rc;
        size_t total = endless(cases[i].head, cases[i].piece, &rc);
        assert_int_equal(rc, -413);
        assert_true(total > HTTP_BODY_EXTRA_MAX / 2);
        assert_true(total <= 2 * HTTP_BODY_EXTRA_MAX);
    }
}

static void exactly_the_bound_of_extensions_passes(void **context)
{
    (void)context;
    struct buffer text = {0};
    buffer_append_literal(&text, "1;"); /* the semicolon counts */
    for (size_t i = 1; i < HTTP_BODY_EXTRA_MAX - 1; i++)
        buffer_append_char(&text, 'x');
    buffer_append_literal(&text, "\r\na\r\n0\r\n\r\n"); /* and so does the zero of the last chunk */
    struct outcome outcome = read_body(&chunked, LIMIT, buffer_bytes(&text), WHOLE);
    assert_int_equal(outcome.rc, 1);
    assert_true(bytes_equal(buffer_bytes(&outcome.out), BYTES("a")));
    buffer_done(&outcome.out);
    text.data[text.length - 4] = '0'; /* "0\r\n" becomes "00" and a line that has no end */
    outcome = read_body(&chunked, LIMIT, buffer_bytes(&text), WHOLE);
    assert_int_equal(outcome.rc, -413);
    buffer_done(&outcome.out);
    buffer_done(&text);
}

static void chunks_of_one_byte_need_nothing_beside_them(void **context)
{
    (void)context;
    struct http_body body;
    struct buffer out = {0};
    size_t consumed;
    http_body_init(&body, &chunked, 100000);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(http_body_read(&body, "1\r\nx\r\n", 6, &consumed, &out), 0);
    assert_int_equal(http_body_read(&body, "0\r\n\r\n", 5, &consumed, &out), 1);
    assert_int_equal(out.length, 100000);
    buffer_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counted_body_ends_at_its_length),
        cmocka_unit_test(a_request_without_a_length_has_no_body),
        cmocka_unit_test(a_length_over_the_limit_is_refused_at_once),
        cmocka_unit_test(chunks_are_joined),
        cmocka_unit_test(extensions_are_passed_over),
        cmocka_unit_test(trailers_are_checked_and_dropped),
        cmocka_unit_test(a_size_is_nothing_but_hexadecimal_digits),
        cmocka_unit_test(a_chunk_ends_where_its_size_says),
        cmocka_unit_test(sizes_beyond_the_limit_and_beyond_64_bits),
        cmocka_unit_test(whatever_is_beside_the_body_is_bounded),
        cmocka_unit_test(exactly_the_bound_of_extensions_passes),
        cmocka_unit_test(chunks_of_one_byte_need_nothing_beside_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
