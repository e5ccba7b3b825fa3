/* Any bytes as a handshake of another gateway: what is taken comes out the same, and its JSON is one line of
 * it.  And as a request's head: what is made of it is always taken. */
#include "gateway/handshake.h"
#include "proto/json_scan.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_json(const struct handshake *handshake, bool hide_token)
{
    struct buffer json = {0};
    struct json_value value, query;

    handshake_append_json(handshake, (struct bytes){0}, hide_token, &json);
    require(json_scan(buffer_bytes(&json), &value) == 0 && value.kind == JSON_OBJECT);
    for (size_t i = 0; i < json.length; i++)
        require((unsigned char)json.data[i] >= ' ' && json.data[i] != 0x7f);
    require(handshake_address(handshake).length <= HANDSHAKE_ADDRESS_MAX);
    if (hide_token && json_object_find(value, "query", &query) == 0)
        require(json_object_find(query, "token", &query) == ERROR_NOT_FOUND);
    buffer_done(&json);
}

static void check(const struct handshake *handshake)
{
    check_json(handshake, false);
    check_json(handshake, true);
}

static void as_block(struct bytes input)
{
    struct handshake *handshake;

    if (handshake_from_bytes(input, &handshake) < 0)
        return;
    require(bytes_equal(handshake_bytes(handshake), input));
    check(handshake);
    handshake_free(handshake);
}

static void as_head(struct bytes input)
{
    struct http_limits limits = HTTP_LIMITS_DEFAULT;
    struct http_request request;
    struct handshake *made, *moved;

    if (http_request_parse(input.data, input.length, &limits, &request) <= 0)
        return;
    made = handshake_new(&request, BYTES("::1"), input.length % 2, 1700000000000);
    check(made);
    require(handshake_from_bytes(handshake_bytes(made), &moved) == 0);
    handshake_free(moved);
    handshake_free(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = bytes_make((const char *)data, size);

    as_block(input);
    as_head(input);
    return 0;
}
