/*
 * Power loss.  The journal writes to a disk that remembers what is synced; then the power goes, at every
 * place of a commit whose sync has not returned and at places drawn from all that a journal does, and what
 * the disk may have by then is opened: every message that was handed back before is there, and numbers go on
 * without a hole.
 */
#include "tests/unit/router/journal_fixture.h"
#include "tests/unit/router/power_disk.h"

#include "common/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGES_MAX = 20000, ROOMS = 7, CHECKED = 25 };

/* What was submitted: the message at index i has position i + 1. */
struct model {
    struct fixture *fixture;
    struct fixture copy; /* the journal that is made of what the disk has */
    struct submitted {
        uint64_t seq;
        uint8_t room;
        bool archived;
        size_t back_by; /* it was back when the disk had seen so many events */
    } items[MESSAGES_MAX];
    size_t count;
    uint64_t last_seq[ROOMS];
    char text[6000];
};

static int setup(void **state)
{
    struct model *model = test_calloc(1, sizeof *model);
    void *fixture;

    if (fixture_setup(&fixture))
        return -1;
    model->fixture = fixture;
    memset(model->text, 'x', sizeof model->text - 1);
    model->copy = *model->fixture;
    snprintf(model->copy.path, sizeof model->copy.path, "%s/copy.sqlite", model->fixture->folder);
    power_disk_watch(model->fixture->path);
    *state = model;
    return 0;
}

static int teardown(void **state)
{
    struct model *model = *state;
    void *fixture = model->fixture;

    fixture_close(&model->copy);
    free(model->copy.back);
    power_disk_end();
    fixture_teardown(&fixture);
    test_free(model);
    return 0;
}

static void open_with(struct fixture *fixture, const struct journal_retention *retention)
{
    struct journal_options options = {.path = fixture->path, .retention = *retention};

    if (journal_open(&options, NULL, NULL, &fixture->journal, fixture->message, sizeof fixture->message))
        fail_msg("%s", fixture->message);
}

/* One commit of that many messages of so many bytes; with ids of clients when the number is even. */
static void publish(struct model *model, unsigned count, unsigned bytes)
{
    size_t first = model->count;

    while (count--) {
        struct submitted *item = &model->items[model->count++];
        char room[2] = {0}, id[32];

        assert_true(model->count < MESSAGES_MAX);
        item->room = (uint8_t)(model->count * 5 % ROOMS);
        item->archived = model->count % 3 != 0;
        item->seq = item->archived ? ++model->last_seq[item->room] : 0;
        room[0] = (char)('a' + item->room);
        snprintf(id, sizeof id, "client-id-%zu", model->count);
        model->text[bytes] = '\0';
        fixture_publish(model->fixture, (struct text){.room = room,
                                                      .arguments = model->text,
                                                      .class = item->archived ? 0 : MESSAGE_LOGGED,
                                                      .id = id,
                                                      .scope = model->count % 2 ? NULL : "s:alice"});
        model->text[bytes] = 'x';
    }
    fixture_wait(model->fixture);
    while (first < model->count)
        model->items[first++].back_by = power_disk_events();
}

static void check_row(const struct model *model, const struct journal_message *row)
{
    const struct submitted *item = &model->items[row->pos - 1];

    assert_true(row->pos >= 1 && row->pos <= model->count);
    assert_int_equal(row->seq, item->seq);
    assert_int_equal(row->room.length, 1);
    assert_int_equal(row->room.data[0], 'a' + item->room);
}

