/*
 * Frames of bare WebSockets: what clients may say, each frame cut at every byte, and what they are told.
 */
#include "common/memory.h"
#include "proto/bare.h"
#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define NONE         SOCKETIO_NO_ACK

/* In memory of its own length, so that a step beyond its end is seen. */
static int parse_exactly(struct bytes text, struct bare_frame *frame, char **copy)
{
    *copy = memory_new(text.length + 1);
    memcpy(*copy + 1, text.data, text.length);
    return bare_frame_parse(bytes_make(*copy + 1, text.length), JSON_DEPTH_MAX, frame);
}

static const struct {
    const char *text;
    enum bare_type type;
    long long ref;
    const char *event;
    const char *data; /* NULL: absent */
    const char *room; /* NULL: absent */
} good[] = {
    {"{}", BARE_PUBLISH, NONE, "msg", NULL, NULL},
    {" \t\r\n{ \t\r\n} \n", BARE_PUBLISH, NONE, "msg", NULL, NULL},
    {"{\"data\":{\"text\":\"hello\"}}", BARE_PUBLISH, NONE, "msg", "{\"text\":\"hello\"}", NULL},
    {"{\"data\":null}", BARE_PUBLISH, NONE, "msg", "null", NULL},
    {"{ \"data\" : [ 1 , 1.50 ] , \"ref\" : 0 }", BARE_PUBLISH, 0, "msg", "[ 1 , 1.50 ]", NULL},
    {"{\"ref\":7.0,\"type\":\"join\",\"room\":\"R\"}", BARE_JOIN, 7, "msg", NULL, "\"R\""},
    {"{\"type\":\"leave\",\"room\":5}", BARE_LEAVE, NONE, "msg", NULL, "5"},
    {"{\"type\":\"hist\\u006fry\",\"ref\":9007199254740991}", BARE_HISTORY, 9007199254740991, "msg", NULL,
     NULL},
    {"{\"t\\u0079pe\":\"presence\"}", BARE_PRESENCE, NONE, "msg", NULL, NULL},
    {"{\"type\":\"publish\",\"event\":\"typ\\u0069ng\",\"x\":{\"type\":\"join\"}}", BARE_PUBLISH, NONE,
     "typing", NULL, NULL},
    {"{\"event\":\"\"}", BARE_PUBLISH, NONE, "", NULL, NULL},
    {"{\"type\":\"Publish\"}", BARE_TYPES, NONE, "msg", NULL, NULL},
    {"{\"type\":null,\"ref\":1}", BARE_TYPES, 1, "msg", NULL, NULL},
    {"{\"type\":[\"join\"]}", BARE_TYPES, NONE, "msg", NULL, NULL},
    /* What means nothing may stand twice, and be anything. */
    {"{\"x\":1,\"x\":{\"data\":2,\"data\":3},\"\":0}", BARE_PUBLISH, NONE, "msg", NULL, NULL},
};

static void frames_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct bare_frame frame;
        char *copy;

        if (parse_exactly(bytes_from_text(good[i].text), &frame, &copy) != 0)
            fail_msg("refused: %s", good[i].text);
        assert_int_equal(frame.type, good[i].type);
        assert_true(frame.ref == good[i].ref);
        assert_int_equal(frame.event_error, 0);
        assert_true(bytes_equal_text(frame.event, good[i].event));
        assert_int_equal(frame.values[BARE_KEY_DATA].kind == JSON_ABSENT, good[i].data == NULL);
        assert_true(bytes_equal_text(frame.values[BARE_KEY_DATA].text, good[i].data));
        assert_true(bytes_equal_text(frame.values[BARE_KEY_ROOM].text, good[i].room));
        free(copy);
    }
}

static void all_keys_are_found(void **state)
{
    static const char text[] =
        " {\"id\":\"6\",\"data\":7,\"event\":\"8\",\"x\":0,\"room\":\"9\",\"ref\":10,\"type\":\"11\"} ";
    static const char *const expected[] = {"\"11\"", "10", "\"9\"", "\"8\"", "7", "\"6\""};
    struct bare_frame frame;

    (void)state;
    assert_int_equal(COUNT(expected), BARE_KEYS);
    assert_int_equal(bare_frame_parse(bytes_from_text(text), JSON_DEPTH_MAX, &frame), 0);
    for (size_t i = 0; i < BARE_KEYS; i++)
        assert_true(bytes_equal_text(frame.values[i].text, expected[i]));
    assert_int_equal(frame.whole.kind, JSON_OBJECT);
    assert_true(frame.whole.text.data == text + 1 && frame.whole.text.length == sizeof text - 3);
    for (int type = 0; type < BARE_TYPES; type++)
        assert_int_equal(bare_type_find(bytes_from_text(bare_type_text((enum bare_type)type))), type);
    assert_int_equal(bare_type_find(BYTES("msg")), BARE_TYPES);
}

