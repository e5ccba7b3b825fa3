/* What a client missed: found by its rooms and its namespace, each message once, wherever the index stands.
 */
#include "tests/unit/router/journal_fixture.h"

#include "common/memory.h"
#include "router/journal_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

enum { ROOMS = 5, SOCKETS = 3, UNBOUNDED = 1 << 30 };

static const char *const room_names[ROOMS + SOCKETS] = {"a",     "b",     "lobby", "longer name",
                                                        "quiet", "sid-0", "sid-1", "sid-2"};

/* A message as the test knows it; its position is its index plus 1. */
struct known {
    int room; /* of room_names */
    bool other_namespace;
    enum message_class class;
    enum deliver_mode deliver;
    int sender;
};

struct model {
    struct known *items;
    size_t count, capacity;
    uint64_t seed;
};

static unsigned draw(struct model *model, unsigned limit)
{
    model->seed = model->seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(model->seed >> 33) % limit;
}

static void publish_some(struct fixture *fixture, struct model *model, unsigned count)
{
    static const enum deliver_mode modes[] = {DELIVER_ROOM,   DELIVER_ROOM, DELIVER_ROOM,
                                              DELIVER_OTHERS, DELIVER_SELF, DELIVER_NAMESPACE};

    for (unsigned i = 0; i < count; i++) {
        struct known known = {
            .room = (int)draw(model, ROOMS - 1), /* nothing comes to the last one */
            .other_namespace = draw(model, 8) == 0,
            .class = draw(model, 2) ? MESSAGE_ARCHIVED : MESSAGE_LOGGED,
            .deliver = modes[draw(model, sizeof modes / sizeof *modes)],
            .sender = (int)draw(model, SOCKETS),
        };
        bool roomless = known.deliver == DELIVER_NAMESPACE && known.class == MESSAGE_LOGGED;

        if (model->count == model->capacity) {
            model->capacity = model->capacity ? model->capacity * 2 : 1024;
            model->items = memory_resize(model->items, model->capacity * sizeof *model->items);
        }
        model->items[model->count++] = known;
        fixture_publish(fixture, (struct text){.namespace = known.other_namespace ? "/other" : "/",
                                               .room = roomless ? "" : room_names[known.room],
                                               .sender_sid = room_names[ROOMS + known.sender],
                                               .class = known.class,
                                               .deliver = known.deliver});
    }
    fixture_wait(fixture);
}

/* Whether it is for whoever was in these rooms from those positions on. */
static bool is_missed(const struct known *known, uint64_t pos, const struct journal_read *read)
{
    const char *name = room_names[known->room];

    if (bytes_equal_text(read->namespace, "/") == known->other_namespace || pos > read->last)
        return false;
    if (known->deliver == DELIVER_NAMESPACE)
        return pos > read->namespace_from;
    if (known->deliver == DELIVER_SELF)
        name = room_names[ROOMS + known->sender];
    for (size_t i = 0; i < read->room_count; i++)
        if (bytes_equal_text(read->rooms[i].room, name))
            return pos > read->rooms[i].from;
    return false;
}

/* Asks, and compares with what the model says; returns how many were missed. */
static size_t check(struct fixture *fixture, const struct model *model, struct journal_read read)
{
    size_t missed = 0;

    read.kind = JOURNAL_READ_MISSED;
    fixture_read(fixture, &read);
    assert_int_equal(read.result, 0);
    for (size_t i = 0; i < model->count; i++) {
        if (!is_missed(&model->items[i], i + 1, &read))
            continue;
        if (read.complete) {
            assert_true(missed < read.count);
            assert_int_equal(read.messages[missed].pos, i + 1);
            assert_int_equal(read.messages[missed].class, model->items[i].class);
            assert_int_equal(read.messages[missed].deliver, model->items[i].deliver);
            assert_true(bytes_equal(read.messages[missed].namespace, read.namespace));
        }
        missed++;
    }
    assert_int_equal(read.complete, missed <= read.limit);
    assert_int_equal(read.count, read.complete ? missed : 0);
    journal_read_free(&read);
    return missed;
}

static struct journal_read read_of(const struct journal_missed_room *rooms, size_t count,
                                   uint64_t namespace_from, uint64_t last, unsigned limit)
{
    return (struct journal_read){.namespace = BYTES("/"),
                                 .rooms = rooms,
                                 .room_count = count,
                                 .namespace_from = namespace_from,
                                 .last = last,
                                 .limit = limit,
                                 .max_bytes = UNBOUNDED};
}

