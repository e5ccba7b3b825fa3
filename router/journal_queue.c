/*
 * Lists of entries; see journal_queue.h.  The journal and its writer pass them on.  The one surprising rule:
 * a group is never parted, so a batch may be larger than its limits by JOURNAL_GROUP_MAX entries less one.
 */
#include "router/journal_queue.h"

#include "router/journal_file.h"

void journal_queue_init(struct journal_queue *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
    queue->count = 0;
}

void journal_queue_add(struct journal_queue *queue, struct journal_entry *entry)
{
    entry->next = NULL;
    *queue->end = entry;
    queue->end = &entry->next;
    queue->count++;
}

struct journal_entry *journal_queue_take(struct journal_queue *queue)
{
    struct journal_entry *entry = queue->first;

    if (!entry)
        return NULL;
    queue->first = entry->next;
    queue->count--;
    if (!queue->first)
        queue->end = &queue->first;
    return entry;
}

void journal_queue_move(struct journal_queue *to, struct journal_queue *from)
{
    if (from->first) {
        *to->end = from->first;
        to->end = from->end;
        to->count += from->count;
    }
    journal_queue_init(from);
}

void journal_queue_take_batch(struct journal_queue *queue, struct journal_queue *batch)
{
    uint64_t bytes = 0;
    bool more = false;

    journal_queue_init(batch);
    while (queue->first &&
           (more || (batch->count < JOURNAL_BATCH_ENTRIES_MAX && bytes < JOURNAL_BATCH_BYTES_MAX))) {
        struct journal_entry *entry = journal_queue_take(queue);

        bytes += journal_message_bytes(&entry->message);
        more = entry->more;
        journal_queue_add(batch, entry);
    }
}
