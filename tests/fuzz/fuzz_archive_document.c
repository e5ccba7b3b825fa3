/*
 * Any bytes as a message's arguments and texts: a document must come of it that libbson finds valid, and the
 * same message must come back from it.  The first byte says how many of the next are the publish id.
 */
#include "fuzz.h"
#include "router/archive_document.h"
#include "router/json_bson.h"

static void check_args(struct bytes arguments, bool expected)
{
    struct buffer out = {0};
    int code = json_bson_append_array(&out, arguments, ARCHIVE_DOCUMENT_MAX / 2);

    require((code == 0) == expected);
    require(code == 0 || out.length == 0);
    buffer_done(&out);
}

/* Any bytes as a document. */
static void check_reading(struct bytes text)
{
    struct wire_list attachments = {0};
    struct archive_document back;
    bson_t view;

    if (bson_init_static(&view, (const uint8_t *)text.data, text.length))
        (void)!archive_document_read(&view, &attachments, &back);
    wire_list_done(&attachments);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct bytes epoch = BYTES("epoch-12");
    struct bytes rest = bytes_make((const char *)data, size);
    size_t id_length = size ? data[0] % 16 : 0;
    struct journal_message message = {.seq = 1, .pos = 2, .at = 3, .class = MESSAGE_ARCHIVED};
    struct wire_list attachments = {0};
    struct archive_document back;
    bson_t document = BSON_INITIALIZER;
    char *copy;

    check_reading(rest);
    (void)take_front(&rest, 1);
    message.publish_id = message.room = take_front(&rest, id_length);
    copy = copy_of(rest);
    message.arguments = bytes_make(copy, rest.length);
    require(archive_document_write(&message, epoch, true, &document) == 0);
    require(bson_validate(&document, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, NULL));
    check_args(message.arguments, bson_has_field(&document, "args"));
    require(archive_document_read(&document, &attachments, &back) == 0);
    require(bytes_equal(back.message.arguments, message.arguments));
    require(bytes_equal(back.message.publish_id, message.publish_id));
    require(bytes_equal(back.message.room, message.room));
    wire_list_done(&attachments);
    bson_destroy(&document);
    free(copy);
    return 0;
}
