/*
 * Batches and records of the link.  Used by gateway and router, and by the test tools.
 * Its one surprising rule: the header of a batch has a fixed width (WIRE_HEADER_SIZE), reserved when
 * the first record is put, so that it can be written last without moving the records.
 */
#include "proto/wire.h"

#include <msgpack/pack.h>
#include <stdlib.h>

enum {
    BATCH_PARTS = 5,
    SKIP_DEPTH = 8,          /* of a value in a field that is passed over, itself included */
    KEEP_CAPACITY = 4 << 20, /* a batch that once was larger gives its memory back */
};

static int pack_write(void *argument, const char *data, size_t length)
{
    buffer_append(argument, data, length);
    return 0;
}

static msgpack_packer packer(struct buffer *buffer)
{
    msgpack_packer result;

    msgpack_packer_init(&result, buffer, pack_write);
    return result;
}

const char *wire_type_name(unsigned type)
{
    switch (type) {
#define X(NAME, name, number, FIELDS)                                                                        \
    case number:                                                                                             \
        return #NAME;
        WIRE_RECORDS(X)
#undef X
    default:
        return NULL;
    }
}

/* -- writing ------------------------------------------------------------------------------- */

static void reserve_header(struct wire_batch *batch)
{
    if (batch->buffer.length == 0) {
        buffer_reserve(&batch->buffer, WIRE_HEADER_SIZE);
        buffer_extend(&batch->buffer, WIRE_HEADER_SIZE);
    }
}

static void put_text(msgpack_packer *pack, struct bytes text)
{
    msgpack_pack_str(pack, text.length);
    msgpack_pack_str_body(pack, text.data, text.length);
}

#define COUNT_U64(field)        1u
#define COUNT_TEXT(field)       1u
#define COUNT_LIST(field)       1u
#define COUNT_BLOBS(field)      ((field).length ? 1u : 0u)
#define COUNT_FIELD(kind, name) +COUNT_##kind(record->name)
#define PUT_BLOBS(field)        buffer_append_bytes(&batch->buffer, field);
#define PUT_U64(field)          msgpack_pack_uint64(&pack, field);
#define PUT_TEXT(field)         put_text(&pack, field);
#define PUT_LIST(field)                                                                                      \
    if ((field).length)                                                                                      \
        buffer_append_bytes(&batch->buffer, field);                                                          \
    else                                                                                                     \
        msgpack_pack_array(&pack, 0);
#define PUT_FIELD(kind, name) PUT_##kind(record->name)
#define X(NAME, name, number, FIELDS)                                                                        \
    void wire_put_##name(struct wire_batch *batch, const struct wire_##name *record)                         \
    {                                                                                                        \
        reserve_header(batch);                                                                               \
        msgpack_packer pack = packer(&batch->buffer);                                                        \
        msgpack_pack_array(&pack, 1 FIELDS(COUNT_FIELD));                                                    \
        msgpack_pack_uint8(&pack, number);                                                                   \
        FIELDS(PUT_FIELD)                                                                                    \
        batch->records++;                                                                                    \
    }
WIRE_RECORDS(X)
#undef X

void wire_batch_done(struct wire_batch *batch)
{
    buffer_done(&batch->buffer);
    batch->records = 0;
}

void wire_batch_append_encoded(struct wire_batch *batch, struct bytes record)
{
    reserve_header(batch);
    buffer_append_bytes(&batch->buffer, record);
    batch->records++;
}

size_t wire_batch_mark(const struct wire_batch *batch)
{
    return batch->buffer.length ? batch->buffer.length : WIRE_HEADER_SIZE;
}

size_t wire_batch_size(const struct wire_batch *batch)
{
    return wire_batch_mark(batch) - WIRE_HEADER_SIZE;
}

static char *put_wide(char *to, unsigned char tag, uint64_t value, int bytes)
{
    *to++ = (char)tag;
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
        *to++ = (char)(value >> shift & 0xff);
    return to;
}

