/* What a hostile peer could send in place of a batch. */
#include "tests/unit/proto/wire_shapes.h"

static void a_batch_cut_anywhere_is_malformed(void **state)
{
    struct wire_batch batch = {0};
    struct bytes bytes;

    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        union record record;

        fill(&shapes[i], &record, 1);
        for (size_t f = 0; f < shapes[i].count; f++) /* short ones: each cut is read from the start */
            if (shapes[i].fields[f].kind == FIELD_TEXT)
                *text_in(&record, shapes[i].fields[f]) = bytes_make(letters, 33);
        shapes[i].put(&batch, &record);
    }
    bytes = wire_batch_finish(&batch, 1, 2, 3);
    assert_int_equal(read_exact(bytes.data, bytes.length), SHAPES);
    for (size_t length = 0; length < bytes.length; length++)
        assert_int_equal(read_exact(bytes.data, length), ERROR_MALFORMED);
    wire_batch_done(&batch);
}

static void bytes_behind_the_batch_are_malformed(void **state)
{
    struct foreign foreign;

    (void)state;
    foreign_begin(&foreign, 5, WIRE_MAJOR, 1);
    pack_record(&foreign.pack, &shapes[0], 1, false);
    msgpack_pack_nil(&foreign.pack);
    assert_int_equal(foreign_read(&foreign), ERROR_MALFORMED);
}

static void lengths_that_lie_cost_nothing(void **state)
{
    /* What stands at the place of a record, of its first field, or behind a record that is passed over. */
    static const struct bytes liars[] = {
        BYTES("\xdd\xff\xff\xff\xff"), /* an array of 2^32 - 1 */
        BYTES("\xdc\xff\xff"),
        BYTES("\x9f"),
        BYTES("\xdb\xff\xff\xff\xff"), /* a text of 2^32 - 1 bytes */
        BYTES("\xda\xff\xff"),
        BYTES("\xd9\xff"),
        BYTES("\xbf"),
        BYTES("\xc6\xff\xff\xff\xff"), /* bin */
        BYTES("\xc5\xff\xff"),
        BYTES("\xc4\xff"),
        BYTES("\xc9\xff\xff\xff\xff"), /* ext */
        BYTES("\xc8\xff\xff"),
        BYTES("\xc7\xff"),
        BYTES("\xd8"),
        BYTES("\xdf\xff\xff\xff\xff"), /* a map */
        BYTES("\xde\xff\xff"),
        BYTES("\x8f"),
        BYTES("\xc1"), /* no kind at all */
        BYTES("\xcb\x01"),
        BYTES("\xd3\x01"),
    };
    static const struct bytes heads[] = {
        BYTES("\x95\x01\x01\x01\x00\x91"),         /* a record */
        BYTES("\x95\x01\x01\x01\x00\x91\x92\x01"), /* HELLO's name */
        BYTES("\x95\x01\x01\x01\x00\x91\x92\x03"), /* MEMBERS' namespace */
        BYTES("\x95\x01\x01\x01\x00\x91\x92\x0c"), /* STATISTICS' list */
        BYTES("\x95\x01\x01\x01\x00\x92\x92\xcc\xc8"),
        BYTES("\x95\x01\x01\x01\x00"), /* the records themselves */
        BYTES("\x95\x01\x01\x01"),
        BYTES("\x95\x01"),
        BYTES("\x95"),
        BYTES(""),
    };

    (void)state;
    for (size_t h = 0; h < sizeof heads / sizeof *heads; h++)
        for (size_t l = 0; l < sizeof liars / sizeof *liars; l++) {
            char bytes[32];

            memcpy(bytes, heads[h].data, heads[h].length);
            memcpy(bytes + heads[h].length, liars[l].data, liars[l].length);
            assert_int_equal(read_exact(bytes, heads[h].length + liars[l].length), ERROR_MALFORMED);
        }
}

/* Packs something that a field of the kind can't be. */
static void pack_wrong(msgpack_packer *pack, enum field_kind kind, size_t variant)
{
    switch (variant) {
    case 0:
        msgpack_pack_nil(pack);
        break;
    case 1:
        msgpack_pack_int(pack, -1);
        break;
    case 2:
        msgpack_pack_true(pack);
        break;
    case 3:
        msgpack_pack_double(pack, 1.0);
        break;
    case 4:
        msgpack_pack_map(pack, 0);
        break;
    case 5:
        msgpack_pack_fix_int64(pack, 1); /* numbers are unsigned */
        break;
    default:
        if (kind == FIELD_U64)
            msgpack_pack_str_with_body(pack, "7", 1);
        else
            msgpack_pack_unsigned_int(pack, 7);
    }
}

