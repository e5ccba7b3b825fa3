/* The gateway of the tests; see fixture.h. The link never finds a router, so it only counts what it is told.
 */
#include "tests/unit/gateway/fixture.h"

#include "gateway/deliver.h"
#include "gateway/engine.h"
#include "gateway/websocket_transport.h"
#include "proto/engineio_payload.h"
#include "proto/msgpack_json.h"
#include "proto/websocket.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { GATEWAYS = 2 };

static struct gateway_settings settings[GATEWAYS];
static struct gateway gateways[GATEWAYS]; /* without a loop: not started */
static char text[1 << 20];

struct gateway *fixture_start(void)
{
    char program[] = "hubbub-gateway", router[] = "--router=ipc://nobody-listens-here.ipc";
    char port[] = "--port=1", queue[] = "--outbound-queue=65536";
    char *argv[] = {program, router, port, queue, NULL};
    struct config_result result;
    struct loop *loop = loop_new();
    unsigned at = gateways[0].loop ? 1 : 0;

    assert_non_null(loop);
    assert_null(gateways[at].loop);
    settings[at] = (struct gateway_settings){0};
    assert_int_equal(config_load(&gateway_config, 4, argv, &settings[at], &result), 0);
    assert_int_equal(gateway_prepare(&gateways[at], &settings[at], loop), 0);
    assert_int_equal(link_new(&gateways[at], &gateways[at].link), 0);
    return &gateways[at];
}

void fixture_stop(struct gateway *gateway)
{
    struct loop *loop = gateway->loop;

    gateway_done(gateway);
    loop_free(loop);
    gateway_settings_done(fixture_settings(gateway));
    *gateway = (struct gateway){0};
}

struct gateway_settings *fixture_settings(const struct gateway *gateway)
{
    return &settings[gateway - gateways];
}

struct peer fixture_peer(struct gateway *owner)
{
    struct peer peer;
    int ends[2];
    static const struct connection_protocol none;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    peer.fd = ends[0];
    peer.connection = connection_new(owner, ends[1], &none);
    assert_non_null(peer.connection);
    peer.connection->protocol = &websocket_session;
    owner->counters.websockets++;
    engine_start(owner, peer.connection);
    peer.socket =
        socket_new(owner, peer.connection, namespace_find(&owner->namespaces, BYTES("/")), (struct bytes){0});
    socket_on_connected(
        owner, peer.socket,
        &(struct wire_connected){.sid = BYTES("sid"), .from = BYTES("anon:sid"), .generation = 1});
    fixture_flush(owner);
    while (read(peer.fd, text, sizeof text) > 0)
        ;
    return peer;
}

void fixture_peer_done(struct peer *peer)
{
    close(peer->fd);
}

void fixture_deliver(struct gateway *gateway, struct bytes room, const char *payload, uint64_t flags,
                     uint64_t except, struct bytes attachments)
{
    struct room *found = room_find(namespace_find(&gateway->namespaces, BYTES("/")), room);

    assert_non_null(found);
    deliver_to_room(gateway, found,
                    &(struct wire_deliver){.pos = 1,
                                           .namespace = BYTES("/"),
                                           .room = room,
                                           .flags = flags,
                                           .except = except,
                                           .payload = bytes_from_text(payload),
                                           .attachments = attachments});
}

void fixture_flush(struct gateway *owner)
{
    fanout_flush(owner);
    connections_flush(owner);
    connections_reap(owner);
}

const char *fixture_read(struct peer *peer)
{
    static char out[1 << 20];
    ssize_t length = read(peer->fd, text, sizeof text);
    size_t used = 0;

    for (ssize_t at = 0; at < length;) {
        const unsigned char *frame = (const unsigned char *)text + at;
        size_t payload = frame[1], header = 2;

        if (payload == 126) {
            payload = (size_t)frame[2] << 8 | frame[3];
            header = 4;
        }
        assert_int_equal(frame[0] & 0x80, 0x80);
        assert_true(payload < 65536);
        if (used)
            out[used++] = '|';
        memcpy(out + used, frame + header, payload);
        used += payload;
        at += (ssize_t)(header + payload);
    }
    out[used] = '\0';
    return out;
}

struct wire_event fixture_asked_event(struct gateway *gateway)
{
    struct wire_reader reader;
    struct wire_event event;
    struct request *request;
    uint64_t cursor = 0;
    unsigned type;

    assert_int_equal(gateway->requests.count, 1);
    request = requests_walk(&gateway->requests, &cursor);
    wire_reader_open_record(&reader, bytes_make(request->record, request->length));
    assert_int_equal(wire_reader_next(&reader, &type), 1);
    assert_int_equal(type, WIRE_TYPE_EVENT);
    assert_int_equal(wire_get_event(&reader, &event), 0);
    return event;
}

struct peer fixture_member(struct gateway *gateway, enum encoding encoding, struct bytes room)
{
    struct peer peer = fixture_peer(gateway);

    peer.connection->encoding = (uint8_t)encoding;
    room_add(gateway, peer.socket, room, 0, true);
    return peer;
}

/* A packet as JSON, with the number of its attachments behind it when there are some. */
static void append_packet(struct buffer *out, struct bytes packet)
{
    struct msgpack_cursor cursor = msgpack_cursor_make(packet);
    struct wire_list attachments = {0};

    assert_int_equal(msgpack_json_append(&cursor, JSON_DEPTH_MAX, SIZE_MAX, out, &attachments), 0);
    assert_ptr_equal(cursor.at, cursor.end);
    if (attachments.count)
        buffer_printf(out, "+%u", attachments.count);
    wire_list_done(&attachments);
}

const char *fixture_read_any(struct peer *peer)
{
    static char bytes[1 << 16];
    struct buffer out = {0}, decoded = {0};
    ssize_t length;

    if (!encoding_is_msgpack(peer->connection->encoding))
        return fixture_read(peer);
    length = read(peer->fd, bytes, sizeof bytes);
    if (encoding_is_polling(peer->connection->encoding)) {
        struct engineio_payload payload;
        struct engineio_payload_packet packet;

        engineio_payload_open_queue(&payload, bytes_make(bytes, length > 0 ? (size_t)length : 0));
        while (engineio_payload_next(&payload, &decoded, &packet) > 0) {
            assert_true(packet.binary);
            if (out.length)
                buffer_append_char(&out, '|');
            append_packet(&out, packet.packet.data);
        }
    } else
        for (ssize_t at = 0; at < length; at += 2 + bytes[at + 1]) {
            assert_int_equal((unsigned char)bytes[at], 0x82);
            assert_true(bytes[at + 1] >= 0 && bytes[at + 1] < 126);
            if (out.length)
                buffer_append_char(&out, '|');
            append_packet(&out, bytes_make(bytes + at + 2, (size_t)bytes[at + 1]));
        }
    assert_true(out.length < sizeof text);
    if (out.length)
        memcpy(text, out.data, out.length);
    text[out.length] = '\0';
    buffer_done(&out);
    buffer_done(&decoded);
    return text;
}
