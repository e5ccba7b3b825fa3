/* WebSockets on their way to a session: what they may say, and how each step may end. */
#include "gateway/arrival.h"
#include "tests/unit/gateway/played.h"
#include "tests/unit/gateway/played_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static char sid[SESSION_SID_LENGTH + 1];

static struct session *session(void)
{
    return session_find(home, bytes_make(sid, SESSION_SID_LENGTH));
}

static struct client upgrading(struct gateway *at)
{
    struct client client = client_open(at);

    client_upgrade(&client, sid);
    return client;
}

/* A WebSocket of the other gateway that has switched, with the records up to that kind let on. */
static struct client switched_until(unsigned kind)
{
    struct client client;

    open_socket_session(home, sid);
    played_join(home, played_socket(home), "room");
    played_deliver(home, "room", "[\"e\",1]");
    client = upgrading(other);
    played_settle();
    client_message(&client, "2probe");
    client_message(&client, "5");
    played_until(kind);
    return client;
}

/* -- input ----------------------------------------------------------------------------------- */

/* The bytes of a client that does not wait for its 101, nor for anything else. */
static void append_eager(struct buffer *out)
{
    buffer_printf(out,
                  "GET /socket.io/?EIO=4&transport=websocket&sid=%s HTTP/1.1\r\nHost: h\r\n"
                  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                  sid);
    buffer_append(out,
                  "\x81\x86\0\0\0\0"
                  "2probe\x81\x81\0\0\0\0"
                  "5\x81\x82\0\0\0\0"
                  "40",
                  6 + 6 + 6 + 1 + 6 + 2);
}

static void input_may_be_split_at_every_byte(void **state)
{
    struct buffer bytes = {0};

    (void)state;
    for (int far = 0; far < 2; far++)
        for (size_t at = 1, length = 2; at < length; at++) {
            struct gateway *gateway = far ? other : home;
            struct client client;

            open_session(home, sid);
            client = client_open(gateway);
            buffer_clear(&bytes);
            append_eager(&bytes);
            length = bytes.length;
            client_write(&client, bytes_make(bytes.data, at));
            played_turn(gateway);
            if (at % 2)
                played_settle();
            client_write(&client, bytes_make(bytes.data + at, bytes.length - at));
            played_settle();
            assert_string_equal(client_messages(&client), "3probe");
            assert_int_equal(played_connect(gateway), 1);
            played_settle();
            assert_int_equal(strncmp(client_messages(&client), "40{\"sid\":", 9), 0);
            client_close(&client);
            played_settle();
        }
    buffer_done(&bytes);
}

/* One message is held with the switch, the others wait in the kernel: they are read behind it. */
static void messages_behind_the_switch_keep_their_order(void **state)
{
    (void)state;
    for (int far = 0; far < 2; far++) {
        struct gateway *gateway = far ? other : home;
        struct client client;
        struct wire_reader reader;
        struct wire_join join;
        struct request *request;
        uint64_t cursor = 0;
        const char *rooms[] = {"a", "b", "c"};
        unsigned type;

        open_socket_session(home, sid);
        client = upgrading(gateway);
        played_settle();
        client_message(&client, "2probe");
        client_message(&client, "5");
        client_message(&client, "42[\"join\",\"a\"]");
        connections_on_event(gateway, client.number, 1);
        client_message(&client, "42[\"join\",\"b\"]");
        client_message(&client, "42[\"join\",\"c\"]");
        played_settle();
        for (int i = 0; i < 3; i++) {
            request = requests_walk(&gateway->requests, &cursor);
            assert_non_null(request);
            wire_reader_open_record(&reader, bytes_make(request->record, request->length));
            assert_int_equal(wire_reader_next(&reader, &type), 1);
            assert_int_equal(wire_get_join(&reader, &join), 0);
            assert_true(bytes_equal_text(join.room, rooms[i]));
        }
        client_close(&client);
        played_settle();
    }
}

/* Its peer is gone altogether while it is not read, and has sent more before: the kernel says so unasked. */
static void one_that_hangs_up_while_it_is_not_read_is_gone(void **state)
{
    struct client client;

    (void)state;
    open_socket_session(home, sid);
    client = upgrading(other);
    played_settle();
    client_message(&client, "2probe");
    client_message(&client, "5");
    client_message(&client, "42[\"join\",\"a\"]");
    played_turn(other);
    assert_true(client_connection(&client)->stopped);
    client_message(&client, "5");
    client_message(&client, "42[\"join\",\"b\"]");
    client_close(&client);
    played_turn(other);
    assert_null(client_connection(&client));
    played_settle();
    assert_null(session());
    assert_int_equal(other->counters.closed[CLOSE_PEER_GONE], 1);
}

