/*
 * Socket.IO packets; see socketio.h.  Owns nothing; the gateway calls it for every
 * message of its clients and for everything it writes to them.  Surprising: of an
 * event only the head and the name are read at first, since the name decides what is
 * looked for in the rest, and the text should be walked once.
 */
#include "proto/socketio.h"

/* What a payload may be, as bits of enum json_kind. */
#define ALLOWED(kind) (1U << (kind))

static const struct {
    unsigned payload;
    bool is_event;
    bool binary;
} types[] = {
    [SOCKETIO_CONNECT] = {ALLOWED(JSON_ABSENT) | ALLOWED(JSON_OBJECT)},
    [SOCKETIO_DISCONNECT] = {ALLOWED(JSON_ABSENT)},
    [SOCKETIO_EVENT] = {ALLOWED(JSON_ABSENT) | ALLOWED(JSON_ARRAY), .is_event = true},
    [SOCKETIO_ACK] = {ALLOWED(JSON_ARRAY)},
    [SOCKETIO_CONNECT_ERROR] = {ALLOWED(JSON_STRING) | ALLOWED(JSON_OBJECT)},
    [SOCKETIO_BINARY_EVENT] = {ALLOWED(JSON_ABSENT) | ALLOWED(JSON_ARRAY), .is_event = true, .binary = true},
    [SOCKETIO_BINARY_ACK] = {ALLOWED(JSON_ARRAY), .binary = true},
};

