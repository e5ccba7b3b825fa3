/*
 * Frames of bare WebSockets; see bare.h.  Owns nothing but what the base64 of attachments takes; the gateway
 * calls it for what its bare clients send and are sent.  The surprising rule: an event for a room is taken
 * apart once for all of the room's bare members, and put together without copying it, by naming its parts.
 */
#include "proto/bare.h"

#include "common/base64.h"
#include "proto/json_text.h"
#include "proto/placeholder.h"
#include "proto/wire.h"

static const struct bytes types[] = {
#define X(name, text) BYTES(text),
    BARE_TYPE_TABLE(X)
#undef X
};

static const struct bytes keys[] = {
#define X(name, text) BYTES(text),
    BARE_KEY_TABLE(X)
#undef X
};

const char *bare_type_text(enum bare_type type)
{
    return types[type].data;
}

enum bare_type bare_type_find(struct bytes name)
{
    enum bare_type type = BARE_PUBLISH;

    while (type < BARE_TYPES && !bytes_equal(name, types[type]))
        type++;
    return type;
}

/* -- frames of clients ------------------------------------------------------------------------ */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct bytes trim(struct bytes text)
{
    while (text.length && is_blank(text.data[0]))
        text = bytes_make(text.data + 1, text.length - 1);
    while (text.length && is_blank(text.data[text.length - 1]))
        text.length--;
    return text;
}

static enum bare_key find_key(struct json_value name)
{
    enum bare_key key = BARE_KEY_TYPE;

    while (key < BARE_KEYS && !json_string_is(name, keys[key]))
        key++;
    return key;
}

static int read_members(struct bytes text, unsigned depth, struct json_value *whole,
                        struct json_value *values)
{
    struct json_cursor cursor;
    struct json_value name, value;
    int code;

    text = trim(text);
    if (text.length < 2 || text.data[0] != '{' || text.data[text.length - 1] != '}')
        return ERROR_MALFORMED;
    *whole = (struct json_value){text, JSON_OBJECT};
    cursor = json_object_cursor(*whole);
    cursor.depth = depth;
    while ((code = json_member_next(&cursor, &name, &value)) == 0) {
        enum bare_key key = find_key(name);

        if (key == BARE_KEYS)
            continue;
        if (values[key].kind != JSON_ABSENT)
            return ERROR_EXISTS;
        values[key] = value;
    }
    return code == ERROR_NOT_FOUND ? 0 : code;
}

static enum bare_type read_type(struct json_value value)
{
    enum bare_type type = BARE_PUBLISH;

    if (value.kind == JSON_ABSENT)
        return type;
    while (type < BARE_TYPES && !json_string_is(value, types[type]))
        type++;
    return type;
}

static int read_event(struct json_value value, struct bare_frame *frame)
{
    size_t length;
    int code;

    frame->event = (struct bytes){0};
    if (value.kind == JSON_ABSENT) {
        frame->event = BYTES("msg");
        return 0;
    }
    code = json_string_decode(value, frame->unescaped, sizeof frame->unescaped, &length);
    if (code == 0)
        frame->event = bytes_make(frame->unescaped, length);
    return code;
}

int bare_frame_parse(struct bytes text, unsigned depth, struct bare_frame *out)
{
    const struct json_value *ref = &out->values[BARE_KEY_REF];
    int code;

    memset(out->values, 0, sizeof out->values);
    code = read_members(text, depth, &out->whole, out->values);
    if (code)
        return code;
    out->ref = SOCKETIO_NO_ACK;
    if (ref->kind != JSON_ABSENT &&
        (ref->kind != JSON_NUMBER || json_integer_decode(*ref, &out->ref) < 0 || out->ref < 0))
        return ERROR_UNSUPPORTED;
    out->type = read_type(out->values[BARE_KEY_TYPE]);
    out->event_error = read_event(out->values[BARE_KEY_EVENT], out);
    return 0;
}

/* -- events ----------------------------------------------------------------------------------- */

void bare_append_attachments(struct buffer *out, struct bytes attachments, unsigned first, unsigned end)
{
    struct wire_reader list;
    struct bytes blob;
    int count = attachments.length ? wire_list_open(&list, attachments) : 0;
    bool begun = false;

    for (int i = 0; i < count && i < (int)end && wire_list_text(&list, &blob) == 0; i++) {
        if (i < (int)first)
            continue;
        buffer_append_text(out, begun ? ",\"" : ",\"attachments\":[\"");
        base64_write(buffer_reserve(out, base64_length(blob.length)), blob);
        buffer_extend(out, base64_length(blob.length));
        buffer_append_char(out, '"');
        begun = true;
    }
    if (begun)
        buffer_append_char(out, ']');
}

/* The arguments, and the meta object behind them, when there is one. */
static int split_arguments(struct json_event *event, bool has_meta, bool has_offset, struct bytes *arguments,
                           struct bytes *meta)
{
    size_t behind = (has_meta ? 1U : 0U) + (has_offset ? 1U : 0U), count;
    struct json_cursor cursor;
    struct json_value value;

