/*
 * Socket.IO packets: what the reference server takes and refuses on the wire (its
 * probes that a parser can judge), each packet cut at every byte, and the writers.
 */
#include "common/memory.h"
#include "proto/socketio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define NONE         SOCKETIO_NO_ACK

static int parse_within(struct bytes text, unsigned depth, struct socketio_packet *packet)
{
    int code = socketio_packet_parse(text, depth, packet);

    if (!code && (packet->type == SOCKETIO_EVENT || packet->type == SOCKETIO_BINARY_EVENT) &&
        packet->payload.data)
        code = socketio_event_finish(packet, NULL, 0, NULL);
    return code;
}

static int parse(struct bytes text, struct socketio_packet *packet)
{
    return parse_within(text, JSON_DEPTH_MAX, packet);
}

static const struct {
    const char *text;
    enum socketio_type type;
    unsigned attachments;
    const char *nsp;
    long long ack;
    const char *payload; /* NULL: absent */
    const char *name;
    const char *arguments;
} good[] = {
    {"0", SOCKETIO_CONNECT, 0, "/", NONE, NULL, "", ""},
    {"0/,", SOCKETIO_CONNECT, 0, "/", NONE, NULL, "", ""},
    {"0{}", SOCKETIO_CONNECT, 0, "/", NONE, "{}", "", ""},
    {"0{\"token\":\"123\"}", SOCKETIO_CONNECT, 0, "/", NONE, "{\"token\":\"123\"}", "", ""},
    {"0{\"a\":1} ", SOCKETIO_CONNECT, 0, "/", NONE, "{\"a\":1} ", "", ""},
    {"0/custom", SOCKETIO_CONNECT, 0, "/custom", NONE, NULL, "", ""},
    {"0/custom,", SOCKETIO_CONNECT, 0, "/custom", NONE, NULL, "", ""},
    {"0/custom,{\"ok\":1}", SOCKETIO_CONNECT, 0, "/custom", NONE, "{\"ok\":1}", "", ""},
    {"0/custom?token=1,", SOCKETIO_CONNECT, 0, "/custom?token=1", NONE, NULL, "", ""},
    {"0/custom{}", SOCKETIO_CONNECT, 0, "/custom{}", NONE, NULL, "", ""},
    {"0{\"__proto__\":{\"a\":1},\"b\":1}", SOCKETIO_CONNECT, 0, "/", NONE,
     "{\"__proto__\":{\"a\":1},\"b\":1}", "", ""},
    {"1", SOCKETIO_DISCONNECT, 0, "/", NONE, NULL, "", ""},
    {"1/custom,", SOCKETIO_DISCONNECT, 0, "/custom", NONE, NULL, "", ""},
    {"1/custom", SOCKETIO_DISCONNECT, 0, "/custom", NONE, NULL, "", ""},
    {"2", SOCKETIO_EVENT, 0, "/", NONE, NULL, "", ""},
    {"2/custom,", SOCKETIO_EVENT, 0, "/custom", NONE, NULL, "", ""},
    {"2[\"message\"]", SOCKETIO_EVENT, 0, "/", NONE, "[\"message\"]", "message", ""},
    {"2[\"message\",1]", SOCKETIO_EVENT, 0, "/", NONE, "[\"message\",1]", "message", "1"},
    {"2[ \"message\" , 1 ]", SOCKETIO_EVENT, 0, "/", NONE, "[ \"message\" , 1 ]", "message", "1"},
    {"2[\"message\",1] \n", SOCKETIO_EVENT, 0, "/", NONE, "[\"message\",1] \n", "message", "1"},
    {"2[\"\"]", SOCKETIO_EVENT, 0, "/", NONE, "[\"\"]", "", ""},
    {"2[1,2]", SOCKETIO_EVENT, 0, "/", NONE, "[1,2]", "1", "2"},
    {"2[\"error\"]", SOCKETIO_EVENT, 0, "/", NONE, "[\"error\"]", "error", ""},
    {"2[\"Connect\"]", SOCKETIO_EVENT, 0, "/", NONE, "[\"Connect\"]", "Connect", ""},
    {"2[\"m\\u0073g\",\"\\ud800\"]", SOCKETIO_EVENT, 0, "/", NONE, "[\"m\\u0073g\",\"\\ud800\"]", "msg",
     "\"\\ud800\""},
    {"2007[\"m\",1]", SOCKETIO_EVENT, 0, "/", 7, "[\"m\",1]", "m", "1"},
    {"20[\"m\"]", SOCKETIO_EVENT, 0, "/", 0, "[\"m\"]", "m", ""},
    {"20000000000000000000000000000456[\"m\"]", SOCKETIO_EVENT, 0, "/", 456, "[\"m\"]", "m", ""},
    {"29007199254740991[\"m\"]", SOCKETIO_EVENT, 0, "/", 9007199254740991, "[\"m\"]", "m", ""},
    {"2/custom,[\"message\",1]", SOCKETIO_EVENT, 0, "/custom", NONE, "[\"message\",1]", "message", "1"},
    {"2/custom,12[\"m\",{\"a\":[1,2]},null]", SOCKETIO_EVENT, 0, "/custom", 12, "[\"m\",{\"a\":[1,2]},null]",
     "m", "{\"a\":[1,2]},null"},
    {"2[\"message\",{\"_placeholder\":true,\"num\":0}]", SOCKETIO_EVENT, 0, "/", NONE,
     "[\"message\",{\"_placeholder\":true,\"num\":0}]", "message", "{\"_placeholder\":true,\"num\":0}"},
    {"2[\"message\",1.0,1e3,-0,12345678901234567890,1e400,0.1]", SOCKETIO_EVENT, 0, "/", NONE,
     "[\"message\",1.0,1e3,-0,12345678901234567890,1e400,0.1]", "message",
     "1.0,1e3,-0,12345678901234567890,1e400,0.1"},
    {"2[\"message\",{\"a\":1,\"a\":2}]", SOCKETIO_EVENT, 0, "/", NONE, "[\"message\",{\"a\":1,\"a\":2}]",
     "message", "{\"a\":1,\"a\":2}"},
    {"3[1]", SOCKETIO_ACK, 0, "/", NONE, "[1]", "", ""},
    {"399[1]", SOCKETIO_ACK, 0, "/", 99, "[1]", "", ""},
    {"31[]", SOCKETIO_ACK, 0, "/", 1, "[]", "", ""},
    {"3/custom,456[1,\"2\",{\"3\":[false]}]", SOCKETIO_ACK, 0, "/custom", 456, "[1,\"2\",{\"3\":[false]}]",
     "", ""},
    {"4{\"message\":\"x\"}", SOCKETIO_CONNECT_ERROR, 0, "/", NONE, "{\"message\":\"x\"}", "", ""},
    {"4\"x\"", SOCKETIO_CONNECT_ERROR, 0, "/", NONE, "\"x\"", "", ""},
    {"51-[\"message\",{\"_placeholder\":true,\"num\":0}]", SOCKETIO_BINARY_EVENT, 1, "/", NONE,
     "[\"message\",{\"_placeholder\":true,\"num\":0}]", "message", "{\"_placeholder\":true,\"num\":0}"},
    {"51-/custom,7[\"message-with-ack\",{\"_placeholder\":true,\"num\":0}]", SOCKETIO_BINARY_EVENT, 1,
     "/custom", 7, "[\"message-with-ack\",{\"_placeholder\":true,\"num\":0}]", "message-with-ack",
     "{\"_placeholder\":true,\"num\":0}"},
    {"510-[\"message\"]", SOCKETIO_BINARY_EVENT, 10, "/", NONE, "[\"message\"]", "message", ""},
    {"51-[\"message\",1]", SOCKETIO_BINARY_EVENT, 1, "/", NONE, "[\"message\",1]", "message", "1"},
    {"51-", SOCKETIO_BINARY_EVENT, 1, "/", NONE, NULL, "", ""},
    {"61-5[{\"_placeholder\":true,\"num\":0}]", SOCKETIO_BINARY_ACK, 1, "/", 5,
     "[{\"_placeholder\":true,\"num\":0}]", "", ""},
};