/* Rooms, bounds and limits drawn, in both namespaces. */
static void check_some(struct fixture *fixture, struct model *model, unsigned times)
{
    while (times--) {
        struct journal_missed_room rooms[ROOMS + SOCKETS];
        unsigned reach = draw(model, 3) ? 300 : (unsigned)model->count + 1;
        uint64_t newest = model->count;
        struct journal_read read;
        size_t count = 0;

        for (int i = 0; i < ROOMS + SOCKETS; i++) {
            uint64_t back = draw(model, reach);

            if (draw(model, 2))
                rooms[count++] = (struct journal_missed_room){bytes_from_text(room_names[i]),
                                                              newest > back ? newest - back : 0};
        }
        read = read_of(rooms, count, draw(model, (unsigned)newest + 1), newest, draw(model, 600));
        if (draw(model, 3) == 0)
            read.last = draw(model, (unsigned)newest + 2);
        if (draw(model, 8) == 0)
            read.namespace = BYTES("/other");
        check(fixture, model, read);
    }
}

static void both_classes_of_all_rooms_are_found_wherever_the_index_stands(void **state)
{
    static const unsigned more[] = {40, 300, 3000, 1, 9000, 150};
    struct fixture *fixture = *state;
    struct model model = {.seed = 7};

    fixture_open(fixture);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        publish_some(fixture, &model, more[i]);
        check_some(fixture, &model, 60);
        if (i % 2) {
            fixture_reopen(fixture); /* all is in the index */
            check_some(fixture, &model, 60);
        }
    }
    fixture_close(fixture);
    assert_true(fixture_number(fixture, "SELECT count(*) FROM segment WHERE room_id < 0") > 2);
    assert_true(fixture_number(fixture, "SELECT max(length(logged)) FROM room") > 0);
    free(model.items);
}

static void bounds_are_exact(void **state)
{
    struct fixture *fixture = *state;
    struct model model = {.seed = 11};

    fixture_open(fixture);
    publish_some(fixture, &model, 400);
    for (int round = 0; round < 2; round++) {
        for (uint64_t from = 0; from <= model.count; from++) {
            struct journal_missed_room room = {BYTES("a"), from};
            size_t after, here;

            after = check(fixture, &model, read_of(&room, 1, from, model.count, UNBOUNDED));
            here = check(fixture, &model, read_of(&room, 1, from, from + 1, UNBOUNDED));
            if (from == model.count)
                assert_int_equal(after, 0);
            assert_true(here <= 1);
        }
        fixture_reopen(fixture);
    }
    check(fixture, &model, read_of(NULL, 0, 0, UINT64_MAX, UNBOUNDED));
    check(fixture, &model, read_of(NULL, 0, UINT64_MAX, UINT64_MAX, UNBOUNDED));
    free(model.items);
}

static void more_than_the_limit_gives_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct model model = {.seed = 13};
    struct journal_missed_room rooms[] = {{BYTES("a"), 17}, {BYTES("lobby"), 300}};
    size_t missed;

    fixture_open(fixture);
    publish_some(fixture, &model, 2000);
    for (int round = 0; round < 2; round++) {
        missed = check(fixture, &model, read_of(rooms, 2, 900, model.count, UNBOUNDED));
        assert_true(missed > 100);
        check(fixture, &model, read_of(rooms, 2, 900, model.count, (unsigned)missed));
        check(fixture, &model, read_of(rooms, 2, 900, model.count, (unsigned)missed - 1));
        check(fixture, &model, read_of(rooms, 2, 900, model.count, 0));
        fixture_reopen(fixture);
    }
    free(model.items);
}

static void more_than_the_bytes_gives_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct journal_missed_room room = {BYTES("a"), 0};
    struct journal_read read = read_of(&room, 1, 0, 100, 100);
    uint64_t bytes = sizeof "/" - 1 + sizeof "a" - 1 + sizeof "made-by-gateway" - 1 + sizeof "msg" - 1 + 2 +
                     sizeof "sid-of-sender" - 1 + sizeof "alice" - 1;

    fixture_open(fixture);
    for (int i = 0; i < 10; i++)
        fixture_publish(fixture, (struct text){.room = "a", .arguments = "12", .class = MESSAGE_LOGGED});
    fixture_wait(fixture);
    read.kind = JOURNAL_READ_MISSED;
    read.max_bytes = bytes * 10;
    fixture_read(fixture, &read);
    assert_true(read.complete);
    assert_int_equal(read.count, 10);
    journal_read_free(&read);
    read.max_bytes--;
    fixture_read(fixture, &read);
    assert_false(read.complete);
    assert_int_equal(read.count, 0);
    assert_null(read.messages);
    journal_read_free(&read);
}

