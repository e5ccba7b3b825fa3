/*
 * The link's batches: every record there and back, against msgpack-c in both directions, and between versions.
 */
#include "tests/unit/proto/wire_shapes.h"

static void every_record_comes_back_as_it_was(void **state)
{
    struct wire_batch batch = {0};

    (void)state;
    for (size_t seed = 0; seed < sizeof numbers / sizeof *numbers; seed++) {
        struct wire_reader reader;
        struct bytes bytes;
        union record expected, got;
        unsigned type;

        wire_batch_clear(&batch);
        for (size_t i = 0; i < SHAPES; i++) {
            fill(&shapes[i], &expected, seed);
            shapes[i].put(&batch, &expected);
        }
        bytes = wire_batch_finish(&batch, 0x1122334455667788, seed, UINT64_MAX);
        assert_int_equal(wire_reader_open(&reader, bytes), 0);
        assert_int_equal(reader.link, 0x1122334455667788);
        assert_int_equal(reader.number, seed);
        assert_int_equal(reader.acknowledged, UINT64_MAX);
        for (size_t i = 0; i < SHAPES; i++) {
            assert_int_equal(wire_reader_next(&reader, &type), 1);
            assert_int_equal(type, shapes[i].number);
            assert_string_equal(wire_type_name(type), shapes[i].name);
            assert_int_equal(shapes[i].get(&reader, &got), 0);
            fill(&shapes[i], &expected, seed);
            assert_same_record(&shapes[i], &got, &expected);
        }
        assert_int_equal(wire_reader_next(&reader, &type), 0);
        assert_int_equal(wire_reader_next(&reader, &type), 0);
    }
    wire_batch_done(&batch);
}

static void records_may_be_left_unread(void **state)
{
    struct wire_batch batch = {0};
    struct wire_reader reader;
    unsigned type;

    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        union record record;

        fill(&shapes[i], &record, 3);
        shapes[i].put(&batch, &record);
    }
    assert_int_equal(wire_reader_open(&reader, wire_batch_finish(&batch, 1, 1, 0)), 0);
    for (size_t i = 0; i < SHAPES; i++) {
        assert_int_equal(wire_reader_next(&reader, &type), 1);
        assert_int_equal(type, shapes[i].number);
    }
    assert_int_equal(wire_reader_next(&reader, &type), 0);
    wire_batch_done(&batch);
}

static void numbers_name_one_type_each(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(shapes[i].number, shapes[j].number);
    assert_null(wire_type_name(0));
    assert_null(wire_type_name(31));
    assert_null(wire_type_name(65536 + 1));
}

/* -- against msgpack-c ----------------------------------------------------------------------- */

static struct bytes text_of(msgpack_object object)
{
    assert_int_equal(object.type, MSGPACK_OBJECT_STR);
    return bytes_make(object.via.str.ptr, object.via.str.size);
}

static uint64_t number_of(msgpack_object object)
{
    assert_int_equal(object.type, MSGPACK_OBJECT_POSITIVE_INTEGER);
    return object.via.u64;
}

