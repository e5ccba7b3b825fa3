/*
 * Packets of socket.io-msgpack-parser: the bytes that the stock client sends (notepack.io 2.2 under Node 20),
 * each also cut at every byte, what no client may send, and what clients get.
 */
#include "common/memory.h"
#include "proto/json_scan.h"
#include "proto/socketio.h"
#include "proto/socketio_msgpack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

#define TYPE(digit) "\xa4type" digit
#define NSP         "\xa3nsp\xa1/"
#define CUSTOM      "\xa3nsp\xa7/custom"
#define DATA                                                                                                 \
    "\xa4"                                                                                                   \
    "data"
#define ID "\xa2id"
#define OPTIONS                                                                                              \
    "\xa7options\x81\xa8"                                                                                    \
    "compress\xc3"
#define UNDEFINED "\xd4\x00\x00"
#define DIGITS    "0123456789abcdef"
#define MSG       "\xa3msg"

static const struct {
    struct bytes packet;
    const char *text;
    unsigned attachments;
} good[] = {
    {BYTES("\x83" TYPE("\x00") DATA UNDEFINED NSP), "0", 0},
    {BYTES("\x82" TYPE("\x00") NSP), "0", 0},
    {BYTES("\x83" TYPE("\x00") DATA "\xc0" NSP), "0", 0},
    {BYTES("\x83" TYPE("\x00") DATA "\x81\xa5token\xa1x" NSP), "0{\"token\":\"x\"}", 0},
    {BYTES("\x83" TYPE("\x00") DATA "\x80" CUSTOM), "0/custom,{}", 0},
    {BYTES("\x82" TYPE("\x01") NSP), "1", 0},
    {BYTES("\x83" TYPE("\x01") DATA "\xc0" CUSTOM), "1/custom,", 0},
    {BYTES("\x83" TYPE("\x02") DATA "\x91" MSG NSP), "2[\"msg\"]", 0},
    {BYTES("\x84" TYPE("\x02") DATA "\x92" MSG "\x01" OPTIONS NSP), "2[\"msg\",1]", 0},
    {BYTES("\x85" TYPE("\x02") DATA "\x92" MSG "\x01" OPTIONS ID "\x07" CUSTOM), "2/custom,7[\"msg\",1]", 0},
    {BYTES("\x85" NSP ID "\x00" OPTIONS DATA "\x91\x05" TYPE("\x02")), "20[5]", 0},
    {BYTES("\x84" TYPE("\x02") DATA "\x91" MSG ID UNDEFINED NSP), "2[\"msg\"]", 0},
    {BYTES("\x84" TYPE("\x02") DATA "\x91" MSG ID "\xcf\x00\x1f\xff\xff\xff\xff\xff\xff" NSP),
     "29007199254740991[\"msg\"]", 0},
    {BYTES("\x84" TYPE("\x02") DATA "\x92" MSG "\x81\xa1"
                                    "b\xc4\x02\x01\x02" ID "\x07" CUSTOM),
     "51-/custom,7[\"msg\",{\"b\":{\"_placeholder\":true,\"num\":0}}]", 1},
    {BYTES("\x83" TYPE("\x02") DATA "\x93" MSG "\xc4\x00\xc4\x01x" NSP),
     "52-[\"msg\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]", 2},
    {BYTES("\x84" TYPE("\x03") ID "\x05" DATA "\x91\x01" NSP), "35[1]", 0},
    {BYTES("\x84" TYPE("\x03") ID "\x05" DATA "\x90" CUSTOM), "3/custom,5[]", 0},
    {BYTES("\x84" TYPE("\x03") ID "\x05" DATA "\x91\xc4\x01x" NSP), "61-5[{\"_placeholder\":true,\"num\":0}]",
     1},
    {BYTES("\x83" TYPE("\x04") DATA "\xa1x" NSP), "4\"x\"", 0},
    {BYTES("\x83" TYPE("\x04") DATA "\x80" NSP), "4{}", 0},
};