static void thousands_of_rooms_are_searched_at_once(void **state)
{
    enum { MANY = 3000 };
    struct fixture *fixture = *state;
    struct journal_missed_room *rooms = test_malloc(MANY * sizeof *rooms);
    char(*names)[16] = test_malloc(MANY * sizeof *names);
    struct journal_read read = read_of(rooms, MANY, 0, UINT64_MAX, UNBOUNDED);

    fixture_open(fixture);
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "room-%d", (i * 7919) % MANY);
        rooms[i] = (struct journal_missed_room){bytes_from_text(names[i]), 0};
        fixture_publish(fixture, (struct text){.room = names[i], .class = MESSAGE_LOGGED});
    }
    fixture_wait(fixture);
    read.kind = JOURNAL_READ_MISSED;
    for (int round = 0; round < 2; round++) {
        fixture_read(fixture, &read);
        assert_int_equal(read.count, MANY);
        for (int i = 0; i < MANY; i++)
            assert_int_equal(read.messages[i].pos, i + 1);
        journal_read_free(&read);
        fixture_reopen(fixture);
    }
    test_free(rooms);
    test_free(names);
}

static uint64_t rows_read(struct fixture *fixture)
{
    struct journal_statistics statistics;

    journal_statistics(fixture->journal, &statistics);
    return statistics.rows_read;
}

static void a_search_looks_at_what_it_finds_only(void **state)
{
    struct fixture *fixture = *state;
    struct journal_missed_room rooms[] = {{BYTES("busy"), 0}, {BYTES("seldom"), 0}};
    struct journal_read read = read_of(rooms, 2, 0, UINT64_MAX, 100);
    uint64_t before;

    fixture_open(fixture);
    for (int i = 0; i < 10000; i++)
        fixture_publish(fixture, (struct text){.room = i % 100 ? "busy" : "seldom",
                                               .class = i % 2 ? MESSAGE_LOGGED : MESSAGE_ARCHIVED});
    fixture_wait(fixture);
    fixture_reopen(fixture);
    read.kind = JOURNAL_READ_MISSED;
    rooms[0].from = 9980;
    rooms[1].from = 9850;
    before = rows_read(fixture);
    fixture_read(fixture, &read);
    assert_int_equal(read.count, 20 + 1);
    journal_read_free(&read);
    assert_true(rows_read(fixture) - before <= 21 + 4 * (JOURNAL_SEGMENT_MAX + JOURNAL_SEGMENT_MIN + 2));

    /* Far too much: it stops soon. */
    rooms[0].from = 0;
    before = rows_read(fixture);
    fixture_read(fixture, &read);
    assert_false(read.complete);
    assert_true(rows_read(fixture) - before <= 2 * 100 + 4 * (JOURNAL_SEGMENT_MAX + JOURNAL_SEGMENT_MIN + 2));
}

/* A search while entries are on their way sees all that was given back before it. */
static void a_search_sees_what_was_given_back_while_commits_go_on(void **state)
{
    struct fixture *fixture = *state;
    struct journal_missed_room room = {BYTES("a"), 0};

    fixture_open(fixture);
    for (int i = 0; i < 300; i++) {
        struct journal_read read = read_of(&room, 1, 0, 0, UNBOUNDED);
        uint64_t released;

        for (int k = 0; k < 50; k++)
            fixture_publish(fixture, (struct text){.room = k % 2 ? "a" : "b",
                                                   .class = k % 3 ? MESSAGE_LOGGED : MESSAGE_ARCHIVED});
        journal_flush(fixture->journal);
        released = journal_head(fixture->journal);
        read.kind = JOURNAL_READ_MISSED;
        read.last = released;
        room.from = released > 500 ? released - 500 : 0;
        fixture_read(fixture, &read);
        assert_int_equal(read.count, (released - room.from) / 2);
        for (size_t k = 0; k < read.count; k++)
            assert_int_equal(read.messages[k].pos, room.from + 2 * (k + 1));
        journal_read_free(&read);
        fixture_wait(fixture);
    }
}

static void what_an_upgraded_file_cannot_know_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    struct journal_missed_room room = {BYTES("a"), 10};
    struct journal_read read = read_of(&room, 1, 10, UINT64_MAX, UNBOUNDED);

    fixture_open(fixture);
    fixture_fill(fixture, "a", 20);
    fixture_close(fixture);
    fixture_sql(fixture, "INSERT INTO meta VALUES ('logged_from', 11)");
    fixture_open(fixture);
    read.kind = JOURNAL_READ_MISSED;
    fixture_read(fixture, &read);
    assert_int_equal(read.result, ERROR_NOT_FOUND);
    room.from = read.namespace_from = 11;
    fixture_read(fixture, &read);
    assert_int_equal(read.result, 0);
    assert_int_equal(read.count, 9);
    journal_read_free(&read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_classes_of_all_rooms_are_found_wherever_the_index_stands),
        TEST(bounds_are_exact),
        TEST(more_than_the_limit_gives_nothing),
        TEST(more_than_the_bytes_gives_nothing),
        TEST(thousands_of_rooms_are_searched_at_once),
        TEST(a_search_looks_at_what_it_finds_only),
        TEST(a_search_sees_what_was_given_back_while_commits_go_on),
        TEST(what_an_upgraded_file_cannot_know_is_not_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
