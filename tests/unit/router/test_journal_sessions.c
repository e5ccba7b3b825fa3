/* Rows of sessions: written at their place in the log, in its commits, and there again after a start. */
#include "tests/unit/router/journal_fixture.h"

#include "common/buffer.h"
#include "common/memory.h"

#include <stdio.h>
#include <string.h>

static const char secret[] = "sssssssssssssssssssss-";

/* What journal_open() finds, as text: "id sid namespace from generation connected_pos room:pos:watch ..."
 * lines. */
static void note(void *argument, const struct journal_session *session)
{
    struct buffer *found = argument;

    assert_true(bytes_equal_text(session->secret, secret));
    buffer_printf(found, "%u %.*s %.*s '%.*s' %u %u", (unsigned)session->id, BYTES_PRINTF(session->sid),
                  BYTES_PRINTF(session->namespace), BYTES_PRINTF(session->from),
                  (unsigned)session->generation, (unsigned)session->connected_pos);
    if (session->data.length)
        buffer_printf(found, " data %.*s", BYTES_PRINTF(session->data));
    for (size_t i = 0; i < session->room_count; i++)
        buffer_printf(found, " %.*s:%u:%d", BYTES_PRINTF(session->rooms[i].room),
                      (unsigned)session->rooms[i].joined_pos, session->rooms[i].watch);
    buffer_append_char(found, '\n');
}

/* Opens the journal again, and compares what it has of sessions. */
static void assert_sessions(struct fixture *fixture, const char *expected)
{
    struct buffer found = {0};

    fixture_close(fixture);
    assert_int_equal(journal_open(&(struct journal_options){.path = fixture->path, .session = note}, NULL,
                                  &found, &fixture->journal, fixture->message, sizeof fixture->message),
                     0);
    buffer_append_char(&found, '\0');
    assert_string_equal(found.data, expected);
    buffer_done(&found);
}

struct changing {
    struct journal_entry entry; /* must stay first */
    struct journal_change change;
    struct journal_session_room room;
};

/* Submits a change with one room, or none; what it points to must last. */
static struct journal_entry *change(struct fixture *fixture, enum journal_change_kind kind,
                                    const struct journal_session *session, const char *room, uint64_t pos,
                                    bool watch)
{
    struct changing *changing = memory_zero(1, sizeof *changing);

    changing->entry.kind = JOURNAL_CHANGE;
    changing->entry.change = &changing->change;
    changing->change.kind = kind;
    changing->change.session = *session;
    if (room) {
        changing->room = (struct journal_session_room){bytes_from_text(room), pos, watch};
        changing->change.session.rooms = &changing->room;
        changing->change.session.room_count = 1;
    }
    journal_submit(fixture->journal, &changing->entry);
    fixture->submitted++;
    return &changing->entry;
}

static struct journal_session session_of(uint64_t id)
{
    return (struct journal_session){.id = id,
                                    .sid = id == 1 ? BYTES("aaaaaaaaaaaaaaaaaaaa")
                                                   : BYTES("bbbbbbbbbbbbbbbbbbbb"),
                                    .secret = bytes_from_text(secret),
                                    .namespace = BYTES("/"),
                                    .from = BYTES("alice"),
                                    .generation = 1,
                                    .connected_pos = JOURNAL_HERE};
}

static void a_session_has_the_positions_of_its_place(void **state)
{
    struct fixture *fixture = *state;
    struct journal_session one = session_of(1), two = session_of(2);
    struct journal_entry *entries[3];

    two.from = (struct bytes){0};
    two.namespace = BYTES("/other");
    fixture_open(fixture);
    fixture_publish(fixture, (struct text){.room = "R"});
    entries[0] = change(fixture, JOURNAL_SESSION_SAVE, &one, "R", JOURNAL_HERE, false);
    fixture_publish(fixture, (struct text){.room = "R"});
    entries[1] = change(fixture, JOURNAL_ROOM_JOIN, &one, "S \xc3\xa4", JOURNAL_HERE, true);
    fixture_publish(fixture, (struct text){.room = "R"});
    entries[2] = change(fixture, JOURNAL_SESSION_NEW, &two, NULL, 0, false);
    fixture_wait(fixture);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(entries[i]->result, 0);
        assert_int_equal(entries[i]->message.pos, i + 1);
        assert_ptr_equal(fixture->back[i * 2 + 1], entries[i]);
    }
    assert_sessions(fixture, "1 aaaaaaaaaaaaaaaaaaaa / 'alice' 1 1 R:1:0 S \xc3\xa4:2:1\n"
                             "2 bbbbbbbbbbbbbbbbbbbb /other '' 1 3\n");
}

