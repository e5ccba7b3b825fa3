/* The turns of the loop: what comes before what, and what ends a sleep. */
#include "tests/unit/common/test.h"

#include "common/clock.h"
#include "common/histogram.h"
#include "common/loop.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct scene {
    struct loop *loop;
    char trace[256]; /* a letter for each thing that happened */
    size_t length;
    int pair[2][2]; /* two socket pairs: [n][0] is watched, [n][1] is ours */
    struct loop_watch *watches[2];
    struct loop_timer timer;
    unsigned ready; /* of the last watch callback */
    unsigned beats;
};

static void note(struct scene *scene, char what)
{
    assert_true(scene->length < sizeof scene->trace - 1);
    scene->trace[scene->length++] = what;
    scene->trace[scene->length] = '\0';
}

static void hook_one(void *arg)
{
    note(arg, '1');
}

static void hook_two(void *arg)
{
    note(arg, '2');
}

static void readable(void *arg, int fd, unsigned ready)
{
    struct scene *scene = arg;
    char byte;

    assert_int_equal(ready, LOOP_READ);
    assert_int_equal(read(fd, &byte, 1), 1);
    note(scene, byte);
}

static void timer_rang(void *arg)
{
    note(arg, 't');
}

static int set_up(void **state)
{
    static struct scene scene;

    scene = (struct scene){.loop = loop_new()};
    assert_non_null(scene.loop);
    loop_on_turn_end(scene.loop, hook_one, &scene);
    loop_on_turn_end(scene.loop, hook_two, &scene);
    loop_timer_init(&scene.timer, scene.loop, timer_rang, &scene);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, scene.pair[i]), 0);
        scene.watches[i] = loop_watch_new(scene.loop, scene.pair[i][0], LOOP_READ, readable, &scene);
        assert_non_null(scene.watches[i]);
    }
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;

    for (unsigned i = 0; i < 2; i++) {
        loop_watch_free(scene->watches[i]);
        close(scene->pair[i][0]);
        close(scene->pair[i][1]);
    }
    loop_free(scene->loop);
    return 0;
}

static void turn(struct scene *scene)
{
    scene->length = 0;
    scene->trace[0] = '\0';
    assert_int_equal(loop_turn(scene->loop), 0);
}

static void send_byte(struct scene *scene, unsigned pair, char byte)
{
    assert_int_equal(write(scene->pair[pair][1], &byte, 1), 1);
}

static void hooks_run_after_everything_that_was_ready(void **state)
{
    struct scene *scene = *state;

    send_byte(scene, 0, 'a');
    send_byte(scene, 1, 'b');
    loop_timer_start(&scene->timer, 0);
    turn(scene);
    assert_true(strcmp(scene->trace, "abt12") == 0 || strcmp(scene->trace, "bat12") == 0);
}

static void what_stays_ready_comes_again_in_the_next_turn(void **state)
{
    struct scene *scene = *state;

    send_byte(scene, 0, 'a');
    send_byte(scene, 0, 'b');
    turn(scene);
    assert_string_equal(scene->trace, "a12");
    turn(scene);
    assert_string_equal(scene->trace, "b12");
}

static void a_wake_makes_one_turn_that_does_not_sleep(void **state)
{
    struct scene *scene = *state;

    loop_wake_now(scene->loop);
    turn(scene);
    assert_string_equal(scene->trace, "12");
}

static void the_deadline_ends_a_sleep_and_not_before(void **state)
{
    struct scene *scene = *state;
    uint64_t due = loop_now(scene->loop) + 20;

    loop_set_deadline(scene->loop, due);
    while (loop_now(scene->loop) < due)
        turn(scene);
    assert_string_equal(scene->trace, "12");
    assert_true(clock_monotonic_ms() >= due);
    loop_set_deadline(scene->loop, TIMER_WHEEL_NEVER);
    send_byte(scene, 0, 'a');
    turn(scene);
    assert_string_equal(scene->trace, "a12");
}

static void a_timer_rings_once_and_never_early(void **state)
{
    struct scene *scene = *state;
    uint64_t start = loop_now(scene->loop);

    loop_timer_start(&scene->timer, 15);
    assert_true(wheel_timer_scheduled(&scene->timer.wheel));
    do
        turn(scene);
    while (wheel_timer_scheduled(&scene->timer.wheel));
    assert_string_equal(scene->trace, "t12");
    assert_true(loop_now(scene->loop) - start >= 15);
}

