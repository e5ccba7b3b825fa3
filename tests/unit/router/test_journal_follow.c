/* Copying the log elsewhere: following it, noting progress and dead letters, and numbers to start from. */
#include "tests/unit/router/journal_fixture.h"

#include "router/journal_follower.h"
#include "router/journal_seed.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

enum { LONG_MS = 60000 };

/* What a read handed out. */
struct seen {
    unsigned count;
    uint64_t first, last;
};

static void take(void *argument, const struct journal_message *message)
{
    struct seen *seen = argument;

    if (seen->count++ == 0)
        seen->first = message->pos;
    else
        assert_int_equal(message->pos, seen->last + 1);
    seen->last = message->pos;
}

static struct journal_follower *follow(struct fixture *fixture)
{
    struct journal_follower *follower;

    if (journal_follower_open(fixture->journal, &follower, fixture->message, sizeof fixture->message))
        fail_msg("%s", fixture->message);
    return follower;
}

static void a_follower_reads_within_its_limits(void **state)
{
    struct fixture *fixture = *state;
    struct journal_follower *follower;
    struct seen seen = {0};
    uint64_t reached = 4711;

    fixture_open(fixture);
    follower = follow(fixture);
    assert_int_equal(journal_follower_read(follower, 0, &(struct journal_follower_limits){10, 1 << 20}, take,
                                           &seen, &reached),
                     0);
    assert_int_equal(reached, 0);
    fixture_fill(fixture, "a", 25);
    assert_int_equal(journal_follower_read(follower, 3, &(struct journal_follower_limits){10, 1 << 20}, take,
                                           &seen, &reached),
                     0);
    assert_int_equal(seen.first, 4);
    assert_int_equal(seen.count, 10);
    assert_int_equal(reached, 13);
    seen = (struct seen){0};
    assert_int_equal(journal_follower_read(follower, 13, &(struct journal_follower_limits){100, 100}, take,
                                           &seen, &reached),
                     0);
    assert_true(seen.count >= 2 && seen.count < 12);
    assert_int_equal(reached, seen.last);
    journal_follower_close(follower);
}

struct waiter {
    struct journal *journal;
    uint64_t pos;
    bool beyond;
};

static void *wait_for(void *argument)
{
    struct waiter *waiter = argument;

    waiter->beyond = journal_wait(waiter->journal, waiter->pos, LONG_MS);
    return NULL;
}

static void a_wait_ends_with_a_commit_and_when_it_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct waiter waiter;
    pthread_t thread;

    fixture_open(fixture);
    waiter = (struct waiter){fixture->journal, 0, false};
    assert_int_equal(pthread_create(&thread, NULL, wait_for, &waiter), 0);
    fixture_fill(fixture, "a", 1);
    pthread_join(thread, NULL);
    assert_true(waiter.beyond);
    assert_int_equal(journal_committed(fixture->journal), 1);
    assert_true(journal_wait(fixture->journal, 0, LONG_MS));
    waiter.pos = 1;
    assert_int_equal(pthread_create(&thread, NULL, wait_for, &waiter), 0);
    journal_wait_end(fixture->journal);
    pthread_join(thread, NULL);
    assert_false(waiter.beyond);
    assert_false(journal_wait(fixture->journal, 1, 1));
}

/* Progress is written at the latest when the journal is closed. */
static void progress_and_letters_are_in_the_file(void **state)
{
    static const struct journal_letter letters[] = {{3, 121, "not valid"}, {5, 10334, "large"}};
    struct fixture *fixture = *state;
    char long_text[1000];

    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = 0;
    fixture_open(fixture);
    fixture_fill(fixture, "a", 10);
    assert_int_equal(journal_archived_position(fixture->journal), 0);
    assert_int_equal(journal_archived(fixture->journal, 7, letters, 2), 0);
    assert_int_equal(journal_archived(fixture->journal, 9, &(struct journal_letter){9, 1, long_text}, 1), 0);
    fixture_reopen(fixture);
    assert_int_equal(journal_archived_position(fixture->journal), 9);
    assert_int_equal(journal_dead_letters(fixture->journal), 3);
    /* After a crash it may happen again. */
    assert_int_equal(journal_archived(fixture->journal, 9, letters, 2), 0);
    fixture_reopen(fixture);
    assert_int_equal(journal_dead_letters(fixture->journal), 3);
    fixture_close(fixture);
    assert_int_equal(fixture_number(fixture,
                                    "SELECT count(*) FROM dead_letter JOIN message USING (pos) WHERE "
                                    "dead_letter.arguments = message.arguments AND code = 121 AND "
                                    "error = 'not valid' AND refused_at > 0"),
                     1);
    assert_int_equal(fixture_number(fixture, "SELECT length(error) FROM dead_letter WHERE pos = 9"),
                     JOURNAL_LETTER_ERROR_MAX);
    fixture_open(fixture);
}

