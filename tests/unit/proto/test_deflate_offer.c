/* Tests of proto/deflate_offer.h: the values of a request's fields and the answer to them. */
#include "proto/deflate_offer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define AGREED "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

struct verdict {
    int rc;
    unsigned window_bits;
    char answer[200];
};

/* Two fields of the name with another between them; the second is left out when NULL. */
static struct verdict accept_offers(struct bytes first, const char *second)
{
    struct verdict verdict = {0};
    struct http_request request = {0};
    struct buffer answer = {0};
    unsigned window_bits = 99;
    /* In memory of exactly its size, so that a sanitizer sees a read beyond it. */
    char *copy = malloc(first.length + !first.length);
    assert_non_null(copy);
    memcpy(copy, first.data, first.length);

    request.fields[request.field_count++] =
        (struct http_field){BYTES("Sec-WebSocket-Extensions"), bytes_make(copy, first.length)};
    request.fields[request.field_count++] = (struct http_field){BYTES("X-Other"), BYTES("\"")};
    if (second)
        request.fields[request.field_count++] =
            (struct http_field){BYTES("sec-websocket-extensions"), bytes_from_text(second)};
    verdict.rc = deflate_offer_accept(&request, &answer, &window_bits);
    if (verdict.rc == 1) {
        verdict.window_bits = window_bits;
        assert_true(answer.length < sizeof verdict.answer);
        memcpy(verdict.answer, answer.data, answer.length);
    } else {
        assert_int_equal(answer.length, 0);
        assert_int_equal(window_bits, 99);
    }
    buffer_done(&answer);
    free(copy);
    return verdict;
}

static void assert_accepted(struct bytes first, const char *second, const char *answer, unsigned window_bits)
{
    struct verdict verdict = accept_offers(first, second);
    if (verdict.rc != 1)
        print_error("%d for: %.*s\n", verdict.rc, BYTES_PRINTF(first));
    assert_int_equal(verdict.rc, 1);
    assert_string_equal(verdict.answer, answer);
    assert_int_equal(verdict.window_bits, window_bits);
}

static void assert_rc(struct bytes offers, int rc)
{
    struct verdict verdict = accept_offers(offers, NULL);
    if (verdict.rc != rc)
        print_error("%d for: %.*s\n", verdict.rc, BYTES_PRINTF(offers));
    assert_int_equal(verdict.rc, rc);
}

#define ACCEPTED(offers)  assert_accepted(BYTES(offers), NULL, AGREED, 15)
#define DECLINED(offers)  assert_rc(BYTES(offers), 0)
#define MALFORMED(offers) assert_rc(BYTES(offers), -400)