static void stop_after_three(void *arg)
{
    struct scene *scene = arg;

    if (++scene->beats == 3)
        loop_stop(scene->loop);
    note(scene, 't');
}

static void a_repeating_timer_keeps_its_beat_and_the_loop_stops_after_its_hooks(void **state)
{
    struct scene *scene = *state;
    uint64_t start = loop_now(scene->loop);

    loop_timer_init(&scene->timer, scene->loop, stop_after_three, scene);
    loop_timer_repeat(&scene->timer, 10);
    assert_int_equal(loop_run(scene->loop), 0);
    assert_int_equal(scene->beats, 3);
    assert_string_equal(scene->trace + scene->length - 3, "t12");
    assert_true(loop_now(scene->loop) - start >= 30);
    loop_timer_stop(&scene->timer);
    assert_false(wheel_timer_scheduled(&scene->timer.wheel));
}

static void free_both(void *arg, int fd, unsigned ready)
{
    struct scene *scene = arg;

    (void)fd;
    (void)ready;
    note(scene, 'f');
    for (unsigned i = 0; i < 2; i++) {
        loop_watch_free(scene->watches[i]);
        scene->watches[i] = NULL;
    }
}

static void a_watch_freed_in_the_turn_it_was_ready_is_not_called(void **state)
{
    struct scene *scene = *state;

    for (unsigned i = 0; i < 2; i++) {
        loop_watch_free(scene->watches[i]);
        scene->watches[i] = loop_watch_new(scene->loop, scene->pair[i][0], LOOP_READ, free_both, scene);
        assert_non_null(scene->watches[i]);
        send_byte(scene, i, 'x');
    }
    turn(scene);
    assert_string_equal(scene->trace, "f12");
}

static void note_ready(void *arg, int fd, unsigned ready)
{
    struct scene *scene = arg;

    (void)fd;
    scene->ready = ready;
}

static void interest_can_change(void **state)
{
    struct scene *scene = *state;
    struct loop_watch *watch;

    loop_watch_free(scene->watches[0]);
    watch = scene->watches[0] = loop_watch_new(scene->loop, scene->pair[0][0], LOOP_NONE, note_ready, scene);
    assert_non_null(watch);
    send_byte(scene, 0, 'x');
    loop_wake_now(scene->loop);
    turn(scene);
    assert_int_equal(scene->ready, LOOP_NONE);
    assert_int_equal(loop_watch_set(watch, LOOP_WRITE), 0);
    turn(scene);
    assert_int_equal(scene->ready, LOOP_WRITE);
    assert_int_equal(loop_watch_set(watch, LOOP_READ | LOOP_WRITE), 0);
    turn(scene);
    assert_int_equal(scene->ready, LOOP_READ | LOOP_WRITE);
    assert_int_equal(loop_watch_set(watch, LOOP_READ), 0);
    turn(scene);
    assert_int_equal(scene->ready, LOOP_READ);
    scene->ready = LOOP_NONE;
    assert_int_equal(loop_watch_set(watch, LOOP_NONE), 0);
    loop_wake_now(scene->loop);
    turn(scene);
    assert_int_equal(scene->ready, LOOP_NONE);
}

static void a_hang_up_shows_as_what_was_asked_for(void **state)
{
    struct scene *scene = *state;

    loop_watch_free(scene->watches[0]);
    scene->watches[0] = loop_watch_new(scene->loop, scene->pair[0][0], LOOP_READ, note_ready, scene);
    assert_non_null(scene->watches[0]);
    assert_int_equal(shutdown(scene->pair[0][1], SHUT_RDWR), 0);
    turn(scene);
    assert_int_equal(scene->ready, LOOP_READ);
}

static void signal_came(void *arg, int number)
{
    assert_int_equal(number, SIGUSR1);
    note(arg, 's');
    loop_stop(((struct scene *)arg)->loop);
}

