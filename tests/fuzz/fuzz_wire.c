/* Any bytes as a batch of the link: what is read lies within them, and is read the same once it is written
 * again. */
#include "fuzz.h"
#include "proto/wire.h"

static void check_text(struct bytes part, struct bytes batch)
{
    require(part.data >= batch.data && part.length <= batch.length &&
            part.data + part.length <= batch.data + batch.length);
}

static void check_list(struct bytes part, struct bytes batch)
{
    struct wire_reader reader;
    struct bytes text;
    uint64_t number;
    int count;

    check_text(part, batch);
    count = wire_list_open(&reader, part);
    require(count >= 0 && (size_t)count < part.length);
    while (count--)
        if (wire_list_text(&reader, &text) == 0)
            check_text(text, part);
        else if (wire_list_u64(&reader, &number) < 0)
            return;
}

/* Blobs were looked through when the record was read: each is there, and nothing else is. */
static void check_blobs(struct bytes part, struct bytes batch)
{
    struct wire_reader reader;
    struct wire_list copy = {0};
    struct bytes blob;
    int count;

    if (part.length)
        check_text(part, batch);
    count = wire_list_open(&reader, part);
    require(count >= 0 && (count > 0) == (part.length > 0));
    for (int i = 0; i < count; i++) {
        require(wire_list_text(&reader, &blob) == 0);
        check_text(blob, part);
        wire_list_put_blob(&copy, blob);
    }
    require(wire_list_text(&reader, &blob) < 0);
    /* As this side writes them they are the same blobs. */
    require(wire_list_open(&reader, wire_list_finish(&copy)) == count);
    wire_list_done(&copy);
}

#define CHECK_U64(field)    require(batch.length > 0);
#define CHECK_TEXT(field)   check_text(field, batch);
#define CHECK_LIST(field)   check_list(field, batch);
#define CHECK_BLOBS(field)  check_blobs(field, batch);
#define CHECK(kind, name)   CHECK_##kind(record.name)
#define SAME_U64(a, b)      ((a) == (b))
#define SAME_TEXT(a, b)     bytes_equal(a, b)
#define SAME_LIST(a, b)     bytes_equal(a, b)
#define SAME_BLOBS(a, b)    bytes_equal(a, b)
#define COMPARE(kind, name) require(SAME_##kind(record.name, again.name));
#define X(NAME, name, number, FIELDS)                                                                        \
    static void check_##name(struct wire_reader *reader, struct bytes batch)                                 \
    {                                                                                                        \
        struct wire_##name record, again;                                                                    \
        struct wire_batch written = {0};                                                                     \
        struct wire_reader second;                                                                           \
        unsigned type;                                                                                       \
                                                                                                             \
        if (wire_get_##name(reader, &record) < 0)                                                            \
            return;                                                                                          \
        FIELDS(CHECK)                                                                                        \
        wire_put_##name(&written, &record);                                                                  \
        require(wire_reader_open(&second, wire_batch_finish(&written, 1, 2, 3)) == 0);                       \
        require(wire_reader_next(&second, &type) == 1 && type == WIRE_TYPE_##NAME);                          \
        require(wire_get_##name(&second, &again) == 0);                                                      \
        FIELDS(COMPARE)                                                                                      \
        require(wire_reader_next(&second, &type) == 0);                                                      \
        wire_batch_done(&written);                                                                           \
    }
WIRE_RECORDS(X)
#undef X

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes batch = bytes_make((const char *)data, size);
    struct wire_reader reader;
    unsigned type;

    if (wire_reader_open(&reader, batch) < 0)
        return 0;
    while (wire_reader_next(&reader, &type) > 0) {
        switch (type) {
#define X(NAME, name, number, FIELDS)                                                                        \
    case WIRE_TYPE_##NAME:                                                                                   \
        check_##name(&reader, batch);                                                                        \
        break;
            WIRE_RECORDS(X)
#undef X
        default:
            require(wire_type_name(type) == NULL);
        }
    }
    return 0;
}
