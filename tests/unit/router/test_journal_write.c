/* What comes back from the journal: order, numbers, ids that count once. */
#include "tests/unit/router/journal_fixture.h"

#include "common/clock.h"
#include "router/journal_rooms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

static void entries_come_back_in_order_with_numbers(void **state)
{
    struct fixture *fixture = *state;
    struct journal_entry *given[300];
    char room[2] = "a";

    fixture_open(fixture);
    assert_int_equal(journal_head(fixture->journal), 0);
    assert_int_equal(journal_tail(fixture->journal), 1);
    for (unsigned i = 0; i < 300; i++) {
        room[0] = (char)('a' + i % 3);
        given[i] = fixture_publish(fixture, (struct text){.room = room});
        if (i % 7 == 0)
            journal_flush(fixture->journal);
    }
    fixture_wait(fixture);
    for (unsigned i = 0; i < 300; i++) {
        assert_ptr_equal(fixture->back[i], given[i]);
        assert_int_equal(given[i]->result, 0);
        assert_int_equal(given[i]->message.pos, i + 1);
        assert_int_equal(given[i]->message.seq, i / 3 + 1);
        assert_true(given[i]->message.at > 0);
    }
    assert_int_equal(journal_head(fixture->journal), 300);
    fixture_close(fixture);
    assert_int_equal(fixture_check_numbers(fixture), 300);
}

static void numbers_go_on_after_a_reopen(void **state)
{
    struct fixture *fixture = *state;
    char epoch[JOURNAL_EPOCH_LENGTH + 1];
    struct journal_entry *entry;

    fixture_open(fixture);
    strcpy(epoch, journal_epoch(fixture->journal));
    assert_int_equal(strlen(epoch), JOURNAL_EPOCH_LENGTH);
    fixture_fill(fixture, "a", 5);
    fixture_reopen(fixture);
    assert_string_equal(journal_epoch(fixture->journal), epoch);
    assert_int_equal(journal_head(fixture->journal), 5);
    assert_int_equal(journal_tail(fixture->journal), 1);
    entry = fixture_publish(fixture, (struct text){.room = "a"});
    fixture_wait(fixture);
    assert_int_equal(entry->message.pos, 6);
    assert_int_equal(entry->message.seq, 6);
    entry = fixture_publish(fixture, (struct text){.room = "a", .namespace = "/other"});
    fixture_wait(fixture);
    assert_int_equal(entry->message.pos, 7);
    assert_int_equal(entry->message.seq, 1);
}

static void logged_messages_leave_no_hole_in_a_rooms_numbers(void **state)
{
    static const enum message_class classes[] = {MESSAGE_ARCHIVED, MESSAGE_LOGGED, MESSAGE_LOGGED,
                                                 MESSAGE_ARCHIVED};
    static const uint64_t numbers[] = {1, 0, 0, 2, 3, 0, 0, 4};
    struct fixture *fixture = *state;
    struct journal_entry *pass;

    fixture_open(fixture);
    for (unsigned i = 0; i < 8; i++) {
        struct journal_entry *entry;

        entry = fixture_publish(fixture, (struct text){.room = "a", .class = classes[i % 4]});
        fixture_wait(fixture);
        assert_int_equal(entry->message.pos, i + 1);
        assert_int_equal(entry->message.seq, numbers[i]);
        if (i == 5)
            fixture_reopen(fixture);
    }
    pass = fixture_pass(fixture, "a");
    fixture_wait(fixture);
    assert_int_equal(pass->message.pos, 8);
    assert_int_equal(pass->message.seq, 4);
    assert_int_equal(fixture_check_numbers(fixture), 8);
}

static void namespace_and_room_do_not_run_together(void **state)
{
    struct fixture *fixture = *state;
    struct journal_entry *first, *second;

    fixture_open(fixture);
    first = fixture_publish(fixture, (struct text){.namespace = "/a", .room = "bc"});
    second = fixture_publish(fixture, (struct text){.namespace = "/ab", .room = "c"});
    fixture_wait(fixture);
    assert_int_equal(first->message.seq, 1);
    assert_int_equal(second->message.seq, 1);
}