static void a_signal_is_a_callback_of_a_turn(void **state)
{
    struct scene *scene = *state;
    struct loop_signal *signal = loop_signal_new(scene->loop, SIGUSR1, signal_came, scene);

    assert_non_null(signal);
    raise(SIGUSR1);
    assert_int_equal(loop_run(scene->loop), 0);
    assert_string_equal(scene->trace, "s12");
    loop_signal_free(signal);
}

static void look_at_the_clock(void *arg, int fd, unsigned ready)
{
    struct scene *scene = arg;
    uint64_t now = loop_now(scene->loop);

    readable(scene, fd, ready);
    while (clock_monotonic_ms() < now + 3)
        ;
    assert_true(loop_now(scene->loop) == now);
}

static void now_stands_still_within_a_turn_and_moves_with_the_poll(void **state)
{
    struct scene *scene = *state;
    uint64_t before, after;

    loop_watch_free(scene->watches[0]);
    scene->watches[0] = loop_watch_new(scene->loop, scene->pair[0][0], LOOP_READ, look_at_the_clock, scene);
    assert_non_null(scene->watches[0]);
    before = clock_monotonic_ms();
    send_byte(scene, 0, 'a');
    turn(scene);
    assert_true(loop_now(scene->loop) >= before);
    after = loop_now(scene->loop);
    loop_wake_now(scene->loop);
    turn(scene);
    assert_true(loop_now(scene->loop) >= after + 3);
}

static void a_loop_with_nothing_to_wait_for_returns(void **state)
{
    struct loop *loop = loop_new();

    (void)state;
    assert_non_null(loop);
    assert_int_equal(loop_run(loop), 0);
    loop_free(loop);
    loop_free(NULL);
}

static void a_loop_with_only_a_timer_waits_for_it(void **state)
{
    struct scene scene = {.loop = loop_new()};

    (void)state;
    assert_non_null(scene.loop);
    loop_timer_init(&scene.timer, scene.loop, timer_rang, &scene);
    loop_timer_start(&scene.timer, 5);
    assert_int_equal(loop_run(scene.loop), 0);
    assert_string_equal(scene.trace, "t");
    loop_free(scene.loop);
}

static uint64_t blocked_from;

static void block_once(void *arg)
{
    struct scene *scene = arg;

    if (scene->beats++ > 0)
        return;
    blocked_from = clock_monotonic_ms();
    usleep(400000);
}

static void a_loop_measures_its_turns_and_how_late_it_is(void **state)
{
    struct scene *scene = *state;
    struct histogram turns = {.bounds = &histogram_seconds}, lags = {.bounds = &histogram_seconds};
    uint64_t start = loop_now(scene->loop);

    loop_measure(scene->loop, &turns, &lags);
    loop_on_turn_end(scene->loop, block_once, scene);
    loop_wake_now(scene->loop);
    assert_int_equal(loop_turn(scene->loop), 0);
    assert_int_equal(histogram_count(&turns), 1);
    assert_true(turns.sum >= 400000000);
    if (blocked_from - start < 250) /* behind that one is due anyway */
        assert_int_equal(histogram_count(&lags), 0);
    while (histogram_count(&lags) < 2)
        assert_int_equal(loop_turn(scene->loop), 0);
    assert_true(lags.sum >= 150000000); /* the first was due after 250 ms */
    assert_true(histogram_count(&turns) >= 3);
}

int main(void)
{
#define SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        SCENE(hooks_run_after_everything_that_was_ready),
        SCENE(what_stays_ready_comes_again_in_the_next_turn),
        SCENE(a_wake_makes_one_turn_that_does_not_sleep),
        SCENE(the_deadline_ends_a_sleep_and_not_before),
        SCENE(a_timer_rings_once_and_never_early),
        SCENE(a_repeating_timer_keeps_its_beat_and_the_loop_stops_after_its_hooks),
        SCENE(a_watch_freed_in_the_turn_it_was_ready_is_not_called),
        SCENE(interest_can_change),
        SCENE(a_hang_up_shows_as_what_was_asked_for),
        SCENE(a_signal_is_a_callback_of_a_turn),
        SCENE(now_stands_still_within_a_turn_and_moves_with_the_poll),
        SCENE(a_loop_measures_its_turns_and_how_late_it_is),
        cmocka_unit_test(a_loop_with_nothing_to_wait_for_returns),
        cmocka_unit_test(a_loop_with_only_a_timer_waits_for_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