static const struct bytes bad[] = {
    BYTES("\xc0"),
    BYTES("\x80"),
    BYTES("\x90"),
    BYTES("\xc1"),
    BYTES("\xdf\xff\xff\xff\xff"),
    BYTES("2[\"msg\"]"),
    /* without what every packet has, or with what it can't be */
    BYTES("\x81" TYPE("\x00")),
    BYTES("\x82" DATA "\x91" MSG NSP),
    BYTES("\x83" TYPE("\x05") DATA "\x91" MSG NSP),
    BYTES("\x83" TYPE("\xff") DATA "\x91" MSG NSP),
    BYTES("\x83" TYPE("\xa1"
                      "2") DATA "\x91" MSG NSP),
    BYTES("\x83" TYPE("\xc0") DATA "\x91" MSG NSP),
    BYTES("\x83" TYPE("\xcb\x40\x00\x00\x00\x00\x00\x00\x00") DATA "\x91" MSG NSP),
    BYTES("\x83" TYPE("\x02") DATA "\x91" MSG "\xa3nsp\x01"),
    BYTES("\x83" TYPE("\x02") DATA "\x91" MSG "\xa3nsp\xc0"),
    BYTES("\x83" TYPE("\x02") DATA "\x91" MSG "\xa3nsp\xa0"),
    BYTES("\x83" TYPE("\x02") DATA "\x91" MSG "\xa3nsp\xa1x"),
    BYTES("\x83" TYPE("\x02") DATA "\x91" MSG "\xa3nsp\xa4/a,b"),
    BYTES("\x83" TYPE("\x02") DATA "\x91" MSG "\xa3nsp\xa2/\xff"),
    BYTES("\x84" TYPE("\x02") DATA "\x91" MSG ID "\xff" NSP),
    BYTES("\x84" TYPE("\x02") DATA "\x91" MSG ID "\xa1"
                                   "1" NSP),
    BYTES("\x84" TYPE("\x02") DATA "\x91" MSG ID "\xcf\x00\x20\x00\x00\x00\x00\x00\x00" NSP),
    BYTES("\x83" TYPE("\x03") DATA "\x90" NSP),
    /* payloads that the type does not allow */
    BYTES("\x83" TYPE("\x00") DATA "\x05" NSP),
    BYTES("\x83" TYPE("\x00") DATA "\x90" NSP),
    BYTES("\x83" TYPE("\x01") DATA "\x90" NSP),
    BYTES("\x82" TYPE("\x02") NSP),
    BYTES("\x83" TYPE("\x02") DATA "\xc0" NSP),
    BYTES("\x83" TYPE("\x02") DATA UNDEFINED NSP),
    BYTES("\x83" TYPE("\x02") DATA "\x80" NSP),
    BYTES("\x83" TYPE("\x04") DATA "\x01" NSP),
    BYTES("\x83" TYPE("\x00") DATA "\x81\xa1"
                                   "b\xc4\x01x" NSP),
    /* a key twice, a key that is no str, bytes behind the map, text that is none */
    BYTES("\x84" TYPE("\x02") TYPE("\x02") DATA "\x91" MSG NSP),
    BYTES("\x84" TYPE("\x02") DATA "\x91" MSG DATA "\x91" MSG NSP),
    BYTES("\x84" TYPE("\x02") DATA "\x91" MSG "\x01\x02" NSP),
    BYTES("\x83" TYPE("\x02") DATA "\x91" MSG NSP "\xc0"),
    BYTES("\x83" TYPE("\x02") DATA "\x92" MSG "\xa1\xff" NSP),
    BYTES("\x84" TYPE("\x02") DATA "\x91" MSG "\xa7options\xc1" NSP),
    /* what an event is refused for ends others */
    BYTES("\x83" TYPE("\x00") DATA "\x81\x01\x02" NSP),
    /* refused, and no name to say of what */
    BYTES("\x83" TYPE("\x02") DATA "\x92\x90\xd5\x07\x01\x02" NSP),
};

static int read_packet(struct bytes packet, size_t limit, struct buffer *text, struct wire_list *attachments)
{
    char *copy = memory_new(packet.length + !packet.length);
    int code;

    if (packet.length)
        memcpy(copy, packet.data, packet.length);
    code = socketio_msgpack_read(bytes_make(copy, packet.length), JSON_DEPTH_MAX, limit, text, attachments);
    free(copy);
    return code;
}