static void a_change_knows_its_rooms_last_number(void **state)
{
    struct fixture *fixture = *state;
    struct journal_session one = session_of(1);
    struct journal_entry *entry;

    fixture_open(fixture);
    fixture_fill(fixture, "R", 3);
    fixture_fill(fixture, "S", 2);
    entry = change(fixture, JOURNAL_SESSION_SAVE, &one, NULL, 0, false);
    entry->message.namespace = BYTES("/");
    entry->message.room = BYTES("R");
    fixture_wait(fixture);
    assert_int_equal(entry->message.pos, 5);
    assert_int_equal(entry->message.seq, 3);
}

static void positions_may_be_stated(void **state)
{
    struct fixture *fixture = *state;
    struct journal_session one = session_of(1);

    fixture_open(fixture);
    fixture_fill(fixture, "R", 5);
    one.connected_pos = 0;
    change(fixture, JOURNAL_SESSION_SAVE, &one, "R", 0, false);
    fixture_wait(fixture);
    assert_sessions(fixture, "1 aaaaaaaaaaaaaaaaaaaa / 'alice' 1 0 R:0:0\n");
}

static void a_second_join_keeps_the_position(void **state)
{
    struct fixture *fixture = *state;
    struct journal_session one = session_of(1);

    fixture_open(fixture);
    change(fixture, JOURNAL_SESSION_SAVE, &one, "R", JOURNAL_HERE, false);
    fixture_publish(fixture, (struct text){.room = "R"});
    change(fixture, JOURNAL_ROOM_JOIN, &one, "R", JOURNAL_HERE, true);
    fixture_wait(fixture);
    assert_sessions(fixture, "1 aaaaaaaaaaaaaaaaaaaa / 'alice' 1 0 R:0:1\n");
    change(fixture, JOURNAL_ROOM_LEAVE, &one, "R", 0, false);
    change(fixture, JOURNAL_ROOM_JOIN, &one, "R", JOURNAL_HERE, false);
    fixture_wait(fixture);
    assert_sessions(fixture, "1 aaaaaaaaaaaaaaaaaaaa / 'alice' 1 0 R:1:0\n");
    change(fixture, JOURNAL_ROOM_MOVE, &one, "R", 7, true);
    change(fixture, JOURNAL_ROOM_MOVE, &one, "S", 8, true);
    fixture_wait(fixture);
    assert_sessions(fixture, "1 aaaaaaaaaaaaaaaaaaaa / 'alice' 1 0 R:7:1\n");
}

static void what_is_gone_stays_gone(void **state)
{
    struct fixture *fixture = *state;
    struct journal_session one = session_of(1), two = session_of(2);
    static const enum journal_change_kind late[] = {JOURNAL_SESSION_GENERATION, JOURNAL_ROOM_MOVE,
                                                    JOURNAL_ROOM_LEAVE, JOURNAL_SESSION_REMOVE};

    fixture_open(fixture);
    change(fixture, JOURNAL_SESSION_SAVE, &one, "R", JOURNAL_HERE, false);
    change(fixture, JOURNAL_SESSION_SAVE, &two, "R", JOURNAL_HERE, false);
    change(fixture, JOURNAL_SESSION_REMOVE, &one, NULL, 0, false);
    for (size_t i = 0; i < sizeof late / sizeof *late; i++)
        change(fixture, late[i], &one, "R", JOURNAL_HERE, false);
    fixture_wait(fixture);
    fixture_close(fixture);
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM session_room WHERE session = 1"), 0);
    assert_sessions(fixture, "2 bbbbbbbbbbbbbbbbbbbb / 'alice' 1 0 R:0:0\n");
}

