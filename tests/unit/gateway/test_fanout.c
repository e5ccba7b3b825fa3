/* The fan-out: who gets what, in which order, with how many writes. */
#include "gateway/engine.h"
#include "tests/unit/gateway/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define ROOM BYTES("lobby")

static void deliver(struct gateway *gateway, uint64_t pos, const char *payload, uint64_t flags,
                    uint64_t except)
{
    struct room *room = room_find(namespace_find(&gateway->namespaces, BYTES("/")), ROOM);

    assert_non_null(room);
    deliver_to_room(gateway, room,
                    &(struct wire_deliver){.pos = pos,
                                           .namespace = BYTES("/"),
                                           .room = ROOM,
                                           .flags = flags,
                                           .except = except,
                                           .payload = bytes_from_text(payload)});
}

static void each_member_gets_each_message_once_with_one_write(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer a = fixture_peer(gateway), b = fixture_peer(gateway), outsider = fixture_peer(gateway);
    uint64_t writes;

    (void)state;
    room_add(gateway, a.socket, ROOM, 0, false);
    room_add(gateway, b.socket, ROOM, 0, false);
    writes = gateway->counters.writes;
    deliver(gateway, 1, "[\"msg\",1]", 0, 0);
    deliver(gateway, 2, "[\"msg\",2]", 0, 0);
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&a), "42[\"msg\",1]|42[\"msg\",2]");
    assert_string_equal(fixture_read(&b), "42[\"msg\",1]|42[\"msg\",2]");
    assert_string_equal(fixture_read(&outsider), "");
    assert_int_equal(gateway->counters.writes - writes, 2);
    assert_int_equal(gateway->counters.deliveries, 4);
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&a), "");
    fixture_peer_done(&a), fixture_peer_done(&b), fixture_peer_done(&outsider);
    fixture_stop(gateway);
}

static void who_joins_in_a_turn_gets_only_what_comes_after(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer a = fixture_peer(gateway), b = fixture_peer(gateway);

    (void)state;
    room_add(gateway, a.socket, ROOM, 0, false);
    deliver(gateway, 1, "[1]", 0, 0);
    room_add(gateway, b.socket, ROOM, 1, false);
    deliver(gateway, 2, "[2]", 0, 0);
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&a), "42[1]|42[2]");
    assert_string_equal(fixture_read(&b), "42[2]");
    deliver(gateway, 3, "[3]", 0, 0); /* what was skipped in one turn is forgotten in the next */
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&b), "42[3]");
    fixture_peer_done(&a), fixture_peer_done(&b);
    fixture_stop(gateway);
}

static void who_leaves_in_a_turn_gets_what_came_before(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer a = fixture_peer(gateway), b = fixture_peer(gateway), c = fixture_peer(gateway);

    (void)state;
    room_add(gateway, a.socket, ROOM, 0, false);
    room_add(gateway, b.socket, ROOM, 0, false);
    room_add(gateway, c.socket, ROOM, 0, false);
    deliver(gateway, 1, "[1]", 0, 0);
    room_remove(gateway, a.socket, socket_membership(a.socket, ROOM)); /* c moves into its place */
    deliver(gateway, 2, "[2]", 0, 0);
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&a), "42[1]");
    assert_string_equal(fixture_read(&b), "42[1]|42[2]");
    assert_string_equal(fixture_read(&c), "42[1]|42[2]");
    room_remove(gateway, c.socket, socket_membership(c.socket, ROOM));
    deliver(gateway, 3, "[3]", 0, 0);
    room_remove(gateway, b.socket, socket_membership(b.socket, ROOM)); /* the last one: the room goes */
    assert_null(room_find(namespace_find(&gateway->namespaces, BYTES("/")), ROOM));
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&b), "42[3]");
    assert_string_equal(fixture_read(&c), "");
    fixture_peer_done(&a), fixture_peer_done(&b), fixture_peer_done(&c);
    fixture_stop(gateway);
}

