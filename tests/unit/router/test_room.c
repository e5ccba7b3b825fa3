/* Rooms: members by gateway, who keeps a room alive, and when presence is announced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/link.h"
#include "router/room.h"

#include "common/memory.h"

#include <stdlib.h>

struct fixture {
    struct namespace_config configs[2];
    struct namespace_list list;
    struct namespace_table table;
    struct namespace *namespaces[2];
    struct rooms rooms;
    struct gateway_link links[4];
    struct room *announced;
    unsigned announcements;
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_zero(1, sizeof *fixture);

    fixture->configs[0].entry = BYTES("/");
    fixture->configs[1].entry = BYTES("/other");
    fixture->list = (struct namespace_list){fixture->configs, 2};
    namespace_table_init(&fixture->table, &fixture->list, 1);
    for (unsigned i = 0; i < 2; i++)
        fixture->namespaces[i] = namespace_find(&fixture->table, fixture->configs[i].entry);
    rooms_init(&fixture->rooms, &fixture->table, 100000);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    rooms_done(&fixture->rooms);
    namespace_table_done(&fixture->table);
    free(fixture);
    return 0;
}

static void on_announce(void *argument, struct room *room)
{
    struct fixture *fixture = argument;

    fixture->announced = room;
    fixture->announcements++;
}

/* How many rooms were announced at that time. */
static unsigned announcements(struct fixture *fixture, uint64_t now)
{
    fixture->announcements = 0;
    rooms_advance(&fixture->rooms, now, on_announce, fixture);
    return fixture->announcements;
}

static void test_rooms_are_kept_apart_by_namespace(void **state)
{
    struct fixture *fixture = *state;
    struct rooms *rooms = &fixture->rooms;
    struct room *one = room_hold(rooms_get(rooms, fixture->namespaces[0], BYTES("a")));
    struct room *other = room_hold(rooms_get(rooms, fixture->namespaces[1], BYTES("a")));
    struct room *nameless = room_hold(rooms_get(rooms, fixture->namespaces[0], BYTES("")));

    assert_ptr_not_equal(one, other);
    assert_ptr_equal(rooms_get(rooms, fixture->namespaces[0], BYTES("a")), one);
    assert_ptr_equal(rooms_find(rooms, fixture->namespaces[1], BYTES("a")), other);
    assert_ptr_equal(rooms_find(rooms, fixture->namespaces[0], BYTES("")), nameless);
    assert_null(rooms_find(rooms, fixture->namespaces[0], BYTES("b")));
    assert_true(bytes_equal(room_name(one), BYTES("a")));
    assert_int_equal(room_name(nameless).length, 0);
}

static void test_a_name_may_have_its_full_length(void **state)
{
    struct fixture *fixture = *state;
    char name[ROOM_NAME_MAX];

    memset(name, 'x', sizeof name);
    room_hold(rooms_get(&fixture->rooms, fixture->namespaces[0], bytes_make(name, sizeof name)));
    assert_non_null(rooms_find(&fixture->rooms, fixture->namespaces[0], bytes_make(name, sizeof name)));
    assert_null(rooms_find(&fixture->rooms, fixture->namespaces[0], bytes_make(name, sizeof name - 1)));
}

static void test_a_room_lives_while_someone_needs_it(void **state)
{
    struct fixture *fixture = *state;
    struct rooms *rooms = &fixture->rooms;
    struct room *room = room_hold(rooms_get(rooms, fixture->namespaces[0], BYTES("a")));

    room_add_member(rooms, room, &fixture->links[0], false);
    room_release(rooms, room);
    assert_int_equal(rooms->table.count, 1);
    room_hold(room);
    room_remove_member(rooms, room, &fixture->links[0], false);
    assert_int_equal(rooms->table.count, 1);
    room_release(rooms, room);
    assert_int_equal(rooms->table.count, 0);
}

