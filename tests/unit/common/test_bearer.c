/* Bearer keys: what a file may hold, and who is let in. */
#include "common/bearer.h"
#include "tests/unit/common/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/hubbub-bearer-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/keys", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static int load(const char *text, mode_t mode, struct bearer_keys *keys, struct buffer *error)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
    return bearer_keys_load(path, keys, error);
}

static void each_key_of_the_file_lets_in_and_nothing_else(void **state)
{
    struct bearer_keys keys = {0};
    struct buffer error = {0};

    (void)state;
    assert_int_equal(load("# the shop's\nabcdefghijklmnop\r\n\n0123456789-._~+/== \n", 0600, &keys, &error),
                     0);
    assert_int_equal(keys.count, 2);
    assert_true(bearer_keys_admit(&keys, "Bearer abcdefghijklmnop"));
    assert_true(bearer_keys_admit(&keys, "bearer  0123456789-._~+/=="));
    assert_false(bearer_keys_admit(&keys, NULL));
    assert_false(bearer_keys_admit(&keys, ""));
    assert_false(bearer_keys_admit(&keys, "Bearer"));
    assert_false(bearer_keys_admit(&keys, "Bearer "));
    assert_false(bearer_keys_admit(&keys, "Bearer abcdefghijklmno"));
    assert_false(bearer_keys_admit(&keys, "Bearer abcdefghijklmnoq"));
    assert_false(bearer_keys_admit(&keys, "Bearer abcdefghijklmnop "));
    assert_false(bearer_keys_admit(&keys, "Bearer # the shop's"));
    assert_false(bearer_keys_admit(&keys, "Basic abcdefghijklmnop"));
    assert_false(bearer_keys_admit(&keys, "abcdefghijklmnop"));
    bearer_keys_done(&keys);
    assert_false(bearer_keys_admit(&keys, "Bearer abcdefghijklmnop"));
    buffer_done(&error);
}

static void what_is_no_key_is_named_with_its_line(void **state)
{
    static const struct {
        const char *text, *line;
    } files[] = {{"abcdefghijklmno\n", ":1: "},
                 {"# one\nabcdefghijklmnop\nwith a blank in it\n", ":3: "},
                 {"abcdefgh=ijklmnop\n", ":1: "},
                 {"================\n", ":1: "},
                 {" abcdefghijklmnop\n", ":1: "}};

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct bearer_keys keys = {0};
        struct buffer error = {0};

        assert_int_equal(load(files[i].text, 0600, &keys, &error), ERROR_CONFIG);
        buffer_append_char(&error, '\0');
        assert_non_null(strstr(error.data, files[i].line));
        assert_null(strstr(error.data, "abcdefgh")); /* what may be a secret is not shown */
        assert_int_equal(keys.count, 0);
        buffer_done(&error);
    }
}

static void a_file_without_keys_or_open_to_others_is_refused(void **state)
{
    struct bearer_keys keys = {0};
    struct buffer error = {0};

    (void)state;
    assert_int_equal(load("", 0600, &keys, &error), ERROR_CONFIG);
    assert_int_equal(load("# nothing\n", 0600, &keys, &error), ERROR_CONFIG);
    assert_int_equal(load("abcdefghijklmnop\n", 0640, &keys, &error), ERROR_CONFIG);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(bearer_keys_load(path, &keys, &error), ERROR_CONFIG);
    assert_int_equal(keys.count, 0);
    buffer_done(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_of_the_file_lets_in_and_nothing_else),
        cmocka_unit_test(what_is_no_key_is_named_with_its_line),
        cmocka_unit_test(a_file_without_keys_or_open_to_others_is_refused),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