static void passes_keep_their_place_and_see_the_numbers_before_them(void **state)
{
    struct fixture *fixture = *state;
    struct journal_entry *empty, *before, *between, *none;

    fixture_open(fixture);
    fixture_fill(fixture, "old", 3);
    fixture_reopen(fixture);
    empty = fixture_pass(fixture, "nobody wrote here");
    before = fixture_pass(fixture, "old");
    fixture_publish(fixture, (struct text){.room = "old"});
    between = fixture_pass(fixture, "old");
    fixture_publish(fixture, (struct text){.room = "old"});
    none = fixture_pass(fixture, "");
    fixture_wait(fixture);
    assert_ptr_equal(fixture->back[0], empty);
    assert_ptr_equal(fixture->back[1], before);
    assert_ptr_equal(fixture->back[3], between);
    assert_ptr_equal(fixture->back[5], none);
    assert_int_equal(empty->message.pos, 3);
    assert_int_equal(empty->message.seq, 0);
    assert_int_equal(before->message.pos, 3);
    assert_int_equal(before->message.seq, 3);
    assert_int_equal(between->message.pos, 4);
    assert_int_equal(between->message.seq, 4);
    assert_int_equal(none->message.pos, 5);
    assert_int_equal(none->message.seq, 0);
}

static void passes_alone_commit_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct journal_statistics statistics;

    fixture_open(fixture);
    for (int i = 0; i < 10; i++)
        fixture_pass(fixture, "a");
    fixture_wait(fixture);
    journal_statistics(fixture->journal, &statistics);
    assert_int_equal(statistics.commits, 0);
    assert_int_equal(statistics.waiting, 0);
}

static void every_field_is_on_disk(void **state)
{
    struct fixture *fixture = *state;
    struct journal_entry *entry;
    struct journal_read read;
    const struct journal_message *message;

    fixture_open(fixture);
    entry =
        fixture_publish(fixture, (struct text){.room = "r", .id = "id-12345", .arguments = "{\"a\":1},2"});
    entry->message.attachments = BYTES("\x91\xc4\x02\x00\x01");
    entry->message.except = BYTES("\x92\xa1x\xa2yz");
    entry->message.deliver = DELIVER_NAMESPACE;
    entry->message.class = MESSAGE_LOGGED;
    entry->message.meta = false;
    fixture_wait(fixture);
    read = fixture_range(fixture, 1, 1, 1000);
    assert_int_equal(read.count, 1);
    assert_true(read.complete);
    message = &read.messages[0];
    assert_int_equal(message->pos, 1);
    assert_int_equal(message->seq, 0);
    assert_int_equal(message->at, entry->message.at);
    assert_true(bytes_equal_text(message->namespace, "/"));
    assert_true(bytes_equal_text(message->room, "r"));
    assert_true(bytes_equal_text(message->publish_id, "id-12345"));
    assert_true(bytes_equal_text(message->event, "msg"));
    assert_true(bytes_equal_text(message->arguments, "{\"a\":1},2"));
    assert_true(bytes_equal(message->attachments, entry->message.attachments));
    assert_true(bytes_equal(message->except, entry->message.except));
    assert_true(bytes_equal_text(message->sender_sid, "sid-of-sender"));
    assert_true(bytes_equal_text(message->sender_name, "alice"));
    assert_int_equal(message->deliver, DELIVER_NAMESPACE);
    assert_int_equal(message->class, MESSAGE_LOGGED);
    assert_false(message->meta);
    journal_read_free(&read);
}

/* Publishes with a client's id and says what came of it. */
static struct journal_entry *once(struct fixture *fixture, const char *room, const char *scope,
                                  const char *id)
{
    struct journal_entry *entry =
        fixture_publish(fixture, (struct text){.room = room, .scope = scope, .id = id});

    fixture_wait(fixture);
    return entry;
}

