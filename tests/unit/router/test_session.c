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
    session->connecting = true;
    assert_false(session_at_rest(session));
    session->connecting = false;
    assert_true(session_at_rest(session));
}

static void detach(struct fixture *fixture, struct session *session, uint64_t now)
{
    session_detach(&fixture->sessions, &session->link->sessions, session, now);
}

static void attach(struct fixture *fixture, struct session *session, unsigned link, uint64_t socket)
{
    session_attach(&fixture->sessions, &fixture->links[link].sessions, &fixture->links[link], socket,
                   session);
}

static void test_an_away_session_keeps_its_rooms_and_does_not_count(void **state)
{
    struct fixture *fixture = *state;
    struct session *session = add(fixture, 0, 1, "aaaaaaaaaaaaaaaaaaaa", "ann");
    struct room *room;

    enter(fixture, session, "a", 5, true);
    enter(fixture, session, "b", 6, false);
    detach(fixture, session, 1000);
    assert_null(session->link);
    assert_null(session_find(&fixture->links[0].sessions, 1));
    assert_ptr_equal(sessions_find_sid(&fixture->sessions, BYTES("aaaaaaaaaaaaaaaaaaaa")), session);
    assert_int_equal(sockets_in(fixture, 0, 0), 0);
    room = rooms_find(&fixture->rooms, fixture->namespaces[0], BYTES("a"));
    assert_int_equal(room->members, 0);
    assert_int_equal(room->watchers, 0);
    assert_int_equal(fixture->rooms.members, 0);

    attach(fixture, session, 1, 7);
    assert_ptr_equal(session_find(&fixture->links[1].sessions, 7), session);
    assert_int_equal(sockets_in(fixture, 0, 1), 1);
    assert_int_equal(counts(fixture, "a", 1), 11);
    assert_int_equal(counts(fixture, "b", 1), 10);
    assert_int_equal(room->references, 0);
    assert_int_equal(session_membership(session, BYTES("a"))->joined_pos, 5);
    assert_false(session->unsaved);
    session_remove(&fixture->sessions, &fixture->links[1].sessions, session);
    assert_int_equal(fixture->rooms.table.count, 0);
}

static void test_an_away_session_takes_in_what_was_on_its_way(void **state)
{
    struct fixture *fixture = *state;
    struct session *session = add(fixture, 0, 1, "aaaaaaaaaaaaaaaaaaaa", "");
    struct membership *membership;

    enter(fixture, session, "left", 5, false);
    membership =
        session_add_membership(session, rooms_get(&fixture->rooms, session->namespace, BYTES("joined")));
    membership->pending = 1;
    room_hold(membership->room);
    detach(fixture, session, 1000);

    membership->pending = 0;
    session_enter(&fixture->sessions, session, membership, 9, true);
    room_release(&fixture->rooms, membership->room);
    membership = session_membership(session, BYTES("left"));
    session_exit(&fixture->sessions, session, membership);
    session_tidy(&fixture->sessions, session, membership);
    assert_null(rooms_find(&fixture->rooms, fixture->namespaces[0], BYTES("left")));
    attach(fixture, session, 0, 2);
    assert_int_equal(session->room_count, 1);
    assert_int_equal(counts(fixture, "joined", 0), 11);
    assert_int_equal(session_membership(session, BYTES("joined"))->joined_pos, 9);
}

static void test_a_new_socket_forgets_what_was_on_its_way(void **state)
{
    struct fixture *fixture = *state;
    struct session *session = add(fixture, 0, 1, "aaaaaaaaaaaaaaaaaaaa", "");
    uint32_t attachment = session->attachment;
    struct membership *membership;

    enter(fixture, session, "member", 5, false);
    session_membership(session, BYTES("member"))->wanted = false;
    session_membership(session, BYTES("member"))->pending = 1; /* a leave */
    membership =
        session_add_membership(session, rooms_get(&fixture->rooms, session->namespace, BYTES("asked")));
    membership->pending = 2;
    membership->wanted = true;
    detach(fixture, session, 1000);
    attach(fixture, session, 0, 2);
    assert_int_not_equal(session->attachment, attachment);
    assert_true(session->unsaved);
    assert_int_equal(session->room_count, 1);
    assert_true(session_membership(session, BYTES("member"))->wanted);
    assert_true(session_at_rest(session));
    assert_null(rooms_find(&fixture->rooms, fixture->namespaces[0], BYTES("asked")));
}