static void another_reader_understands_what_is_written(void **state)
{
    struct wire_batch batch = {0};
    msgpack_unpacked unpacked;
    msgpack_object_array records;
    struct bytes bytes;
    size_t offset = 0;
    const size_t seed = 1;

    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        union record record;

        fill(&shapes[i], &record, seed);
        shapes[i].put(&batch, &record);
    }
    bytes = wire_batch_finish(&batch, 5, 6, 7);
    msgpack_unpacked_init(&unpacked);
    assert_int_equal(msgpack_unpack_next(&unpacked, bytes.data, bytes.length, &offset),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(offset, bytes.length);
    assert_int_equal(unpacked.data.type, MSGPACK_OBJECT_ARRAY);
    assert_int_equal(unpacked.data.via.array.size, 5);
    assert_int_equal(number_of(unpacked.data.via.array.ptr[0]), WIRE_MAJOR);
    assert_int_equal(number_of(unpacked.data.via.array.ptr[1]), 5);
    assert_int_equal(number_of(unpacked.data.via.array.ptr[2]), 6);
    assert_int_equal(number_of(unpacked.data.via.array.ptr[3]), 7);
    assert_int_equal(unpacked.data.via.array.ptr[4].type, MSGPACK_OBJECT_ARRAY);
    records = unpacked.data.via.array.ptr[4].via.array;
    assert_int_equal(records.size, SHAPES);
    for (size_t i = 0; i < SHAPES; i++) {
        msgpack_object_array record;
        union record expected;

        fill(&shapes[i], &expected, seed);
        assert_int_equal(records.ptr[i].type, MSGPACK_OBJECT_ARRAY);
        record = records.ptr[i].via.array;
        assert_int_equal(record.size, 1 + shapes[i].count);
        assert_int_equal(number_of(record.ptr[0]), shapes[i].number);
        for (size_t f = 0; f < shapes[i].count; f++) {
            struct field field = shapes[i].fields[f];
            msgpack_object object = record.ptr[f + 1];

            if (field.kind == FIELD_U64)
                assert_int_equal(number_of(object), *number_in(&expected, field));
            else if (field.kind == FIELD_TEXT)
                assert_true(bytes_equal(text_of(object), *text_in(&expected, field)));
            else if (field.kind == FIELD_BLOBS) {
                assert_int_equal(object.type, MSGPACK_OBJECT_ARRAY);
                assert_int_equal(object.via.array.size, 2);
                for (size_t b = 0; b < 2; b++)
                    assert_int_equal(object.via.array.ptr[b].type, MSGPACK_OBJECT_BIN);
                assert_int_equal(object.via.array.ptr[0].via.bin.size, 2);
                assert_memory_equal(object.via.array.ptr[0].via.bin.ptr, "\0\xff", 2);
                assert_int_equal(object.via.array.ptr[1].via.bin.size, 0);
            } else {
                assert_int_equal(object.type, MSGPACK_OBJECT_ARRAY);
                assert_int_equal(object.via.array.size, 3);
                assert_int_equal(number_of(object.via.array.ptr[0]), 300);
                assert_true(bytes_equal_text(text_of(object.via.array.ptr[1]), "name"));
                assert_int_equal(number_of(object.via.array.ptr[2]), 7);
            }
        }
    }
    msgpack_unpacked_destroy(&unpacked);
    wire_batch_done(&batch);
}

static void what_another_writer_packs_is_read(void **state)
{
    (void)state;
    for (size_t seed = 0; seed < 2 * sizeof numbers / sizeof *numbers; seed++) {
        bool as_bin = seed % 2;
        struct wire_reader reader;
        struct foreign foreign;
        unsigned type;

        foreign_begin(&foreign, 5, WIRE_MAJOR, SHAPES);
        for (size_t i = 0; i < SHAPES; i++)
            pack_record(&foreign.pack, &shapes[i], seed, as_bin);
        assert_int_equal(wire_reader_open(&reader, bytes_make(foreign.buffer.data, foreign.buffer.size)), 0);
        assert_int_equal(reader.link, 11);
        assert_int_equal(reader.number, 12);
        assert_int_equal(reader.acknowledged, 13);
        for (size_t i = 0; i < SHAPES; i++) {
            union record got, expected;

            assert_int_equal(wire_reader_next(&reader, &type), 1);
            assert_int_equal(type, shapes[i].number);
            assert_int_equal(shapes[i].get(&reader, &got), 0);
            fill(&shapes[i], &expected, seed);
            for (size_t f = 0; f < shapes[i].count; f++)
                if (shapes[i].fields[f].kind == FIELD_LIST)
                    *text_in(&expected, shapes[i].fields[f]) = BYTES("\x91\xcd\x01\x2c");
                else if (shapes[i].fields[f].kind == FIELD_BLOBS)
                    *text_in(&expected, shapes[i].fields[f]) = BYTES("\x91\xc4\x01\xff");
            assert_same_record(&shapes[i], &got, &expected);
        }
        assert_int_equal(wire_reader_next(&reader, &type), 0);
        msgpack_sbuffer_destroy(&foreign.buffer);
    }
}

