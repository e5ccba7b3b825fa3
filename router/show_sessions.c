/*
 * The sessions of a user, shown or ended; see show_sessions.h.  The stats socket calls it.  Its one surprising
 * rule: there is no index of users, which every connect would pay for; all sessions are looked at, in steps.
 */
#include "router/show_sessions.h"

#include "common/memory.h"
#include "router/targets.h"

#include <stdlib.h>

enum { REASON_MAX = 256 };

struct user_search {
    struct step_job job; /* must stay first */
    struct router *router;
    struct stats_reply reply;
    struct report report;
    struct table_walk walk;
    struct buffer found; /* sids of the step */
    uint64_t count, shown;
    bool kick;
    char reason[REASON_MAX];
    size_t length;
    char user[];
};

static void free_search(void *pending)
{
    struct user_search *search = pending;

    buffer_done(&search->reply.out);
    buffer_done(&search->found);
    free(search);
}

static void cancel_search(void *pending)
{
    struct user_search *search = pending;

    steps_remove(&search->router->steps, &search->job);
    free_search(search);
}

static void look_at(void *entry, void *argument)
{
    const struct session *session = entry;
    struct user_search *search = argument;
    char space[SID_LENGTH + 5];

    if (bytes_equal(session_from(session, space), bytes_make(search->user, search->length)))
        buffer_append_bytes(&search->found, session_sid(session));
}

static void begin_list(struct user_search *search)
{
    static const char *const columns[] = {"sid", "namespace", "state", "gateway", "rooms", NULL};

    buffer_clear(&search->reply.out);
    search->count = search->shown = 0;
    search->report = report_new(&search->reply.out, search->reply.json);
    report_list_begin(&search->report, "sessions", columns);
}

static void show(struct user_search *search, const struct session *session)
{
    struct report *report = &search->report;

    if (search->shown == SHOW_SESSIONS_MAX || search->reply.out.length > SHOW_SESSIONS_BYTES)
        return;
    search->shown++;
    report_row(report);
    report_text(report, session_sid(session));
    report_text(report, session->namespace->name);
    report_text(report, bytes_from_text(session->link ? "live" : "away"));
    if (session->link)
        report_text(report, bytes_from_text(session->link->name));
    else
        report_nothing(report);
    report_texts_begin(report);
    for (uint16_t i = 0; i < session->room_count; i++)
        if (session_rooms(session)[i].member)
            report_texts_add(report, room_name(session_rooms(session)[i].room));
    report_texts_end(report);
}

static void end_session(struct router *router, struct session *session, const char *reason)
{
    char space[SID_LENGTH + 5];
    struct bytes from = session_from(session, space);

    log_info("session is kicked", "sid=%.*s from=%.*s namespace=%.*s gateway=%s reason=%s", SID_LENGTH,
             session->pid, BYTES_PRINTF(from), BYTES_PRINTF(session->namespace->name),
             session->link ? session->link->name : "", reason);
    router->counters.kicked++;
    targets_disconnect(router, session, WIRE_CLOSE_FINAL);
}

/* The sessions that the step has found: only now, since ending one changes the table. */
static void take_found(struct user_search *search)
{
    for (size_t at = 0; at < search->found.length; at += SID_LENGTH) {
        struct bytes sid = bytes_make(search->found.data + at, SID_LENGTH);
        struct session *session = sessions_find_sid(&search->router->sessions, sid);

        if (!session)
            continue;
        search->count++;
        if (search->kick)
            end_session(search->router, session, search->reason);
        else
            show(search, session);
    }
    buffer_clear(&search->found);
}

static bool step(struct step_job *job)
{
    struct user_search *search = (struct user_search *)job;
    enum table_walked walked =
        table_walk(&search->router->sessions.by_sid, &search->walk, STEP_SLOTS, look_at, search);

    if (walked == TABLE_WALK_AGAIN && !search->kick)
        begin_list(search);
    take_found(search);
    if (walked != TABLE_WALK_DONE)
        return true;
    if (search->count == 0) {
        buffer_clear(&search->reply.out);
        search->report = report_new(&search->reply.out, search->reply.json);
        report_error(&search->report, "no such user");
    } else if (search->kick) {
        search->report = report_new(&search->reply.out, search->reply.json);
        report_done(&search->report, "kicked", search->count);
    } else {
        report_list_end(&search->report, search->count - search->shown);
    }
    stats_reply_send(&search->reply);
    free_search(search);
    return false;
}

static struct user_search *search_new(struct stats_request *request, struct bytes user)
{
    struct user_search *search = memory_zero(1, sizeof *search + user.length);

    search->router = request->router;
    search->length = user.length;
    if (user.length)
        memcpy(search->user, user.data, user.length);
    search->job.step = step;
    return search;
}

static void start(struct stats_request *request, struct user_search *search)
{
    stats_reply_later(request, &search->reply, search, cancel_search);
    if (!search->kick)
        begin_list(search);
    steps_add(&request->router->steps, &search->job);
}

enum stats_outcome show_user(struct stats_request *request)
{
    if (request->command->count != 2)
        return stats_misused(request);
    start(request, search_new(request, stats_word(request, 1)));
    return STATS_LATER;
}

/* The words from that index on, as one text. */
static void read_reason(const struct stats_request *request, unsigned index, char out[REASON_MAX])
{
    size_t length = 0;

    for (; index < request->command->count; index++) {
        struct bytes word = stats_word(request, index);

        length += (size_t)snprintf(out + length, REASON_MAX - length, "%s%.*s", length ? " " : "",
                                   BYTES_PRINTF(word));
        if (length >= REASON_MAX)
            break;
    }
}

enum stats_outcome kick(struct stats_request *request)
{
    bool user = command_is(request->command, 1, "user");
    char reason[REASON_MAX] = "";
    struct user_search *search;
    struct session *session;
    struct bytes word;

    if (request->command->count < (user ? 3 : 2))
        return stats_misused(request);
    word = stats_word(request, user ? 2 : 1);
    read_reason(request, user ? 3 : 2, reason);
    if (user) {
        search = search_new(request, word);
        search->kick = true;
        memcpy(search->reason, reason, sizeof reason);
        start(request, search);
        return STATS_LATER;
    }
    session = word.length == SID_LENGTH ? sessions_find_sid(&request->router->sessions, word) : NULL;
    if (!session)
        return stats_refuse(request, "no such session");
    end_session(request->router, session, reason);
    report_done(&request->report, "kicked", 1);
    return STATS_ANSWERED;
}