struct bytes wire_batch_finish(struct wire_batch *batch, uint64_t link, uint64_t number,
                               uint64_t acknowledged)
{
    reserve_header(batch);

    char *to = batch->buffer.data;

    *to++ = (char)(0x90 | BATCH_PARTS); /* a fixarray */
    *to++ = WIRE_MAJOR;
    to = put_wide(to, 0xcf, link, 8);
    to = put_wide(to, 0xcf, number, 8);
    to = put_wide(to, 0xcf, acknowledged, 8);
    put_wide(to, 0xdd, batch->records, 4);
    return buffer_bytes(&batch->buffer);
}

void wire_batch_clear(struct wire_batch *batch)
{
    if (batch->buffer.capacity > KEEP_CAPACITY)
        buffer_done(&batch->buffer);
    buffer_clear(&batch->buffer);
    batch->records = 0;
}

enum { LIST_HEADER_SIZE = 5 };

static msgpack_packer list_packer(struct wire_list *list)
{
    if (list->buffer.length == 0) {
        buffer_reserve(&list->buffer, LIST_HEADER_SIZE);
        buffer_extend(&list->buffer, LIST_HEADER_SIZE);
    }
    list->count++;
    return packer(&list->buffer);
}

void wire_list_put_u64(struct wire_list *list, uint64_t value)
{
    msgpack_packer pack = list_packer(list);

    msgpack_pack_uint64(&pack, value);
}

void wire_list_put_text(struct wire_list *list, struct bytes text)
{
    msgpack_packer pack = list_packer(list);

    put_text(&pack, text);
}

void wire_list_put_blob(struct wire_list *list, struct bytes blob)
{
    msgpack_packer pack = list_packer(list);

    msgpack_pack_bin(&pack, blob.length);
    msgpack_pack_bin_body(&pack, blob.data, blob.length);
}

struct bytes wire_list_finish(struct wire_list *list)
{
    if (list->count == 0)
        return (struct bytes){0};
    put_wide(list->buffer.data, 0xdd, list->count, 4);
    return buffer_bytes(&list->buffer);
}

void wire_list_clear(struct wire_list *list)
{
    buffer_clear(&list->buffer);
    list->count = 0;
}

void wire_list_done(struct wire_list *list)
{
    buffer_done(&list->buffer);
    list->count = 0;
}

/* -- reading ------------------------------------------------------------------------------- */

static bool has(const struct wire_reader *reader, size_t bytes)
{
    return (size_t)(reader->end - reader->at) >= bytes;
}

/* Reads a big-endian number of the given width; the caller has checked that it is there. */
static uint64_t take_number(struct wire_reader *reader, unsigned width)
{
    uint64_t value = 0;

    while (width--)
        value = value << 8 | *reader->at++;
    return value;
}

static int take_wide(struct wire_reader *reader, unsigned width, uint64_t *out)
{
    if (!has(reader, width))
        return ERROR_MALFORMED;
    *out = take_number(reader, width);
    return 0;
}

static int take_u64(struct wire_reader *reader, uint64_t *out)
{
    if (!has(reader, 1))
        return ERROR_MALFORMED;

    uint8_t tag = *reader->at++;

    if (tag < 0x80) {
        *out = tag;
        return 0;
    }
    if (tag >= 0xcc && tag <= 0xcf) /* uint 8, 16, 32, 64 */
        return take_wide(reader, 1u << (tag - 0xcc), out);
    return ERROR_MALFORMED;
}

static int take_text(struct wire_reader *reader, struct bytes *out)
{
    uint64_t length;

    if (!has(reader, 1))
        return ERROR_MALFORMED;

    uint8_t tag = *reader->at++;

    if ((tag & 0xe0) == 0xa0)
        length = tag & 0x1f;
    else if (tag >= 0xd9 && tag <= 0xdb) { /* str 8, 16, 32 */
        if (take_wide(reader, 1u << (tag - 0xd9), &length) < 0)
            return ERROR_MALFORMED;
    } else if (tag >= 0xc4 && tag <= 0xc6) { /* bin 8, 16, 32 */
        if (take_wide(reader, 1u << (tag - 0xc4), &length) < 0)
            return ERROR_MALFORMED;
    } else
        return ERROR_MALFORMED;
    if (!has(reader, length))
        return ERROR_MALFORMED;
    *out = bytes_make((const char *)reader->at, length);
    reader->at += length;
    return 0;
}

