/* The polling transport: polls and posts here and through another gateway, overlaps, ends, and what is lost.
 */
#include "gateway/polling.h"
#include "tests/unit/gateway/played.h"
#include "tests/unit/gateway/played_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static char sid[SESSION_SID_LENGTH + 1];
static const char unknown[] = "{\"code\":1,\"message\":\"Session ID unknown\"}";

static struct session *session(void)
{
    return session_find(home, bytes_make(sid, SESSION_SID_LENGTH));
}

static struct gateway *gateway_of(int far)
{
    return far ? other : home;
}

/* A poll that waits. */
static struct client polling(struct gateway *at)
{
    struct client client = client_open(at);

    client_poll(&client, sid);
    played_settle();
    assert_int_equal(client_answer(&client, NULL), 0);
    return client;
}

static void expect(struct client *client, int status, const char *expected)
{
    const char *body = "";

    assert_int_equal(client_answer(client, &body), status);
    assert_string_equal(body, expected);
}

/* -- polls ----------------------------------------------------------------------------------- */

static void a_poll_waits_for_packets(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++) {
        struct client poll;

        open_socket_session(home, sid);
        played_join(home, played_socket(home), "room");
        poll = polling(gateway_of(far));
        played_deliver(home, "room", "[\"e\",1]");
        played_deliver(home, "room", "[\"e\",2]");
        played_settle();
        expect(&poll, 200,
               "42[\"e\",1]\x1e"
               "42[\"e\",2]");
        played_deliver(home, "room", "[\"e\",3]"); /* between polls */
        played_settle();
        client_poll(&poll, sid);
        played_settle();
        expect(&poll, 200, "42[\"e\",3]");
        client_close(&poll);
        played_settle();
        assert_non_null(session());
        connection_drop(home, session()->connection, CLOSE_DRAIN);
    }
}

/* An answer that a link lost is given again, and once. */
static void a_lost_answer_is_given_again(void **state)
{
    struct client poll;

    (void)state;
    open_socket_session(home, sid);
    played_join(home, played_socket(home), "room");
    poll = polling(other);
    played_deliver(home, "room", "[\"e\",1]");
    played_turn(home);
    assert_int_equal(played_next(), RELAY_PAYLOAD);
    played_link_down(home);
    played_deliver(home, "room", "[\"e\",2]");
    played_link_up(home);
    played_settle();
    expect(&poll, 200, "42[\"e\",1]");
    client_poll(&poll, sid);
    played_settle();
    expect(&poll, 200, "42[\"e\",2]");
    client_close(&poll);
}

static void a_lost_question_is_asked_again(void **state)
{
    struct client poll = client_open(other);

    (void)state;
    open_socket_session(home, sid);
    played_join(home, played_socket(home), "room");
    played_link_down(other);
    client_poll(&poll, sid);
    played_settle();
    played_deliver(home, "room", "[\"e\",1]");
    played_link_up(other);
    played_settle();
    expect(&poll, 200, "42[\"e\",1]");
    client_close(&poll);
}

/* Stock clients join before they poll again, or while they go over to their WebSocket. */
static void a_number_of_members_waits_for_the_next_poll(void **state)
{
    struct wire_deliver record = {.pos = 1, .namespace = BYTES("/"), .room = BYTES("room")};
    struct client poll;
    struct room *room;

    (void)state;
    open_socket_session(home, sid);
    room_add(home, played_socket(home), BYTES("room"), 0, true);
    room = room_find(namespace_find(&home->namespaces, BYTES("/")), BYTES("room"));
    record.flags = WIRE_DELIVER_VOLATILE | WIRE_DELIVER_WATCHERS;
    record.payload = BYTES("[\"hubbub:presence\",1]");
    deliver_to_room(home, room, &record);
    assert_int_equal(home->counters.dropped_slow_reader, 0);
    /* Other volatile events are for who can take them now. */
    record.flags = WIRE_DELIVER_VOLATILE;
    record.payload = BYTES("[\"typing\"]");
    deliver_to_room(home, room, &record);
    played_settle();
    assert_int_equal(home->counters.dropped_slow_reader, 1);
    poll = client_open(home);
    client_poll(&poll, sid);
    played_settle();
    expect(&poll, 200, "42[\"hubbub:presence\",1]");
    client_close(&poll);
}