static void test_members_are_counted_by_gateway(void **state)
{
    struct fixture *fixture = *state;
    struct rooms *rooms = &fixture->rooms;
    struct room *room = room_hold(rooms_get(rooms, fixture->namespaces[0], BYTES("a")));

    for (unsigned i = 0; i < 12; i++)
        room_add_member(rooms, room, &fixture->links[i % 4], i % 4 == 1);
    assert_int_equal(room->members, 12);
    assert_int_equal(room->watchers, 3);
    assert_int_equal(room->link_count, 4);
    assert_int_equal(rooms->members, 12);
    for (unsigned i = 0; i < 4; i++) {
        const struct room_link *entry = room_find_link(room, &fixture->links[i]);

        assert_int_equal(entry->members, 3);
        assert_int_equal(entry->watchers, i == 1 ? 3 : 0);
    }
    for (unsigned i = 0; i < 3; i++)
        room_remove_member(rooms, room, &fixture->links[0], false);
    assert_null(room_find_link(room, &fixture->links[0]));
    assert_int_equal(room->link_count, 3);
    assert_int_equal(room_find_link(room, &fixture->links[3])->members, 3);
    room_change_watch(room, &fixture->links[1], false);
    room_change_watch(room, &fixture->links[3], true);
    assert_int_equal(room_find_link(room, &fixture->links[1])->watchers, 2);
    assert_int_equal(room_find_link(room, &fixture->links[3])->watchers, 1);
    assert_int_equal(room->watchers, 3);
}

static void test_presence_is_told_at_once_and_then_once_a_second(void **state)
{
    struct fixture *fixture = *state;
    struct rooms *rooms = &fixture->rooms;
    struct room *room = rooms_get(rooms, fixture->namespaces[0], BYTES("a"));

    room_add_member(rooms, room, &fixture->links[0], false);
    assert_int_equal(announcements(fixture, 100001), 0);
    assert_int_equal(rooms_next_due(rooms), TIMER_WHEEL_NEVER);
    room_add_member(rooms, room, &fixture->links[0], true);
    assert_int_equal(announcements(fixture, 100010), 1);
    assert_ptr_equal(fixture->announced, room);
    for (unsigned i = 0; i < 10; i++)
        room_add_member(rooms, room, &fixture->links[1], false);
    assert_int_equal(announcements(fixture, 100011), 0);
    assert_int_equal(announcements(fixture, 101009), 0);
    assert_true(rooms_next_due(rooms) <= 101010);
    assert_int_equal(announcements(fixture, 101010), 1);
    assert_int_equal(announcements(fixture, 110000), 0);
}

static void test_presence_that_is_back_where_it_was_is_not_told(void **state)
{
    struct fixture *fixture = *state;
    struct rooms *rooms = &fixture->rooms;
    struct room *room = rooms_get(rooms, fixture->namespaces[0], BYTES("a"));

    room_add_member(rooms, room, &fixture->links[0], true);
    assert_int_equal(announcements(fixture, 100010), 1);
    room_add_member(rooms, room, &fixture->links[1], false);
    room_remove_member(rooms, room, &fixture->links[1], false);
    assert_int_equal(announcements(fixture, 110000), 0);
    room_announce_again(rooms, room);
    assert_int_equal(announcements(fixture, 110001), 1);
}

static void test_presence_ends_with_the_last_watcher(void **state)
{
    struct fixture *fixture = *state;
    struct rooms *rooms = &fixture->rooms;
    struct room *room = rooms_get(rooms, fixture->namespaces[0], BYTES("a"));

    room_add_member(rooms, room, &fixture->links[0], true);
    room_add_member(rooms, room, &fixture->links[0], false);
    room_change_watch(room, &fixture->links[0], false);
    assert_int_equal(announcements(fixture, 110000), 0);
    room_add_member(rooms, room, &fixture->links[0], true);
    room_remove_member(rooms, room, &fixture->links[0], true);
    assert_int_equal(announcements(fixture, 120000), 0);
    room_remove_member(rooms, room, &fixture->links[0], false);
    room_remove_member(rooms, room, &fixture->links[0], false);
    assert_int_equal(rooms->table.count, 0);
}