static void packets_are_parsed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct socketio_packet packet;

        if (parse(bytes_from_text(good[i].text), &packet) != 0)
            fail_msg("refused: %s", good[i].text);
        assert_int_equal(packet.type, good[i].type);
        assert_int_equal(packet.attachments, good[i].attachments);
        assert_true(bytes_equal_text(packet.nsp, good[i].nsp));
        assert_true(packet.ack == good[i].ack);
        if (good[i].payload)
            assert_true(bytes_equal_text(packet.payload, good[i].payload));
        else
            assert_null(packet.payload.data);
        assert_int_equal(packet.name_error, 0);
        if (!bytes_equal_text(packet.name, good[i].name) ||
            !bytes_equal_text(packet.event.arguments, good[i].arguments))
            fail_msg("%s: %.*s, %.*s", good[i].text, BYTES_PRINTF(packet.name),
                     BYTES_PRINTF(packet.event.arguments));
    }
}

static const struct {
    const char *text;
    int code;
} bad[] = {
    {"", ERROR_MALFORMED},
    {"7", ERROR_MALFORMED},
    {"9", ERROR_MALFORMED},
    {"b", ERROR_MALFORMED},
    {"abc", ERROR_MALFORMED},
    {" [\"message\",1]", ERROR_MALFORMED},
    {"0null", ERROR_MALFORMED},
    {"0[]", ERROR_MALFORMED},
    {"0\"x\"", ERROR_MALFORMED},
    {"0{\"a\":", ERROR_MALFORMED},
    {"0{}x", ERROR_MALFORMED},
    {"0 {}", ERROR_MALFORMED},
    {"0/custom,null", ERROR_MALFORMED},
    {"1{\"a\":1}", ERROR_MALFORMED},
    {"1[]", ERROR_MALFORMED},
    {"1/custom,null", ERROR_MALFORMED},
    {"1 ", ERROR_MALFORMED},
    {"2[]", ERROR_MALFORMED},
    {"2{}", ERROR_MALFORMED},
    {"2null", ERROR_MALFORMED},
    {"2\"message\"", ERROR_MALFORMED},
    {"2[null]", ERROR_MALFORMED},
    {"2[true]", ERROR_MALFORMED},
    {"2[[\"message\"]]", ERROR_MALFORMED},
    {"2[{}]", ERROR_MALFORMED},
    {"2[\"connect\"]", ERROR_MALFORMED},
    {"2[\"connect_error\"]", ERROR_MALFORMED},
    {"2[\"disconnect\"]", ERROR_MALFORMED},
    {"2[\"disconnecting\"]", ERROR_MALFORMED},
    {"2[\"newListener\"]", ERROR_MALFORMED},
    {"2[\"removeListener\",1]", ERROR_MALFORMED},
    {"2[\"c\\u006fnnect\"]", ERROR_MALFORMED},
    {"2[\"message\",1]x", ERROR_MALFORMED},
    {"2[\"message\",1", ERROR_MALFORMED},
    {"2[\"message\",]", ERROR_MALFORMED},
    {"2[\"message\" 1]", ERROR_MALFORMED},
    {"2[\"message]", ERROR_MALFORMED},
    {"2 [\"message\",1]", ERROR_MALFORMED},
    {"2\n[\"message\",1]", ERROR_MALFORMED},
    {"2 5[\"message\",1]", ERROR_MALFORMED},
    {"25 [\"message\",1]", ERROR_MALFORMED},
    {"2-1[\"message\",1]", ERROR_MALFORMED},
    {"2+1[\"message\",1]", ERROR_MALFORMED},
    {"21.5[\"message\",1]", ERROR_MALFORMED},
    {"21e3[\"message\",1]", ERROR_MALFORMED},
    {"29007199254740992[\"m\"]", ERROR_MALFORMED},
    {"299999999999999999999[\"m\"]", ERROR_MALFORMED},
    {"2custom,[\"message\"]", ERROR_MALFORMED},
    {"2,[\"message\"]", ERROR_MALFORMED},
    {"21/custom,[\"message\"]", ERROR_MALFORMED},
    {"3", ERROR_MALFORMED},
    {"31", ERROR_MALFORMED},
    {"30{\"a\":1}", ERROR_MALFORMED},
    {"30null", ERROR_MALFORMED},
    {"30[1", ERROR_MALFORMED},
    {"30[1]]", ERROR_MALFORMED},
    {"4", ERROR_MALFORMED},
    {"4[]", ERROR_MALFORMED},
    {"4null", ERROR_MALFORMED},
    {"50-[\"message\",1]", ERROR_MALFORMED},
    {"5-[\"message\"]", ERROR_MALFORMED},
    {"51[\"message\"]", ERROR_MALFORMED},
    {"51[\"mess-age\"]", ERROR_MALFORMED},
    {"5x-[\"message\"]", ERROR_MALFORMED},
    {"5-1-[\"message\"]", ERROR_MALFORMED},
    {"5 1-[\"message\"]", ERROR_MALFORMED},
    {"51.0-[\"message\"]", ERROR_MALFORMED},
    {"51e0-[\"message\"]", ERROR_MALFORMED},
    {"599999999999999999999-[\"message\"]", ERROR_MALFORMED},
    {"5", ERROR_MALFORMED},
    {"51", ERROR_MALFORMED},
    {"51-{}", ERROR_MALFORMED},
    {"51-[\"connect\",{\"_placeholder\":true,\"num\":0}]", ERROR_MALFORMED},
    {"511-[\"message\"]", ERROR_TOO_LARGE},
    {"6[1]", ERROR_MALFORMED},
    {"61-", ERROR_MALFORMED},
    {"61-5{}", ERROR_MALFORMED},
    {"611-5[]", ERROR_TOO_LARGE},
};

