/*
 * Pages of a room out of the archive, for what the journal has no more: a thread with a client of its own,
 * since libmongoc blocks.
 *
 * A page is what all epochs of the archive have of the room, in the order of seq.  All functions are the loop
 * thread's.
 */
#ifndef HUBBUB_ROUTER_ARCHIVE_READER_H
#define HUBBUB_ROUTER_ARCHIVE_READER_H

#include "router/archive_client.h"
#include "router/journal.h"

#include <stdbool.h>

struct archive_row;

/* A page asked for, and what came of it.  The caller allocates it; it belongs to the reader until done(). */
struct archive_read {
    struct archive_read *next;    /* the reader's */
    struct bytes namespace, room; /* valid until done */
    uint64_t after, before;       /* exclusive; 0: no bound */
    bool newest;                  /* the newest `limit` messages, else the oldest */
    unsigned limit;               /* with 0 it only finds out whether there is `more` */
    uint64_t max_bytes;           /* ends with the message whose texts go beyond; then `more` is true */
    void (*done)(struct archive_read *read, void *argument);
    void *argument;

    /* Valid in done() and until archive_read_free(). */
    int result;               /* 0; ERROR_AGAIN: MongoDB does not answer, or refuses; ERROR_CLOSED */
    struct archive_row *rows; /* ascending: archive_read_message() */
    size_t count;
    bool more; /* the bounds hold further messages beyond the limits */
};

struct archive_reader;

/*
 * Starts the thread.  place: checked; it is copied.  waiting_max: how many pages may be
 * with it at once.  Whether MongoDB is there shows with the first page.  0 or ERROR_SYSTEM.
 */
int archive_reader_start(const struct archive_place *place, unsigned waiting_max,
                         struct archive_reader **out) MUST_CHECK;

/*
 * Calls done() of all that are with it, with ERROR_CLOSED, and frees it.  A thread that MongoDB holds up for
 * more than a second is left behind: it touches nothing any more.  NULL is fine.
 */
void archive_reader_stop(struct archive_reader *reader);

/* An eventfd that polls readable when a page is there. */
int archive_reader_fd(const struct archive_reader *reader);

/* Calls done() of the pages that are there.  It may start others. */
void archive_reader_collect(struct archive_reader *reader);

/*
 * Starts to read one; done() is called by archive_reader_collect(), after at most two timeouts of the place,
 * one for what is before it and one for itself: when MongoDB does not answer, all that wait are told so.
 * ERROR_BUSY when too many wait.
 */
int archive_read(struct archive_reader *reader, struct archive_read *read) MUST_CHECK;

/* The message of a row; it lives as long as the read. */
const struct journal_message *archive_read_message(const struct archive_read *read, size_t row);

void archive_read_free(struct archive_read *read);

#endif