/* -- growth ---------------------------------------------------------------------------------- */

/* One value of every kind that msgpack has. */
enum { EVERY_KIND = 38 };

static void pack_every_kind(msgpack_packer *pack)
{
    static const size_t texts[] = {0, 31, 255, 256, 65536}, bins[] = {0, 255, 256, 65536};
    static const size_t extensions[] = {1, 2, 4, 8, 16, 3, 256, 65536};
    static const size_t arrays[] = {0, 15, 16, 65536}, maps[] = {0, 15, 16, 65536};

    msgpack_pack_nil(pack);
    msgpack_pack_true(pack);
    msgpack_pack_false(pack);
    msgpack_pack_fix_uint8(pack, 200);
    msgpack_pack_fix_uint16(pack, 200);
    msgpack_pack_fix_uint32(pack, 200);
    msgpack_pack_fix_uint64(pack, 200);
    msgpack_pack_fix_int8(pack, -1);
    msgpack_pack_fix_int16(pack, -1);
    msgpack_pack_fix_int32(pack, -1);
    msgpack_pack_fix_int64(pack, -1);
    msgpack_pack_float(pack, 1.5F);
    msgpack_pack_double(pack, 1.5);
    for (size_t i = 0; i < 5; i++)
        msgpack_pack_str_with_body(pack, letters, texts[i]);
    for (size_t i = 0; i < 4; i++)
        msgpack_pack_bin_with_body(pack, letters, bins[i]);
    for (size_t i = 0; i < 8; i++)
        msgpack_pack_ext_with_body(pack, letters, extensions[i], (int8_t)-1);
    for (size_t i = 0; i < 4; i++) {
        msgpack_pack_array(pack, arrays[i]);
        for (size_t n = 0; n < arrays[i]; n++)
            msgpack_pack_int(pack, -1);
    }
    for (size_t i = 0; i < 4; i++) {
        msgpack_pack_map(pack, maps[i]);
        for (size_t n = 0; n < 2 * maps[i]; n++)
            msgpack_pack_int(pack, 1);
    }
}

static void fields_of_later_versions_are_passed_over(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        struct foreign foreign;
        union record record;

        foreign_begin(&foreign, 5, WIRE_MAJOR, 2);
        fill(&shapes[i], &record, 1);
        msgpack_pack_array(&foreign.pack, 1 + shapes[i].count + EVERY_KIND);
        msgpack_pack_unsigned_int(&foreign.pack, shapes[i].number);
        for (size_t f = 0; f < shapes[i].count; f++)
            pack_field(&foreign.pack, &record, shapes[i].fields[f], false);
        pack_every_kind(&foreign.pack);
        pack_record(&foreign.pack, &shapes[SHAPES - 1], 1, false);
        assert_int_equal(foreign_read(&foreign), 2);
    }
}

static void records_of_later_versions_are_passed_over(void **state)
{
    struct foreign foreign;

    (void)state;
    foreign_begin(&foreign, 6, WIRE_MAJOR, 3); /* and a part of the batch that is not known yet */
    msgpack_pack_array(&foreign.pack, 1 + EVERY_KIND);
    msgpack_pack_unsigned_int(&foreign.pack, 200);
    pack_every_kind(&foreign.pack);
    msgpack_pack_array(&foreign.pack, 1);
    msgpack_pack_unsigned_int(&foreign.pack, 65535);
    pack_record(&foreign.pack, &shapes[0], 1, false);
    msgpack_pack_map(&foreign.pack, 1);
    msgpack_pack_nil(&foreign.pack);
    msgpack_pack_nil(&foreign.pack);
    assert_int_equal(foreign_read(&foreign), 3);
}

