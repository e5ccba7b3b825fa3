/* Bare WebSockets in a gateway: the address, frames and what becomes of them, the heartbeat, and how each end
 * looks to the client.  What was missed is in test_bare_missed.c. */
#include "tests/unit/gateway/bare_fixture.h"
#include "tests/unit/gateway/played.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define NONE         ((struct bytes){0})
#define SHAPE        (WIRE_DELIVER_META | WIRE_DELIVER_OFFSET)

/* -- entering --------------------------------------------------------------------------------- */

/* Whoever decides has let it in before it asks for its room. */
static void the_room_is_joined_before_anything_is_said(void **state)
{
    struct client client = bare_entering("?room=a%20b%2Bc&x=1");
    struct wire_reader reader = played_request(home, REQUEST_CONNECT);
    struct wire_connect connect;
    struct wire_join join;

    (void)state;
    assert_int_equal(wire_get_connect(&reader, &connect), 0);
    assert_true(bytes_equal_text(connect.namespace, "/"));
    assert_int_equal(connect.auth.length, 0);
    assert_int_equal(played_waiting(home), 1);
    played_answer(home, played_connecting(home), "S", "P", false);
    reader = played_request(home, REQUEST_JOIN);
    assert_int_equal(wire_get_join(&reader, &join), 0);
    assert_true(bytes_equal_text(join.room, "a b+c"));
    assert_int_equal(join.history, 0);
    assert_int_equal(join.socket, played_socket(home)->number);
    assert_int_equal(played_waiting(home), 1);
    played_settle();
    assert_string_equal(client_messages(&client), "");
    played_answer_request(home, REQUEST_JOIN, "{\"ok\":true,\"room\":\"a b+c\",\"seq\":10,\"members\":2}",
                          NONE);
    played_deliver(home, "a b+c", "[\"msg\",1]");
    played_settle();
    assert_string_equal(client_messages(&client),
                        "{\"type\":\"open\",\"sid\":\"S\",\"from\":\"anon:S\",\"room\":\"a b+c\",\"seq\":10,"
                        "\"members\":2}|{\"type\":\"event\",\"event\":\"msg\",\"args\":[1]}");
    bare_leave(&client);
    assert_int_equal(played_disconnects(home), 1);
    assert_int_equal(played_last_reason(home), CLOSE_CLIENT_DISCONNECT);
}

