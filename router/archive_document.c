/*
 * Messages to BSON and back; see archive_document.h.  It owns the document's shape; the archive thread writes
 * documents, the archive's reader reads them.  Its one surprising rule: args is made only to be looked at, so
 * whatever is wrong with it costs the document that field and nothing else.
 */
#include "router/archive_document.h"

#include "common/buffer.h"
#include "proto/utf8.h"
#include "router/journal_file.h"
#include "router/json_bson.h"

enum {
    ELEMENT_OVERHEAD = 32,  /* of an element of an array: its key, and the head of its text or binary */
    FIELDS_OVERHEAD = 1024, /* of all types, keys, numbers and lengths of a document without args */
};

static const char *const deliver_texts[] = {
    [DELIVER_ROOM] = "room",
    [DELIVER_OTHERS] = "others",
    [DELIVER_SELF] = "self",
    [DELIVER_NAMESPACE] = "namespace",
};

enum { DELIVER_MODES = sizeof deliver_texts / sizeof *deliver_texts };

/* Sizes are checked before anything is appended, so libbson has no reason to refuse. */
static void append_text(bson_t *out, const char *key, struct bytes text)
{
    const char *data = text.length ? text.data : "";

    if (utf8_valid(text))
        (void)bson_append_utf8(out, key, -1, data, (int)text.length);
    else
        (void)bson_append_binary(out, key, -1, BSON_SUBTYPE_BINARY, (const uint8_t *)data,
                                 (uint32_t)text.length);
}

static void append_id(bson_t *out, const struct journal_message *message, struct bytes epoch)
{
    bson_t id;

    bson_append_document_begin(out, ARCHIVE_FIELD_ID, -1, &id);
    append_text(&id, ARCHIVE_FIELD_NAMESPACE, message->namespace);
    append_text(&id, ARCHIVE_FIELD_ROOM, message->room);
    append_text(&id, ARCHIVE_FIELD_EPOCH, epoch);
    bson_append_int64(&id, ARCHIVE_FIELD_SEQ, -1, (int64_t)message->seq);
    bson_append_document_end(out, &id);
}

static void append_args(bson_t *out, struct bytes arguments, size_t room)
{
    struct buffer array = {0};
    bson_t view;

    if (json_bson_append_array(&array, arguments, room) == 0 &&
        bson_init_static(&view, (const uint8_t *)array.data, array.length))
        bson_append_array(out, "args", -1, &view);
    buffer_done(&array);
}

static void append_raw(bson_t *out, struct bytes arguments)
{
    struct buffer text = {0};

    buffer_reserve(&text, arguments.length + 2);
    buffer_append_char(&text, '[');
    buffer_append_bytes(&text, arguments);
    buffer_append_char(&text, ']');
    append_text(out, "raw", buffer_bytes(&text));
    buffer_done(&text);
}

static void append_binary(bson_t *out, const char *key, struct bytes blob)
{
    bson_append_binary(out, key, -1, BSON_SUBTYPE_BINARY, (const uint8_t *)(blob.length ? blob.data : ""),
                       (uint32_t)blob.length);
}

/* An array of what stands in a list; none for an empty one. */
static int append_list(bson_t *out, const char *name, struct bytes list,
                       void (*append)(bson_t *out, const char *key, struct bytes element))
{
    struct wire_reader reader;
    int count = wire_list_open(&reader, list);
    int result = count < 0 ? count : 0;
    bson_t array;

    if (result || count == 0)
        return result;
    bson_append_array_begin(out, name, -1, &array);
    for (int i = 0; i < count && !result; i++) {
        struct bytes element;
        const char *key;
        char digits[16];

        result = wire_list_text(&reader, &element);
        if (result)
            break;
        bson_uint32_to_string((uint32_t)i, &key, digits, sizeof digits);
        append(&array, key, element);
    }
    bson_append_array_end(out, &array);
    return result;
}

static uint64_t list_overhead(struct bytes list)
{
    struct wire_reader reader;
    int count = wire_list_open(&reader, list);

    return count > 0 ? (uint64_t)count * ELEMENT_OVERHEAD : 0;
}

