/*
 * Fuzzes proto/http.h: a shorter head gives 0 or the error of the whole, and
 * what an accepted request hands out lies within its head.
 */
#include "fuzz.h"
#include "proto/http.h"

#define PREFIXES_MAX 400

static void check_within(struct bytes part, const char *data, int length)
{
    if (part.data && part.length)
        require(part.data >= data && part.data + part.length <= data + length);
}

static void check_request(const struct http_request *request, const char *data, int length)
{
    static const struct bytes names[] = {{"sid", 3}, {"EIO", 3}};
    struct bytes key, values[2];
    struct buffer decoded = {0};

    check_within(request->method_text, data, length);
    check_within(request->target, data, length);
    check_within(request->query, data, length);
    check_within(request->host, data, length);
    for (size_t i = 0; i < request->field_count; i++) {
        check_within(request->fields[i].name, data, length);
        check_within(request->fields[i].value, data, length);
        require(request->fields[i].name.length > 0);
    }
    require(request->path.length > 0);
    require(!request->chunked || request->content_length < 0);
    if (http_websocket_check(request, &key) == 0)
        require(key.length == 24 && request->upgrade_websocket);
    http_query_read(request->query, names, 2, values);
    for (size_t i = 0; i < 2; i++) {
        check_within(values[i], data, length);
        if (http_value_decode(values[i], &decoded) == 0)
            require(decoded.length <= request->query.length);
        buffer_clear(&decoded);
    }
    buffer_done(&decoded);
}

static void check(const char *data, size_t size, const struct http_limits *limits)
{
    struct http_request request;
    int whole = http_request_parse(data, size, limits, &request);
    if (whole > 0) {
        require((size_t)whole <= size && (size_t)whole <= limits->head);
        check_request(&request, data, whole);
    }
    for (size_t length = 0; length < size && length < PREFIXES_MAX; length++) {
        char *copy = memory_new(length + 1);
        memcpy(copy + 1, data, length);
        int rc = http_request_parse(copy + 1, length, limits, &request);
        require(rc == 0 ? whole <= 0 || length < (size_t)whole : rc == whole || (rc > 0 && rc <= whole));
        free(copy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http_limits small = {.head = 200, .line = 60, .fields = 6};
    static const struct http_limits usual = HTTP_LIMITS_DEFAULT;
    check((const char *)data, size, &small);
    check((const char *)data, size, &usual);
    return 0;
}