static void what_is_for_one_keeps_its_place_among_the_rooms(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer a = fixture_peer(gateway), b = fixture_peer(gateway);

    (void)state;
    room_add(gateway, a.socket, ROOM, 0, false);
    room_add(gateway, b.socket, ROOM, 0, false);
    deliver(gateway, 1, "[1]", 0, 0);
    socket_emit(gateway, a.socket, BYTES("[\"own\"]"), 0, (struct bytes){0});
    deliver(gateway, 2, "[2]", 0, 0);
    socket_acknowledge(gateway, a.socket, 7, BYTES("{}"), (struct bytes){0});
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&a), "42[1]|42[\"own\"]|42[2]|437[{}]");
    assert_string_equal(fixture_read(&b), "42[1]|42[2]");
    fixture_peer_done(&a), fixture_peer_done(&b);
    fixture_stop(gateway);
}

static void the_excepted_one_gets_everything_else(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer a = fixture_peer(gateway), b = fixture_peer(gateway);

    (void)state;
    room_add(gateway, a.socket, ROOM, 0, false);
    room_add(gateway, b.socket, ROOM, 0, false);
    deliver(gateway, 1, "[1]", 0, 0);
    deliver(gateway, 1, "[\"typing\"]", WIRE_DELIVER_VOLATILE, a.socket->number);
    deliver(gateway, 2, "[2]", 0, 0);
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&a), "42[1]|42[2]");
    assert_string_equal(fixture_read(&b), "42[1]|42[\"typing\"]|42[2]");
    assert_int_equal(gateway->counters.deliveries, 5);
    fixture_peer_done(&a), fixture_peer_done(&b);
    fixture_stop(gateway);
}

static void deliver_in(struct gateway *gateway, struct bytes name, uint64_t pos, const char *payload)
{
    struct room *room = room_find(namespace_find(&gateway->namespaces, BYTES("/")), name);

    deliver_to_room(
        gateway, room,
        &(struct wire_deliver){
            .pos = pos, .namespace = BYTES("/"), .room = name, .payload = bytes_from_text(payload)});
}

/* The last event that a client has read is its offset: nothing with a lower position may stand behind it. */
static void the_rooms_of_one_member_keep_the_order_of_the_log(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer both = fixture_peer(gateway), a = fixture_peer(gateway), b = fixture_peer(gateway);
    struct bytes second = BYTES("second");
    uint64_t writes;

    (void)state;
    room_add(gateway, a.socket, ROOM, 0, false);
    room_add(gateway, both.socket, ROOM, 0, false);
    room_add(gateway, both.socket, second, 0, false);
    room_add(gateway, b.socket, second, 0, false);
    writes = gateway->counters.writes;
    for (uint64_t pos = 1; pos <= 8; pos += 4) {
        deliver_in(gateway, ROOM, pos, "[1]");
        deliver_in(gateway, second, pos + 1, "[2]");
        deliver_in(gateway, second, pos + 2, "[3]");
        deliver_in(gateway, ROOM, pos + 3, "[4]");
    }
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&both), "42[1]|42[2]|42[3]|42[4]|42[1]|42[2]|42[3]|42[4]");
    assert_string_equal(fixture_read(&a), "42[1]|42[4]|42[1]|42[4]");
    assert_string_equal(fixture_read(&b), "42[2]|42[3]|42[2]|42[3]");
    assert_int_equal(gateway->counters.writes - writes, 3);
    assert_int_equal(gateway->counters.deliveries, 16);
    fixture_peer_done(&a), fixture_peer_done(&b), fixture_peer_done(&both);
    fixture_stop(gateway);
}

static void whoever_joins_or_leaves_a_second_room_in_a_turn_keeps_that_order(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer both = fixture_peer(gateway), a = fixture_peer(gateway), b = fixture_peer(gateway);
    struct bytes second = BYTES("second"), third = BYTES("third");

    (void)state;
    room_add(gateway, a.socket, third, 0, false); /* somebody has two rooms already, one of them second */
    room_add(gateway, a.socket, second, 0, false);
    room_add(gateway, both.socket, ROOM, 0, false);
    room_add(gateway, b.socket, ROOM, 0, false);
    deliver_in(gateway, second, 1, "[1]");
    deliver_in(gateway, ROOM, 2, "[2]");
    room_add(gateway, both.socket, second, 2, false);
    deliver_in(gateway, second, 3, "[3]");
    deliver_in(gateway, ROOM, 4, "[4]");
    room_remove(gateway, both.socket, socket_membership(both.socket, ROOM));
    room_add(gateway, both.socket, third, 4, false);
    deliver_in(gateway, second, 5, "[5]");
    deliver_in(gateway, third, 6, "[6]");
    deliver_in(gateway, ROOM, 7, "[7]");
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&both), "42[2]|42[3]|42[4]|42[5]|42[6]");
    assert_string_equal(fixture_read(&a), "42[1]|42[3]|42[5]|42[6]");
    assert_string_equal(fixture_read(&b), "42[2]|42[4]|42[7]");
    fixture_peer_done(&a), fixture_peer_done(&b), fixture_peer_done(&both);
    fixture_stop(gateway);
}

