/* Recovery in a gateway: the pid, what a client missed, and what each kind of end is called. */
#include "gateway/replay.h"
#include "tests/unit/gateway/played.h"
#include "tests/unit/gateway/played_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define NONE     ((struct bytes){0})
#define ANSWER   "40{\"sid\":\"S\",\"pid\":\"P\"}"
#define MISSED   "[\"e\",1]"
#define RECEIVED "42" MISSED

enum { EVENTS = 100, EVENT_LENGTH = 2000 }; /* together three times the outbound queue of the fixture */

static char sid[SESSION_SID_LENGTH + 1];

/* A WebSocket whose CONNECT waits for the router. */
static struct client connecting(void)
{
    struct client client = client_open(home);

    client_upgrade(&client, NULL);
    played_settle();
    assert_non_null(strstr(client_messages(&client), "0{\"sid\":"));
    client_message(&client, "40");
    played_settle();
    assert_non_null(played_connecting(home));
    return client;
}

static void everything_goes_out(void)
{
    played_settle();
    played_settle();
}

/* -- the answer ------------------------------------------------------------------------------ */

static void the_answer_has_the_pid_when_there_is_one(void **state)
{
    struct client client = connecting();

    (void)state;
    played_answer(home, played_connecting(home), "S", "P", false);
    everything_goes_out();
    assert_string_equal(client_messages(&client), ANSWER);
    client_close(&client);
    client = connecting();
    played_answer(home, played_connecting(home), "T", "", false);
    everything_goes_out();
    assert_string_equal(client_messages(&client), "40{\"sid\":\"T\"}");
    client_close(&client);
}

static void a_recovered_socket_is_told_to_a_new_link_as_what_it_was(void **state)
{
    struct client client = connecting();
    struct socket *socket = played_connecting(home);

    (void)state;
    played_answer(home, socket, "S", "P", true);
    assert_int_equal(socket->session_generation, 2);
    assert_memory_equal(socket->sid, "S", socket->sid_length);
    assert_null(socket->token); /* anonymous, under its own sid */
    client_close(&client);
}

/* -- what was missed ------------------------------------------------------------------------- */

static void missed_events_follow_the_answer_and_precede_the_live_ones(void **state)
{
    struct client client = connecting();
    struct socket *socket = played_connecting(home);

    (void)state;
    played_emit(home, socket, MISSED, NONE);
    played_emit(home, socket, "[\"e\",2]", NONE);
    played_join(home, socket, "room");
    played_settle();
    assert_string_equal(client_messages(&client), "");
    played_answer(home, socket, "S", "P", true);
    played_deliver(home, "room", "[\"e\",3]");
    everything_goes_out();
    assert_string_equal(client_messages(&client), ANSWER "|" RECEIVED "|42[\"e\",2]|42[\"e\",3]");
    assert_int_equal(home->counters.deliveries, 3);
    client_close(&client);
}

static void missed_attachments_come_with_their_event(void **state)
{
    struct client client = connecting();
    struct socket *socket = played_connecting(home);
    struct wire_list attachments = {0};

    (void)state;
    wire_list_put_blob(&attachments, BYTES("one"));
    wire_list_put_blob(&attachments, BYTES("two"));
    played_emit(home, socket, "[\"e\",{\"_placeholder\":true,\"num\":0}]", wire_list_finish(&attachments));
    played_emit(home, socket, MISSED, NONE);
    played_answer(home, socket, "S", "P", true);
    everything_goes_out();
    assert_string_equal(client_messages(&client),
                        ANSWER "|452-[\"e\",{\"_placeholder\":true,\"num\":0}]|one|two|" RECEIVED);
    wire_list_done(&attachments);
    client_close(&client);
}

static void polling_gets_them_in_the_same_order(void **state)
{
    struct wire_list attachments = {0};
    struct socket *socket;

    (void)state;
    open_session(home, sid);
    assert_int_equal(post_once(home, sid, "40"), 200);
    socket = played_connecting(home);
    wire_list_put_blob(&attachments, BYTES("one"));
    played_emit(home, socket, "[\"e\",{\"_placeholder\":true,\"num\":0}]", wire_list_finish(&attachments));
    played_emit(home, socket, MISSED, NONE);
    played_join(home, socket, "room");
    played_answer(home, socket, "S", "P", true);
    played_deliver(home, "room", "[\"e\",2]");
    assert_string_equal(poll_once(home, sid), ANSWER "\x1e"
                                                     "451-[\"e\",{\"_placeholder\":true,\"num\":0}]\x1e"
                                                     "bb25l\x1e" RECEIVED "\x1e"
                                                     "42[\"e\",2]");
    wire_list_done(&attachments);
}

