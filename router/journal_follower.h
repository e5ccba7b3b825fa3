/*
 * Reads the log from a position on, for whoever follows it from another thread, over a connection of its own.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_FOLLOWER_H
#define HUBBUB_ROUTER_JOURNAL_FOLLOWER_H

#include "router/journal.h"

struct journal_follower;

/*
 * Opens a connection to an open journal.  0, or as journal_open() with a message.  To be closed by
 * journal_follower_close(), before or after the journal; it must not be read after the journal was closed.
 */
int journal_follower_open(struct journal *journal, struct journal_follower **out, char *message,
                          size_t message_size) MUST_CHECK;
void journal_follower_close(struct journal_follower *follower);

/* Where a read ends: after so many rows, or with the row that takes the bytes of the texts beyond max_bytes.
 */
struct journal_follower_limits {
    unsigned rows;
    uint64_t bytes;
};

/*
 * Hands out the rows beyond `after`, of both classes, in pos order (bytes valid for the call).  It is one
 * short transaction; the callback must not block.  `reached` becomes the position of the last row, or stays
 * `after`. 0 or ERROR_IO, ERROR_CORRUPT, ERROR_LOCKED.
 */
int journal_follower_read(struct journal_follower *follower, uint64_t after,
                          const struct journal_follower_limits *limits,
                          void (*row)(void *argument, const struct journal_message *message), void *argument,
                          uint64_t *reached) MUST_CHECK;

#endif
