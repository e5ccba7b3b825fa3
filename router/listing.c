/*
 * The messages of an answer; see listing.h.  Owns nothing; history.c fills and writes them.  Its one
 * surprising rule: a message with attachments and one that only looks as if it had some never stand in the
 * same answer.
 */
#include "router/listing.h"

#include "proto/placeholder.h"
#include "proto/socketio.h"
#include "router/message.h"

enum { ENTRY_OVERHEAD = 128 };

static size_t entry_size(const struct journal_message *fields)
{
    return ENTRY_OVERHEAD + fields->arguments.length + fields->attachments.length + fields->event.length +
           fields->publish_id.length + fields->sender_name.length;
}

/* Whether a message of this page would be read as what it is not, if the page were to become a binary packet:
   without attachments of its own, it has objects that look like placeholders. */
static bool looks_binary(const struct journal_message *fields)
{
    return fields->attachments.length == 0 && placeholders_present(fields->arguments);
}

/* Counted from the end that was asked for first. */
static const struct journal_message *nth(const struct listing *listing, bool newest, unsigned n)
{
    return listing->items[newest ? listing->count - 1 - n : n];
}

/*
 * One message with attachments makes the whole answer a binary packet, in which a client takes everything
 * that looks like a placeholder for one.  So a message where such an object is ordinary data does not stand
 * in one answer with attachments: whether the next message must wait for another one.
 */
static bool would_be_misread(const struct listing *listing, bool newest, unsigned kept, bool binary)
{
    const struct journal_message *next = nth(listing, newest, kept);

    if (binary)
        return looks_binary(next);
    if (next->attachments.length)
        for (unsigned i = 0; i < kept; i++)
            if (looks_binary(nth(listing, newest, i)))
                return true;
    return false;
}

static void keep(struct listing *listing, bool newest, unsigned kept)
{
    if (kept == listing->count)
        return;
    if (newest)
        memmove(listing->items, listing->items + listing->count - kept, kept * sizeof *listing->items);
    listing->count = kept;
    listing->more = true;
}

void listing_bound(struct listing *listing, bool newest, size_t limit)
{
    unsigned kept = 0, attachments = 0;
    size_t bytes = 0;

    for (; kept < listing->count; kept++) {
        const struct journal_message *fields = nth(listing, newest, kept);
        unsigned own = message_attachments(fields);

        bytes += entry_size(fields);
        if (kept && (bytes > limit || attachments + own > SOCKETIO_ATTACHMENTS_MAX ||
                     would_be_misread(listing, newest, kept, attachments > 0)))
            break;
        attachments += own;
    }
    keep(listing, newest, kept);
}

void listing_bound_bytes(struct listing *listing, bool newest, size_t limit)
{
    unsigned kept = 0;
    size_t bytes = 0;

    for (; kept < listing->count; kept++) {
        bytes += entry_size(nth(listing, newest, kept));
        if (kept && bytes > limit)
            break;
    }
    keep(listing, newest, kept);
}

static void append_attachments(struct wire_list *out, const struct journal_message *fields)
{
    struct wire_reader list;
    struct bytes attachment;
    int count = wire_list_open(&list, fields->attachments);

    while (count-- > 0 && wire_list_text(&list, &attachment) == 0)
        wire_list_put_blob(out, attachment);
}

void listing_append(const struct listing *listing, struct buffer *out, struct wire_list *attachments)
{
    for (unsigned i = 0; i < listing->count; i++) {
        if (i)
            buffer_append_char(out, ',');
        message_append_entry(out, listing->items[i], attachments->count);
        append_attachments(attachments, listing->items[i]);
    }
}
