/*
 * Packets of Socket.IO's msgpack parser; see socketio_msgpack.h.  Owns nothing; the gateway's packet.c reads
 * with it, its encoding.c writes.  The surprising rule: the map is walked twice, since "data" may stand
 * before "type" and "nsp" say what it is.
 */
#include "proto/socketio_msgpack.h"

#include "proto/json_msgpack.h"
#include "proto/msgpack_json.h"
#include "proto/socketio.h"
#include "proto/utf8.h"

#define ACK_MAX 9007199254740991ULL /* 2^53 - 1, as in the text */

enum { HEAD_MAX = SOCKETIO_NAMESPACE_MAX + 32 }; /* bytes of what stands before a payload */

enum key { KEY_TYPE, KEY_NSP, KEY_DATA, KEY_ID, KEYS, KEY_OTHER = KEYS };

static const struct bytes keys[KEYS] = {
    [KEY_TYPE] = BYTES("type"), [KEY_NSP] = BYTES("nsp"), [KEY_DATA] = BYTES("data"), [KEY_ID] = BYTES("id")};

/* The map's four values; those that are not there are nil. */
struct map {
    struct msgpack_token values[KEYS];
    struct msgpack_cursor data; /* at its value */
};

struct head {
    enum socketio_type type;
    struct bytes nsp;
    long long ack;
};

/* -- reading --------------------------------------------------------------------------------- */

static enum key key_of(struct bytes name)
{
    enum key key = 0;

    while (key < KEYS && !bytes_equal(name, keys[key]))
        key++;
    return key;
}

static bool is_absent(const struct msgpack_token *token)
{
    return token->kind == MSGPACK_NIL || msgpack_is_undefined(token);
}

static int read_pair(struct msgpack_cursor *cursor, unsigned *seen, struct map *map)
{
    struct msgpack_cursor value;
    struct msgpack_token name;
    enum key key;

    if (msgpack_next(cursor, &name) < 0 || name.kind != MSGPACK_STRING)
        return ERROR_MALFORMED;
    value = *cursor;
    if (msgpack_skip(cursor) < 0)
        return ERROR_MALFORMED;
    key = key_of(name.bytes);
    if (key == KEY_OTHER)
        return 0;
    if (*seen & 1U << key)
        return ERROR_MALFORMED;
    *seen |= 1U << key;
    if (key == KEY_DATA)
        map->data = value;
    return msgpack_next(&value, &map->values[key]);
}

static int read_map(struct bytes packet, struct map *map)
{
    struct msgpack_cursor cursor = msgpack_cursor_make(packet);
    struct msgpack_token token;
    unsigned seen = 0;

    for (unsigned key = 0; key < KEYS; key++)
        map->values[key].kind = MSGPACK_NIL;
    if (msgpack_next(&cursor, &token) < 0 || token.kind != MSGPACK_MAP)
        return ERROR_MALFORMED;
    for (uint32_t i = 0; i < token.count; i++)
        if (read_pair(&cursor, &seen, map) < 0)
            return ERROR_MALFORMED;
    return cursor.at == cursor.end ? 0 : ERROR_MALFORMED;
}

/* What the text's grammar can say: no other namespace exists. */
static bool nsp_is_valid(const struct msgpack_token *token)
{
    struct bytes nsp = token->bytes;

    return token->kind == MSGPACK_STRING && nsp.length > 0 && nsp.length <= SOCKETIO_NAMESPACE_MAX &&
           nsp.data[0] == '/' && !memchr(nsp.data, ',', nsp.length) && utf8_valid(nsp);
}

static int read_head(const struct map *map, struct head *head)
{
    const struct msgpack_token *type = &map->values[KEY_TYPE], *id = &map->values[KEY_ID];

    if (type->kind != MSGPACK_UNSIGNED || type->u64 > SOCKETIO_CONNECT_ERROR ||
        !nsp_is_valid(&map->values[KEY_NSP]))
        return ERROR_MALFORMED;
    head->type = (enum socketio_type)type->u64;
    head->nsp = map->values[KEY_NSP].bytes;
    head->ack = SOCKETIO_NO_ACK;
    if (is_absent(id))
        return 0;
    if (id->kind != MSGPACK_UNSIGNED || id->u64 > ACK_MAX)
        return ERROR_MALFORMED;
    head->ack = (long long)id->u64;
    return 0;
}

/* What makes a text of it; the name of an event alone, which must be a str or a number. */
static int append_name(struct msgpack_cursor data, struct buffer *out, struct wire_list *attachments)
{
    struct msgpack_cursor name;
    struct msgpack_token token;

    if (msgpack_next(&data, &token) < 0 || token.count == 0)
        return ERROR_MALFORMED;
    name = data;
    if (msgpack_next(&data, &token) < 0 || (token.kind != MSGPACK_STRING && token.kind != MSGPACK_UNSIGNED &&
                                            token.kind != MSGPACK_NEGATIVE && token.kind != MSGPACK_FLOAT))
        return ERROR_MALFORMED;
    buffer_append_char(out, '[');
    if (msgpack_json_append(&name, JSON_DEPTH_MAX, SIZE_MAX, out, attachments) < 0)
        return ERROR_MALFORMED;
    buffer_append_char(out, ']');
    return 0;
}