static void a_second_poll_ends_the_session(void **state)
{
    (void)state;
    for (int which = 0; which < 4; which++) {
        struct client first, second = client_open(gateway_of(which / 2));

        open_session(home, sid);
        first = polling(gateway_of(which % 2));
        client_poll(&second, sid);
        played_settle();
        expect(&second, 400, "");
        expect(&first, 200, "1");
        assert_null(session());
        assert_string_equal(poll_once(home, sid), unknown);
        client_close(&first);
        client_close(&second);
        played_settle();
        assert_int_equal(other->relays.questions.count, 0);
    }
}

static void a_poll_that_is_given_up_ends_the_session(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++) {
        struct client poll;

        open_session(home, sid);
        poll = polling(gateway_of(far));
        client_close(&poll);
        played_settle();
        assert_null(session());
        assert_int_equal(other->relays.questions.count, 0);
    }
}

/* Its answer was on its way already: what it held is lost, so the session must not go on. */
static void a_poll_that_is_given_up_behind_its_answer_ends_the_session(void **state)
{
    struct client poll;

    (void)state;
    open_socket_session(home, sid);
    played_join(home, played_socket(home), "room");
    poll = polling(other);
    played_deliver(home, "room", "[\"e\",1]");
    played_turn(home);
    client_close(&poll);
    played_turn(other);
    played_settle();
    assert_null(session());
}

/* More than one record holds goes to several polls. */
static void a_large_queue_is_split_between_packets(void **state)
{
    enum { PACKET = 3 << 20, PACKETS = 5 };
    char *payload = malloc(PACKET + 1);
    struct client poll;
    unsigned polls = 0;
    size_t got = 0;

    (void)state;
    fixture_settings(home)->outbound_queue = fixture_settings(other)->outbound_queue = 64 << 20;
    memset(payload, 'x', PACKET);
    memcpy(payload, "[\"", 2);
    strcpy(payload + PACKET - 2, "\"]");
    open_socket_session(home, sid);
    played_join(home, played_socket(home), "room");
    for (int i = 0; i < PACKETS; i++)
        played_deliver(home, "room", payload);
    poll = client_open(other);
    while (got < PACKETS * (PACKET + 2)) {
        const char *body = "";

        client_poll(&poll, sid);
        played_settle();
        assert_int_equal(client_answer(&poll, &body), 200);
        assert_int_equal(strncmp(body, "42[\"xx", 6), 0);
        got += (strlen(body) + 1) / (PACKET + 3) * (PACKET + 2);
        assert_true(++polls <= 3);
    }
    assert_int_equal(polls, 3);
    client_close(&poll);
    free(payload);
}

/* One packet that no record holds: whoever waits for it is told, and the session ends. */
static void a_packet_that_no_record_holds_ends_the_session(void **state)
{
    size_t length = WIRE_TEXT_MAX - 1;
    char *payload = malloc(length + 1);

    (void)state;
    fixture_settings(home)->outbound_queue = 64 << 20;
    memset(payload, 'x', length);
    memcpy(payload, "[\"", 2);
    strcpy(payload + length - 2, "\"]");
    for (int moves = 0; moves < 2; moves++) {
        struct client client = client_open(other);

        open_socket_session(home, sid);
        played_join(home, played_socket(home), "room");
        played_deliver(home, "room", payload);
        if (moves) {
            client_upgrade(&client, sid);
            client_message(&client, "5");
            played_settle();
            assert_string_equal(client_messages(&client), "close 0");
        } else {
            client_poll(&client, sid);
            played_settle();
            assert_true(client_ended(&client));
        }
        client_close(&client);
        played_settle();
        assert_null(session());
    }
    free(payload);
}

/* -- posts ------------------------------------------------------------------------------------- */

static void a_post_is_read_once_however_often_it_is_asked(void **state)
{
    struct client post = client_open(other);

    (void)state;
    open_socket_session(home, sid);
    client_post(&post, sid, "42[\"join\",\"a\"]");
    played_until(RELAY_OK);
    played_link_down(home);
    played_link_up(home);
    played_settle();
    expect(&post, 200, "ok");
    assert_int_equal(home->requests.count, 1);
    client_close(&post);
}

