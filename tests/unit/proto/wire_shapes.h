/*
 * Every record of the link by its shape, from the table of wire.h, and batches that msgpack-c wrote: for the
 * tests of batches.  A new record is tested without a line here.
 */
#ifndef HUBBUB_TESTS_UNIT_PROTO_WIRE_SHAPES_H
#define HUBBUB_TESTS_UNIT_PROTO_WIRE_SHAPES_H

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

static inline int collect_shapes(void **state)
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

static inline uint64_t *number_in(union record *record, struct field field)
{
    return (uint64_t *)(void *)(record->bytes + field.offset);
}

static inline struct bytes *text_in(union record *record, struct field field)
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
static inline void fill(const struct shape *shape, union record *record, size_t seed)
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

static inline void assert_same_record(const struct shape *shape, union record *got, union record *expected)
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

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
{
    (void)state;
    wire_list_done(&sample_list);
    wire_list_done(&sample_blobs);
    return 0;
}

/* Reads a whole batch, every record and every list in it.  The number of records, or the error. */
static inline int read_all(struct bytes batch)
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
static inline int read_exact(const char *data, size_t length)
{
    char *copy = memory_new(length ? length : 1);
    int result;

    memcpy(copy, data, length);
    result = read_all(bytes_make(copy, length));
    free(copy);
    return result;
}

/* A batch that msgpack-c writes. */
struct foreign {
    msgpack_sbuffer buffer;
    msgpack_packer pack;
};

static inline void foreign_begin(struct foreign *foreign, size_t parts, uint64_t version, size_t records)
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
static inline int foreign_read(struct foreign *foreign)
{
    int result = read_exact(foreign->buffer.data, foreign->buffer.size);

    msgpack_sbuffer_destroy(&foreign->buffer);
    return result;
}

static inline void pack_field(msgpack_packer *pack, union record *record, struct field field, bool as_bin)
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

static inline void pack_record(msgpack_packer *pack, const struct shape *shape, size_t seed, bool as_bin)
{
    union record record;

    fill(shape, &record, seed);
    msgpack_pack_array(pack, 1 + shape->count);
    msgpack_pack_unsigned_int(pack, shape->number);
    for (size_t i = 0; i < shape->count; i++)
        pack_field(pack, &record, shape->fields[i], as_bin);
}

#endif