static void assert_duplicate(const struct journal_entry *entry, uint64_t pos, uint64_t seq, uint64_t at)
{
    assert_int_equal(entry->result, ERROR_EXISTS);
    assert_int_equal(entry->message.pos, pos);
    assert_int_equal(entry->message.seq, seq);
    assert_int_equal(entry->message.at, at);
}

static void a_clients_id_counts_once_within_a_batch(void **state)
{
    struct fixture *fixture = *state;
    struct text text = {.room = "a", .scope = "alice", .id = "client-1"};
    struct journal_entry *first, *second, *next;
    struct journal_statistics statistics;

    fixture_open(fixture);
    first = fixture_publish(fixture, text);
    second = fixture_publish(fixture, text);
    next = fixture_publish(fixture, (struct text){.room = "a"});
    fixture_wait(fixture);
    assert_int_equal(first->result, 0);
    assert_duplicate(second, 1, 1, first->message.at);
    assert_int_equal(next->message.pos, 2);
    assert_int_equal(next->message.seq, 2);
    journal_statistics(fixture->journal, &statistics);
    assert_int_equal(statistics.messages, 2);
    assert_int_equal(statistics.duplicates, 1);
}

static void a_clients_id_counts_once_in_later_batches_and_after_a_reopen(void **state)
{
    struct fixture *fixture = *state;
    uint64_t at;

    fixture_open(fixture);
    once(fixture, "a", NULL, NULL);
    at = once(fixture, "a", "alice", "client-1")->message.at;
    assert_duplicate(once(fixture, "a", "alice", "client-1"), 2, 2, at);
    fixture_reopen(fixture);
    assert_duplicate(once(fixture, "a", "alice", "client-1"), 2, 2, at);
    assert_duplicate(once(fixture, "another room", "alice", "client-1"), 2, 2, at);
    assert_int_equal(once(fixture, "a", "alice", "client-2")->message.pos, 3);
}

/* Asks what became of an id, without a message of its own. */
static struct journal_entry *ask_for(struct fixture *fixture, struct text text)
{
    struct journal_entry *entry = fixture_publish(fixture, text);

    entry->kind = JOURNAL_PASS;
    return entry;
}

static void an_id_can_be_asked_for(void **state)
{
    const struct text known = {.room = "a", .scope = "alice", .id = "client-1"};
    const struct text other = {.room = "a", .scope = "alice", .id = "client-2"};
    struct fixture *fixture = *state;
    struct journal_entry *early, *first, *late;

    fixture_open(fixture);
    early = ask_for(fixture, known);
    first = fixture_publish(fixture, known);
    late = ask_for(fixture, known);
    fixture_wait(fixture);
    assert_int_equal(early->result, 0);
    assert_int_equal(first->result, 0);
    assert_duplicate(late, 1, 1, first->message.at);
    fixture_reopen(fixture);
    late = ask_for(fixture, known);
    early = ask_for(fixture, other);
    fixture_wait(fixture);
    assert_int_equal(late->result, ERROR_EXISTS);
    assert_int_equal(late->message.seq, 1);
    assert_int_equal(early->result, 0);
    /* Asking takes no number, and is no message. */
    assert_int_equal(once(fixture, "a", "alice", "client-2")->message.pos, 2);
}

static void other_scopes_and_gateways_ids_are_no_duplicates(void **state)
{
    struct fixture *fixture = *state;
    struct journal_entry *elsewhere;

    fixture_open(fixture);
    assert_int_equal(once(fixture, "a", "alice", "client-1")->result, 0);
    assert_int_equal(once(fixture, "a", "bob", "client-1")->result, 0);
    assert_int_equal(once(fixture, "a", NULL, "client-1")->result, 0);
    assert_int_equal(once(fixture, "a", NULL, "client-1")->result, 0);
    assert_int_equal(once(fixture, "a", "alic", "eclient-1")->result, 0);
    elsewhere = fixture_publish(
        fixture, (struct text){.namespace = "/x", .room = "a", .scope = "alice", .id = "client-1"});
    fixture_wait(fixture);
    assert_int_equal(elsewhere->result, 0);
}

