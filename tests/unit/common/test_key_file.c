/* Key files: what is a key, what is a comment, and who may read a secret one. */
#include "common/key_file.h"
#include "tests/unit/common/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Two keys of ZeroMQ's RFC 26. */
#define ALICE "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define BOB   "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"

static char folder[] = "/tmp/hubbub-key-file-XXXXXX";
static char path[64];

static void write_file(const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/key", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void what_is_written_is_read_again_by_its_owner(void **state)
{
    struct key key = {ALICE}, read = {0};
    struct buffer error = {0};
    struct stat status;

    (void)state;
    unlink(path);
    assert_int_equal(key_file_create(path, &key, true, &error), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(key_file_read_secret(path, &read, &error), 0);
    assert_string_equal(read.text, ALICE);
    assert_int_equal(key_file_create(path, &key, true, &error), ERROR_EXISTS);
    assert_true(error.length > 0);
    buffer_done(&error);
}

static void a_secret_that_others_may_read_is_refused(void **state)
{
    struct key key = {0};
    struct buffer error = {0};

    (void)state;
    write_file(ALICE "\n", 0640);
    assert_int_equal(key_file_read_secret(path, &key, &error), ERROR_CONFIG);
    assert_true(error.length > 0);
    assert_string_equal(key.text, "");
    assert_int_equal(key_file_read_public(path, &key, &error), 0);
    assert_string_equal(key.text, ALICE);
    buffer_done(&error);
}

static void lists_have_comments_and_blank_lines(void **state)
{
    struct key alice = {ALICE}, bob = {BOB};
    struct key_list list = {0};
    struct buffer error = {0};

    (void)state;
    write_file("# gateways\n\n" ALICE " # the first\r\n\t" BOB, 0644);
    assert_int_equal(key_file_read_list(path, &list, &error), 0);
    assert_int_equal(list.count, 2);
    assert_true(key_list_has(&list, &alice));
    assert_true(key_list_has(&list, &bob));
    bob.text[0] = 's';
    assert_false(key_list_has(&list, &bob));
    key_list_done(&list);
    assert_int_equal(error.length, 0);
}

static void what_is_no_key_is_refused_with_its_line(void **state)
{
    static const char *const bad[] = {
        "", /* nothing */
        "# only words\n",
        "short\n",
        ALICE "x\n",        /* too long */
        ALICE " " BOB "\n", /* two on a line */
        "\n%%%%%"
        "00000000000000000000000000000000000\n", /* over 32 bits */
        "\n'"
        "000000000000000000000000000000000000000\n", /* no digit */
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct key_list list = {0};
        struct buffer error = {0};

        write_file(bad[i], 0600);
        assert_int_equal(key_file_read_list(path, &list, &error), ERROR_CONFIG);
        assert_true(error.length > strlen(path));
        assert_memory_equal(error.data, path, strlen(path));
        assert_null(list.keys);
        buffer_done(&error);
    }
}

static void one_key_is_not_two(void **state)
{
    struct key key = {0};
    struct buffer error = {0};

    (void)state;
    write_file(ALICE "\n" BOB "\n", 0600);
    assert_int_equal(key_file_read_secret(path, &key, &error), ERROR_CONFIG);
    assert_int_equal(key_file_read_public("/nowhere/at/all", &key, &error), ERROR_CONFIG);
    buffer_done(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again_by_its_owner),
        cmocka_unit_test(a_secret_that_others_may_read_is_refused),
        cmocka_unit_test(lists_have_comments_and_blank_lines),
        cmocka_unit_test(what_is_no_key_is_refused_with_its_line),
        cmocka_unit_test(one_key_is_not_two),
    };

    return cmocka_run_group_tests_name("key file", tests, make_folder, remove_folder);
}
