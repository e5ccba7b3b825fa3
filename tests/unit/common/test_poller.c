/* The nested epoll set: events with their data, and what happens when descriptors go within a batch. */
#include "tests/unit/common/test.h"

#include "common/poller.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS = 50 };

struct scene {
    struct loop *loop;
    struct poller *poller;
    int ours[PAIRS];
    int theirs[PAIRS];
    unsigned calls[PAIRS];
    uint32_t events;  /* of the last call */
    unsigned stale;   /* calls for a slot of an older generation */
    bool remove_rest; /* the first callback removes and closes every other one */
    uint32_t generation;
};

static uint64_t make_data(uint32_t generation, unsigned index)
{
    return (uint64_t)generation << 32 | index;
}

static void ready(void *arg, uint64_t data, uint32_t events)
{
    struct scene *scene = arg;
    unsigned index = (unsigned)(data & UINT32_MAX);

    if (data >> 32 != scene->generation) {
        scene->stale++;
        return;
    }
    scene->calls[index]++;
    scene->events = events;
    if (!scene->remove_rest)
        return;
    scene->generation++;
    for (unsigned i = 0; i < PAIRS; i++) {
        poller_remove(scene->poller, scene->ours[i]);
        close(scene->ours[i]);
        scene->ours[i] = -1;
    }
}

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);

    assert_non_null(scene);
    scene->loop = loop_new();
    assert_non_null(scene->loop);
    scene->poller = poller_new(scene->loop, ready, scene);
    assert_non_null(scene->poller);
    for (unsigned i = 0; i < PAIRS; i++) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        scene->ours[i] = pair[0];
        scene->theirs[i] = pair[1];
        assert_int_equal(poller_add(scene->poller, pair[0], EPOLLIN, make_data(0, i)), 0);
    }
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;

    for (unsigned i = 0; i < PAIRS; i++) {
        if (scene->ours[i] >= 0)
            close(scene->ours[i]);
        close(scene->theirs[i]);
    }
    poller_free(scene->poller);
    loop_free(scene->loop);
    free(scene);
    return 0;
}

static void turn(struct scene *scene)
{
    assert_int_equal(loop_turn(scene->loop), 0);
}

static void speak(struct scene *scene, unsigned i)
{
    assert_int_equal(write(scene->theirs[i], "x", 1), 1);
}

static void everything_ready_comes_once_in_one_turn_with_its_data(void **state)
{
    struct scene *scene = *state;

    for (unsigned i = 0; i < PAIRS; i += 2)
        speak(scene, i);
    turn(scene);
    for (unsigned i = 0; i < PAIRS; i++)
        assert_int_equal(scene->calls[i], i % 2 == 0);
    assert_int_equal(scene->events, EPOLLIN);
}

static void what_is_not_read_comes_again(void **state)
{
    struct scene *scene = *state;

    speak(scene, 7);
    turn(scene);
    turn(scene);
    assert_int_equal(scene->calls[7], 2);
}

static void modifying_changes_events_and_data(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(poller_modify(scene->poller, scene->ours[3], EPOLLOUT, make_data(0, 4)), 0);
    turn(scene);
    assert_int_equal(scene->calls[3], 0);
    assert_int_equal(scene->calls[4], 1);
    assert_int_equal(scene->events, EPOLLOUT);
}

static void a_hang_up_needs_no_interest(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(poller_modify(scene->poller, scene->ours[5], 0, make_data(0, 5)), 0);
    assert_int_equal(shutdown(scene->theirs[5], SHUT_RDWR), 0);
    turn(scene);
    assert_int_equal(scene->calls[5], 1);
    assert_true(scene->events & EPOLLHUP);
}

static void removed_descriptors_are_silent_and_may_come_back(void **state)
{
    struct scene *scene = *state;

    poller_remove(scene->poller, scene->ours[1]);
    poller_remove(scene->poller, scene->ours[1]);
    speak(scene, 1);
    speak(scene, 2);
    turn(scene);
    assert_int_equal(scene->calls[1], 0);
    assert_int_equal(scene->calls[2], 1);
    assert_int_equal(poller_add(scene->poller, scene->ours[1], EPOLLIN, make_data(0, 1)), 0);
    turn(scene);
    assert_int_equal(scene->calls[1], 1);
}

static void closing_others_of_the_batch_leaves_stale_events_that_the_data_tells(void **state)
{
    struct scene *scene = *state;
    unsigned calls = 0;

    scene->remove_rest = true;
    for (unsigned i = 0; i < PAIRS; i++)
        speak(scene, i);
    turn(scene);
    for (unsigned i = 0; i < PAIRS; i++)
        calls += scene->calls[i];
    assert_int_equal(calls, 1);
    assert_int_equal(scene->stale, PAIRS - 1);
    loop_wake_now(scene->loop);
    turn(scene);
    assert_int_equal(scene->stale, PAIRS - 1);
}

static void mistakes_have_their_codes(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(poller_add(scene->poller, scene->ours[0], EPOLLIN, 0), ERROR_EXISTS);
    assert_int_equal(poller_modify(scene->poller, scene->theirs[0], EPOLLIN, 0), ERROR_NOT_FOUND);
    assert_int_equal(poller_add(scene->poller, -1, EPOLLIN, 0), ERROR_SYSTEM);
    poller_free(NULL);
}

int main(void)
{
#define SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        SCENE(everything_ready_comes_once_in_one_turn_with_its_data),
        SCENE(what_is_not_read_comes_again),
        SCENE(modifying_changes_events_and_data),
        SCENE(a_hang_up_needs_no_interest),
        SCENE(removed_descriptors_are_silent_and_may_come_back),
        SCENE(closing_others_of_the_batch_leaves_stale_events_that_the_data_tells),
        SCENE(mistakes_have_their_codes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
