/*
 * Join, leave, history and presence; see builtin.h.  packet.c and bare_packet.c bring them.  The surprising
 * rule: nothing here decides by membership or rights, not even when this gateway could know: only the
 * router's word counts.
 */
#include "gateway/builtin.h"

#include "gateway/ask.h"
#include "gateway/socket.h"
#include "proto/json_scan.h"
#include "proto/name.h"

enum {
    HISTORY_DEFAULT = 50, /* messages of a page */
    HISTORY_MAX = 200,
};

static void refuse(const struct builtin_call *call, enum refusal_code code, const char *message)
{
    socket_refuse(call->gateway, call->socket, call->ack, call->name, code, message);
}

/* Asks the router, with the record that follows. */
#define ASK(kind, call, ...)                                                                                 \
    do {                                                                                                     \
        if (ask_##kind((call)->gateway, (call)->socket, (call)->ack, (struct wire_##kind){__VA_ARGS__}) < 0) \
            refuse((call), REFUSAL_UNAVAILABLE, NULL);                                                       \
    } while (0)

/* The first argument is the room's name, or an object with the key "room". */
static struct bytes room_argument(const struct builtin_call *call, struct json_value argument,
                                  char space[ROOM_NAME_MAX])
{
    struct json_value room;

    if (argument.kind == JSON_OBJECT)
        switch (json_object_find(argument, "room", &room)) {
        case 0:
            argument = room;
            break;
        case ERROR_NOT_FOUND:
            return call->room;
        default:
            return (struct bytes){0};
        }
    return room_name_decode(argument, space);
}

/* A whole number of an object within a range.  0 (*out untouched when the key is absent), or ERROR_MALFORMED.
 */
static int number_member(struct json_value object, const char *key, long long minimum, long long *out)
{
    struct json_value value;
    long long number;
    int found = object.kind == JSON_OBJECT ? json_object_find(object, key, &value) : ERROR_NOT_FOUND;

    if (found == ERROR_NOT_FOUND)
        return 0;
    if (found < 0 || value.kind != JSON_NUMBER || json_integer_decode(value, &number) < 0 || number < minimum)
        return ERROR_MALFORMED;
    *out = number;
    return 0;
}

static void on_join(const struct builtin_call *call, struct json_value argument)
{
    char space[ROOM_NAME_MAX];
    struct bytes room = room_argument(call, argument, space);
    struct json_value presence = {0};
    long long history = 0;

    if (room.length == 0) {
        refuse(call, REFUSAL_BAD_ROOM, NULL);
        return;
    }
    if (number_member(argument, "history", 0, &history) < 0) {
        refuse(call, REFUSAL_BAD_REQUEST, "history is a whole number from 0 to 200");
        return;
    }
    if (argument.kind == JSON_OBJECT && json_object_find(argument, "presence", &presence) == 0 &&
        presence.kind != JSON_TRUE && presence.kind != JSON_FALSE) {
        refuse(call, REFUSAL_BAD_REQUEST, "presence is true or false");
        return;
    }
    ASK(join, call, .room = room, .history = (uint64_t)(history > HISTORY_MAX ? HISTORY_MAX : history),
        .watch = presence.kind == JSON_TRUE);
}

static void on_leave(const struct builtin_call *call, struct json_value argument)
{
    char space[ROOM_NAME_MAX];
    struct bytes room = room_argument(call, argument, space);

    if (room.length == 0) {
        refuse(call, REFUSAL_BAD_ROOM, NULL);
        return;
    }
    ASK(leave, call, .room = room);
}

static void on_history(const struct builtin_call *call, struct json_value argument)
{
    char space[ROOM_NAME_MAX];
    struct bytes room = room_argument(call, argument, space);
    long long before = 0, after = -1, limit = HISTORY_DEFAULT;

    if (room.length == 0) {
        refuse(call, REFUSAL_BAD_ROOM, NULL);
        return;
    }
    if (number_member(argument, "before", 1, &before) < 0 ||
        number_member(argument, "after", 0, &after) < 0 || number_member(argument, "limit", 1, &limit) < 0 ||
        (before > 0 && after >= 0)) {
        refuse(call, REFUSAL_BAD_REQUEST,
               "history takes before (from 1) or after (from 0), and limit (1 to 200)");
        return;
    }
    ASK(history, call, .room = room, .before = (uint64_t)before, .has_after = after >= 0,
        .after = after >= 0 ? (uint64_t)after : 0,
        .limit = (uint64_t)(limit > HISTORY_MAX ? HISTORY_MAX : limit));
}

static void on_presence(const struct builtin_call *call, struct json_value argument)
{
    char space[ROOM_NAME_MAX];
    struct bytes room = room_argument(call, argument, space);

    if (room.length == 0) {
        refuse(call, REFUSAL_BAD_ROOM, NULL);
        return;
    }
    ASK(presence, call, .room = room);
}

static const struct {
    const char *name;
    void (*handle)(const struct builtin_call *call, struct json_value argument);
} builtins[] = {{"join", on_join}, {"leave", on_leave}, {"history", on_history}, {"presence", on_presence}};

bool builtin_handle(const struct builtin_call *call, struct json_value argument)
{
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++)
        if (bytes_equal_text(call->name, builtins[i].name)) {
            builtins[i].handle(call, argument);
            return true;
        }
    return false;
}