static void a_replay_reaches_those_who_joined_before_it(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer early = fixture_peer(gateway), late = fixture_peer(gateway);

    (void)state;
    room_add(gateway, early.socket, ROOM, 3, false);
    room_add(gateway, late.socket, ROOM, 5, false);
    for (uint64_t pos = 3; pos <= 6; pos++) {
        char payload[8] = {'[', (char)('0' + pos), ']'};

        deliver(gateway, pos, payload, WIRE_DELIVER_REPLAY, 0);
    }
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&early), "42[4]|42[5]|42[6]");
    assert_string_equal(fixture_read(&late), "42[6]");
    fixture_peer_done(&early), fixture_peer_done(&late);
    fixture_stop(gateway);
}

static void presence_reaches_those_who_watch(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer watcher = fixture_peer(gateway), other = fixture_peer(gateway);

    (void)state;
    room_add(gateway, watcher.socket, ROOM, 0, true);
    room_add(gateway, other.socket, ROOM, 0, false);
    deliver(gateway, 0, "[\"p\"]", WIRE_DELIVER_VOLATILE | WIRE_DELIVER_WATCHERS, 0);
    room_add(gateway, watcher.socket, ROOM, 0, false); /* joining again changes only that */
    room_add(gateway, other.socket, ROOM, 0, true);
    deliver(gateway, 0, "[\"q\"]", WIRE_DELIVER_VOLATILE | WIRE_DELIVER_WATCHERS, 0);
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&watcher), "42[\"p\"]");
    assert_string_equal(fixture_read(&other), "42[\"q\"]");
    assert_int_equal(room_find(namespace_find(&gateway->namespaces, BYTES("/")), ROOM)->count, 2);
    fixture_peer_done(&watcher), fixture_peer_done(&other);
    fixture_stop(gateway);
}

static void a_member_of_two_rooms_is_written_to_once(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer a = fixture_peer(gateway);
    uint64_t writes;

    (void)state;
    room_add(gateway, a.socket, ROOM, 0, false);
    room_add(gateway, a.socket, BYTES("other"), 0, false);
    writes = gateway->counters.writes;
    deliver(gateway, 1, "[1]", 0, 0);
    deliver_to_room(gateway, room_find(namespace_find(&gateway->namespaces, BYTES("/")), BYTES("other")),
                    &(struct wire_deliver){.pos = 2, .room = BYTES("other"), .payload = BYTES("[2]")});
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&a), "42[1]|42[2]");
    assert_int_equal(gateway->counters.writes - writes, 1);
    fixture_peer_done(&a);
    fixture_stop(gateway);
}

/* Fills a room's turns until the peer, who reads nothing, is blocked. */
static void block_peer(struct gateway *gateway, struct peer *peer)
{
    static char payload[16 << 10];

    memset(payload, ' ', sizeof payload - 1);
    payload[0] = '[', payload[sizeof payload - 2] = ']';
    while (!peer->connection->blocked) {
        deliver(gateway, 1, payload, 0, 0);
        fixture_flush(gateway);
    }
}

static void a_slow_reader_misses_volatile_events_first(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer slow = fixture_peer(gateway), quick = fixture_peer(gateway);

    (void)state;
    room_add(gateway, slow.socket, ROOM, 0, false);
    block_peer(gateway, &slow);
    room_add(gateway, quick.socket, ROOM, 0, false);
    deliver(gateway, 2, "[\"kept\"]", 0, 0);
    deliver(gateway, 2, "[\"typing\"]", WIRE_DELIVER_VOLATILE, 0);
    deliver(gateway, 3, "[\"kept too\"]", 0, 0);
    fixture_flush(gateway);
    assert_int_equal(gateway->counters.dropped_slow_reader, 1);
    assert_string_equal(fixture_read(&quick), "42[\"kept\"]|42[\"typing\"]|42[\"kept too\"]");
    assert_int_equal(slow.connection->state, CONNECTION_OPEN);
    fixture_peer_done(&slow), fixture_peer_done(&quick);
    fixture_stop(gateway);
}

