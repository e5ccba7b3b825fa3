/* The table of sessions, and their sids. */
#include "tests/unit/gateway/played.h"
#include "tests/unit/gateway/played_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void a_sid_names_its_gateway(void **state)
{
    const uint64_t incarnations[] = {0, 1, 63, 64, (1ULL << 48) - 1, 0x123456789abcULL};
    uint64_t own = home->incarnation;

    (void)state;
    for (unsigned i = 0; i < sizeof incarnations / sizeof *incarnations; i++) {
        char first[SESSION_SID_LENGTH], second[SESSION_SID_LENGTH];
        uint64_t read = ~0ULL;

        home->incarnation = incarnations[i];
        session_make_sid(home, first);
        session_make_sid(home, second);
        assert_int_equal(session_home(bytes_make(first, sizeof first), &read), 0);
        assert_int_equal(read, incarnations[i]);
        assert_memory_equal(first, second, 8);
        assert_memory_not_equal(first + 8, second + 8, 16);
    }
    home->incarnation = own;
}

static void no_sid_looks_like_an_option(void **state)
{
    uint64_t own = home->incarnation, first = 0;

    (void)state;
    for (unsigned i = 0; i < 4000; i++) {
        char sid[SESSION_SID_LENGTH];

        home->incarnation = session_draw_incarnation();
        assert_int_equal(home->incarnation >> 48, 0);
        first |= 1ULL << (home->incarnation >> 42);
        session_make_sid(home, sid);
        assert_int_not_equal(sid[0], '-');
    }
    assert_true(first == ~(1ULL << 62)); /* every other character is among them */
    home->incarnation = own;
}

static void what_is_no_sid_names_none(void **state)
{
    char sid[SESSION_SID_LENGTH + 1];
    uint64_t read = 7;

    (void)state;
    session_make_sid(home, sid);
    for (size_t length = 0; length < SESSION_SID_LENGTH; length++)
        assert_int_equal(session_home(bytes_make(sid, length), &read), ERROR_MALFORMED);
    sid[SESSION_SID_LENGTH] = 'A';
    assert_int_equal(session_home(bytes_make(sid, SESSION_SID_LENGTH + 1), &read), ERROR_MALFORMED);
    for (int at = 0; at < SESSION_SID_LENGTH; at++)
        for (unsigned c = 0; c < 256; c++) {
            bool good = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                        c == '-' || c == '_';
            char copy[SESSION_SID_LENGTH];
            uint64_t out;

            memcpy(copy, sid, sizeof copy);
            copy[at] = (char)c;
            assert_int_equal(session_home(bytes_make(copy, sizeof copy), &out), good ? 0 : ERROR_MALFORMED);
        }
    assert_int_equal(read, 7);
}

static void a_session_is_found_until_it_is_over(void **state)
{
    char sid[SESSION_SID_LENGTH + 1];
    struct session *session;
    struct connection *connection;

    (void)state;
    open_session(home, sid);
    session = session_find(home, bytes_make(sid, SESSION_SID_LENGTH));
    assert_non_null(session);
    assert_null(session_find(other, bytes_make(sid, SESSION_SID_LENGTH)));
    connection = session->connection;
    assert_ptr_equal(connection->session, session);
    connection_drop(home, connection, CLOSE_PING_TIMEOUT);
    assert_null(session_find(home, bytes_make(sid, SESSION_SID_LENGTH)));
    assert_null(connection->session);
    session_end(home, connection); /* none any more */
}

static void one_that_is_moving_leaves_the_list_with_its_end(void **state)
{
    char sids[3][SESSION_SID_LENGTH + 1];
    struct client clients[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        open_session(home, sids[i]);
        assert_int_equal(post_once(home, sids[i], "40"), 200); /* never answered: they stay in MOVING */
        clients[i] = client_open(other);
        client_upgrade(&clients[i], sids[i]);
        played_settle();
        client_message(&clients[i], "5");
        played_settle();
    }
    assert_int_equal(home->sessions.moving_count, 3);
    client_close(&clients[0]);
    played_settle();
    assert_int_equal(home->sessions.moving_count, 2);
    assert_int_equal(played_connect(home), 3); /* one of them for nobody any more */
    played_settle();
    assert_int_equal(home->sessions.moving_count, 0);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(session_find(home, bytes_make(sids[i], SESSION_SID_LENGTH))->state, SESSION_MOVED);
        client_close(&clients[i]);
    }
    played_settle();
    assert_int_equal(home->sessions.by_sid.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, played_start, played_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sid_names_its_gateway),
        TEST(no_sid_looks_like_an_option),
        TEST(what_is_no_sid_names_none),
        TEST(a_session_is_found_until_it_is_over),
        TEST(one_that_is_moving_leaves_the_list_with_its_end),
    };

    return cmocka_run_group_tests_name("gateway session", tests, NULL, NULL);
}
