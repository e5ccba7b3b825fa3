/* Growable bytes: growth keeps what is there, and consuming keeps the rest. */
#include "tests/unit/common/test.h"

#include "common/buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void assert_holds(const struct buffer *buffer, const char *text)
{
    assert_true(bytes_equal_text(buffer_bytes(buffer), text));
}

static void zero_is_empty_and_done_leaves_it_usable(void **state)
{
    struct buffer buffer = {0};

    (void)state;
    buffer_append(&buffer, NULL, 0);
    assert_int_equal(buffer.length, 0);
    buffer_append_text(&buffer, "one");
    buffer_done(&buffer);
    assert_int_equal(buffer.length, 0);
    assert_int_equal(buffer.capacity, 0);
    buffer_append_text(&buffer, "two");
    assert_holds(&buffer, "two");
    buffer_done(&buffer);
}

static void every_way_of_appending_adds_its_bytes(void **state)
{
    struct buffer buffer = {0};

    (void)state;
    buffer_append_literal(&buffer, "a\0b");
    assert_int_equal(buffer.length, 3);
    buffer_clear(&buffer);
    buffer_append_char(&buffer, '<');
    buffer_append_u64(&buffer, 0);
    buffer_append_char(&buffer, ' ');
    buffer_append_u64(&buffer, UINT64_MAX);
    buffer_append_bytes(&buffer, BYTES("|"));
    buffer_printf(&buffer, "%s-%d", "text", -7);
    assert_holds(&buffer, "<0 18446744073709551615|text--7");
    buffer_done(&buffer);
}

static void numbers_of_every_length_are_decimal(void **state)
{
    static const uint64_t factors[] = {1, 2, 7, 9};
    struct buffer buffer = {0};

    (void)state;
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        uint64_t power = 1;

        for (unsigned digits = 1; digits <= 19; digits++, power *= 10) {
            for (int near = -1; near <= 1; near++) {
                uint64_t value = power * factors[i] + (uint64_t)near;
                char want[24];

                snprintf(want, sizeof want, "%llu", (unsigned long long)value);
                buffer_clear(&buffer);
                buffer_append_u64(&buffer, value);
                assert_holds(&buffer, want);
            }
        }
    }
    buffer_done(&buffer);
}

static void growth_keeps_what_is_there(void **state)
{
    struct buffer buffer = {0};

    (void)state;
    for (unsigned i = 0; i < 100000; i++)
        buffer_append_char(&buffer, (char)('a' + i % 26));
    assert_int_equal(buffer.length, 100000);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(buffer.data[i], 'a' + i % 26);
    buffer_done(&buffer);
}

static void reserved_room_becomes_length_by_extend(void **state)
{
    struct buffer buffer = {0};
    char *room;

    (void)state;
    buffer_append_text(&buffer, "head ");
    room = buffer_reserve(&buffer, 1000);
    assert_int_equal(buffer.length, 5);
    memcpy(room, "tail", 4);
    buffer_extend(&buffer, 4);
    assert_holds(&buffer, "head tail");
    buffer_done(&buffer);
}

/* A null pointer to begin at, though nothing is written there, is undefined behaviour in its users. */
static void room_for_nothing_is_somewhere(void **state)
{
    struct buffer buffer = {0};

    (void)state;
    assert_non_null(buffer_reserve(&buffer, 0));
    assert_int_equal(buffer.length, 0);
    buffer_done(&buffer);
}

static void printf_longer_than_the_room_is_whole(void **state)
{
    struct buffer buffer = {0};

    (void)state;
    buffer_printf(&buffer, "%0500d", 1);
    buffer_printf(&buffer, "%0500d", 2);
    assert_int_equal(buffer.length, 1000);
    assert_int_equal(buffer.data[499], '1');
    assert_int_equal(buffer.data[999], '2');
    buffer_done(&buffer);
}

static void consume_drops_from_the_front(void **state)
{
    struct buffer buffer = {0};

    (void)state;
    buffer_append_text(&buffer, "abcdef");
    buffer_consume(&buffer, 0);
    assert_holds(&buffer, "abcdef");
    buffer_consume(&buffer, 2);
    assert_holds(&buffer, "cdef");
    buffer_consume(&buffer, 4);
    assert_int_equal(buffer.length, 0);
    buffer_done(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_is_empty_and_done_leaves_it_usable),
        cmocka_unit_test(every_way_of_appending_adds_its_bytes),
        cmocka_unit_test(numbers_of_every_length_are_decimal),
        cmocka_unit_test(growth_keeps_what_is_there),
        cmocka_unit_test(reserved_room_becomes_length_by_extend),
        cmocka_unit_test(room_for_nothing_is_somewhere),
        cmocka_unit_test(printf_longer_than_the_room_is_whole),
        cmocka_unit_test(consume_drops_from_the_front),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