static void a_slow_reader_over_its_limit_is_closed_and_hurts_nobody(void **state)
{
    static char payload[16 << 10];
    struct gateway *gateway = fixture_start();
    struct peer slow = fixture_peer(gateway), quick = fixture_peer(gateway);

    (void)state;
    memset(payload, ' ', sizeof payload - 1);
    payload[0] = '[', payload[sizeof payload - 2] = ']';
    room_add(gateway, slow.socket, ROOM, 0, false);
    room_add(gateway, quick.socket, ROOM, 0, false);
    for (int i = 0; i < 64 && gateway->counters.closed[CLOSE_SLOW_READER] == 0; i++) {
        deliver(gateway, 1, payload, 0, 0);
        fixture_flush(gateway);
        assert_int_equal(strlen(fixture_read(&quick)), sizeof payload + 1);
    }
    assert_int_equal(gateway->counters.closed[CLOSE_SLOW_READER], 1);
    assert_int_equal(room_find(namespace_find(&gateway->namespaces, BYTES("/")), ROOM)->count, 1);
    fixture_peer_done(&slow), fixture_peer_done(&quick);
    fixture_stop(gateway);
}

static void peers_that_vanish_while_they_are_sent_to_leave_their_rooms(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer peers[8];

    (void)state;
    for (int i = 0; i < 8; i++) {
        peers[i] = fixture_peer(gateway);
        room_add(gateway, peers[i].socket, ROOM, 0, false);
    }
    for (int i = 0; i < 8; i += 2)
        fixture_peer_done(&peers[i]);
    deliver(gateway, 1, "[1]", 0, 0);
    fixture_flush(gateway);
    assert_int_equal(room_find(namespace_find(&gateway->namespaces, BYTES("/")), ROOM)->count, 4);
    for (int i = 1; i < 8; i += 2) {
        assert_string_equal(fixture_read(&peers[i]), "42[1]");
        fixture_peer_done(&peers[i]);
    }
    fixture_stop(gateway);
}

static void a_namespace_event_reaches_every_socket_of_it_but_one(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer a = fixture_peer(gateway), b = fixture_peer(gateway);

    (void)state;
    deliver_to_namespace(
        gateway, namespace_find(&gateway->namespaces, BYTES("/")),
        &(struct wire_deliver){
            .pos = 1, .flags = WIRE_DELIVER_NAMESPACE, .payload = BYTES("[1]"), .except = b.socket->number});
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&a), "42[1]");
    assert_string_equal(fixture_read(&b), "");
    fixture_peer_done(&a), fixture_peer_done(&b);
    fixture_stop(gateway);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_member_gets_each_message_once_with_one_write),
        cmocka_unit_test(who_joins_in_a_turn_gets_only_what_comes_after),
        cmocka_unit_test(who_leaves_in_a_turn_gets_what_came_before),
        cmocka_unit_test(what_is_for_one_keeps_its_place_among_the_rooms),
        cmocka_unit_test(the_excepted_one_gets_everything_else),
        cmocka_unit_test(the_rooms_of_one_member_keep_the_order_of_the_log),
        cmocka_unit_test(whoever_joins_or_leaves_a_second_room_in_a_turn_keeps_that_order),
        cmocka_unit_test(a_replay_reaches_those_who_joined_before_it),
        cmocka_unit_test(presence_reaches_those_who_watch),
        cmocka_unit_test(a_member_of_two_rooms_is_written_to_once),
        cmocka_unit_test(a_slow_reader_misses_volatile_events_first),
        cmocka_unit_test(a_slow_reader_over_its_limit_is_closed_and_hurts_nobody),
        cmocka_unit_test(peers_that_vanish_while_they_are_sent_to_leave_their_rooms),
        cmocka_unit_test(a_namespace_event_reaches_every_socket_of_it_but_one),
    };

    return cmocka_run_group_tests_name("gateway room", tests, NULL, NULL);
}