static void too_much_before_its_101_is_too_much(void **state)
{
    static char filler[70 << 10];
    struct client client;

    (void)state;
    open_session(home, sid);
    client = upgrading(other);
    client_write(&client, bytes_make(filler, sizeof filler));
    for (int i = 0; i < 5; i++)
        played_turn(other);
    assert_null(client_connection(&client));
    played_settle();
    assert_int_equal(session()->arrival.number, 0);
    assert_int_equal(other->relays.questions.count, 0);
    client_close(&client);
}

/* -- who may ------------------------------------------------------------------------------------ */

static void unknown_sessions_are_refused(void **state)
{
    const char *const sids[] = {"nonsense", "AAAAAAAAAAAAAAAAAAAAAAAA", NULL};
    const char *body = "";

    (void)state;
    open_session(home, sid);
    sid[SESSION_SID_LENGTH - 1] ^= 1;
    for (int i = 0; i < 3; i++)
        for (int far = 0; far < 2; far++) {
            struct client client = client_open(far ? other : home);

            client_upgrade(&client, sids[i] ? sids[i] : sid);
            played_settle();
            assert_int_equal(client_answer(&client, &body), 400);
            assert_string_equal(body, "Session ID unknown");
            assert_true(client_ended(&client));
            client_close(&client);
            played_settle();
        }
    assert_int_equal(other->relays.questions.count, 0);
}

static void one_that_asks_for_polling_is_refused(void **state)
{
    const char *body = "";

    (void)state;
    for (int far = 0; far < 2; far++) {
        struct client client = client_open(far ? other : home);
        struct buffer request = {0};

        open_session(home, sid);
        buffer_printf(&request,
                      "GET /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n"
                      "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                      sid);
        client_write(&client, buffer_bytes(&request));
        buffer_done(&request);
        played_settle();
        assert_int_equal(client_answer(&client, &body), 400);
        assert_string_equal(body, "Transport unknown");
        assert_int_equal(session()->arrival.number, 0);
        client_close(&client);
        played_settle();
    }
}

/* -- what fails ---------------------------------------------------------------------------------- */

static const unsigned steps[] = {RELAY_SWITCH, RELAY_OFFER, PLAYED_TAKE, RELAY_HANDOVER};

/* Wherever it is, the client may go, and nothing of it stays anywhere. */
static void a_client_may_go_at_every_step(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct client client = switched_until(steps[i]);

        client_close(&client);
        played_settle();
        assert_null(session());
        assert_null(played_socket(home));
        assert_null(played_socket(other));
        assert_int_equal(other->relays.questions.count, 0);
        assert_int_equal(other->counters.websockets, 0);
        assert_int_equal(home->connections.slots.count, 0);
        assert_int_equal(other->connections.slots.count, 0);
    }
}

/* It is told when it takes too long; what stands behind what it did not get is not sent. */
static void one_that_takes_too_long_is_closed_at_every_step(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct client client = switched_until(steps[i]);

        if (steps[i] == RELAY_HANDOVER)
            played_deliver(other, "room", "[\"e\",2]");
        assert_string_equal(client_messages(&client), "");
        played_lose();
        played_skip(other->settings->upgrade_timeout);
        assert_string_equal(client_messages(&client), "3probe|close 0");
        assert_true(client_ended(&client));
        client_close(&client);
        played_settle();
        if (steps[i] == RELAY_SWITCH) { /* the home has not heard of it, and goes on */
            assert_int_equal(session()->state, SESSION_POLLING);
            assert_int_equal(session()->arrival.number, 0);
            connection_drop(home, session()->connection, CLOSE_PING_TIMEOUT);
        }
        assert_null(session());
        assert_null(played_socket(home));
        assert_null(played_socket(other));
        assert_int_equal(other->relays.questions.count, 0);
        assert_int_equal(other->counters.closed[CLOSE_UPGRADE_FAILED], i + 1);
    }
}

/* The link of the gateway with the WebSocket is lost: before the sockets were asked for everything is asked
 * again, and behind it the client is closed. */
static void its_gateways_link_may_be_lost_at_every_step(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct client client = switched_until(steps[i]);

        played_link_down(other);
        if (steps[i] == RELAY_OFFER || steps[i] == RELAY_HANDOVER)
            played_lose();
        played_link_up(other);
        played_settle();
        if (steps[i] == RELAY_SWITCH || steps[i] == RELAY_OFFER) {
            assert_string_equal(client_messages(&client), "3probe|42[\"e\",1]");
            assert_int_equal(session()->state, SESSION_MOVED);
        } else {
            assert_string_equal(client_messages(&client), "3probe|close 0");
            assert_null(session());
            assert_null(played_socket(home));
        }
        client_close(&client);
        played_settle();
        assert_null(session());
        assert_null(played_socket(other));
        assert_int_equal(other->relays.questions.count, 0);
    }
}