static void test_a_room_that_waits_to_be_announced_may_go(void **state)
{
    struct fixture *fixture = *state;
    struct rooms *rooms = &fixture->rooms;
    struct room *room = rooms_get(rooms, fixture->namespaces[0], BYTES("a"));

    room_add_member(rooms, room, &fixture->links[0], true);
    room_remove_member(rooms, room, &fixture->links[0], true);
    assert_int_equal(announcements(fixture, 110000), 0);
    assert_int_equal(rooms_next_due(rooms), TIMER_WHEEL_NEVER);
}

static void test_a_move_is_not_announced(void **state)
{
    struct fixture *fixture = *state;
    struct rooms *rooms = &fixture->rooms;
    struct room *room = rooms_get(rooms, fixture->namespaces[0], BYTES("a"));

    room_add_member(rooms, room, &fixture->links[0], true);
    assert_int_equal(announcements(fixture, 100010), 1);
    room_move_member(room, &fixture->links[0], &fixture->links[1], true);
    assert_int_equal(rooms_next_due(rooms), TIMER_WHEEL_NEVER);
    assert_int_equal(announcements(fixture, 110000), 0);
    assert_int_equal(room->members, 1);
    assert_int_equal(rooms->members, 1);
    /* What is due stays due while the members move. */
    room_add_member(rooms, room, &fixture->links[0], false);
    for (unsigned i = 1; i < 4; i++)
        room_move_member(room, &fixture->links[i], &fixture->links[(i + 1) % 4], true);
    assert_int_equal(announcements(fixture, 120000), 1);
    assert_int_equal(room->link_count, 1);
    assert_int_equal(room_find_link(room, &fixture->links[0])->members, 2);
    assert_int_equal(room_find_link(room, &fixture->links[0])->watchers, 1);
}

static void test_the_rate_is_that_of_the_last_seconds(void **state)
{
    struct fixture *fixture = *state;
    struct rooms *rooms = &fixture->rooms;
    struct room *room = rooms_get(rooms, fixture->namespaces[0], BYTES("a"));

    room_hold(room);
    rooms->now = 100 * ROOM_RATE_WINDOW_MS;
    assert_true(room_rate(rooms, room) == 0);
    for (unsigned i = 0; i < 50; i++)
        room_count_message(rooms, room);
    assert_true(room_rate(rooms, room) == 5);
    rooms->now += ROOM_RATE_WINDOW_MS / 2; /* the half of the window before counts less and less */
    assert_true(room_rate(rooms, room) == 5);
    rooms->now += ROOM_RATE_WINDOW_MS;
    assert_true(room_rate(rooms, room) == 2.5);
    for (unsigned i = 0; i < 10; i++)
        room_count_message(rooms, room);
    assert_true(room_rate(rooms, room) == 3.5);
    rooms->now += ROOM_RATE_WINDOW_MS;
    assert_true(room_rate(rooms, room) == 0.5);
    rooms->now += ROOM_RATE_WINDOW_MS;
    assert_true(room_rate(rooms, room) == 0);
    rooms->now += 7 * ROOM_RATE_WINDOW_MS;
    room_count_message(rooms, room);
    assert_true(room_rate(rooms, room) == 0.1);
    room_release(rooms, room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rooms_are_kept_apart_by_namespace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_name_may_have_its_full_length, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_room_lives_while_someone_needs_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_members_are_counted_by_gateway, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_presence_is_told_at_once_and_then_once_a_second, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_presence_that_is_back_where_it_was_is_not_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_presence_ends_with_the_last_watcher, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_room_that_waits_to_be_announced_may_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_move_is_not_announced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_rate_is_that_of_the_last_seconds, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
