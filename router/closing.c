/*
 * Closing a room; see closing.h.  The stats socket calls it, membership.c for each client that has left.
 * Its one surprising rule: while too much waits for the journal nothing happens, and then it goes on, so
 * that a large room's leaves crowd nobody out.
 */
#include "router/closing.h"

#include "common/memory.h"
#include "proto/json_text.h"
#include "router/membership.h"
#include "router/steps.h"

#include <stdlib.h>

struct closing {
    struct step_job job; /* must stay first */
    struct router *router;
    struct stats_reply reply;
    struct table_walk walk;
    struct room *room;   /* held */
    uint64_t pos;        /* who joined behind it stays */
    struct buffer found; /* sids of the step */
    uint64_t left, unreachable;
};

static void free_closing(struct closing *closing)
{
    room_release(&closing->router->rooms, closing->room);
    buffer_done(&closing->reply.out);
    buffer_done(&closing->found);
    free(closing);
}

static void cancel(void *pending)
{
    struct closing *closing = pending;

    steps_remove(&closing->router->steps, &closing->job);
    free_closing(closing);
}

static void look_at(void *entry, void *argument)
{
    const struct session *session = entry;
    struct closing *closing = argument;

    for (uint16_t i = 0; i < session->room_count; i++) {
        const struct membership *membership = &session_rooms(session)[i];

        if (membership->room == closing->room && membership->wanted &&
            (!membership->member || membership->joined_pos <= closing->pos))
            buffer_append_bytes(&closing->found, session_sid(session));
    }
}

static void take_found(struct closing *closing)
{
    struct router *router = closing->router;

    for (size_t at = 0; at < closing->found.length; at += SID_LENGTH) {
        struct session *session =
            sessions_find_sid(&router->sessions, bytes_make(closing->found.data + at, SID_LENGTH));

        if (!session || membership_is_undecided(session))
            continue;
        if (session->link && !link_out(session->link)) {
            closing->unreachable++; /* its gateway would name it a member again */
            continue;
        }
        membership_close(router, session, closing->room);
        closing->left++;
    }
    buffer_clear(&closing->found);
}

static void answer(struct closing *closing)
{
    struct report report = report_new(&closing->reply.out, closing->reply.json);

    report_object_begin(&report);
    report_name(&report, "left");
    report_number(&report, closing->left);
    report_name(&report, "unreachable");
    report_number(&report, closing->unreachable);
    report_object_end(&report);
    log_info("room is closed", "namespace=%.*s room=%.*s left=%llu unreachable=%llu",
             BYTES_PRINTF(closing->room->namespace->name), BYTES_PRINTF(room_name(closing->room)),
             (unsigned long long)closing->left, (unsigned long long)closing->unreachable);
    stats_reply_send(&closing->reply);
}

static bool step(struct step_job *job)
{
    struct closing *closing = (struct closing *)job;
    enum table_walked walked;

    if (router_busy(closing->router))
        return true;
    walked = table_walk(&closing->router->sessions.by_sid, &closing->walk, STEP_SLOTS, look_at, closing);
    if (walked == TABLE_WALK_AGAIN)
        closing->unreachable = 0; /* they are found once more; who has left is not */
    take_found(closing);
    if (walked != TABLE_WALK_DONE)
        return true;
    answer(closing);
    free_closing(closing);
    return false;
}

enum stats_outcome closing_start(struct stats_request *request)
{
    struct router *router = request->router;
    enum stats_outcome refused;
    struct room *room = stats_read_room(request, &refused);
    struct closing *closing;

    if (!room)
        return refused;
    closing = memory_zero(1, sizeof *closing);
    closing->router = router;
    closing->room = room_hold(room);
    closing->pos = router->released;
    closing->job.step = step;
    router->counters.rooms_closed++;
    stats_reply_later(request, &closing->reply, closing, cancel);
    steps_add(&router->steps, &closing->job);
    return STATS_LATER;
}

void closing_tell(struct router *router, const struct session *session, struct bytes room)
{
    const char *epoch = router_epoch_for(router, session->namespace);
    struct buffer *scratch = &router->scratch;

    buffer_clear(scratch);
    buffer_append_literal(scratch, "[\"hubbub:closed\",{\"room\":");
    json_append_string(scratch, room);
    buffer_append_char(scratch, '}');
    if (epoch)
        message_append_offset(scratch, epoch, router->released);
    buffer_append_char(scratch, ']');
    wire_put_emit(link_out(session->link), &(struct wire_emit){.socket = session->socket,
                                                               .flags = epoch ? WIRE_DELIVER_OFFSET : 0,
                                                               .payload = buffer_bytes(scratch)});
}
