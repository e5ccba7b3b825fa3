/*
 * Pages of a room's archived messages: from memory when it has them all, else from the journal, and from the
 * archive what the journal has no more.
 *
 * For clients (history.h) and for the stats socket (transcript.h).  Only what has been released is shown:
 * the journal may hold a committed message that is still to be delivered.
 */
#ifndef HUBBUB_ROUTER_PAGE_H
#define HUBBUB_ROUTER_PAGE_H

#include "router/archive_reader.h"
#include "router/listing.h"
#include "router/router.h"

/* Bounds are exclusive. */
struct page_bounds {
    bool has_after;  /* the oldest messages above `after`; else the newest below `before` */
    uint64_t before; /* 0: no bound */
    uint64_t after;
    unsigned limit; /* messages: 1 to LISTING_MAX */
};

struct page;

/* result: 0; ERROR_IO; ERROR_AGAIN: MongoDB does not answer; ERROR_BUSY: too many wait for it; ERROR_CLOSED
   (it was not read). */
typedef void page_done(struct page *page, int result);

/*
 * A page on its way.  The caller allocates it, zero but for the fields up to `wanted`, usually inside
 * something larger, and owns it again, with all that page_list() gave out of it, once done() is called: then
 * page_free() and its own memory.
 */
struct page {
    struct bytes namespace, room; /* valid until the end */
    struct page_bounds bounds;
    /*
     * What the journal has will do from so many messages on when MongoDB can't be read: the page is then
     * short and says that there is more.  For pages without after, whose journal's part is the newest one;
     * limit: all of it.
     */
    unsigned enough;
    page_done *done;
    bool (*wanted)(const struct page *page); /* false: nobody waits for it any more, so it need not be read */

    struct router *router;
    struct page *next; /* of those that the journal does not have yet */
    struct journal_read read;
    struct archive_read archive;
};

/* Whether memory has all of it: then the listing is filled, with what stays until messages are released.
   The room's last number must be known. */
bool page_from_memory(const struct room *room, const struct page_bounds *bounds,
                      struct listing *listing) MUST_CHECK;

/* Starts to read it; done() is called later, once.  ERROR_BUSY when too many are on their way. */
int page_start(struct router *router, struct page *page) MUST_CHECK;

/* After done() with 0: what it shows, ascending, and whether there is more beyond it. */
void page_list(const struct page *page, struct listing *listing);

/* Fills a listing with the room's messages of these numbers, as long as memory has them without a hole. */
void page_list_memory(struct listing *listing, const struct room *room, uint64_t first, uint64_t last);

void page_free(struct page *page);

#endif
