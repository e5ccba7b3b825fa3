/*
 * Packets with attachments: put together from their messages, bounded in bytes and in time, and gone with
 * their connection; and what goes out with attachments.
 */
#include "gateway/attachments.h"
#include "gateway/engine.h"
#include "gateway/packet.h"
#include "tests/unit/gateway/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define PLACEHOLDER(num) "{\"_placeholder\":true,\"num\":" #num "}"

enum { LIMIT = 1000 };

static struct gateway_settings settings;
static struct gateway *gateway;
static struct peer peer;

static int start(void **state)
{
    (void)state;
    gateway = fixture_start();
    settings = *gateway->settings;
    settings.max_attachments = LIMIT;
    gateway->settings = &settings;
    peer = fixture_peer(gateway);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fixture_peer_done(&peer);
    fixture_stop(gateway);
    return 0;
}

static void text(const char *packet)
{
    packet_receive(gateway, peer.connection, bytes_from_text(packet));
}

static void binary(struct bytes attachment)
{
    packet_receive_binary(gateway, peer.connection, attachment);
}

static void assert_attachments(struct bytes list, size_t count, const struct bytes *expected)
{
    struct wire_reader reader;
    struct bytes attachment;

    assert_int_equal(wire_list_open(&reader, list), count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(wire_list_text(&reader, &attachment), 0);
        assert_true(bytes_equal(attachment, expected[i]));
    }
}

static void assert_closed(enum close_reason reason)
{
    assert_int_not_equal(peer.connection->state, CONNECTION_OPEN);
    assert_int_equal(peer.connection->close_reason, reason);
    assert_null(peer.connection->pending);
}

/* The client has been told so, and the connection lives. */
static void assert_told(const char *expected)
{
    fixture_flush(gateway);
    assert_string_equal(fixture_read(&peer), expected);
    assert_int_equal(peer.connection->state, CONNECTION_OPEN);
    assert_null(peer.connection->pending);
}

#define REFUSED(code, message)                                                                               \
    "[{\"ok\":false,\"error\":{\"code\":\"" code "\",\"message\":\"" message "\"}}]"
#define TOO_LARGE REFUSED("too_large", "the event is larger than allowed")

static void an_event_is_asked_for_with_its_last_attachment(void **state)
{
    const struct bytes attachments[] = {BYTES("\0\xff"), BYTES(""), BYTES("three")};
    struct wire_event event;

    (void)state;
    text("53-7[\"msg\",{\"room\":\"r\",\"a\":" PLACEHOLDER(1) "}," PLACEHOLDER(0) "," PLACEHOLDER(0) "]");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(gateway->requests.count, 0);
        binary(attachments[i]);
    }
    assert_null(peer.connection->pending);
    event = fixture_asked_event(gateway);
    assert_true(bytes_equal_text(event.event, "msg"));
    assert_true(bytes_equal_text(event.room, "r"));
    assert_true(bytes_equal_text(
        event.arguments, "{\"room\":\"r\",\"a\":" PLACEHOLDER(1) "}," PLACEHOLDER(0) "," PLACEHOLDER(0)));
    assert_int_equal(event.flags, WIRE_EVENT_ACK);
    assert_attachments(event.attachments, 3, attachments);
    assert_told("");
}

static void ten_attachments_are_the_most(void **state)
{
    struct bytes attachments[10];

    (void)state;
    text("510-[\"msg\",{\"room\":\"r\"}," PLACEHOLDER(9) "]");
    for (size_t i = 0; i < 10; i++) {
        attachments[i] = bytes_make("0123456789", i);
        binary(attachments[i]);
    }
    assert_attachments(fixture_asked_event(gateway).attachments, 10, attachments);
    text("511-[\"msg\"]");
    assert_closed(CLOSE_PARSE_ERROR);
}

static void fewer_may_be_the_most(void **state)
{
    struct bytes attachment = BYTES("x");

    (void)state;
    settings.max_attachment_count = 1;
    text("51-[\"msg\",{\"room\":\"r\"}," PLACEHOLDER(0) "]");
    binary(attachment);
    assert_attachments(fixture_asked_event(gateway).attachments, 1, &attachment);
    text("52-[\"msg\"]");
    assert_closed(CLOSE_PARSE_ERROR);
}

static void events_without_attachments_have_none(void **state)
{
    (void)state;
    text("2[\"msg\",{\"room\":\"r\"}," PLACEHOLDER(4) "]"); /* ordinary data */
    assert_int_equal(fixture_asked_event(gateway).attachments.length, 0);
}

