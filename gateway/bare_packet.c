/*
 * What bare clients ask for; see bare_packet.h.  bare_service.c brings their frames.  The surprising rule:
 * room and id of a published message may stand in the frame, in its data where the event's rule looks for
 * them, or in both, but then they must be the same: nobody who reads the arguments takes a message for
 * another room's.
 */
#include "gateway/bare_packet.h"

#include "gateway/ask.h"
#include "gateway/authentication.h"
#include "gateway/bare_client.h"
#include "gateway/bare_close.h"
#include "gateway/builtin.h"
#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "gateway/socket.h"
#include "proto/bare.h"

static const char bad_id[] = "a message's own id is a text of 8 to 64 bytes";

struct call {
    struct gateway *gateway;
    struct socket *socket;
    const struct bare_frame *frame;
};

static void refuse(const struct call *call, enum refusal_code code, const char *message)
{
    const struct bare_frame *frame = call->frame;
    struct bytes name = {0};

    if (frame->type == BARE_PUBLISH)
        name = frame->event;
    else if (frame->type < BARE_TYPES)
        name = bytes_from_text(bare_type_text(frame->type));

    socket_refuse(call->gateway, call->socket, frame->ref, name, code, message);
}

/* -- publishing ------------------------------------------------------------------------------- */

static bool decode_room(struct json_value value, char *space, struct bytes *out)
{
    *out = room_name_decode(value, space);
    return out->length > 0;
}

/* The frame's room, else that in its data, else the address's.  False when it was refused. */
static bool find_room(const struct call *call, struct json_value in_data, char space[ROOM_NAME_MAX],
                      struct bytes *out)
{
    struct json_value in_frame = call->frame->values[BARE_KEY_ROOM];
    char data_space[ROOM_NAME_MAX];
    struct bytes other;

    if (in_frame.kind == JSON_ABSENT && in_data.kind == JSON_ABSENT) {
        *out = bare_client_room(call->socket->connection->bare_client);
        if (out->length)
            return true;
    } else if (in_frame.kind == JSON_ABSENT) {
        if (decode_room(in_data, space, out))
            return true;
    } else if (decode_room(in_frame, space, out)) {
        if (in_data.kind == JSON_ABSENT)
            return true;
        if (decode_room(in_data, data_space, &other) && bytes_equal(*out, other))
            return true;
        refuse(call, REFUSAL_BAD_REQUEST, "the frame and its data name different rooms");
        return false;
    }
    refuse(call, REFUSAL_BAD_ROOM, NULL);
    return false;
}

static bool decode_id(struct json_value value, char space[DEDUP_MAX], struct bytes *out)
{
    size_t length;

    if (value.kind != JSON_STRING || json_string_decode(value, space, DEDUP_MAX, &length) < 0 ||
        length < DEDUP_MIN)
        return false;
    *out = bytes_make(space, length);
    return true;
}

/* The frame's id, else that in its data, else none.  False when it was refused. */
static bool find_id(const struct call *call, const struct event_rule *rule, struct json_value in_data,
                    char space[DEDUP_MAX], struct bytes *out)
{
    struct json_value in_frame = call->frame->values[BARE_KEY_ID];
    char data_space[DEDUP_MAX];
    struct bytes other;

    if (in_frame.kind != JSON_ABSENT && (!rule || !rule->paths[RULE_PATH_DEDUP].argument))
        refuse(call, REFUSAL_BAD_REQUEST, "this event takes no id");
    else if ((in_frame.kind != JSON_ABSENT && !decode_id(in_frame, space, out)) ||
             (in_data.kind != JSON_ABSENT && !decode_id(in_data, data_space, &other)))
        refuse(call, REFUSAL_BAD_REQUEST, bad_id);
    else if (in_frame.kind == JSON_ABSENT && in_data.kind != JSON_ABSENT)
        return decode_id(in_data, space, out);
    else if (in_data.kind != JSON_ABSENT && !bytes_equal(*out, other))
        refuse(call, REFUSAL_BAD_REQUEST, "the frame and its data have different ids");
    else
        return true;
    return false;
}

