/* The timer wheel against a plain list of due times. */
#include "tests/unit/common/test.h"

#include "common/random.h"
#include "common/timer_wheel.h"

#include <stdlib.h>
#include <string.h>

enum { TIMERS = 300, ADVANCES = 20000 };

/* What one test knows: the timers, and what each should do. */
struct model {
    struct timer_wheel wheel;
    uint64_t now;
    struct wheel_timer timers[TIMERS];
    uint64_t due[TIMERS]; /* TIMER_WHEEL_NEVER: idle */
    unsigned fired;
    bool meddle; /* change other timers from inside the callback */
};

static void model_init(struct model *model, uint64_t now)
{
    memset(model, 0, sizeof *model);
    model->now = now;
    timer_wheel_init(&model->wheel, now);
    for (unsigned i = 0; i < TIMERS; i++)
        model->due[i] = TIMER_WHEEL_NEVER;
}

static void schedule(struct model *model, unsigned i, uint64_t due)
{
    timer_wheel_schedule(&model->wheel, &model->timers[i], due);
    model->due[i] = due;
}

static void cancel(struct model *model, unsigned i)
{
    timer_wheel_cancel(&model->timers[i]);
    model->due[i] = TIMER_WHEEL_NEVER;
}

static uint64_t random_delay(void)
{
    return random_u64() >> (24 + random_u64() % 40); /* every magnitude up to 34 years */
}

static void on_fire(struct wheel_timer *timer, void *arg)
{
    struct model *model = arg;
    unsigned i = (unsigned)(timer - model->timers);

    assert_true(model->due[i] <= model->now);
    assert_false(wheel_timer_scheduled(timer));
    model->due[i] = TIMER_WHEEL_NEVER;
    model->fired++;
    if (!model->meddle)
        return;
    if (random_u64() % 2)
        schedule(model, i, model->now + random_delay());
    cancel(model, (unsigned)(random_u64() % TIMERS));
    schedule(model, (unsigned)(random_u64() % TIMERS), model->now + 1 + random_delay());
}

static uint64_t earliest(const struct model *model)
{
    uint64_t due = TIMER_WHEEL_NEVER;

    for (unsigned i = 0; i < TIMERS; i++)
        if (model->due[i] < due)
            due = model->due[i];
    return due;
}

/* Advances, and checks that nothing that was due stays, unless a callback put it there just now. */
static void advance(struct model *model, uint64_t now)
{
    if (now > model->now)
        model->now = now;
    timer_wheel_advance(&model->wheel, now, on_fire, model);
    for (unsigned i = 0; i < TIMERS; i++) {
        assert_int_equal(wheel_timer_scheduled(&model->timers[i]), model->due[i] != TIMER_WHEEL_NEVER);
        if (!model->meddle)
            assert_true(model->due[i] > model->now);
        else
            assert_true(model->due[i] >= model->now);
    }
}

static void check_next_due(struct model *model)
{
    uint64_t said = timer_wheel_next_due(&model->wheel);
    uint64_t due = earliest(model);

    if (due == TIMER_WHEEL_NEVER) {
        assert_true(said == TIMER_WHEEL_NEVER);
    } else {
        assert_true(said <= due || due <= model->now);
        assert_true(said > model->now || due <= model->now);
    }
}

static void run_random(bool meddle, uint64_t start)
{
    static struct model model;

    model_init(&model, start);
    model.meddle = meddle;
    for (unsigned step = 0; step < ADVANCES; step++) {
        unsigned i = (unsigned)(random_u64() % TIMERS);

        if (random_u64() % 4)
            schedule(&model, i, model.now + random_delay());
        else
            cancel(&model, i);
        check_next_due(&model);
        switch (random_u64() % 3) {
        case 0: /* as the loop does it */
            if (timer_wheel_next_due(&model.wheel) != TIMER_WHEEL_NEVER)
                advance(&model, timer_wheel_next_due(&model.wheel));
            break;
        case 1:
            advance(&model, model.now + random_delay());
            break;
        default:
            advance(&model, model.now + random_u64() % 3);
        }
    }
    assert_true(model.fired > ADVANCES / 10);
}

static void it_agrees_with_a_list(void **state)
{
    (void)state;
    run_random(false, 0);
    run_random(false, UINT64_C(123456789012));
}

static void it_agrees_with_a_list_when_callbacks_meddle(void **state)
{
    (void)state;
    run_random(true, UINT64_C(987654321));
}