static void the_brokers_own_events_do_without_them(void **state)
{
    (void)state;
    text("51-1[\"join\"," PLACEHOLDER(0) "]");
    binary(BYTES("x"));
    assert_told("431" REFUSED("bad_room", "a room is a text of 1 to 255 bytes without control characters"));
    text("51-[\"join\",\"room\"," PLACEHOLDER(0) "]");
    binary(BYTES("x"));
    assert_int_equal(gateway->requests.count, 1);
    assert_told("");
}

/* Without them a namespace's rules go on, and join is an event like any other. */
static void without_the_brokers_own_events_rules_go_on(void **state)
{
    uint64_t walk = 0;

    (void)state;
    settings.namespaces.namespaces->builtin = false;
    text("2[\"msg\",{\"room\":\"r\"}]");
    assert_true(bytes_equal_text(fixture_asked_event(gateway).room, "r"));
    assert_int_equal(requests_walk(&gateway->requests, &walk)->kind, REQUEST_EVENT);
    text("2[\"join\",\"r\"]");
    text("27[\"other\"]");
    for (int i = 0; i < 2; i++)
        assert_int_equal(requests_walk(&gateway->requests, &walk)->kind, REQUEST_CALL);
    assert_null(requests_walk(&gateway->requests, &walk));
}

static void what_says_nothing_is_taken_in_and_forgotten(void **state)
{
    (void)state;
    text("61-5[" PLACEHOLDER(0) "]");
    binary(BYTES("x"));
    text("61-[]"); /* an answer to nothing */
    binary(BYTES("x"));
    text("52-");
    binary(BYTES("x"));
    binary(BYTES("y"));
    assert_int_equal(gateway->requests.count, 0);
    assert_told("");
}

static void a_text_before_the_last_attachment_closes(void **state)
{
    (void)state;
    text("52-[\"msg\",{\"room\":\"r\"}]");
    binary(BYTES("x"));
    text("2[\"msg\",{\"room\":\"r\"}]");
    assert_closed(CLOSE_PARSE_ERROR);
    assert_int_equal(gateway->requests.count, 0);
}

static void an_attachment_that_nobody_announced_closes(void **state)
{
    (void)state;
    binary(BYTES("x"));
    assert_closed(CLOSE_PARSE_ERROR);
}

static void one_too_many_closes(void **state)
{
    (void)state;
    text("51-[\"msg\",{\"room\":\"r\"}]");
    binary(BYTES("x"));
    binary(BYTES("x"));
    assert_closed(CLOSE_PARSE_ERROR);
}

static void malformed_json_closes_at_once(void **state)
{
    static const char *const packets[] = {"51-[\"msg\",{]", "51-[\"msg\"", "51-[]",
                                          "61-1{}",         "61-",         "51-[\"connect\"]"};

    for (size_t i = 0; i < sizeof packets / sizeof *packets; i++) {
        text(packets[i]);
        assert_closed(CLOSE_PARSE_ERROR);
        stop(state);
        start(state);
    }
}

static void placeholders_that_name_nothing_close_with_the_last_attachment(void **state)
{
    static const char *const packets[] = {"52-[\"msg\",{\"room\":\"r\"}," PLACEHOLDER(2) "]",
                                          "52-[\"msg\",{\"room\":\"r\"}," PLACEHOLDER(-1) "]",
                                          "52-[\"msg\",{\"room\":\"r\"}," PLACEHOLDER("1") "]",
                                          "52-[\"no such event\",[[{\"_placeholder\":true}]]]",
                                          "62-1[" PLACEHOLDER(2) "]",
                                          "52-/elsewhere,[\"msg\"," PLACEHOLDER(2) "]"};

    for (size_t i = 0; i < sizeof packets / sizeof *packets; i++) {
        text(packets[i]);
        binary(BYTES("x"));
        assert_int_equal(peer.connection->state, CONNECTION_OPEN);
        assert_int_equal(peer.connection->pending->attachments.buffer.length, 0);
        binary(BYTES("y"));
        assert_closed(CLOSE_PARSE_ERROR);
        stop(state);
        start(state);
    }
}

static void a_namespace_that_is_not_joined_closes_with_the_last_attachment(void **state)
{
    static const char *const packets[] = {"51-/elsewhere,[\"msg\"]", "51-/elsewhere,", "61-/elsewhere,1[]"};

    for (size_t i = 0; i < sizeof packets / sizeof *packets; i++) {
        text(packets[i]);
        assert_int_equal(peer.connection->state, CONNECTION_OPEN);
        binary(BYTES("x"));
        assert_closed(CLOSE_PACKET_STATE);
        stop(state);
        start(state);
    }
}