static void fields_that_an_older_program_lacks_read_as_empty(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        for (size_t present = 0; present <= shapes[i].count; present++) {
            bool whole = present == shapes[i].count ||
                         (present + 1 == shapes[i].count && shapes[i].fields[present].kind == FIELD_BLOBS);
            struct wire_reader reader;
            struct foreign foreign;
            union record sent, got, untouched;
            unsigned type;

            foreign_begin(&foreign, 5, WIRE_MAJOR, 1);
            fill(&shapes[i], &sent, 1);
            msgpack_pack_array(&foreign.pack, 1 + present);
            msgpack_pack_unsigned_int(&foreign.pack, shapes[i].number);
            for (size_t f = 0; f < present; f++)
                pack_field(&foreign.pack, &sent, shapes[i].fields[f], false);
            assert_int_equal(wire_reader_open(&reader, bytes_make(foreign.buffer.data, foreign.buffer.size)),
                             0);
            assert_int_equal(wire_reader_next(&reader, &type), 1);
            memset(&got, 0x55, sizeof got);
            untouched = got;
            assert_int_equal(shapes[i].get(&reader, &got), whole ? 0 : ERROR_MALFORMED);
            if (!whole)
                assert_memory_equal(&got, &untouched, sizeof got);
            assert_int_equal(wire_reader_open(&reader, bytes_make(foreign.buffer.data, foreign.buffer.size)),
                             0);
            reader.lenient = true;
            assert_int_equal(wire_reader_next(&reader, &type), 1);
            assert_int_equal(shapes[i].get(&reader, &got), 0);
            for (size_t f = 0; f < shapes[i].count; f++) {
                struct field field = shapes[i].fields[f];

                if (field.kind == FIELD_U64)
                    assert_int_equal(*number_in(&got, field), f < present ? *number_in(&sent, field) : 0);
                else if (f >= present)
                    assert_int_equal(text_in(&got, field)->length, 0);
                else
                    assert_int_not_equal(text_in(&got, field)->length == 0,
                                         text_in(&sent, field)->length != 0);
            }
            assert_int_equal(wire_reader_next(&reader, &type), 0);
            msgpack_sbuffer_destroy(&foreign.buffer);
        }
    }
}

static void one_minor_version_apart_fits(void **state)
{
    (void)state;
    assert_true(wire_minor_fits(WIRE_MINOR));
    assert_true(wire_minor_fits(WIRE_MINOR + 1));
    assert_false(wire_minor_fits(WIRE_MINOR + 2));
    assert_false(wire_minor_fits(UINT64_MAX));
    assert_true(WIRE_MINOR == 0 || wire_minor_fits(WIRE_MINOR - 1));
    assert_true(WIRE_MINOR < 2 || !wire_minor_fits(WIRE_MINOR - 2));
}

static void another_version_is_told_apart_from_rubbish(void **state)
{
    struct foreign foreign;

    (void)state;
    foreign_begin(&foreign, 5, WIRE_MAJOR + 1, 0);
    assert_int_equal(foreign_read(&foreign), ERROR_UNSUPPORTED);
    assert_int_equal(read_exact("\x91\x02", 2), ERROR_UNSUPPORTED); /* whatever shape it takes */
    assert_int_equal(wire_major(BYTES("\x91\x02")), 2);
    assert_int_equal(wire_major(BYTES("\x92\xcd\x01\x00\xc0")), 256);
    assert_int_equal(wire_major(BYTES("\x91")), 0);
    assert_int_equal(read_exact("\x91\x00", 2), ERROR_UNSUPPORTED);
    assert_int_equal(read_exact("\x91\x01", 2), ERROR_MALFORMED);
    assert_int_equal(read_exact("\x90", 1), ERROR_MALFORMED);
    assert_int_equal(read_exact("", 0), ERROR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_comes_back_as_it_was),
        cmocka_unit_test(records_may_be_left_unread),
        cmocka_unit_test(numbers_name_one_type_each),
        cmocka_unit_test(another_reader_understands_what_is_written),
        cmocka_unit_test(what_another_writer_packs_is_read),
        cmocka_unit_test(fields_of_later_versions_are_passed_over),
        cmocka_unit_test(records_of_later_versions_are_passed_over),
        cmocka_unit_test(fields_that_an_older_program_lacks_read_as_empty),
        cmocka_unit_test(one_minor_version_apart_fits),
        cmocka_unit_test(another_version_is_told_apart_from_rubbish),
    };

    return cmocka_run_group_tests_name("proto wire", tests, set_up, tear_down);
}