static void ids_of_a_tail_without_index_are_known_after_a_reopen(void **state)
{
    struct fixture *fixture = *state;
    uint64_t at;

    fixture_open(fixture);
    at = once(fixture, "a", "alice", "client-1")->message.at;
    fixture_close(fixture);
    fixture_sql(fixture, "DELETE FROM dedup; DELETE FROM room; DELETE FROM segment;"
                         "UPDATE meta SET value = 0 WHERE key = 'indexed'");
    fixture_open(fixture);
    assert_duplicate(once(fixture, "a", "alice", "client-1"), 1, 1, at);
}

static void a_brief_id_is_known_again_after_a_reopen(void **state)
{
    struct fixture *fixture = *state;
    uint64_t at;

    fixture_open(fixture);
    once(fixture, "b", NULL, NULL);
    at = once(fixture, "a", "~0", "made-1")->message.at;
    assert_duplicate(once(fixture, "a", "~0", "made-1"), 2, 1, at);
    assert_int_equal(once(fixture, "a", "~1", "made-1")->result, 0);
    fixture_reopen(fixture);
    assert_duplicate(once(fixture, "a", "~0", "made-1"), 2, 1, at);
    fixture_close(fixture);
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM dedup"), 0);
    /* The same for rows that the index lacks. */
    fixture_sql(fixture, "DELETE FROM room; DELETE FROM segment;"
                         "UPDATE meta SET value = 0 WHERE key IN ('indexed', 'numbered')");
    fixture_open(fixture);
    assert_duplicate(once(fixture, "a", "~0", "made-1"), 2, 1, at);
    assert_int_equal(once(fixture, "a", "~0", "made-2")->message.pos, 4);
}

/* A group of messages with one id, to rooms named by the letters. */
static void publish_group(struct fixture *fixture, const char *letters, const char *id,
                          struct journal_entry *entries[])
{
    for (size_t i = 0; letters[i]; i++) {
        char room[] = {letters[i], '\0'}, scope[] = {'b', (char)('0' + i), '\0'};

        entries[i] = fixture_publish(fixture, (struct text){.room = room, .scope = scope, .id = id});
        entries[i]->more = letters[i + 1] != '\0';
    }
    fixture_wait(fixture);
}

static void the_first_of_a_group_decides_about_its_id(void **state)
{
    struct fixture *fixture = *state;
    struct journal_entry *first[2], *again[3], *other[2];

    fixture_open(fixture);
    publish_group(fixture, "ab", "client-1", first);
    publish_group(fixture, "abc", "client-1", again);
    publish_group(fixture, "cd", "client-2", other);
    assert_int_equal(first[1]->message.pos, 2);
    assert_duplicate(again[0], 1, 1, first[0]->message.at);
    assert_duplicate(again[1], 2, 1, first[1]->message.at);
    assert_duplicate(again[2], 0, 0, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(other[i]->result, 0);
        assert_int_equal(other[i]->message.pos, 3 + i);
        assert_int_equal(other[i]->message.seq, 1);
    }
    /* What follows a group is none of it. */
    assert_int_equal(once(fixture, "c", NULL, NULL)->message.seq, 2);
}

static void a_group_is_one_commit(void **state)
{
    enum { BEFORE = 8190, GROUP = 9 }; /* a batch has up to 8192 entries */
    struct fixture *fixture = *state;
    struct journal_statistics statistics;

    fixture_open(fixture);
    for (unsigned i = 0; i < BEFORE; i++)
        fixture_publish(fixture, (struct text){.room = "a"});
    for (unsigned i = 0; i < GROUP; i++)
        fixture_publish(fixture, (struct text){.room = "b"})->more = i + 1 < GROUP;
    fixture_wait(fixture);
    journal_statistics(fixture->journal, &statistics);
    assert_int_equal(statistics.commits, 1);
    assert_int_equal(journal_head(fixture->journal), BEFORE + GROUP);
}

