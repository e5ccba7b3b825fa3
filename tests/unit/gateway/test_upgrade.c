/* Upgrades at their home: what moves, in which order, and what is left behind when a step fails. */
#include "tests/unit/gateway/played.h"
#include "tests/unit/gateway/played_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static char sid[SESSION_SID_LENGTH + 1];

static struct session *session(void)
{
    return session_find(home, bytes_make(sid, SESSION_SID_LENGTH));
}

/* A WebSocket at that gateway that has got its 101 and the answer to its probe. */
static struct client probed(struct gateway *at)
{
    struct client client = client_open(at);

    client_upgrade(&client, sid);
    played_settle();
    assert_string_equal(client_messages(&client), "");
    client_message(&client, "2probe");
    played_settle();
    assert_string_equal(client_messages(&client), "3probe");
    return client;
}

/* -- what moves ------------------------------------------------------------------------------ */

static void everything_comes_once_and_in_order(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++) {
        struct gateway *at = far ? other : home;
        struct client client;

        open_socket_session(home, sid);
        played_join(home, played_socket(home), "room");
        played_deliver(home, "room", "[\"e\",1]");
        client = probed(at);
        played_deliver(home, "room", "[\"e\",2]");
        client_message(&client, "5");
        client_message(&client, "42[\"presence\",\"room\"]"); /* held until the session is there */
        if (far) {
            played_until(RELAY_OFFER);
            played_deliver(home, "room", "[\"e\",3]");
            played_until(RELAY_HANDOVER);
            assert_string_equal(client_messages(&client), "");
            played_deliver(other, "room", "[\"e\",4]"); /* its rooms are here, what waited is not yet */
            assert_string_equal(client_messages(&client), "");
        } else {
            played_deliver(home, "room", "[\"e\",3]"); /* in the turn of the switch */
            played_turn(home);
            played_deliver(home, "room", "[\"e\",4]");
        }
        played_settle();
        assert_string_equal(client_messages(&client), "42[\"e\",1]|42[\"e\",2]|42[\"e\",3]|42[\"e\",4]");
        assert_int_equal(at->requests.count, 1);
        assert_int_equal(session()->state, far ? SESSION_MOVED : SESSION_UPGRADED);
        assert_int_equal(home->counters.polling_sessions, 0);
        client_close(&client);
        played_settle();
        assert_null(session());
    }
}

#define PACKED(number) "\x83\xa4type\x02\xa4\x64\x61ta\x92\xa1\x65" number "\xa3nsp\xa1/"

/* What waited as base64 and what comes later are the same binary messages. */
static void a_session_keeps_its_parser(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++) {
        struct gateway *at = far ? other : home;
        struct client client;

        home->encoder = home->encoder ? home->encoder : encoder_new(1 << 20);
        other->encoder = other->encoder ? other->encoder : encoder_new(1 << 20);
        open_socket_session(home, sid);
        session()->connection->encoding = ENCODING_MSGPACK_POLLING;
        played_join(home, played_socket(home), "room");
        client = probed(at);
        played_deliver(home, "room", "[\"e\",1]");
        client_message(&client, "5");
        if (far) {
            played_until(RELAY_HANDOVER);
            played_deliver(other, "room", "[\"e\",2]");
        }
        played_settle();
        played_deliver(at, "room", "[\"e\",3]");
        played_settle();
        assert_string_equal(client_messages(&client),
                            far ? PACKED("\x01") "|" PACKED("\x02") "|" PACKED("\x03")
                                : PACKED("\x01") "|" PACKED("\x03"));
        assert_int_equal(client_connection(&client)->encoding, ENCODING_MSGPACK);
        client_close(&client);
        played_settle();
    }
}

static void a_gateway_without_the_parser_takes_no_such_session(void **state)
{
    struct client client;

    (void)state;
    home->encoder = encoder_new(1 << 20);
    open_socket_session(home, sid);
    session()->connection->encoding = ENCODING_MSGPACK_POLLING;
    client = probed(other);
    client_message(&client, "5");
    played_settle();
    assert_string_equal(client_messages(&client), "close 0");
    assert_null(session());
    assert_int_equal(other->counters.closed[CLOSE_UPGRADE_FAILED], 1);
    client_close(&client);
}