static void bad_packets_end_the_session_but_not_the_post(void **state)
{
    const char *const bodies[] = {"abc",
                                  "2",
                                  "4",
                                  "4"
                                  "2[\"x\"]\x1e"
                                  "9",
                                  "\x1e",
                                  "b???"};

    (void)state;
    for (int far = 0; far < 2; far++)
        for (unsigned i = 0; i < sizeof bodies / sizeof *bodies; i++) {
            open_socket_session(home, sid);
            assert_int_equal(post_once(gateway_of(far), sid, bodies[i]), 200);
            if (session()) /* the close packet waits for a poll */
                assert_string_equal(poll_once(home, sid), "1");
            assert_null(session());
        }
}

static void a_close_packet_ends_the_poll_with_a_noop(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++) {
        struct client poll;

        open_session(home, sid);
        poll = polling(gateway_of(far));
        assert_int_equal(post_once(gateway_of(far), sid, "1"), 200);
        expect(&poll, 200, "6");
        assert_null(session());
        client_close(&poll);
    }
}

/* A second post, though the first one's body is still coming: wherever they came. */
static void a_second_post_ends_the_session_and_the_firsts_connection(void **state)
{
    (void)state;
    for (int which = 0; which < 4; which++) {
        struct client first = client_open(gateway_of(which % 2));
        struct buffer head = {0};

        open_session(home, sid);
        buffer_printf(&head,
                      "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n"
                      "Content-Length: 10\r\n\r\n4",
                      sid);
        client_write(&first, buffer_bytes(&head));
        buffer_done(&head);
        played_settle();
        assert_true(session()->reading);
        assert_int_equal(post_once(gateway_of(which / 2), sid, "40"), 400);
        assert_true(client_ended(&first));
        assert_null(session());
        client_close(&first);
        played_settle();
        assert_int_equal(other->relays.questions.count, 0);
    }
}

/* Beyond its credit a client's packets wait, and so does the answer to their post. */
static void a_post_beyond_the_credit_waits(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++) {
        struct buffer body = {0};
        struct client post = client_open(gateway_of(far));
        struct request *request;
        uint64_t cursor = 0;

        fixture_settings(home)->max_unanswered = 64;
        open_socket_session(home, sid);
        for (int i = 0; i < 100; i++)
            buffer_printf(&body, "%s42[\"presence\",\"room\"]", i ? "\x1e" : "");
        buffer_append_char(&body, '\0');
        client_post(&post, sid, body.data);
        played_settle();
        assert_int_equal(client_answer(&post, NULL), 0);
        assert_int_equal(home->requests.count, 64);
        assert_true(session()->connection->paused);
        while ((request = requests_walk(&home->requests, &cursor)))
            socket_finish_request(home, request);
        played_settle();
        expect(&post, 200, "ok");
        assert_int_equal(home->requests.count, 36);
        buffer_done(&body);
        client_close(&post);
        connection_drop(home, session()->connection, CLOSE_DRAIN);
        cursor = 0;
        while ((request = requests_walk(&home->requests, &cursor)))
            socket_finish_request(home, request);
    }
}

/* -- the probe ---------------------------------------------------------------------------------- */

static struct client probed(const char *of)
{
    struct client client = client_open(home);

    client_upgrade(&client, of);
    client_message(&client, "2probe");
    played_settle();
    return client;
}

/* A poll that crosses the probe's answer ends in a moment, however many others come meanwhile. */
static void late_polls_end_in_a_moment(void **state)
{
    enum { CLIENTS = 8 };
    struct client sockets[CLIENTS], polls[CLIENTS];
    char first[SESSION_SID_LENGTH + 1];
    unsigned answered = 0;

    (void)state;
    for (int i = 0; i < CLIENTS; i++) { /* one every 50 ms */
        open_session(home, sid);
        if (i == 0)
            memcpy(first, sid, sizeof first);
        sockets[i] = probed(sid);
        polls[i] = polling(home);
        played_skip(50);
    }
    for (int i = 0; i < CLIENTS; i++)
        answered += client_answer(&polls[i], NULL) == 200;
    assert_true(answered >= CLIENTS - 3);
    played_skip(100);
    for (int i = 0; i < CLIENTS; i++) {
        client_close(&polls[i]);
        client_close(&sockets[i]);
    }
}

/* -- requests ------------------------------------------------------------------------------------ */