static void too_deep_is_refused_with_the_last_attachment(void **state)
{
    struct buffer packet = {0};

    (void)state;
    buffer_append_literal(&packet, "51-7[\"msg\",");
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        buffer_append_char(&packet, '[');
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        buffer_append_char(&packet, ']');
    buffer_append_literal(&packet, "]");
    packet_receive(gateway, peer.connection, buffer_bytes(&packet));
    buffer_done(&packet);
    binary(BYTES("x"));
    assert_told("437" REFUSED("too_deep", "the arguments are nested deeper than allowed"));
}

/* -- the bound in bytes ------------------------------------------------------------------------ */

static char filler[8 * LIMIT];

/* Whatever it was, next to nothing of it is kept. */
static void assert_cut(void)
{
    const struct pending_packet *pending = peer.connection->pending;

    assert_false(pending->keep);
    assert_true(pending->text.length < 2000);
    assert_null(pending->attachments.buffer.data);
}

static void the_bound_counts_text_and_attachments(void **state)
{
    static const char packet[] = "52-1[\"msg\",{\"room\":\"r\"}," PLACEHOLDER(0) "]";
    size_t rest = LIMIT - (sizeof packet - 1) - 400;

    (void)state;
    text(packet);
    binary(bytes_make(filler, 400));
    binary(bytes_make(filler, rest));
    assert_int_equal(gateway->requests.count, 1);
    text(packet);
    binary(bytes_make(filler, 400));
    binary(bytes_make(filler, rest + 1));
    assert_int_equal(gateway->requests.count, 1);
    assert_told("431" TOO_LARGE);
    assert_int_equal(gateway->counters.refused[REFUSAL_TOO_LARGE], 1);
}

static void what_is_too_large_is_taken_in_but_not_kept(void **state)
{
    (void)state;
    text("53-1[\"msg\",{\"room\":\"r\"}]");
    binary(bytes_make(filler, LIMIT));
    assert_cut();
    binary(bytes_make(filler, sizeof filler));
    binary(bytes_make(filler, 1));
    assert_told("431" TOO_LARGE);

    text("51-[\"m\\u0073g\",{\"room\":\"r\"}]"); /* with no acknowledgement asked for */
    binary(bytes_make(filler, LIMIT));
    fixture_flush(gateway);
    assert_non_null(strstr(fixture_read(&peer),
                           "42[\"hubbub:error\",{\"event\":\"msg\",\"error\":{\"code\":\"too_large\""));
    assert_int_equal(gateway->requests.count, 0);
}

static void a_text_that_is_too_large_is_not_kept_either(void **state)
{
    /* A long argument, a long name, a long way to write the count and the id. */
    static const struct {
        const char *head, *tail;
        char fill;
    } packets[] = {{"51-7[\"msg\",\"", "\"]", 'a'}, {"51-7[\"", "\"]", 'a'},    {"51-7[", "]", '1'},
                   {"5", "1-7[\"msg\"]", '0'},      {"51-", "7[\"msg\"]", '0'}, {"51-7[", "\"msg\"]", ' '}};

    (void)state;
    for (size_t i = 0; i < sizeof packets / sizeof *packets; i++) {
        struct buffer packet = {0};

        memset(filler, packets[i].fill, sizeof filler);
        buffer_append_text(&packet, packets[i].head);
        buffer_append(&packet, filler, sizeof filler);
        buffer_append_text(&packet, packets[i].tail);
        packet_receive(gateway, peer.connection, buffer_bytes(&packet));
        buffer_done(&packet);
        assert_cut();
        binary(BYTES("x"));
        assert_told("437" TOO_LARGE);
    }
}

/* -- the bound in time ------------------------------------------------------------------------- */