static void an_id_is_forgotten_after_its_hours(void **state)
{
    struct fixture *fixture = *state;
    struct journal_entry *entry;

    fixture_open(fixture);
    once(fixture, "a", "alice", "client-1");
    fixture_close(fixture);
    fixture_sql(fixture, "UPDATE dedup SET at = at - 86340000, bucket = (at - 86340000) / 86400000");
    fixture_open(fixture);
    assert_int_equal(once(fixture, "a", "alice", "client-1")->result, ERROR_EXISTS);
    fixture_close(fixture);
    fixture_sql(fixture, "UPDATE dedup SET at = at - 60001, bucket = (at - 60001) / 86400000");
    fixture_open(fixture);
    entry = once(fixture, "a", "alice", "client-1");
    assert_int_equal(entry->result, 0);
    assert_int_equal(entry->message.pos, 2);
    assert_int_equal(once(fixture, "a", "alice", "client-1")->result, ERROR_EXISTS);
}

static void expired_ids_leave_the_file(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    for (int i = 0; i < 50; i++) {
        char id[16];

        snprintf(id, sizeof id, "client-%d", i);
        fixture_publish(fixture, (struct text){.room = "a", .scope = "alice", .id = id});
    }
    fixture_wait(fixture);
    fixture_close(fixture);
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM dedup"), 50);
    fixture_sql(fixture, "UPDATE dedup SET bucket = bucket - 2, at = at - 2 * 86400000");
    fixture_open(fixture);
    once(fixture, "a", "alice", "client-new");
    fixture_close(fixture);
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM dedup"), 1);
}

static uint64_t unindexed(struct fixture *fixture)
{
    struct journal_statistics statistics;

    journal_statistics(fixture->journal, &statistics);
    return statistics.unindexed;
}

static void publish_ids(struct fixture *fixture, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        char id[32];

        snprintf(id, sizeof id, "client-%06u", i);
        fixture_publish(fixture, (struct text){.room = "a", .scope = "alice", .id = id});
    }
    fixture_wait(fixture);
}

/* One commit of so many is no reason for a pass of its own, the next small one is; and all are known. */
static void ids_of_large_commits_share_a_pass(void **state)
{
    struct fixture *fixture = *state;
    struct journal_statistics statistics;
    uint64_t start;

    start = clock_monotonic_ms();
    fixture_open(fixture);
    publish_ids(fixture, 0, 3000);
    journal_statistics(fixture->journal, &statistics);
    assert_int_equal(statistics.commits, 1);
    if (clock_monotonic_ms() - start < 1000) /* behind that one is due anyway */
        assert_int_equal(statistics.unindexed, 3000);
    publish_ids(fixture, 3000, 1);
    fixture_publish(fixture, (struct text){.room = "a"});
    fixture_wait(fixture); /* the pass stands between these commits */
    assert_true(unindexed(fixture) <= 1);
    assert_int_equal(once(fixture, "a", "alice", "client-000000")->result, ERROR_EXISTS);
    assert_int_equal(once(fixture, "a", "alice", "client-002999")->result, ERROR_EXISTS);
    assert_int_equal(once(fixture, "a", "alice", "client-003000")->result, ERROR_EXISTS);
}

static void time_does_not_go_back_within_a_room(void **state)
{
    struct fixture *fixture = *state;
    struct journal_entry *same, *other;

    fixture_open(fixture);
    fixture_fill(fixture, "a", 1);
    fixture_close(fixture);
    fixture_sql(fixture, "UPDATE room SET last_at = 9999999999999");
    fixture_open(fixture);
    same = fixture_publish(fixture, (struct text){.room = "a"});
    other = fixture_publish(fixture, (struct text){.room = "b"});
    fixture_wait(fixture);
    assert_int_equal(same->message.at, 9999999999999);
    assert_true(other->message.at < 9999999999999);
}