/* One request on a connection of its own: the status, and the body, which is good until the next one. */
static int request(struct gateway *at, const char *line, const char *fields, const char **body)
{
    static char kept[4096];
    struct client client = client_open(at);
    struct buffer text = {0};
    int status;

    buffer_append_text(&text, line);
    if (strstr(line, "&sid="))
        buffer_append_text(&text, sid);
    buffer_printf(&text, " HTTP/1.1\r\nHost: h\r\n%s\r\n", fields);
    client_write(&client, buffer_bytes(&text));
    buffer_done(&text);
    played_settle();
    *body = "";
    status = client_answer(&client, body);
    assert_true(strlen(*body) < sizeof kept);
    strcpy(kept, *body);
    *body = kept;
    client_close(&client);
    played_settle();
    return status;
}

static void other_requests_are_refused_as_the_reference_does(void **state)
{
    const char *body = "";

    (void)state;
    for (int far = 0; far < 2; far++) {
        open_session(home, sid);
        assert_int_equal(
            request(gateway_of(far), "GET /socket.io/?EIO=4&transport=websocket&sid=", "", &body), 400);
        assert_string_equal(body, "{\"code\":3,\"message\":\"Bad request\"}");
        assert_int_equal(request(gateway_of(far), "PUT /socket.io/?EIO=4&transport=polling&sid=", "", &body),
                         500);
        assert_int_equal(request(gateway_of(far), "GET /socket.io/?EIO=4&transport=carrier&sid=", "", &body),
                         400);
        assert_string_equal(body, "{\"code\":0,\"message\":\"Transport unknown\"}");
        assert_non_null(session());
        assert_int_equal(request(gateway_of(far), "POST /socket.io/?EIO=4&transport=polling&sid=",
                                 "Content-Type: application/octet-stream\r\nContent-Length: 0\r\n", &body),
                         400);
        assert_string_equal(body, "");
        assert_null(session());
    }
}

/* With a sid another EIO is a bad request, whatever it is; the session does not mind. */
static void another_protocols_number_is_refused(void **state)
{
    static const char *const lines[] = {"GET /socket.io/?transport=polling&sid=",
                                        "GET /socket.io/?EIO=3&transport=polling&sid="};
    const char *body = "";

    (void)state;
    for (int far = 0; far < 2; far++) {
        open_session(home, sid);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(request(gateway_of(far), lines[i], "", &body), 400);
            assert_string_equal(body, "{\"code\":3,\"message\":\"Bad request\"}");
            assert_non_null(session());
        }
    }
    assert_int_equal(request(home, "GET /socket.io/?transport=polling", "", &body), 400);
    assert_string_equal(body, "{\"code\":5,\"message\":\"Unsupported protocol version\"}");
}

/* -- ends ----------------------------------------------------------------------------------------- */

static void one_that_does_not_answer_pings_is_gone_in_time(void **state)
{
    (void)state;
    open_socket_session(home, sid);
    played_skip(home->settings->ping_interval);
    assert_string_equal(poll_once(home, sid), "2");
    assert_int_equal(post_once(home, sid, "3"), 200);
    played_skip(home->settings->ping_interval);
    assert_non_null(session());
    played_skip(home->settings->ping_timeout);
    assert_null(session());
    assert_int_equal(home->counters.closed[CLOSE_PING_TIMEOUT], 1);
    assert_int_equal(home->connections.slots.count, 0);
}

static void a_close_waits_for_a_poll_but_not_for_ever(void **state)
{
    (void)state;
    for (int polls = 0; polls < 3; polls++) {
        struct gateway *at = polls == 1 ? home : other;

        open_socket_session(home, sid);
        played_join(home, played_socket(home), "room");
        played_deliver(home, "room", "[\"e\",1]");
        assert_int_equal(post_once(home, sid, "40"), 200); /* a namespace that is joined already */
        assert_non_null(session());
        if (polls) {
            assert_string_equal(poll_once(at, sid), "42[\"e\",1]");
            assert_non_null(session());
            assert_string_equal(poll_once(at, sid),
                                "1"); /* what came with it would be lost on stock clients */
        } else
            played_skip(31000);
        assert_null(session());
        assert_int_equal(home->connections.slots.count, 0);
    }
}

static void a_client_whose_gateway_is_gone_is_gone(void **state)
{
    struct client poll;

    (void)state;
    open_session(home, sid);
    poll = polling(other);
    played_gone(home, other);
    assert_null(session());
    client_close(&poll);
}

