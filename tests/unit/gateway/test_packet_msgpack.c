/*
 * Packets of clients with the msgpack parser: what they ask the router for is what the same event as text
 * would ask for, what is refused and what closes, and what goes out to them.
 */
#include "gateway/engine.h"
#include "gateway/packet.h"
#include "proto/json_scan.h"
#include "proto/msgpack_json.h"
#include "tests/unit/gateway/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

enum { LIMIT = 1000 };

#define TYPE(digit) "\xa4type" digit
#define NSP         "\xa3nsp\xa1/"
#define DATA        "\xa4\x64\x61ta"
#define ID          "\xa2id\x07"
#define MSG         "\xa3msg"
#define ROOM        "\x81\xa4room\xa1r"
#define BIN         "\xc4\x02\x00\xff"
#define EVENT(data) BYTES("\x84" TYPE("\x02") DATA data ID NSP)
#define QUIET(data) BYTES("\x83" TYPE("\x02") DATA data NSP)

#define PLACEHOLDER(num) "{\"_placeholder\":true,\"num\":" #num "}"
#define REFUSED(code, message)                                                                               \
    "{\"type\":3,\"data\":[{\"ok\":false,\"error\":{\"code\":\"" code "\",\"message\":\"" message            \
    "\"}}],\"nsp\":\"/\",\"id\":7}"
#define TOO_LARGE REFUSED("too_large", "the event is larger than allowed")

static struct gateway_settings settings;
static struct gateway *gateway;
static struct peer peer;

static int start(void **state)
{
    (void)state;
    gateway = fixture_start();
    settings = *gateway->settings;
    settings.max_attachments = LIMIT;
    settings.max_payload = 2 * LIMIT;
    gateway->settings = &settings;
    gateway->encoder = encoder_new(1 << 20);
    peer = fixture_peer(gateway);
    peer.connection->encoding = ENCODING_MSGPACK;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fixture_peer_done(&peer);
    fixture_stop(gateway);
    return 0;
}

static void packet(struct bytes bytes)
{
    packet_receive_binary(gateway, peer.connection, bytes);
}

static void assert_closed(enum close_reason reason)
{
    assert_int_not_equal(peer.connection->state, CONNECTION_OPEN);
    assert_int_equal(peer.connection->close_reason, reason);
}

/* The one packet that the client has been sent, as JSON; the connection lives. */
static void assert_told(const char *expected)
{
    static unsigned char frame[1 << 16];
    struct wire_list attachments = {0};
    struct buffer json = {0};
    struct msgpack_cursor cursor;
    size_t header = 2;
    ssize_t length;

    fixture_flush(gateway);
    length = read(peer.fd, frame, sizeof frame);
    assert_true(length > 2);
    assert_int_equal(frame[0], 0x82);
    if (frame[1] == 126)
        header = 4;
    cursor = msgpack_cursor_make(bytes_make((char *)frame + header, (size_t)length - header));
    assert_int_equal(msgpack_json_append(&cursor, JSON_DEPTH_MAX, SIZE_MAX, &json, &attachments), 0);
    assert_ptr_equal(cursor.at, cursor.end);
    buffer_append_char(&json, '\0');
    assert_string_equal(json.data, expected);
    buffer_done(&json);
    wire_list_done(&attachments);
    assert_int_equal(peer.connection->state, CONNECTION_OPEN);
}

static void assert_told_nothing(void)
{
    char byte;

    fixture_flush(gateway);
    assert_true(read(peer.fd, &byte, 1) < 0);
    assert_int_equal(peer.connection->state, CONNECTION_OPEN);
}

static void an_event_asks_for_what_its_text_would(void **state)
{
    struct wire_event event;

    (void)state;
    packet(EVENT("\x93" MSG "\x82\xa4room\xa1r\xa2id\xa8"
                 "12345678\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"));
    event = fixture_asked_event(gateway);
    assert_true(bytes_equal_text(event.event, "msg"));
    assert_true(bytes_equal_text(event.room, "r"));
    assert_true(bytes_equal_text(event.id, "12345678"));
    assert_true(bytes_equal_text(event.arguments, "{\"room\":\"r\",\"id\":\"12345678\"},1.5"));
    assert_int_equal(event.flags, WIRE_EVENT_ACK);
    assert_int_equal(event.attachments.length, 0);
    assert_int_equal(gateway->counters.messages_in, 1);
    assert_told_nothing();
}

