/*
 * The link's batches: every record there and back, against msgpack-c in both directions, and what a hostile
 * peer could send.  The records come from the table of wire.h, so a new one is tested without a line here.
 */
#include "proto/wire.h"

#include "common/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <msgpack.h>

enum field_kind { FIELD_U64, FIELD_TEXT, FIELD_LIST, FIELD_BLOBS };
enum { FIELDS_MAX = 10, RECORD_MAX = 192 };

struct field {
    enum field_kind kind;
    size_t offset;
};

struct shape {
    const char *name;
    unsigned number;
    size_t size;
    struct field fields[FIELDS_MAX];
    size_t count;
    void (*put)(struct wire_batch *batch, const void *record);
    int (*get)(struct wire_reader *reader, void *out);
};

#define FIELD(kind, field) {FIELD_##kind, offsetof(record_type, field)},
#define COUNT(kind, field) +1
#define X(NAME, name, number, FIELDS)                                                                        \
    static void put_##name(struct wire_batch *batch, const void *record)                                     \
    {                                                                                                        \
        wire_put_##name(batch, record);                                                                      \
    }                                                                                                        \
    static int get_##name(struct wire_reader *reader, void *out)                                             \
    {                                                                                                        \
        return wire_get_##name(reader, out);                                                                 \
    }                                                                                                        \
    static struct shape shape_of_##name(void)                                                                \
    {                                                                                                        \
        typedef struct wire_##name record_type;                                                              \
        static_assert(sizeof(record_type) <= RECORD_MAX, "RECORD_MAX is too small");                         \
        return (struct shape){#NAME,           number,     sizeof(record_type), {FIELDS(FIELD)},             \
                              0 FIELDS(COUNT), put_##name, get_##name};                                      \
    }
WIRE_RECORDS(X)
#undef X

#define X(NAME, name, number, FIELDS) +1
enum { SHAPES = 0 WIRE_RECORDS(X) };
#undef X

static struct shape shapes[SHAPES];

static int collect_shapes(void **state)
{
    size_t n = 0;

    (void)state;
#define X(NAME, name, number, FIELDS) shapes[n++] = shape_of_##name();
    WIRE_RECORDS(X)
#undef X
    return 0;
}

/* A record in suitably aligned memory. */
union record {
    unsigned char bytes[RECORD_MAX];
    uint64_t alignment;
    void *pointer;
};

static uint64_t *number_in(union record *record, struct field field)
{
    return (uint64_t *)(void *)(record->bytes + field.offset);
}

static struct bytes *text_in(union record *record, struct field field)
{
    return (struct bytes *)(void *)(record->bytes + field.offset);
}

/* Numbers and lengths at which msgpack changes its form. */
static const uint64_t numbers[] = {0,       1,          127,        128,         255,
                                   256,     65535,      65536,      0xffffffffu, 0x100000000u,
                                   1234567, UINT64_MAX, 1ULL << 63, 31,          32};
static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536, 7, 100};
static char letters[65536];
static struct wire_list sample_list;
static struct wire_list sample_blobs;

/* Fills a record with values that differ from field to field and from seed to seed. */
static void fill(const struct shape *shape, union record *record, size_t seed)
{
    memset(record, 0, sizeof *record);
    for (size_t i = 0; i < shape->count; i++) {
        struct field field = shape->fields[i];

        if (field.kind == FIELD_U64)
            *number_in(record, field) = numbers[(seed + i) % (sizeof numbers / sizeof *numbers)];
        else if (field.kind == FIELD_TEXT)
            *text_in(record, field) =
                bytes_make(letters, lengths[(seed + i) % (sizeof lengths / sizeof *lengths)]);
        else if (seed % 2)
            *text_in(record, field) =
                wire_list_finish(field.kind == FIELD_LIST ? &sample_list : &sample_blobs);
    }
}

static void assert_same_record(const struct shape *shape, union record *got, union record *expected)
{
    for (size_t i = 0; i < shape->count; i++) {
        struct field field = shape->fields[i];

        if (field.kind == FIELD_U64)
            assert_int_equal(*number_in(got, field), *number_in(expected, field));
        else if (field.kind != FIELD_LIST || text_in(expected, field)->length)
            assert_true(bytes_equal(*text_in(got, field), *text_in(expected, field)));
        else /* a list of length 0 is an empty array on the wire, and blobs are left out */
            assert_true(bytes_equal(*text_in(got, field), BYTES("\x90")));
    }
}

static int set_up(void **state)
{
    for (size_t i = 0; i < sizeof letters; i++)
        letters[i] = (char)('a' + i % 26);
    wire_list_put_u64(&sample_list, 300);
    wire_list_put_text(&sample_list, BYTES("name"));
    wire_list_put_u64(&sample_list, 7);
    wire_list_put_blob(&sample_blobs, bytes_make("\0\xff", 2));
    wire_list_put_blob(&sample_blobs, BYTES(""));
    return collect_shapes(state);
}

