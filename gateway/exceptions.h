/*
 * Whom a CAST is not for: the members of some rooms, and some sockets by their sids (docs/protocol.md,
 * section 2).  A list of names says it, and does not tell which is which.
 *
 * Judged at delivery, where the members are: nothing is kept for it between two records, and a room that
 * nobody casts to pays nothing.
 */
#ifndef HUBBUB_GATEWAY_EXCEPTIONS_H
#define HUBBUB_GATEWAY_EXCEPTIONS_H

#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

struct namespace_rooms;
struct room;
struct socket;

/* Zero-initialised is empty. */
struct exceptions {
    struct exception {
        struct bytes name;       /* in the record */
        const struct room *room; /* NULL: nobody here is in a room of that name */
    } * list;
    uint32_t count, capacity;
};

void exceptions_done(struct exceptions *exceptions);

/*
 * Reads a record's list in place of what was there; good as long as the record, and until somebody here
 * joins or leaves a room.  0, or ERROR_MALFORMED when it is no list of texts.
 */
int exceptions_read(struct exceptions *exceptions, const struct namespace_rooms *namespace,
                    struct bytes list) MUST_CHECK;

/* before: as a member of a room counts who joined it below that position; UINT64_MAX for all. */
bool exceptions_hold(const struct exceptions *exceptions, struct socket *socket, uint64_t before);

#endif