static const struct {
    const char *text;
    int code;
} bad[] = {
    {"", ERROR_MALFORMED},
    {" ", ERROR_MALFORMED},
    {"{", ERROR_MALFORMED},
    {"}", ERROR_MALFORMED},
    {"null", ERROR_MALFORMED},
    {"\"{}\"", ERROR_MALFORMED},
    {"[]", ERROR_MALFORMED},
    {"[{}]", ERROR_MALFORMED},
    {"{}{}", ERROR_MALFORMED},
    {"{} x", ERROR_MALFORMED},
    {"{\"data\":1,}", ERROR_MALFORMED},
    {"{,\"data\":1}", ERROR_MALFORMED},
    {"{\"data\" 1}", ERROR_MALFORMED},
    {"{\"data\":}", ERROR_MALFORMED},
    {"{data:1}", ERROR_MALFORMED},
    {"{1:1}", ERROR_MALFORMED},
    {"{{}:1}", ERROR_MALFORMED},
    {"{\"data\":1 \"ref\":2}", ERROR_MALFORMED},
    {"{\"data\":'x'}", ERROR_MALFORMED},
    {"{\"data\":01}", ERROR_MALFORMED},
    {"{\"data\":[1}", ERROR_MALFORMED},
    {"{\"data\":\"\\x\"}", ERROR_MALFORMED},
    {"{\"data\":\"\n\"}", ERROR_MALFORMED},
    {"{\"data\":1}\0", 0}, /* the terminator is not part of it */
    {"\xef\xbb\xbf{}", ERROR_MALFORMED},
    {"{\"data\":1,\"data\":1}", ERROR_EXISTS},
    {"{\"type\":\"join\",\"typ\\u0065\":\"join\"}", ERROR_EXISTS},
    {"{\"ref\":\"1\"}", ERROR_UNSUPPORTED},
    {"{\"ref\":null}", ERROR_UNSUPPORTED},
    {"{\"ref\":-1}", ERROR_UNSUPPORTED},
    {"{\"ref\":1.5}", ERROR_UNSUPPORTED},
    {"{\"ref\":1e3}", ERROR_UNSUPPORTED},
    {"{\"ref\":9007199254740992}", ERROR_UNSUPPORTED},
    {"{\"ref\":{}}", ERROR_UNSUPPORTED},
};

static void other_frames_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct bare_frame frame;
        char *copy;
        int code = parse_exactly(bytes_from_text(bad[i].text), &frame, &copy);

        if (code != bad[i].code)
            fail_msg("%d: %s", code, bad[i].text);
        free(copy);
    }
}

static void no_part_of_a_frame_is_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct bytes whole = bytes_from_text(good[i].text);
        size_t end = whole.length;

        while (whole.data[end - 1] != '}')
            end--; /* blanks behind it may be missing */
        for (size_t length = 0; length < end; length++) {
            struct bare_frame frame;
            char *copy;

            assert_int_equal(parse_exactly(bytes_make(whole.data, length), &frame, &copy), ERROR_MALFORMED);
            free(copy);
        }
    }
}

static void events_that_are_no_names(void **state)
{
    struct bare_frame frame;
    char long_name[SOCKETIO_NAME_MAX + 1], text[400];

    (void)state;
    assert_int_equal(bare_frame_parse(BYTES("{\"event\":5}"), JSON_DEPTH_MAX, &frame), 0);
    assert_int_equal(frame.event_error, ERROR_MALFORMED);
    assert_int_equal(frame.event.length, 0);
    assert_int_equal(bare_frame_parse(BYTES("{\"event\":\"\\ud800\"}"), JSON_DEPTH_MAX, &frame), 0);
    assert_int_equal(frame.event_error, ERROR_UTF8);
    memset(long_name, 'x', sizeof long_name);
    snprintf(text, sizeof text, "{\"event\":\"%.*s\"}", SOCKETIO_NAME_MAX, long_name);
    assert_int_equal(bare_frame_parse(bytes_from_text(text), JSON_DEPTH_MAX, &frame), 0);
    assert_int_equal(frame.event_error, 0);
    assert_int_equal(frame.event.length, SOCKETIO_NAME_MAX);
    snprintf(text, sizeof text, "{\"event\":\"%.*s\"}", SOCKETIO_NAME_MAX + 1, long_name);
    assert_int_equal(bare_frame_parse(bytes_from_text(text), JSON_DEPTH_MAX, &frame), 0);
    assert_int_equal(frame.event_error, ERROR_TOO_LARGE);
}