static void addresses_that_cannot_be_served_are_refused(void **state)
{
    static const struct {
        const char *query, *close;
    } table[] = {
        {"", "close 4422 bad_room: the address names no room"},
        {"?", "close 4422 bad_room: the address names no room"},
        {"?roon=R", "close 4422 bad_room: the address names no room"},
        {"?room=", "close 4422 bad_room: a room is a text of 1 to 255 bytes without control characters"},
        {"?room", "close 4422 bad_room: a room is a text of 1 to 255 bytes without control characters"},
        {"?room=a%00b", "close 4422 bad_room: a room is a text of 1 to 255 bytes without control characters"},
        {"?room=%ff", "close 4422 bad_room: a room is a text of 1 to 255 bytes without control characters"},
        {"?room=%4", "close 4422 bad_room: a room is a text of 1 to 255 bytes without control characters"},
        {"?room=R&namespace=/none", "close 4404 no_namespace: there is no such namespace"},
        {"?room=R&namespace=", "close 4404 no_namespace: there is no such namespace"},
        {"?room=R&namespace=%zz", "close 4404 no_namespace: there is no such namespace"},
        {"?room=R&after=", "close 4400 bad_request: after is the seq of a message of the room"},
        {"?room=R&after=-1", "close 4400 bad_request: after is the seq of a message of the room"},
        {"?room=R&after=1e3", "close 4400 bad_request: after is the seq of a message of the room"},
        {"?room=R&after=99999999999999999999",
         "close 4400 bad_request: after is the seq of a message of the room"},
        {"?after=1", "close 4400 bad_request: after is the seq of a message of the room"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct client client = client_open(home);

        bare_handshake(&client, table[i].query, "");
        assert_string_equal(client_messages(&client), table[i].close);
        assert_true(client_ended(&client));
        bare_leave(&client);
    }
    assert_int_equal(home->counters.closed[CLOSE_REFUSED], COUNT(table));
    assert_int_equal(played_waiting(home), 0);
}

static void what_the_router_refuses_closes(void **state)
{
    static const struct {
        const char *error, *close;
    } joins[] =
        {
            {"{\"code\":\"bad_room\",\"message\":\"a socket's private room can't be joined\"}",
             "close 4422 bad_room: a socket's private room can't be joined"},
            {"{\"code\":\"forbidden\",\"message\":\"not allowed\"}", "close 4403 forbidden: not allowed"},
            {"{\"code\":\"busy\",\"message\":\"b\"}", "close 4451 busy: b"},
            {"{\"code\":\"rate_limited\",\"message\":\"r\"}", "close 4451 busy: r"},
            {"{\"code\":\"unavailable\",\"message\":\"u\"}", "close 4450 unavailable: u"},
            {"{\"code\":\"not_joined\",\"message\":\"n\"}", "close 4453 reconnect: n"},
            {"{\"code\":\"bad_request\",\"message\":\"\"}",
             "close 4400 bad_request: a frame or the address is not what this endpoint takes"},
            {"7", "close 4400 bad_request: a frame or the address is not what this endpoint takes"},
        },
      connects[] = {
          {"{\"message\":\"Invalid namespace\"}", "close 4404 no_namespace: there is no such namespace"},
          {"{\"message\":\"Too many namespaces\"}",
           "close 4451 busy: too much is asked at the moment; try again"},
          {"{\"message\":\"x\",\"data\":{\"code\":\"unavailable\"}}",
           "close 4450 unavailable: the service is away; try again"},
          {"{\"message\":\"not you\"}", "close 4403 forbidden: not allowed"},
          {"nonsense", "close 4403 forbidden: not allowed"},
      };

    (void)state;
    for (size_t i = 0; i < COUNT(joins); i++) {
        struct client client = bare_entering("?room=R");
        char answer[200];

        snprintf(answer, sizeof answer, "{\"ok\":false,\"error\":%s}", joins[i].error);
        played_answer(home, played_connecting(home), "S", "P", false);
        played_answer_request(home, REQUEST_JOIN, answer, NONE);
        played_settle();
        assert_string_equal(client_messages(&client), joins[i].close);
        bare_leave(&client);
    }
    for (size_t i = 0; i < COUNT(connects); i++) {
        struct client client = bare_entering("?room=R");

        played_refuse(home, played_connecting(home), connects[i].error);
        played_settle();
        assert_string_equal(client_messages(&client), connects[i].close);
        bare_leave(&client);
    }
}

/* A backend may take its time to let it in. */
static void what_is_said_too_early_waits(void **state)
{
    struct client client = bare_entering("?room=R");

    (void)state;
    bare_say(&client, "{\"data\":1,\"ref\":1}");
    assert_int_equal(played_waiting(home), 1);
    played_skip(home->settings->ping_interval + 1);
    played_skip(home->settings->ping_timeout + 1); /* a pong would wait, too */
    assert_string_equal(client_messages(&client), "ping");
    played_answer(home, played_connecting(home), "S", "P", false);
    played_settle();
    assert_int_equal(played_waiting(home), 1);
    played_answer_request(home, REQUEST_JOIN, "{\"ok\":true,\"room\":\"R\",\"seq\":10,\"members\":2}", NONE);
    played_settle();
    assert_string_equal(client_messages(&client), bare_opened);
    played_answer_request(home, REQUEST_EVENT, "{\"ok\":true}", NONE);
    played_settle();
    assert_string_equal(client_messages(&client), "{\"type\":\"ack\",\"ref\":1,\"ok\":true}");
    bare_leave(&client);
}

/* In one piece with the request. */
static void what_comes_with_the_request_waits(void **state)
{
    static const char request[] = "GET /ws?room=R HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                                  "\x81\x8a\0\0\0\0{\"data\":1}\x81\x8a\0\0\0\0{\"data\":2}";
    struct client client = client_open(home);

    (void)state;
    client_write(&client, bytes_make(request, sizeof request - 1));
    played_settle();
    assert_int_equal(played_waiting(home), 1);
    bare_let_in();
    assert_string_equal(client_messages(&client), bare_opened);
    assert_int_equal(played_waiting(home), 2);
    assert_int_equal(played_answer_events(home, NULL), 2);
    bare_leave(&client);
}

static void the_subprotocol_is_answered_when_it_is_offered(void **state)
{
    static const struct {
        const char *fields;
        bool answered;
    } table[] = {
        {"", false},
        {"Sec-WebSocket-Protocol: hubbub.v1.json\r\n", true},
        {"Sec-WebSocket-Protocol: x, hubbub.v1.json\r\n", true},
        {"Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: y ,hubbub.v1.json\r\n", true},
        {"Sec-WebSocket-Protocol: x\r\n", false},
        {"Sec-WebSocket-Protocol: Hubbub.v1.json\r\n", false},
        {"Sec-WebSocket-Protocol: hubbub.v1.jsonx, xhubbub.v1.json\r\n", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct client client = client_open(home);
        const char *head;

        bare_handshake(&client, "?room=R", table[i].fields);
        head = client_read(&client);
        assert_int_equal(strncmp(head, "HTTP/1.1 101 ", 13), 0);
        assert_int_equal(strstr(head, "\r\nSec-WebSocket-Protocol: hubbub.v1.json\r\n") != NULL,
                         table[i].answered);
        assert_int_equal(strstr(head, "Sec-WebSocket-Protocol") != NULL, table[i].answered);
        bare_leave(&client);
    }
}

static void other_requests_are_told_to_upgrade(void **state)
{
    static const struct {
        const char *request;
        int status;
    } table[] = {
        {"GET /ws?room=R HTTP/1.1\r\nHost: h\r\n\r\n", 426},
        {"HEAD /ws?room=R HTTP/1.1\r\nHost: h\r\n\r\n", 426},
        {"POST /ws?room=R HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}", 426},
        {"GET /ws/?room=R HTTP/1.1\r\nHost: h\r\n\r\n", 404},
        {"GET /wsx HTTP/1.1\r\nHost: h\r\n\r\n", 404},
        {"GET /ws?room=R HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
         426},
        {"GET /ws?room=R HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
         400},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct client client = client_open(home);

        client_write(&client, bytes_from_text(table[i].request));
        played_settle();
        assert_int_equal(client_answer(&client, NULL), table[i].status);
        bare_leave(&client);
    }
}

/* -- frames ----------------------------------------------------------------------------------- */

/* What a frame asks the router for, as "kind room event arguments id flags"; "" for nothing. */
static const char *asked(struct client *client, const char *frame)
{
    static char text[600];
    struct wire_reader reader;
    struct wire_event event;
    struct wire_join join;
    struct wire_leave left;
    struct wire_history history;
    struct wire_presence presence;
    struct request *request;
    uint64_t cursor = 0;

    bare_say(client, frame);
    text[0] = '\0';
    request = requests_walk(&home->requests, &cursor);
    if (!request)
        return text;
    reader = played_request(home, request->kind);
    switch (request->kind) {
    case REQUEST_EVENT:
    case REQUEST_CALL:
        assert_int_equal(wire_get_event(&reader, &event), 0);
        snprintf(text, sizeof text, "%s %.*s %.*s %.*s %.*s %u",
                 request->kind == REQUEST_CALL ? "call" : "event", BYTES_PRINTF(event.room),
                 BYTES_PRINTF(event.event), BYTES_PRINTF(event.arguments), BYTES_PRINTF(event.id),
                 (unsigned)event.flags);
        break;
    case REQUEST_JOIN:
        assert_int_equal(wire_get_join(&reader, &join), 0);
        snprintf(text, sizeof text, "join %.*s %u %u", BYTES_PRINTF(join.room), (unsigned)join.history,
                 (unsigned)join.watch);
        break;
    case REQUEST_LEAVE:
        assert_int_equal(wire_get_leave(&reader, &left), 0);
        snprintf(text, sizeof text, "leave %.*s", BYTES_PRINTF(left.room));
        break;
    case REQUEST_HISTORY:
        assert_int_equal(wire_get_history(&reader, &history), 0);
        snprintf(text, sizeof text, "history %.*s %u %u %u %u", BYTES_PRINTF(history.room),
                 (unsigned)history.before, (unsigned)history.has_after, (unsigned)history.after,
                 (unsigned)history.limit);
        break;
    default:
        assert_int_equal(request->kind, REQUEST_PRESENCE);
        assert_int_equal(wire_get_presence(&reader, &presence), 0);
        snprintf(text, sizeof text, "presence %.*s", BYTES_PRINTF(presence.room));
    }
    request = requests_walk(&home->requests, &(uint64_t){0});
    socket_finish_request(home, request);
    assert_int_equal(played_waiting(home), 0);
    return text;
}

static void frames_become_requests(void **state)
{
    static const struct {
        const char *frame, *request;
    } table[] = {
        {"{\"data\":{\"text\":1.0}}", "event R msg {\"text\":1.0}  0"},
        {"{\"data\":[1, 2],\"ref\":5}", "event R msg [1, 2]  1"},
        {"{\"data\":null,\"room\":\"S\"}", "event S msg null  0"},
        {"{\"type\":\"publish\",\"ref\":1}", "event R msg   1"},
        {"{\"event\":\"typing\",\"room\":\"S\"}", "event S typing   0"},
        /* The room and the id where the rule looks for them. */
        {"{\"data\":{\"room\":\"T\"}}", "event T msg {\"room\":\"T\"}  0"},
        {"{\"data\":{\"room\":\"T\"},\"room\":\"T\"}", "event T msg {\"room\":\"T\"}  0"},
        {"{\"data\":1,\"id\":\"12345678\"}", "event R msg 1 12345678 0"},
        {"{\"data\":{\"id\":\"12345678\"}}", "event R msg {\"id\":\"12345678\"} 12345678 0"},
        {"{\"data\":{\"id\":\"12345678\"},\"id\":\"1234567\\u0038\"}",
         "event R msg {\"id\":\"12345678\"} 12345678 0"},
        /* Typing has no id, so one in its data means nothing. */
        {"{\"event\":\"typing\",\"data\":{\"id\":5}}", "event R typing {\"id\":5}  0"},
        /* No rule: a backend's. */
        {"{\"event\":\"other\",\"data\":1,\"room\":5}", "call  other 1  0"},
        {"{\"event\":\"other\",\"data\":{\"room\":5,\"id\":6},\"ref\":0}",
         "call  other {\"room\":5,\"id\":6}  1"},
        {"{\"type\":\"join\",\"room\":\"S\",\"history\":300,\"presence\":true}", "join S 200 1"},
        {"{\"type\":\"join\"}", "join R 0 0"},
        {"{\"type\":\"leave\",\"ref\":2}", "leave R"},
        {"{\"type\":\"history\",\"ref\":2}", "history R 0 0 0 50"},
        {"{\"type\":\"history\",\"ref\":2,\"room\":\"S\",\"before\":9,\"limit\":3}", "history S 9 0 0 3"},
        {"{\"type\":\"history\",\"ref\":2,\"after\":0}", "history R 0 1 0 50"},
        {"{\"type\":\"presence\",\"ref\":2}", "presence R"},
    };
    struct client client = bare_enter();

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_string_equal(asked(&client, table[i].frame), table[i].request);
        assert_string_equal(client_messages(&client), "");
    }
    assert_int_equal(home->counters.messages_in, COUNT(table));
    bare_leave(&client);
}

static void wrong_wishes_are_refused_and_the_connection_lives(void **state)
{
    static const struct {
        const char *frame, *code, *event;
    } table[] = {
        {"\"text\":\"no data\"", "bad_request", "msg"},
        {"\"data\":1,\"room\":\"\"", "bad_room", "msg"},
        {"\"data\":1,\"room\":7", "bad_room", "msg"},
        {"\"data\":{\"room\":7}", "bad_room", "msg"},
        {"\"data\":{\"room\":\"S\"},\"room\":\"T\"", "bad_request", "msg"},
        {"\"data\":{\"room\":7},\"room\":\"T\"", "bad_request", "msg"},
        {"\"data\":{\"room\":\"S\",\"room\":\"S\"}", "bad_request", "msg"},
        {"\"data\":1,\"id\":\"short\"", "bad_request", "msg"},
        {"\"data\":1,\"id\":12345678", "bad_request", "msg"},
        {"\"data\":{\"id\":\"short\"}", "bad_request", "msg"},
        {"\"data\":{\"id\":\"short\"},\"id\":\"12345678\"", "bad_request", "msg"},
        {"\"data\":{\"id\":\"12345678\"},\"id\":\"87654321\"", "bad_request", "msg"},
        {"\"event\":\"typing\",\"id\":\"12345678\"", "bad_request", "typing"},
        {"\"event\":\"other\",\"data\":1,\"id\":\"12345678\"", "bad_request", "other"},
        {"\"event\":5", "bad_request", ""},
        {"\"event\":\"connect\",\"data\":1", "bad_request", "connect"},
        {"\"event\":\"join\",\"data\":1", "bad_request", "join"},
        {"\"type\":\"join\",\"room\":\"\"", "bad_room", "join"},
        {"\"type\":\"join\",\"history\":-1", "bad_request", "join"},
        {"\"type\":\"join\",\"presence\":1", "bad_request", "join"},
        {"\"type\":\"leave\",\"room\":[]", "bad_room", "leave"},
    };
    struct client client = bare_enter();
    char frame[200], expected[200];

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        snprintf(frame, sizeof frame, "{\"ref\":%zu,%s}", i, table[i].frame);
        snprintf(expected, sizeof expected,
                 "{\"type\":\"ack\",\"ref\":%zu,\"ok\":false,\"error\":{\"code\":\"%s\",", i, table[i].code);
        assert_string_equal(asked(&client, frame), "");
        assert_int_equal(strncmp(client_messages(&client), expected, strlen(expected)), 0);
        played_skip(1000); /* for another hubbub:error */
        snprintf(frame, sizeof frame, "{%s}", table[i].frame);
        snprintf(expected, sizeof expected,
                 "{\"type\":\"event\",\"event\":\"hubbub:error\",\"args\":[{\"event\":\"%s\",\"error\":{"
                 "\"code\":\"%s\",",
                 table[i].event, table[i].code);
        assert_string_equal(asked(&client, frame), "");
        if (strncmp(client_messages(&client), expected, strlen(expected)) != 0)
            fail_msg("%s: %s", frame, expected);
    }
    assert_string_equal(asked(&client, "{\"ref\":1,\"type\":\"shout\"}"), "");
    assert_non_null(strstr(client_messages(&client), "\"ok\":false,\"error\":{\"code\":\"bad_request\""));
    for (int presence = 0; presence < 2; presence++) {
        assert_string_equal(asked(&client, presence ? "{\"type\":\"presence\"}" : "{\"type\":\"history\"}"),
                            "");
        assert_non_null(strstr(client_messages(&client), "without a ref there is no answer"));
    }
    bare_leave(&client);
}

/* The answer of a backend is what it likes, and questions are events. */
static void a_backend_is_heard(void **state)
{
    static const struct {
        const char *answer, *ack;
    } table[] = {
        {"", "\"ok\":true,\"args\":[]}"},
        {"1,\"two\",[3]", "\"ok\":true,\"args\":[1,\"two\",[3]]}"},
        {"{\"ok\":false,\"why\":1}", "\"ok\":false,\"why\":1}"},
    };
    struct client client = bare_enter();
    struct wire_list list = {0};
    char expected[100];

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        bare_say(&client, "{\"event\":\"other\",\"ref\":7}");
        assert_int_equal(played_socket(home)->calls, 1);
        played_answer_request(home, REQUEST_CALL, table[i].answer, NONE);
        played_settle();
        snprintf(expected, sizeof expected, "{\"type\":\"ack\",\"ref\":7,%s", table[i].ack);
        assert_string_equal(client_messages(&client), expected);
        assert_int_equal(played_socket(home)->calls, 0);
    }
    wire_list_put_blob(&list, BYTES("\x01"));
    socket_ask(home, played_socket(home), 5, BYTES("[\"q\",{\"_placeholder\":true,\"num\":0}]"),
               wire_list_finish(&list));
    played_settle();
    assert_string_equal(client_messages(&client),
                        "{\"type\":\"event\",\"event\":\"q\",\"args\":[{\"_placeholder\":"
                        "true,\"num\":0}],\"attachments\":[\"AQ==\"]}");
    assert_int_equal(played_socket(home)->questions, 0);
    wire_list_done(&list);
    bare_leave(&client);
}