static void test_away_sessions_stand_in_the_order_of_time(void **state)
{
    struct fixture *fixture = *state;
    struct sessions *sessions = &fixture->sessions;
    struct session *one = add(fixture, 0, 1, "aaaaaaaaaaaaaaaaaaaa", "");
    struct session *two = add(fixture, 0, 2, "bbbbbbbbbbbbbbbbbbbb", "");
    struct session *three = add(fixture, 0, 3, "cccccccccccccccccccc", "");

    detach(fixture, two, 1000);
    detach(fixture, one, 1001);
    detach(fixture, three, 1002);
    assert_int_equal(sessions->away, 3);
    assert_ptr_equal(sessions->first_away, two);
    attach(fixture, one, 0, 4);
    assert_ptr_equal(two->later, three);
    assert_ptr_equal(three->earlier, two);
    session_remove(sessions, NULL, two);
    assert_ptr_equal(sessions->first_away, three);
    assert_ptr_equal(sessions->last_away, three);
    detach(fixture, one, 1003);
    assert_ptr_equal(sessions->last_away, one);
    attach(fixture, three, 0, 5);
    attach(fixture, one, 0, 6);
    assert_null(sessions->first_away);
    assert_null(sessions->last_away);
    assert_int_equal(sessions->away, 0);
}

static void test_a_room_is_quiet_while_one_alone_speaks(void **state)
{
    struct fixture *fixture = *state;
    struct session *session = add(fixture, 0, 1, "aaaaaaaaaaaaaaaaaaaa", "");
    struct membership *membership;

    enter(fixture, session, "a", 5, false);
    membership = session_membership(session, BYTES("a"));
    membership->room->last_pos = 7; /* of somebody else */
    session_note_sent(membership, 9);
    membership->room->last_pos = 9;
    session_note_sent(membership, 12);
    membership->room->last_pos = 12;
    assert_int_equal(membership->quiet->from, 7);
    assert_int_equal(membership->quiet->to, 12);
    membership->room->last_pos = 13; /* of somebody else again */
    session_note_sent(membership, 14);
    assert_int_equal(membership->quiet->from, 13);
    assert_int_equal(membership->quiet->to, 14);
    membership->room->last_pos = LAST_POS_UNKNOWN;
    session_note_sent(membership, 15);
    assert_int_equal(membership->quiet->from, LAST_POS_UNKNOWN);

    /* It stays while others come and go, and ends with the membership. */
    enter(fixture, session, "b", 16, false);
    enter(fixture, session, "c", 17, false);
    membership = session_membership(session, BYTES("b"));
    session_exit(&fixture->sessions, session, membership);
    session_tidy(&fixture->sessions, session, membership);
    assert_int_equal(session_membership(session, BYTES("a"))->quiet->to, 15);
    assert_null(session_membership(session, BYTES("c"))->quiet);
    membership = session_membership(session, BYTES("a"));
    session_exit(&fixture->sessions, session, membership);
    session_tidy(&fixture->sessions, session, membership);
    enter(fixture, session, "a", 18, false);
    assert_null(session_membership(session, BYTES("a"))->quiet);
}

static void test_a_row_becomes_an_away_session(void **state)
{
    struct fixture *fixture = *state;
    struct session_row row = {.serial = 17,
                              .connected_pos = 3,
                              .generation = 4,
                              .sid = BYTES("aaaaaaaaaaaaaaaaaaaa"),
                              .secret = BYTES("ssssssssssssssssssssss"),
                              .from = BYTES("ann")};
    struct session *session = session_restore(&fixture->sessions, fixture->namespaces[1], &row, 1000);
    struct session *other;

    assert_non_null(session);
    assert_true(session_recoverable(session) && session->told);
    assert_true(bytes_equal(session_secret(session), row.secret));
    assert_true(bytes_equal(grant_sub(session->grant), BYTES("ann")));
    assert_int_equal(session->generation, 4);
    assert_ptr_equal(fixture->sessions.first_away, session);
    assert_null(session_restore(&fixture->sessions, fixture->namespaces[1], &row, 1000));
    /* Ids go on behind those that are there. */
    other = add(fixture, 0, 1, "bbbbbbbbbbbbbbbbbbbb", "");
    assert_int_equal(other->serial, 18);
    assert_false(session_recoverable(other));
    session_make_recoverable(other);
    assert_true(session_recoverable(other));
    assert_true(bytes_starts_with(bytes_make(other->pid, PID_LENGTH), session_sid(other)));
    assert_int_equal(session_secret(other).length, SESSION_SECRET_LENGTH);
}

static void test_a_held_session_stays_in_memory(void **state)
{
    struct fixture *fixture = *state;
    struct session *session = session_hold(add(fixture, 0, 1, "aaaaaaaaaaaaaaaaaaaa", "ann"));

    enter(fixture, session, "a", 5, false);
    session_remove(&fixture->sessions, &fixture->links[0].sessions, session);
    assert_true(session->gone);
    assert_null(sessions_find_sid(&fixture->sessions, BYTES("aaaaaaaaaaaaaaaaaaaa")));
    assert_true(bytes_equal(grant_sub(session->grant), BYTES("ann")));
    session_release(session);
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
        cmocka_unit_test_setup_teardown(test_an_away_session_keeps_its_rooms_and_does_not_count, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_an_away_session_takes_in_what_was_on_its_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_new_socket_forgets_what_was_on_its_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_away_sessions_stand_in_the_order_of_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_room_is_quiet_while_one_alone_speaks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_row_becomes_an_away_session, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_held_session_stays_in_memory, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