/* An upper bound of the document's size without args; _id repeats the names. */
static uint64_t plain_bound(const struct journal_message *message, struct bytes epoch)
{
    return FIELDS_OVERHEAD + journal_message_bytes(message) + message->namespace.length +
           message->room.length + 2 * epoch.length + list_overhead(message->attachments) +
           list_overhead(message->except);
}

int archive_document_write(const struct journal_message *message, struct bytes epoch, bool with_args,
                           bson_t *out)
{
    uint64_t plain = plain_bound(message, epoch);
    int result;

    if (plain > ARCHIVE_DOCUMENT_MAX)
        return ERROR_TOO_LARGE;
    append_id(out, message, epoch);
    append_text(out, ARCHIVE_FIELD_NAMESPACE, message->namespace);
    append_text(out, ARCHIVE_FIELD_ROOM, message->room);
    append_text(out, ARCHIVE_FIELD_EPOCH, epoch);
    bson_append_int64(out, ARCHIVE_FIELD_SEQ, -1, (int64_t)message->seq);
    bson_append_int64(out, "pos", -1, (int64_t)message->pos);
    bson_append_date_time(out, ARCHIVE_FIELD_AT, -1, (int64_t)message->at);
    append_text(out, ARCHIVE_FIELD_PUBLISH_ID, message->publish_id);
    append_text(out, "event", message->event);
    append_text(out, "from", message->sender_name);
    append_text(out, "sid", message->sender_sid);
    bson_append_utf8(out, "deliver", -1, deliver_texts[message->deliver % DELIVER_MODES], -1);
    bson_append_bool(out, "meta", -1, message->meta);
    if (with_args)
        append_args(out, message->arguments, ARCHIVE_DOCUMENT_MAX - (size_t)plain);
    append_raw(out, message->arguments);
    result = message->except.length ? append_list(out, "except", message->except, append_text) : 0;
    if (!result && message->attachments.length)
        result = append_list(out, "attachments", message->attachments, append_binary);
    return result;
}

/* -- reading ---------------------------------------------------------------------------------- */

bool archive_value_text(const bson_iter_t *value, struct bytes *out)
{
    const uint8_t *binary;
    uint32_t length;
    bson_subtype_t subtype;

    if (BSON_ITER_HOLDS_UTF8(value)) {
        const char *text = bson_iter_utf8(value, &length);

        *out = bytes_make(text, length);
        return true;
    }
    if (!BSON_ITER_HOLDS_BINARY(value))
        return false;
    bson_iter_binary(value, &subtype, &length, &binary);
    *out = bytes_make((const char *)binary, length);
    return true;
}

bool archive_value_number(const bson_iter_t *value, uint64_t *out)
{
    int64_t number;

    if (BSON_ITER_HOLDS_DOUBLE(value) && bson_iter_double(value) >= 0 && bson_iter_double(value) < 0x1p53)
        number = (int64_t)bson_iter_double(value);
    else if (BSON_ITER_HOLDS_INT32(value) || BSON_ITER_HOLDS_INT64(value))
        number = bson_iter_as_int64(value);
    else
        return false;
    if (number < 0)
        return false;
    *out = (uint64_t)number;
    return true;
}

bool archive_value_date(const bson_iter_t *value, uint64_t *out)
{
    if (!BSON_ITER_HOLDS_DATE_TIME(value) || bson_iter_date_time(value) < 0)
        return false;
    *out = (uint64_t)bson_iter_date_time(value);
    return true;
}

static bool read_deliver(const bson_iter_t *value, enum deliver_mode *out)
{
    struct bytes text;

    if (!archive_value_text(value, &text))
        return false;
    for (unsigned i = 0; i < DELIVER_MODES; i++)
        if (bytes_equal_text(text, deliver_texts[i])) {
            *out = (enum deliver_mode)i;
            return true;
        }
    return false;
}

static bool read_meta(const bson_iter_t *value, bool *out)
{
    if (!BSON_ITER_HOLDS_BOOL(value))
        return false;
    *out = bson_iter_bool(value);
    return true;
}