static int take_array(struct wire_reader *reader, uint32_t *count)
{
    uint64_t value;

    if (!has(reader, 1))
        return ERROR_MALFORMED;

    uint8_t tag = *reader->at++;

    if ((tag & 0xf0) == 0x90)
        value = tag & 0x0f;
    else if (tag == 0xdc || tag == 0xdd) {
        if (take_wide(reader, tag == 0xdc ? 2 : 4, &value) < 0)
            return ERROR_MALFORMED;
    } else
        return ERROR_MALFORMED;
    if (!has(reader, value)) /* an element takes a byte at least */
        return ERROR_MALFORMED;
    *count = (uint32_t)value;
    return 0;
}

/* What a value of this tag is made of: bytes to pass over now, and values that follow inside it. */
static int value_extent(struct wire_reader *reader, uint64_t *bytes, uint64_t *values)
{
    uint8_t tag = *reader->at++;
    uint64_t length = 0;

    *bytes = *values = 0;
    if (tag < 0x80 || tag >= 0xe0 || (tag >= 0xc0 && tag <= 0xc3 && tag != 0xc1)) {
        /* small integers, nil, false, true: nothing more */
    } else if (tag < 0x90)
        *values = (tag & 0x0f) * 2u;
    else if (tag < 0xa0)
        *values = tag & 0x0f;
    else if (tag < 0xc0)
        *bytes = tag & 0x1f;
    else if ((tag >= 0xc4 && tag <= 0xc6) || (tag >= 0xd9 && tag <= 0xdb)) {
        if (take_wide(reader, 1u << (tag - (tag < 0xd9 ? 0xc4 : 0xd9)), &length) < 0)
            return ERROR_MALFORMED;
        *bytes = length;
    } else if (tag >= 0xc7 && tag <= 0xc9) { /* ext 8, 16, 32: a type byte besides */
        if (take_wide(reader, 1u << (tag - 0xc7), &length) < 0)
            return ERROR_MALFORMED;
        *bytes = length + 1;
    } else if (tag == 0xca || tag == 0xcb)
        *bytes = tag == 0xca ? 4 : 8;
    else if (tag >= 0xcc && tag <= 0xd3)
        *bytes = 1u << ((tag - 0xcc) & 3);
    else if (tag >= 0xd4 && tag <= 0xd8)
        *bytes = (1u << (tag - 0xd4)) + 1;
    else if (tag >= 0xdc && tag <= 0xdf) {
        if (take_wide(reader, tag & 1 ? 4 : 2, &length) < 0)
            return ERROR_MALFORMED;
        *values = tag >= 0xde ? length * 2 : length;
    } else
        return ERROR_MALFORMED;
    return 0;
}

/* Passes over one value of any kind. */
static int skip_value(struct wire_reader *reader)
{
    uint64_t open[SKIP_DEPTH] = {1};
    int depth = 0;

    while (depth >= 0) {
        uint64_t bytes, values;

        if (open[depth] == 0) {
            depth--;
            continue;
        }
        open[depth]--;
        if (!has(reader, 1) || value_extent(reader, &bytes, &values) < 0 || !has(reader, bytes))
            return ERROR_MALFORMED;
        reader->at += bytes;
        if (values) {
            if (++depth == SKIP_DEPTH || !has(reader, values))
                return ERROR_MALFORMED;
            open[depth] = values;
        }
    }
    return 0;
}

static int take_list(struct wire_reader *reader, struct bytes *out)
{
    const uint8_t *start = reader->at;
    uint32_t count;

    if (take_array(reader, &count) < 0)
        return ERROR_MALFORMED;
    while (count--)
        if (skip_value(reader) < 0)
            return ERROR_MALFORMED;
    *out = bytes_make((const char *)start, (size_t)(reader->at - start));
    return 0;
}

/* A list of texts or bins and of nothing else, so that whoever walks it need not doubt. */
static int take_blobs(struct wire_reader *reader, struct bytes *out)
{
    const uint8_t *start = reader->at;
    struct bytes blob;
    uint32_t count;

    if (take_array(reader, &count) < 0)
        return ERROR_MALFORMED;
    for (uint32_t i = 0; i < count; i++)
        if (take_text(reader, &blob) < 0)
            return ERROR_MALFORMED;
    *out = count ? bytes_make((const char *)start, (size_t)(reader->at - start)) : (struct bytes){0};
    return 0;
}

