/*
 * Pages of history for sockets; see history.h.  It owns their requests on their way.  Its one surprising
 * rule: a join counts from the moment its page is there, so what was released while the page was read comes
 * out of memory; when memory has lost some of that already, the page is read again.
 */
#include "router/history.h"

#include "common/memory.h"
#include "router/membership.h"
#include "router/page.h"
#include "router/reply.h"
#include "router/rows.h"

#include <stdlib.h>

enum {
    PAGE_DEFAULT = 50,
    JOIN_READS_MAX = 5, /* of one join, whose room outruns memory while its page is read */
};

/* Somebody waits for a page.  For a join it takes the newest messages. */
struct page_request {
    struct page page;                     /* must stay first */
    struct page_request *previous, *next; /* of all */
    struct router *router;
    struct gateway_link *link; /* held */
    struct room *room;         /* held */
    uint64_t socket, serial, request;
    uint64_t asked_pos; /* of a join: where its ticket came back */
    bool join, watch;
    bool abandoned; /* answered already */
    uint8_t reads;
};

/* Who asked; NULL when it is gone, even when its gateway has given its number to another. */
static struct session *request_session(const struct page_request *request)
{
    return session_find_same(&request->link->sessions, request->socket, request->serial);
}

/* SQLite's numbers end there; no room gets that far. */
static uint64_t clamp(uint64_t seq)
{
    return seq < INT64_MAX ? seq : INT64_MAX;
}

static void answer_page(struct router *router, struct gateway_link *link, uint64_t request,
                        const struct room *room, struct listing *listing, bool newest)
{
    struct buffer text = {0};
    struct wire_list attachments = {0};

    listing_bound(listing, newest, router->settings->max_history_bytes);
    membership_append_ok(&text, room);
    buffer_append_literal(&text, ",\"messages\":[");
    listing_append(listing, &text, &attachments);
    buffer_append_literal(&text, "],\"more\":");
    buffer_append_text(&text, listing->more ? "true}" : "false}");
    reply_answer_binary(link, request, buffer_bytes(&text), wire_list_finish(&attachments));
    buffer_done(&text);
    wire_list_done(&attachments);
    link_split(&router->links, link);
}

static void answer_join(struct router *router, struct session *session, struct membership *membership,
                        uint64_t request, bool watch, struct listing *listing)
{
    struct buffer text = {0};
    struct wire_list attachments = {0};

    listing_bound(listing, true, router->settings->max_history_bytes);
    listing_append(listing, &text, &attachments);
    membership_finish_join(router, session, membership,
                           &(struct join_answer){.request = request,
                                                 .room = membership->room,
                                                 .watch = watch,
                                                 .with_history = true,
                                                 .more = listing->more,
                                                 .history = buffer_bytes(&text),
                                                 .attachments = wire_list_finish(&attachments)});
    buffer_done(&text);
    wire_list_done(&attachments);
}

/* A join that comes to nothing. */
static void refuse_join(struct router *router, struct session *session, struct room *room, uint64_t request,
                        enum refusal_code code)
{
    struct membership *membership = session_membership(session, room_name(room));

    reply_refuse(router, session->link, request, code, NULL);
    membership->pending--;
    if (!membership->member && membership->pending == 0)
        membership->wanted = false;
    if (!membership->wanted)
        session->unsaved = true; /* the row came with the ticket */
    session_tidy(&router->sessions, session, membership);
    if (session->unsaved)
        rows_save(router, session);
}

/* -- reads ------------------------------------------------------------------------------------ */

static void end_request(struct page_request *request)
{
    struct router *router = request->router;

    if (request->previous)
        request->previous->next = request->next;
    else
        router->page_requests = request->next;
    if (request->next)
        request->next->previous = request->previous;
    room_release(&router->rooms, request->room);
    link_release(request->link);
    page_free(&request->page);
    free(request);
}

