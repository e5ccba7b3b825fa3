/* Any bytes as msgpack of a client: what becomes JSON is JSON, and comes back from msgpack as it is. */
#include "fuzz.h"
#include "proto/json_msgpack.h"
#include "proto/msgpack_json.h"
#include "proto/placeholder.h"
#include "proto/socketio.h"

/* As msgpack again, and back. */
static void check_again(struct bytes json, struct bytes attachments)
{
    struct wire_list again = {0};
    struct buffer msgpack = {0}, out = {0};
    struct msgpack_cursor cursor;

    require(json_msgpack_append(json, attachments, &msgpack) == 0);
    cursor = msgpack_cursor_make(buffer_bytes(&msgpack));
    require(msgpack_json_append(&cursor, JSON_DEPTH_MAX, SIZE_MAX, &out, &again) == 0);
    require(cursor.at == cursor.end);
    require(bytes_equal(buffer_bytes(&out), json));
    require(bytes_equal(wire_list_finish(&again), attachments));
    wire_list_done(&again);
    buffer_done(&msgpack);
    buffer_done(&out);
}

static void check_converted(struct bytes json, struct wire_list *attachments)
{
    struct json_value value;

    require(json_scan(json, &value) == 0);
    require(attachments->count <= SOCKETIO_ATTACHMENTS_MAX);
    require(placeholders_count(json) >= attachments->count);
    if (placeholders_count(json) == attachments->count || attachments->count == 0)
        check_again(json, wire_list_finish(attachments));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = copy_of(bytes_make((const char *)data, size));
    struct msgpack_cursor cursor = msgpack_cursor_make(bytes_make(copy, size)), skip = cursor;
    struct wire_list attachments = {0};
    struct buffer json = {0};
    int code = msgpack_json_append(&cursor, JSON_DEPTH_MAX, SIZE_MAX, &json, &attachments);

    if (code == 0) {
        require(msgpack_skip(&skip) == 0 && skip.at == cursor.at);
        check_converted(buffer_bytes(&json), &attachments);
        /* One byte less is too little. */
        skip = msgpack_cursor_make(bytes_make(copy, size));
        if (json.length) {
            size_t length = json.length;

            buffer_clear(&json);
            wire_list_clear(&attachments);
            require(msgpack_json_append(&skip, JSON_DEPTH_MAX, length - 1, &json, &attachments) ==
                    ERROR_TOO_LARGE);
        }
    } else
        require(code == ERROR_MALFORMED || code == ERROR_UTF8 || code == ERROR_TOO_DEEP ||
                code == ERROR_TOO_LARGE || code == ERROR_UNSUPPORTED);
    wire_list_done(&attachments);
    buffer_done(&json);
    free(copy);
    return 0;
}