/* One room's turn goes to members of three encodings, one of which changes its connection in that turn. */
static void what_a_turn_brought_before_the_switch_stays_before_it(void **state)
{
    struct client client;

    (void)state;
    open_socket_session(home, sid);
    played_join(home, played_socket(home), "room");
    client = probed(home);
    client_message(&client, "5");
    while (client_connection(&client)->arrival && !client_connection(&client)->stopped) {
        played_deliver(home, "room", "[\"e\",1]");
        played_deliver(home, "room", "[\"e\",2]");
        played_turn(home);
    }
    played_deliver(home, "room", "[\"e\",3]");
    played_settle();
    assert_string_equal(client_messages(&client), "42[\"e\",1]|42[\"e\",2]|42[\"e\",3]");
    client_close(&client);
}

static void the_session_waits_for_the_routers_answers(void **state)
{
    struct client client;

    (void)state;
    open_session(home, sid);
    assert_int_equal(post_once(home, sid, "40"), 200);
    client = probed(other);
    client_message(&client, "5");
    played_settle();
    assert_int_equal(played_count(RELAY_OFFER), 0);
    assert_int_equal(played_connect(home), 1);
    played_settle();
    assert_int_equal(played_count(RELAY_OFFER), 1);
    assert_int_equal(strncmp(client_messages(&client), "40{\"sid\":", 9), 0);
    client_close(&client);
}

/* The client's event is for a backend, that may take minutes for it. */
static void emit_call(const char *packet)
{
    assert_int_equal(post_once(home, sid, packet), 200);
    assert_int_equal(played_socket(home)->calls, 1);
}

static void a_socket_waits_for_a_backend_on_whatever_transport(void **state)
{
    struct client client;

    (void)state;
    open_socket_session(home, sid);
    emit_call("427[\"slow\"]");
    client = probed(home);
    client_message(&client, "5");
    played_settle();
    assert_int_equal(session()->state, SESSION_UPGRADED);
    assert_string_equal(client_messages(&client), "");
    assert_int_equal(played_answer_events(home, "1,2"), 1);
    played_settle();
    assert_string_equal(client_messages(&client), "437[1,2]");
    assert_int_equal(played_socket(home)->calls, 0);
    client_close(&client);
}

static void a_websocket_elsewhere_waits_for_a_backend(void **state)
{
    struct client client = {0};

    (void)state;
    open_socket_session(home, sid);
    emit_call("42[\"slow\"]");
    client = client_open(other);
    client_upgrade(&client, sid);
    played_settle();
    assert_string_equal(client_read(&client), "");
    played_join(home, played_socket(home), "room");
    played_deliver(home, "room", "[\"e\",1]");
    assert_string_equal(poll_once(home, sid), "42[\"e\",1]"); /* polling goes on meanwhile */
    assert_int_equal(played_answer_events(home, NULL), 1);
    played_settle();
    client_message(&client, "2probe");
    played_settle();
    assert_string_equal(client_messages(&client), "3probe");
    client_message(&client, "5");
    played_settle();
    assert_int_equal(session()->state, SESSION_MOVED);
    client_close(&client);
}

static void a_websocket_elsewhere_waits_for_a_backend_in_vain(void **state)
{
    struct client client;

    (void)state;
    open_socket_session(home, sid);
    emit_call("42[\"slow\"]");
    for (int far = 1; far < 3; far++) { /* the second one is here, and the first has left nothing */
        client = client_open(far == 1 ? other : home);
        client_upgrade(&client, sid);
        played_settle();
        if (far == 1) {
            assert_string_equal(client_read(&client), "");
            played_skip(home->settings->upgrade_timeout);
            played_settle();
            assert_int_equal(client_answer(&client, NULL), 400);
            assert_int_equal(session()->arrival.number, 0);
            assert_int_equal(home->sessions.moving_count, 0);
        } else
            assert_non_null(strstr(client_read(&client), "HTTP/1.1 101"));
        client_close(&client);
        played_settle();
    }
    assert_int_equal(session()->state, SESSION_POLLING);
}

