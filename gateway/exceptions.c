/* Exceptions; see exceptions.h.  The link's records read them, deliver.c asks for each member. */
#include "gateway/exceptions.h"

#include "common/memory.h"
#include "gateway/room.h"
#include "gateway/socket.h"

#include <stdlib.h>

void exceptions_done(struct exceptions *exceptions)
{
    free(exceptions->list);
    *exceptions = (struct exceptions){0};
}

int exceptions_read(struct exceptions *exceptions, const struct namespace_rooms *namespace, struct bytes list)
{
    struct wire_reader reader;
    int count = wire_list_open(&reader, list);

    exceptions->count = 0;
    if (count < 0 || (size_t)count > list.length) /* an element takes a byte at least */
        return ERROR_MALFORMED;
    if ((uint32_t)count > exceptions->capacity) {
        exceptions->capacity = (uint32_t)count;
        exceptions->list = memory_resize(exceptions->list, exceptions->capacity * sizeof *exceptions->list);
    }
    while (count--) {
        struct exception *exception = &exceptions->list[exceptions->count];

        if (wire_list_text(&reader, &exception->name) < 0)
            return ERROR_MALFORMED;
        exception->room = room_find(namespace, exception->name);
        exceptions->count++;
    }
    return 0;
}

static bool is_member(struct socket *socket, const struct room *room, uint64_t before)
{
    const struct membership *membership = socket_membership_in(socket, room);

    return membership && membership->joined_pos < before;
}

bool exceptions_hold(const struct exceptions *exceptions, struct socket *socket, uint64_t before)
{
    struct bytes sid = bytes_make(socket->sid, socket->sid_length);

    for (uint32_t i = 0; i < exceptions->count; i++) {
        const struct exception *exception = &exceptions->list[i];

        if (exception->room ? is_member(socket, exception->room, before) : bytes_equal(exception->name, sid))
            return true;
    }
    return false;
}
