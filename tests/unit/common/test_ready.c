/* The line of readiness: once, on the descriptor that the environment names. */
#include "tests/unit/common/test.h"

#include "common/ready.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void the_line_is_written_once_and_the_pipe_closed(void **state)
{
    char number[16], text[64];
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    snprintf(number, sizeof number, "%d", ends[1]);
    assert_int_equal(setenv(READY_VARIABLE, number, 1), 0);
    ready_announce();
    ready_announce();
    assert_null(getenv(READY_VARIABLE));
    assert_int_equal(read(ends[0], text, sizeof text), 6);
    assert_memory_equal(text, "ready\n", 6);
    assert_int_equal(read(ends[0], text, sizeof text), 0);
    assert_int_equal(fcntl(ends[1], F_GETFD), -1);
    close(ends[0]);
}

static void without_a_number_nothing_happens(void **state)
{
    static const char *const bad[] = {"", "x", "1", "2", "-4", "99999999999"};

    (void)state;
    unsetenv(READY_VARIABLE);
    ready_announce();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(setenv(READY_VARIABLE, bad[i], 1), 0);
        ready_announce();
    }
    assert_int_not_equal(fcntl(STDOUT_FILENO, F_GETFD), -1);
    assert_int_not_equal(fcntl(STDERR_FILENO, F_GETFD), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_line_is_written_once_and_the_pipe_closed),
        cmocka_unit_test(without_a_number_nothing_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