static void a_gateway_that_stops_ends_its_polls(void **state)
{
    struct client near, far;
    char first[SESSION_SID_LENGTH + 1];

    (void)state;
    open_session(other, sid);
    near = polling(other);
    memcpy(first, sid, sizeof first);
    open_socket_session(home, sid);
    far = polling(other);
    drain_begin(other, 0, true);
    played_settle();
    expect(&near, 200, "1");
    expect(&far, 200, "6");
    assert_true(client_ended(&near));
    assert_true(client_ended(&far));
    assert_non_null(session());
    assert_null(session_find(other, bytes_make(first, SESSION_SID_LENGTH)));
    assert_int_equal(other->connections.slots.count, 2); /* they linger */
    client_close(&near);
    client_close(&far);
}

/* A session of another gateway, whose post is coming in while this one stops. */
static void a_gateway_that_stops_takes_in_the_post_that_has_begun(void **state)
{
    struct client post = client_open(other);
    struct buffer head = {0};

    (void)state;
    open_session(home, sid);
    buffer_printf(&head,
                  "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n"
                  "Content-Length: 2\r\n\r\n4",
                  sid);
    client_write(&post, buffer_bytes(&head));
    buffer_done(&head);
    played_settle();
    drain_begin(other, 0, true);
    played_settle();
    client_write(&post, BYTES("0"));
    played_settle();
    expect(&post, 200, "ok");
    assert_true(client_ended(&post));
    assert_non_null(session());
    client_close(&post);
}

/* Whatever is asked from the inside of an end, it is asked of nothing that is gone. */
static void sessions_with_everything_under_way_may_end_at_once(void **state)
{
    (void)state;
    for (int which = 0; which < 8; which++) {
        struct client poll, post = client_open(gateway_of(which / 2 % 2)),
                            arrival = client_open(gateway_of(which / 4));
        struct buffer head = {0};

        open_session(home, sid);
        poll = polling(gateway_of(which % 2));
        buffer_printf(&head,
                      "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n"
                      "Content-Length: 2\r\n\r\n4",
                      sid);
        client_write(&post, buffer_bytes(&head));
        buffer_done(&head);
        client_upgrade(&arrival, sid);
        played_settle();
        assert_non_null(session());
        connection_drop(home, session()->connection, CLOSE_TRANSPORT_ERROR);
        client_write(&post, BYTES("0"));
        played_settle();
        assert_true(client_ended(&poll));
        expect(&post, 200, "ok");
        assert_string_equal(client_messages(&arrival), "close 0");
        client_close(&poll);
        client_close(&post);
        client_close(&arrival);
        played_settle();
        assert_int_equal(home->connections.slots.count, 0);
        assert_int_equal(other->connections.slots.count, 0);
        assert_int_equal(other->relays.questions.count, 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, played_start, played_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_poll_waits_for_packets),
        TEST(a_lost_answer_is_given_again),
        TEST(a_lost_question_is_asked_again),
        TEST(a_number_of_members_waits_for_the_next_poll),
        TEST(a_second_poll_ends_the_session),
        TEST(a_poll_that_is_given_up_ends_the_session),
        TEST(a_poll_that_is_given_up_behind_its_answer_ends_the_session),
        TEST(a_large_queue_is_split_between_packets),
        TEST(a_packet_that_no_record_holds_ends_the_session),
        TEST(a_post_is_read_once_however_often_it_is_asked),
        TEST(bad_packets_end_the_session_but_not_the_post),
        TEST(a_close_packet_ends_the_poll_with_a_noop),
        TEST(a_second_post_ends_the_session_and_the_firsts_connection),
        TEST(a_post_beyond_the_credit_waits),
        TEST(late_polls_end_in_a_moment),
        TEST(other_requests_are_refused_as_the_reference_does),
        TEST(another_protocols_number_is_refused),
        TEST(one_that_does_not_answer_pings_is_gone_in_time),
        TEST(a_close_waits_for_a_poll_but_not_for_ever),
        TEST(a_client_whose_gateway_is_gone_is_gone),
        TEST(a_gateway_that_stops_ends_its_polls),
        TEST(a_gateway_that_stops_takes_in_the_post_that_has_begun),
        TEST(sessions_with_everything_under_way_may_end_at_once),
    };

    return cmocka_run_group_tests_name("gateway polling", tests, NULL, NULL);
}