static void binaries_are_attachments(void **state)
{
    static const struct bytes expected[] = {{"\x00\xff", 2}, {"", 0}};
    struct wire_reader reader;
    struct wire_event event;
    struct bytes blob;

    (void)state;
    packet(QUIET("\x94" MSG ROOM BIN "\x91\xc4\x00"));
    event = fixture_asked_event(gateway);
    assert_true(
        bytes_equal_text(event.arguments, "{\"room\":\"r\"}," PLACEHOLDER(0) ",[" PLACEHOLDER(1) "]"));
    assert_int_equal(event.flags, 0);
    assert_int_equal(wire_list_open(&reader, event.attachments), 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wire_list_text(&reader, &blob), 0);
        assert_true(bytes_equal(blob, expected[i]));
    }
}

static void without_binary_a_lookalike_is_ordinary_data(void **state)
{
    (void)state;
    packet(EVENT("\x93" MSG ROOM "\x82\xac_placeholder\xc3\xa3num\x04"));
    assert_true(bytes_equal_text(fixture_asked_event(gateway).arguments, "{\"room\":\"r\"}," PLACEHOLDER(4)));
    assert_int_equal(fixture_asked_event(gateway).attachments.length, 0);
}

static void beside_binary_a_lookalike_is_refused(void **state)
{
    (void)state;
    packet(EVENT("\x94" MSG ROOM BIN "\x82\xac_placeholder\xc3\xa3num\x00"));
    assert_told(REFUSED("bad_request", "an object with _placeholder stands beside binary data"));
    packet(EVENT("\x93" MSG ROOM "\x82\xac_placeholder\xc3\xa1x" BIN));
    assert_told(REFUSED("bad_request", "an object with _placeholder stands beside binary data"));
    assert_int_equal(gateway->requests.count, 0);
}

static void the_brokers_own_events_work(void **state)
{
    (void)state;
    packet(EVENT("\x92\xa4join\xa4room"));
    assert_int_equal(gateway->requests.count, 1);
    packet(EVENT("\x92\xa4join\xa0"));
    assert_told(REFUSED("bad_room", "a room is a text of 1 to 255 bytes without control characters"));
    packet(EVENT("\x92\xa4join" BIN));
    assert_told(REFUSED("bad_room", "a room is a text of 1 to 255 bytes without control characters"));
}

static void what_json_has_nothing_for_is_refused(void **state)
{
    (void)state;
    packet(EVENT("\x93" MSG ROOM "\xd6\xff\x00\x00\x00\x00"));
    assert_told(REFUSED("bad_request", "JSON has nothing for a value or a key of the event"));
    packet(EVENT("\x93" MSG ROOM "\x81\x01\x02"));
    assert_told(REFUSED("bad_request", "JSON has nothing for a value or a key of the event"));
    packet(QUIET("\x93" MSG ROOM "\x81\x01\x02"));
    assert_told(
        "{\"type\":2,\"data\":[\"hubbub:error\",{\"event\":\"msg\",\"error\":{\"code\":\"bad_request\","
        "\"message\":\"JSON has nothing for a value or a key of the event\"}},\".0\"],\"nsp\":\"/\"}");
    assert_int_equal(gateway->counters.refused[REFUSAL_BAD_REQUEST], 3);
}

static void what_is_too_deep_is_refused(void **state)
{
    struct buffer bytes = {0};

    (void)state;
    buffer_append_literal(&bytes, "\x84" TYPE("\x02") DATA "\x92" MSG);
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        buffer_append_char(&bytes, '\x91');
    buffer_append_literal(&bytes, "\xc0" ID NSP);
    packet(buffer_bytes(&bytes));
    buffer_done(&bytes);
    assert_told(REFUSED("too_deep", "the arguments are nested deeper than allowed"));
}