static void expect(const struct buffer *out, struct bytes bytes)
{
    assert_int_equal(out->length, bytes.length);
    assert_memory_equal(out->data, bytes.data, bytes.length);
}

static void reads_what_the_stock_client_sends(void **state)
{
    struct wire_list attachments = {0};
    struct socketio_packet packet;
    struct buffer text = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        for (size_t length = 0; length < good[i].packet.length; length++)
            assert_int_equal(read_packet(bytes_make(good[i].packet.data, length), 100, &text, &attachments),
                             ERROR_MALFORMED);
        assert_int_equal(read_packet(good[i].packet, 100, &text, &attachments), 0);
        expect(&text, bytes_from_text(good[i].text));
        assert_int_equal(attachments.count, good[i].attachments);
        assert_int_equal(socketio_packet_parse(buffer_bytes(&text), JSON_DEPTH_MAX, &packet), 0);
        assert_int_equal(packet.attachments, good[i].attachments);
    }
    wire_list_done(&attachments);
    buffer_done(&text);
}

static void refuses_what_no_client_may_send(void **state)
{
    struct wire_list attachments = {0};
    struct buffer text = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(read_packet(bad[i], 100, &text, &attachments), ERROR_MALFORMED);
    wire_list_done(&attachments);
    buffer_done(&text);
}

static void says_which_event_or_answer_it_refuses(void **state)
{
    static const struct {
        struct bytes packet;
        int code;
        const char *text;
    } refused[] = {
        {BYTES("\x85" TYPE("\x02") DATA "\x92" MSG "\xd5\x07\x01\x02" OPTIONS ID "\x07" CUSTOM),
         ERROR_UNSUPPORTED, "2/custom,7[\"msg\"]"},
        {BYTES("\x83" TYPE("\x02") DATA "\x92" MSG "\x81\x01\x02" NSP), ERROR_UNSUPPORTED, "2[\"msg\"]"},
        {BYTES("\x83" TYPE("\x02") DATA "\x93" MSG "\xc4\x01x\x81\x01\x02" NSP), ERROR_UNSUPPORTED,
         "2[\"msg\"]"},
        {BYTES("\x83" TYPE("\x02") DATA "\x92\x07\x81\x01\x02" NSP), ERROR_UNSUPPORTED, "2[7]"},
        {BYTES("\x83" TYPE("\x02") DATA "\x92" MSG "\xd9\x40" DIGITS DIGITS DIGITS DIGITS NSP),
         ERROR_TOO_LARGE, "2[\"msg\"]"},
        {BYTES("\x84" TYPE("\x03") DATA "\x91\x81\x01\x02" ID "\x07" CUSTOM), ERROR_UNSUPPORTED,
         "3/custom,7[]"},
        {BYTES("\x84" TYPE("\x03") DATA "\x92\xc4\x01x\xd9\x40" DIGITS DIGITS DIGITS DIGITS ID "\x07" NSP),
         ERROR_TOO_LARGE, "37[]"},
    };
    struct wire_list attachments = {0};
    struct buffer text = {0}, deep = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        assert_int_equal(read_packet(refused[i].packet, 60, &text, &attachments), refused[i].code);
        expect(&text, bytes_from_text(refused[i].text));
        assert_int_equal(attachments.count, 0);
    }
    buffer_append_literal(&deep, "\x84" TYPE("\x02") ID "\x01" DATA "\x92" MSG);
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        buffer_append_char(&deep, '\x91');
    buffer_append_literal(&deep, "\xc0" NSP);
    assert_int_equal(read_packet(buffer_bytes(&deep), 1000, &text, &attachments), ERROR_TOO_DEEP);
    expect(&text, BYTES("21[\"msg\"]"));
    wire_list_done(&attachments);
    buffer_done(&text);
    buffer_done(&deep);
}

