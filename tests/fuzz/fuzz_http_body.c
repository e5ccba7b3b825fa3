/*
 * Fuzzes proto/http_body.h: a body gives the same bytes, end and verdict however it is cut into reads, stays
 * within its limit, and what is written in chunks is read back.
 *
 * The first byte chooses the limit and the kind, the second the length or the reads; the rest is the body.
 */
#include "fuzz.h"
#include "proto/http_body.h"

struct outcome {
    int rc;
    size_t consumed;
    struct buffer out;
};

static struct outcome read_body(const struct http_request *request, size_t limit, struct bytes stream,
                                size_t read_length)
{
    struct outcome outcome = {0};
    struct http_body body;
    http_body_init(&body, request, limit);
    do {
        struct bytes part = take_front(&stream, read_length);
        char *copy = copy_of(part);
        size_t consumed = 0;
        outcome.rc = http_body_read(&body, copy, part.length, &consumed, &outcome.out);
        free(copy);
        require(consumed <= part.length);
        require(outcome.rc || consumed == part.length);
        outcome.consumed += consumed;
    } while (outcome.rc == 0 && stream.length);
    require(outcome.rc == 1 || outcome.rc == 0 || outcome.rc == -400 || outcome.rc == -413);
    require(outcome.out.length <= limit);
    return outcome;
}

static void require_same(struct outcome *a, struct outcome *b)
{
    require(a->rc == b->rc && a->consumed == b->consumed);
    require(bytes_equal(buffer_bytes(&a->out), buffer_bytes(&b->out)));
    buffer_done(&b->out);
}

static void check(const struct http_request *request, size_t limit, struct bytes stream, size_t read_length)
{
    struct outcome whole = read_body(request, limit, stream, SIZE_MAX);
    struct outcome cut = read_body(request, limit, stream, read_length);
    struct outcome bytes = read_body(request, limit, stream, 1);
    /* What was taken before a refusal depends on the reads; nobody uses it. */
    if (whole.rc < 0)
        whole.consumed = cut.consumed = bytes.consumed = 0;
    require_same(&whole, &cut);
    require_same(&whole, &bytes);
    if (whole.rc == 1 && whole.consumed) {
        /* It ends with its last byte, not before and not behind. */
        struct outcome again = read_body(request, limit, bytes_make(stream.data, whole.consumed), SIZE_MAX);
        require_same(&whole, &again);
        struct outcome less =
            read_body(request, limit, bytes_make(stream.data, whole.consumed - 1), SIZE_MAX);
        require(less.rc == 0);
        buffer_done(&less.out);
    }
    if (whole.rc == 1) {
        require(request->chunked ||
                whole.out.length == (request->content_length > 0 ? (size_t)request->content_length : 0));
        if (whole.out.length) {
            struct outcome over = read_body(request, whole.out.length - 1, stream, read_length);
            require(over.rc == -413);
            buffer_done(&over.out);
        }
    }
    buffer_done(&whole.out);
}

/* The bytes in chunks of that length, an extension here and there. */
static void check_round_trip(const struct http_request *request, struct bytes content, size_t chunk)
{
    struct buffer stream = {0};
    struct bytes rest = content;
    for (unsigned i = 0; rest.length; i++) {
        struct bytes part = take_front(&rest, chunk);
        buffer_printf(&stream, i % 2 ? "%zx%s\r\n" : "%zX%s\r\n", part.length,
                      i % 5 == 3 ? " ; a=\"b\"" : "");
        buffer_append_bytes(&stream, part);
        buffer_append_literal(&stream, "\r\n");
        if (stream.length > 4096)
            rest.length = 0;
    }
    buffer_append_literal(&stream, "0\r\nTrailer: x\r\n\r\n");
    struct outcome outcome = read_body(request, content.length, buffer_bytes(&stream), chunk);
    require(outcome.rc == 1 && outcome.consumed == stream.length);
    require(bytes_starts_with(content, buffer_bytes(&outcome.out)));
    require(outcome.out.length == content.length || stream.length > 4096);
    buffer_done(&outcome.out);
    buffer_done(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t limits[] = {0, 5, 300, SIZE_MAX};
    if (size < 2)
        return 0;
    struct bytes stream = bytes_make((const char *)data + 2, size - 2);
    struct http_request request = {.content_length = -1, .chunked = !(data[0] & 4)};
    if (data[0] & 4)
        request.content_length = data[1] - 1;
    check(&request, limits[data[0] & 3], stream, 1 + data[1] % 32u);
    if (request.chunked)
        check_round_trip(&request, stream, 1 + data[1]);
    return 0;
}