static void bad_packets_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct socketio_packet packet = {.attachments = 77};
        int code = parse(bytes_from_text(bad[i].text), &packet);

        if (code != bad[i].code)
            fail_msg("%s: %d", bad[i].text, code);
    }
    assert_int_equal(parse((struct bytes){NULL, 0}, &(struct socketio_packet){0}), ERROR_MALFORMED);
}

/* A packet that lacks its end is either refused or a shorter packet without a payload; nothing reads beyond.
 */
static void truncated_packets(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        size_t whole = strlen(good[i].text);

        if (!good[i].payload)
            continue;
        for (size_t length = 0; length < whole; length++) {
            char *copy = memory_new(length + 1);
            struct socketio_packet packet;
            int code;

            memcpy(copy + 1, good[i].text, length);
            code = parse(bytes_make(copy + 1, length), &packet);
            if (code == 0 && packet.payload.data && good[i].text[whole - 1] > ' ')
                fail_msg("accepted: %.*s", (int)length, good[i].text);
            if (code != 0 && code != ERROR_MALFORMED && code != ERROR_TOO_LARGE)
                fail_msg("%d: %.*s", code, (int)length, good[i].text);
            free(copy);
        }
    }
}

static void append_repeated(struct buffer *out, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++)
        buffer_append_text(out, text);
}

