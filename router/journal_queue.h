/*
 * Entries of the journal in their order, as they wait, are committed, or go back.
 *
 * Lists of borrowed entries, linked through their `next`: nothing is allocated or freed, and nothing fails.
 * An entry is in one of them at most.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_QUEUE_H
#define HUBBUB_ROUTER_JOURNAL_QUEUE_H

#include "router/journal.h"

enum {
    JOURNAL_BATCH_ENTRIES_MAX = 8192,
    JOURNAL_BATCH_BYTES_MAX = 8 << 20, /* of the messages' texts */
};

struct journal_queue {
    struct journal_entry *first, **end;
    uint64_t count;
};

/* Empty; what was in it is forgotten. */
void journal_queue_init(struct journal_queue *queue);

void journal_queue_add(struct journal_queue *queue, struct journal_entry *entry);

/* Takes the first; NULL when there is none. */
struct journal_entry *journal_queue_take(struct journal_queue *queue);

/* Appends all of from, and empties it. */
void journal_queue_move(struct journal_queue *to, struct journal_queue *from);

/* Moves the front of the queue to batch, whose former content is forgotten: what one commit should write,
   within the limits above, which give way for the rest of a group. */
void journal_queue_take_batch(struct journal_queue *queue, struct journal_queue *batch);

#endif
