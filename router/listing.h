/*
 * What an answer of history shows: some of a room's messages, ascending, and how they become one packet.
 *
 * As soon as one of them has attachments the answer is a binary packet, whose placeholders count up over all
 * its messages, and a client takes everything in it that looks like a placeholder for one.
 */
#ifndef HUBBUB_ROUTER_LISTING_H
#define HUBBUB_ROUTER_LISTING_H

#include "common/buffer.h"
#include "proto/wire.h"
#include "router/journal.h"

enum { LISTING_MAX = 200 };

struct listing {
    const struct journal_message *items[LISTING_MAX];
    unsigned count;
    bool more; /* there are messages beyond these, at the end that was asked for last */
};

/*
 * Drops what one answer has no room for, from the end that was asked for last (newest: the oldest go), and
 * sets more if any.  An answer ends before
 *   - the message that takes it over the limit in bytes,
 *   - what would be attachment SOCKETIO_ATTACHMENTS_MAX + 1: stock clients refuse such packets,
 *   - a message without attachments where something looks like a placeholder, if there are attachments in the
 *     answer, and the other way round: it would be misread.
 * One message always stays.
 */
void listing_bound(struct listing *listing, bool newest, size_t limit);

/* The first of these rules alone, for a page that becomes no packet. */
void listing_bound_bytes(struct listing *listing, bool newest, size_t limit);

/* Appends the messages, joined by commas, and their attachments, which the placeholders then count through.
 */
void listing_append(const struct listing *listing, struct buffer *out, struct wire_list *attachments);

#endif