static void the_frame_is_the_first_level(void **state)
{
    static const unsigned limits[] = {2, 7, JSON_DEPTH_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        for (unsigned depth = limits[i] - 1; depth <= limits[i]; depth++) {
            struct buffer text = {0};
            struct bare_frame frame;

            buffer_append_literal(&text, "{\"data\":");
            for (unsigned open = 0; open < depth; open++)
                buffer_append_char(&text, '[');
            for (unsigned open = 0; open < depth; open++)
                buffer_append_char(&text, ']');
            buffer_append_char(&text, '}');
            assert_int_equal(bare_frame_parse(buffer_bytes(&text), limits[i], &frame),
                             depth < limits[i] ? 0 : ERROR_TOO_DEEP);
            buffer_done(&text);
        }
}

/* -- what clients are told --------------------------------------------------------------------- */

static struct bytes blobs(struct wire_list *list, const char *first, const char *second)
{
    wire_list_put_blob(list, bytes_from_text(first));
    if (second)
        wire_list_put_blob(list, bytes_from_text(second));
    return wire_list_finish(list);
}

static void expect_event(const char *payload, bool has_meta, bool has_offset, struct bytes attachments,
                         const char *expected)
{
    struct bare_event event;
    struct buffer text = {0};

    if (!expected) {
        assert_int_equal(bare_event_make(bytes_from_text(payload), has_meta, has_offset, attachments, &event),
                         ERROR_MALFORMED);
        return;
    }
    assert_int_equal(bare_event_make(bytes_from_text(payload), has_meta, has_offset, attachments, &event), 0);
    assert_true(event.count <= BARE_EVENT_PARTS);
    for (size_t i = 0; i < event.count; i++)
        buffer_append_bytes(&text, event.parts[i]);
    buffer_append_char(&text, '\0');
    assert_string_equal(text.data, expected);
    buffer_done(&text);
    bare_event_done(&event);
}

static void events_are_put_together(void **state)
{
    const struct bytes none = {0};
    struct wire_list list = {0};

    (void)state;
    expect_event("[\"msg\",{\"a\":1},[2],{\"room\":\"R\"},\"e.1\"]", true, true, none,
                 "{\"type\":\"event\",\"event\":\"msg\",\"args\":[{\"a\":1},[2]],\"meta\":{\"room\":\"R\"}}");
    expect_event("[\"msg\",{\"a\":1},{\"room\":\"R\"}]", true, false, none,
                 "{\"type\":\"event\",\"event\":\"msg\",\"args\":[{\"a\":1}],\"meta\":{\"room\":\"R\"}}");
    expect_event("[\"msg\",\"e.1\",\"e.2\"]", false, true, none,
                 "{\"type\":\"event\",\"event\":\"msg\",\"args\":[\"e.1\"]}");
    expect_event("[\"m\\\"\",1.0 , 2]", false, false, none,
                 "{\"type\":\"event\",\"event\":\"m\\\"\",\"args\":[1.0 , 2]}");
    expect_event("[\"msg\",{},\"e.1\"]", true, true, none,
                 "{\"type\":\"event\",\"event\":\"msg\",\"args\":[],\"meta\":{}}");
    expect_event("[\"msg\"]", false, false, none, "{\"type\":\"event\",\"event\":\"msg\",\"args\":[]}");
    expect_event("[\"msg\",1]", true, true, none, NULL);
    expect_event("[\"msg\"]", false, true, none, NULL);
    expect_event("[\"msg\",1", false, false, none, NULL);
    expect_event("[]", false, false, none, NULL);
    expect_event("", false, false, none, NULL);
    expect_event("[\"f\",{\"_placeholder\":true,\"num\":1},{\"r\":1},\"e.1\"]", true, true,
                 blobs(&list, "a", "bc"),
                 "{\"type\":\"event\",\"event\":\"f\",\"args\":[{\"_placeholder\":true,\"num\":1}],"
                 "\"meta\":{\"r\":1},\"attachments\":[\"YQ==\",\"YmM=\"]}");
    wire_list_done(&list);
}

static void expect_missed(const char *message, struct bytes attachments, unsigned long long seq,
                          const char *expected)
{
    struct json_value value;
    struct buffer out = {0};
    unsigned long long got = 0;

    assert_int_equal(json_scan(bytes_from_text(message), &value), 0);
    if (!expected) {
        assert_int_equal(bare_append_missed(&out, BYTES("R"), value, attachments, &got), ERROR_MALFORMED);
    } else {
        assert_int_equal(bare_append_missed(&out, BYTES("R"), value, attachments, &got), 0);
        buffer_append_char(&out, '\0');
        assert_string_equal(out.data, expected);
        assert_true(got == seq);
    }
    buffer_done(&out);
}

static void messages_of_history_become_events(void **state)
{
    const struct bytes none = {0};
    struct wire_list list = {0};
    struct bytes two = blobs(&list, "a", "bc");

    (void)state;
    expect_missed(
        "{\"seq\":41,\"id\":\"i\",\"event\":\"msg\",\"from\":\"f\",\"at\":5,\"args\":[1,{\"x\":2}]}", none,
        41,
        "{\"type\":\"event\",\"event\":\"msg\",\"args\":[1,{\"x\":2}],\"meta\":{\"room\":\"R\","
        "\"seq\":41,\"id\":\"i\",\"from\":\"f\",\"at\":5}}");
    /* Of a page's attachments each has its own, counted from 0. */
    expect_missed("{\"seq\":1,\"id\":\"i\",\"event\":\"f\",\"from\":\"f\",\"at\":5,"
                  "\"args\":[{\"_placeholder\":true,\"num\":1}]}",
                  two, 1,
                  "{\"type\":\"event\",\"event\":\"f\",\"args\":[{\"_placeholder\":true,\"num\":0}],"
                  "\"meta\":{\"room\":\"R\",\"seq\":1,\"id\":\"i\",\"from\":\"f\",\"at\":5},"
                  "\"attachments\":[\"YmM=\"]}");
    expect_missed("{\"seq\":1,\"id\":\"i\",\"event\":\"f\",\"from\":\"f\",\"at\":5,\"args\":[0]}", two, 1,
                  "{\"type\":\"event\",\"event\":\"f\",\"args\":[0],"
                  "\"meta\":{\"room\":\"R\",\"seq\":1,\"id\":\"i\",\"from\":\"f\",\"at\":5}}");
    expect_missed("{\"seq\":1,\"id\":\"i\",\"event\":\"f\",\"from\":\"\",\"at\":5,\"args\":[]}", none,
                  1, /* a backend's */
                  "{\"type\":\"event\",\"event\":\"f\",\"args\":[],\"meta\":{\"room\":\"R\",\"seq\":1,\"id\":"
                  "\"i\",\"at\":5}}");
    expect_missed("{}", none, 0, NULL);
    expect_missed("[]", none, 0, NULL);
    expect_missed("{\"seq\":\"1\",\"id\":\"i\",\"event\":\"f\",\"from\":\"f\",\"at\":5,\"args\":[0]}", none,
                  0, NULL);
    expect_missed("{\"seq\":1.5,\"id\":\"i\",\"event\":\"f\",\"from\":\"f\",\"at\":5,\"args\":[0]}", none, 0,
                  NULL);
    wire_list_done(&list);
}

static void expect_ack(const char *answer, struct bytes attachments, const char *expected)
{
    struct buffer out = {0};

    bare_append_ack(&out, 7, bytes_from_text(answer), attachments);
    buffer_append_char(&out, '\0');
    assert_string_equal(out.data, expected);
    buffer_done(&out);
}

static void acknowledgements(void **state)
{
    const struct bytes none = {0};
    struct wire_list list = {0};

    (void)state;
    expect_ack("{\"ok\":true}", none, "{\"type\":\"ack\",\"ref\":7,\"ok\":true}");
    expect_ack("{\"ok\":true,\"seq\":4}", none, "{\"type\":\"ack\",\"ref\":7,\"ok\":true,\"seq\":4}");
    expect_ack("{\"ok\":true}", blobs(&list, "a", NULL),
               "{\"type\":\"ack\",\"ref\":7,\"ok\":true,\"attachments\":[\"YQ==\"]}");
    /* What a backend may answer. */
    expect_ack("{\"type\":1}", none, "{\"type\":\"ack\",\"ref\":7,\"ok\":true,\"args\":[{\"type\":1}]}");
    expect_ack("{\"ok\":1},{\"b\":2}", none,
               "{\"type\":\"ack\",\"ref\":7,\"ok\":true,\"args\":[{\"ok\":1},{\"b\":2}]}");
    expect_ack("{\"ok\":false}\r", none, "{\"type\":\"ack\",\"ref\":7,\"ok\":false}");
    expect_ack("\"x\",1", none, "{\"type\":\"ack\",\"ref\":7,\"ok\":true,\"args\":[\"x\",1]}");
    expect_ack("", none, "{\"type\":\"ack\",\"ref\":7,\"ok\":true,\"args\":[]}");
    wire_list_done(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_read),          cmocka_unit_test(all_keys_are_found),
        cmocka_unit_test(other_frames_are_refused), cmocka_unit_test(no_part_of_a_frame_is_one),
        cmocka_unit_test(events_that_are_no_names), cmocka_unit_test(the_frame_is_the_first_level),
        cmocka_unit_test(events_are_put_together),  cmocka_unit_test(messages_of_history_become_events),
        cmocka_unit_test(acknowledgements),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