/* The session goes over, here or to another gateway, while the router still reads what was missed. */
static void an_upgrade_waits_for_what_was_missed(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++) {
        struct gateway *at = far ? other : home;
        struct client client;
        struct socket *socket;

        open_session(home, sid);
        assert_int_equal(post_once(home, sid, "40"), 200);
        socket = played_connecting(home);
        client = client_open(at);
        client_upgrade(&client, sid);
        played_settle();
        assert_string_equal(client_messages(&client), "");
        client_message(&client, "2probe");
        played_settle();
        assert_string_equal(client_messages(&client), "3probe");
        played_emit(home, socket, MISSED, NONE);
        client_message(&client, "5");
        played_settle();
        played_emit(home, socket, "[\"e\",2]", NONE);
        played_join(home, socket, "room");
        assert_string_equal(client_messages(&client), "");
        played_answer(home, socket, "S", "P", true);
        played_deliver(home, "room", "[\"e\",3]");
        everything_goes_out();
        assert_string_equal(client_messages(&client), ANSWER "|" RECEIVED "|42[\"e\",2]|42[\"e\",3]");
        assert_non_null(played_socket(at));
        client_close(&client);
        played_settle();
    }
}

/* The link is lost between what was missed and the answer: CONNECT is asked again, and all of it comes again.
 */
static void a_new_link_in_the_middle_costs_nothing(void **state)
{
    struct client client = connecting();
    struct socket *socket = played_connecting(home);

    (void)state;
    played_emit(home, socket, MISSED, NONE);
    played_join(home, socket, "room");
    sockets_begin_again(home);
    assert_int_equal(socket->room_count, 0);
    played_settle();
    assert_string_equal(client_messages(&client), "");
    played_emit(home, socket, MISSED, NONE);
    played_join(home, socket, "room");
    played_answer(home, socket, "S", "P", true);
    sockets_begin_again(home); /* one that is connected keeps what it has */
    assert_int_equal(socket->room_count, 1);
    everything_goes_out();
    assert_string_equal(client_messages(&client), ANSWER "|" RECEIVED);
    client_close(&client);
}

/* A client may send behind its CONNECT what the router, or this gateway, answers before that. */
static void answers_wait_for_the_answer_to_connect(void **state)
{
    struct client client = connecting();
    struct socket *socket = played_connecting(home);

    (void)state;
    client_message(&client, "421[\"join\",7]");
    client_message(&client, "42[\"join\",7]");
    played_settle();
    played_emit(home, socket, MISSED, NONE);
    sockets_begin_again(home); /* answers are given once */
    played_emit(home, socket, MISSED, NONE);
    played_settle();
    assert_string_equal(client_messages(&client), "");
    played_answer(home, socket, "S", "P", true);
    everything_goes_out();

    const char *text = client_messages(&client);
    const char *head = ANSWER "|" RECEIVED "|431[{\"ok\":false,", *event = "|42[\"hubbub:error\",";

    assert_int_equal(strncmp(text, head, strlen(head)), 0);
    assert_non_null(strstr(text, event));
    client_close(&client);
}

static void a_client_that_goes_in_the_middle_takes_it_along(void **state)
{
    struct client client = connecting();

    (void)state;
    played_emit(home, played_connecting(home), MISSED, NONE);
    client_close(&client);
    played_settle();
    assert_null(played_connecting(home)); /* the sanitizer looks for what is left */
}

/* -- its bound ------------------------------------------------------------------------------- */

static void emit_much(struct socket *socket)
{
    char payload[EVENT_LENGTH + 1];

    memset(payload, 'x', EVENT_LENGTH);
    memcpy(payload, "[\"", 2);
    memcpy(payload + EVENT_LENGTH - 2, "\"]", 3);
    for (int i = 0; i < EVENTS; i++)
        played_emit(home, socket, payload, NONE);
}

static void a_long_replay_is_no_slow_reader_but_what_follows_may_be(void **state)
{
    struct socket *socket;

    (void)state;
    open_session(home, sid);
    assert_int_equal(post_once(home, sid, "40"), 200);
    socket = played_connecting(home);
    emit_much(socket);
    played_answer(home, socket, "S", "P", true);
    everything_goes_out();
    assert_true(socket->connection->output.bytes > EVENTS * (size_t)EVENT_LENGTH);
    assert_int_equal(post_once(home, sid, "3"), 200); /* alive, and has not read it */
    played_emit(home, socket, MISSED, NONE);
    played_settle();
    assert_ptr_equal(played_socket(home), socket);
    assert_int_equal(strlen(poll_once(home, sid)),
                     strlen(ANSWER "\x1e" RECEIVED) + EVENTS * (EVENT_LENGTH + 3));
    assert_int_equal(post_once(home, sid, "3"), 200);
    assert_null(socket->replay);
    emit_much(socket);
    played_settle();
    assert_null(played_socket(home));
    assert_int_equal(played_last_reason(home), CLOSE_SLOW_READER);
}