/* What memory has, when the archive has the rest and can't be read. */
static void list_newest(struct listing *listing, const struct room *room, unsigned limit)
{
    uint64_t first = room->last_seq + 1;

    while (first > 1 && room->last_seq + 1 - first < limit && recent_room_find(room, first - 1))
        first--;
    page_list_memory(listing, room, first, room->last_seq);
}

/*
 * The newest messages up to now: the page, and behind it what was released while it was read.  False when
 * memory does not have all of that.
 */
static bool list_for_join(struct listing *listing, const struct page_request *request)
{
    uint64_t last = request->room->last_seq;
    unsigned limit = request->page.bounds.limit;
    struct listing added = {0};
    uint64_t shown, first;
    unsigned kept;

    page_list(&request->page, listing);
    if (listing->count == 0 && listing->more) {
        list_newest(listing, request->room, limit);
        return true;
    }
    shown = listing->count ? listing->items[listing->count - 1]->seq : 0;
    if (shown >= last)
        return true;
    first = last - shown >= limit ? last - limit + 1 : shown + 1;
    page_list_memory(&added, request->room, first, last);
    if (added.count != last - first + 1)
        return false;
    kept = first == shown + 1 ? limit - added.count : 0;
    if (kept > listing->count)
        kept = listing->count;
    listing->more |= kept < listing->count || first > shown + 1;
    memmove(listing->items, listing->items + listing->count - kept, kept * sizeof *listing->items);
    memcpy(listing->items + kept, added.items, added.count * sizeof *listing->items);
    listing->count = kept + added.count;
    return true;
}

static void refuse_page(struct page_request *request, struct session *session, enum refusal_code code)
{
    if (request->join)
        refuse_join(request->router, session, request->room, request->request, code);
    else
        reply_refuse(request->router, request->link, request->request, code, NULL);
}

/* False when the page is to be read again. */
static bool answer_request(struct page_request *request, struct session *session)
{
    struct listing listing = {0};
    struct membership *membership;
    bool joins;

    if (!request->join) {
        page_list(&request->page, &listing);
        answer_page(request->router, request->link, request->request, request->room, &listing,
                    !request->page.bounds.has_after);
        return true;
    }
    if (!list_for_join(&listing, request))
        return false;
    membership = session_membership(session, room_name(request->room));
    joins = !membership->member;
    answer_join(request->router, session, membership, request->request, request->watch, &listing);
    if (joins && membership->joined_pos != request->asked_pos)
        rows_move(request->router, session, membership);
    return true;
}

/* Whether it is on its way once more. */
static bool read_again(struct page_request *request, struct session *session)
{
    page_free(&request->page);
    if (++request->reads < JOIN_READS_MAX && page_start(request->router, &request->page) == 0)
        return true;
    refuse_page(request, session, REFUSAL_BUSY);
    return false;
}

static bool is_wanted(const struct page *page)
{
    const struct page_request *request = (const struct page_request *)page;

    return !request->abandoned && request_session(request);
}

static void on_page(struct page *page, int result)
{
    struct page_request *request = (struct page_request *)page;
    struct session *session = request_session(request);

    if (session && !request->abandoned) {
        if (result)
            refuse_page(request, session, result == ERROR_BUSY ? REFUSAL_BUSY : REFUSAL_UNAVAILABLE);
        else if (!answer_request(request, session) && read_again(request, session))
            return;
    }
    if (session)
        session->reads--;
    end_request(request);
}

/* Asks for the page that is described but for its owner; ERROR_BUSY when too many are on their way. */
static int start_page(struct router *router, struct session *session, const struct page_request *description)
{
    struct page_request *request;

    if (session->reads >= SESSION_READS_MAX)
        return ERROR_BUSY;
    request = memory_new(sizeof *request);
    *request = *description;
    request->router = router;
    request->link = link_hold(session->link);
    request->socket = session->socket;
    request->serial = session->serial;
    request->page.namespace = request->room->namespace->name;
    request->page.room = room_name(room_hold(request->room));
    request->page.done = on_page;
    request->page.wanted = is_wanted;
    request->next = router->page_requests;
    if (request->next)
        request->next->previous = request;
    router->page_requests = request;
    if (page_start(router, &request->page) < 0) {
        end_request(request);
        return ERROR_BUSY;
    }
    session->reads++;
    return 0;
}

