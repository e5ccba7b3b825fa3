/* The ring of unanswered requests; see request.h. */
#include "gateway/request.h"

#include "common/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_SIZE = 64,
    OVERHEAD = sizeof(struct request) + 16, /* the ring's slot, and the allocation's own */
};

void requests_init(struct request_queue *queue)
{
    *queue = (struct request_queue){
        .ring = memory_zero(FIRST_SIZE, sizeof *queue->ring), .mask = FIRST_SIZE - 1, .first = 1};
}

void requests_done(struct request_queue *queue)
{
    uint64_t cursor = 0;
    struct request *request;

    while ((request = requests_walk(queue, &cursor)))
        free(request->record);
    free(queue->ring);
    *queue = (struct request_queue){0};
}

static void grow(struct request_queue *queue)
{
    uint32_t mask = queue->mask * 2 + 1;
    struct request *ring = memory_zero((size_t)mask + 1, sizeof *ring);

    for (uint64_t n = queue->first; n <= queue->last; n++)
        ring[n & mask] = queue->ring[n & queue->mask];
    free(queue->ring);
    queue->ring = ring;
    queue->mask = mask;
}

struct request *requests_add(struct request_queue *queue, enum request_kind kind, uint64_t socket,
                             long long ack, struct bytes record, uint64_t now)
{
    if (queue->last + 1 - queue->first > queue->mask)
        grow(queue);

    struct request *request = &queue->ring[++queue->last & queue->mask];

    *request = (struct request){.socket = socket,
                                .ack = ack,
                                .since = now,
                                .record = memory_new(record.length),
                                .length = (uint32_t)record.length,
                                .kind = (uint8_t)kind};
    memcpy(request->record, record.data, record.length);
    queue->bytes += record.length + OVERHEAD;
    queue->count++;
    return request;
}

struct request *requests_find(struct request_queue *queue, uint64_t number)
{
    if (number < queue->first || number > queue->last)
        return NULL;

    struct request *request = &queue->ring[number & queue->mask];

    return request->kind == REQUEST_NONE ? NULL : request;
}

void requests_finish(struct request_queue *queue, struct request *request)
{
    queue->bytes -= request->length + OVERHEAD;
    queue->count--;
    free(request->record);
    *request = (struct request){0};
    while (queue->first <= queue->last && queue->ring[queue->first & queue->mask].kind == REQUEST_NONE)
        queue->first++;
}

struct request *requests_walk(struct request_queue *queue, uint64_t *cursor)
{
    if (*cursor < queue->first)
        *cursor = queue->first;
    while (*cursor <= queue->last) {
        struct request *request = &queue->ring[(*cursor)++ & queue->mask];

        if (request->kind != REQUEST_NONE)
            return request;
    }
    return NULL;
}
