/* Engine.IO packets: every type, the open packet and the refusals byte for byte. */
#include "proto/engineio.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void packets_are_parsed(void **state)
{
    static const struct {
        const char *text;
        enum engineio_type type;
        const char *data;
    } samples[] = {
        {"0{}", ENGINEIO_OPEN, "{}"},  {"1", ENGINEIO_CLOSE, ""},
        {"2", ENGINEIO_PING, ""},      {"2probe", ENGINEIO_PING, "probe"},
        {"3", ENGINEIO_PONG, ""},      {"3probe", ENGINEIO_PONG, "probe"},
        {"4", ENGINEIO_MESSAGE, ""},   {"42[\"m\"]", ENGINEIO_MESSAGE, "2[\"m\"]"},
        {"5", ENGINEIO_UPGRADE, ""},   {"6", ENGINEIO_NOOP, ""},
        {"40", ENGINEIO_MESSAGE, "0"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct engineio_packet packet;

        assert_int_equal(engineio_packet_parse(bytes_from_text(samples[i].text), &packet), 0);
        assert_int_equal(packet.type, samples[i].type);
        assert_true(bytes_equal_text(packet.data, samples[i].data));
    }
}

static void bad_packets_are_malformed(void **state)
{
    static const char *const samples[] = {"",  "7", "9", "bAQID", " 4",
                                          "a", "-", "/", ":",     "\xef\xbb\xbf\x34"};
    struct engineio_packet packet = {.type = ENGINEIO_NOOP};

    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        assert_int_equal(engineio_packet_parse(bytes_from_text(samples[i]), &packet), ERROR_MALFORMED);
    assert_int_equal(engineio_packet_parse((struct bytes){NULL, 0}, &packet), ERROR_MALFORMED);
    assert_int_equal(engineio_packet_parse(bytes_make("\0", 1), &packet), ERROR_MALFORMED);
    assert_int_equal(packet.type, ENGINEIO_NOOP);
}

static void open_packets_are_those_of_the_reference(void **state)
{
    struct engineio_open open = {BYTES("tElOJ8h9wdVxcOJQAAAY"), false, 25000, 20000, 1000000};
    struct buffer out = {0};

    (void)state;
    engineio_append_open(&out, &open);
    assert_true(bytes_equal_text(buffer_bytes(&out),
                                 "0{\"sid\":\"tElOJ8h9wdVxcOJQAAAY\",\"upgrades\":[],\"pingInterval\":25000,"
                                 "\"pingTimeout\":20000,\"maxPayload\":1000000}"));
    buffer_clear(&out);
    open = (struct engineio_open){BYTES("zHDbWdo-lioFIpelAAAA"), true, 25000, 20000, 1000000};
    engineio_append_open(&out, &open);
    assert_true(
        bytes_equal_text(buffer_bytes(&out),
                         "0{\"sid\":\"zHDbWdo-lioFIpelAAAA\",\"upgrades\":[\"websocket\"],\"pingInterval\":"
                         "25000,\"pingTimeout\":20000,\"maxPayload\":1000000}"));
    assert_int_equal(out.length, 118);
    buffer_done(&out);
}

static void refusals_are_those_of_the_reference(void **state)
{
    static const struct {
        enum engineio_error error;
        int status;
        const char *body;
    } samples[] = {
        {ENGINEIO_ERROR_TRANSPORT_UNKNOWN, 400, "{\"code\":0,\"message\":\"Transport unknown\"}"},
        {ENGINEIO_ERROR_SESSION_UNKNOWN, 400, "{\"code\":1,\"message\":\"Session ID unknown\"}"},
        {ENGINEIO_ERROR_BAD_METHOD, 400, "{\"code\":2,\"message\":\"Bad handshake method\"}"},
        {ENGINEIO_ERROR_BAD_REQUEST, 400, "{\"code\":3,\"message\":\"Bad request\"}"},
        {ENGINEIO_ERROR_FORBIDDEN, 403, "{\"code\":4,\"message\":\"Forbidden\"}"},
        {ENGINEIO_ERROR_VERSION_UNSUPPORTED, 400,
         "{\"code\":5,\"message\":\"Unsupported protocol version\"}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct buffer out = {0};

        engineio_append_error(&out, samples[i].error);
        assert_true(bytes_equal_text(buffer_bytes(&out), samples[i].body));
        assert_int_equal(engineio_error_status(samples[i].error), samples[i].status);
        buffer_done(&out);
    }
    assert_true(
        bytes_equal_text(engineio_error_message(ENGINEIO_ERROR_TRANSPORT_UNKNOWN), "Transport unknown"));
    assert_int_equal(engineio_error_message(ENGINEIO_ERROR_SESSION_UNKNOWN).length, 18);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_are_parsed),
        cmocka_unit_test(bad_packets_are_malformed),
        cmocka_unit_test(open_packets_are_those_of_the_reference),
        cmocka_unit_test(refusals_are_those_of_the_reference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
