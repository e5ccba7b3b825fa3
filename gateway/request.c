/* The ring of unanswered requests; see request.h. */
#include "gateway/request.h"

#include "common/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_SIZE = 64,
    OVERHEAD = sizeof(struct request) + 16, /* the ring's slot, and the allocation's own */
    SPARSE = 4, /* a full ring of which less than that part is open lets its oldest go instead of growing */
};

struct late_request {
    uint64_t number;
    struct request request;
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
    free(queue->late);
    *queue = (struct request_queue){0};
}

/* Passes over what is finished. */
static void advance(struct request_queue *queue)
{
    while (queue->first <= queue->last && queue->ring[queue->first & queue->mask].kind == REQUEST_NONE)
        queue->first++;
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

/* The first one in late whose number is not below. */
static uint32_t late_from(const struct request_queue *queue, uint64_t number)
{
    uint32_t low = 0, high = queue->late_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (queue->late[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void late_forget_finished(struct request_queue *queue)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < queue->late_count; i++)
        if (queue->late[i].request.kind != REQUEST_NONE)
            queue->late[kept++] = queue->late[i];
    queue->late_count = kept;
    queue->late_finished = 0;
}

/* The oldest half of the ring's numbers leaves it: what of them has no answer yet is late. */
static void let_go(struct request_queue *queue)
{
    uint64_t end = queue->first + (queue->mask + 1) / 2;

    if (queue->late_finished > queue->late_count / 2)
        late_forget_finished(queue);
    for (; queue->first < end; queue->first++) {
        struct request *request = &queue->ring[queue->first & queue->mask];

        if (request->kind == REQUEST_NONE)
            continue;
        if (queue->late_count == queue->late_capacity) {
            queue->late_capacity = queue->late_capacity ? queue->late_capacity * 2 : 16;
            queue->late = memory_resize(queue->late, queue->late_capacity * sizeof *queue->late);
        }
        request->late = true;
        queue->late[queue->late_count++] = (struct late_request){queue->first, *request};
        *request = (struct request){0};
    }
    advance(queue);
}

static bool is_sparse(const struct request_queue *queue)
{
    return queue->count - (queue->late_count - queue->late_finished) < (queue->mask + 1) / SPARSE;
}

struct request *requests_add(struct request_queue *queue, enum request_kind kind, uint64_t socket,
                             long long ack, struct bytes record, uint64_t now)
{
    if (queue->last + 1 - queue->first > queue->mask) {
        if (is_sparse(queue))
            let_go(queue);
        else
            grow(queue);
    }

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
    struct request *request;

    if (number > queue->last)
        return NULL;
    if (number < queue->first) {
        uint32_t at = late_from(queue, number);

        if (at == queue->late_count || queue->late[at].number != number)
            return NULL;
        request = &queue->late[at].request;
    } else
        request = &queue->ring[number & queue->mask];

    return request->kind == REQUEST_NONE ? NULL : request;
}

void requests_finish(struct request_queue *queue, struct request *request)
{
    queue->bytes -= request->length + OVERHEAD;
    queue->count--;
    free(request->record);
    if (request->late)
        queue->late_finished++;
    *request = (struct request){0};
    advance(queue);
}

struct request *requests_walk(struct request_queue *queue, uint64_t *cursor)
{
    for (uint32_t at = late_from(queue, *cursor); at < queue->late_count; at++)
        if (queue->late[at].request.kind != REQUEST_NONE) {
            *cursor = queue->late[at].number + 1;
            return &queue->late[at].request;
        }
    if (*cursor < queue->first)
        *cursor = queue->first;
    while (*cursor <= queue->last) {
        struct request *request = &queue->ring[(*cursor)++ & queue->mask];

        if (request->kind != REQUEST_NONE)
            return request;
    }
    return NULL;
}
