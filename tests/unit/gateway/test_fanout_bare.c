/* Bare members in rooms: what they are told of an event, beside members that speak Socket.IO, and that rooms
 * without them know nothing of them. */
#include "tests/unit/gateway/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ROOM    BYTES("lobby")
#define PAYLOAD "[\"msg\",{\"a\":1},{\"room\":\"lobby\",\"seq\":1},\"epoch.1\"]"
#define PLAIN   "42" PAYLOAD
#define BARE                                                                                                 \
    "{\"type\":\"event\",\"event\":\"msg\",\"args\":[{\"a\":1}],\"meta\":{\"room\":\"lobby\",\"seq\":1}}"

enum { SHAPE = WIRE_DELIVER_META | WIRE_DELIVER_OFFSET };

static struct room *lobby(struct gateway *gateway)
{
    return room_find(namespace_find(&gateway->namespaces, BYTES("/")), ROOM);
}

static void deliver(struct gateway *gateway, const char *payload, uint64_t flags, uint64_t except)
{
    fixture_deliver(gateway, ROOM, payload, flags, except, (struct bytes){0});
    fixture_flush(gateway);
}

static void members_of_both_kinds_share_a_room(void **state)
{
    static const uint64_t kinds[] = {0, WIRE_DELIVER_REPLAY, WIRE_DELIVER_WATCHERS, WIRE_DELIVER_VOLATILE};
    struct gateway *gateway = fixture_start();
    struct peer plain = fixture_member(gateway, ENCODING_WEBSOCKET, ROOM),
                bare = fixture_member(gateway, ENCODING_BARE, ROOM),
                second = fixture_member(gateway, ENCODING_BARE, ROOM);
    uint64_t writes = gateway->counters.writes;

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        deliver(gateway, PAYLOAD, kinds[i] | SHAPE, 0);
        assert_string_equal(fixture_read(&plain), PLAIN);
        assert_string_equal(fixture_read(&bare), BARE);
        assert_string_equal(fixture_read(&second), BARE);
    }
    assert_int_equal(gateway->counters.writes - writes, 12);
    assert_int_equal(gateway->counters.deliveries, 12);
    deliver_to_namespace(gateway, namespace_find(&gateway->namespaces, BYTES("/")),
                         &(struct wire_deliver){.pos = 1,
                                                .flags = WIRE_DELIVER_NAMESPACE | WIRE_DELIVER_OFFSET,
                                                .payload = BYTES("[\"all\",5,\"epoch.1\"]")});
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&plain), "42[\"all\",5,\"epoch.1\"]");
    assert_string_equal(fixture_read(&bare), "{\"type\":\"event\",\"event\":\"all\",\"args\":[5]}");
    fixture_peer_done(&plain);
    fixture_peer_done(&bare);
    fixture_peer_done(&second);
    fixture_stop(gateway);
}

static void the_sender_of_either_kind_is_left_out(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer plain = fixture_member(gateway, ENCODING_WEBSOCKET, ROOM),
                bare = fixture_member(gateway, ENCODING_BARE, ROOM);

    (void)state;
    deliver(gateway, PAYLOAD, SHAPE, bare.socket->number);
    assert_string_equal(fixture_read(&bare), "");
    assert_string_equal(fixture_read(&plain), PLAIN);
    deliver(gateway, PAYLOAD, SHAPE, plain.socket->number);
    assert_string_equal(fixture_read(&bare), BARE);
    assert_string_equal(fixture_read(&plain), "");
    fixture_peer_done(&plain);
    fixture_peer_done(&bare);
    fixture_stop(gateway);
}

static void a_room_without_them_has_no_stream_for_them(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer plain = fixture_member(gateway, ENCODING_WEBSOCKET, ROOM), bare;

    (void)state;
    deliver(gateway, PAYLOAD, SHAPE, 0);
    assert_null(lobby(gateway)->others);
    bare = fixture_member(gateway, ENCODING_BARE, ROOM);
    assert_non_null(lobby(gateway)->others);
    room_remove(gateway, bare.socket, socket_membership(bare.socket, ROOM));
    assert_null(lobby(gateway)->others);
    fixture_peer_done(&plain);
    fixture_peer_done(&bare);
    fixture_stop(gateway);
}

/* Nobody who speaks Socket.IO suffers when the router says nonsense, and bare members get none of it. */
static void what_is_no_event_reaches_no_bare_member(void **state)
{
    static const uint64_t kinds[] = {0, WIRE_DELIVER_WATCHERS};
    struct gateway *gateway = fixture_start();
    struct peer plain = fixture_member(gateway, ENCODING_WEBSOCKET, ROOM),
                bare = fixture_member(gateway, ENCODING_BARE, ROOM);

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        deliver(gateway, "[1", kinds[i], 0);
        assert_string_equal(fixture_read(&plain), "42[1");
        assert_string_equal(fixture_read(&bare), "");
        deliver(gateway, "[\"msg\"]", kinds[i] | SHAPE, 0);
        assert_string_equal(fixture_read(&plain), "42[\"msg\"]");
        assert_string_equal(fixture_read(&bare), "");
    }
    assert_int_equal(gateway->counters.deliveries, 4);
    fixture_peer_done(&plain);
    fixture_peer_done(&bare);
    fixture_stop(gateway);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_of_both_kinds_share_a_room),
        cmocka_unit_test(the_sender_of_either_kind_is_left_out),
        cmocka_unit_test(a_room_without_them_has_no_stream_for_them),
        cmocka_unit_test(what_is_no_event_reaches_no_bare_member),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
