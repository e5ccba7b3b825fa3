/* Work in steps: one a turn, in turns. */
#include "tests/unit/common/test.h"

#include "router/steps.h"

#include <string.h>

struct counted {
    struct step_job job; /* must stay first */
    char name;
    unsigned left;
};

static char done[64];

static bool step(struct step_job *job)
{
    struct counted *counted = (struct counted *)job;
    size_t length = strlen(done);

    done[length] = counted->name;
    done[length + 1] = '\0';
    return --counted->left > 0;
}

static void turn(struct loop *loop, unsigned times)
{
    while (times--)
        assert_int_equal(loop_turn(loop), 0);
}

static void jobs_take_turns(void **state)
{
    struct loop *loop = loop_new();
    struct steps steps;
    struct counted a = {.job.step = step, .name = 'a', .left = 3};
    struct counted b = {.job.step = step, .name = 'b', .left = 1};
    struct counted c = {.job.step = step, .name = 'c', .left = 9};

    (void)state;
    assert_non_null(loop);
    done[0] = '\0';
    steps_init(&steps, loop);
    steps_add(&steps, &a.job);
    steps_add(&steps, &b.job);
    assert_string_equal(done, "");
    turn(loop, 1);
    assert_string_equal(done, "a");
    steps_add(&steps, &c.job);
    turn(loop, 3);
    assert_string_equal(done, "abac");
    steps_remove(&steps, &c.job);
    turn(loop, 1);
    assert_string_equal(done, "abaca");
    assert_null(steps.first);
    steps_done(&steps);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(jobs_take_turns)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
