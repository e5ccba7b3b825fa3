/* Exceptions: sids and rooms, and rooms joined before and after a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/except.h"
#include "router/link.h"

#include "common/memory.h"

#include <stdlib.h>

static const char sid[] = "ssssssssssssssssssss";

struct fixture {
    struct namespace_config config;
    struct namespace_list list;
    struct namespace_table table;
    struct rooms rooms;
    struct sessions sessions;
    struct gateway_link link;
    struct session *session; /* in "room" from position 5 on */
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_zero(1, sizeof *fixture);
    struct namespace *namespace;
    struct membership *membership;

    fixture->config.entry = BYTES("/");
    fixture->list = (struct namespace_list){&fixture->config, 1};
    namespace_table_init(&fixture->table, &fixture->list, 1);
    rooms_init(&fixture->rooms, &fixture->table, 0);
    sessions_init(&fixture->sessions, &fixture->rooms);
    session_set_init(&fixture->link.sessions);
    namespace = namespace_find(&fixture->table, BYTES("/"));
    fixture->session = session_new(&fixture->sessions, &fixture->link.sessions, &fixture->link, 1, namespace,
                                   bytes_from_text(sid), (struct bytes){0});
    membership =
        session_add_membership(fixture->session, rooms_get(&fixture->rooms, namespace, BYTES("room")));
    membership->wanted = true;
    session_enter(&fixture->sessions, fixture->session, membership, 5, false);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    session_remove(&fixture->sessions, &fixture->link.sessions, fixture->session);
    session_set_done(&fixture->link.sessions);
    sessions_done(&fixture->sessions);
    rooms_done(&fixture->rooms);
    namespace_table_done(&fixture->table);
    free(fixture);
    return 0;
}

/* Judges a list of that name behind another one. */
static bool excepted(struct fixture *fixture, const char *name, uint64_t pos)
{
    struct wire_list list = {0};
    bool result;

    wire_list_put_text(&list, BYTES("other"));
    wire_list_put_text(&list, bytes_from_text(name));
    result = except_session(wire_list_finish(&list), fixture->session, pos);
    wire_list_done(&list);
    return result;
}

static void test_sids(void **state)
{
    assert_true(excepted(*state, sid, EXCEPT_NOW));
    assert_true(excepted(*state, sid, EXCEPT_WANTED));
    assert_true(excepted(*state, sid, 1));
    assert_false(excepted(*state, "tttttttttttttttttttt", EXCEPT_NOW));
}

static void test_rooms_count_from_their_join(void **state)
{
    assert_true(excepted(*state, "room", EXCEPT_NOW));
    assert_true(excepted(*state, "room", 6));
    assert_false(excepted(*state, "room", 5));
    assert_false(excepted(*state, "Room", EXCEPT_NOW));
}

static void test_what_is_on_its_way(void **state)
{
    struct fixture *fixture = *state;
    struct membership *membership = session_membership(fixture->session, BYTES("room"));
    struct membership *joining;

    membership->wanted = false;
    assert_true(excepted(fixture, "room", EXCEPT_NOW));
    assert_false(excepted(fixture, "room", EXCEPT_WANTED));
    joining = session_add_membership(fixture->session,
                                     rooms_get(&fixture->rooms, fixture->session->namespace, BYTES("soon")));
    joining->wanted = true;
    joining->pending = 1;
    room_hold(joining->room);
    assert_false(excepted(fixture, "soon", EXCEPT_NOW));
    assert_true(excepted(fixture, "soon", EXCEPT_WANTED));
    room_release(&fixture->rooms, joining->room);
    joining->pending = 0;
    session_tidy(&fixture->sessions, fixture->session, joining);
}

static void test_what_is_no_list_excepts_nobody(void **state)
{
    struct fixture *fixture = *state;

    assert_false(except_session((struct bytes){0}, fixture->session, EXCEPT_NOW));
    assert_false(except_session(BYTES("\xc1"), fixture->session, EXCEPT_NOW));
    assert_false(except_session(BYTES("\x92\x01\xa4room"), fixture->session, EXCEPT_NOW));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sids),
        TEST(test_rooms_count_from_their_join),
        TEST(test_what_is_on_its_way),
        TEST(test_what_is_no_list_excepts_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