/* Where the broker has no events of its own, what no rule covers is a backend's, whatever it is called. */
static void without_builtin_events_what_has_no_rule_is_a_backends(void **state)
{
    struct client client;

    (void)state;
    fixture_settings(home)->namespaces.namespaces->builtin = false;
    client = bare_entering("");
    played_answer(home, played_connecting(home), "S", "P", false);
    played_settle();
    assert_string_equal(client_messages(&client), "{\"type\":\"open\",\"sid\":\"S\",\"from\":\"anon:S\"}");
    assert_string_equal(asked(&client, "{\"data\":1,\"room\":\"S\"}"), "event S msg 1  0");
    assert_string_equal(asked(&client, "{\"event\":\"other\",\"room\":6}"), "call  other   0");
    assert_string_equal(asked(&client, "{\"event\":\"join\",\"data\":\"R\"}"), "call  join \"R\"  0");
    assert_string_equal(asked(&client, "{\"type\":\"join\",\"room\":\"R\",\"ref\":1}"), "");
    assert_non_null(strstr(client_messages(&client), "\"unknown_event\""));
    bare_leave(&client);
}

static void what_is_no_frame_closes(void **state)
{
    static const struct {
        const char *text, *close;
    } table[] = {
        {"", "close 4400 bad_request: a frame is one JSON object"},
        {"hello", "close 4400 bad_request: a frame is one JSON object"},
        {"[]", "close 4400 bad_request: a frame is one JSON object"},
        {"{\"data\":1", "close 4400 bad_request: a frame is one JSON object"},
        {"{\"ref\":\"1\"}", "close 4400 bad_request: ref is a whole number from 0 to 2^53 - 1"},
        {"{\"room\":\"R\",\"room\":\"R\"}", "close 4400 bad_request: a key of the frame stands there twice"},
        {"{\"type\":\"shout\"}", "close 4400 bad_request: there is no such type of frame"},
    };
    struct client client;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        client = bare_enter();
        bare_say(&client, table[i].text);
        assert_string_equal(client_messages(&client), table[i].close);
        bare_leave(&client);
    }
    client = bare_enter();
    client_binary_message(&client, "{\"data\":1}");
    played_settle();
    assert_string_equal(client_messages(&client),
                        "close 4400 bad_request: binary messages mean nothing here");
    bare_leave(&client);
    assert_int_equal(home->counters.closed[CLOSE_PARSE_ERROR], COUNT(table) + 1);
}