/* Whatever it was asked before it moves it may answer there, and no more than that. */
static void the_clients_questions_move_along(void **state)
{
    struct client client;
    struct socket *socket;

    (void)state;
    open_socket_session(home, sid);
    socket_ask(home, played_socket(home), 1, BYTES("[\"q\"]"), (struct bytes){0});
    assert_string_equal(poll_once(home, sid), "421[\"q\"]");
    client = probed(other);
    client_message(&client, "5");
    played_until(RELAY_OFFER);
    socket_ask(home, played_socket(home), 2, BYTES("[\"q\"]"), (struct bytes){0});
    played_until(RELAY_OWED);
    socket = played_socket(other);
    assert_non_null(socket);
    socket_ask(other, socket, 3, BYTES("[\"q\"]"), (struct bytes){0});
    played_settle();
    assert_string_equal(client_messages(&client), "422[\"q\"]|423[\"q\"]");
    assert_int_equal(socket->questions, 3);
    for (int i = 0; i < 4; i++)
        client_message(&client, "431[]");
    played_settle();
    assert_int_equal(other->requests.count, 3);
    assert_int_equal(other->counters.answers_unasked, 1);
    client_close(&client);
}

static void a_session_without_sockets_moves_at_once(void **state)
{
    struct client client;

    (void)state;
    open_session(home, sid);
    client = probed(other);
    client_message(&client, "5");
    client_message(&client, "40");
    played_settle();
    assert_int_equal(session()->state, SESSION_MOVED);
    assert_int_equal(played_connect(other), 1);
    played_settle();
    assert_int_equal(strncmp(client_messages(&client), "40{\"sid\":", 9), 0);
    client_close(&client);
}

/* -- what is left ---------------------------------------------------------------------------- */

/* played_stop() is the test: the home stops while another gateway has the session. */
static void a_gateway_may_stop_while_others_have_its_sessions(void **state)
{
    struct client client;

    (void)state;
    open_socket_session(home, sid);
    client = probed(other);
    client_message(&client, "5");
    played_settle();
    assert_int_equal(session()->state, SESSION_MOVED);
    client_close(&client);
}

static void a_moved_session_is_remembered_until_it_ends(void **state)
{
    struct client client;

    (void)state;
    open_socket_session(home, sid);
    client = probed(other);
    client_message(&client, "5");
    played_settle();
    assert_string_equal(poll_once(home, sid), "{\"code\":3,\"message\":\"Bad request\"}");
    assert_string_equal(poll_once(other, sid), "{\"code\":3,\"message\":\"Bad request\"}");
    client_close(&client);
    played_settle();
    assert_null(session());
    assert_int_equal(other->relays.questions.count, 0);
    assert_int_equal(other->relays.bytes, 0);
    assert_string_equal(poll_once(other, sid), "{\"code\":1,\"message\":\"Session ID unknown\"}");
}

/* The news that a session is over waits for as long as the router is away. */
static void an_end_is_told_however_late(void **state)
{
    struct client client;

    (void)state;
    open_socket_session(home, sid);
    client = probed(other);
    client_message(&client, "5");
    played_settle();
    played_link_down(other);
    client_close(&client);
    played_settle();
    played_skip(10 * 60000);
    played_link_up(other);
    played_settle();
    assert_null(session());
}

/* What a poll of another gateway was answered is kept, but not longer than anybody may ask for it. */
static void a_moved_session_keeps_no_payload(void **state)
{
    struct client client;

    (void)state;
    open_socket_session(home, sid);
    played_join(home, played_socket(home), "room");
    played_deliver(home, "room", "[\"e\",1]");
    assert_string_equal(poll_once(other, sid), "42[\"e\",1]");
    assert_int_not_equal(session()->retained.capacity, 0);
    client = probed(other);
    client_message(&client, "5");
    played_settle();
    assert_int_equal(session()->retained.capacity, 0);
    client_close(&client);
}

/* -- called off ------------------------------------------------------------------------------ */