static void rooms_of_no_session_are_no_rooms_of_a_later_one(void **state)
{
    struct fixture *fixture = *state;
    struct journal_session one = session_of(1);

    fixture_open(fixture);
    change(fixture, JOURNAL_ROOM_JOIN, &one, "R", JOURNAL_HERE, false);
    fixture_wait(fixture);
    assert_sessions(fixture, "");
    change(fixture, JOURNAL_SESSION_NEW, &one, "S", JOURNAL_HERE, false);
    fixture_wait(fixture);
    assert_sessions(fixture, "1 aaaaaaaaaaaaaaaaaaaa / 'alice' 1 0 S:0:0\n");
}

/* Messages to that socket alone. */
static void address(struct fixture *fixture, const char *sid, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        fixture_publish(
            fixture,
            (struct text){.room = "", .sender_sid = sid, .class = MESSAGE_LOGGED, .deliver = DELIVER_SELF});
    fixture_wait(fixture);
}

static void what_led_to_its_messages_goes_with_a_session(void **state)
{
    struct fixture *fixture = *state;
    struct journal_session one = session_of(1), two = session_of(2);

    fixture_open(fixture);
    change(fixture, JOURNAL_SESSION_NEW, &one, NULL, 0, false);
    change(fixture, JOURNAL_SESSION_NEW, &two, NULL, 0, false);
    address(fixture, "aaaaaaaaaaaaaaaaaaaa", 600);
    address(fixture, "bbbbbbbbbbbbbbbbbbbb", 600);
    fixture_close(fixture);
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM room WHERE length(name) = 20"), 2);
    assert_int_equal(fixture_number(fixture, "SELECT count(DISTINCT room_id) FROM segment"), 2);
    fixture_open(fixture);
    address(fixture, "aaaaaaaaaaaaaaaaaaaa", 1);
    change(fixture, JOURNAL_SESSION_REMOVE, &one, NULL, 0, false);
    fixture_wait(fixture);
    fixture_close(fixture);
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM room WHERE name LIKE 'a%'"), 0);
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM room WHERE name LIKE 'b%'"), 1);
    assert_int_equal(fixture_number(fixture, "SELECT count(DISTINCT room_id) FROM segment"), 1);
    assert_int_equal(fixture_check_numbers(fixture), 1201);
    /* A late one brings it back; and nothing else was lost. */
    fixture_open(fixture);
    change(fixture, JOURNAL_SESSION_REMOVE, &two, NULL, 0, false);
    address(fixture, "bbbbbbbbbbbbbbbbbbbb", 1);
    fixture_fill(fixture, "R", 1);
    fixture_close(fixture);
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM room WHERE name LIKE 'b%'"), 1);
    assert_int_equal(fixture_number(fixture, "SELECT last_seq FROM room WHERE name = 'R'"), 1);
    fixture_open(fixture);
}

static void an_archived_room_of_that_name_stays(void **state)
{
    struct fixture *fixture = *state;
    struct journal_session one = session_of(1);

    fixture_open(fixture);
    fixture_fill(fixture, "aaaaaaaaaaaaaaaaaaaa", 3);
    for (int round = 0; round < 2; round++) { /* in memory, and in the file */
        change(fixture, JOURNAL_SESSION_REMOVE, &one, NULL, 0, false);
        fixture_wait(fixture);
        fixture_reopen(fixture);
    }
    fixture_fill(fixture, "aaaaaaaaaaaaaaaaaaaa", 1);
    assert_int_equal(fixture->back[0]->message.seq, 4);
}

static void saving_replaces_everything(void **state)
{
    struct fixture *fixture = *state;
    struct journal_session one = session_of(1);

    fixture_open(fixture);
    change(fixture, JOURNAL_SESSION_SAVE, &one, "R", JOURNAL_HERE, false);
    change(fixture, JOURNAL_ROOM_JOIN, &one, "S", JOURNAL_HERE, false);
    one.generation = 2;
    change(fixture, JOURNAL_SESSION_GENERATION, &one, NULL, 0, false);
    fixture_wait(fixture);
    assert_sessions(fixture, "1 aaaaaaaaaaaaaaaaaaaa / 'alice' 2 0 R:0:0 S:0:0\n");
    one.generation = 3;
    one.connected_pos = 4;
    change(fixture, JOURNAL_SESSION_SAVE, &one, "T", 5, true);
    fixture_wait(fixture);
    assert_sessions(fixture, "1 aaaaaaaaaaaaaaaaaaaa / 'alice' 3 4 T:5:1\n");
}

