/*
 * A journal in a folder of its own, for the journal's tests: publishes, waits until all is back, reads
 * pages and ranges, and pokes at the file with SQL.  Every wait is for the journal's own event.
 */
#ifndef HUBBUB_TESTS_UNIT_ROUTER_JOURNAL_FIXTURE_H
#define HUBBUB_TESTS_UNIT_ROUTER_JOURNAL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/journal.h"

struct fixture {
    char folder[64];
    char path[96];
    char message[512]; /* what the last journal_open() said */
    struct journal *journal;
    struct journal_entry **back; /* in the order they came back */
    size_t back_count, back_capacity, submitted;
};

/* What a test says of a message; texts left NULL get a default. */
struct text {
    const char *room, *id, *scope, *arguments, *namespace, *sender_sid;
    enum message_class class;
    enum deliver_mode deliver;
};

/* cmocka's setup and teardown: a new folder, nothing opened; everything closed and removed. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Opens the fixture's file; the result of journal_open(). */
int fixture_try_open(struct fixture *fixture);
/* The same, and it must succeed. */
void fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture);
void fixture_reopen(struct fixture *fixture);

/* Submits without a flush; the fixture frees the entry.  */
struct journal_entry *fixture_publish(struct fixture *fixture, struct text text);
struct journal_entry *fixture_pass(struct fixture *fixture, const char *room);

/* Flushes, and waits until everything submitted is back. */
void fixture_wait(struct fixture *fixture);

/* Publishes that many "N" (1, 2, ...) to a room and waits. */
void fixture_fill(struct fixture *fixture, const char *room, unsigned count);

/* Reads and waits; the result is 0 or, of fixture_read(), ERROR_NOT_FOUND.  journal_read_free() is the
 * test's. */
void fixture_read(struct fixture *fixture, struct journal_read *read);
struct journal_read fixture_page(struct fixture *fixture, const char *room, uint64_t before, uint64_t after,
                                 unsigned limit);
struct journal_read fixture_range(struct fixture *fixture, uint64_t first, uint64_t last, uint64_t max_bytes);

/* The file must be closed for these, and must be an SQLite file. */
void fixture_sql(struct fixture *fixture, const char *sql);
uint64_t fixture_number(struct fixture *fixture, const char *sql);

/* Every row of the file: pos without a hole from 1, seq without a hole in each room, at never decreasing
   there.  Returns how many there are. */
uint64_t fixture_check_numbers(struct fixture *fixture);

#endif
