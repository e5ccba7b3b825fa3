/*
 * Members with the msgpack parser in rooms with others: what each gets, that its packet is made once, and
 * that rooms without them know nothing of it.
 */
#include "gateway/engine.h"
#include "tests/unit/gateway/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define ROOM    BYTES("lobby")
#define PAYLOAD "[\"msg\",{\"a\":1.5}]"
#define PLAIN   "42" PAYLOAD
#define PACKED  "{\"type\":2,\"data\":" PAYLOAD ",\"nsp\":\"/\"}"

enum { SOCKETIO_ENCODINGS = ENCODING_MSGPACK_POLLING + 1 }; /* text and msgpack */

static struct gateway *start(void)
{
    struct gateway *gateway = fixture_start();

    gateway->encoder = encoder_new(1 << 20);
    return gateway;
}

static struct room *lobby(struct gateway *gateway)
{
    return room_find(namespace_find(&gateway->namespaces, BYTES("/")), ROOM);
}

static void deliver(struct gateway *gateway, const char *payload, uint64_t flags, uint64_t except,
                    struct bytes attachments)
{
    fixture_deliver(gateway, ROOM, payload, flags, except, attachments);
    fixture_flush(gateway);
}

static void done(struct gateway *gateway, struct peer *peers, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        fixture_peer_done(&peers[i]);
    fixture_stop(gateway);
}

static void members_with_either_parser_share_a_room(void **state)
{
    static const uint64_t kinds[] = {0, WIRE_DELIVER_REPLAY, WIRE_DELIVER_WATCHERS, WIRE_DELIVER_VOLATILE};
    struct gateway *gateway = start();
    struct peer peers[SOCKETIO_ENCODINGS];
    uint64_t writes;

    (void)state;
    for (unsigned i = 0; i < SOCKETIO_ENCODINGS; i++)
        peers[i] = fixture_member(gateway, i, ROOM);
    writes = gateway->counters.writes;
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        deliver(gateway, PAYLOAD, kinds[kind], 0, (struct bytes){0});
        assert_string_equal(fixture_read_any(&peers[ENCODING_WEBSOCKET]), PLAIN);
        for (unsigned i = ENCODING_MSGPACK; i <= ENCODING_MSGPACK_POLLING; i++)
            assert_string_equal(fixture_read_any(&peers[i]), PACKED);
    }
    assert_int_equal(gateway->counters.writes - writes, 4 * SOCKETIO_ENCODINGS);
    assert_int_equal(gateway->counters.deliveries, 4 * SOCKETIO_ENCODINGS);
    deliver_to_namespace(gateway, namespace_find(&gateway->namespaces, BYTES("/")),
                         &(struct wire_deliver){.pos = 1,
                                                .flags = WIRE_DELIVER_NAMESPACE,
                                                .payload = BYTES("[\"msg\",{\"a\":1.5}]")});
    fixture_flush(gateway);
    for (unsigned i = ENCODING_MSGPACK; i <= ENCODING_MSGPACK_POLLING; i++)
        assert_string_equal(fixture_read_any(&peers[i]), PACKED);
    done(gateway, peers, SOCKETIO_ENCODINGS);
}

static void members_of_one_encoding_share_its_bytes(void **state)
{
    struct gateway *gateway = start();
    struct peer peers[3] = {fixture_member(gateway, ENCODING_MSGPACK, ROOM),
                            fixture_member(gateway, ENCODING_WEBSOCKET, ROOM),
                            fixture_member(gateway, ENCODING_MSGPACK, ROOM)};
    struct chunk *chunk;

    (void)state;
    deliver_to_room(gateway, lobby(gateway), &(struct wire_deliver){.pos = 1, .payload = BYTES(PAYLOAD)});
    for (unsigned i = 0; i < 3; i++)
        fanout_catch_up(gateway, peers[i].connection);
    chunk = peers[0].connection->output.first->chunk;
    assert_ptr_equal(chunk, peers[2].connection->output.first->chunk);
    assert_ptr_not_equal(chunk, peers[1].connection->output.first->chunk);
    fixture_flush(gateway);
    done(gateway, peers, 3);
}

static void attachments_stand_in_the_packet(void **state)
{
    struct gateway *gateway = start();
    struct wire_list list = {0};
    struct peer peers[2] = {fixture_member(gateway, ENCODING_MSGPACK, ROOM),
                            fixture_member(gateway, ENCODING_MSGPACK_POLLING, ROOM)};

    (void)state;
    wire_list_put_blob(&list, BYTES("x"));
    wire_list_put_blob(&list, BYTES("yz"));
    deliver(gateway, "[{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]", 0, 0,
            wire_list_finish(&list));
    for (unsigned i = 0; i < 2; i++)
        assert_string_equal(fixture_read_any(&peers[i]),
                            "{\"type\":2,\"data\":[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,"
                            "\"num\":1}],\"nsp\":\"/\"}+2");
    /* Without attachments the same is what it looks like. */
    deliver(gateway, "[{\"_placeholder\":true,\"num\":1}]", 0, 0, (struct bytes){0});
    assert_string_equal(fixture_read_any(&peers[0]),
                        "{\"type\":2,\"data\":[{\"_placeholder\":true,\"num\":1}],\"nsp\":\"/\"}");
    wire_list_done(&list);
    done(gateway, peers, 2);
}

