/* Refusals, byte for byte: clients compare the code, and people read the message. */
#include "proto/refusal.h"

#include "proto/json_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void every_code_makes_a_valid_answer(void **state)
{
    struct buffer out = {0};

    (void)state;
    for (enum refusal_code code = 0; code < REFUSAL_CODES; code++) {
        struct json_value answer, ok, error, field;

        buffer_clear(&out);
        refusal_append_answer(&out, code, NULL);
        assert_int_equal(json_scan(buffer_bytes(&out), &answer), 0);
        assert_int_equal(json_object_find(answer, "ok", &ok), 0);
        assert_int_equal(ok.kind, JSON_FALSE);
        assert_int_equal(json_object_find(answer, "error", &error), 0);
        assert_int_equal(json_object_find(error, "code", &field), 0);
        assert_true(
            bytes_equal_text(bytes_make(field.text.data + 1, field.text.length - 2), refusal_text(code)));
        assert_int_equal(json_object_find(error, "message", &field), 0);
        assert_true(field.text.length > 2);
        for (enum refusal_code other = 0; other < code; other++)
            assert_string_not_equal(refusal_text(code), refusal_text(other));
    }
    buffer_done(&out);
}

static void a_message_of_ones_own_is_escaped(void **state)
{
    struct buffer out = {0};

    (void)state;
    refusal_append_error(&out, REFUSAL_BAD_ROOM, NULL);
    assert_true(bytes_equal_text(buffer_bytes(&out),
                                 "{\"code\":\"bad_room\",\"message\":\"a room is a text of 1 to 255 bytes "
                                 "without control characters\"}"));
    buffer_clear(&out);
    refusal_append_answer(&out, REFUSAL_BUSY, "say \"please\"\n");
    assert_true(bytes_equal_text(buffer_bytes(&out),
                                 "{\"ok\":false,\"error\":{\"code\":\"busy\",\"message\":\"say "
                                 "\\\"please\\\"\\n\"}}"));
    buffer_done(&out);
}

static void a_budget_is_a_burst_and_one_more_each_second(void **state)
{
    struct refusal_budget budget = {0};

    (void)state;
    for (unsigned i = 0; i < REFUSAL_EVENTS_BURST; i++)
        assert_true(refusal_budget_take(&budget, 999)); /* it is full from the clock's beginning on */
    assert_false(refusal_budget_take(&budget, 999));
    for (unsigned i = 0; i < REFUSAL_EVENTS_BURST; i++)
        assert_true(refusal_budget_take(&budget, 50000));
    assert_false(refusal_budget_take(&budget, 50999));
    assert_true(refusal_budget_take(&budget, 51000));
    assert_false(refusal_budget_take(&budget, 51500));
    for (unsigned i = 0; i < 3; i++)
        assert_true(refusal_budget_take(&budget, 54000));
    assert_false(refusal_budget_take(&budget, 54000));
    for (unsigned i = 0; i < REFUSAL_EVENTS_BURST; i++)
        assert_true(refusal_budget_take(&budget, 5000000));
    assert_false(refusal_budget_take(&budget, 5000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_makes_a_valid_answer),
        cmocka_unit_test(a_message_of_ones_own_is_escaped),
        cmocka_unit_test(a_budget_is_a_burst_and_one_more_each_second),
    };

    return cmocka_run_group_tests_name("proto refusal", tests, NULL, NULL);
}