static void long_names_are_told_apart(void **state)
{
    static const struct {
        const char *piece;
        size_t times;
        int want;
    } names[] = {
        {"n", SOCKETIO_NAME_MAX, 0},
        {"n", SOCKETIO_NAME_MAX + 1, ERROR_TOO_LARGE},
        {"\\u006e", SOCKETIO_NAME_MAX, 0},
        {"\\u006e", SOCKETIO_NAME_MAX + 1, ERROR_TOO_LARGE},
        {"\xc3\xa9", 127, 0},
        {"\xc3\xa9", 128, ERROR_TOO_LARGE},
        {"\\ud800", 1, ERROR_UTF8},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        struct buffer text = {0};
        struct socketio_packet packet;

        buffer_append_literal(&text, "25[\"");
        append_repeated(&text, names[i].piece, names[i].times);
        buffer_append_literal(&text, "\",1]");
        assert_int_equal(parse(buffer_bytes(&text), &packet), 0);
        assert_int_equal(packet.name_error, names[i].want);
        assert_true(packet.ack == 5);
        assert_true(bytes_equal_text(packet.event.arguments, "1"));
        if (names[i].want)
            assert_int_equal(packet.name.length, 0);
        else
            assert_true(packet.name.length >= 254);
        buffer_done(&text);
    }
}

static void long_namespaces_are_refused(void **state)
{
    struct buffer text = {0};
    struct socketio_packet packet;

    (void)state;
    buffer_append_literal(&text, "0/");
    append_repeated(&text, "n", SOCKETIO_NAMESPACE_MAX - 1);
    assert_int_equal(parse(buffer_bytes(&text), &packet), 0);
    assert_int_equal(packet.nsp.length, SOCKETIO_NAMESPACE_MAX);
    buffer_append_char(&text, 'n');
    assert_int_equal(parse(buffer_bytes(&text), &packet), ERROR_TOO_LARGE);
    buffer_append_literal(&text, ",{}");
    assert_int_equal(parse(buffer_bytes(&text), &packet), ERROR_TOO_LARGE);
    buffer_done(&text);
}

static void deep_payloads_are_told_apart(void **state)
{
    static const char *const heads[] = {"27[\"message\",", "31[", "0{\"a\":"};
    static const char *const tails[] = {"]", "]", "}"};
    static const unsigned limits[] = {1, 2, 7, JSON_DEPTH_MAX};

    (void)state;
    for (size_t i = 0; i < COUNT(heads) * COUNT(limits); i++)
        for (unsigned limit = limits[i / COUNT(heads)], depth = limit - 1; depth <= limit; depth++) {
            struct buffer text = {0};
            struct socketio_packet packet;

            buffer_append_text(&text, heads[i % COUNT(heads)]);
            append_repeated(&text, "[", depth);
            buffer_append_text(&text, depth ? "" : "1");
            append_repeated(&text, "]", depth);
            buffer_append_text(&text, tails[i % COUNT(heads)]);
            assert_int_equal(parse_within(buffer_bytes(&text), limit, &packet),
                             depth < limit ? 0 : ERROR_TOO_DEEP);
            buffer_done(&text);
        }
}

