/*
 * Reads the body of POST /api/publish; see publication.h.  The gateway's admin port calls it.  Its one
 * surprising rule: the arguments stay the bytes that came, so that no number loses digits on the way.
 */
#include "proto/publication.h"

#include "proto/json_scan.h"
#include "proto/name.h"
#include "proto/rules.h"
#include "proto/socketio.h"
#include "proto/utf8.h"

static const char *const class_names[] = {
    [WIRE_SEND_LOGGED] = "logged", [WIRE_SEND_ARCHIVED] = "archived", [WIRE_SEND_VOLATILE] = "volatile"};

void publication_done(struct publication *publication)
{
    wire_list_done(&publication->rooms);
    wire_list_done(&publication->except);
    buffer_done(&publication->text);
}

/* A string's bytes, in the publication's text; ERROR_PROTOCOL for anything else. */
static int decode(struct publication *publication, struct json_value value, size_t limit, struct bytes *out)
{
    char *room = publication->text.data + publication->text.length;
    size_t length;

    if (value.kind != JSON_STRING || json_string_decode(value, room, limit, &length) < 0)
        return ERROR_PROTOCOL;
    buffer_extend(&publication->text, length);
    *out = bytes_make(room, length);
    return 0;
}

/* 0 and a kind other than JSON_ABSENT when the key is there. */
static int find(struct json_value object, const char *key, struct json_value *out)
{
    int result = json_object_find(object, key, out);

    if (result == ERROR_NOT_FOUND) {
        *out = (struct json_value){0};
        return 0;
    }
    return result < 0 ? ERROR_PROTOCOL : 0;
}

static int add_name(struct publication *publication, struct wire_list *list, struct json_value value)
{
    size_t mark = publication->text.length;
    struct bytes name;

    if (list->count >= PUBLICATION_NAMES_MAX || decode(publication, value, ROOM_NAME_MAX, &name) < 0 ||
        !room_name_valid(name))
        return ERROR_PROTOCOL;
    wire_list_put_text(list, name);
    publication->text.length = mark; /* the list has a copy */
    return 0;
}

static int add_names(struct publication *publication, struct wire_list *list, struct json_value array)
{
    struct json_cursor cursor = json_array_cursor(array);
    struct json_value value;

    if (array.kind != JSON_ARRAY)
        return ERROR_PROTOCOL;
    while (json_cursor_next(&cursor, &value) == 0)
        if (add_name(publication, list, value) < 0)
            return ERROR_PROTOCOL;
    return 0;
}

static int read_target(struct publication *publication, struct json_value body)
{
    struct json_value room, rooms, sid;

    if (find(body, "room", &room) < 0 || find(body, "rooms", &rooms) < 0 || find(body, "sid", &sid) < 0 ||
        (room.kind != JSON_ABSENT) + (rooms.kind != JSON_ABSENT) + (sid.kind != JSON_ABSENT) != 1)
        return ERROR_PROTOCOL;
    if (rooms.kind != JSON_ABSENT)
        return add_names(publication, &publication->rooms, rooms);
    publication->to_socket = sid.kind != JSON_ABSENT;
    return add_name(publication, &publication->rooms, publication->to_socket ? sid : room);
}

static int read_namespace(struct publication *publication, struct json_value body)
{
    struct json_value value;

    if (find(body, "namespace", &value) < 0)
        return ERROR_PROTOCOL;
    if (value.kind == JSON_ABSENT)
        publication->namespace = BYTES("/");
    else if (decode(publication, value, SOCKETIO_NAMESPACE_MAX, &publication->namespace) < 0 ||
             !namespace_name_valid(publication->namespace))
        return ERROR_PROTOCOL;
    return 0;
}

static int read_event(struct publication *publication, struct json_value body)
{
    struct json_value value;

    if (find(body, "event", &value) < 0 ||
        decode(publication, value, SOCKETIO_NAME_MAX, &publication->event) < 0 ||
        publication->event.length == 0 || socketio_name_reserved(publication->event))
        return ERROR_PROTOCOL;
    return 0;
}

static int read_arguments(struct publication *publication, struct json_value body)
{
    struct json_value value;

    if (find(body, "args", &value) < 0 || (value.kind != JSON_ABSENT && value.kind != JSON_ARRAY))
        return ERROR_PROTOCOL;
    if (value.kind == JSON_ARRAY) {
        const char *from = value.text.data + 1, *to = value.text.data + value.text.length - 1;

        while (from < to && strchr(" \t\r\n", *from))
            from++;
        while (from < to && strchr(" \t\r\n", to[-1]))
            to--;
        publication->arguments = bytes_make(from, (size_t)(to - from));
    }
    return 0;
}

static int read_id(struct publication *publication, struct json_value body)
{
    struct json_value value;

    if (find(body, "id", &value) < 0)
        return ERROR_PROTOCOL;
    if (value.kind != JSON_ABSENT &&
        (decode(publication, value, DEDUP_MAX, &publication->id) < 0 || publication->id.length < DEDUP_MIN ||
         !room_name_valid(publication->id)))
        return ERROR_PROTOCOL;
    return 0;
}

static int read_class(struct publication *publication, struct json_value body)
{
    struct json_value value;

    if (find(body, "class", &value) < 0)
        return ERROR_PROTOCOL;
    if (value.kind == JSON_ABSENT)
        return 0;
    for (unsigned i = 0; i < sizeof class_names / sizeof *class_names; i++) {
        size_t length = strlen(class_names[i]);

        if (value.kind == JSON_STRING && value.text.length == length + 2 &&
            memcmp(value.text.data + 1, class_names[i], length) == 0) {
            publication->has_class = true;
            publication->class = (enum wire_send_class)i;
            return 0;
        }
    }
    return ERROR_PROTOCOL;
}

static int read_exceptions(struct publication *publication, struct json_value body)
{
    struct json_value value;

    if (find(body, "except", &value) < 0)
        return ERROR_PROTOCOL;
    return value.kind == JSON_ABSENT ? 0 : add_names(publication, &publication->except, value);
}

static const struct {
    int (*read)(struct publication *publication, struct json_value body);
    const char *message;
} parts[] = {
    {read_namespace, "namespace is a text like \"/chat\""},
    {read_target,
     "one of room (a text), rooms (at most 64 texts; none for the whole namespace) and sid; a room "
     "is a text of 1 to 255 bytes without control characters"},
    {read_event, "event is a text of 1 to 255 bytes that Socket.IO does not reserve"},
    {read_arguments, "args is an array"},
    {read_id, "id is a text of 8 to 64 bytes without control characters"},
    {read_class, "class is \"archived\", \"logged\" or \"volatile\""},
    {read_exceptions, "except is an array of at most 64 rooms and sids"},
};

int publication_read(struct publication *publication, struct bytes body, const char **message)
{
    struct json_value value;
    int result;

    if (!utf8_valid(body))
        return ERROR_MALFORMED;
    result = json_scan(body, &value);
    if (result < 0)
        return result;
    if (value.kind != JSON_OBJECT)
        return ERROR_MALFORMED;
    buffer_reserve(&publication->text, body.length); /* decoded texts are no longer, so nothing moves */
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].read(publication, value) == 0)
            continue;
        *message = parts[i].message;
        return ERROR_PROTOCOL;
    }
    if (publication->to_socket && publication->has_class && publication->class == WIRE_SEND_ARCHIVED) {
        *message = "what goes to one socket can't be archived";
        return ERROR_PROTOCOL;
    }
    return 0;
}
