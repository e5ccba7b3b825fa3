/* Messages in memory: by position, by number in a room, and what leaves when there are too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/recent.h"

#include "common/memory.h"

#include <stdlib.h>

struct fixture {
    struct namespace_config config;
    struct namespace_list list;
    struct namespace_table table;
    struct rooms rooms;
    struct recent recent;
    uint64_t pos;
    uint64_t seq[256]; /* by the room's one letter */
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_zero(1, sizeof *fixture);

    fixture->config.entry = BYTES("/");
    fixture->list = (struct namespace_list){&fixture->config, 1};
    namespace_table_init(&fixture->table, &fixture->list, 1);
    rooms_init(&fixture->rooms, &fixture->table, 0);
    recent_init(&fixture->recent, &fixture->rooms, 1 << 20);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    recent_done(&fixture->recent);
    assert_int_equal(fixture->rooms.table.count, 0);
    rooms_done(&fixture->rooms);
    namespace_table_done(&fixture->table);
    free(fixture);
    return 0;
}

static struct room *room_of(struct fixture *fixture, char name)
{
    return rooms_get(&fixture->rooms, namespace_find(&fixture->table, BYTES("/")), bytes_make(&name, 1));
}

/* Gives the size of what was added. */
static size_t add(struct fixture *fixture, char name, enum message_class class)
{
    struct room *room = room_hold(room_of(fixture, name));
    struct journal_message fields = {.pos = ++fixture->pos,
                                     .class = class,
                                     .event = BYTES("msg"),
                                     .arguments = BYTES("1"),
                                     .publish_id = BYTES("id")};
    struct message *message;
    size_t size;

    if (class == MESSAGE_ARCHIVED)
        fields.seq = ++fixture->seq[(unsigned char)name];
    message = message_new(&fields, room, (struct bytes){0});
    size = message->size;
    recent_add(&fixture->recent, message);
    return size;
}

static void test_by_position(void **state)
{
    struct fixture *fixture = *state;
    struct recent *recent = &fixture->recent;

    recent_start(recent, 10);
    fixture->pos = 10;
    assert_int_equal(recent_after(recent, 10), recent->count);
    for (unsigned i = 0; i < 3000; i++)
        add(fixture, (char)('a' + i % 3), i % 5 ? MESSAGE_ARCHIVED : MESSAGE_LOGGED);
    assert_true(recent->count < 3000);
    assert_int_equal(recent_at(recent, 0)->ticket.entry.message.pos, recent->floor + 1);
    for (uint64_t pos = recent->floor; pos < 3010; pos += 97)
        assert_int_equal(recent_at(recent, recent_after(recent, pos))->ticket.entry.message.pos, pos + 1);
    assert_int_equal(recent_after(recent, 3010), recent->count);
    assert_int_equal(recent_after(recent, 0), 0);
}

static void test_by_number_in_a_room(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < 30; i++) {
        add(fixture, 'a', MESSAGE_ARCHIVED);
        add(fixture, 'a', MESSAGE_LOGGED);
        add(fixture, 'b', MESSAGE_LOGGED);
    }
    assert_int_equal(recent_room_oldest(room_of(fixture, 'a')), 1);
    assert_int_equal(recent_room_oldest(room_of(fixture, 'b')), 0);
    for (uint64_t seq = 1; seq <= 30; seq++)
        assert_int_equal(recent_room_find(room_of(fixture, 'a'), seq)->ticket.entry.message.seq, seq);
    assert_null(recent_room_find(room_of(fixture, 'a'), 0));
    assert_null(recent_room_find(room_of(fixture, 'a'), 31));
    assert_null(recent_room_find(room_of(fixture, 'b'), 1));
}

static void test_the_oldest_leave(void **state)
{
    struct fixture *fixture = *state;
    struct recent *recent = &fixture->recent;
    size_t size = add(fixture, 'a', MESSAGE_ARCHIVED);

    recent->max_bytes = 4 * size;
    for (unsigned i = 0; i < 3; i++)
        add(fixture, 'b', MESSAGE_ARCHIVED);
    assert_int_equal(recent->count, 4);
    assert_int_equal(recent->floor, 0);
    add(fixture, 'b', MESSAGE_ARCHIVED);
    assert_int_equal(recent->count, 4);
    assert_int_equal(recent->floor, 1);
    assert_int_equal(recent->bytes, 4 * size);
    assert_int_equal(fixture->rooms.table.count, 1);
    add(fixture, 'b', MESSAGE_ARCHIVED);
    assert_int_equal(recent_room_oldest(room_of(fixture, 'b')), 2);
    assert_null(recent_room_find(room_of(fixture, 'b'), 1));
}

static void test_a_large_message_stays_until_the_next(void **state)
{
    struct fixture *fixture = *state;
    struct recent *recent = &fixture->recent;

    recent->max_bytes = 1;
    add(fixture, 'a', MESSAGE_ARCHIVED);
    add(fixture, 'a', MESSAGE_ARCHIVED);
    assert_int_equal(recent->count, 1);
    assert_int_equal(recent_room_oldest(room_of(fixture, 'a')), 2);
}

static void test_no_memory_at_all(void **state)
{
    struct fixture *fixture = *state;
    struct recent *recent = &fixture->recent;

    recent->max_bytes = 0;
    add(fixture, 'a', MESSAGE_ARCHIVED);
    assert_int_equal(recent->count, 0);
    assert_int_equal(recent->floor, 1);
    assert_int_equal(fixture->rooms.table.count, 0);
}

static void test_what_is_before_a_hole_is_not_shown(void **state)
{
    struct fixture *fixture = *state;

    add(fixture, 'a', MESSAGE_ARCHIVED);
    add(fixture, 'a', MESSAGE_ARCHIVED);
    fixture->seq['a'] = 9;
    add(fixture, 'a', MESSAGE_ARCHIVED);
    assert_int_equal(recent_room_oldest(room_of(fixture, 'a')), 10);
    assert_int_equal(fixture->recent.count, 3);
    fixture->recent.max_bytes = 1;
    add(fixture, 'a', MESSAGE_ARCHIVED);
    assert_int_equal(recent_room_oldest(room_of(fixture, 'a')), 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_by_position, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_by_number_in_a_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_oldest_leave, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_large_message_stays_until_the_next, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory_at_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_before_a_hole_is_not_shown, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
