/*
 * What bare clients are told; see bare_speech.h.  socket.c calls it for sockets of such connections.  The
 * surprising rule: unlike with Socket.IO nothing waits for the answer to CONNECT: what is for the client
 * alone may come before it hears that it is in.  What it says itself is not read before that.
 */
#include "gateway/bare_speech.h"

#include "gateway/ask.h"
#include "gateway/authentication.h"
#include "gateway/bare_client.h"
#include "gateway/bare_close.h"
#include "gateway/bare_resume.h"
#include "gateway/connection.h"
#include "gateway/engine.h"
#include "gateway/gateway.h"
#include "proto/bare.h"
#include "proto/json_text.h"

static void send_text(struct gateway *gateway, struct connection *connection, struct bytes text)
{
    engine_send(gateway, connection, &text, 1, (struct bytes){0});
}

/* -- being in --------------------------------------------------------------------------------- */

void bare_append_open(const struct socket *socket, struct buffer *out)
{
    const struct bare_client *client = socket->connection->bare_client;

    buffer_append_literal(out, "{\"type\":\"open\",\"sid\":\"");
    buffer_append(out, socket->sid, socket->sid_length);
    buffer_append_literal(out, "\",\"from\":");
    if (authentication_sub(socket).length) {
        json_append_string(out, authentication_sub(socket));
    } else {
        buffer_append_literal(out, "\"anon:");
        buffer_append(out, socket->sid, socket->sid_length);
        buffer_append_char(out, '"');
    }
    if (client->room_length) {
        buffer_append_literal(out, ",\"room\":");
        json_append_string(out, bare_client_room(client));
        buffer_append_literal(out, ",\"seq\":");
        buffer_append_u64(out, client->seq);
        buffer_append_literal(out, ",\"members\":");
        buffer_append_u64(out, client->members);
    }
    buffer_append_char(out, '}');
}

/* It is connected, and in its room. */
static void open_client(struct gateway *gateway, struct socket *socket)
{
    struct connection *connection = socket->connection;
    const struct bare_client *client = connection->bare_client;
    struct buffer text = {0};

    if (client->resumes && client->after != client->seq) {
        bare_resume_begin(gateway, socket);
    } else {
        bare_append_open(socket, &text);
        send_text(gateway, connection, buffer_bytes(&text));
        buffer_done(&text);
    }
    connection_start_reading(gateway, connection);
}

uint64_t bare_answer_number(struct json_value answer, const char *key)
{
    struct json_value value;
    long long number;

    if (json_object_find(answer, key, &value) < 0 || json_integer_decode(value, &number) < 0 || number < 0)
        return 0;
    return (uint64_t)number;
}

/* Whoever decides has let it in: only now may it ask for its room. */
static void connected(struct gateway *gateway, struct socket *socket)
{
    struct bytes room = bare_client_room(socket->connection->bare_client);

    if (room.length == 0)
        open_client(gateway, socket);
    else if (ask_join(gateway, socket, BARE_ACK_OPEN, (struct wire_join){.room = room}) < 0)
        bare_close_for(gateway, socket->connection, CLOSE_ROUTER_SILENT);
}

static void on_joined(struct gateway *gateway, struct socket *socket, struct bytes answer)
{
    struct bare_client *client = socket->connection->bare_client;
    struct json_value object, value;

    if (json_scan(answer, &object) < 0)
        object = (struct json_value){0};
    if (json_object_find(object, "ok", &value) < 0 || value.kind != JSON_TRUE) {
        if (json_object_find(object, "error", &value) < 0)
            value = (struct json_value){0};
        bare_close_refused(gateway, socket->connection, value.text);
        return;
    }
    client->seq = bare_answer_number(object, "seq");
    client->members = bare_answer_number(object, "members");
    open_client(gateway, socket);
}

/* -- the speech ------------------------------------------------------------------------------- */

static void acknowledge(struct gateway *gateway, struct socket *socket, long long ack, struct bytes answer,
                        struct bytes attachments)
{
    struct buffer text = {0};

    switch (ack) {
    case BARE_ACK_OPEN:
        on_joined(gateway, socket, answer);
        break;
    case BARE_ACK_PAGE:
        bare_resume_on_page(gateway, socket, answer, attachments);
        break;
    default:
        bare_append_ack(&text, ack, answer, attachments);
        send_text(gateway, socket->connection, buffer_bytes(&text));
        buffer_done(&text);
    }
}

static void emit(struct gateway *gateway, struct socket *socket, struct bytes payload, uint64_t flags,
                 struct bytes attachments)
{
    struct bare_event event;

    if (bare_event_make(payload, flags & WIRE_DELIVER_META, flags & WIRE_DELIVER_OFFSET, attachments,
                        &event) < 0)
        return; /* the router says nonsense */
    engine_send(gateway, socket->connection, event.parts, event.count, (struct bytes){0});
    bare_event_done(&event);
}

/* Names of namespaces and messages of backends come as the object of CONNECT_ERROR. */
static void refused(struct gateway *gateway, struct socket *socket, struct bytes error)
{
    struct json_value object, message, data;

    if (json_scan(error, &object) < 0)
        object = (struct json_value){0};
    if (json_object_find(object, "message", &message) < 0)
        message = (struct json_value){0};
    if (json_string_is(message, BYTES("Invalid namespace")))
        bare_close(gateway, socket->connection, BARE_CLOSE_NO_NAMESPACE, (struct bytes){0}, CLOSE_REFUSED);
    else if (json_string_is(message, BYTES("Too many namespaces")))
        bare_close(gateway, socket->connection, BARE_CLOSE_BUSY, (struct bytes){0}, CLOSE_REFUSED);
    else if (json_object_find(object, "data", &data) == 0 && data.kind == JSON_OBJECT)
        bare_close_refused(gateway, socket->connection, data.text);
    else
        bare_close(gateway, socket->connection, BARE_CLOSE_FORBIDDEN, (struct bytes){0}, CLOSE_REFUSED);
}

static void disconnected(struct gateway *gateway, struct socket *socket)
{
    bare_close(gateway, socket->connection, BARE_CLOSE_REMOVED, (struct bytes){0}, CLOSE_ROUTER_CLOSE);
}

const struct socket_speech bare_speech = {
    .connected = connected,
    .refused = refused,
    .acknowledge = acknowledge,
    .emit = emit,
    .disconnected = disconnected,
};