/* The text between the brackets. */
static bool read_raw(const bson_iter_t *value, struct bytes *out)
{
    struct bytes text;

    if (!archive_value_text(value, &text) || text.length < 2 || text.data[0] != '[' ||
        text.data[text.length - 1] != ']')
        return false;
    *out = bytes_make(text.data + 1, text.length - 2);
    return true;
}

static bool read_attachments(const bson_iter_t *value, struct wire_list *list)
{
    bson_iter_t element;

    if (!BSON_ITER_HOLDS_ARRAY(value) || !bson_iter_recurse(value, &element))
        return false;
    while (bson_iter_next(&element)) {
        const uint8_t *binary;
        uint32_t length;
        bson_subtype_t subtype;

        if (!BSON_ITER_HOLDS_BINARY(&element))
            return false;
        bson_iter_binary(&element, &subtype, &length, &binary);
        wire_list_put_blob(list, bytes_make((const char *)binary, length));
    }
    return true;
}

/* The fields that must be there, a bit each. */
enum field {
    FIELD_NAMESPACE,
    FIELD_ROOM,
    FIELD_EPOCH,
    FIELD_SEQ,
    FIELD_POS,
    FIELD_AT,
    FIELD_PUBLISH_ID,
    FIELD_EVENT,
    FIELD_FROM,
    FIELD_SID,
    FIELD_DELIVER,
    FIELD_META,
    FIELD_RAW,
    FIELDS,
};

static const char *const field_names[FIELDS] = {
    ARCHIVE_FIELD_NAMESPACE,
    ARCHIVE_FIELD_ROOM,
    ARCHIVE_FIELD_EPOCH,
    ARCHIVE_FIELD_SEQ,
    "pos",
    ARCHIVE_FIELD_AT,
    ARCHIVE_FIELD_PUBLISH_ID,
    "event",
    "from",
    "sid",
    "deliver",
    "meta",
    "raw",
};

static bool read_field(enum field field, const bson_iter_t *value, struct archive_document *out)
{
    struct journal_message *message = &out->message;

    switch (field) {
    case FIELD_NAMESPACE:
        return archive_value_text(value, &message->namespace);
    case FIELD_ROOM:
        return archive_value_text(value, &message->room);
    case FIELD_EPOCH:
        return archive_value_text(value, &out->epoch);
    case FIELD_SEQ:
        return archive_value_number(value, &message->seq);
    case FIELD_POS:
        return archive_value_number(value, &message->pos);
    case FIELD_AT:
        return archive_value_date(value, &message->at);
    case FIELD_PUBLISH_ID:
        return archive_value_text(value, &message->publish_id);
    case FIELD_EVENT:
        return archive_value_text(value, &message->event);
    case FIELD_FROM:
        return archive_value_text(value, &message->sender_name);
    case FIELD_SID:
        return archive_value_text(value, &message->sender_sid);
    case FIELD_DELIVER:
        return read_deliver(value, &message->deliver);
    case FIELD_META:
        return read_meta(value, &message->meta);
    case FIELD_RAW:
        return read_raw(value, &message->arguments);
    default:
        return false;
    }
}

int archive_document_read(const bson_t *document, struct wire_list *attachments, struct archive_document *out)
{
    struct archive_document read = {.message = {.class = MESSAGE_ARCHIVED}};
    unsigned seen = 0;
    bson_iter_t iter;

    wire_list_clear(attachments);
    if (!bson_iter_init(&iter, document))
        return ERROR_MALFORMED;
    while (bson_iter_next(&iter)) {
        const char *key = bson_iter_key(&iter);

        for (unsigned i = 0; i < FIELDS; i++) {
            if (strcmp(key, field_names[i]) != 0)
                continue;
            if (!read_field((enum field)i, &iter, &read))
                return ERROR_MALFORMED;
            seen |= 1U << i;
        }
        if (strcmp(key, "attachments") == 0) {
            if (!read_attachments(&iter, attachments))
                return ERROR_MALFORMED;
            read.message.attachments = wire_list_finish(attachments);
        }
    }
    if (seen != (1U << FIELDS) - 1)
        return ERROR_MALFORMED;
    *out = read;
    return 0;
}