static void polling_goes_on_when_the_websocket_fails(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++) {
        struct client client;

        open_socket_session(home, sid);
        client = probed(far ? other : home);
        client_message(&client, "4hello");
        played_settle();
        assert_string_equal(client_messages(&client), "close 0");
        assert_int_equal(session()->arrival.number, 0);
        played_join(home, played_socket(home), "room");
        played_deliver(home, "room", "[\"e\",1]");
        assert_string_equal(poll_once(home, sid), "42[\"e\",1]");
        client_close(&client);
        client = probed(home); /* and another may try */
        client_message(&client, "5");
        played_settle();
        assert_int_equal(session()->state, SESSION_UPGRADED);
        client_close(&client);
        played_settle();
    }
}

/* Its gateway's link is down when the WebSocket goes: the home hears of it afterwards. */
static void a_lost_cancel_is_told_again(void **state)
{
    struct client client;

    (void)state;
    open_session(home, sid);
    client = probed(other);
    played_link_down(other);
    client_close(&client);
    played_settle();
    assert_int_not_equal(session()->arrival.number, 0);
    played_skip(60000 - 20000);
    played_link_up(other);
    played_settle();
    assert_non_null(session());
    assert_int_equal(session()->arrival.number, 0);
    assert_false(session()->probed);
    assert_int_equal(other->relays.questions.count, 0);
}

/* The WebSocket goes while the home hands the session over: nobody has it then. */
static void a_cancel_that_crosses_the_handover_ends_the_session(void **state)
{
    struct client client;

    (void)state;
    open_socket_session(home, sid);
    client = probed(other);
    client_message(&client, "5");
    played_until(RELAY_HANDOVER);
    client_close(&client);
    played_settle();
    assert_null(session());
    assert_null(played_socket(home));
    assert_null(played_socket(other));
    assert_int_equal(other->relays.questions.count, 0);
}

static void a_second_websocket_is_refused(void **state)
{
    struct client first, second;

    (void)state;
    open_session(home, sid);
    first = probed(other);
    second = client_open(home);
    client_upgrade(&second, sid);
    played_settle();
    assert_string_equal(client_messages(&second), "close 0");
    client_close(&second);
    client_message(&first, "5");
    played_settle();
    assert_int_equal(session()->state, SESSION_MOVED);
    second = client_open(other);
    client_upgrade(&second, sid);
    played_settle();
    assert_string_equal(client_messages(&second), "close 0");
    client_close(&second);
    client_close(&first);
}

/* -- posts and polls at the switch ------------------------------------------------------------ */

/* Its packets can't be read any more, so it must not be told that they were. */
static void a_post_whose_body_is_coming_at_the_switch_is_refused(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++) {
        struct client client, post;

        open_socket_session(home, sid);
        post = client_open(far ? other : home);
        client_write(&post, BYTES("POST /socket.io/?EIO=4&transport=polling&sid="));
        client_write(&post, bytes_make(sid, SESSION_SID_LENGTH));
        client_write(&post, BYTES(" HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n42"));
        played_settle();
        client = probed(home);
        client_message(&client, "5");
        played_settle();
        client_write(&post, BYTES("[\"m\",1]x"));
        played_settle();
        assert_int_equal(client_answer(&post, NULL), 400);
        assert_int_equal(session()->state, SESSION_UPGRADED);
        client_close(&post);
        client_close(&client);
        played_settle();
    }
}

static void a_poll_that_waits_ends_with_the_probe_and_is_refused_behind_the_switch(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++) {
        struct client client, poll;
        const char *body = "";

        open_session(home, sid);
        poll = client_open(far ? other : home);
        client_poll(&poll, sid);
        client = probed(home);
        played_settle();
        assert_int_equal(client_answer(&poll, &body), 200);
        assert_string_equal(body, "6");
        client_poll(&poll, sid);
        played_settle();
        assert_int_equal(client_answer(&poll, NULL), 0);
        client_message(&client, "5");
        played_settle();
        assert_int_equal(client_answer(&poll, NULL), 400);
        client_close(&poll);
        client_close(&client);
        played_settle();
    }
}

/* -- the home's link is lost ------------------------------------------------------------------ */