/* While the journal runs, too, and with nothing else to do. */
static void progress_is_written_by_an_idle_journal(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    fixture_fill(fixture, "a", 10);
    assert_int_equal(journal_archived(fixture->journal, 10, NULL, 0), 0);
    while (journal_archived_position(fixture->journal) != 10)
        sched_yield();
    assert_int_equal(fixture_number(fixture, "SELECT value FROM meta WHERE key = 'archived'"), 10);
}

static void too_many_letters_wait(void **state)
{
    struct fixture *fixture = *state;
    int result = 0;
    unsigned count = 0;

    fixture_open(fixture);
    fixture_fill(fixture, "a", 1);
    while (!result && count++ < 100000)
        result = journal_archived(fixture->journal, 1, &(struct journal_letter){1, 2, "bad"}, 1);
    assert_int_equal(result, ERROR_BUSY);
    while (journal_archived(fixture->journal, 1, &(struct journal_letter){1, 2, "bad"}, 1))
        sched_yield();
}

static void begin_seed(struct fixture *fixture, struct journal_seed *seed)
{
    if (journal_seed_begin(seed, fixture->path, fixture->message, sizeof fixture->message))
        fail_msg("%s", fixture->message);
}

static void a_seeded_room_goes_on(void **state)
{
    const uint64_t future = 4102444800000; /* 2100 */
    struct fixture *fixture = *state;
    struct journal_seed seed;
    struct journal_entry *entry, *other;
    struct journal_read read;

    begin_seed(fixture, &seed);
    assert_int_equal(journal_seed_room(&seed, BYTES("/"), BYTES("gone"), 7, 0), 0);
    assert_int_equal(journal_seed_restart(&seed), 0);
    assert_int_equal(journal_seed_room(&seed, BYTES("/"), BYTES("a"), 499, future), 0);
    assert_int_equal(journal_seed_room(&seed, BYTES("/"), BYTES("a"), 500, 0), 0);
    assert_int_equal(journal_seed_end(&seed, fixture->message, sizeof fixture->message), 0);
    assert_int_equal(journal_seed_begin(&seed, fixture->path, fixture->message, sizeof fixture->message),
                     ERROR_EXISTS);
    for (int opened = 0; opened < 2; opened++) {
        fixture_open(fixture);
        entry = fixture_publish(fixture, (struct text){.room = "a"});
        other = fixture_publish(fixture, (struct text){.room = "gone"});
        fixture_wait(fixture);
        assert_int_equal(entry->message.seq, 501 + (uint64_t)opened);
        assert_true(entry->message.at >= future);
        assert_int_equal(other->message.seq, 1 + (uint64_t)opened);
        read = fixture_page(fixture, "a", 0, 0, 200);
        assert_int_equal(read.count, 1 + (size_t)opened);
        assert_int_equal(read.messages[0].seq, 501);
        assert_int_equal(read.first_seq, 501);
        assert_false(read.more);
        journal_read_free(&read);
        fixture_close(fixture);
    }
    fixture_open(fixture);
}

static void a_journal_with_messages_is_not_seeded(void **state)
{
    struct fixture *fixture = *state;
    struct journal_seed seed;

    fixture_open(fixture);
    fixture_fill(fixture, "a", 1);
    assert_int_equal(journal_seed_begin(&seed, fixture->path, fixture->message, sizeof fixture->message),
                     ERROR_LOCKED);
    fixture_close(fixture);
    assert_int_equal(journal_seed_begin(&seed, fixture->path, fixture->message, sizeof fixture->message),
                     ERROR_EXISTS);
    fixture_open(fixture);
}

static void what_was_abandoned_is_not_there(void **state)
{
    struct fixture *fixture = *state;
    struct journal_seed seed;
    struct journal_entry *entry;

    begin_seed(fixture, &seed);
    assert_int_equal(journal_seed_room(&seed, BYTES("/"), BYTES("a"), 500, 0), 0);
    journal_seed_abandon(&seed);
    begin_seed(fixture, &seed);
    assert_int_equal(journal_seed_end(&seed, fixture->message, sizeof fixture->message), 0);
    fixture_open(fixture);
    entry = fixture_publish(fixture, (struct text){.room = "a"});
    fixture_wait(fixture);
    assert_int_equal(entry->message.seq, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_follower_reads_within_its_limits),
        TEST(a_wait_ends_with_a_commit_and_when_it_is_told),
        TEST(progress_and_letters_are_in_the_file),
        TEST(progress_is_written_by_an_idle_journal),
        TEST(too_many_letters_wait),
        TEST(a_seeded_room_goes_on),
        TEST(a_journal_with_messages_is_not_seeded),
        TEST(what_was_abandoned_is_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