/* A packet whose event has a string of so many bytes, and a binary of so many. */
static void packet_of(size_t string, size_t binary, char fill)
{
    struct buffer bytes = {0};

    buffer_append_literal(&bytes, "\x84" TYPE("\x02") DATA "\x94" MSG ROOM "\xda");
    buffer_append_char(&bytes, (char)(string >> 8));
    buffer_append_char(&bytes, (char)string);
    for (size_t i = 0; i < string; i++)
        buffer_append_char(&bytes, fill);
    if (binary) {
        buffer_append_literal(&bytes, "\xc5");
        buffer_append_char(&bytes, (char)(binary >> 8));
        buffer_append_char(&bytes, (char)binary);
        for (size_t i = 0; i < binary; i++)
            buffer_append_char(&bytes, fill);
    } else
        buffer_append_char(&bytes, '\xc0');
    buffer_append_literal(&bytes, ID NSP);
    packet(buffer_bytes(&bytes));
    buffer_done(&bytes);
}

static void the_text_it_stands_for_is_bounded(void **state)
{
    (void)state;
    packet_of(LIMIT, 0, 'a');
    assert_int_equal(gateway->requests.count, 1);
    packet_of(LIMIT, 0, '\x01'); /* six bytes each */
    assert_told(TOO_LARGE);
    packet_of(100, LIMIT / 2, 'a');
    assert_int_equal(gateway->requests.count, 2);
    packet_of(LIMIT / 2, LIMIT / 2, 'a');
    assert_told(TOO_LARGE);
    assert_int_equal(gateway->requests.count, 2);
    assert_int_equal(gateway->counters.refused[REFUSAL_TOO_LARGE], 2);
}

static void more_attachments_than_a_text_may_have_are_refused(void **state)
{
    (void)state;
    packet(EVENT("\x9d" MSG ROOM BIN BIN BIN BIN BIN BIN BIN BIN BIN BIN BIN));
    assert_told(TOO_LARGE);
    packet(EVENT("\x9c" MSG ROOM BIN BIN BIN BIN BIN BIN BIN BIN BIN BIN));
    assert_int_equal(gateway->requests.count, 1);
}

static void a_packet_that_no_client_may_send_closes(void **state)
{
    static const struct bytes packets[] = {
        BYTES(""),
        BYTES("\xc1"),
        BYTES("2[\"msg\"]"),
        BYTES("\x84" TYPE("\x02") DATA "\x91" MSG ID),
        EVENT("\x90"),
        EVENT("\x91\xa7"
              "connect"),
        EVENT("\x92" MSG "\xa1\xff"),
        EVENT("\x92\xc0\x01"),
        BYTES("\x83" TYPE("\x05") DATA "\x91" MSG NSP),
    };

    for (size_t i = 0; i < sizeof packets / sizeof *packets; i++) {
        packet(packets[i]);
        assert_closed(CLOSE_PARSE_ERROR);
        stop(state);
        start(state);
    }
    packet(BYTES("\x83" TYPE("\x00") DATA "\x80" NSP)); /* is connected already */
    assert_closed(CLOSE_PACKET_STATE);
    stop(state);
    start(state);
    packet(BYTES("\x83" TYPE("\x02") DATA "\x91" MSG "\xa3nsp\xa5/else"));
    assert_closed(CLOSE_PACKET_STATE);
}

static void a_text_closes(void **state)
{
    (void)state;
    packet_receive(gateway, peer.connection, BYTES("2[\"msg\",{\"room\":\"r\"}]"));
    assert_closed(CLOSE_PARSE_ERROR);
    assert_int_equal(gateway->requests.count, 0);
}

#define ANSWER(data) BYTES("\x84" TYPE("\x03") DATA data ID NSP)

/* The only request that waits must be that answer to question 7; its attachments.  It is forgotten. */
static struct bytes assert_answered(const char *arguments)
{
    static char kept[100];
    struct wire_reader reader;
    struct wire_response response;
    struct request *request;
    unsigned type;

    assert_int_equal(gateway->requests.count, 1);
    request = requests_walk(&gateway->requests, &(uint64_t){0});
    assert_int_equal(request->kind, REQUEST_RESPONSE);
    wire_reader_open_record(&reader, bytes_make(request->record, request->length));
    assert_int_equal(wire_reader_next(&reader, &type), 1);
    assert_int_equal(type, WIRE_TYPE_RESPONSE);
    assert_int_equal(wire_get_response(&reader, &response), 0);
    assert_int_equal(response.socket, peer.socket->number);
    assert_int_equal(response.ack, 7);
    assert_true(bytes_equal_text(response.arguments, arguments));
    assert_true(response.attachments.length <= sizeof kept);
    if (response.attachments.length)
        memcpy(kept, response.attachments.data, response.attachments.length);
    response.attachments.data = kept;
    socket_finish_request(gateway, request);
    return response.attachments;
}

