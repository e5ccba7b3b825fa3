/*
 * Pages read for history.c and transcript.c; see page.h.  It owns the queue of reads on their way.  Its one
 * surprising rule: what it shows is bounded in bytes already while it is read, since a page may be large, and
 * the one message that goes beyond the bound stays, so that no page is empty for its size.
 */
#include "router/page.h"

enum {
    READS_MAX = 160, /* with the journal at once; its other places are for replay and recovery */
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

/*
 * What the archive is asked for, once the journal's part is there; false when nothing is.  Whatever left the
 * journal before that part was read is in the archive, and what leaves it now has been read: so the two fit
 * together without a gap.
 */
static bool plan_archive(struct page *page)
{
    const struct journal_read *read = &page->read;
    const struct page_bounds *bounds = &page->bounds;
    struct archive_read *archive = &page->archive;

    *archive = (struct archive_read){.namespace = page->namespace,
                                     .room = page->room,
                                     .newest = !bounds->has_after,
                                     .limit = bounds->limit,
                                     .max_bytes = page->router->settings->max_history_bytes};
    if (!page->router->archive_reader)
        return false;
    if (bounds->has_after) {
        archive->after = bounds->after;
        archive->before = read->first_seq;
        return !read->first_seq || bounds->after + 1 < read->first_seq;
    }
    archive->before = read->count ? read->messages[0].seq : bounds->before;
    if (read->first_seq && (!archive->before || archive->before > read->first_seq))
        archive->before = read->first_seq;
    archive->limit = bounds->limit - (unsigned)read->count;
    return !read->more && archive->before != 1;
}

/* The archive can't be read; gives what comes of the page. */
static int do_without(struct page *page, int result)
{
    page->router->counters.pages_unarchived++;
    if (page->bounds.has_after || page->read.count < page->enough)
        return result;
    page->archive.more = true; /* for all that is known */
    return 0;
}

static void on_archive(struct archive_read *archive, void *argument)
{
    struct page *page = argument;
    int result = archive->result;

    page->router->page_archive_reads--;
    end_page(page, result ? do_without(page, result) : 0);
}

/* Whether the page waits for it now; result as done() is to get it otherwise. */
static bool ask_archive(struct page *page, int *result)
{
    if (*result || !page->wanted(page) || !plan_archive(page))
        return false;
    page->archive.done = on_archive;
    page->archive.argument = page;
    *result = archive_read(page->router->archive_reader, &page->archive);
    if (*result == 0) {
        page->router->counters.pages_archive++;
        page->router->page_archive_reads++;
        return true;
    }
    *result = do_without(page, *result);
    return false;
}

static void on_read(struct journal_read *read, void *argument)
{
    struct page *page = argument;
    struct router *router = page->router;
    int result = read->result;

    router->page_reads--;
    if (!ask_archive(page, &result))
        end_page(page, result);
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
    page->archive = (struct archive_read){0};
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

/* How many messages of the journal's part have been released. */
static unsigned released(const struct page *page)
{
    unsigned count = 0;

    while (count < page->read.count && page->read.messages[count].pos <= page->router->released)
        count++;
    return count;
}

static void list_archive(const struct page *page, struct listing *listing)
{
    for (size_t i = 0; i < page->archive.count; i++)
        listing->items[listing->count++] = archive_read_message(&page->archive, i);
}

static void list_journal(const struct page *page, unsigned count, struct listing *listing)
{
    for (unsigned i = 0; i < count; i++)
        listing->items[listing->count++] = &page->read.messages[i];
}

static void list_oldest(const struct page *page, struct listing *listing)
{
    const struct room *room = find_room(page);
    unsigned shown = released(page);
    unsigned place;

    list_archive(page, listing);
    place = page->bounds.limit - listing->count;
    if (page->archive.more) {
        listing->more = true; /* before what the journal has */
    } else if (shown > place) {
        list_journal(page, place, listing);
        listing->more = true;
    } else {
        list_journal(page, shown, listing);
        listing->more = page->read.more && shown == page->read.count;
        if (listing->count && room && room->seq_known)
            listing->more = listing->items[listing->count - 1]->seq < room->last_seq;
    }
}

void page_list(const struct page *page, struct listing *listing)
{
    listing->count = 0;
    if (page->bounds.has_after) {
        list_oldest(page, listing);
        return;
    }
    list_archive(page, listing);
    list_journal(page, released(page), listing);
    listing->more = page->read.more || page->archive.more;
}

void page_free(struct page *page)
{
    journal_read_free(&page->read);
    archive_read_free(&page->archive);
}