static void a_field_of_the_wrong_kind_or_absent_is_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        for (size_t wrong = 0; wrong < shapes[i].count; wrong++) {
            for (size_t variant = 0; variant < 8; variant++) {
                const bool absent = variant == 7;
                if (absent && shapes[i].fields[wrong].kind == FIELD_BLOBS)
                    continue;
                struct wire_reader reader;
                struct foreign foreign;
                union record record, out, before;
                unsigned type;

                fill(&shapes[i], &record, 1);
                foreign_begin(&foreign, 5, WIRE_MAJOR, 1);
                msgpack_pack_array(&foreign.pack, absent ? 1 + wrong : 1 + shapes[i].count);
                msgpack_pack_unsigned_int(&foreign.pack, shapes[i].number);
                for (size_t f = 0; f < (absent ? wrong : shapes[i].count); f++)
                    if (f == wrong)
                        pack_wrong(&foreign.pack, shapes[i].fields[f].kind, variant);
                    else
                        pack_field(&foreign.pack, &record, shapes[i].fields[f], false);
                memset(&out, 0x5a, sizeof out);
                memcpy(&before, &out, sizeof before);
                assert_int_equal(
                    wire_reader_open(&reader, bytes_make(foreign.buffer.data, foreign.buffer.size)), 0);
                assert_int_equal(wire_reader_next(&reader, &type), 1);
                assert_int_equal(shapes[i].get(&reader, &out), ERROR_MALFORMED);
                assert_memory_equal(&out, &before, sizeof out);
                msgpack_sbuffer_destroy(&foreign.buffer);
            }
        }
    }
}

static void a_record_without_a_type_is_malformed(void **state)
{
    static const struct bytes records[] = {
        BYTES("\x90"),
        BYTES("\x91\xc0"),
        BYTES("\x91\xff"),
        BYTES("\x91\xa1z"),
        BYTES("\x07"),
        BYTES("\x81\x01\x01"),
        BYTES("\x91\xce\x00\x01\x00\x01"), /* 65537 is not taken for 1 */
    };

    (void)state;
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        char bytes[16] = "\x95\x01\x01\x01\x00\x91";

        memcpy(bytes + 6, records[i].data, records[i].length);
        assert_int_equal(read_exact(bytes, 6 + records[i].length), ERROR_MALFORMED);
    }
}

static void nesting_has_a_limit(void **state)
{
    enum { ALLOWED = 7 };

    (void)state;
    for (size_t depth = 1; depth < 200; depth++) {
        int expected = depth <= ALLOWED ? 1 : ERROR_MALFORMED;
        struct foreign arrays, maps;

        foreign_begin(&arrays, 5, WIRE_MAJOR, 1);
        foreign_begin(&maps, 5, WIRE_MAJOR, 1);
        msgpack_pack_array(&arrays.pack, 2);
        msgpack_pack_array(&maps.pack, 2);
        msgpack_pack_unsigned_int(&arrays.pack, 200);
        msgpack_pack_unsigned_int(&maps.pack, 200);
        for (size_t i = 0; i < depth; i++) {
            msgpack_pack_array(&arrays.pack, 1);
            msgpack_pack_map(&maps.pack, 1);
            msgpack_pack_nil(&maps.pack);
        }
        msgpack_pack_nil(&arrays.pack);
        msgpack_pack_nil(&maps.pack);
        assert_int_equal(foreign_read(&arrays), expected);
        assert_int_equal(foreign_read(&maps), expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_cut_anywhere_is_malformed),
        cmocka_unit_test(bytes_behind_the_batch_are_malformed),
        cmocka_unit_test(lengths_that_lie_cost_nothing),
        cmocka_unit_test(a_field_of_the_wrong_kind_or_absent_is_malformed),
        cmocka_unit_test(a_record_without_a_type_is_malformed),
        cmocka_unit_test(nesting_has_a_limit),
    };

    return cmocka_run_group_tests_name("proto wire grammar", tests, set_up, tear_down);
}
