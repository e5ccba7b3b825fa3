/*
 * One session, shown; see inquiry.h.  The stats socket calls it.  Its one surprising rule: the session is looked
 * up again when its gateway has answered, and what is shown is of that moment.
 */
#include "router/inquiry.h"

#include "common/memory.h"
#include "router/ask.h"

#include <stdlib.h>

struct inquiry {
    struct router *router;
    struct ask *ask;
    struct stats_reply reply;
    uint32_t generation; /* of the session when its gateway was asked */
    char sid[SID_LENGTH];
};

static const char *reason_for(int result)
{
    switch (result) {
    case ERROR_NOT_FOUND:
        return "no such session";
    case ERROR_CLOSED:
        return "the link to its gateway is down";
    default:
        return "its gateway does not answer";
    }
}

static void name_text(struct report *report, const char *name, struct bytes value)
{
    report_name(report, name);
    report_text(report, value);
}

/* handshake: empty for one that is away. */
static void describe(const struct router *router, struct report *report, const struct session *session,
                     struct bytes handshake)
{
    char space[SID_LENGTH + 5];

    report_object_begin(report);
    name_text(report, "sid", session_sid(session));
    name_text(report, "namespace", session->namespace->name);
    name_text(report, "from", session_from(session, space));
    name_text(report, "state", bytes_from_text(session->link ? "live" : "away"));
    report_name(report, "away_seconds");
    report_real(report, session->link ? 0 : (double)(loop_now(router->loop) - session->away_since) / 1e3);
    report_name(report, "gateway");
    if (session->link)
        report_text(report, bytes_from_text(session->link->name));
    else
        report_nothing(report);
    report_rows_begin(report, "rooms", "room", NULL);
    for (uint16_t i = 0; i < session->room_count; i++)
        if (session_rooms(session)[i].member) {
            report_row(report);
            report_text(report, room_name(session_rooms(session)[i].room));
        }
    report_rows_end(report);
    report_name(report, "handshake");
    if (handshake.length)
        report_json(report, handshake);
    else
        report_nothing(report);
    report_object_end(report);
}

static void on_told(void *argument, int result, struct bytes handshake);

static int question(struct inquiry *inquiry, const struct session *session)
{
    inquiry->generation = session->generation;
    return ask_start(inquiry->router, session, on_told, inquiry, &inquiry->ask);
}

static void on_told(void *argument, int result, struct bytes handshake)
{
    struct inquiry *inquiry = argument;
    struct bytes sid = bytes_make(inquiry->sid, SID_LENGTH);
    const struct session *session = sessions_find_sid(&inquiry->router->sessions, sid);
    struct report report = report_new(&inquiry->reply.out, inquiry->reply.json);

    /* The gateway may have been asked about a socket whose loss it had told already. */
    if (session && !session->link && result == ERROR_NOT_FOUND)
        result = 0;
    if (session && session->link && session->generation != inquiry->generation) {
        result = question(inquiry, session);
        if (!result)
            return; /* its client has come back, and told something anew */
    }
    if (!result && session)
        describe(inquiry->router, &report, session, session->link ? handshake : (struct bytes){0});
    else
        report_error(&report, reason_for(result ? result : ERROR_NOT_FOUND));
    stats_reply_send(&inquiry->reply);
    buffer_done(&inquiry->reply.out);
    free(inquiry);
}

static void cancel(void *pending)
{
    struct inquiry *inquiry = pending;

    ask_cancel(inquiry->ask);
    buffer_done(&inquiry->reply.out);
    free(inquiry);
}

enum stats_outcome inquiry_start(struct stats_request *request)
{
    struct router *router = request->router;
    const struct session *session;
    struct inquiry *inquiry;
    int result;

    if (request->command->count != 2)
        return stats_misused(request);
    session = sessions_find_sid(&router->sessions, stats_word(request, 1));
    if (!session)
        return stats_refuse(request, reason_for(ERROR_NOT_FOUND));
    if (!session->link) {
        describe(router, &request->report, session, (struct bytes){0});
        return STATS_ANSWERED;
    }
    inquiry = memory_zero(1, sizeof *inquiry);
    inquiry->router = router;
    memcpy(inquiry->sid, session->pid, SID_LENGTH);
    result = question(inquiry, session);
    if (result) {
        free(inquiry);
        return stats_refuse(request, reason_for(result));
    }
    stats_reply_later(request, &inquiry->reply, inquiry, cancel);
    return STATS_LATER;
}
