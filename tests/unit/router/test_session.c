/* Sessions: how they are found, their rooms, and the bound on error events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/link.h"
#include "router/session.h"

#include "common/memory.h"

#include <stdio.h>
#include <stdlib.h>

struct fixture {
    struct namespace_config configs[2];
    struct namespace_list list;
    struct namespace_table table;
    struct namespace *namespaces[2];
    struct rooms rooms;
    struct sessions sessions;
    struct gateway_link links[2];
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
    rooms_init(&fixture->rooms, &fixture->table, 1000);
    sessions_init(&fixture->sessions, &fixture->rooms);
    session_set_init(&fixture->links[0].sessions);
    session_set_init(&fixture->links[1].sessions);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < 2; i++) {
        struct session_set *set = &fixture->links[i].sessions;

        while (set->by_socket.count) {
            uint32_t cursor = 0;

            session_remove(&fixture->sessions, set, table_next(&set->by_socket, &cursor));
        }
        session_set_done(set);
    }
    sessions_done(&fixture->sessions);
    assert_int_equal(fixture->rooms.table.count, 0);
    rooms_done(&fixture->rooms);
    namespace_table_done(&fixture->table);
    free(fixture);
    return 0;
}

static struct session *add(struct fixture *fixture, unsigned link, uint64_t socket, const char *sid,
                           const char *from)
{
    return session_new(&fixture->sessions, &fixture->links[link].sessions, &fixture->links[link], socket,
                       fixture->namespaces[0], bytes_from_text(sid), bytes_from_text(from));
}

static void enter(struct fixture *fixture, struct session *session, const char *room, uint64_t pos,
                  bool watch)
{
    struct membership *membership = session_membership(session, bytes_from_text(room));

    if (!membership)
        membership = session_add_membership(
            session, rooms_get(&fixture->rooms, session->namespace, bytes_from_text(room)));
    session_enter(&fixture->sessions, session, membership, pos, watch);
}

/* How many sockets of a namespace a gateway has. */
static unsigned sockets_in(struct fixture *fixture, unsigned namespace, unsigned link)
{
    const struct namespace *found = fixture->namespaces[namespace];

    for (uint32_t i = 0; i < found->link_count; i++)
        if (found->links[i].link == &fixture->links[link])
            return found->links[i].sockets;
    return 0;
}

static void test_a_session_is_found_by_number_and_sid(void **state)
{
    struct fixture *fixture = *state;
    struct session *one = add(fixture, 0, 7, "aaaaaaaaaaaaaaaaaaaa", "");
    struct session *two = add(fixture, 1, 7, "bbbbbbbbbbbbbbbbbbbb", "ann");
    char space[SID_LENGTH + 5];

    assert_ptr_equal(session_find(&fixture->links[0].sessions, 7), one);
    assert_ptr_equal(session_find(&fixture->links[1].sessions, 7), two);
    assert_null(session_find(&fixture->links[0].sessions, 8));
    assert_ptr_equal(sessions_find_sid(&fixture->sessions, BYTES("bbbbbbbbbbbbbbbbbbbb")), two);
    assert_null(sessions_find_sid(&fixture->sessions, BYTES("bbbbbbbbbbbbbbbbbbb")));
    assert_true(bytes_equal(session_from(one, space), BYTES("anon:aaaaaaaaaaaaaaaaaaaa")));
    assert_true(bytes_equal(session_from(two, space), BYTES("ann")));
    assert_int_equal(sockets_in(fixture, 0, 0), 1);
}

static void test_numbers_and_sids_are_unique(void **state)
{
    struct fixture *fixture = *state;

    assert_non_null(add(fixture, 0, 7, "aaaaaaaaaaaaaaaaaaaa", ""));
    assert_null(add(fixture, 0, 7, "bbbbbbbbbbbbbbbbbbbb", ""));
    assert_null(add(fixture, 1, 8, "aaaaaaaaaaaaaaaaaaaa", ""));
    assert_int_equal(fixture->sessions.by_sid.count, 1);
}