static void the_sender_with_either_parser_is_left_out(void **state)
{
    struct gateway *gateway = start();
    struct peer peers[2] = {fixture_member(gateway, ENCODING_WEBSOCKET, ROOM),
                            fixture_member(gateway, ENCODING_MSGPACK, ROOM)};

    (void)state;
    deliver(gateway, PAYLOAD, 0, peers[1].socket->number, (struct bytes){0});
    assert_string_equal(fixture_read_any(&peers[0]), PLAIN);
    assert_string_equal(fixture_read_any(&peers[1]), "");
    deliver(gateway, PAYLOAD, 0, peers[0].socket->number, (struct bytes){0});
    assert_string_equal(fixture_read_any(&peers[0]), "");
    assert_string_equal(fixture_read_any(&peers[1]), PACKED);
    done(gateway, peers, 2);
}

static void a_room_without_them_makes_no_packet(void **state)
{
    struct gateway *gateway = start();
    struct peer peers[2] = {fixture_member(gateway, ENCODING_WEBSOCKET, ROOM),
                            fixture_member(gateway, ENCODING_WEBSOCKET, ROOM)};

    (void)state;
    encoder_free(gateway->encoder); /* which would be needed for one */
    gateway->encoder = NULL;
    deliver(gateway, PAYLOAD, 0, 0, (struct bytes){0});
    assert_null(lobby(gateway)->others);
    assert_string_equal(fixture_read_any(&peers[0]), PLAIN);
    done(gateway, peers, 2);
}

static void the_last_of_them_takes_the_streams_away(void **state)
{
    struct gateway *gateway = start();
    struct peer peers[3] = {fixture_member(gateway, ENCODING_WEBSOCKET, ROOM),
                            fixture_member(gateway, ENCODING_MSGPACK_DEFLATE, ROOM),
                            fixture_member(gateway, ENCODING_MSGPACK_POLLING, ROOM)};

    (void)state;
    for (unsigned i = 1; i < 3; i++) {
        assert_non_null(lobby(gateway)->others);
        room_remove(gateway, peers[i].socket, socket_membership(peers[i].socket, ROOM));
    }
    assert_null(lobby(gateway)->others);
    done(gateway, peers, 3);
}

static void a_member_keeps_its_parser_when_it_moves(void **state)
{
    struct gateway *gateway = start();
    struct peer polling = fixture_member(gateway, ENCODING_MSGPACK_POLLING, ROOM),
                websocket = fixture_peer(gateway);

    (void)state;
    connection_set_parser(websocket.connection, true);
    deliver(gateway, "[1]", 0, 0, (struct bytes){0});
    socket_close(gateway, websocket.socket, CLOSE_NONE);
    sockets_move(gateway, polling.connection, websocket.connection);
    deliver(gateway, "[2]", 0, 0, (struct bytes){0});
    assert_string_equal(fixture_read_any(&polling), "{\"type\":2,\"data\":[1],\"nsp\":\"/\"}");
    assert_string_equal(fixture_read_any(&websocket), "{\"type\":2,\"data\":[2],\"nsp\":\"/\"}");
    fixture_peer_done(&polling);
    fixture_peer_done(&websocket);
    fixture_stop(gateway);
}

/* Engine.IO's own packets are no business of the parser. */
static void heartbeats_stay_text(void **state)
{
    struct gateway *gateway = start();
    struct peer websocket = fixture_member(gateway, ENCODING_MSGPACK, ROOM),
                polling = fixture_member(gateway, ENCODING_MSGPACK_POLLING, ROOM);
    char bytes[8];

    (void)state;
    engine_send_packet(gateway, websocket.connection, BYTES("2"));
    engine_send_packet(gateway, polling.connection, BYTES("2"));
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&websocket), "2");
    assert_int_equal(read(polling.fd, bytes, sizeof bytes), 2);
    assert_memory_equal(bytes,
                        "\x1e"
                        "2",
                        2);
    fixture_peer_done(&websocket);
    fixture_peer_done(&polling);
    fixture_stop(gateway);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_with_either_parser_share_a_room),
        cmocka_unit_test(members_of_one_encoding_share_its_bytes),
        cmocka_unit_test(attachments_stand_in_the_packet),
        cmocka_unit_test(the_sender_with_either_parser_is_left_out),
        cmocka_unit_test(a_room_without_them_makes_no_packet),
        cmocka_unit_test(the_last_of_them_takes_the_streams_away),
        cmocka_unit_test(a_member_keeps_its_parser_when_it_moves),
        cmocka_unit_test(heartbeats_stay_text),
    };

    return cmocka_run_group_tests_name("gateway room msgpack", tests, NULL, NULL);
}