static void answers_and_events_come_as_frames(void **state)
{
    struct client client = bare_enter();
    struct wire_list list = {0};

    (void)state;
    wire_list_put_blob(&list, BYTES("a"));
    bare_say(&client, "{\"type\":\"history\",\"ref\":3}");
    played_answer_request(home, REQUEST_HISTORY, "{\"ok\":true,\"messages\":[],\"more\":false}",
                          wire_list_finish(&list));
    bare_say(&client, "{\"data\":1}");
    bare_say(&client, "{\"data\":1,\"ref\":4}");
    played_tell(home, played_socket(home), "[\"note\",1,{\"room\":\"R\"},\"e.1\"]", SHAPE);
    played_settle();
    assert_string_equal(
        client_messages(&client),
        "{\"type\":\"ack\",\"ref\":3,\"ok\":true,\"messages\":[],\"more\":false,\"attachments\":[\"YQ==\"]}|"
        "{\"type\":\"event\",\"event\":\"note\",\"args\":[1],\"meta\":{\"room\":\"R\"}}");
    wire_list_done(&list);
    bare_leave(&client);
}

/* -- the heartbeat ---------------------------------------------------------------------------- */

static void pongs_and_messages_keep_it_alive(void **state)
{
    struct client client = bare_enter();
    uint64_t interval = home->settings->ping_interval, timeout = home->settings->ping_timeout;

    (void)state;
    played_skip(interval - 1);
    assert_string_equal(client_messages(&client), "");
    played_skip(2);
    assert_string_equal(client_messages(&client), "ping");
    played_skip(timeout - 10);
    client_write(&client, bytes_make("\x8a\x80\0\0\0\0", 6));
    played_settle();
    played_skip(interval - 1);
    assert_string_equal(client_messages(&client), "");
    played_skip(2);
    assert_string_equal(client_messages(&client), "ping");
    bare_say(&client, "{\"type\":\"presence\",\"ref\":1}");
    played_answer_request(home, REQUEST_PRESENCE, "{\"ok\":true}", NONE);
    played_settle();
    assert_string_equal(client_messages(&client), "{\"type\":\"ack\",\"ref\":1,\"ok\":true}");
    played_skip(interval - 1);
    assert_string_equal(client_messages(&client), "");
    played_skip(2);
    assert_string_equal(client_messages(&client), "ping");
    played_skip(timeout + 1);
    assert_string_equal(client_messages(&client), "close 4454 ping_timeout: no pong came in time");
    bare_leave(&client);
    assert_int_equal(home->counters.closed[CLOSE_PING_TIMEOUT], 1);
}

