/*
 * One socket, shown; see inquiry.h.  The stats socket owns an inquiry and waits for it.  Its one surprising
 * rule: the socket is looked up again when its gateway has answered, and what is shown is of that moment.
 */
#include "router/inquiry.h"

#include "common/memory.h"
#include "router/ask.h"

#include <stdlib.h>

struct inquiry {
    struct router *router;
    struct ask *ask;
    stats_done *done;
    void *argument;
    char sid[SID_LENGTH];
};

static void append_error(struct buffer *out, const char *text)
{
    buffer_append_literal(out, "error ");
    buffer_append_text(out, text);
    buffer_append_literal(out, "\n\n");
}

static const char *reason_for(int result)
{
    switch (result) {
    case ERROR_NOT_FOUND:
        return "no such socket";
    case ERROR_CLOSED:
        return "the link to its gateway is down";
    default:
        return "its gateway does not answer";
    }
}

static void append_line(struct buffer *out, const char *name, struct bytes value)
{
    buffer_append_text(out, name);
    buffer_append_char(out, ' ');
    buffer_append_bytes(out, value);
    buffer_append_char(out, '\n');
}

static void describe(struct buffer *out, const struct session *session, struct bytes handshake)
{
    char space[SID_LENGTH + 5];

    append_line(out, "sid", session_sid(session));
    append_line(out, "namespace", session->namespace->name);
    append_line(out, "from", session_from(session, space));
    append_line(out, "gateway", bytes_from_text(session->link->name));
    for (uint16_t i = 0; i < session->room_count; i++)
        if (session->rooms[i].member)
            append_line(out, "room", room_name(session->rooms[i].room));
    append_line(out, "handshake", handshake);
    buffer_append_char(out, '\n');
}

static void on_told(void *argument, int result, struct bytes handshake)
{
    struct inquiry *inquiry = argument;
    struct bytes sid = bytes_make(inquiry->sid, SID_LENGTH);
    const struct session *session = sessions_find_sid(&inquiry->router->sessions, sid);
    struct buffer out = {0};

    if (!result && session && session->link)
        describe(&out, session, handshake);
    else
        append_error(&out, reason_for(result ? result : ERROR_NOT_FOUND));
    inquiry->done(inquiry->argument, buffer_bytes(&out));
    buffer_done(&out);
    free(inquiry);
}

struct inquiry *inquiry_start(struct router *router, struct bytes sid, stats_done *done, void *argument,
                              struct buffer *out)
{
    const struct session *session = sessions_find_sid(&router->sessions, sid);
    struct inquiry *inquiry;
    int result;

    if (!session || !session->link) {
        append_error(out, reason_for(ERROR_NOT_FOUND));
        return NULL;
    }
    inquiry = memory_zero(1, sizeof *inquiry);
    inquiry->router = router;
    inquiry->done = done;
    inquiry->argument = argument;
    memcpy(inquiry->sid, session->pid, SID_LENGTH);
    result = ask_start(router, session, on_told, inquiry, &inquiry->ask);
    if (result) {
        append_error(out, reason_for(result));
        free(inquiry);
        return NULL;
    }
    return inquiry;
}

void inquiry_cancel(struct inquiry *inquiry)
{
    ask_cancel(inquiry->ask);
    free(inquiry);
}
