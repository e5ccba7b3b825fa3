/*
 * The thread that answers struct journal_read from a connection of its own.  All functions are the loop
 * thread's.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_READER_H
#define HUBBUB_ROUTER_JOURNAL_READER_H

#include "router/journal_file.h"

#include <pthread.h>

struct journal_reader;

/*
 * Connects and starts the thread.  It holds `snapshot` while it reads, and adds to the eventfd `event` when a
 * read is done; both must outlive it.  0, or as journal_open() with a message.
 */
int journal_reader_start(const char *path, pthread_mutex_t *snapshot, int event, struct journal_reader **out,
                         char *message, size_t message_size) MUST_CHECK;

/* Waits for the read under way, and returns all that were not collected, with ERROR_CLOSED in those that were
   not begun.  NULL is fine. */
struct journal_read *journal_reader_stop(struct journal_reader *reader);

/* Queues one.  0 or ERROR_BUSY. */
int journal_reader_submit(struct journal_reader *reader, struct journal_read *read) MUST_CHECK;

/* Takes those that are done, oldest first. */
struct journal_read *journal_reader_collect(struct journal_reader *reader);

/* Rows and index entries that reads have looked at since the start.  Any thread. */
uint64_t journal_reader_rows(struct journal_reader *reader);

#endif
