/*
 * Pages read for history.c and transcript.c; see page.h.  It owns the queue of reads on their way.  Its one
 * surprising rule: what it shows is bounded in bytes already while it is read, since a page may be large, and
 * the one message that goes beyond the bound stays, so that no page is empty for its size.
 */
#include "router/page.h"

enum {
    READS_MAX = 192, /* with the journal at once; its other places are for replay */
    PAGES_MAX = 65536,
};

/* -- from memory ------------------------------------------------------------------------------ */

/* Numbers of the messages asked for: none when first > last. */
struct range {
    uint64_t first, last;
    bool more;
};

static struct range plan(uint64_t last_seq, const struct page_bounds *bounds)
{
    struct range range = {0};

    if (bounds->has_after) {
        if (bounds->after >= last_seq)
            return (struct range){.first = 1};
        range.first = bounds->after + 1;
        range.last = last_seq - bounds->after > bounds->limit ? bounds->after + bounds->limit : last_seq;
        range.more = range.last < last_seq;
        return range;
    }
    range.last = bounds->before && bounds->before - 1 < last_seq ? bounds->before - 1 : last_seq;
    range.first = range.last > bounds->limit ? range.last - bounds->limit + 1 : 1;
    range.more = range.first > 1;
    return range;
}

void page_list_memory(struct listing *listing, const struct room *room, uint64_t first, uint64_t last)
{
    for (uint64_t seq = first; seq <= last && listing->count < LISTING_MAX; seq++) {
        const struct message *message = recent_room_find(room, seq);

        if (!message)
            return;
        listing->items[listing->count++] = &message->ticket.entry.message;
    }
}

bool page_from_memory(const struct room *room, const struct page_bounds *bounds, struct listing *listing)
{
    struct range range = plan(room->last_seq, bounds);
    uint64_t oldest = recent_room_oldest(room);

    if (range.first <= range.last) {
        if (!oldest || oldest > range.first)
            return false;
        if (oldest == range.first && oldest > 1 && !bounds->has_after)
            return false; /* whether there are older ones, memory does not know */
        page_list_memory(listing, room, range.first, range.last);
    }
    listing->more = range.more;
    return true;
}

/* -- from the journal ------------------------------------------------------------------------- */

static void read_queued(struct router *router);

static void end_page(struct page *page, int result)
{
    page->router->page_count--;
    page->done(page, result);
}

static void on_read(struct journal_read *read, void *argument)
{
    struct page *page = argument;
    struct router *router = page->router;

    router->page_reads--;
    end_page(page, read->result);
    read_queued(router);
}

/* Hands over to the journal what it may have. */
static void read_queued(struct router *router)
{
    struct page *page;

    while ((page = router->queued_first) && router->page_reads < READS_MAX) {
        bool skip = !page->wanted(page);

        if (!skip && journal_read(router->journal, &page->read))
            return;
        router->queued_first = page->next;
        if (skip)
            end_page(page, ERROR_CLOSED);
        else
            router->page_reads++;
    }
}

int page_start(struct router *router, struct page *page)
{
    if (router->page_count >= PAGES_MAX)
        return ERROR_BUSY;
    page->router = router;
    page->read = (struct journal_read){
        .kind = JOURNAL_READ_PAGE,
        .namespace = page->namespace,
        .room = page->room,
        .before = page->bounds.has_after ? 0 : page->bounds.before,
        .after = page->bounds.has_after ? page->bounds.after : 0,
        .forward = page->bounds.has_after,
        .limit = page->bounds.limit,
        .max_bytes = router->settings->max_history_bytes,
        .done = on_read,
        .argument = page,
    };
    router->page_count++;
    router->counters.pages_disk++;
    if (router->queued_first)
        router->queued_last->next = page;
    else
        router->queued_first = page;
    router->queued_last = page;
    read_queued(router);
    return 0;
}

static const struct room *find_room(const struct page *page)
{
    const struct namespace *namespace = namespace_find(&page->router->namespaces, page->namespace);

    return namespace ? rooms_find(&page->router->rooms, namespace, page->room) : NULL;
}

void page_list(const struct page *page, struct listing *listing)
{
    const struct journal_read *read = &page->read;
    const struct room *room = find_room(page);

    listing->count = 0;
    while (listing->count < read->count && read->messages[listing->count].pos <= page->router->released) {
        listing->items[listing->count] = &read->messages[listing->count];
        listing->count++;
    }
    listing->more = read->more;
    if (page->bounds.has_after && listing->count < read->count)
        listing->more = false;
    else if (page->bounds.has_after && listing->count && room && room->seq_known)
        listing->more = listing->items[listing->count - 1]->seq < room->last_seq;
}

void page_free(struct page *page)
{
    journal_read_free(&page->read);
}
