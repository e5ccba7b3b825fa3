/*
 * The check of arguments; see arguments.h.  Whoever takes events from programs calls it.  Its one surprising
 * rule: blanks alone are no arguments, though an array may hold them.
 */
#include "router/arguments.h"

#include "proto/json_scan.h"
#include "proto/placeholder.h"
#include "proto/socketio.h"
#include "proto/utf8.h"
#include "proto/wire.h"

/* The number of attachments, or an error. */
static int count_attachments(struct bytes attachments)
{
    struct wire_reader list;
    struct bytes blob;
    int count = wire_list_open(&list, attachments);

    for (int i = 0; i < count; i++)
        if (wire_list_text(&list, &blob) < 0)
            return ERROR_MALFORMED;
    return count > SOCKETIO_ATTACHMENTS_MAX ? ERROR_TOO_LARGE : count;
}

int arguments_check(struct bytes arguments, struct bytes attachments)
{
    int count = count_attachments(attachments);
    int result;

    if (count < 0)
        return count;
    if (arguments.length == 0)
        return 0;
    if (!utf8_valid(arguments))
        return ERROR_MALFORMED;
    result = json_list_scan(arguments);
    if (!result && count > 0)
        result = placeholders_check(arguments, (unsigned)count);
    return result;
}