static void test_rooms_beyond_the_first(void **state)
{
    struct fixture *fixture = *state;
    struct session *session = add(fixture, 0, 1, "aaaaaaaaaaaaaaaaaaaa", "");
    char name[8];

    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "room%u", i);
        enter(fixture, session, name, i, false);
    }
    assert_int_equal(session->room_count, 20);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "room%u", i);
        assert_int_equal(session_membership(session, bytes_from_text(name))->joined_pos, i);
    }
    assert_null(session_membership(session, BYTES("room20")));
    session_remove(&fixture->sessions, &fixture->links[0].sessions, session);
    assert_int_equal(fixture->rooms.members, 0);
    assert_int_equal(fixture->rooms.table.count, 0);
}

static void test_a_second_join_keeps_the_position(void **state)
{
    struct fixture *fixture = *state;
    struct session *session = add(fixture, 0, 1, "aaaaaaaaaaaaaaaaaaaa", "");
    struct room *room;

    enter(fixture, session, "a", 5, false);
    enter(fixture, session, "a", 9, true);
    room = rooms_find(&fixture->rooms, fixture->namespaces[0], BYTES("a"));
    assert_int_equal(room->members, 1);
    assert_int_equal(room->watchers, 1);
    assert_int_equal(session_membership(session, BYTES("a"))->joined_pos, 5);
    enter(fixture, session, "a", 12, false);
    assert_int_equal(room->watchers, 0);
}

static void test_a_membership_goes_when_nothing_is_pending(void **state)
{
    struct fixture *fixture = *state;
    struct session *session = add(fixture, 0, 1, "aaaaaaaaaaaaaaaaaaaa", "");
    struct membership *membership;

    enter(fixture, session, "a", 5, false);
    enter(fixture, session, "b", 6, false);
    membership = session_membership(session, BYTES("a"));
    session_tidy(&fixture->sessions, session, membership);
    assert_int_equal(session->room_count, 2);
    room_hold(membership->room);
    membership->pending = 1;
    session_exit(&fixture->sessions, session, membership);
    session_tidy(&fixture->sessions, session, membership);
    assert_ptr_equal(session_membership(session, BYTES("a")), membership);
    membership->pending = 0;
    room_release(&fixture->rooms, membership->room);
    session_tidy(&fixture->sessions, session, membership);
    assert_int_equal(session->room_count, 1);
    assert_int_equal(session_membership(session, BYTES("b"))->joined_pos, 6);
}

static void move(struct fixture *fixture, struct session *session, unsigned from, unsigned to,
                 uint64_t socket)
{
    session_move(&fixture->sessions, &fixture->links[from].sessions, &fixture->links[to].sessions,
                 &fixture->links[to], socket, session);
}

/* What a gateway has in a room of the first namespace, as members * 10 + watchers. */
static unsigned counts(struct fixture *fixture, const char *name, unsigned link)
{
    struct room *room = rooms_find(&fixture->rooms, fixture->namespaces[0], bytes_from_text(name));
    const struct room_link *entry = room_find_link(room, &fixture->links[link]);

    return entry ? entry->members * 10 + entry->watchers : 0;
}

static void test_a_session_that_moves_is_found_at_its_new_place(void **state)
{
    struct fixture *fixture = *state;
    struct session *session = add(fixture, 0, 7, "aaaaaaaaaaaaaaaaaaaa", "ann");
    uint64_t serial = session->serial;
    char space[SID_LENGTH + 5];

    move(fixture, session, 0, 1, 9);
    assert_null(session_find(&fixture->links[0].sessions, 7));
    assert_null(session_find(&fixture->links[0].sessions, 9));
    assert_null(session_find(&fixture->links[1].sessions, 7));
    assert_ptr_equal(session_find_same(&fixture->links[1].sessions, 9, serial), session);
    assert_ptr_equal(sessions_find_sid(&fixture->sessions, BYTES("aaaaaaaaaaaaaaaaaaaa")), session);
    assert_ptr_equal(session->link, &fixture->links[1]);
    assert_true(bytes_equal(session_from(session, space), BYTES("ann")));
    /* The number is free again where it was. */
    assert_non_null(add(fixture, 0, 7, "bbbbbbbbbbbbbbbbbbbb", ""));
}

