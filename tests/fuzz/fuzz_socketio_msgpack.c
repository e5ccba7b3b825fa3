/* Any bytes as a packet of socket.io-msgpack-parser: what is read is a packet as text, and read again from
 * what is written of it; and any bytes as a text for such a client. */
#include "fuzz.h"
#include "proto/msgpack_token.h"
#include "proto/placeholder.h"
#include "proto/socketio.h"
#include "proto/socketio_msgpack.h"

enum { LIMIT = 1 << 16 };

/* Written for a client, and read as if it had sent that. */
static void check_again(struct bytes text, struct bytes attachments)
{
    struct buffer message = {0}, packet = {0}, again = {0};
    struct wire_list list = {0};

    buffer_append_char(&message, '4');
    buffer_append_bytes(&message, text);
    socketio_msgpack_append(buffer_bytes(&message), attachments, &packet);
    require(socketio_msgpack_read(buffer_bytes(&packet), JSON_DEPTH_MAX, LIMIT, &again, &list) == 0);
    require(bytes_equal(buffer_bytes(&again), text));
    require(bytes_equal(wire_list_finish(&list), attachments));
    wire_list_done(&list);
    buffer_done(&message);
    buffer_done(&packet);
    buffer_done(&again);
}

static void check_read(struct bytes input)
{
    struct buffer text = {0};
    struct wire_list attachments = {0};
    int code = socketio_msgpack_read(input, JSON_DEPTH_MAX, LIMIT, &text, &attachments);
    struct socketio_packet packet;

    if (code == 0 && socketio_packet_parse(buffer_bytes(&text), JSON_DEPTH_MAX, &packet) == 0) {
        require(packet.attachments == attachments.count);
        require(packet.type <= SOCKETIO_CONNECT_ERROR || attachments.count);
        if (packet.event.name.kind != JSON_ABSENT)
            require(socketio_event_finish(&packet, NULL, 0, NULL) == 0);
        if (attachments.count == 0 || placeholders_count(packet.payload) == attachments.count)
            check_again(buffer_bytes(&text), wire_list_finish(&attachments));
    } else if (code != 0 && code != ERROR_MALFORMED) {
        require(code == ERROR_TOO_DEEP || code == ERROR_TOO_LARGE || code == ERROR_UNSUPPORTED);
        require(attachments.count == 0);
        if (socketio_packet_parse(buffer_bytes(&text), JSON_DEPTH_MAX, &packet) == 0)
            require((packet.type == SOCKETIO_EVENT || packet.type == SOCKETIO_ACK) && packet.payload.data);
    }
    wire_list_done(&attachments);
    buffer_done(&text);
}

static void check_written(struct bytes text)
{
    struct buffer packet = {0};
    struct msgpack_cursor cursor;

    socketio_msgpack_append(text, (struct bytes){0}, &packet);
    cursor = msgpack_cursor_make(buffer_bytes(&packet));
    require(msgpack_skip(&cursor) == 0 && cursor.at == cursor.end);
    buffer_done(&packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = copy_of(bytes_make((const char *)data, size));

    check_read(bytes_make(copy, size));
    check_written(bytes_make(copy, size));
    free(copy);
    return 0;
}