static void more_rooms_than_memory_keeps_go_on_counting(void **state)
{
    enum { ROOMS = JOURNAL_ROOMS_CACHED_MAX + 500 };
    struct fixture *fixture = *state;
    struct journal_entry *entry;
    char room[16];

    fixture_open(fixture);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < ROOMS; i++) {
            snprintf(room, sizeof room, "room-%u", i);
            fixture_publish(fixture, (struct text){.room = room});
            if (i % 1000 == 0)
                journal_flush(fixture->journal);
        }
    fixture_wait(fixture);
    entry = fixture_publish(fixture, (struct text){.room = "room-0"});
    fixture_wait(fixture);
    assert_int_equal(entry->message.seq, 3);
    fixture_close(fixture);
    assert_int_equal(fixture_check_numbers(fixture), 2 * ROOMS + 1);
}

static void closing_commits_what_waits(void **state)
{
    struct fixture *fixture = *state;
    struct journal_entry *entries[100];

    fixture_open(fixture);
    for (int i = 0; i < 100; i++)
        entries[i] = fixture_publish(fixture, (struct text){.room = "a"});
    journal_close(fixture->journal);
    fixture->journal = NULL;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(entries[i]->message.seq, i + 1);
        free(entries[i]);
    }
    assert_int_equal(fixture_check_numbers(fixture), 100);
}

static void the_wal_starts_over_under_load(void **state)
{
    enum { LENGTH = 4000, BATCHES = 160, BATCH = 100 };
    struct fixture *fixture = *state;
    struct journal_statistics statistics;
    char text[LENGTH + 1];

    memset(text, '1', LENGTH);
    text[LENGTH] = '\0';
    fixture_open(fixture);
    for (int i = 0; i < BATCHES; i++) {
        for (int j = 0; j < BATCH; j++)
            fixture_publish(fixture, (struct text){.room = "a", .arguments = text});
        fixture_wait(fixture);
    }
    journal_statistics(fixture->journal, &statistics);
    assert_true(statistics.checkpoints > 1);
    assert_true(statistics.wal_bytes < (uint64_t)LENGTH * BATCHES * BATCH * 3 / 4);
    assert_true(statistics.file_bytes > 0);
    assert_int_equal(statistics.messages, BATCHES * BATCH);
    assert_true(statistics.commit_ns_max >= statistics.commit.sum / statistics.commits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(entries_come_back_in_order_with_numbers),
        TEST(numbers_go_on_after_a_reopen),
        TEST(logged_messages_leave_no_hole_in_a_rooms_numbers),
        TEST(namespace_and_room_do_not_run_together),
        TEST(passes_keep_their_place_and_see_the_numbers_before_them),
        TEST(passes_alone_commit_nothing),
        TEST(every_field_is_on_disk),
        TEST(a_clients_id_counts_once_within_a_batch),
        TEST(a_clients_id_counts_once_in_later_batches_and_after_a_reopen),
        TEST(an_id_can_be_asked_for),
        TEST(other_scopes_and_gateways_ids_are_no_duplicates),
        TEST(ids_of_a_tail_without_index_are_known_after_a_reopen),
        TEST(a_brief_id_is_known_again_after_a_reopen),
        TEST(the_first_of_a_group_decides_about_its_id),
        TEST(a_group_is_one_commit),
        TEST(an_id_is_forgotten_after_its_hours),
        TEST(expired_ids_leave_the_file),
        TEST(ids_of_large_commits_share_a_pass),
        TEST(time_does_not_go_back_within_a_room),
        TEST(more_rooms_than_memory_keeps_go_on_counting),
        TEST(closing_commits_what_waits),
        TEST(the_wal_starts_over_under_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