static void attachments_that_do_not_come_close(void **state)
{
    uint64_t now = loop_now(gateway->loop);
    uint64_t allowed = settings.ping_interval + settings.ping_timeout;

    (void)state;
    assert_false(packet_overdue(peer.connection, now + 10 * allowed, &settings));
    text("52-[\"msg\",{\"room\":\"r\"}]");
    binary(BYTES("x"));
    assert_false(packet_overdue(peer.connection, now + allowed - 1, &settings));
    assert_true(packet_overdue(peer.connection, now + allowed, &settings));

    peer.connection->paused = true; /* what it sends is not read: that is not its fault */
    assert_false(packet_overdue(peer.connection, now + allowed, &settings));
    peer.connection->paused = false;
    assert_false(packet_overdue(peer.connection, now + 2 * allowed - 1, &settings));
    assert_true(packet_overdue(peer.connection, now + 2 * allowed, &settings));

    peer.connection->pending->since = now - allowed;
    peer.connection->protocol->timeout(gateway, peer.connection);
    assert_closed(CLOSE_ATTACHMENTS_TIMEOUT);
}

static void a_packet_in_time_is_not_closed_later(void **state)
{
    (void)state;
    text("51-[\"msg\",{\"room\":\"r\"}]");
    peer.connection->pending->since -= settings.ping_interval + settings.ping_timeout;
    binary(BYTES("x"));
    peer.connection->protocol->timeout(gateway, peer.connection);
    assert_int_equal(peer.connection->state, CONNECTION_OPEN);
}

/* -- the connection ends meanwhile ------------------------------------------------------------- */

static void a_packet_goes_with_its_connection(void **state)
{
    (void)state;
    text("52-[\"msg\",{\"room\":\"r\"}]");
    binary(BYTES("x"));
    connection_drop(gateway, peer.connection, CLOSE_PEER_GONE); /* the leak check looks on */
    assert_closed(CLOSE_PEER_GONE);
}

/* -- its session moves ------------------------------------------------------------------------- */

/* As another gateway would go on with it. */
static void move(void)
{
    struct buffer written = {0};
    struct pending_packet *moved = NULL;

    pending_packet_write(peer.connection->pending, &written);
    packet_pending_free(peer.connection);
    for (size_t length = 0; length < written.length; length++) /* nothing else is read, nothing read beyond */
        assert_int_equal(pending_packet_read(bytes_make(written.data, length), LIMIT, 0, &moved),
                         ERROR_MALFORMED);
    assert_null(moved);
    assert_int_equal(pending_packet_read(buffer_bytes(&written), LIMIT, 7, &moved), 0);
    assert_int_equal(moved->since, 7);
    peer.connection->pending = moved;
    buffer_done(&written);
}

static void a_packet_goes_on_after_every_part(void **state)
{
    const struct bytes attachments[] = {BYTES("one"), BYTES(""), BYTES("\0\xff")};

    for (unsigned moved_after = 0; moved_after < 3; moved_after++) {
        text("53-7[\"msg\",{\"room\":\"r\"}," PLACEHOLDER(2) "]");
        for (unsigned i = 0; i < 3; i++) {
            if (i == moved_after)
                move();
            binary(attachments[i]);
        }
        assert_true(
            bytes_equal_text(fixture_asked_event(gateway).arguments, "{\"room\":\"r\"}," PLACEHOLDER(2)));
        assert_attachments(fixture_asked_event(gateway).attachments, 3, attachments);
        stop(state);
        start(state);
    }
}

static void what_is_wrong_with_a_packet_goes_along(void **state)
{
    text("52-7[\"msg\",{\"room\":\"r\"}]");
    binary(bytes_make(filler, LIMIT));
    move();
    binary(BYTES("x"));
    assert_told("437" TOO_LARGE);

    text("52-7[\"msg\",{\"room\":\"r\"}]");
    binary(bytes_make(filler, LIMIT / 2));
    move();
    binary(bytes_make(filler, LIMIT / 2)); /* too large only together */
    assert_told("437" TOO_LARGE);

    text("61-[]");
    move();
    binary(BYTES("x"));
    assert_told("");

    text("51-[\"msg\"," PLACEHOLDER(1) "]");
    move();
    binary(BYTES("x"));
    assert_closed(CLOSE_PARSE_ERROR);
    (void)state;
}

static void what_another_gateway_would_not_write_is_refused(void **state)
{
    static const struct {
        uint64_t missing, refusal;
        const char *text;
        unsigned attachments;
    } wrong[] = {
        {0, 0, "51-[\"a\"]", 0}, {2, 0, "51-[\"a\"]", 0}, {11, 0, "511-[\"a\"]", 0}, {1, 3, "51-[\"a\"]", 0},
        {1, 0, "2[\"a\"]", 0},   {1, 0, "51-", 11},       {1, 0, "52-[\"a\"]", 2},   {1, 0, "", 0}};
    struct pending_packet *moved;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct wire_list list = {0};

        wire_list_put_u64(&list, wrong[i].missing);
        wire_list_put_u64(&list, 10);
        wire_list_put_u64(&list, 1);
        wire_list_put_u64(&list, wrong[i].refusal);
        wire_list_put_text(&list, bytes_from_text(wrong[i].text));
        for (unsigned count = 0; count < wrong[i].attachments; count++)
            wire_list_put_blob(&list, BYTES("x"));
        assert_int_equal(pending_packet_read(wire_list_finish(&list), LIMIT, 0, &moved), ERROR_MALFORMED);
        wire_list_done(&list);
    }
}

