/*
 * The numbers on one side of one link: which batch is next each way, and how many bytes
 * the other side has not acknowledged (its credit used).  No sockets, no time.
 */
#ifndef HUBBUB_PROTO_WIRE_FLOW_H
#define HUBBUB_PROTO_WIRE_FLOW_H

#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

struct wire_flow {
    uint64_t link;
    uint64_t sent;         /* the last batch number given out */
    uint64_t received;     /* the last one processed: what the next batch acknowledges */
    uint64_t acknowledged; /* the last one that the peer has processed */
    uint64_t unacknowledged_bytes;
    uint32_t *sizes; /* ring of the sizes of batches acknowledged+1 .. sent */
    uint32_t ring_mask;
};

/* Starts a new link; forgets everything of the one before. */
void wire_flow_reset(struct wire_flow *flow, uint64_t link);
void wire_flow_done(struct wire_flow *flow);

/* Counts a batch of that many bytes as sent and returns its number. */
uint64_t wire_flow_send(struct wire_flow *flow, size_t bytes);

/*
 * Takes in the header of a batch that came.  0; ERROR_PROTOCOL for a gap, a repeat, another link, an
 * acknowledgement that goes back or is of what was never sent: then the link is no longer consistent and must
 * be made anew.
 */
int wire_flow_receive(struct wire_flow *flow, uint64_t link, uint64_t number,
                      uint64_t acknowledged) MUST_CHECK;

#endif