static void questions_are_asked_and_answered_in_its_parser(void **state)
{
    struct wire_list list = {0};
    struct wire_reader reader;
    struct bytes blob, attachments;

    (void)state;
    wire_list_put_blob(&list, BYTES("x"));
    socket_ask(gateway, peer.socket, 7, BYTES("[\"q\"," PLACEHOLDER(0) "]"), wire_list_finish(&list));
    assert_told("{\"type\":2,\"data\":[\"q\"," PLACEHOLDER(0) "],\"nsp\":\"/\",\"id\":7}");
    assert_int_equal(peer.socket->questions, 1);
    packet(ANSWER("\x93\xc3" BIN "\xa1z"));
    attachments = assert_answered("true," PLACEHOLDER(0) ",\"z\"");
    assert_int_equal(wire_list_open(&reader, attachments), 1);
    assert_int_equal(wire_list_text(&reader, &blob), 0);
    assert_true(bytes_equal(blob, BYTES("\x00\xff")));
    assert_int_equal(peer.socket->questions, 0);
    peer.socket->questions = 2;
    packet(ANSWER("\x90"));
    assert_int_equal(assert_answered("").length, 0);
    packet(ANSWER("\x91\x82\xac_placeholder\xc3\xa3num\x04")); /* data like any other */
    assert_int_equal(assert_answered(PLACEHOLDER(4)).length, 0);
    assert_told_nothing();
    assert_int_equal(gateway->counters.answers_unasked + gateway->counters.answers_dropped, 0);
    wire_list_done(&list);
}

static void answers_that_nobody_can_have_are_dropped(void **state)
{
    struct buffer deep = {0};

    (void)state;
    packet(ANSWER("\x91" BIN)); /* to nothing */
    packet(ANSWER("\x90"));
    assert_int_equal(gateway->counters.answers_unasked, 2);
    peer.socket->questions = 1;
    packet(ANSWER("\x91\xd6\xff\x00\x00\x00\x00")); /* a date */
    packet(ANSWER("\x91\x81\x01\x02"));
    packet(ANSWER("\x92" BIN "\x82\xac_placeholder\xc3\xa3num\x00"));
    packet(ANSWER("\x9b" BIN BIN BIN BIN BIN BIN BIN BIN BIN BIN BIN));
    buffer_append_literal(&deep, "\x84" TYPE("\x03") DATA);
    for (int i = 0; i < JSON_DEPTH_MAX + 1; i++)
        buffer_append_char(&deep, '\x91');
    buffer_append_literal(&deep, "\xc0" ID NSP);
    packet(buffer_bytes(&deep));
    buffer_done(&deep);
    assert_int_equal(gateway->counters.answers_dropped, 5);
    assert_int_equal(gateway->requests.count, 0);
    assert_told_nothing();
    packet(ANSWER("\x91\x05")); /* the question is open still */
    assert_answered("5");
}

/* What no rule covers is a backend's, which answers as it likes. */
static void a_backend_takes_events_and_answers_them(void **state)
{
    struct wire_list list = {0};
    struct wire_event event;
    struct wire_reader reader;
    struct bytes blob;

    (void)state;
    packet(EVENT("\x93\xa5other" BIN "\x05"));
    event = fixture_asked_event(gateway);
    assert_int_equal(requests_walk(&gateway->requests, &(uint64_t){0})->kind, REQUEST_CALL);
    assert_true(bytes_equal_text(event.event, "other"));
    assert_true(bytes_equal_text(event.arguments, PLACEHOLDER(0) ",5"));
    assert_int_equal(event.room.length + event.id.length, 0);
    assert_int_equal(event.flags, WIRE_EVENT_ACK);
    assert_int_equal(wire_list_open(&reader, event.attachments), 1);
    assert_int_equal(wire_list_text(&reader, &blob), 0);
    assert_true(bytes_equal(blob, BYTES("\x00\xff")));
    wire_list_put_blob(&list, BYTES("y"));
    socket_acknowledge(gateway, peer.socket, 7, BYTES("1," PLACEHOLDER(0)), wire_list_finish(&list));
    assert_told("{\"type\":3,\"data\":[1," PLACEHOLDER(0) "],\"nsp\":\"/\",\"id\":7}");
    socket_acknowledge(gateway, peer.socket, 7, BYTES(""), (struct bytes){0});
    assert_told("{\"type\":3,\"data\":[],\"nsp\":\"/\",\"id\":7}");
    wire_list_done(&list);
}

