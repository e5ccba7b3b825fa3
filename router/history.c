/*
 * Pages of history; see history.h.  It owns the reads on their way.  Its one surprising rule: the journal may
 * show a committed message that has not been released yet; such a one is left out, since it is still to be
 * delivered.
 */
#include "router/history.h"

#include "common/memory.h"
#include "router/listing.h"
#include "router/membership.h"
#include "router/reply.h"
#include "router/rows.h"

#include <stdlib.h>

enum {
    PAGE_DEFAULT = 50,
    READS_MAX = 160, /* with the journal at once; its other places are for replay and recovery */
    PAGES_MAX = 65536,
};

/* A read on its way.  For a join it takes the newest messages. */
struct page {
    struct journal_read read;     /* must stay first */
    struct page *previous, *next; /* of all */
    struct page *next_queued;     /* of those that the journal does not have yet */
    struct router *router;
    struct gateway_link *link; /* held */
    struct room *room;         /* held */
    uint64_t socket, serial, request;
    uint64_t asked_pos; /* of a join: where its ticket came back */
    bool join, watch;
    bool newest;     /* the newest of what the bounds allow */
    bool from_start; /* the oldest of all, which the journal knows as the newest before limit + 1 */
    bool abandoned;  /* answered already */
};

/* Who asked; NULL when it is gone, even when its gateway has given its number to another. */
static struct session *page_session(const struct page *page)
{
    return session_find_same(&page->link->sessions, page->socket, page->serial);
}

/* Numbers of the messages asked for: none when first > last. */
struct range {
    uint64_t first, last;
    bool newest; /* the newest of what the bounds allow */
    bool more;
};

/* SQLite's numbers end there; no room gets that far. */
static uint64_t clamp(uint64_t seq)
{
    return seq < INT64_MAX ? seq : INT64_MAX;
}

static struct range plan(uint64_t last_seq, uint64_t before, bool has_after, uint64_t after, unsigned limit)
{
    struct range range = {.newest = !has_after};

    if (has_after) {
        if (after >= last_seq)
            return (struct range){.first = 1};
        range.first = after + 1;
        range.last = last_seq - after > limit ? after + limit : last_seq;
        range.more = range.last < last_seq;
        return range;
    }
    range.last = before && before - 1 < last_seq ? before - 1 : last_seq;
    range.first = range.last > limit ? range.last - limit + 1 : 1;
    range.more = range.first > 1;
    return range;
}

static bool in_memory(const struct room *room, const struct range *range)
{
    uint64_t oldest = recent_room_oldest(room);

    return range->first > range->last || (oldest && oldest <= range->first);
}