/* And the home's link. */
static void the_homes_link_may_be_lost_at_every_step(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct client client = switched_until(steps[i]);

        if (steps[i] == RELAY_SWITCH)
            played_lose();
        played_link_down(home);
        played_link_up(home);
        played_settle();
        if (steps[i] != RELAY_HANDOVER) {
            assert_string_equal(client_messages(&client), "3probe|42[\"e\",1]");
            assert_int_equal(session()->state, SESSION_MOVED);
        } else {
            played_skip(other->settings->upgrade_timeout);
            played_settle();
            assert_string_equal(client_messages(&client), "3probe|close 0");
            assert_null(session());
        }
        client_close(&client);
        played_settle();
        assert_null(session());
        assert_null(played_socket(home));
        assert_null(played_socket(other));
        assert_int_equal(other->relays.questions.count, 0);
    }
}

/* The gateway with the WebSocket stops. */
static void a_gateway_that_stops_tells_its_arrivals(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct client client;

        played_stop(NULL);
        played_start(NULL);
        client = switched_until(steps[i]);
        if (steps[i] == RELAY_HANDOVER)
            played_deliver(other, "room", "[\"e\",2]");
        drain_begin(other, 0, true);
        played_turn(other);
        assert_string_equal(client_messages(&client), "3probe|close 1001");
        client_close(&client);
        played_settle();
        assert_null(session());
    }
}

/* An offer that can't be read, or whose namespace is not served here. */
static void a_bad_offer_ends_it(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct client client = switched_until(RELAY_OFFER);
        struct connection *connection = client_connection(&client);
        struct wire_list list = {0};

        if (i) {
            wire_list_put_u64(&list, 0);
            wire_list_put_u64(&list, 0);
            wire_list_put_text(&list, handshake_bytes(session()->connection->handshake));
            wire_list_put_text(&list, BYTES(""));
            wire_list_put_u64(&list, 1);
            wire_list_put_text(&list, BYTES("/nowhere"));
            wire_list_put_text(&list, BYTES(""));
        }
        played_lose();
        arrival_answered(other, connection, RELAY_OFFER, i ? wire_list_finish(&list) : BYTES("\x91"));
        wire_list_done(&list);
        played_settle();
        assert_string_equal(client_messages(&client), "3probe|close 0");
        client_close(&client);
        played_settle();
        assert_null(session());
    }
}

static void a_bad_word_about_questions_ends_it(void **state)
{
    static const struct bytes bad[] = {BYTES("\x91\xa1/"), BYTES("\x92\x01\x01"), BYTES("\x92\xa1/\xa1/"),
                                       BYTES("\x92\xa1/\xcf\0\0\0\1\0\0\0\0")};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct client client = switched_until(RELAY_HANDOVER);

        arrival_answered(other, client_connection(&client), RELAY_OWED, bad[i]);
        played_settle();
        assert_string_equal(client_messages(&client), "3probe|close 0");
        client_close(&client);
        played_settle();
        assert_null(session());
    }
}

/* The session ends at its home meanwhile. */
static void the_session_may_end_at_every_step(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct client client = switched_until(steps[i]);
        struct connection *connection = session()->connection;

        connection_drop(home, connection, CLOSE_PING_TIMEOUT);
        connections_reap(home);
        if (steps[i] == PLAYED_TAKE)
            played_lose(); /* the router would refuse */
        played_settle();
        assert_string_equal(client_messages(&client), "3probe|close 0");
        client_close(&client);
        played_settle();
        assert_null(played_socket(other));
        assert_int_equal(other->relays.questions.count, 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, played_start, played_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(input_may_be_split_at_every_byte),
        TEST(messages_behind_the_switch_keep_their_order),
        TEST(one_that_hangs_up_while_it_is_not_read_is_gone),
        TEST(too_much_before_its_101_is_too_much),
        TEST(unknown_sessions_are_refused),
        TEST(one_that_asks_for_polling_is_refused),
        TEST(a_client_may_go_at_every_step),
        TEST(one_that_takes_too_long_is_closed_at_every_step),
        TEST(its_gateways_link_may_be_lost_at_every_step),
        TEST(the_homes_link_may_be_lost_at_every_step),
        TEST(a_gateway_that_stops_tells_its_arrivals),
        TEST(a_bad_offer_ends_it),
        TEST(a_bad_word_about_questions_ends_it),
        TEST(the_session_may_end_at_every_step),
    };

    return cmocka_run_group_tests_name("gateway arrival", tests, NULL, NULL);
}
