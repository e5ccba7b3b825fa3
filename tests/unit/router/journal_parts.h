/*
 * The journal's parts without its threads, for tests that have both clocks in their hand.
 */
#ifndef HUBBUB_TESTS_UNIT_ROUTER_JOURNAL_PARTS_H
#define HUBBUB_TESTS_UNIT_ROUTER_JOURNAL_PARTS_H

#include "tests/unit/router/journal_fixture.h"

#include "router/journal_lookup.h"
#include "router/journal_removal.h"

enum { RECOVERY_MS = 120000, SECOND = 1000, DAY = 24 * 3600 * SECOND, UNBOUNDED = 1 << 30, BATCH = 100 };

/* Zero but for fixture, retention and monotonic. */
struct parts {
    struct fixture *fixture;
    struct journal_retention retention;
    struct journal_file file;
    struct journal_store store;
    struct journal_index index;
    struct journal_removal removal;
    struct journal_lookup lookup;
    uint64_t monotonic; /* as the removal is told */
    int64_t ahead;      /* of the wall clock that it is told, before the real one */
    struct batched {
        struct journal_entry entry;
        char room[16];
    } batch[BATCH];
    unsigned batch_count;
};

/* The result of journal_file_open(); all that comes after it must succeed. */
int parts_try_open(struct parts *parts);
void parts_open(struct parts *parts);
void parts_close(struct parts *parts);

/* Closes it with all in the index, as the journal does, and opens it. */
void parts_reopen(struct parts *parts);

/* The wall clock as the removal is told. */
uint64_t parts_wall(const struct parts *parts);

/* Puts a message into the batch, which is committed when it is full; parts_settle() commits what is left. */
void parts_put(struct parts *parts, struct text text);
void parts_settle(struct parts *parts);

/* Commits so many. */
void parts_fill(struct parts *parts, const char *room, enum message_class class, unsigned count);

/* Indexes all. */
void parts_pass(struct parts *parts);

/* Lets time go by: steps as they become due, until the end of the span; how many there were. */
unsigned parts_go_on(struct parts *parts, uint64_t milliseconds);

/* One number out of the file. */
uint64_t parts_number(struct parts *parts, const char *sql);

/* A page, which must be read; journal_read_free() is the test's.  parts_assert_page() is told its first and
   last seq, its `more` and its first_seq. */
struct journal_read parts_page(struct parts *parts, const char *room, uint64_t before, uint64_t after,
                               unsigned limit);
void parts_assert_page(struct parts *parts, const char *room, uint64_t before, uint64_t after, unsigned limit,
                       uint64_t first, uint64_t last, bool more, uint64_t first_seq);

/* How much a client in one room missed; -1 when that cannot be known any more. */
int parts_missed(struct parts *parts, const char *room, uint64_t from, uint64_t namespace_from);

/* The result of a range, and how many messages it has. */
int parts_range(struct parts *parts, uint64_t first, uint64_t last, size_t *count);

#endif