static const struct bytes reserved[] = {
    BYTES("connect"),       BYTES("connect_error"), BYTES("disconnect"),
    BYTES("disconnecting"), BYTES("newListener"),   BYTES("removeListener"),
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool socketio_name_reserved(struct bytes name)
{
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (bytes_equal(name, reserved[i]))
            return true;
    return false;
}

/* The count and its dash. */
static int read_attachments(const char **at, const char *end, unsigned *out)
{
    const char *dash = memchr(*at, '-', (size_t)(end - *at));
    unsigned long long count;

    if (!dash || bytes_parse_u64(bytes_make(*at, (size_t)(dash - *at)), &count) || count == 0)
        return ERROR_MALFORMED;
    if (count > SOCKETIO_ATTACHMENTS_MAX)
        return ERROR_TOO_LARGE;
    *out = (unsigned)count;
    *at = dash + 1;
    return 0;
}

/* The namespace and its comma, if there is one. */
static int read_namespace(const char **at, const char *end, struct bytes *out)
{
    const char *comma;

    if (*at == end || **at != '/') {
        *out = BYTES("/");
        return 0;
    }
    comma = memchr(*at, ',', (size_t)(end - *at));
    *out = bytes_make(*at, (size_t)((comma ? comma : end) - *at));
    if (out->length > SOCKETIO_NAMESPACE_MAX)
        return ERROR_TOO_LARGE;
    *at = comma ? comma + 1 : end;
    return 0;
}

static int read_ack(const char **at, const char *end, long long *out)
{
    long long ack = 0;

    if (*at == end || !is_digit(**at)) {
        *out = SOCKETIO_NO_ACK;
        return 0;
    }
    for (; *at < end && is_digit(**at); (*at)++) {
        ack = ack * 10 + (**at - '0');
        if (ack > SOCKETIO_ACK_MAX)
            return ERROR_MALFORMED;
    }
    *out = ack;
    return 0;
}

/* The bytes that an event's name stands for; room is for those of a string with escapes. */
static int read_name(struct json_value value, char room[SOCKETIO_NAME_MAX], struct bytes *out)
{
    struct bytes name = value.text;

    if (value.kind == JSON_STRING) {
        name = bytes_make(name.data + 1, name.length - 2);
        if (name.length && memchr(name.data, '\\', name.length)) {
            size_t length;
            int code = json_string_decode(value, room, SOCKETIO_NAME_MAX, &length);

            if (code)
                return code;
            name = bytes_make(room, length);
        }
    }
    if (name.length > SOCKETIO_NAME_MAX)
        return ERROR_TOO_LARGE;
    *out = name;
    return 0;
}

int socketio_head_parse(struct bytes text, struct socketio_head *out)
{
    struct socketio_head head = {.ack = SOCKETIO_NO_ACK};
    const char *at;
    const char *end;
    int code = 0;

    if (text.length == 0 || text.data[0] < '0' || text.data[0] > '6')
        return ERROR_MALFORMED;
    head.type = (enum socketio_type)(text.data[0] - '0');
    at = text.data + 1;
    end = text.data + text.length;
    if (types[head.type].binary)
        code = read_attachments(&at, end, &head.attachments);
    if (!code)
        code = read_namespace(&at, end, &head.nsp);
    if (!code)
        code = read_ack(&at, end, &head.ack);
    if (code)
        return code;
    if (at < end)
        head.payload = bytes_make(at, (size_t)(end - at));
    *out = head;
    return 0;
}

int socketio_packet_parse(struct bytes text, unsigned depth, struct socketio_packet *out)
{
    struct socketio_head head;
    struct json_value json = {0};
    struct json_event event = {0};
    struct bytes name = {0};
    int name_error = 0;
    int code = socketio_head_parse(text, &head);

    if (code)
        return code;
    if (!head.payload.data) {
        if (!(types[head.type].payload & ALLOWED(JSON_ABSENT)))
            return ERROR_MALFORMED;
    } else {
        /* A blank here would be part of the ack id in the reference. */
        if ((unsigned char)*head.payload.data <= ' ')
            return ERROR_MALFORMED;
        if (types[head.type].is_event) {
            code = json_event_begin(head.payload, &event);
            if (code)
                return code;
            event.depth = depth;
            name_error = read_name(event.name, out->unescaped, &name);
            if (event.name.kind == JSON_STRING && socketio_name_reserved(name))
                return ERROR_MALFORMED;
        } else {
            code = json_scan_within(head.payload, depth, &json);
            if (code)
                return code;
            if (!(types[head.type].payload & ALLOWED(json.kind)))
                return ERROR_MALFORMED;
        }
    }
    out->type = head.type;
    out->attachments = head.attachments;
    out->nsp = head.nsp;
    out->ack = head.ack;
    out->payload = head.payload;
    out->json = json;
    out->name = name;
    out->name_error = name_error;
    out->event = event;
    return 0;
}

int socketio_event_finish(struct socketio_packet *packet, const struct json_path *paths, size_t n,
                          struct json_value *values)
{
    return json_event_finish(&packet->event, paths, n, values);
}

static void append_namespace(struct buffer *out, struct bytes nsp)
{
    if (bytes_equal(nsp, BYTES("/")))
        return;
    buffer_append_bytes(out, nsp);
    buffer_append_char(out, ',');
}

void socketio_append_head(struct buffer *out, enum socketio_type type, struct bytes nsp)
{
    buffer_append_char(out, '4');
    buffer_append_char(out, (char)('0' + type));
    append_namespace(out, nsp);
}

void socketio_append_connect(struct buffer *out, struct bytes nsp, struct bytes sid, struct bytes pid)
{
    socketio_append_head(out, SOCKETIO_CONNECT, nsp);
    buffer_append_literal(out, "{\"sid\":\"");
    buffer_append_bytes(out, sid);
    if (pid.length) {
        buffer_append_literal(out, "\",\"pid\":\"");
        buffer_append_bytes(out, pid);
    }
    buffer_append_literal(out, "\"}");
}

void socketio_append_connect_error(struct buffer *out, struct bytes nsp, struct bytes json)
{
    socketio_append_head(out, SOCKETIO_CONNECT_ERROR, nsp);
    buffer_append_bytes(out, json);
}

void socketio_append_disconnect(struct buffer *out, struct bytes nsp)
{
    socketio_append_head(out, SOCKETIO_DISCONNECT, nsp);
}

/* What stands before the namespace when there are attachments, or when there are none. */
static void append_type(struct buffer *out, enum socketio_type plain, enum socketio_type binary,
                        unsigned attachments)
{
    buffer_append_char(out, '4');
    buffer_append_char(out, (char)('0' + (attachments ? binary : plain)));
    if (attachments) {
        buffer_append_u64(out, attachments);
        buffer_append_char(out, '-');
    }
}

void socketio_append_event_head(struct buffer *out, struct bytes nsp, long long ack, unsigned attachments)
{
    append_type(out, SOCKETIO_EVENT, SOCKETIO_BINARY_EVENT, attachments);
    append_namespace(out, nsp);
    if (ack != SOCKETIO_NO_ACK)
        buffer_append_u64(out, (uint64_t)ack);
}

void socketio_append_ack_head(struct buffer *out, struct bytes nsp, long long ack, unsigned attachments)
{
    append_type(out, SOCKETIO_ACK, SOCKETIO_BINARY_ACK, attachments);
    append_namespace(out, nsp);
    buffer_append_u64(out, (uint64_t)ack);
}
