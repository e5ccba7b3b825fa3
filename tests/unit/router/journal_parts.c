/* The journal's parts for tests; see journal_parts.h. */
#include "tests/unit/router/journal_parts.h"

#include "common/clock.h"

#include <stdio.h>

uint64_t parts_wall(const struct parts *parts)
{
    return (uint64_t)((int64_t)clock_wall_ms() + parts->ahead);
}

int parts_try_open(struct parts *parts)
{
    struct fixture *fixture = parts->fixture;
    int result = journal_file_open(&parts->file, fixture->path, fixture->message, sizeof fixture->message);

    if (result)
        return result;
    if (journal_store_init(&parts->store, &parts->file, fixture->message, sizeof fixture->message) ||
        journal_index_init(&parts->index, &parts->store, fixture->message, sizeof fixture->message) ||
        journal_removal_init(&parts->removal, &parts->store, &parts->index, &parts->retention,
                             parts->monotonic, parts_wall(parts), fixture->message,
                             sizeof fixture->message) ||
        journal_lookup_init(&parts->lookup, fixture->path, fixture->message, sizeof fixture->message))
        fail_msg("%s", fixture->message);
    return 0;
}

void parts_open(struct parts *parts)
{
    if (parts_try_open(parts))
        fail_msg("%s", parts->fixture->message);
}

void parts_close(struct parts *parts)
{
    parts_settle(parts);
    journal_lookup_done(&parts->lookup);
    journal_removal_done(&parts->removal);
    journal_index_done(&parts->index);
    journal_store_done(&parts->store);
    journal_file_close(&parts->file);
}

void parts_pass(struct parts *parts)
{
    parts_settle(parts);
    assert_int_equal(journal_index_pass(&parts->index, 0), 0);
}

/* Closes it with all in the index, as the journal does. */
void parts_reopen(struct parts *parts)
{
    parts_pass(parts);
    parts_close(parts);
    parts_open(parts);
}

/* Puts a message into the batch, which is committed when it is full; parts_settle() commits what is left. */
void parts_put(struct parts *parts, struct text text)
{
    struct batched *batched = &parts->batch[parts->batch_count++];
    struct journal_entry *entry = &batched->entry;

    snprintf(batched->room, sizeof batched->room, "%s", text.room);
    *entry = (struct journal_entry){.kind = JOURNAL_WRITE};
    entry->message = (struct journal_message){
        .namespace = bytes_from_text(text.namespace ? text.namespace : "/"),
        .room = bytes_from_text(batched->room),
        .publish_id = BYTES("made-by-gateway"),
        .event = BYTES("msg"),
        .arguments = bytes_from_text(text.arguments ? text.arguments : "{}"),
        .sender_sid = bytes_from_text(text.sender_sid ? text.sender_sid : "sid-of-sender"),
        .sender_name = BYTES("alice"),
        .class = text.class ? text.class : MESSAGE_ARCHIVED,
        .deliver = text.deliver,
    };
    if (parts->batch_count > 1)
        parts->batch[parts->batch_count - 2].entry.next = entry;
    if (parts->batch_count == BATCH)
        parts_settle(parts);
}

void parts_settle(struct parts *parts)
{
    struct journal_outcome outcome;

    if (parts->batch_count == 0)
        return;
    assert_int_equal(journal_store_commit(&parts->store, &parts->batch[0].entry, &outcome), 0);
    assert_int_equal(outcome.messages, parts->batch_count);
    parts->batch_count = 0;
    journal_removal_committed(&parts->removal, parts->monotonic);
}

void parts_fill(struct parts *parts, const char *room, enum message_class class, unsigned count)
{
    while (count--)
        parts_put(parts, (struct text){.room = room, .class = class});
    parts_settle(parts);
}

/* Lets time go by: steps as they become due, until the end of the span. */
unsigned parts_go_on(struct parts *parts, uint64_t milliseconds)
{
    uint64_t end = parts->monotonic + milliseconds;
    unsigned steps = 0;

    for (;;) {
        uint64_t due = journal_removal_due(&parts->removal, parts->monotonic, parts_wall(parts));

        if (due > end)
            break;
        if (due > parts->monotonic) {
            parts->ahead += (int64_t)(due - parts->monotonic);
            parts->monotonic = due;
        }
        assert_int_equal(journal_removal_step(&parts->removal, parts->monotonic, parts_wall(parts)), 0);
        parts->removal.not_before = 0; /* how long it rests is up to the machine */
        steps++;
    }
    parts->ahead += (int64_t)(end - parts->monotonic);
    parts->monotonic = end;
    return steps;
}

uint64_t parts_number(struct parts *parts, const char *sql)
{
    uint64_t out = 0;

    if (journal_file_number(&parts->file, sql, &out, parts->fixture->message, sizeof parts->fixture->message))
        fail_msg("%s", parts->fixture->message);
    return out;
}

struct journal_read parts_page(struct parts *parts, const char *room, uint64_t before, uint64_t after,
                               unsigned limit)
{
    struct journal_read read = {.kind = JOURNAL_READ_PAGE,
                                .namespace = BYTES("/"),
                                .room = bytes_from_text(room),
                                .before = before,
                                .after = after,
                                .limit = limit};

    journal_lookup_answer(&parts->lookup, &read);
    assert_int_equal(read.result, 0);
    return read;
}

void parts_assert_page(struct parts *parts, const char *room, uint64_t before, uint64_t after, unsigned limit,
                       uint64_t first, uint64_t last, bool more, uint64_t first_seq)
{
    struct journal_read read = parts_page(parts, room, before, after, limit);

    assert_int_equal(read.count, last + 1 - first);
    for (size_t i = 0; i < read.count; i++)
        assert_int_equal(read.messages[i].seq, first + i);
    assert_int_equal(read.more, more);
    assert_int_equal(read.first_seq, first_seq);
    journal_read_free(&read);
}

/* What a client in one room missed; -1 when that cannot be known any more. */
int parts_missed(struct parts *parts, const char *room, uint64_t from, uint64_t namespace_from)
{
    struct journal_missed_room rooms[] = {{bytes_from_text(room), from}};
    struct journal_read read = {.kind = JOURNAL_READ_MISSED,
                                .namespace = BYTES("/"),
                                .rooms = rooms,
                                .room_count = 1,
                                .namespace_from = namespace_from,
                                .last = UINT64_MAX,
                                .limit = UNBOUNDED,
                                .max_bytes = UNBOUNDED};
    int count;

    journal_lookup_answer(&parts->lookup, &read);
    if (read.result == ERROR_NOT_FOUND)
        return -1;
    assert_int_equal(read.result, 0);
    assert_true(read.complete);
    count = (int)read.count;
    journal_read_free(&read);
    return count;
}

int parts_range(struct parts *parts, uint64_t first, uint64_t last, size_t *count)
{
    struct journal_read read = {
        .kind = JOURNAL_READ_RANGE, .first = first, .last = last, .max_bytes = UNBOUNDED};

    journal_lookup_answer(&parts->lookup, &read);
    *count = read.count;
    journal_read_free(&read);
    return read.result;
}