static void the_end_of_a_socket_is_no_end_of_the_connection(void **state)
{
    (void)state;
    packet(BYTES("\x82" TYPE("\x01") NSP));
    assert_null(peer.connection->sockets);
    assert_told_nothing();
    packet(BYTES("\x83" TYPE("\x00") DATA "\x81\xa5token\xa1x" NSP));
    assert_string_equal(peer.connection->sockets->auth, "{\"token\":\"x\"}");
}

static void refused_namespaces_are_told_in_its_parser(void **state)
{
    (void)state;
    packet(BYTES("\x82" TYPE("\x00") "\xa3nsp\xa5/else"));
    assert_told("{\"type\":4,\"data\":{\"message\":\"Invalid namespace\"},\"nsp\":\"/else\"}");
}

static void answers_events_and_the_end_come_in_its_parser(void **state)
{
    struct wire_list list = {0};

    (void)state;
    socket_acknowledge(gateway, peer.socket, 9, BYTES("{\"ok\":true}"), (struct bytes){0});
    assert_told("{\"type\":3,\"data\":[{\"ok\":true}],\"nsp\":\"/\",\"id\":9}");
    wire_list_put_blob(&list, BYTES("x"));
    socket_emit(gateway, peer.socket, BYTES("[\"e\"," PLACEHOLDER(0) "]"), 0, wire_list_finish(&list));
    assert_told("{\"type\":2,\"data\":[\"e\"," PLACEHOLDER(0) "],\"nsp\":\"/\"}");
    wire_list_done(&list);
    socket_disconnect(gateway, peer.socket);
    assert_told("{\"type\":1,\"nsp\":\"/\"}");
}

/* What a large packet took is given back. */
static void memory_of_large_packets_is_not_kept(void **state)
{
    struct buffer bytes = {0};

    (void)state;
    settings.max_payload = settings.max_attachments = 1 << 20;
    buffer_append_literal(&bytes, "\x83" TYPE("\x02") DATA "\x93" MSG ROOM "\xc6\x00\x04\x00\x00");
    for (int i = 0; i < 4 << 16; i++)
        buffer_append_char(&bytes, 'x');
    buffer_append_literal(&bytes, NSP);
    packet(buffer_bytes(&bytes));
    buffer_done(&bytes);
    assert_int_equal(gateway->requests.count, 1);
    assert_null(gateway->unpacked_attachments.buffer.data);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_event_asks_for_what_its_text_would),
        TEST(binaries_are_attachments),
        TEST(without_binary_a_lookalike_is_ordinary_data),
        TEST(beside_binary_a_lookalike_is_refused),
        TEST(the_brokers_own_events_work),
        TEST(what_json_has_nothing_for_is_refused),
        TEST(what_is_too_deep_is_refused),
        TEST(the_text_it_stands_for_is_bounded),
        TEST(more_attachments_than_a_text_may_have_are_refused),
        TEST(a_packet_that_no_client_may_send_closes),
        TEST(a_text_closes),
        TEST(questions_are_asked_and_answered_in_its_parser),
        TEST(answers_that_nobody_can_have_are_dropped),
        TEST(a_backend_takes_events_and_answers_them),
        TEST(the_end_of_a_socket_is_no_end_of_the_connection),
        TEST(refused_namespaces_are_told_in_its_parser),
        TEST(answers_events_and_the_end_come_in_its_parser),
        TEST(memory_of_large_packets_is_not_kept),
    };

    return cmocka_run_group_tests_name("gateway packet msgpack", tests, NULL, NULL);
}