static void a_timer_fires_at_its_millisecond_and_not_before(void **state)
{
    static const uint64_t delays[] = {1, 2, 63, 64, 65, 4095, 4096, 4097, 25000, 262144, 300000};
    static struct model model;

    (void)state;
    for (size_t d = 0; d < sizeof delays / sizeof *delays; d++) {
        for (uint64_t start = 0; start < 130; start += 13) {
            model_init(&model, start);
            schedule(&model, 0, start + delays[d]);
            advance(&model, start + delays[d] - 1);
            assert_int_equal(model.fired, 0);
            advance(&model, start + delays[d]);
            assert_int_equal(model.fired, 1);
        }
    }
}

static void following_next_due_fires_after_few_wake_ups(void **state)
{
    static struct model model;
    unsigned wake_ups = 0;

    (void)state;
    model_init(&model, 777);
    schedule(&model, 0, 777 + 25000);
    while (!model.fired) {
        advance(&model, timer_wheel_next_due(&model.wheel));
        wake_ups++;
    }
    assert_int_equal(model.now, 777 + 25000);
    assert_in_range(wake_ups, 1, 4);
}

static void a_due_time_in_the_past_waits_for_the_next_advance(void **state)
{
    static struct model model;

    (void)state;
    model_init(&model, 1000);
    schedule(&model, 0, 1000);
    schedule(&model, 1, 5);
    assert_int_equal(timer_wheel_next_due(&model.wheel), 1000);
    advance(&model, 1000);
    assert_int_equal(model.fired, 2);
}

static void time_that_goes_back_counts_as_standing_still(void **state)
{
    static struct model model;

    (void)state;
    model_init(&model, 1000);
    schedule(&model, 0, 1500);
    advance(&model, 900);
    assert_int_equal(model.fired, 0);
    advance(&model, 1500);
    assert_int_equal(model.fired, 1);
}

static void the_end_of_time_is_a_due_time_like_any_other(void **state)
{
    static struct model model;

    (void)state;
    model_init(&model, 1);
    schedule(&model, 0, UINT64_MAX - 1);
    advance(&model, UINT64_MAX - 2);
    assert_int_equal(model.fired, 0);
    advance(&model, UINT64_MAX - 1);
    assert_int_equal(model.fired, 1);
}

struct meddler {
    struct timer_wheel wheel;
    struct wheel_timer first, second;
    unsigned fired;
};

static void cancel_the_other(struct wheel_timer *timer, void *arg)
{
    struct meddler *meddler = arg;

    meddler->fired++;
    timer_wheel_cancel(timer == &meddler->first ? &meddler->second : &meddler->first);
}

static void a_timer_cancelled_by_another_of_the_same_advance_is_not_called(void **state)
{
    struct meddler *meddler = calloc(1, sizeof *meddler);

    (void)state;
    assert_non_null(meddler);
    timer_wheel_init(&meddler->wheel, 0);
    timer_wheel_schedule(&meddler->wheel, &meddler->first, 10);
    timer_wheel_schedule(&meddler->wheel, &meddler->second, 10);
    timer_wheel_advance(&meddler->wheel, 10, cancel_the_other, meddler);
    assert_int_equal(meddler->fired, 1);
    assert_true(timer_wheel_next_due(&meddler->wheel) == TIMER_WHEEL_NEVER);
    free(meddler);
}

static void again_at_once(struct wheel_timer *timer, void *arg)
{
    struct meddler *meddler = arg;

    meddler->fired++;
    timer_wheel_schedule(&meddler->wheel, timer, 0);
}

static void a_timer_that_reschedules_itself_for_now_fires_once_an_advance(void **state)
{
    struct meddler *meddler = calloc(1, sizeof *meddler);

    (void)state;
    assert_non_null(meddler);
    timer_wheel_init(&meddler->wheel, 0);
    timer_wheel_schedule(&meddler->wheel, &meddler->first, 10);
    for (unsigned i = 1; i <= 5; i++) {
        timer_wheel_advance(&meddler->wheel, 10, again_at_once, meddler);
        assert_int_equal(meddler->fired, i);
    }
    timer_wheel_cancel(&meddler->first);
    free(meddler);
}

static void a_timer_stays_small(void **state)
{
    (void)state;
    assert_in_range(sizeof(struct wheel_timer), 0, 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_a_list),
        cmocka_unit_test(it_agrees_with_a_list_when_callbacks_meddle),
        cmocka_unit_test(a_timer_fires_at_its_millisecond_and_not_before),
        cmocka_unit_test(following_next_due_fires_after_few_wake_ups),
        cmocka_unit_test(a_due_time_in_the_past_waits_for_the_next_advance),
        cmocka_unit_test(time_that_goes_back_counts_as_standing_still),
        cmocka_unit_test(the_end_of_time_is_a_due_time_like_any_other),
        cmocka_unit_test(a_timer_cancelled_by_another_of_the_same_advance_is_not_called),
        cmocka_unit_test(a_timer_that_reschedules_itself_for_now_fires_once_an_advance),
        cmocka_unit_test(a_timer_stays_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