static void list_from_memory(struct listing *listing, const struct room *room, uint64_t first, uint64_t last)
{
    for (uint64_t seq = first; seq <= last && listing->count < LISTING_MAX; seq++) {
        const struct message *message = recent_room_find(room, seq);

        if (!message)
            return;
        listing->items[listing->count++] = &message->ticket.entry.message;
    }
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

static void end_page(struct page *page)
{
    struct router *router = page->router;

    if (page->previous)
        page->previous->next = page->next;
    else
        router->pages = page->next;
    if (page->next)
        page->next->previous = page->previous;
    router->page_count--;
    room_release(&router->rooms, page->room);
    link_release(page->link);
    journal_read_free(&page->read);
    free(page);
}

/* What the page shows and has been released. */
static void list_from_page(struct listing *listing, const struct page *page)
{
    for (size_t i = 0; i < page->read.count && listing->count < LISTING_MAX; i++) {
        const struct journal_message *fields = &page->read.messages[i];

        if (!page->room->seq_known || fields->seq <= page->room->last_seq)
            listing->items[listing->count++] = fields;
    }
    listing->more = page->read.more;
    if (page->from_start)
        listing->more = page->room->seq_known ? page->room->last_seq > page->read.limit
                                              : listing->count == page->read.limit;
}

/* The newest messages up to now: the page, and behind it what was released while it was read. */
static void list_for_join(struct listing *listing, const struct page *page)
{
    uint64_t last = page->room->last_seq;
    uint64_t shown;

    list_from_page(listing, page);
    shown = listing->count ? listing->items[listing->count - 1]->seq : 0;
    if (shown < last) {
        unsigned limit = page->read.limit;
        uint64_t first = last - shown >= limit ? last - limit + 1 : shown + 1;
        struct listing added = {0};
        unsigned kept;

        list_from_memory(&added, page->room, first, last);
        kept = shown && first == shown + 1 && added.count == last - shown ? limit - added.count : 0;
        if (kept > listing->count)
            kept = listing->count;
        listing->more |= kept < listing->count || first > 1;
        memmove(listing->items, listing->items + listing->count - kept, kept * sizeof *listing->items);
        memcpy(listing->items + kept, added.items, added.count * sizeof *listing->items);
        listing->count = kept + added.count;
    }
}

static void finish_page(struct page *page, struct session *session)
{
    struct router *router = page->router;
    struct membership *membership = session_membership(session, room_name(page->room));
    struct listing listing = {0};

    session->reads--;
    if (page->abandoned)
        return;
    if (page->read.result) {
        if (page->join)
            refuse_join(router, session, page->room, page->request, REFUSAL_UNAVAILABLE);
        else
            reply_refuse(router, page->link, page->request, REFUSAL_UNAVAILABLE, NULL);
        return;
    }
    if (page->join) {
        bool joins = !membership->member;

        list_for_join(&listing, page);
        answer_join(router, session, membership, page->request, page->watch, &listing);
        if (joins && membership->joined_pos != page->asked_pos)
            rows_move(router, session, membership);
    } else {
        list_from_page(&listing, page);
        answer_page(router, page->link, page->request, page->room, &listing, page->newest);
    }
}

static void read_queued(struct router *router);

static void page_read(struct journal_read *read, void *argument)
{
    struct page *page = argument;
    struct router *router = page->router;
    struct session *session = page_session(page);

    (void)read;
    router->page_reads--;
    if (session)
        finish_page(page, session);
    end_page(page);
    read_queued(router);
}

/* Nobody waits for it any more. */
static bool pointless(const struct page *page)
{
    return page->abandoned || !page_session(page);
}

static void forget_page(struct page *page)
{
    struct session *session = page_session(page);

    if (session)
        session->reads--;
    end_page(page);
}

/* Hands over to the journal what it may have. */
static void read_queued(struct router *router)
{
    struct page *page;

    while ((page = router->queued_first) && router->page_reads < READS_MAX) {
        bool skip = pointless(page);

        if (!skip && journal_read(router->journal, &page->read))
            return;
        router->queued_first = page->next_queued;
        if (skip)
            forget_page(page);
        else
            router->page_reads++;
    }
}

static void enqueue(struct router *router, struct page *page)
{
    page->next = router->pages;
    if (page->next)
        page->next->previous = page;
    router->pages = page;
    router->page_count++;
    if (router->queued_first)
        router->queued_last->next_queued = page;
    else
        router->queued_first = page;
    router->queued_last = page;
}

/* Asks for the page that is described but for its owner; ERROR_BUSY when too many are on their way. */
static int start_page(struct router *router, struct session *session, const struct page *description)
{
    struct page *page;

    if (router->page_count >= PAGES_MAX || session->reads >= SESSION_READS_MAX)
        return ERROR_BUSY;
    page = memory_new(sizeof *page);
    *page = *description;
    page->router = router;
    page->link = link_hold(session->link);
    page->socket = session->socket;
    page->serial = session->serial;
    page->read.kind = JOURNAL_READ_PAGE;
    page->read.namespace = page->room->namespace->name;
    page->read.room = room_name(room_hold(page->room));
    page->read.done = page_read;
    page->read.argument = page;
    session->reads++;
    enqueue(router, page);
    router->counters.pages_disk++;
    read_queued(router);
    return 0;
}

/* -- requests --------------------------------------------------------------------------------- */

void history_request(struct router *router, struct gateway_link *link, const struct wire_history *record)
{
    struct session *session = session_find(&link->sessions, record->socket);
    struct membership *membership = session ? session_membership(session, record->room) : NULL;
    uint64_t limit = record->limit ? record->limit : PAGE_DEFAULT;
    uint64_t before = clamp(record->before), after = record->has_after ? clamp(record->after) : 0;
    struct listing listing = {0};
    struct range range;
    struct room *room;
    bool from_start;

    if (limit > router->settings->max_history)
        limit = router->settings->max_history;
    if (session && !room_name_valid(record->room)) {
        reply_refuse(router, link, record->request, REFUSAL_BAD_ROOM, NULL);
        return;
    }
    if (!membership || !membership->wanted) {
        reply_refuse(router, link, record->request, REFUSAL_NOT_JOINED, NULL);
        return;
    }
    if (before && record->has_after) {
        reply_refuse(router, link, record->request, REFUSAL_BAD_REQUEST,
                     "history takes before or after, not both");
        return;
    }
    room = membership->room;
    range = plan(room->last_seq, before, record->has_after, after, (unsigned)limit);
    if (room->seq_known && in_memory(room, &range)) {
        list_from_memory(&listing, room, range.first, range.last);
        listing.more = range.more;
        router->counters.pages_memory++;
        answer_page(router, link, record->request, room, &listing, range.newest);
        return;
    }
    from_start = record->has_after && after == 0;
    if (start_page(router, session,
                   &(struct page){.room = room,
                                  .request = record->request,
                                  .newest = !record->has_after,
                                  .from_start = from_start,
                                  .read = {.before = from_start ? limit + 1 : before,
                                           .after = after,
                                           .limit = (unsigned)limit}}) < 0)
        reply_refuse(router, link, record->request, REFUSAL_BUSY, NULL);
}

void history_join(struct router *router, struct session *session, struct membership *membership,
                  uint64_t request, bool watch, unsigned count)
{
    struct room *room = membership->room;
    struct range range = plan(room->last_seq, 0, false, 0, count);
    struct listing listing = {0};

    if (in_memory(room, &range)) {
        list_from_memory(&listing, room, range.first, range.last);
        listing.more = range.more;
        router->counters.pages_memory++;
        answer_join(router, session, membership, request, watch, &listing);
        return;
    }
    if (start_page(router, session,
                   &(struct page){.room = room,
                                  .request = request,
                                  .asked_pos = router->released,
                                  .join = true,
                                  .watch = watch,
                                  .read = {.limit = count}}) < 0)
        refuse_join(router, session, room, request, REFUSAL_BUSY);
}

void history_abandon_joins(struct router *router, struct session *session, const struct room *room)
{
    for (struct page *page = router->pages; page; page = page->next) {
        struct buffer *scratch = &router->scratch;

        if (!page->join || page->abandoned || page->serial != session->serial || page->room != room)
            continue;
        page->abandoned = true;
        session_membership(session, room_name(room))->pending--;
        buffer_clear(scratch);
        membership_append_ok(scratch, room);
        buffer_append_literal(scratch, ",\"seq\":");
        buffer_append_u64(scratch, room->last_seq);
        buffer_append_literal(scratch, ",\"members\":");
        buffer_append_u64(scratch, room->members);
        buffer_append_literal(scratch, ",\"history\":[],\"more\":true}");
        reply_answer(page->link, page->request, buffer_bytes(scratch));
    }
}

void history_settle_joins(struct router *router, struct session *session)
{
    for (struct page *page = session->reads ? router->pages : NULL; page; page = page->next) {
        struct membership *membership;

        if (page->serial != session->serial || page->link != session->link || page->socket != session->socket)
            continue;
        session->reads--;
        if (!page->join || page->abandoned)
            continue;
        page->abandoned = true;
        membership = session_membership(session, room_name(page->room));
        membership->pending--;
        session_enter(&router->sessions, session, membership, page->asked_pos, page->watch);
    }
}