static void test_a_move_counts_in_its_namespace_only(void **state)
{
    struct fixture *fixture = *state;
    struct session *one = add(fixture, 0, 1, "aaaaaaaaaaaaaaaaaaaa", "");
    struct session *other =
        session_new(&fixture->sessions, &fixture->links[0].sessions, &fixture->links[0], 2,
                    fixture->namespaces[1], BYTES("bbbbbbbbbbbbbbbbbbbb"), (struct bytes){0});

    assert_non_null(add(fixture, 1, 1, "cccccccccccccccccccc", ""));
    move(fixture, other, 0, 1, 2);
    assert_int_equal(sockets_in(fixture, 0, 0), 1);
    assert_int_equal(sockets_in(fixture, 1, 0), 0);
    assert_int_equal(sockets_in(fixture, 0, 1), 1);
    assert_int_equal(sockets_in(fixture, 1, 1), 1);
    move(fixture, one, 0, 1, 3);
    assert_int_equal(sockets_in(fixture, 0, 0), 0);
    assert_int_equal(sockets_in(fixture, 0, 1), 2);
}

static void test_rooms_move_along(void **state)
{
    struct fixture *fixture = *state;
    struct session *mover = add(fixture, 0, 1, "aaaaaaaaaaaaaaaaaaaa", "");
    struct session *stays = add(fixture, 0, 2, "bbbbbbbbbbbbbbbbbbbb", "");
    struct session *there = add(fixture, 1, 1, "cccccccccccccccccccc", "");
    struct room *room;

    enter(fixture, mover, "shared", 5, true);
    enter(fixture, mover, "alone", 6, true);
    enter(fixture, stays, "shared", 7, true);
    enter(fixture, there, "shared", 8, false);
    move(fixture, mover, 0, 1, 2);
    assert_int_equal(counts(fixture, "shared", 0), 11);
    assert_int_equal(counts(fixture, "shared", 1), 21);
    assert_int_equal(counts(fixture, "alone", 0), 0);
    assert_int_equal(counts(fixture, "alone", 1), 11);
    assert_int_equal(fixture->rooms.members, 4);
    room = session_membership(mover, BYTES("shared"))->room;
    assert_int_equal(room->members, 3);
    assert_int_equal(room->watchers, 2);
    assert_int_equal(session_membership(mover, BYTES("shared"))->joined_pos, 5);
    assert_int_equal(session_membership(mover, BYTES("alone"))->joined_pos, 6);

    session_remove(&fixture->sessions, &fixture->links[1].sessions, mover);
    assert_int_equal(counts(fixture, "shared", 1), 10);
    assert_null(rooms_find(&fixture->rooms, fixture->namespaces[0], BYTES("alone")));
}

static void test_only_a_session_at_rest_moves(void **state)
{
    struct fixture *fixture = *state;
    struct session *session = add(fixture, 0, 1, "aaaaaaaaaaaaaaaaaaaa", "");

    assert_true(session_at_rest(session));
    enter(fixture, session, "a", 5, false);
    enter(fixture, session, "b", 5, false);
    assert_true(session_at_rest(session));
    session_membership(session, BYTES("b"))->pending = 1;
    assert_false(session_at_rest(session));
    session_membership(session, BYTES("b"))->pending = 0;
    session->reads = 1;
    assert_false(session_at_rest(session));
    session->reads = 0;
    assert_true(session_at_rest(session));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_session_is_found_by_number_and_sid, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_numbers_and_sids_are_unique, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rooms_beyond_the_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_second_join_keeps_the_position, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_membership_goes_when_nothing_is_pending, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_session_that_moves_is_found_at_its_new_place, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_move_counts_in_its_namespace_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rooms_move_along, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_a_session_at_rest_moves, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
