/*
 * The room index: what makes a page of a room cheap, brought up to date behind the commits.
 *
 * Rows of table message beyond `indexed` are in no index; whoever looks a room up scans those.  A pass
 * writes, from the memory of the store and in one transaction, the counters and newest messages of each room
 * that changed, its full segments, and the ids of clients.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_INDEX_H
#define HUBBUB_ROUTER_JOURNAL_INDEX_H

#include "router/journal_store.h"

enum {
    JOURNAL_SEGMENT_MIN = 64,  /* fewer of a room's messages stay in its own row */
    JOURNAL_SEGMENT_MAX = 256, /* keeps a segment inside one page of the file */
    JOURNAL_UNINDEXED_MAX =
        8192, /* this many rows start a pass; a client's id counts for four: it is dearer */
};

struct journal_index {
    struct journal_store *store;
    sqlite3_stmt *write_room, *write_segment, *write_number;
    struct journal_run pieces[JOURNAL_SERIES]; /* scratch */
    uint64_t indexed;
};

/* Prepares, and indexes what the file holds beyond its indexed position (or only counts it in, when the disk
   is full), checking that no number is missing there.  Codes and message as journal_open();
   journal_index_done() in any case. */
int journal_index_init(struct journal_index *index, struct journal_store *store, char *message,
                       size_t message_size) MUST_CHECK;
void journal_index_done(struct journal_index *index);

/* Messages that are not in the index yet. */
uint64_t journal_index_lag(const struct journal_index *index);

/* Indexes all of them; expired ids leave by the time `now`, a wall clock to be believed.  0, also when the
   disk is full (a later pass does it all); any other code as journal_store_commit(). */
int journal_index_pass(struct journal_index *index, uint64_t now) MUST_CHECK;

#endif