static void data_are_kept_until_others_are_stored(void **state)
{
    struct fixture *fixture = *state;
    struct journal_session one = session_of(1), two = session_of(2);

    fixture_open(fixture);
    one.data = BYTES("{\"a\":\"\xc3\xa4\"}");
    change(fixture, JOURNAL_SESSION_NEW, &one, "R", JOURNAL_HERE, false);
    change(fixture, JOURNAL_SESSION_NEW, &two, NULL, 0, false);
    fixture_wait(fixture);
    assert_sessions(fixture, "1 aaaaaaaaaaaaaaaaaaaa / 'alice' 1 0 data {\"a\":\"\xc3\xa4\"} R:0:0\n"
                             "2 bbbbbbbbbbbbbbbbbbbb / 'alice' 1 0\n");
    one.data = BYTES("[1]");
    change(fixture, JOURNAL_SESSION_DATA, &one, NULL, 0, false);
    one.generation = 2;
    change(fixture, JOURNAL_SESSION_GENERATION, &one, NULL, 0, false);
    two.data = BYTES("2");
    change(fixture, JOURNAL_SESSION_SAVE, &two, NULL, 0, false);
    fixture_wait(fixture);
    assert_sessions(fixture, "1 aaaaaaaaaaaaaaaaaaaa / 'alice' 2 0 data [1] R:0:0\n"
                             "2 bbbbbbbbbbbbbbbbbbbb / 'alice' 1 0 data 2\n");
    one.data = (struct bytes){0};
    change(fixture, JOURNAL_SESSION_DATA, &one, NULL, 0, false);
    change(fixture, JOURNAL_SESSION_REMOVE, &two, NULL, 0, false);
    change(fixture, JOURNAL_SESSION_DATA, &two, NULL, 0, false);
    fixture_wait(fixture);
    assert_sessions(fixture, "1 aaaaaaaaaaaaaaaaaaaa / 'alice' 2 0 R:0:0\n");
}

static void many_rooms_are_loaded(void **state)
{
    struct fixture *fixture = *state;
    struct journal_session one = session_of(1);
    struct buffer expected = {0};
    static char names[200][8];

    fixture_open(fixture);
    buffer_append_text(&expected, "1 aaaaaaaaaaaaaaaaaaaa / 'alice' 1 0");
    change(fixture, JOURNAL_SESSION_SAVE, &one, NULL, 0, false);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(names[i], sizeof names[i], "r%03u", i);
        change(fixture, JOURNAL_ROOM_JOIN, &one, names[i], i, false);
        buffer_printf(&expected, " %s:%u:0", names[i], i);
    }
    fixture_wait(fixture);
    buffer_append(&expected, "\n", 2);
    assert_sessions(fixture, expected.data);
    buffer_done(&expected);
}

static void changes_alone_are_committed_and_counted(void **state)
{
    struct fixture *fixture = *state;
    struct journal_session one = session_of(1);
    struct journal_statistics statistics;

    fixture_open(fixture);
    change(fixture, JOURNAL_SESSION_SAVE, &one, NULL, 0, false);
    fixture_wait(fixture);
    journal_statistics(fixture->journal, &statistics);
    assert_int_equal(statistics.commits, 1);
    assert_int_equal(statistics.changes, 1);
    assert_int_equal(statistics.messages, 0);
    assert_int_equal(journal_head(fixture->journal), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_session_has_the_positions_of_its_place),
        TEST(a_change_knows_its_rooms_last_number),
        TEST(positions_may_be_stated),
        TEST(a_second_join_keeps_the_position),
        TEST(what_is_gone_stays_gone),
        TEST(rooms_of_no_session_are_no_rooms_of_a_later_one),
        TEST(what_led_to_its_messages_goes_with_a_session),
        TEST(an_archived_room_of_that_name_stays),
        TEST(saving_replaces_everything),
        TEST(data_are_kept_until_others_are_stored),
        TEST(many_rooms_are_loaded),
        TEST(changes_alone_are_committed_and_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