/* Whether the event is one that a client may publish at all; refused if not. */
static bool is_event(const struct call *call)
{
    const struct bare_frame *frame = call->frame;
    enum bare_type type = bare_type_find(frame->event);
    bool is_builtin = type != BARE_TYPES && type != BARE_PUBLISH && type != BARE_AUTHENTICATE;

    if (frame->event_error)
        refuse(call, frame->event_error == ERROR_TOO_LARGE ? REFUSAL_TOO_LARGE : REFUSAL_BAD_REQUEST,
               "an event's name is a text of at most 255 bytes");
    else if (socketio_name_reserved(frame->event))
        refuse(call, REFUSAL_BAD_REQUEST, "this name is reserved");
    else if (is_builtin && call->socket->namespace->config->builtin)
        refuse(call, REFUSAL_BAD_REQUEST, "this is a type of frame, not an event");
    else if (frame->values[BARE_KEY_DATA].kind == JSON_ABSENT &&
             frame->values[BARE_KEY_TYPE].kind == JSON_ABSENT &&
             frame->values[BARE_KEY_EVENT].kind == JSON_ABSENT)
        refuse(call, REFUSAL_BAD_REQUEST, "what is published stands under the key data");
    else
        return true;
    return false;
}

static void publish(const struct call *call)
{
    const struct bare_frame *frame = call->frame;
    struct json_value data = frame->values[BARE_KEY_DATA], found[RULE_PATHS] = {{{0}}};
    char room_space[ROOM_NAME_MAX], id_space[DEDUP_MAX];
    struct wire_event event = {.event = frame->event, .arguments = data.text};
    const struct event_rule *rule;

    if (!is_event(call))
        return;
    rule = rules_find(&call->socket->namespace->config->rules, frame->event);
    if (rule && data.kind != JSON_ABSENT && json_paths_find(data, rule->paths, RULE_PATHS, found) < 0) {
        refuse(call, REFUSAL_BAD_REQUEST, "a key that the event's rule reads stands there twice");
        return;
    }
    if (rule && rule->paths[RULE_PATH_ROOM].argument &&
        !find_room(call, found[RULE_PATH_ROOM], room_space, &event.room))
        return;
    if (!find_id(call, rule, found[RULE_PATH_DEDUP], id_space, &event.id))
        return;
    if (ask_event(call->gateway, call->socket, frame->ref, rule, event) < 0)
        refuse(call, REFUSAL_UNAVAILABLE, NULL);
}

/* -- frames ----------------------------------------------------------------------------------- */

static void handle_builtin(const struct call *call)
{
    const struct bare_frame *frame = call->frame;

    if (!call->socket->namespace->config->builtin)
        refuse(call, REFUSAL_UNKNOWN_EVENT, NULL);
    else if (frame->ref == SOCKETIO_NO_ACK && (frame->type == BARE_HISTORY || frame->type == BARE_PRESENCE))
        refuse(call, REFUSAL_BAD_REQUEST, "without a ref there is no answer");
    else
        (void)builtin_handle(&(struct builtin_call){call->gateway, call->socket, frame->ref,
                                                    bytes_from_text(bare_type_text(frame->type)),
                                                    bare_client_room(call->socket->connection->bare_client)},
                             frame->whole);
}

static void authenticate(const struct call *call)
{
    if (authentication_enabled(call->gateway))
        authentication_renew(call->gateway, call->socket, call->frame->ref,
                             bytes_from_text(bare_type_text(BARE_AUTHENTICATE)), call->frame->whole);
    else
        refuse(call, REFUSAL_UNKNOWN_EVENT, NULL);
}

static struct bytes what_is_wrong(int code)
{
    switch (code) {
    case ERROR_TOO_DEEP:
        return BYTES("nested deeper than allowed");
    case ERROR_EXISTS:
        return BYTES("a key of the frame stands there twice");
    case ERROR_UNSUPPORTED:
        return BYTES("ref is a whole number from 0 to 2^53 - 1");
    default:
        return BYTES("a frame is one JSON object");
    }
}

void bare_receive(struct gateway *gateway, struct connection *connection, struct bytes text)
{
    struct bare_frame frame;
    struct call call = {gateway, connection->sockets, &frame};
    int code = bare_frame_parse(text, gateway->settings->max_depth, &frame);

    gateway->counters.messages_in++;
    if (code < 0)
        bare_close(gateway, connection, BARE_CLOSE_BAD_REQUEST, what_is_wrong(code), CLOSE_PARSE_ERROR);
    else if (!quota_take_event(gateway, connection))
        refuse(&call, REFUSAL_RATE_LIMITED, NULL);
    else if (frame.type == BARE_PUBLISH)
        publish(&call);
    else if (frame.type == BARE_AUTHENTICATE)
        authenticate(&call);
    else if (frame.type < BARE_TYPES)
        handle_builtin(&call);
    else if (frame.ref == SOCKETIO_NO_ACK)
        bare_close(gateway, connection, BARE_CLOSE_BAD_REQUEST, BYTES("there is no such type of frame"),
                   CLOSE_PARSE_ERROR);
    else
        refuse(&call, REFUSAL_BAD_REQUEST, "there is no such type of frame");
}