static int tear_down(void **state)
{
    (void)state;
    wire_list_done(&sample_list);
    wire_list_done(&sample_blobs);
    return 0;
}

/* Reads a whole batch, every record and every list in it.  The number of records, or the error. */
static int read_all(struct bytes batch)
{
    struct wire_reader reader;
    unsigned type;
    int count = 0;
    int result = wire_reader_open(&reader, batch);

    if (result < 0)
        return result;
    while ((result = wire_reader_next(&reader, &type)) > 0) {
        union record record;

        for (size_t i = 0; i < SHAPES; i++) {
            if (shapes[i].number != type)
                continue;
            result = shapes[i].get(&reader, &record);
            if (result < 0)
                return result;
            for (size_t f = 0; f < shapes[i].count; f++) {
                struct wire_reader list;
                struct bytes blob;
                uint64_t number;

                if (shapes[i].fields[f].kind != FIELD_LIST && shapes[i].fields[f].kind != FIELD_BLOBS)
                    continue;
                result = wire_list_open(&list, *text_in(&record, shapes[i].fields[f]));
                if (result < 0)
                    return result;
                while (result-- > 0)
                    if (shapes[i].fields[f].kind == FIELD_BLOBS)
                        assert_int_equal(wire_list_text(&list, &blob), 0); /* it was looked through */
                    else if (wire_list_u64(&list, &number) < 0)
                        break;
            }
        }
        count++;
    }
    return result < 0 ? result : count;
}

/* The same bytes in memory that ends where they do, so that a sanitizer sees every step beyond. */
static int read_exact(const char *data, size_t length)
{
    char *copy = memory_new(length ? length : 1);
    int result;

    memcpy(copy, data, length);
    result = read_all(bytes_make(copy, length));
    free(copy);
    return result;
}

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

/* A batch that msgpack-c writes. */
struct foreign {
    msgpack_sbuffer buffer;
    msgpack_packer pack;
};

static void foreign_begin(struct foreign *foreign, size_t parts, uint64_t version, size_t records)
{
    msgpack_sbuffer_init(&foreign->buffer);
    msgpack_packer_init(&foreign->pack, &foreign->buffer, msgpack_sbuffer_write);
    msgpack_pack_array(&foreign->pack, parts);
    msgpack_pack_uint64(&foreign->pack, version);
    msgpack_pack_uint64(&foreign->pack, 11);
    msgpack_pack_uint64(&foreign->pack, 12);
    msgpack_pack_uint64(&foreign->pack, 13);
    msgpack_pack_array(&foreign->pack, records);
}

/* Reads it and frees it. */
static int foreign_read(struct foreign *foreign)
{
    int result = read_exact(foreign->buffer.data, foreign->buffer.size);

    msgpack_sbuffer_destroy(&foreign->buffer);
    return result;
}

static void pack_field(msgpack_packer *pack, union record *record, struct field field, bool as_bin)
{
    struct bytes text;

    if (field.kind == FIELD_U64) {
        msgpack_pack_uint64(pack, *number_in(record, field));
        return;
    }
    if (field.kind == FIELD_LIST) {
        msgpack_pack_array(pack, 1);
        msgpack_pack_unsigned_int(pack, 300);
        return;
    }
    if (field.kind == FIELD_BLOBS) {
        msgpack_pack_array(pack, 1);
        msgpack_pack_bin_with_body(pack, "\xff", 1);
        return;
    }
    text = *text_in(record, field);
    if (as_bin)
        msgpack_pack_bin_with_body(pack, text.data, text.length);
    else
        msgpack_pack_str_with_body(pack, text.data, text.length);
}

static void pack_record(msgpack_packer *pack, const struct shape *shape, size_t seed, bool as_bin)
{
    union record record;

    fill(shape, &record, seed);
    msgpack_pack_array(pack, 1 + shape->count);
    msgpack_pack_unsigned_int(pack, shape->number);
    for (size_t i = 0; i < shape->count; i++)
        pack_field(pack, &record, shape->fields[i], as_bin);
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

/* -- what breaks the grammar ----------------------------------------------------------------- */

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
        cmocka_unit_test(a_batch_cut_anywhere_is_malformed),
        cmocka_unit_test(bytes_behind_the_batch_are_malformed),
        cmocka_unit_test(lengths_that_lie_cost_nothing),
        cmocka_unit_test(a_field_of_the_wrong_kind_or_absent_is_malformed),
        cmocka_unit_test(a_record_without_a_type_is_malformed),
        cmocka_unit_test(nesting_has_a_limit),
    };

    return cmocka_run_group_tests_name("proto wire", tests, set_up, tear_down);
}
