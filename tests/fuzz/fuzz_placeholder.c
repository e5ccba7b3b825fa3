/* Any bytes through the placeholders' reader; of what is JSON, its three ways must agree. */
#include "proto/json_scan.h"
#include "proto/placeholder.h"
#include "proto/socketio.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Behind other attachments it stays JSON of the same kind and length, and names what it is told to. */
static void check_shifted(struct bytes text, unsigned count)
{
    struct json_value before, after;

    require(json_scan(text, &before) == 0);
    for (unsigned base = 0; base + count <= SOCKETIO_ATTACHMENTS_MAX; base++) {
        struct buffer out = {0};

        placeholders_append(&out, text, (int)base);
        require(out.length == text.length);
        require(json_scan(buffer_bytes(&out), &after) == 0 && after.kind == before.kind);
        require(placeholders_check(buffer_bytes(&out), base + count) == 0);
        require(placeholders_present(buffer_bytes(&out)) == placeholders_present(text));
        if (count && placeholders_check(text, count - 1))
            require(placeholders_check(buffer_bytes(&out), base + count - 1) == ERROR_MALFORMED);
        buffer_done(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_make((const char *)data, size);
    struct json_value value;
    struct buffer out = {0};

    placeholders_append(&out, text, 1);
    require(out.length == text.length);
    buffer_done(&out);
    if (json_scan(text, &value)) {
        (void)!placeholders_check(text, 1);
        (void)placeholders_present(text);
        return 0;
    }
    if (!placeholders_present(text))
        require(placeholders_check(text, 0) == 0);
    for (unsigned count = 0; count <= SOCKETIO_ATTACHMENTS_MAX; count++)
        if (placeholders_check(text, count) == 0) {
            check_shifted(text, count);
            break;
        }
    return 0;
}
