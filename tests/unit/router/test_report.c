/* Answers of the stats socket: the same thing as text and as JSON. */
#include "tests/unit/common/test.h"

#include "router/report.h"

static struct buffer out;

static void assert_written(const char *text)
{
    buffer_append_char(&out, '\0');
    assert_string_equal(out.data, text);
    buffer_clear(&out);
}

static int tear_down(void **state)
{
    (void)state;
    buffer_done(&out);
    return 0;
}

static void write_list(bool json, unsigned rows, uint64_t more)
{
    static const char *const columns[] = {"name", "members", "rate", "kinds", "open", NULL};
    struct report report = report_new(&out, json);

    report_list_begin(&report, "things", columns);
    for (unsigned i = 0; i < rows; i++) {
        report_row(&report);
        report_text(&report, i ? BYTES("b c") : BYTES("a"));
        report_number(&report, i);
        if (i)
            report_real(&report, 1.5);
        else
            report_nothing(&report);
        report_texts_begin(&report);
        for (unsigned j = 0; j < 2 * i; j++)
            report_texts_add(&report, j ? BYTES("x,y") : BYTES("z"));
        report_texts_end(&report);
        report_flag(&report, i);
    }
    report_list_end(&report, more);
}

static void lists(void **state)
{
    (void)state;
    write_list(false, 0, 0);
    assert_written("# name members rate kinds open\n\n");
    write_list(true, 0, 0);
    assert_written("{\"things\":[],\"more\":0}\n\n");
    write_list(false, 2, 7);
    assert_written("# name members rate kinds open\n"
                   "a 0 - - false\n"
                   "\"b\\u0020c\" 1 1.500 z,\"x,y\" true\n"
                   "# more 7\n\n");
    write_list(true, 2, 7);
    assert_written("{\"things\":[{\"name\":\"a\",\"members\":0,\"rate\":null,\"kinds\":[],\"open\":false},"
                   "{\"name\":\"b c\",\"members\":1,\"rate\":1.500,\"kinds\":[\"z\",\"x,y\"],\"open\":true}],"
                   "\"more\":7}\n\n");
}

static void write_object(bool json, unsigned rows)
{
    static const char *const columns[] = {"name", "members", NULL};
    struct report report = report_new(&out, json);

    report_object_begin(&report);
    report_name(&report, "sid");
    report_text(&report, BYTES("s"));
    report_rows_begin(&report, "gateways", "gateway", columns);
    for (unsigned i = 0; i < rows; i++) {
        report_row(&report);
        report_text(&report, BYTES("g"));
        report_number(&report, i);
    }
    report_rows_end(&report);
    report_rows_begin(&report, "rooms", "room", NULL);
    for (unsigned i = 0; i < rows; i++) {
        report_row(&report);
        report_text(&report, BYTES("r"));
    }
    report_rows_end(&report);
    report_name(&report, "told");
    report_json(&report, BYTES("{\"a\": 1}"));
    report_object_end(&report);
}

static void objects(void **state)
{
    (void)state;
    write_object(false, 2);
    assert_written("sid s\ngateway g 0\ngateway g 1\nroom r\nroom r\ntold {\"a\": 1}\n\n");
    write_object(true, 2);
    assert_written(
        "{\"sid\":\"s\",\"gateways\":[{\"name\":\"g\",\"members\":0},{\"name\":\"g\",\"members\":1}],"
        "\"rooms\":[\"r\",\"r\"],\"told\":{\"a\": 1}}\n\n");
    write_object(false, 0);
    assert_written("sid s\ntold {\"a\": 1}\n\n");
    write_object(true, 0);
    assert_written("{\"sid\":\"s\",\"gateways\":[],\"rooms\":[],\"told\":{\"a\": 1}}\n\n");
}

static void an_object_may_end_with_rows(void **state)
{
    struct report report = report_new(&out, false);

    (void)state;
    report_object_begin(&report);
    report_rows_begin(&report, "rooms", "room", NULL);
    report_row(&report);
    report_text(&report, BYTES("r"));
    report_rows_end(&report);
    report_object_end(&report);
    assert_written("room r\n\n");
}

/* One word each, which reads back as the same text. */
static void words_of_text(void **state)
{
    static const char *const words[][2] = {
        {"plain", "plain"},
        {"M\xc3\xbcnchen", "M\xc3\xbcnchen"},
        {"/n?x=1", "/n?x=1"},
        {"", "\"\""},
        {"-", "\"-\""},
        {"--", "--"},
        {"#a", "\"#a\""},
        {"a b", "\"a\\u0020b\""},
        {"a\tb\nc", "\"a\\tb\\nc\""},
        {"a\"b", "\"a\\\"b\""},
        {"a\\b", "\"a\\\\b\""},
        {"a,b", "\"a,b\""},
        {"\x1b[2J", "\"\\u001b[2J\""},
        {"a\xe2\x80\xae"
         "b",
         "\"a\\u202eb\""},
        {"a\xff", "\"a\\\\xff\""},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        struct report report = report_new(&out, false);

        report_object_begin(&report);
        report_name(&report, "n");
        report_text(&report, bytes_from_text(words[i][0]));
        buffer_append_char(&out, '\0');
        assert_string_equal(out.data + 2, words[i][1]);
        buffer_clear(&out);
    }
}

static void what_is_done_and_what_failed(void **state)
{
    (void)state;
    for (unsigned json = 0; json < 2; json++) {
        struct report report = report_new(&out, json);

        report_done(&report, NULL, 0);
        report_done(&report, "kicked", 3);
        report_error(&report, "no such room");
        assert_written(json ? "{\"ok\":true}\n\n{\"ok\":true,\"kicked\":3}\n\nerror no such room\n\n"
                            : "ok\n\nok kicked 3\n\nerror no such room\n\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(lists, tear_down),
        cmocka_unit_test_teardown(objects, tear_down),
        cmocka_unit_test_teardown(an_object_may_end_with_rows, tear_down),
        cmocka_unit_test_teardown(words_of_text, tear_down),
        cmocka_unit_test_teardown(what_is_done_and_what_failed, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