static void takes_namespaces_of_any_allowed_length(void **state)
{
    struct wire_list attachments = {0};
    struct buffer packet = {0}, text = {0};
    struct socketio_packet parsed;

    (void)state;
    for (unsigned length = SOCKETIO_NAMESPACE_MAX; length <= SOCKETIO_NAMESPACE_MAX + 1; length++) {
        buffer_clear(&packet);
        buffer_append_literal(&packet, "\x84" TYPE("\x02") ID "\xcf\x00\x1f\xff\xff\xff\xff\xff\xff" DATA
                                                              "\x92" MSG "\xc4\x01x\xa3nsp\xda");
        buffer_append_char(&packet, (char)(length >> 8));
        buffer_append_char(&packet, (char)length);
        for (unsigned i = 0; i < length; i++)
            buffer_append_char(&packet, i ? 'n' : '/');
        if (length > SOCKETIO_NAMESPACE_MAX) {
            assert_int_equal(read_packet(buffer_bytes(&packet), 100, &text, &attachments), ERROR_MALFORMED);
            continue;
        }
        assert_int_equal(read_packet(buffer_bytes(&packet), 100, &text, &attachments), 0);
        assert_int_equal(socketio_packet_parse(buffer_bytes(&text), JSON_DEPTH_MAX, &parsed), 0);
        assert_int_equal(parsed.nsp.length, length);
        assert_int_equal(parsed.ack, 9007199254740991);
    }
    wire_list_done(&attachments);
    buffer_done(&packet);
    buffer_done(&text);
}

static void writes_what_the_stock_client_reads(void **state)
{
    static const struct {
        const char *text;
        struct bytes packet;
    } packets[] = {
        {"40{\"sid\":\"x\"}", BYTES("\x83" TYPE("\x00") DATA "\x81\xa3sid\xa1x" NSP)},
        {"40/custom,{\"sid\":\"x\"}", BYTES("\x83" TYPE("\x00") DATA "\x81\xa3sid\xa1x" CUSTOM)},
        {"44{\"message\":\"no\"}", BYTES("\x83" TYPE("\x04") DATA "\x81\xa7message\xa2no" NSP)},
        {"41", BYTES("\x82" TYPE("\x01") NSP)},
        {"41/custom,", BYTES("\x82" TYPE("\x01") CUSTOM)},
        {"42[\"msg\",1]", BYTES("\x83" TYPE("\x02") DATA "\x92" MSG "\x01" NSP)},
        {"42/custom,7[\"msg\"]", BYTES("\x84" TYPE("\x02") DATA "\x91" MSG CUSTOM ID "\x07")},
        {"430[{\"ok\":true}]", BYTES("\x84" TYPE("\x03") DATA "\x91\x81\xa2ok\xc3" NSP ID "\x00")},
        {"451-[\"msg\",{\"_placeholder\":true,\"num\":0}]",
         BYTES("\x83" TYPE("\x02") DATA "\x92" MSG "\xc4\x02\x01\x02" NSP)},
        {"461-/custom,9[{\"_placeholder\":true,\"num\":0}]",
         BYTES("\x84" TYPE("\x03") DATA "\x91\xc4\x02\x01\x02" CUSTOM ID "\x09")},
        /* What its parser refuses, as it would the text. */
        {"42[\"msg\",]", BYTES("\x83" TYPE("\x02") DATA "\xc0" NSP)},
        {"4", BYTES("\xc0")},
        {"", BYTES("\xc0")},
        {"49[]", BYTES("\xc0")},
    };
    struct wire_list attachments = {0};
    struct buffer out = {0};

    (void)state;
    wire_list_put_blob(&attachments, BYTES("\x01\x02"));
    for (size_t i = 0; i < COUNT(packets); i++) {
        buffer_clear(&out);
        socketio_msgpack_append(bytes_from_text(packets[i].text), wire_list_finish(&attachments), &out);
        expect(&out, packets[i].packet);
    }
    wire_list_done(&attachments);
    buffer_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_the_stock_client_sends),
        cmocka_unit_test(refuses_what_no_client_may_send),
        cmocka_unit_test(says_which_event_or_answer_it_refuses),
        cmocka_unit_test(takes_namespaces_of_any_allowed_length),
        cmocka_unit_test(writes_what_the_stock_client_reads),
    };

    return cmocka_run_group_tests_name("socketio_msgpack", tests, NULL, NULL);
}
