/*
 * A run: an ascending list of (seq, pos) pairs of one room, as the room index stores it.
 *
 * Each pair is two unsigned LEB128 numbers, the differences from the pair before (from 0, 0 for the
 * first), so a run read from the file stands by itself and costs two to four bytes a message.
 */
#ifndef HUBBUB_ROUTER_JOURNAL_RUN_H
#define HUBBUB_ROUTER_JOURNAL_RUN_H

#include "common/buffer.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Zero-initialised is empty and ready. */
struct journal_run {
    struct buffer bytes;
    uint32_t count;
    uint64_t last_seq, last_pos;
};

/* Where a run ended, to go back to; valid until journal_run_drop(). */
struct journal_run_mark {
    size_t length;
    uint32_t count;
    uint64_t last_seq, last_pos;
};

struct journal_run_cursor {
    const uint8_t *at, *end;
    uint64_t seq, pos; /* of the pair that journal_run_next() stepped to */
};

void journal_run_done(struct journal_run *run);

/* Empties it; the memory stays. */
void journal_run_clear(struct journal_run *run);

/* Both numbers must be above those of the last pair. */
void journal_run_append(struct journal_run *run, uint64_t seq, uint64_t pos);

struct journal_run_mark journal_run_mark(const struct journal_run *run);
void journal_run_rewind(struct journal_run *run, const struct journal_run_mark *mark);

/* Drops that many pairs from the front; there must be as many. */
void journal_run_drop(struct journal_run *run, uint32_t count);

/* Drops the pairs from the front whose seq is at most that. */
void journal_run_drop_to(struct journal_run *run, uint64_t seq);

/* Replaces the content by bytes from the file.  0, or ERROR_CORRUPT with the run left empty. */
int journal_run_load(struct journal_run *run, struct bytes bytes) MUST_CHECK;

struct journal_run_cursor journal_run_start(struct bytes bytes);

/* 1: stepped to the next pair; 0: the end; ERROR_CORRUPT: the bytes are no ascending run. */
int journal_run_next(struct journal_run_cursor *cursor) MUST_CHECK;

#endif
