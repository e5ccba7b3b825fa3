/*
 * What the router sends to rooms and namespaces (DELIVER and CAST, docs/protocol.md, section 2): who of this
 * gateway's sockets gets it, and the event in each encoding that somebody reads.
 *
 * Records are borrowed for the call.  A payload that is no event is not told to bare clients, and nothing
 * fails.
 */
#ifndef HUBBUB_GATEWAY_DELIVER_H
#define HUBBUB_GATEWAY_DELIVER_H

#include "common/bytes.h"
#include "proto/wire.h"

#include <stdint.h>

struct exceptions;
struct gateway;
struct namespace_rooms;
struct room;

/* Space for the record at hand; all zero at first. */
struct deliver_space {
    uint32_t *excepted; /* slots of those whom a CAST is not for */
    uint32_t excepted_capacity;
    struct buffer head; /* what an event with attachments or a question starts with */
};

void deliver_space_done(struct deliver_space *space);

/* Takes in a DELIVER record for one room. */
void deliver_to_room(struct gateway *gateway, struct room *room, const struct wire_deliver *record);

/* A DELIVER for every socket of a namespace. */
void deliver_to_namespace(struct gateway *gateway, struct namespace_rooms *namespace,
                          const struct wire_deliver *record);

/* The same for CAST.  exceptions: those of the record.  One that asks for an acknowledgement counts for each
   receiver's socket->questions, but for bare clients, to whom it is an event like any other. */
void deliver_cast_to_room(struct gateway *gateway, struct room *room, const struct wire_cast *record,
                          const struct exceptions *exceptions);
void deliver_cast_to_namespace(struct gateway *gateway, struct namespace_rooms *namespace,
                               const struct wire_cast *record, const struct exceptions *exceptions);

#endif