/* Opens what the disk has, lets it go on, and compares. */
static void check_copy(struct model *model, size_t event)
{
    static const struct journal_retention nothing_leaves = {0};
    struct fixture *copy = &model->copy;
    struct journal_statistics statistics;
    struct journal_read read;
    uint64_t head, back = 0, archived = 0, last_seq[ROOMS] = {0};

    while (back < model->count && model->items[back].back_by <= event)
        back++;
    open_with(copy, &nothing_leaves);
    head = journal_head(copy->journal);
    assert_true(head >= back && head <= model->count);
    journal_statistics(copy->journal, &statistics);

    read = fixture_range(copy, journal_tail(copy->journal), head, UINT64_MAX);
    assert_int_equal(read.count, head + 1 - journal_tail(copy->journal));
    for (size_t i = 0; i < read.count; i++)
        check_row(model, &read.messages[i]);
    journal_read_free(&read);
    for (uint64_t pos = 1; pos <= head; pos++) {
        const struct submitted *item = &model->items[pos - 1];

        if (item->archived)
            last_seq[item->room] = item->seq;
        archived += item->archived && pos > statistics.archived_floor;
    }
    for (int room = 0; room < ROOMS; room++) {
        const char name[2] = {(char)('a' + room), 0};
        struct journal_entry *entry = fixture_publish(copy, (struct text){.room = name});

        fixture_wait(copy);
        assert_int_equal(entry->result, 0);
        assert_int_equal(entry->message.seq, last_seq[room] + 1);
        assert_int_equal(entry->message.pos, ++head);
        read = fixture_page(copy, name, 0, 0, 200);
        assert_true(read.count > 0);
        for (size_t i = 0; i + 1 < read.count; i++)
            check_row(model, &read.messages[i]);
        assert_int_equal(read.messages[read.count - 1].seq, last_seq[room] + 1);
        journal_read_free(&read);
    }
    fixture_close(copy);
    assert_int_equal(fixture_number(copy, "SELECT count(*) FROM message WHERE class = 1"), archived + ROOMS);
    assert_int_equal(unlink(copy->path), 0);
}

static void a_commit_cut_anywhere_is_there_or_not(void **state)
{
    static const unsigned sizes[] = {1, 3, 5000};
    static const struct journal_retention all_stays = {0};
    struct model *model = *state;
    uint64_t seed = 99;
    unsigned cuts = 0;

    open_with(model->fixture, &all_stays);
    power_disk_begin();
    publish(model, 20, 100);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t before = power_disk_events(), event;
        uint64_t bytes;

        publish(model, 3, sizes[i]);
        publish(model, 1, sizes[i]);
        /* The moment before the sync that the first of these two commits waits for. */
        for (event = before; power_disk_pending(event + 1) > power_disk_pending(event); event++)
            ;
        bytes = power_disk_pending(event);
        assert_true(bytes >= 4096);
        for (uint64_t cut = 0; cut <= bytes; cut += POWER_SECTOR, cuts++) {
            power_disk_cut(event, cut, model->copy.path);
            check_copy(model, event);
        }
        for (int k = 0; k < CHECKED; k++, cuts++) {
            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            power_disk_cut(event, (seed >> 33) % bytes, model->copy.path);
            check_copy(model, event);
            power_disk_scatter(event, seed, model->copy.path);
            check_copy(model, event);
        }
    }
    assert_true(cuts > 3 * CHECKED + 30);
}

/* Index passes, steps of removal, and checkpoints lie on the way, and the WAL starts over. */
static void a_loss_at_any_time_keeps_what_was_handed_back(void **state)
{
    static const struct journal_retention retention = {.recovery_ms = 1, .keep_messages = 900};
    struct model *model = *state;
    struct journal_statistics statistics;
    uint64_t seed = 4711;
    size_t events;

    open_with(model->fixture, &retention);
    power_disk_begin();
    do {
        publish(model, (unsigned)(model->count % 11) + 1, model->count % 3 ? 40 : 4000);
        journal_statistics(model->fixture->journal, &statistics);
    } while (model->count < 4500 || statistics.removed < 500 || statistics.checkpoints < 8);
    events = power_disk_events();
    for (int k = 0; k < CHECKED; k++) {
        size_t event;

        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        event = (size_t)(seed >> 20) % events;
        power_disk_scatter(event, seed, model->copy.path);
        check_copy(model, event);
        power_disk_cut(event, (seed >> 33) % (power_disk_pending(event) + 1), model->copy.path);
        check_copy(model, event);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_commit_cut_anywhere_is_there_or_not, setup, teardown),
        cmocka_unit_test_setup_teardown(a_loss_at_any_time_keeps_what_was_handed_back, setup, teardown),
    };

    power_disk_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