    if (json_event_finish(event, NULL, 0, NULL) < 0 || event->argument_count < behind)
        return ERROR_MALFORMED;
    count = event->argument_count - behind;
    cursor = json_list_cursor(event->arguments);
    *arguments = BYTES("");
    for (size_t i = 0; i < count; i++)
        if (json_cursor_next(&cursor, &value) < 0)
            return ERROR_MALFORMED;
    if (count)
        *arguments = bytes_make(event->arguments.data, (size_t)(cursor.at - event->arguments.data));
    if (!has_meta)
        return 0;
    if (json_cursor_next(&cursor, &value) < 0)
        return ERROR_MALFORMED;
    *meta = value.text;
    return 0;
}

int bare_event_make(struct bytes payload, bool has_meta, bool has_offset, struct bytes attachments,
                    struct bare_event *out)
{
    struct json_event event;
    struct bytes arguments, meta = {0};
    size_t count = 0;

    if (json_event_begin(payload, &event) < 0 ||
        split_arguments(&event, has_meta, has_offset, &arguments, &meta) < 0)
        return ERROR_MALFORMED;
    *out = (struct bare_event){0};
    out->parts[count++] = BYTES("{\"type\":\"event\",\"event\":");
    out->parts[count++] = event.name.text;
    out->parts[count++] = BYTES(",\"args\":[");
    out->parts[count++] = arguments;
    out->parts[count++] = has_meta ? BYTES("],\"meta\":") : BYTES("]");
    out->parts[count++] = meta;
    if (attachments.length) {
        bare_append_attachments(&out->space, attachments, 0, SOCKETIO_ATTACHMENTS_MAX);
        out->parts[count++] = buffer_bytes(&out->space);
    }
    out->parts[count++] = BYTES("}");
    out->count = count;
    return 0;
}

void bare_event_done(struct bare_event *event)
{
    buffer_done(&event->space);
}

/* -- messages of history ---------------------------------------------------------------------- */

/* A member of a message: its text into *out when it is of that kind. */
static int member(struct json_value message, const char *key, enum json_kind kind, struct bytes *out)
{
    struct json_value value;

    if (json_object_find(message, key, &value) < 0 || value.kind != kind)
        return ERROR_MALFORMED;
    *out = value.text;
    return 0;
}

/* The arguments, and what their placeholders stand for: those of the whole page count through it. */
static void append_arguments(struct buffer *out, struct bytes arguments, struct bytes attachments,
                             unsigned *first, unsigned *end)
{
    *first = *end = 0;
    if (attachments.length && placeholders_range(arguments, first, end))
        placeholders_append(out, arguments, -(int)*first);
    else
        buffer_append_bytes(out, arguments);
}

int bare_append_missed(struct buffer *out, struct bytes room, struct json_value message,
                       struct bytes attachments, unsigned long long *seq)
{
    struct bytes number, id, event, from, at, arguments;
    unsigned first, end;

    if (member(message, "seq", JSON_NUMBER, &number) < 0 || member(message, "id", JSON_STRING, &id) < 0 ||
        member(message, "event", JSON_STRING, &event) < 0 ||
        member(message, "from", JSON_STRING, &from) < 0 || member(message, "at", JSON_NUMBER, &at) < 0 ||
        member(message, "args", JSON_ARRAY, &arguments) < 0 || bytes_parse_u64(number, seq) < 0)
        return ERROR_MALFORMED;
    buffer_append_literal(out, "{\"type\":\"event\",\"event\":");
    buffer_append_bytes(out, event);
    buffer_append_literal(out, ",\"args\":");
    append_arguments(out, arguments, attachments, &first, &end);
    buffer_append_literal(out, ",\"meta\":{\"room\":");
    json_append_string(out, room);
    buffer_append_literal(out, ",\"seq\":");
    buffer_append_bytes(out, number);
    buffer_append_literal(out, ",\"id\":");
    buffer_append_bytes(out, id);
    if (from.length > 2) { /* a backend's message has no sender, and its meta object none as it happens */
        buffer_append_literal(out, ",\"from\":");
        buffer_append_bytes(out, from);
    }
    buffer_append_literal(out, ",\"at\":");
    buffer_append_bytes(out, at);
    buffer_append_char(out, '}');
    bare_append_attachments(out, attachments, first, end);
    buffer_append_char(out, '}');
    return 0;
}

/* -- acknowledgements ------------------------------------------------------------------------- */

void bare_append_ack(struct buffer *out, long long ref, struct bytes answer, struct bytes attachments)
{
    struct json_value value;
    bool is_own = bytes_starts_with(answer, BYTES("{\"ok\":")) && json_scan(answer, &value) == 0;

    buffer_append_literal(out, "{\"type\":\"ack\",\"ref\":");
    buffer_append_u64(out, (uint64_t)ref);
    if (is_own) {
        buffer_append_char(out, ',');
        buffer_append(out, value.text.data + 1, value.text.length - 2);
    } else {
        buffer_append_literal(out, ",\"ok\":true,\"args\":[");
        buffer_append_bytes(out, answer);
        buffer_append_char(out, ']');
    }
    bare_append_attachments(out, attachments, 0, SOCKETIO_ATTACHMENTS_MAX);
    buffer_append_char(out, '}');
}