int wire_reader_open(struct wire_reader *reader, struct bytes batch)
{
    struct wire_reader opened = {.at = (const uint8_t *)batch.data,
                                 .end = (const uint8_t *)batch.data + batch.length};
    uint64_t version;
    uint32_t parts;

    if (take_array(&opened, &parts) < 0 || parts == 0 || take_u64(&opened, &version) < 0)
        return ERROR_MALFORMED;
    if (version != WIRE_MAJOR)
        return ERROR_UNSUPPORTED;
    if (parts < BATCH_PARTS || take_u64(&opened, &opened.link) < 0 || take_u64(&opened, &opened.number) < 0 ||
        take_u64(&opened, &opened.acknowledged) < 0 || take_array(&opened, &opened.records) < 0)
        return ERROR_MALFORMED;
    opened.rest = parts - BATCH_PARTS;
    *reader = opened;
    return 0;
}

uint64_t wire_major(struct bytes batch)
{
    struct wire_reader opened = {.at = (const uint8_t *)batch.data,
                                 .end = (const uint8_t *)batch.data + batch.length};
    uint64_t version = 0;
    uint32_t parts;

    return take_array(&opened, &parts) < 0 || take_u64(&opened, &version) < 0 ? 0 : version;
}

void wire_reader_open_record(struct wire_reader *reader, struct bytes record)
{
    *reader = (struct wire_reader){.at = (const uint8_t *)record.data,
                                   .end = (const uint8_t *)record.data + record.length,
                                   .records = 1};
}

int wire_reader_next(struct wire_reader *reader, unsigned *type)
{
    uint64_t number;

    for (; reader->fields; reader->fields--)
        if (skip_value(reader) < 0)
            return ERROR_MALFORMED;
    if (reader->records == 0) {
        for (; reader->rest; reader->rest--)
            if (skip_value(reader) < 0)
                return ERROR_MALFORMED;
        return reader->at == reader->end ? 0 : ERROR_MALFORMED;
    }
    reader->records--;
    if (take_array(reader, &reader->fields) < 0 || reader->fields == 0 || take_u64(reader, &number) < 0 ||
        number > UINT16_MAX)
        return ERROR_MALFORMED;
    reader->fields--;
    *type = (unsigned)number;
    return 1;
}

#define GET_U64        take_u64
#define GET_TEXT       take_text
#define GET_LIST       take_list
#define GET_BLOBS      take_blobs
#define MAY_LACK_U64   false
#define MAY_LACK_TEXT  false
#define MAY_LACK_LIST  false
#define MAY_LACK_BLOBS true
#define GET_FIELD(kind, name)                                                                                \
    if (reader->fields) {                                                                                    \
        if (GET_##kind(reader, &record.name) < 0)                                                            \
            return ERROR_MALFORMED;                                                                          \
        reader->fields--;                                                                                    \
    } else if (!MAY_LACK_##kind && !reader->lenient)                                                         \
        return ERROR_MALFORMED;
#define X(NAME, name, number, FIELDS)                                                                        \
    int wire_get_##name(struct wire_reader *reader, struct wire_##name *out)                                 \
    {                                                                                                        \
        struct wire_##name record = {0};                                                                     \
        FIELDS(GET_FIELD)                                                                                    \
        *out = record;                                                                                       \
        return 0;                                                                                            \
    }
WIRE_RECORDS(X)
#undef X

int wire_list_open(struct wire_reader *reader, struct bytes list)
{
    struct wire_reader opened = {0};
    uint32_t count = 0;

    if (list.length) {
        opened.at = (const uint8_t *)list.data;
        opened.end = opened.at + list.length;
        if (take_array(&opened, &count) < 0 || count > INT32_MAX)
            return ERROR_MALFORMED;
    }
    *reader = opened;
    return (int)count;
}

int wire_list_u64(struct wire_reader *reader, uint64_t *out)
{
    return take_u64(reader, out);
}

int wire_list_text(struct wire_reader *reader, struct bytes *out)
{
    return take_text(reader, out);
}
