/*
 * The codec of the room index's position lists; see journal_run.h.  It owns the encoding, is called by the
 * journal thread (which makes runs) and the reader (which walks them), and does no I/O.  Its one surprising
 * rule: numbers strictly ascend, so a difference of zero marks a damaged run.
 */
#include "router/journal_run.h"

#include <assert.h>

enum { LEB128_MAX = 10 };

void journal_run_done(struct journal_run *run)
{
    buffer_done(&run->bytes);
    *run = (struct journal_run){0};
}

void journal_run_clear(struct journal_run *run)
{
    buffer_clear(&run->bytes);
    run->count = 0;
    run->last_seq = 0;
    run->last_pos = 0;
}

static char *put(char *to, uint64_t value)
{
    while (value > 0x7f) {
        *to++ = (char)(0x80 | (value & 0x7f));
        value >>= 7;
    }
    *to++ = (char)value;
    return to;
}

void journal_run_append(struct journal_run *run, uint64_t seq, uint64_t pos)
{
    char *start = buffer_reserve(&run->bytes, 2 * (size_t)LEB128_MAX);
    char *end;

    assert(seq > run->last_seq && pos > run->last_pos);
    end = put(put(start, seq - run->last_seq), pos - run->last_pos);
    buffer_extend(&run->bytes, (size_t)(end - start));
    run->count++;
    run->last_seq = seq;
    run->last_pos = pos;
}

struct journal_run_mark journal_run_mark(const struct journal_run *run)
{
    return (struct journal_run_mark){run->bytes.length, run->count, run->last_seq, run->last_pos};
}

void journal_run_rewind(struct journal_run *run, const struct journal_run_mark *mark)
{
    run->bytes.length = mark->length;
    run->count = mark->count;
    run->last_seq = mark->last_seq;
    run->last_pos = mark->last_pos;
}

void journal_run_drop(struct journal_run *run, uint32_t count)
{
    struct journal_run rest = {0};
    struct journal_run_cursor cursor = journal_run_start(buffer_bytes(&run->bytes));
    uint32_t step = 0;

    assert(count <= run->count);
    while (journal_run_next(&cursor) > 0)
        if (step++ >= count)
            journal_run_append(&rest, cursor.seq, cursor.pos);
    journal_run_done(run);
    *run = rest;
}

void journal_run_drop_to(struct journal_run *run, uint64_t seq)
{
    struct journal_run_cursor cursor = journal_run_start(buffer_bytes(&run->bytes));
    uint32_t count = 0;

    while (journal_run_next(&cursor) > 0 && cursor.seq <= seq)
        count++;
    if (count)
        journal_run_drop(run, count);
}

int journal_run_load(struct journal_run *run, struct bytes bytes)
{
    struct journal_run_cursor cursor = journal_run_start(bytes);
    uint32_t count = 0;
    int rc;

    journal_run_clear(run);
    while ((rc = journal_run_next(&cursor)) > 0)
        count++;
    if (rc < 0)
        return rc;
    buffer_append_bytes(&run->bytes, bytes);
    run->count = count;
    run->last_seq = cursor.seq;
    run->last_pos = cursor.pos;
    return 0;
}

struct journal_run_cursor journal_run_start(struct bytes bytes)
{
    const uint8_t *at = (const uint8_t *)bytes.data;

    return (struct journal_run_cursor){.at = at, .end = bytes.length ? at + bytes.length : at};
}

/* Reads a difference and adds it; a difference of zero or an overflow is damage. */
static int add(struct journal_run_cursor *cursor, uint64_t *number)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 63 && cursor->at < cursor->end; shift += 7) {
        uint8_t byte = *cursor->at++;

        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80)
            continue;
        if (value == 0 || __builtin_add_overflow(*number, value, number))
            return ERROR_CORRUPT;
        return 0;
    }
    return ERROR_CORRUPT;
}

int journal_run_next(struct journal_run_cursor *cursor)
{
    if (cursor->at == cursor->end)
        return 0;
    if (add(cursor, &cursor->seq) || add(cursor, &cursor->pos))
        return ERROR_CORRUPT;
    return 1;
}