/* -- requests --------------------------------------------------------------------------------- */

void history_request(struct router *router, struct gateway_link *link, const struct wire_history *record)
{
    struct session *session = session_find(&link->sessions, record->socket);
    struct membership *membership = session ? session_membership(session, record->room) : NULL;
    uint64_t limit = record->limit ? record->limit : PAGE_DEFAULT;
    struct page_bounds bounds = {
        .has_after = record->has_after, .before = clamp(record->before), .after = clamp(record->after)};
    struct listing listing = {0};
    struct room *room;

    bounds.limit = (unsigned)(limit < router->settings->max_history ? limit : router->settings->max_history);
    if (session && !membership_may_name(router, membership, record->room)) {
        reply_refuse(router, link, record->request, REFUSAL_BAD_ROOM, membership_name_fault(record->room));
        return;
    }
    if (session && !session_may(session, RIGHT_READ, record->room)) {
        reply_refuse(router, link, record->request, REFUSAL_FORBIDDEN, NULL);
        return;
    }
    if (!membership || !membership->wanted) {
        reply_refuse(router, link, record->request, REFUSAL_NOT_JOINED, NULL);
        return;
    }
    if (bounds.before && bounds.has_after) {
        reply_refuse(router, link, record->request, REFUSAL_BAD_REQUEST,
                     "history takes before or after, not both");
        return;
    }
    room = membership->room;
    if (room->seq_known && page_from_memory(room, &bounds, &listing)) {
        router->counters.pages_memory++;
        answer_page(router, link, record->request, room, &listing, !bounds.has_after);
        return;
    }
    if (start_page(router, session,
                   &(struct page_request){.room = room,
                                          .request = record->request,
                                          .page = {.bounds = bounds, .enough = 1}}) < 0)
        reply_refuse(router, link, record->request, REFUSAL_BUSY, NULL);
}

void history_join(struct router *router, struct session *session, struct membership *membership,
                  uint64_t request, bool watch, unsigned count)
{
    struct room *room = membership->room;
    struct page_bounds bounds = {.limit = count};
    struct listing listing = {0};

    if (page_from_memory(room, &bounds, &listing)) {
        router->counters.pages_memory++;
        answer_join(router, session, membership, request, watch, &listing);
        return;
    }
    if (start_page(router, session,
                   &(struct page_request){.room = room,
                                          .request = request,
                                          .asked_pos = router->released,
                                          .join = true,
                                          .watch = watch,
                                          .page = {.bounds = bounds}}) < 0)
        refuse_join(router, session, room, request, REFUSAL_BUSY);
}

void history_abandon_joins(struct router *router, struct session *session, const struct room *room)
{
    for (struct page_request *request = router->page_requests; request; request = request->next) {
        struct buffer *scratch = &router->scratch;

        if (!request->join || request->abandoned || request->serial != session->serial ||
            request->room != room)
            continue;
        request->abandoned = true;
        session_membership(session, room_name(room))->pending--;
        buffer_clear(scratch);
        membership_append_ok(scratch, room);
        buffer_append_literal(scratch, ",\"seq\":");
        buffer_append_u64(scratch, room->last_seq);
        buffer_append_literal(scratch, ",\"members\":");
        buffer_append_u64(scratch, room->members);
        buffer_append_literal(scratch, ",\"history\":[],\"more\":true}");
        reply_answer(request->link, request->request, buffer_bytes(scratch));
    }
}

void history_settle_joins(struct router *router, struct session *session)
{
    for (struct page_request *request = session->reads ? router->page_requests : NULL; request;
         request = request->next) {
        struct membership *membership;

        if (request_session(request) != session)
            continue;
        session->reads--;
        if (!request->join || request->abandoned)
            continue;
        request->abandoned = true;
        membership = session_membership(session, room_name(request->room));
        membership->pending--;
        session_enter(&router->sessions, session, membership, request->asked_pos, request->watch);
    }
}