static bool payload_is_valid(enum socketio_type type, const struct msgpack_token *data)
{
    switch (type) {
    case SOCKETIO_CONNECT:
        return is_absent(data) || data->kind == MSGPACK_MAP;
    case SOCKETIO_DISCONNECT:
        return is_absent(data);
    case SOCKETIO_CONNECT_ERROR:
        return data->kind == MSGPACK_MAP || data->kind == MSGPACK_STRING;
    default:
        return data->kind == MSGPACK_ARRAY;
    }
}

/* The payload's JSON text; what is refused is cut down to the event's name. */
static int append_payload(const struct head *head, const struct map *map, unsigned depth, size_t limit,
                          struct buffer *out, struct wire_list *attachments)
{
    const struct msgpack_token *data = &map->values[KEY_DATA];
    struct msgpack_cursor cursor = map->data;
    int code;

    if (!payload_is_valid(head->type, data))
        return ERROR_MALFORMED;
    if (is_absent(data))
        return 0;
    code = msgpack_json_append(&cursor, depth, limit, out, attachments);
    if (code == 0) /* the text has attachments in a list only */
        return attachments->count && data->kind != MSGPACK_ARRAY ? ERROR_MALFORMED : 0;
    if ((head->type != SOCKETIO_EVENT && head->type != SOCKETIO_ACK) || code == ERROR_UTF8)
        return ERROR_MALFORMED;
    buffer_clear(out);
    wire_list_clear(attachments);
    if (head->type == SOCKETIO_ACK) {
        buffer_append_literal(out, "[]");
        return code;
    }
    return append_name(map->data, out, attachments) < 0 ? ERROR_MALFORMED : code;
}

/* Puts what stands before a payload in front of it. */
static void prepend_head(const struct head *head, unsigned attachments, struct buffer *text)
{
    char front[HEAD_MAX];
    size_t payload = text->length, length;

    if (head->type == SOCKETIO_EVENT)
        socketio_append_event_head(text, head->nsp, head->ack, attachments);
    else if (head->type == SOCKETIO_ACK)
        socketio_append_ack_head(text, head->nsp, head->ack, attachments);
    else
        socketio_append_head(text, head->type, head->nsp);
    length = text->length - payload - 1; /* without the digit of Engine.IO */
    memcpy(front, text->data + payload + 1, length);
    memmove(text->data + length, text->data, payload);
    memcpy(text->data, front, length);
    text->length = payload + length;
}

int socketio_msgpack_read(struct bytes packet, unsigned depth, size_t limit, struct buffer *text,
                          struct wire_list *attachments)
{
    struct map map;
    struct head head;
    int code;

    buffer_clear(text);
    wire_list_clear(attachments);
    if (read_map(packet, &map) < 0 || read_head(&map, &head) < 0 ||
        (head.type == SOCKETIO_ACK && head.ack == SOCKETIO_NO_ACK))
        return ERROR_MALFORMED;
    code = append_payload(&head, &map, depth, limit, text, attachments);
    if (code != ERROR_MALFORMED)
        prepend_head(&head, attachments->count, text);
    return code;
}

/* -- writing --------------------------------------------------------------------------------- */

static void append_string(struct buffer *out, struct bytes text)
{
    char *at = buffer_reserve(out, MSGPACK_HEAD_MAX);

    buffer_extend(out, (size_t)(msgpack_write_string_head(at, (uint32_t)text.length) - at));
    buffer_append_bytes(out, text);
}

static void append_unsigned(struct buffer *out, uint64_t value)
{
    char *at = buffer_reserve(out, MSGPACK_HEAD_MAX);

    buffer_extend(out, (size_t)(msgpack_write_unsigned(at, value) - at));
}

static void append_nil(struct buffer *out)
{
    buffer_append_char(out, '\xc0');
}

/* The types that carry attachments in the text have none of their own here. */
static enum socketio_type plain_type(enum socketio_type type)
{
    if (type == SOCKETIO_BINARY_EVENT)
        return SOCKETIO_EVENT;
    return type == SOCKETIO_BINARY_ACK ? SOCKETIO_ACK : type;
}

void socketio_msgpack_append(struct bytes message, struct bytes attachments, struct buffer *out)
{
    struct socketio_head head;
    bool has_id, has_data;
    char *at;

    if (message.length == 0 ||
        socketio_head_parse(bytes_make(message.data + 1, message.length - 1), &head) < 0) {
        append_nil(out);
        return;
    }
    has_id = head.ack != SOCKETIO_NO_ACK;
    has_data = head.payload.data;
    at = buffer_reserve(out, MSGPACK_HEAD_MAX);
    buffer_extend(out, (size_t)(msgpack_write_map_head(at, 2U + has_data + has_id) - at));
    append_string(out, keys[KEY_TYPE]);
    append_unsigned(out, plain_type(head.type));
    if (has_data) {
        append_string(out, keys[KEY_DATA]);
        if (json_msgpack_append(head.payload, attachments, out) < 0)
            append_nil(out);
    }
    append_string(out, keys[KEY_NSP]);
    append_string(out, head.nsp);
    if (has_id) {
        append_string(out, keys[KEY_ID]);
        append_unsigned(out, (uint64_t)head.ack);
    }
}
