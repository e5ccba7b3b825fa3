/* Any text as JSON of the router, with attachments: what the scanner takes becomes msgpack, and the same
 * msgpack again by way of JSON.  The first byte says how many attachments there are. */
#include "fuzz.h"
#include "proto/json_msgpack.h"
#include "proto/msgpack_json.h"
#include "proto/placeholder.h"
#include "proto/socketio.h"
#include "proto/utf8.h"

#include <math.h>

/* Whether there is a number that JSON can't write. */
static bool has_infinity(struct bytes msgpack)
{
    struct msgpack_cursor cursor = msgpack_cursor_make(msgpack);
    struct msgpack_token token;

    while (cursor.at < cursor.end) {
        require(msgpack_next(&cursor, &token) == 0);
        if (token.kind == MSGPACK_FLOAT && !isfinite(token.number))
            return true;
    }
    return false;
}

static void check_back(struct bytes msgpack)
{
    struct msgpack_cursor cursor = msgpack_cursor_make(msgpack);
    struct wire_list attachments = {0};
    struct buffer json = {0}, again = {0};
    struct json_value value;
    int code = msgpack_json_append(&cursor, JSON_DEPTH_MAX, SIZE_MAX, &json, &attachments);

    if (code == 0) {
        require(cursor.at == cursor.end);
        require(json_scan(buffer_bytes(&json), &value) == 0);
        if (attachments.count == 0 || placeholders_count(buffer_bytes(&json)) == attachments.count) {
            require(json_msgpack_append(buffer_bytes(&json), wire_list_finish(&attachments), &again) == 0);
            require(bytes_equal(buffer_bytes(&again), msgpack) || has_infinity(msgpack));
        }
    } else /* an attachment that was named too often, or that made a level more */
        require(code == ERROR_TOO_LARGE || code == ERROR_TOO_DEEP);
    wire_list_done(&attachments);
    buffer_done(&json);
    buffer_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_make((const char *)data, size);
    struct wire_list attachments = {0};
    struct json_value value;
    struct buffer out = {0};
    struct msgpack_cursor cursor;
    unsigned count;
    char *copy;
    int code, scanned;

    if (size == 0)
        return 0;
    count = (unsigned char)*take_front(&text, 1).data % (SOCKETIO_ATTACHMENTS_MAX + 1);
    for (unsigned i = 0; i < count; i++)
        wire_list_put_blob(&attachments, bytes_make("0123456789", i));
    copy = copy_of(text);
    text = bytes_make(copy, text.length);
    scanned = json_scan(text, &value);
    code = json_msgpack_append(text, wire_list_finish(&attachments), &out);
    require(scanned != 0 || code == 0);
    require(scanned != ERROR_MALFORMED || code != 0);
    if (code == 0) {
        cursor = msgpack_cursor_make(buffer_bytes(&out));
        require(msgpack_skip(&cursor) == 0 && cursor.at == cursor.end);
        if (scanned == 0 && utf8_valid(text))
            check_back(buffer_bytes(&out));
    } else
        require(out.length == 0);
    wire_list_done(&attachments);
    buffer_done(&out);
    free(copy);
    return 0;
}
