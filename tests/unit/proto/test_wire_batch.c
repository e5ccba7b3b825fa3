/* The link's batches as containers: records that are cut out, memory, heartbeats; and the lists in records.
 */
#include "proto/wire.h"

#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static char letters[65536];

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof letters; i++)
        letters[i] = (char)('a' + i % 26);
    return 0;
}

static void a_record_can_be_cut_out_and_put_into_another_batch(void **state)
{
    struct wire_batch from = {0}, to = {0};
    struct wire_reader reader;
    struct wire_join join;
    unsigned type;
    size_t mark;
    char *record;
    size_t length;

    (void)state;
    for (int pass = 0; pass < 2; pass++) { /* as a batch's first record, and behind another */
        wire_batch_clear(&from);
        if (pass)
            wire_put_position(&from, &(struct wire_position){.pos = 1});
        mark = wire_batch_mark(&from);
        wire_put_join(&from, &(struct wire_join){.request = 9, .socket = 8, .room = BYTES("r"), .watch = 1});
        length = from.buffer.length - mark;
        record = memory_new(length);
        memcpy(record, from.buffer.data + mark, length);

        wire_reader_open_record(&reader, bytes_make(record, length));
        assert_int_equal(wire_reader_next(&reader, &type), 1);
        assert_int_equal(type, WIRE_TYPE_JOIN);
        assert_int_equal(wire_get_join(&reader, &join), 0);
        assert_int_equal(join.request, 9);
        assert_int_equal(wire_reader_next(&reader, &type), 0);

        wire_batch_clear(&to);
        wire_batch_append_encoded(&to, bytes_make(record, length));
        assert_int_equal(wire_reader_open(&reader, wire_batch_finish(&to, 1, 1, 0)), 0);
        assert_int_equal(wire_reader_next(&reader, &type), 1);
        assert_int_equal(type, WIRE_TYPE_JOIN);
        assert_int_equal(wire_get_join(&reader, &join), 0);
        assert_int_equal(join.socket, 8);
        assert_int_equal(join.watch, 1);
        assert_true(bytes_equal_text(join.room, "r"));
        assert_int_equal(wire_reader_next(&reader, &type), 0);
        free(record);
    }
    wire_batch_done(&from);
    wire_batch_done(&to);
}

static void a_batch_without_records_is_a_heartbeat(void **state)
{
    struct wire_batch batch = {0};
    struct wire_reader reader;
    struct bytes bytes;
    unsigned type;

    (void)state;
    assert_int_equal(wire_batch_size(&batch), 0);
    bytes = wire_batch_finish(&batch, 1, 2, 3);
    assert_int_equal(bytes.length, WIRE_HEADER_SIZE);
    assert_int_equal(wire_batch_size(&batch), 0);
    assert_int_equal(wire_reader_open(&reader, bytes), 0);
    assert_int_equal(wire_reader_next(&reader, &type), 0);
    wire_batch_done(&batch);
}

static void a_cleared_batch_gives_large_memory_back(void **state)
{
    struct wire_batch batch = {0};

    (void)state;
    for (int i = 0; i < 100; i++)
        wire_put_answer(&batch, &(struct wire_answer){.answer = bytes_make(letters, sizeof letters)});
    assert_true(batch.buffer.capacity > 4 << 20);
    wire_batch_clear(&batch);
    assert_int_equal(batch.buffer.capacity, 0);
    assert_int_equal(batch.records, 0);
    wire_put_live(&batch, &(struct wire_live){.pos = 1});
    wire_batch_clear(&batch);
    assert_true(batch.buffer.capacity > 0);
    assert_int_equal(wire_batch_size(&batch), 0);
    wire_batch_done(&batch);
}

static void lists_are_walked_and_end(void **state)
{
    struct wire_list list = {0};
    struct wire_reader reader;
    struct bytes text;
    uint64_t number;

    (void)state;
    assert_int_equal(wire_list_finish(&list).length, 0);
    for (int pass = 0; pass < 2; pass++) {
        for (uint64_t i = 0; i < 1000; i++) {
            wire_list_put_u64(&list, i * i);
            wire_list_put_text(&list, bytes_make(letters, i % 40));
        }
        assert_int_equal(wire_list_open(&reader, wire_list_finish(&list)), 2000);
        for (uint64_t i = 0; i < 1000; i++) {
            assert_int_equal(wire_list_u64(&reader, &number), 0);
            assert_int_equal(number, i * i);
            assert_int_equal(wire_list_text(&reader, &text), 0);
            assert_true(bytes_equal(text, bytes_make(letters, i % 40)));
        }
        assert_int_equal(wire_list_u64(&reader, &number), ERROR_MALFORMED);
        assert_int_equal(wire_list_text(&reader, &text), ERROR_MALFORMED);
        wire_list_clear(&list);
        assert_int_equal(wire_list_finish(&list).length, 0);
    }
    assert_int_equal(wire_list_open(&reader, BYTES("\xdd\xff\xff\xff\xff")), ERROR_MALFORMED);
    assert_int_equal(wire_list_open(&reader, (struct bytes){0}), 0); /* blobs that were left out */
    assert_int_equal(wire_list_text(&reader, &text), ERROR_MALFORMED);
    assert_int_equal(wire_list_open(&reader, BYTES("\x81\x01\x01")), ERROR_MALFORMED);
    wire_list_done(&list);
}

static void blobs_are_bins_and_nothing_else(void **state)
{
    static const struct {
        struct bytes field;
        int count; /* or the error */
    } cases[] = {
        {{"\x90", 1}, 0},
        {{"\x92\xc4\x01\xff\xa1\x61", 6}, 2}, /* and texts, as other writers may have it */
        {{"\x91\x07", 2}, ERROR_MALFORMED},
        {{"\x92\xc4\x01\xff\xc0", 5}, ERROR_MALFORMED},
        {{"\x91\x91\xc4\x01\xff", 5}, ERROR_MALFORMED},
        {{"\x91\xc4\x02\xff", 4}, ERROR_MALFORMED},
        {{"\xdd\xff\xff\xff\xff", 5}, ERROR_MALFORMED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire_reader reader, list;
        struct wire_answer answer;
        struct buffer record = {0};
        unsigned type;

        buffer_append_literal(&record, "\x94\x26\x07\xa2[]"); /* ANSWER, its request and answer */
        buffer_append_bytes(&record, cases[i].field);
        wire_reader_open_record(&reader, buffer_bytes(&record));
        assert_int_equal(wire_reader_next(&reader, &type), 1);
        assert_int_equal(type, WIRE_TYPE_ANSWER);
        if (cases[i].count < 0) {
            assert_int_equal(wire_get_answer(&reader, &answer), cases[i].count);
        } else {
            assert_int_equal(wire_get_answer(&reader, &answer), 0);
            assert_int_equal(wire_list_open(&list, answer.attachments), cases[i].count);
            assert_int_equal(wire_reader_next(&reader, &type), 0);
        }
        buffer_done(&record);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_can_be_cut_out_and_put_into_another_batch),
        cmocka_unit_test(a_batch_without_records_is_a_heartbeat),
        cmocka_unit_test(a_cleared_batch_gives_large_memory_back),
        cmocka_unit_test(lists_are_walked_and_end),
        cmocka_unit_test(blobs_are_bins_and_nothing_else),
    };

    return cmocka_run_group_tests_name("proto wire batch", tests, set_up, NULL);
}
