/*
 * Who is excepted; see except.h.  Delivery to single sockets, replay and whoever looks for sockets call it;
 * gateways judge their members themselves.  Its one surprising rule: a name stands for a room and for a sid
 * alike, as in Socket.IO.
 */
#include "router/except.h"

#include "proto/wire.h"

static bool is_member(const struct session *session, struct bytes room, uint64_t pos)
{
    const struct membership *membership = session_membership(session, room);

    if (!membership)
        return false;
    return pos == EXCEPT_WANTED ? membership->wanted : membership->member && membership->joined_pos < pos;
}

bool except_session(struct bytes list, const struct session *session, uint64_t pos)
{
    struct wire_reader reader;
    struct bytes name;
    int count = list.length ? wire_list_open(&reader, list) : 0;

    while (count-- > 0 && wire_list_text(&reader, &name) == 0)
        if (bytes_equal(name, session_sid(session)) || is_member(session, name, pos))
            return true;
    return false;
}
