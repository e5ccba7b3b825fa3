/* Batch numbers and credit of one side of a link; see wire_flow.h.  The ring doubles when it is full. */
#include "proto/wire_flow.h"

#include "common/memory.h"

#include <stdlib.h>
#include <string.h>

void wire_flow_reset(struct wire_flow *flow, uint64_t link)
{
    uint32_t *sizes = flow->sizes;
    uint32_t mask = flow->ring_mask;

    *flow = (struct wire_flow){.link = link, .sizes = sizes, .ring_mask = mask};
}

void wire_flow_done(struct wire_flow *flow)
{
    free(flow->sizes);
    *flow = (struct wire_flow){0};
}

static void grow(struct wire_flow *flow)
{
    uint32_t mask = flow->sizes ? flow->ring_mask * 2 + 1 : 63;
    uint32_t *sizes = memory_new(((size_t)mask + 1) * sizeof *sizes);

    for (uint64_t n = flow->acknowledged + 1; n <= flow->sent; n++)
        sizes[n & mask] = flow->sizes[n & flow->ring_mask];
    free(flow->sizes);
    flow->sizes = sizes;
    flow->ring_mask = mask;
}

uint64_t wire_flow_send(struct wire_flow *flow, size_t bytes)
{
    uint32_t size = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;

    if (!flow->sizes || flow->sent - flow->acknowledged > flow->ring_mask)
        grow(flow);
    flow->sent++;
    flow->sizes[flow->sent & flow->ring_mask] = size;
    flow->unacknowledged_bytes += size;
    return flow->sent;
}

int wire_flow_receive(struct wire_flow *flow, uint64_t link, uint64_t number, uint64_t acknowledged)
{
    if (link != flow->link || number != flow->received + 1 || acknowledged > flow->sent ||
        acknowledged < flow->acknowledged)
        return ERROR_PROTOCOL;
    flow->received = number;
    while (flow->acknowledged < acknowledged) {
        flow->acknowledged++;
        flow->unacknowledged_bytes -= flow->sizes[flow->acknowledged & flow->ring_mask];
    }
    return 0;
}
