/*
 * Fuzzes proto/deflate_offer.h and the codings of proto/http.h: lines of the input are fields
 * Sec-WebSocket-Extensions.  Several fields are one list, what is malformed stays so whatever else
 * is offered, and an answer is itself an offer that gets that answer.
 */
#include "fuzz.h"
#include "proto/deflate.h"
#include "proto/deflate_offer.h"

#define ANSWER "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

static void add_field(struct http_request *request, struct bytes value)
{
    if (request->field_count < HTTP_FIELDS_MAX)
        request->fields[request->field_count++] =
            (struct http_field){BYTES("Sec-WebSocket-Extensions"), value};
}

static int accept_offers(const struct http_request *request, struct buffer *answer, unsigned *window_bits)
{
    unsigned before = *window_bits;
    int rc = deflate_offer_accept(request, answer, window_bits);
    require(rc == 1 || rc == 0 || rc == -400);
    require(rc == 1 ? *window_bits >= 8 && *window_bits <= DEFLATE_WINDOW_BITS : *window_bits == before);
    require(rc == 1 ? bytes_starts_with(buffer_bytes(answer), BYTES(ANSWER)) : answer->length == 0);
    return rc;
}

/* Of one field, or of the one that is put in front of the others. */
static int accept_one(struct bytes value, struct buffer *answer, unsigned *window_bits)
{
    struct http_request request = {0};
    add_field(&request, value);
    return accept_offers(&request, answer, window_bits);
}

static void check_answer(struct buffer *answer, unsigned window_bits)
{
    struct buffer again = {0};
    struct buffer expected = {0};
    unsigned bits_again = 0;
    buffer_append_literal(&expected, ANSWER);
    /* A window that is not named is the whole one. */
    if (answer->length != expected.length)
        buffer_printf(&expected, "; server_max_window_bits=%u", window_bits);
    else
        require(window_bits == DEFLATE_WINDOW_BITS);
    require(bytes_equal(buffer_bytes(answer), buffer_bytes(&expected)));
    require(accept_one(buffer_bytes(answer), &again, &bits_again) == 1);
    require(bytes_equal(buffer_bytes(&again), buffer_bytes(answer)) && bits_again == window_bits);
    buffer_done(&again);
    buffer_done(&expected);
}

static void check_fields(struct bytes rest)
{
    struct http_request request = {0};
    struct buffer joined = {0};
    struct buffer answer = {0};
    struct buffer other = {0};
    unsigned window_bits = 0;
    unsigned bits_other = 0;

    while (rest.length && request.field_count < 5) {
        const char *end = memchr(rest.data, '\n', rest.length);
        struct bytes line = take_front(&rest, end ? (size_t)(end - rest.data) : rest.length);
        take_front(&rest, 1);
        add_field(&request, line);
        if (joined.length)
            buffer_append_literal(&joined, " , ");
        buffer_append_bytes(&joined, line);
    }
    int rc = accept_offers(&request, &answer, &window_bits);
    require(accept_one(buffer_bytes(&joined), &other, &bits_other) == rc);
    require(bytes_equal(buffer_bytes(&answer), buffer_bytes(&other)) && window_bits == bits_other);
    if (rc == 1)
        check_answer(&answer, window_bits);
    buffer_clear(&other);
    add_field(&request, BYTES("permessage-deflate"));
    require(accept_offers(&request, &other, &bits_other) == (rc < 0 ? rc : 1));
    if (rc == 1)
        require(bytes_equal(buffer_bytes(&answer), buffer_bytes(&other)));
    buffer_done(&joined);
    buffer_done(&answer);
    buffer_done(&other);
}

static void check_codings(struct bytes value)
{
    struct buffer list = {0};
    bool accepted = http_accepts_coding(value, "gzip");
    buffer_append_bytes(&list, value);
    buffer_append_literal(&list, ",gzip;q=0");
    /* Only a star or an earlier gzip can have accepted it. */
    if (http_accepts_coding(buffer_bytes(&list), "gzip"))
        require(accepted);
    buffer_clear(&list);
    buffer_append_literal(&list, "GZIP;q=0.1,");
    buffer_append_bytes(&list, value);
    require(http_accepts_coding(buffer_bytes(&list), "gzip"));
    buffer_clear(&list);
    buffer_append_literal(&list, "gzip ; q=0.0 , ");
    buffer_append_bytes(&list, value);
    require(!http_accepts_coding(buffer_bytes(&list), "gzip"));
    buffer_done(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_make((const char *)data, size);
    char *copy = copy_of(text);
    check_fields(bytes_make(copy, size));
    check_codings(bytes_make(copy, size));
    free(copy);
    return 0;
}
