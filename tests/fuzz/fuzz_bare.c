/* Any bytes as a frame of a bare client, as an event for one, as a message of history and as an answer: what
 * is accepted is JSON and within the text, and what is made of it is JSON again. */
#include "fuzz.h"
#include "proto/bare.h"
#include "proto/wire.h"

static void require_within(struct bytes part, struct bytes text)
{
    if (part.length)
        require(part.data >= text.data && part.data + part.length <= text.data + text.length);
}

static void require_object(struct buffer *text)
{
    struct json_value value;

    require(json_scan(buffer_bytes(text), &value) == 0 && value.kind == JSON_OBJECT);
    buffer_done(text);
}

static void check_frame(struct bytes text, bool is_json, struct json_value whole)
{
    struct bare_frame frame;
    int code = bare_frame_parse(text, JSON_DEPTH_MAX, &frame);

    if (code) {
        require(code == ERROR_MALFORMED || code == ERROR_TOO_DEEP || code == ERROR_EXISTS ||
                code == ERROR_UNSUPPORTED);
        require(code != ERROR_MALFORMED || !is_json || whole.kind != JSON_OBJECT);
        return;
    }
    require(is_json && whole.kind == JSON_OBJECT);
    require(frame.ref >= SOCKETIO_NO_ACK && frame.ref <= 9007199254740991);
    require(frame.event.length <= SOCKETIO_NAME_MAX && (frame.event_error == 0 || frame.event.length == 0));
    for (int key = 0; key < BARE_KEYS; key++) {
        struct json_value value;

        require_within(frame.values[key].text, text);
        if (frame.values[key].kind != JSON_ABSENT)
            require(json_scan(frame.values[key].text, &value) == 0 && value.kind == frame.values[key].kind);
    }
}

/* However it ends, the parts make one object. */
static void check_event(struct bytes text, struct bytes attachments)
{
    for (unsigned flags = 0; flags < 4; flags++) {
        struct bare_event event;
        struct buffer out = {0};
        struct json_value value;
        int code = bare_event_make(text, flags & 1, flags & 2, attachments, &event);

        if (code) {
            require(code == ERROR_MALFORMED);
            continue;
        }
        for (size_t i = 0; i < event.count; i++)
            buffer_append_bytes(&out, event.parts[i]);
        require(event.count <= BARE_EVENT_PARTS);
        require(json_scan(text, &value) == 0 && value.kind == JSON_ARRAY);
        require_object(&out);
        bare_event_done(&event);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = copy_of(bytes_make((const char *)data, size));
    struct bytes text = bytes_make(copy, size), attachments;
    struct json_value whole = {0};
    bool is_json = json_scan(text, &whole) == 0;
    struct wire_list list = {0};
    struct buffer out = {0};
    unsigned long long seq;

    wire_list_put_blob(&list, BYTES("a"));
    wire_list_put_blob(&list, bytes_make((const char *)data, size < 4 ? size : 4));
    attachments = wire_list_finish(&list);
    check_frame(text, is_json, whole);
    check_event(text, (struct bytes){0});
    check_event(text, attachments);
    if (is_json) {
        if (bare_append_missed(&out, BYTES("R\""), whole, attachments, &seq) == 0)
            require_object(&out);
        buffer_done(&out);
        bare_append_ack(&out, 5, text, attachments);
        require_object(&out);
    }
    wire_list_done(&list);
    free(copy);
    return 0;
}
