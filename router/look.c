/*
 * Looks; see look.h.  The dispatcher and the journal's hand-back call it.  Its one surprising rule: the last
 * number of a room that nobody uses comes from the journal, by a ticket, and the room is there for no longer
 * than that.
 */
#include "router/look.h"

#include "common/memory.h"
#include "proto/json_text.h"
#include "router/page.h"
#include "router/reply.h"

#include <stdlib.h>

enum { PAGE_DEFAULT = 50 };

struct look {
    struct page page; /* must stay first */
    struct router *router;
    struct gateway_link *link; /* held */
    uint64_t request;
    char names[];
};

static void append_ok(struct buffer *out, struct bytes room)
{
    buffer_append_literal(out, "{\"ok\":true,\"room\":");
    json_append_string(out, room);
}

/* -- the room ---------------------------------------------------------------------------------- */

static void answer_room(struct router *router, struct gateway_link *link, uint64_t request,
                        const struct room *room)
{
    struct buffer *scratch = &router->scratch;

    buffer_clear(scratch);
    append_ok(scratch, room_name(room));
    buffer_append_literal(scratch, ",\"members\":");
    buffer_append_u64(scratch, room->members);
    buffer_append_literal(scratch, ",\"seq\":");
    buffer_append_u64(scratch, room->last_seq);
    buffer_append_char(scratch, '}');
    reply_answer(link, request, buffer_bytes(scratch));
}

void look_release(struct router *router, struct ticket *ticket)
{
    ticket->room->last_seq = ticket->entry.message.seq;
    ticket->room->seq_known = true;
    answer_room(router, ticket->link, ticket->request, ticket->room);
    free(ticket);
}

static void look_at_room(struct router *router, struct gateway_link *link, uint64_t request,
                         struct room *room)
{
    room_hold(room);
    if (room->seq_known && room->waiting == 0)
        answer_room(router, link, request, room);
    else if (router_busy(router))
        reply_refuse(router, link, request, REFUSAL_BUSY, NULL);
    else
        router_submit(router, memory_zero(1, sizeof(struct ticket)), TICKET_ROOM, link, room, 0, request);
    room_release(&router->rooms, room);
}

/* -- its history -------------------------------------------------------------------------------- */

static void append_message(struct buffer *out, const struct journal_message *fields)
{
    message_append_head(out, fields);
    if (fields->attachments.length)
        message_append_attachments(out, fields);
    buffer_append_literal(out, ",\"args\":[");
    buffer_append_bytes(out, fields->arguments);
    buffer_append_literal(out, "]}");
}

static void answer_page(struct router *router, struct gateway_link *link, uint64_t request, struct bytes room,
                        struct listing *listing, bool newest)
{
    struct buffer text = {0};

    listing_bound_bytes(listing, newest, router->settings->max_history_bytes);
    append_ok(&text, room);
    buffer_append_literal(&text, ",\"messages\":[");
    for (unsigned i = 0; i < listing->count; i++) {
        if (i)
            buffer_append_char(&text, ',');
        append_message(&text, listing->items[i]);
    }
    buffer_append_literal(&text, "],\"more\":");
    buffer_append_text(&text, listing->more ? "true}" : "false}");
    reply_answer(link, request, buffer_bytes(&text));
    buffer_done(&text);
    link_split(&router->links, link);
}

static void free_look(struct look *look)
{
    page_free(&look->page);
    link_release(look->link);
    free(look);
}

static void on_page(struct page *page, int result)
{
    struct look *look = (struct look *)page;
    struct listing listing = {0};

    if (result) {
        reply_refuse(look->router, look->link, look->request,
                     result == ERROR_BUSY ? REFUSAL_BUSY : REFUSAL_UNAVAILABLE, NULL);
    } else {
        page_list(page, &listing);
        answer_page(look->router, look->link, look->request, page->room, &listing, !page->bounds.has_after);
    }
    free_look(look);
}

static bool is_wanted(const struct page *page)
{
    return link_out(((const struct look *)page)->link);
}

static struct look *look_new(struct router *router, struct gateway_link *link, const struct wire_look *record,
                             const struct page_bounds *bounds)
{
    struct look *look = memory_zero(1, sizeof *look + record->namespace.length + record->room.length);
    char *room = look->names + record->namespace.length;

    look->router = router;
    look->link = link_hold(link);
    look->request = record->request;
    memcpy(look->names, record->namespace.data, record->namespace.length);
    memcpy(room, record->room.data, record->room.length);
    look->page.namespace = bytes_make(look->names, record->namespace.length);
    look->page.room = bytes_make(room, record->room.length);
    look->page.bounds = *bounds;
    look->page.enough = 1;
    look->page.done = on_page;
    look->page.wanted = is_wanted;
    return look;
}

static void look_at_history(struct router *router, struct gateway_link *link, const struct wire_look *record,
                            const struct room *room)
{
    uint64_t limit = record->limit ? record->limit : PAGE_DEFAULT;
    struct page_bounds bounds = {.has_after = record->has_after,
                                 .before = record->before < INT64_MAX ? record->before : INT64_MAX,
                                 .after = record->after < INT64_MAX ? record->after : INT64_MAX};
    struct listing listing = {0};
    struct look *look;

    bounds.limit = (unsigned)(limit < router->settings->max_history ? limit : router->settings->max_history);
    if (bounds.before && bounds.has_after) {
        reply_refuse(router, link, record->request, REFUSAL_BAD_REQUEST,
                     "history takes before or after, not both");
        return;
    }
    if (room && room->seq_known && page_from_memory(room, &bounds, &listing)) {
        router->counters.pages_memory++;
        answer_page(router, link, record->request, record->room, &listing, !bounds.has_after);
        return;
    }
    look = look_new(router, link, record, &bounds);
    if (page_start(router, &look->page) == 0)
        return;
    reply_refuse(router, link, record->request, REFUSAL_BUSY, NULL);
    free_look(look);
}

void look_request(struct router *router, struct gateway_link *link, const struct wire_look *record)
{
    struct namespace *namespace;

    if (!room_name_valid(record->room)) {
        reply_refuse(router, link, record->request, REFUSAL_BAD_ROOM, NULL);
        return;
    }
    namespace = namespace_recall(&router->namespaces, record->namespace);
    if (!namespace) {
        reply_refuse(router, link, record->request, REFUSAL_BAD_REQUEST, "no such namespace");
        return;
    }
    if (record->history)
        look_at_history(router, link, record, rooms_find(&router->rooms, namespace, record->room));
    else
        look_at_room(router, link, record->request, rooms_get(&router->rooms, namespace, record->room));
    namespace_release(&router->namespaces, namespace);
}
