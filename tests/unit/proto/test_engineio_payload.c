/* Tests of proto/engineio_payload.h: a payload's packets are written as a transcript and compared. */
#include "proto/engineio_payload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* "4:data " of a text packet, "b:data " of a binary one, and the error that ended it. */
static int walk(struct engineio_payload *payload, struct buffer *transcript)
{
    struct engineio_payload_packet packet;
    struct buffer decoded = {0};
    int rc;

    while ((rc = engineio_payload_next(payload, &decoded, &packet)) == 1) {
        buffer_append_char(transcript, packet.binary ? 'b' : (char)('0' + packet.packet.type));
        buffer_append_char(transcript, ':');
        buffer_append_bytes(transcript, packet.packet.data);
        buffer_append_char(transcript, ' ');
        if (packet.binary)
            assert_int_equal(packet.packet.type, ENGINEIO_MESSAGE);
        else
            assert_int_equal(packet.text.length, packet.packet.data.length + 1);
    }
    assert_int_equal(engineio_payload_next(payload, &decoded, &packet), rc);
    buffer_done(&decoded);
    return rc;
}

static void assert_body(struct bytes body, struct bytes expected, int rc)
{
    struct engineio_payload payload;
    struct buffer transcript = {0};
    char *copy = malloc(body.length + !body.length);
    assert_non_null(copy);
    if (body.length)
        memcpy(copy, body.data, body.length);
    engineio_payload_open(&payload, bytes_make(copy, body.length));
    assert_int_equal(walk(&payload, &transcript), rc);
    if (!bytes_equal(buffer_bytes(&transcript), expected))
        print_error("\"%.*s\" instead of \"%.*s\"\n", BYTES_PRINTF(buffer_bytes(&transcript)),
                    BYTES_PRINTF(expected));
    assert_true(bytes_equal(buffer_bytes(&transcript), expected));
    buffer_done(&transcript);
    free(copy);
}

#define BODY(body, expected, rc) assert_body(BYTES(body), BYTES(expected), rc)

static void packets_are_separated_by_one_byte(void **context)
{
    (void)context;
    BODY("4hello", "4:hello ", 0);
    BODY("4a\x1e"
         "4b\x1e"
         "2",
         "4:a 4:b 2: ", 0);
    BODY("2probe\x1e"
         "4\xe2\x82\xac\x1e"
         "3\x1e"
         "1",
         "2:probe 4:\xe2\x82\xac 3: 1: ", 0);
    BODY("4\0", "4:\0 ", 0);
    BODY("4b", "4:b ", 0);
}

static void binary_messages_are_base64(void **context)
{
    (void)context;
    BODY("bAQIDBA==", "b:\1\2\3\4 ", 0);
    BODY("bAQIDBA", "b:\1\2\3\4 ", 0);
    BODY("4a\x1e"
         "bYWJj\x1e"
         "b\x1e"
         "4b\x1e"
         "b-_8=",
         "4:a b:abc b: 4:b b:\xfb\xff ", 0);
    BODY("b\xff!YWJj", "b:abc ", 0);
}

static void reading_stops_at_the_first_bad_packet(void **context)
{
    (void)context;
    BODY("", "", ERROR_MALFORMED);
    BODY("\x1e", "", ERROR_MALFORMED);
    BODY("abc", "", ERROR_MALFORMED);
    BODY("4a\x1e", "4:a ", ERROR_MALFORMED);
    BODY("4a\x1e\x1e"
         "4b",
         "4:a ", ERROR_MALFORMED);
    BODY("4a\x1e"
         "7\x1e"
         "4b",
         "4:a ", ERROR_MALFORMED);
    BODY("\x1e"
         "4a",
         "", ERROR_MALFORMED);
}

static void text_is_utf8(void **context)
{
    (void)context;
    BODY("4a\x1e"
         "4\xff\x1e"
         "4b",
         "4:a ", ERROR_UTF8);
    BODY("4\xe2\x82", "", ERROR_UTF8);
    BODY("4\xe2\x82\x1e"
         "4\xac",
         "", ERROR_UTF8);
    BODY("4\xed\xa0\x80", "", ERROR_UTF8);
    BODY("4\xc0\x9e"
         "4",
         "", ERROR_UTF8);
    BODY("\xff", "", ERROR_MALFORMED);
}

static void append_text(struct buffer *queue, struct bytes packet)
{
    size_t length = engineio_payload_text_length(packet.length);
    char *at = buffer_reserve(queue, length);

    assert_true(engineio_payload_write_text(at, &packet, 1) == at + length);
    buffer_extend(queue, length);
}

static void append_binary(struct buffer *queue, struct bytes message)
{
    size_t length = engineio_payload_binary_length(message.length);
    char *at = buffer_reserve(queue, length);

    assert_true(engineio_payload_write_binary(at, message) == at + length);
    buffer_extend(queue, length);
}

static void a_queue_is_read_as_it_was_written(void **context)
{
    (void)context;
    struct engineio_payload payload;
    struct buffer queue = {0};
    struct buffer transcript = {0};

    engineio_payload_open_queue(&payload, buffer_bytes(&queue));
    assert_int_equal(walk(&payload, &transcript), 0);
    assert_int_equal(transcript.length, 0);

    append_text(&queue, BYTES("42[\"\xe2\x82\xac\"]"));
    append_binary(&queue, BYTES("\0\xff\x1e"));
    append_binary(&queue, BYTES(""));
    append_text(&queue, BYTES("2"));
    assert_true(bytes_equal(buffer_bytes(&queue), BYTES("\x1e"
                                                        "42[\"\xe2\x82\xac\"]\x1e"
                                                        "bAP8e\x1e"
                                                        "b\x1e"
                                                        "2")));
    struct buffer kept = {0};
    buffer_append_bytes(&kept, buffer_bytes(&queue));
    engineio_payload_open_queue(&payload, buffer_bytes(&queue));
    assert_int_equal(walk(&payload, &transcript), 0);
    assert_true(bytes_equal(buffer_bytes(&transcript), BYTES("4:2[\"\xe2\x82\xac\"] b:\0\xff\x1e b: 2: ")));
    /* Several sessions may share it. */
    assert_true(bytes_equal(buffer_bytes(&queue), buffer_bytes(&kept)));

    /* The body of an answer is what a client reads. */
    buffer_consume(&kept, 1);
    assert_body(buffer_bytes(&kept), buffer_bytes(&transcript), 0);
    buffer_done(&kept);
    buffer_done(&queue);
    buffer_done(&transcript);
}

static void a_part_ends_between_packets(void **state)
{
    const struct bytes queue = BYTES("\x1e"
                                     "4ab\x1e"
                                     "4\x1e"
                                     "bAAAA");
    const size_t parts[] = {0, 0, 0, 0, 4, 4, 6, 6, 6, 6, 6, 6, 12, 12};

    (void)state;
    for (size_t limit = 0; limit < sizeof parts / sizeof *parts; limit++)
        assert_int_equal(engineio_payload_part(queue, limit), parts[limit]);
    assert_int_equal(engineio_payload_part((struct bytes){0}, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_are_separated_by_one_byte),
        cmocka_unit_test(binary_messages_are_base64),
        cmocka_unit_test(reading_stops_at_the_first_bad_packet),
        cmocka_unit_test(text_is_utf8),
        cmocka_unit_test(a_queue_is_read_as_it_was_written),
        cmocka_unit_test(a_part_ends_between_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
