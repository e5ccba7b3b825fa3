/* Lines of findings, written and read. */
#include "tests/unit/common/test.h"

#include "common/finding.h"

static void a_line_comes_back_as_it_was(void **state)
{
    struct buffer out = {0};
    struct finding finding;
    struct bytes lines;

    (void)state;
    finding_append(&out, FINDING_WARNING, "disk", "use another one", "%d ms for a sync", 30);
    finding_append(&out, FINDING_OK, "clock", NULL, "it is right");
    lines = buffer_bytes(&out);
    assert_int_equal(finding_read(&lines, &finding), 0);
    assert_int_equal(finding.level, FINDING_WARNING);
    assert_true(bytes_equal_text(finding.check, "disk"));
    assert_true(bytes_equal_text(finding.found, "30 ms for a sync"));
    assert_true(bytes_equal_text(finding.mend, "use another one"));
    assert_int_equal(finding_read(&lines, &finding), 0);
    assert_int_equal(finding.level, FINDING_OK);
    assert_true(bytes_equal_text(finding.check, "clock"));
    assert_int_equal(finding.mend.length, 0);
    assert_int_equal(lines.length, 0);
    buffer_done(&out);
}

static void texts_of_strangers_stay_on_their_line(void **state)
{
    struct buffer out = {0};

    (void)state;
    finding_append(&out, FINDING_ERROR, "a\tb", "c\nd", "%s", "e\tf\nerror\tg\x1b[2J");
    assert_true(bytes_equal_text(buffer_bytes(&out), "error\ta b\te f error g\\u001b[2J\tc d\n"));
    buffer_done(&out);
}

static void assert_malformed(const char *line)
{
    struct finding finding = {.check = BYTES("kept")};
    struct bytes lines = bytes_from_text(line);

    assert_int_equal(finding_read(&lines, &finding), ERROR_MALFORMED);
    assert_true(bytes_equal_text(finding.check, "kept"));
    assert_true(bytes_equal_text(lines, strchr(line, '\n') ? "next" : ""));
}

static void what_is_no_finding_is_passed_over(void **state)
{
    (void)state;
    assert_malformed("");
    assert_malformed("hello");
    assert_malformed("hello\nnext");
    assert_malformed("fine\tdisk\tfound\t\nnext");
    assert_malformed("ok\t\tfound\t\nnext");
    assert_malformed("ok\tdisk\t\tmend\nnext");
    assert_malformed("ok\tdisk\tfound\tmend\tmore\nnext");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_comes_back_as_it_was),
        cmocka_unit_test(texts_of_strangers_stay_on_their_line),
        cmocka_unit_test(what_is_no_finding_is_passed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