static void values_are_found_in_the_walk(void **state)
{
    struct json_path paths[2] = {0};
    struct json_value values[2];
    struct socketio_packet packet;

    (void)state;
    assert_int_equal(json_path_parse(BYTES("$.room"), &paths[0]), 0);
    assert_int_equal(json_path_parse(BYTES("$.id"), &paths[1]), 0);
    assert_int_equal(
        socketio_packet_parse(BYTES("2/c,8[\"msg\",{\"room\":\"r\",\"id\":\"12345678\",\"body\":\"x\"}]"),
                              JSON_DEPTH_MAX, &packet),
        0);
    assert_true(bytes_equal_text(packet.name, "msg"));
    assert_int_equal(socketio_event_finish(&packet, paths, 2, values), 0);
    assert_true(bytes_equal_text(values[0].text, "\"r\""));
    assert_true(bytes_equal_text(values[1].text, "\"12345678\""));

    assert_int_equal(
        socketio_packet_parse(BYTES("28[\"msg\",{\"room\":\"r\",\"room\":\"s\"}]"), JSON_DEPTH_MAX, &packet),
        0);
    assert_int_equal(socketio_event_finish(&packet, paths, 2, values), ERROR_EXISTS);
}

static void expect_written(struct buffer *out, const char *want)
{
    assert_true(bytes_equal_text(buffer_bytes(out), want));
    buffer_clear(out);
}

static void packets_are_written(void **state)
{
    struct bytes main_namespace = BYTES("/");
    struct bytes custom = BYTES("/custom");
    struct buffer out = {0};

    (void)state;
    socketio_append_connect(&out, main_namespace, BYTES("kuKRthP_-rZ_NgC7AAAA"), BYTES(""));
    expect_written(&out, "40{\"sid\":\"kuKRthP_-rZ_NgC7AAAA\"}");
    socketio_append_connect(&out, custom, BYTES("JHF2eX4WxW_xay1nAAAU"), BYTES("P"));
    expect_written(&out, "40/custom,{\"sid\":\"JHF2eX4WxW_xay1nAAAU\",\"pid\":\"P\"}");
    socketio_append_connect_error(&out, BYTES("/random"), BYTES("{\"message\":\"Invalid namespace\"}"));
    expect_written(&out, "44/random,{\"message\":\"Invalid namespace\"}");
    socketio_append_connect_error(&out, main_namespace, BYTES("{\"message\":\"no\"}"));
    expect_written(&out, "44{\"message\":\"no\"}");
    socketio_append_disconnect(&out, main_namespace);
    expect_written(&out, "41");
    socketio_append_disconnect(&out, custom);
    expect_written(&out, "41/custom,");
    socketio_append_event_head(&out, main_namespace, SOCKETIO_NO_ACK, 0);
    expect_written(&out, "42");
    socketio_append_event_head(&out, main_namespace, 0, 0);
    expect_written(&out, "420");
    socketio_append_event_head(&out, custom, 17, 0);
    expect_written(&out, "42/custom,17");
    socketio_append_event_head(&out, main_namespace, SOCKETIO_NO_ACK, 1);
    expect_written(&out, "451-");
    socketio_append_event_head(&out, custom, 17, 10);
    expect_written(&out, "4510-/custom,17");
    socketio_append_ack_head(&out, main_namespace, 7, 0);
    expect_written(&out, "437");
    socketio_append_ack_head(&out, custom, 9007199254740991, 0);
    expect_written(&out, "43/custom,9007199254740991");
    socketio_append_ack_head(&out, main_namespace, 7, 2);
    expect_written(&out, "462-7");
    socketio_append_ack_head(&out, custom, 0, 1);
    expect_written(&out, "461-/custom,0");
    buffer_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_are_parsed),
        cmocka_unit_test(bad_packets_are_refused),
        cmocka_unit_test(truncated_packets),
        cmocka_unit_test(long_names_are_told_apart),
        cmocka_unit_test(long_namespaces_are_refused),
        cmocka_unit_test(deep_payloads_are_told_apart),
        cmocka_unit_test(values_are_found_in_the_walk),
        cmocka_unit_test(packets_are_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