/* -- the end ---------------------------------------------------------------------------------- */

static void each_end_has_its_code(void **state)
{
    static const char *const expected[] = {
        "close 4410 removed: the service has disconnected this client",
        "close 4410 removed: the service has disconnected this client", "close 4453 reconnect: connect again",
        "close 4452 not_resumable: messages may have been missed; connect again", "close 1001 drain"};

    (void)state;
    for (unsigned i = 0; i < COUNT(expected); i++) {
        struct client client = bare_enter();

        if (i == 0)
            socket_disconnect_all(home, played_socket(home));
        else if (i < 3)
            played_close(home, played_socket(home), i == 1);
        else if (i == 3)
            played_welcome(home, false);
        else
            drain_begin(home, 0, true);
        played_settle();
        assert_string_equal(client_messages(&client), expected[i]);
        bare_leave(&client);
    }
}

static void a_draining_gateway_takes_no_more(void **state)
{
    struct client client = client_open(home);

    (void)state;
    home->draining = true;
    bare_handshake(&client, "?room=R", "");
    assert_int_equal(client_answer(&client, NULL), 503);
    home->draining = false;
    bare_leave(&client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, played_start, played_stop)
    const struct CMUnitTest tests[] = {
        TEST(the_room_is_joined_before_anything_is_said),
        TEST(addresses_that_cannot_be_served_are_refused),
        TEST(what_the_router_refuses_closes),
        TEST(what_is_said_too_early_waits),
        TEST(what_comes_with_the_request_waits),
        TEST(the_subprotocol_is_answered_when_it_is_offered),
        TEST(other_requests_are_told_to_upgrade),
        TEST(frames_become_requests),
        TEST(wrong_wishes_are_refused_and_the_connection_lives),
        TEST(a_backend_is_heard),
        TEST(without_builtin_events_what_has_no_rule_is_a_backends),
        TEST(what_is_no_frame_closes),
        TEST(answers_and_events_come_as_frames),
        TEST(pongs_and_messages_keep_it_alive),
        TEST(each_end_has_its_code),
        TEST(a_draining_gateway_takes_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
