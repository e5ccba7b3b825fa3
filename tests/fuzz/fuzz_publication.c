/* Any bytes as the body of POST /api/publish: what is read keeps to its limits, and may be sent. */
#include "fuzz.h"
#include "proto/json_scan.h"
#include "proto/name.h"
#include "proto/publication.h"
#include "proto/rules.h"
#include "proto/socketio.h"

static void check_names(struct wire_list *list)
{
    struct wire_reader reader;
    struct bytes name;
    int count = wire_list_open(&reader, wire_list_finish(list));

    require(count >= 0 && count <= PUBLICATION_NAMES_MAX);
    for (int i = 0; i < count; i++)
        require(wire_list_text(&reader, &name) == 0 && room_name_valid(name));
}

/* As an array they are JSON again. */
static void check_arguments(struct bytes arguments)
{
    struct buffer text = {0};
    struct json_value value;

    buffer_append_char(&text, '[');
    buffer_append_bytes(&text, arguments);
    buffer_append_char(&text, ']');
    require(json_scan(buffer_bytes(&text), &value) == 0 && value.kind == JSON_ARRAY);
    buffer_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *body = copy_of(bytes_make((const char *)data, size));
    struct publication publication = {0};
    const char *message = NULL;
    int result = publication_read(&publication, bytes_make(body, size), &message);

    require(result == 0 || result == ERROR_MALFORMED || result == ERROR_TOO_DEEP || result == ERROR_PROTOCOL);
    require((result == ERROR_PROTOCOL) == (message != NULL));
    if (result == 0) {
        require(namespace_name_valid(publication.namespace));
        require(publication.event.length > 0 && publication.event.length <= SOCKETIO_NAME_MAX);
        require(publication.id.length == 0 ||
                (publication.id.length >= DEDUP_MIN && publication.id.length <= DEDUP_MAX));
        require(!publication.to_socket || publication.rooms.count == 1);
        check_names(&publication.rooms);
        check_names(&publication.except);
        check_arguments(publication.arguments);
    }
    publication_done(&publication);
    free(body);
    return 0;
}