static void what_clients_offer_is_accepted(void **context)
{
    (void)context;
    ACCEPTED("permessage-deflate");
    ACCEPTED("permessage-deflate; client_max_window_bits"); /* browsers, ws */
    ACCEPTED("permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    ACCEPTED("permessage-deflate;client_max_window_bits=15;client_no_context_takeover");
    ACCEPTED("permessage-deflate;client_max_window_bits=8");
    ACCEPTED(" permessage-deflate\t;\tclient_max_window_bits = \"10\" ");
    ACCEPTED("permessage-deflate; client_max_window_bits=\"1\\0\"");
}

static void the_first_acceptable_offer_is_taken(void **context)
{
    (void)context;
    ACCEPTED("permessage-bzip2; a=1; b=\"c\", permessage-deflate");
    ACCEPTED("permessage-deflate; unknown, permessage-deflate");
    ACCEPTED("x-webkit-deflate-frame,,permessage-deflate,");
    ACCEPTED("permessage-deflate, permessage-deflate; server_max_window_bits=9");
    assert_accepted(BYTES("permessage-deflate; server_max_window_bits=10, permessage-deflate"), NULL,
                    AGREED "; server_max_window_bits=10", 10);
    assert_accepted(BYTES("other"), "permessage-deflate", AGREED, 15);
    assert_accepted(BYTES(""), "permessage-deflate; server_max_window_bits=15",
                    AGREED "; server_max_window_bits=15", 15);
    assert_accepted(BYTES("permessage-deflate"), "permessage-deflate; server_max_window_bits=9", AGREED, 15);
}

static void a_smaller_window_is_agreed_to_and_told(void **context)
{
    (void)context;
    char offer[80];
    char answer[200];
    for (int bits = 8; bits <= 15; bits++) {
        snprintf(offer, sizeof offer, "permessage-deflate; server_max_window_bits=%d", bits);
        snprintf(answer, sizeof answer, AGREED "; server_max_window_bits=%d", bits);
        assert_accepted(bytes_from_text(offer), NULL, answer, (unsigned)bits);
    }
}

static void an_offer_that_is_not_understood_is_declined(void **context)
{
    (void)context;
    DECLINED("");
    DECLINED(" , ,");
    DECLINED("permessage-deflat");
    DECLINED("permessage-deflate2");
    DECLINED("permessage-deflate; unknown");
    DECLINED("permessage-deflate; unknown=\"8\"");
    DECLINED("permessage-deflate; server_no_context_takeover=1");
    DECLINED("permessage-deflate; client_no_context_takeover=15");
    DECLINED("permessage-deflate; server_max_window_bits");
    DECLINED("permessage-deflate; server_max_window_bits=7");
    DECLINED("permessage-deflate; server_max_window_bits=16");
    DECLINED("permessage-deflate; server_max_window_bits=08");
    DECLINED("permessage-deflate; server_max_window_bits=0x9");
    DECLINED("permessage-deflate; server_max_window_bits=1000000000000000000009");
    DECLINED("permessage-deflate; server_max_window_bits=\"1000000000000000000009\"");
    DECLINED("permessage-deflate; server_max_window_bits=+9");
    DECLINED("permessage-deflate; client_max_window_bits=7");
    DECLINED("permessage-deflate; client_max_window_bits=all");
    DECLINED("permessage-deflate; server_no_context_takeover; server_no_context_takeover");
    DECLINED("permessage-deflate; client_max_window_bits; client_max_window_bits=9");
    DECLINED("permessage-deflate; server_max_window_bits=9; server_max_window_bits=9");
}

static void what_breaks_the_grammar_refuses_the_handshake(void **context)
{
    (void)context;
    MALFORMED(";");
    MALFORMED("permessage-deflate;");
    MALFORMED("permessage-deflate; ;client_max_window_bits");
    MALFORMED("permessage-deflate; client_max_window_bits=");
    MALFORMED("permessage-deflate; client_max_window_bits=\"");
    MALFORMED("permessage-deflate; client_max_window_bits=\"9");
    MALFORMED("permessage-deflate; client_max_window_bits=\"9\\");
    MALFORMED("permessage-deflate; client_max_window_bits=\"\"");
    MALFORMED("permessage-deflate; client_max_window_bits=\"9 \"");
    MALFORMED("permessage-deflate; client_max_window_bits=9 9");
    MALFORMED("permessage-deflate client_max_window_bits");
    MALFORMED("permessage-deflate=1");
    MALFORMED("permessage-deflate, \"quoted\"");
    MALFORMED("permessage-deflate\xff");
    assert_int_equal(accept_offers(BYTES("permessage-deflate"), "=").rc, -400);
}

static void without_the_field_there_is_nothing_to_accept(void **context)
{
    (void)context;
    struct http_request request = {0};
    struct buffer answer = {0};
    unsigned window_bits;
    assert_int_equal(deflate_offer_accept(&request, &answer, &window_bits), 0);
    assert_int_equal(answer.length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_clients_offer_is_accepted),
        cmocka_unit_test(the_first_acceptable_offer_is_taken),
        cmocka_unit_test(a_smaller_window_is_agreed_to_and_told),
        cmocka_unit_test(an_offer_that_is_not_understood_is_declined),
        cmocka_unit_test(what_breaks_the_grammar_refuses_the_handshake),
        cmocka_unit_test(without_the_field_there_is_nothing_to_accept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
