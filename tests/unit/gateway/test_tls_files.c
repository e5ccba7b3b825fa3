/* Which files the configuration names. */
#include "gateway/tls_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The files as "certificate:key ...", or what is wrong; valid until the next call. */
static const char *load(const char *text, const char *certificate, const char *key)
{
    static char out[512];
    struct tls_files files = {0};
    struct buffer error = {0};
    config_t config;
    int result;

    config_init(&config);
    assert_int_equal(config_read_string(&config, text), CONFIG_TRUE);
    result = tls_files_load(&config, certificate, key, &files, &error);
    config_destroy(&config);
    out[0] = '\0';
    if (result) {
        assert_int_equal(result, ERROR_CONFIG);
        assert_null(files.files);
        snprintf(out, sizeof out, "%.*s", BYTES_PRINTF(buffer_bytes(&error)));
    } else
        assert_int_equal(error.length, 0);
    for (size_t i = 0; i < files.count; i++)
        snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s:%s", i ? " " : "",
                 files.files[i].certificate, files.files[i].key);
    tls_files_done(&files);
    buffer_done(&error);
    return out;
}

static void files_come_in_their_order(void **state)
{
    (void)state;
    assert_string_equal(load("", NULL, NULL), "");
    assert_string_equal(load("", "a.pem", NULL), "a.pem:a.pem");
    assert_string_equal(load("", "a.pem", "a.key"), "a.pem:a.key");
    assert_string_equal(load("certificates = ();", NULL, NULL), "");
    assert_string_equal(
        load("certificates = ({certificate = \"b\"; key = \"k\";}, {certificate = \"c\";});", NULL, NULL),
        "b:k c:c");
    assert_string_equal(load("certificates = ({certificate = \"b\";});", "a", "k"), "a:k b:b");
}

static void what_is_wrong_is_told(void **state)
{
    (void)state;
    assert_string_equal(load("", NULL, "a.key"), "key tls_key is of no use without tls_certificate");
    assert_non_null(strstr(load("certificates = \"a\";", NULL, NULL), "expected a list of up to 1000"));
    assert_non_null(strstr(load("certificates = (\"a\");", NULL, NULL), "expected { certificate = "));
    assert_non_null(strstr(load("certificates = ({});", NULL, NULL), "names no certificate"));
    assert_non_null(strstr(load("certificates = ({key = \"k\";});", "a", NULL), "names no certificate"));
    assert_non_null(
        strstr(load("certificates = ({certificate = 1;});", NULL, NULL), "expected a path in quotes"));
    assert_non_null(
        strstr(load("certificates = ({certificate = \"\";});", NULL, NULL), "expected a path in quotes"));
    assert_non_null(strstr(load("certificates = ({certificate = \"a\"; name = \"b\";});", NULL, NULL),
                           "unknown key name of a certificate"));
}

static void append_row(void *argument, const char *name, const char *value, const char *origin)
{
    buffer_printf(argument, "%s %s %s\n", name, value, origin);
}

static void entries_are_shown_with_their_lines(void **state)
{
    struct tls_files files = {0};
    struct buffer error = {0}, shown = {0};
    config_t config;

    (void)state;
    config_init(&config);
    assert_true(config_read_string(&config, "certificates = (\n{ certificate = \"b\"; },\n"
                                            "{ certificate = \"c\"; key = \"k\"; });"));
    assert_int_equal(tls_files_load(&config, "a", NULL, &files, &error), 0);
    config_destroy(&config);
    tls_files_describe(&files, append_row, &shown);
    assert_true(bytes_equal_text(buffer_bytes(&shown), "certificates[0] certificate=b;key=b :2\n"
                                                       "certificates[1] certificate=c;key=k :3\n"));
    tls_files_done(&files);
    buffer_done(&shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_come_in_their_order),
        cmocka_unit_test(what_is_wrong_is_told),
        cmocka_unit_test(entries_are_shown_with_their_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