/* -- a link that cannot be resumed ------------------------------------------------------------ */

static void whoever_missed_something_for_good_is_closed(void **state)
{
    struct client client = connecting(), late;

    (void)state;
    played_answer(home, played_connecting(home), "S", "P", false);
    late = connecting();
    played_welcome(home, true);
    everything_goes_out();
    assert_non_null(played_socket(home));
    played_welcome(home, false); /* it is in no room, but not everything is for rooms */
    everything_goes_out();
    assert_null(played_socket(home));
    assert_int_equal(played_last_reason(home), CLOSE_NOT_RESUMABLE);
    assert_string_equal(client_messages(&client), ANSWER "|close 1012");
    assert_non_null(played_connecting(home)); /* it has nothing to miss yet */
    client_close(&client);
    client_close(&late);
}

/* -- ends ------------------------------------------------------------------------------------ */

static void one_that_was_taken_over_ends_without_a_word(void **state)
{
    struct client client = connecting();

    (void)state;
    played_answer(home, played_connecting(home), "S", "P", false);
    everything_goes_out();
    assert_string_equal(client_messages(&client), ANSWER);
    played_close(home, played_socket(home), false);
    everything_goes_out();
    assert_string_equal(client_messages(&client), "close 0");
    client_close(&client);

    open_socket_session(home, sid);
    played_close(home, played_socket(home), false);
    assert_string_equal(poll_once(home, sid), "1");

    open_socket_session(home, sid);
    played_close(home, played_socket(home), true);
    assert_string_equal(poll_once(home, sid), "41");
}

static void the_router_is_told_who_left_and_who_was_lost(void **state)
{
    struct client client = connecting();

    (void)state;
    played_answer(home, played_connecting(home), "S", "P", false);
    client_message(&client, "41");
    played_settle();
    assert_int_equal(played_last_reason(home), CLOSE_CLIENT_DISCONNECT);
    client_message(&client, "40");
    played_settle();
    played_answer(home, played_connecting(home), "T", "P", false);
    client_close(&client);
    played_settle();
    assert_int_equal(played_last_reason(home), CLOSE_PEER_GONE);

    open_socket_session(home, sid);
    assert_int_equal(post_once(home, sid, "1"), 200);
    assert_int_equal(played_last_reason(home), CLOSE_CLIENT_CLOSE);

    open_socket_session(home, sid);
    played_skip(home->settings->ping_interval);
    played_skip(home->settings->ping_timeout);
    assert_int_equal(played_last_reason(home), CLOSE_PING_TIMEOUT);

    open_socket_session(home, sid);
    assert_int_equal(post_once(home, sid, "4["), 200);
    assert_int_equal(played_last_reason(home), CLOSE_PARSE_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_answer_has_the_pid_when_there_is_one, played_start, played_stop),
        cmocka_unit_test_setup_teardown(a_recovered_socket_is_told_to_a_new_link_as_what_it_was, played_start,
                                        played_stop),
        cmocka_unit_test_setup_teardown(missed_events_follow_the_answer_and_precede_the_live_ones,
                                        played_start, played_stop),
        cmocka_unit_test_setup_teardown(missed_attachments_come_with_their_event, played_start, played_stop),
        cmocka_unit_test_setup_teardown(polling_gets_them_in_the_same_order, played_start, played_stop),
        cmocka_unit_test_setup_teardown(an_upgrade_waits_for_what_was_missed, played_start, played_stop),
        cmocka_unit_test_setup_teardown(a_new_link_in_the_middle_costs_nothing, played_start, played_stop),
        cmocka_unit_test_setup_teardown(answers_wait_for_the_answer_to_connect, played_start, played_stop),
        cmocka_unit_test_setup_teardown(a_client_that_goes_in_the_middle_takes_it_along, played_start,
                                        played_stop),
        cmocka_unit_test_setup_teardown(a_long_replay_is_no_slow_reader_but_what_follows_may_be, played_start,
                                        played_stop),
        cmocka_unit_test_setup_teardown(whoever_missed_something_for_good_is_closed, played_start,
                                        played_stop),
        cmocka_unit_test_setup_teardown(one_that_was_taken_over_ends_without_a_word, played_start,
                                        played_stop),
        cmocka_unit_test_setup_teardown(the_router_is_told_who_left_and_who_was_lost, played_start,
                                        played_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