/* -- frames ------------------------------------------------------------------------------------ */

static void frame(unsigned opcode, const char *payload)
{
    char bytes[160];
    size_t length = strlen(payload);

    assert_true(length < 126);
    bytes[0] = (char)(0x80 | opcode);
    bytes[1] = (char)(0x80 | length);
    memset(bytes + 2, 0, 4);
    memcpy(bytes + 6, payload, length);
    peer.connection->protocol->input(gateway, peer.connection, bytes, 6 + length);
}

static void heartbeats_may_stand_between(void **state)
{
    (void)state;
    frame(1, "451-[\"msg\",{\"room\":\"r\"}]");
    frame(9, "ping");
    frame(1, "3");
    frame(2, "attached");
    assert_attachments(fixture_asked_event(gateway).attachments, 1, &BYTES("attached"));
    assert_told("ping");
}

static void what_goes_out_is_one_text_and_its_attachments(void **state)
{
    struct wire_list two = {0}, one = {0};
    struct buffer expected = {0};
    char got[256];

    (void)state;
    wire_list_put_blob(&two, BYTES(""));
    wire_list_put_blob(&two, BYTES("\0\xff"));
    wire_list_put_blob(&one, BYTES("b"));
    socket_acknowledge(gateway, peer.socket, 7, BYTES(PLACEHOLDER(1)), wire_list_finish(&two));
    socket_emit(gateway, peer.socket, BYTES("[\"a\"]"), 0, wire_list_finish(&one));
    socket_emit(gateway, peer.socket, BYTES("[1]"), 0, (struct bytes){0});
    fixture_flush(gateway);

    buffer_append_literal(&expected, "\x81\x24");
    buffer_append_literal(&expected, "462-7[" PLACEHOLDER(1) "]");
    buffer_append_literal(&expected, "\x82\x00\x82\x02\x00\xff");
    buffer_append_literal(&expected, "\x81\x09");
    buffer_append_literal(&expected, "451-[\"a\"]");
    buffer_append_literal(&expected, "\x82\x01");
    buffer_append_literal(&expected, "b");
    buffer_append_literal(&expected, "\x81\x05");
    buffer_append_literal(&expected, "42[1]");
    assert_int_equal(read(peer.fd, got, sizeof got), expected.length);
    assert_memory_equal(got, expected.data, expected.length);
    buffer_done(&expected);
    wire_list_done(&two), wire_list_done(&one);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(an_event_is_asked_for_with_its_last_attachment),
        TEST(ten_attachments_are_the_most),
        TEST(fewer_may_be_the_most),
        TEST(events_without_attachments_have_none),
        TEST(the_brokers_own_events_do_without_them),
        TEST(without_the_brokers_own_events_rules_go_on),
        TEST(what_says_nothing_is_taken_in_and_forgotten),
        TEST(a_text_before_the_last_attachment_closes),
        TEST(an_attachment_that_nobody_announced_closes),
        TEST(one_too_many_closes),
        TEST(malformed_json_closes_at_once),
        TEST(placeholders_that_name_nothing_close_with_the_last_attachment),
        TEST(a_namespace_that_is_not_joined_closes_with_the_last_attachment),
        TEST(too_deep_is_refused_with_the_last_attachment),
        TEST(the_bound_counts_text_and_attachments),
        TEST(what_is_too_large_is_taken_in_but_not_kept),
        TEST(a_text_that_is_too_large_is_not_kept_either),
        TEST(attachments_that_do_not_come_close),
        TEST(a_packet_in_time_is_not_closed_later),
        TEST(a_packet_goes_with_its_connection),
        TEST(a_packet_goes_on_after_every_part),
        TEST(what_is_wrong_with_a_packet_goes_along),
        TEST(what_another_gateway_would_not_write_is_refused),
        TEST(heartbeats_may_stand_between),
        TEST(what_goes_out_is_one_text_and_its_attachments),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
