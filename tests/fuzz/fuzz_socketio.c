/* Any text as an Engine.IO message with a Socket.IO packet: what is accepted is within the limits and the
 * text. */
#include "fuzz.h"
#include "proto/engineio.h"
#include "proto/socketio.h"

static void require_within(struct bytes part, struct bytes text)
{
    if (part.length)
        require(part.data >= text.data && part.data + part.length <= text.data + text.length);
}

/* The head that the writers make is read back as it was. */
static void check_head(const struct socketio_packet *packet)
{
    struct socketio_packet again;
    struct buffer out = {0};

    socketio_append_event_head(&out, packet->nsp, packet->ack, packet->attachments);
    buffer_append_literal(&out, "[\"e\"]");
    require(socketio_packet_parse(bytes_make(out.data + 1, out.length - 1), JSON_DEPTH_MAX, &again) == 0);
    require(bytes_equal(again.nsp, packet->nsp) && again.ack == packet->ack &&
            again.attachments == packet->attachments);
    buffer_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_make((const char *)data, size);
    struct engineio_packet message;
    struct socketio_packet packet;
    struct json_path paths[2];
    struct json_value values[2];

    require(json_path_parse(BYTES("$.room"), &paths[0]) == 0);
    require(json_path_parse(BYTES("$.id"), &paths[1]) == 0);
    if (engineio_packet_parse(text, &message) || message.type != ENGINEIO_MESSAGE ||
        socketio_packet_parse(message.data, JSON_DEPTH_MAX, &packet))
        return 0;
    require(packet.nsp.length && packet.nsp.data[0] == '/' && packet.nsp.length <= SOCKETIO_NAMESPACE_MAX);
    require(packet.ack >= SOCKETIO_NO_ACK && packet.ack <= 9007199254740991);
    require(packet.attachments <= SOCKETIO_ATTACHMENTS_MAX);
    require((packet.attachments > 0) ==
            (packet.type == SOCKETIO_BINARY_EVENT || packet.type == SOCKETIO_BINARY_ACK));
    require(packet.name.length <= SOCKETIO_NAME_MAX);
    require_within(packet.payload, text);
    require_within(packet.json.text, packet.payload);
    check_head(&packet);
    if (packet.event.name.kind != JSON_ABSENT && socketio_event_finish(&packet, paths, 2, values) == 0) {
        require_within(packet.event.arguments, packet.payload);
        require_within(values[0].text, packet.event.arguments);
        require_within(values[1].text, packet.event.arguments);
    }
    return 0;
}
