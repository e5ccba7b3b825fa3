/* The body of POST /api/publish: what it may say, and what comes out of it. */
#include "proto/publication.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int read_text(struct publication *publication, const char *text, const char **message)
{
    *publication = (struct publication){0};
    *message = NULL;
    return publication_read(publication, bytes_from_text(text), message);
}

static void assert_bytes(struct bytes got, const char *expected)
{
    assert_int_equal(got.length, strlen(expected));
    assert_memory_equal(got.data, expected, got.length);
}

static void assert_names(struct wire_list *list, const char *const *expected, size_t count)
{
    struct wire_reader reader;
    struct bytes name;

    assert_int_equal(wire_list_open(&reader, wire_list_finish(list)), count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(wire_list_text(&reader, &name), 0);
        assert_bytes(name, expected[i]);
    }
}

static void everything_is_found(void **state)
{
    struct publication publication;
    const char *message;

    (void)state;
    assert_int_equal(
        read_text(&publication,
                  " {\"except\":[\"c\",\"s1\"],\"namespace\":\"/ch\\u0061t\",\"rooms\":[\"a\",\"\\u00e9\"],"
                  "\"event\":\"n\\\"ews\",\"args\":[ 1.0 , {\"x\": [1e400]} ],\"id\":\"order-17\","
                  "\"class\":\"archived\",\"more\":1} ",
                  &message),
        0);
    assert_bytes(publication.namespace, "/chat");
    assert_names(&publication.rooms, (const char *[]){"a", "\xc3\xa9"}, 2);
    assert_names(&publication.except, (const char *[]){"c", "s1"}, 2);
    assert_false(publication.to_socket);
    assert_bytes(publication.event, "n\"ews");
    assert_bytes(publication.arguments, "1.0 , {\"x\": [1e400]}");
    assert_bytes(publication.id, "order-17");
    assert_true(publication.has_class);
    assert_int_equal(publication.class, WIRE_SEND_ARCHIVED);
    publication_done(&publication);
}

static void what_is_left_out_has_a_meaning(void **state)
{
    struct publication publication;
    const char *message;

    (void)state;
    assert_int_equal(read_text(&publication, "{\"sid\":\"abc\",\"event\":\"e\"}", &message), 0);
    assert_bytes(publication.namespace, "/");
    assert_true(publication.to_socket);
    assert_names(&publication.rooms, (const char *[]){"abc"}, 1);
    assert_int_equal(publication.arguments.length, 0);
    assert_int_equal(publication.id.length, 0);
    assert_false(publication.has_class);
    publication_done(&publication);
    assert_int_equal(read_text(&publication, "{\"rooms\":[],\"event\":\"e\",\"args\":[ ]}", &message), 0);
    assert_int_equal(publication.rooms.count, 0);
    assert_int_equal(publication.arguments.length, 0);
    publication_done(&publication);
}

static void what_may_not_be_said_is_named(void **state)
{
    static const struct {
        const char *text, *word;
    } bodies[] = {
        {"{}", "room"},
        {"{\"event\":\"e\"}", "room"},
        {"{\"event\":\"e\",\"room\":\"a\",\"rooms\":[\"b\"]}", "room"},
        {"{\"event\":\"e\",\"room\":\"a\",\"sid\":\"b\"}", "room"},
        {"{\"event\":\"e\",\"room\":\"\"}", "room"},
        {"{\"event\":\"e\",\"room\":7}", "room"},
        {"{\"event\":\"e\",\"room\":null}", "room"},
        {"{\"event\":\"e\",\"room\":\"a\\u0000\"}", "room"},
        {"{\"event\":\"e\",\"room\":\"\\ud800\"}", "room"},
        {"{\"event\":\"e\",\"room\":\"a\",\"room\":\"b\"}", "room"},
        {"{\"event\":\"e\",\"rooms\":\"a\"}", "room"},
        {"{\"event\":\"e\",\"rooms\":[\"a\",[]]}", "room"},
        {"{\"room\":\"a\"}", "event"},
        {"{\"room\":\"a\",\"event\":\"\"}", "event"},
        {"{\"room\":\"a\",\"event\":\"connect\"}", "event"},
        {"{\"room\":\"a\",\"event\":1}", "event"},
        {"{\"room\":\"a\",\"event\":\"e\",\"args\":{}}", "args"},
        {"{\"room\":\"a\",\"event\":\"e\",\"args\":null}", "args"},
        {"{\"room\":\"a\",\"event\":\"e\",\"id\":\"short\"}", "id"},
        {"{\"room\":\"a\",\"event\":\"e\",\"id\":12345678}", "id"},
        {"{\"room\":\"a\",\"event\":\"e\",\"class\":\"Archived\"}", "class"},
        {"{\"room\":\"a\",\"event\":\"e\",\"class\":1}", "class"},
        {"{\"sid\":\"a\",\"event\":\"e\",\"class\":\"archived\"}", "archived"},
        {"{\"room\":\"a\",\"event\":\"e\",\"except\":\"b\"}", "except"},
        {"{\"room\":\"a\",\"event\":\"e\",\"except\":[\"\"]}", "except"},
        {"{\"room\":\"a\",\"event\":\"e\",\"namespace\":\"chat\"}", "namespace"},
        {"{\"room\":\"a\",\"event\":\"e\",\"namespace\":\"/a,b\"}", "namespace"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct publication publication;
        const char *message;

        assert_int_equal(read_text(&publication, bodies[i].text, &message), ERROR_PROTOCOL);
        assert_non_null(message);
        assert_non_null(strstr(message, bodies[i].word));
        publication_done(&publication);
    }
}

static void what_is_no_object_is_malformed(void **state)
{
    static const char *const bodies[] = {"", "[]", "\"a\"", "{", "{\"room\":}", "{} {}", "{\"a\":\"\xff\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct publication publication;
        const char *message;

        assert_int_equal(read_text(&publication, bodies[i], &message), ERROR_MALFORMED);
        publication_done(&publication);
    }
}

static void depth_and_numbers_of_names_are_bounded(void **state)
{
    struct publication publication = {0};
    struct buffer text = {0};
    const char *message;

    (void)state;
    buffer_append_text(&text, "{\"room\":\"a\",\"event\":\"e\",\"args\":");
    for (int i = 0; i < 200; i++)
        buffer_append_char(&text, '[');
    assert_int_equal(publication_read(&publication, buffer_bytes(&text), &message), ERROR_TOO_DEEP);
    publication_done(&publication);
    for (int names = PUBLICATION_NAMES_MAX; names <= PUBLICATION_NAMES_MAX + 1; names++) {
        publication = (struct publication){0};
        buffer_clear(&text);
        buffer_append_text(&text, "{\"event\":\"e\",\"rooms\":[\"r0\"");
        for (int i = 1; i < names; i++)
            buffer_printf(&text, ",\"r%d\"", i);
        buffer_append_text(&text, "]}");
        assert_int_equal(publication_read(&publication, buffer_bytes(&text), &message),
                         names > PUBLICATION_NAMES_MAX ? ERROR_PROTOCOL : 0);
        publication_done(&publication);
    }
    buffer_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_found),
        cmocka_unit_test(what_is_left_out_has_a_meaning),
        cmocka_unit_test(what_may_not_be_said_is_named),
        cmocka_unit_test(what_is_no_object_is_malformed),
        cmocka_unit_test(depth_and_numbers_of_names_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
