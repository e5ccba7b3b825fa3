/* Pages of an archive that does not answer; tests/integration/test_archive_pages.py has those that come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/archive_reader.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READS = 3 };

struct fixture {
    int listener; /* takes connections, and never answers */
    char uri[64];
    struct archive_place place;
    struct archive_reader *reader;
    struct archive_read reads[READS];
    unsigned done;
};

static int setup(void **state)
{
    static struct fixture fixture;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;

    fixture = (struct fixture){.listener = socket(AF_INET, SOCK_STREAM, 0)};
    assert_int_equal(bind(fixture.listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fixture.listener, 16), 0);
    assert_int_equal(getsockname(fixture.listener, (struct sockaddr *)&address, &length), 0);
    snprintf(fixture.uri, sizeof fixture.uri, "mongodb://127.0.0.1:%u/", ntohs(address.sin_port));
    fixture.place = (struct archive_place){.uri = fixture.uri, .collection = "messages"};
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    archive_reader_stop(fixture->reader);
    close(fixture->listener);
    return 0;
}

static void note_done(struct archive_read *read, void *argument)
{
    struct fixture *fixture = argument;

    assert_ptr_equal(read->argument, fixture);
    assert_int_equal(read->count, 0);
    archive_read_free(read);
    fixture->done++;
}

static void start(struct fixture *fixture, uint32_t timeout, unsigned waiting_max)
{
    fixture->place.timeout = timeout;
    assert_int_equal(archive_reader_start(&fixture->place, waiting_max, &fixture->reader), 0);
}

static int ask(struct fixture *fixture, unsigned at)
{
    fixture->reads[at] = (struct archive_read){.namespace = BYTES("/"),
                                               .room = BYTES("R"),
                                               .newest = true,
                                               .limit = 10,
                                               .max_bytes = 1000,
                                               .done = note_done,
                                               .argument = fixture};
    return archive_read(fixture->reader, &fixture->reads[at]);
}

static void wait_for(struct fixture *fixture, unsigned done)
{
    while (fixture->done < done) {
        struct pollfd event = {.fd = archive_reader_fd(fixture->reader), .events = POLLIN};

        assert_true(poll(&event, 1, 60000) > 0);
        archive_reader_collect(fixture->reader);
    }
}

static void all_that_wait_are_told_when_nobody_listens(void **state)
{
    struct fixture *fixture = *state;

    close(fixture->listener);
    start(fixture, 5000, 64);
    for (unsigned turn = 0; turn < 3; turn++) {
        for (unsigned i = 0; i < READS; i++)
            assert_int_equal(ask(fixture, i), 0);
        wait_for(fixture, (turn + 1) * READS);
        for (unsigned i = 0; i < READS; i++)
            assert_int_equal(fixture->reads[i].result, ERROR_AGAIN);
    }
    fixture->listener = socket(AF_INET, SOCK_STREAM, 0);
}

static void all_that_wait_are_told_when_nobody_answers(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, 1000, READS);
    for (unsigned i = 0; i < READS; i++)
        assert_int_equal(ask(fixture, i), 0);
    wait_for(fixture, READS);
    for (unsigned i = 0; i < READS; i++)
        assert_int_equal(fixture->reads[i].result, ERROR_AGAIN);
}

static void too_many_are_turned_away(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, 500, 2);
    assert_int_equal(ask(fixture, 0), 0);
    assert_int_equal(ask(fixture, 1), 0);
    assert_int_equal(ask(fixture, 2), ERROR_BUSY);
    wait_for(fixture, 2);
    assert_int_equal(ask(fixture, 2), 0);
    wait_for(fixture, 3);
}

static void stopping_waits_for_nobody(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, 600000, 64);
    for (unsigned i = 0; i < READS; i++)
        assert_int_equal(ask(fixture, i), 0);
    assert_int_equal(accept(fixture->listener, NULL, NULL) >= 0, 1); /* one is under way */
    archive_reader_stop(fixture->reader);
    fixture->reader = NULL;
    assert_int_equal(fixture->done, READS);
    for (unsigned i = 0; i < READS; i++)
        assert_int_equal(fixture->reads[i].result, ERROR_CLOSED);
}

static void one_that_was_never_asked_stops(void **state)
{
    struct fixture *fixture = *state;

    start(fixture, 1000, 64);
    archive_reader_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_that_wait_are_told_when_nobody_listens, setup, teardown),
        cmocka_unit_test_setup_teardown(all_that_wait_are_told_when_nobody_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_are_turned_away, setup, teardown),
        cmocka_unit_test_setup_teardown(stopping_waits_for_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_was_never_asked_stops, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