static void an_offer_that_is_lost_is_made_again(void **state)
{
    struct client client;

    (void)state;
    open_socket_session(home, sid);
    client = probed(other);
    client_message(&client, "5");
    played_until(RELAY_OFFER);
    played_link_down(home);
    played_link_up(home);
    played_settle();
    assert_int_equal(session()->state, SESSION_MOVED);
    assert_non_null(played_socket(other));
    client_close(&client);
}

static void a_gateway_that_is_gone_leaves_nothing(void **state)
{
    struct client client, second;
    char moved[SESSION_SID_LENGTH + 1];

    (void)state;
    open_socket_session(home, sid);
    client = probed(other);
    client_message(&client, "5");
    played_settle();
    memcpy(moved, sid, sizeof moved);
    open_session(home, sid);
    second = probed(other);
    played_gone(home, other);
    assert_null(session_find(home, bytes_make(moved, SESSION_SID_LENGTH)));
    assert_int_equal(session()->arrival.number, 0);
    client_close(&client);
    client_close(&second);
}

/* A home that goes while a WebSocket of another gateway waits for it: the client is told. */
static void a_home_that_is_gone_ends_its_arrivals(void **state)
{
    struct client client;

    (void)state;
    open_session(home, sid);
    client = probed(other);
    played_gone(other, home);
    played_turn(other);
    assert_string_equal(client_messages(&client), "close 0");
    assert_int_equal(other->relays.questions.count, 0);
    client_close(&client);
}

/* -- too much --------------------------------------------------------------------------------- */

/* What waits at the home is over its limit in the very turn of the move: nothing may be lost unseen. */
static void a_queue_that_overflows_in_the_turn_of_the_move_ends_the_session(void **state)
{
    char payload[4096] = "[\"e\",\"";

    (void)state;
    memset(payload + 6, 'x', sizeof payload - 9);
    memcpy(payload + sizeof payload - 3, "\"]", 3);
    for (int far = 0; far < 2; far++) {
        struct client client;

        open_socket_session(home, sid);
        played_join(home, played_socket(home), "room");
        client = probed(far ? other : home);
        client_message(&client, "5");
        if (far)
            played_until(PLAYED_TAKE);
        else
            connections_on_event(home, client.number, 1);
        for (int i = 0; i < 20; i++)
            played_deliver(home, "room", payload);
        played_settle();
        assert_string_equal(client_messages(&client), "close 0");
        assert_null(session());
        client_close(&client);
        played_settle();
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, played_start, played_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_comes_once_and_in_order),
        TEST(a_session_keeps_its_parser),
        TEST(a_gateway_without_the_parser_takes_no_such_session),
        TEST(what_a_turn_brought_before_the_switch_stays_before_it),
        TEST(the_session_waits_for_the_routers_answers),
        TEST(a_socket_waits_for_a_backend_on_whatever_transport),
        TEST(a_websocket_elsewhere_waits_for_a_backend),
        TEST(a_websocket_elsewhere_waits_for_a_backend_in_vain),
        TEST(the_clients_questions_move_along),
        TEST(a_session_without_sockets_moves_at_once),
        TEST(a_gateway_may_stop_while_others_have_its_sessions),
        TEST(a_moved_session_is_remembered_until_it_ends),
        TEST(an_end_is_told_however_late),
        TEST(a_moved_session_keeps_no_payload),
        TEST(polling_goes_on_when_the_websocket_fails),
        TEST(a_lost_cancel_is_told_again),
        TEST(a_cancel_that_crosses_the_handover_ends_the_session),
        TEST(a_second_websocket_is_refused),
        TEST(a_post_whose_body_is_coming_at_the_switch_is_refused),
        TEST(a_poll_that_waits_ends_with_the_probe_and_is_refused_behind_the_switch),
        TEST(an_offer_that_is_lost_is_made_again),
        TEST(a_gateway_that_is_gone_leaves_nothing),
        TEST(a_home_that_is_gone_ends_its_arrivals),
        TEST(a_queue_that_overflows_in_the_turn_of_the_move_ends_the_session),
    };

    return cmocka_run_group_tests_name("gateway upgrade", tests, NULL, NULL);
}
