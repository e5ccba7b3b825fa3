/* The journal's file: what is refused at the start and in which words, and what a crash leaves. */
#include "tests/unit/router/journal_fixture.h"

#include "common/memory.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

static void write_file(const struct fixture *fixture, long offset, const void *data, size_t length)
{
    int fd = open(fixture->path, O_WRONLY | O_CREAT, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, length, offset), length);
    close(fd);
}

/* Opening fails with that code, and one line that names the file and holds the words. */
static void assert_refused(struct fixture *fixture, int code, const char *words)
{
    assert_int_equal(fixture_try_open(fixture), code);
    assert_non_null(strstr(fixture->message, fixture->path));
    assert_null(strchr(fixture->message, '\n'));
    if (!strstr(fixture->message, words))
        fail_msg("no \"%s\" in: %s", words, fixture->message);
}

/* A closed journal of some rooms, indexed. */
static void make_journal(struct fixture *fixture)
{
    fixture_open(fixture);
    for (int i = 0; i < 3; i++) {
        fixture_fill(fixture, "a", 400);
        fixture_fill(fixture, "b", 30);
    }
    fixture_close(fixture);
}

static void a_second_router_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct fixture second = *fixture;

    fixture_open(fixture);
    assert_refused(&second, ERROR_LOCKED, "another router");
    memcpy(fixture->message, second.message, sizeof fixture->message);
    fixture_fill(fixture, "a", 1);
    fixture_reopen(fixture);
    assert_int_equal(journal_head(fixture->journal), 1);
}

static void people_may_look_while_it_is_open(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    fixture_fill(fixture, "a", 3);
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM message WHERE room = 'a'"), 3);
    fixture_fill(fixture, "a", 3);
    assert_int_equal(journal_head(fixture->journal), 6);
}

static void a_folder_that_is_missing_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    struct fixture elsewhere = *fixture;

    snprintf(elsewhere.path, sizeof elsewhere.path, "%s/none/journal.sqlite", fixture->folder);
    assert_refused(&elsewhere, ERROR_IO, "No such file");
}

static void an_empty_file_is_a_new_journal(void **state)
{
    struct fixture *fixture = *state;

    write_file(fixture, 0, "", 0);
    fixture_open(fixture);
    fixture_fill(fixture, "a", 1);
}

static void other_files_are_foreign(void **state)
{
    struct fixture *fixture = *state;
    char text[5000];

    write_file(fixture, 0, "Dear diary,\n", 12);
    assert_refused(fixture, ERROR_FOREIGN, "no SQLite file");
    memset(text, 'x', sizeof text);
    write_file(fixture, 0, text, sizeof text);
    assert_refused(fixture, ERROR_FOREIGN, "no SQLite file");
}

static void other_databases_are_foreign_and_left_alone(void **state)
{
    struct fixture *fixture = *state;

    fixture_sql(fixture, "CREATE TABLE message(pos INTEGER PRIMARY KEY); INSERT INTO message VALUES (7)");
    assert_refused(fixture, ERROR_FOREIGN, "application id 0x00000000");
    fixture_sql(fixture, "PRAGMA application_id = 4711");
    assert_refused(fixture, ERROR_FOREIGN, "application id 0x00001267");
    assert_int_equal(fixture_number(fixture, "SELECT pos FROM message"), 7);
}

static void a_newer_schema_is_foreign(void **state)
{
    struct fixture *fixture = *state;

    make_journal(fixture);
    fixture_sql(fixture, "PRAGMA user_version = 4");
    assert_refused(fixture, ERROR_FOREIGN, "schema 4; this program knows schema 3");
    fixture_sql(fixture, "PRAGMA user_version = 0");
    assert_refused(fixture, ERROR_FOREIGN, "schema 0; this program knows schema 3");
}

/* Turns a closed journal into one as a program of schema 2 left it. */
static void make_version_2(struct fixture *fixture)
{
    fixture_sql(
        fixture,
        "CREATE TEMP TABLE messages AS SELECT * FROM message;"
        "CREATE TEMP TABLE letters AS SELECT * FROM dead_letter;"
        "CREATE TEMP TABLE sessions AS SELECT * FROM session;"
        "ALTER TABLE temp.messages DROP COLUMN exceptions; ALTER TABLE temp.letters DROP COLUMN exceptions;"
        "ALTER TABLE temp.sessions DROP COLUMN data;"
        "DROP TABLE main.message; DROP TABLE main.dead_letter; DROP TABLE main.session;"
        "CREATE TABLE message(pos INTEGER PRIMARY KEY, namespace TEXT, room TEXT, seq INTEGER,"
        " class INTEGER, deliver INTEGER, meta INTEGER, at INTEGER, publish_id TEXT, event TEXT,"
        " sender_sid TEXT, sender_name TEXT, dedup_scope TEXT, attachments BLOB, arguments TEXT);"
        "CREATE TABLE dead_letter(pos INTEGER PRIMARY KEY, namespace TEXT, room TEXT, seq INTEGER,"
        " deliver INTEGER, meta INTEGER, at INTEGER, publish_id TEXT, event TEXT, sender_sid TEXT,"
        " sender_name TEXT, attachments BLOB, arguments TEXT, refused_at INTEGER, code INTEGER, error TEXT);"
        "CREATE TABLE session(id INTEGER PRIMARY KEY, sid TEXT, secret TEXT, namespace TEXT, sender TEXT,"
        " generation INTEGER, connected_pos INTEGER);"
        "INSERT INTO message SELECT * FROM messages; INSERT INTO dead_letter SELECT * FROM letters;"
        "INSERT INTO session SELECT * FROM sessions;"
        "PRAGMA user_version = 2");
}

/* And this one as a program of schema 1 left it. */
static void make_version_1(struct fixture *fixture)
{
    make_version_2(fixture);
    fixture_sql(
        fixture,
        "CREATE TEMP TABLE saved AS SELECT room_id, namespace, name, last_seq, last_at, recent FROM room;"
        "DROP TABLE room; DROP TABLE session; DROP TABLE session_room;"
        "CREATE TABLE room(room_id INTEGER PRIMARY KEY, namespace TEXT, name TEXT, last_seq INTEGER,"
        " last_at INTEGER, recent BLOB, UNIQUE(namespace, name));"
        "INSERT INTO room SELECT * FROM saved;"
        "DROP TABLE dead_letter;"
        "DELETE FROM meta WHERE key NOT IN ('epoch', 'dedup_keys', 'indexed');"
        "PRAGMA user_version = 1");
}

static void a_file_of_schema_1_is_brought_up_to_date(void **state)
{
    struct fixture *fixture = *state;
    struct journal_read read;
    char epoch[JOURNAL_EPOCH_LENGTH + 1];

    make_journal(fixture);
    fixture_open(fixture);
    strcpy(epoch, journal_epoch(fixture->journal));
    fixture_close(fixture);
    make_version_1(fixture);
    fixture_open(fixture);
    assert_string_equal(journal_epoch(fixture->journal), epoch);
    assert_int_equal(journal_head(fixture->journal), 1290);
    fixture_fill(fixture, "a", 1);
    read = fixture_page(fixture, "a", 0, 0, 200);
    assert_int_equal(read.count, 200);
    assert_int_equal(read.messages[199].seq, 1201);
    journal_read_free(&read);
    fixture_close(fixture);
    assert_int_equal(fixture_number(fixture, "PRAGMA user_version"), 3);
    assert_int_equal(fixture_number(fixture, "SELECT value FROM meta WHERE key = 'logged_from'"), 1290);
    assert_int_equal(fixture_number(fixture, "SELECT value FROM meta WHERE key = 'numbered'"), 1291);
    assert_int_equal(
        fixture_number(fixture,
                       "SELECT count(*) FROM sqlite_schema WHERE name IN ('session', 'session_room')"),
        2);
    assert_int_equal(fixture_check_numbers(fixture), 1291);
    fixture_open(fixture);
}

static void a_file_of_schema_2_is_brought_up_to_date(void **state)
{
    struct fixture *fixture = *state;
    struct journal_entry *entry;
    struct journal_read read;

    make_journal(fixture);
    fixture_sql(fixture, "INSERT INTO session(id, sid) VALUES (7, 'kept');"
                         "INSERT INTO dead_letter(pos, error) VALUES (3, 'kept')");
    make_version_2(fixture);
    fixture_open(fixture);
    assert_int_equal(journal_head(fixture->journal), 1290);
    entry = fixture_publish(fixture, (struct text){.room = "a"});
    entry->message.except = BYTES("\x91\xa1x");
    fixture_wait(fixture);
    read = fixture_range(fixture, 1290, 1291, 1000);
    assert_int_equal(read.count, 2);
    assert_int_equal(read.messages[0].except.length, 0);
    assert_true(bytes_equal(read.messages[1].except, entry->message.except));
    journal_read_free(&read);
    fixture_close(fixture);
    assert_int_equal(fixture_number(fixture, "PRAGMA user_version"), 3);
    assert_int_equal(fixture_number(fixture, "SELECT id FROM session WHERE sid = 'kept' AND data IS NULL"),
                     7);
    assert_int_equal(
        fixture_number(fixture, "SELECT pos FROM dead_letter WHERE error = 'kept' AND exceptions IS NULL"),
        3);
    assert_int_equal(fixture_check_numbers(fixture), 1291);
    fixture_open(fixture);
}

static void a_file_of_schema_1_that_is_damaged_stays_as_it_is(void **state)
{
    struct fixture *fixture = *state;

    make_journal(fixture);
    make_version_1(fixture);
    fixture_sql(fixture, "ALTER TABLE segment RENAME TO lost");
    assert_refused(fixture, ERROR_CORRUPT, "table segment is missing");
    fixture_sql(fixture,
                "ALTER TABLE lost RENAME TO segment; ALTER TABLE room ADD COLUMN removed_seq INTEGER");
    assert_refused(fixture, ERROR_CORRUPT, "table room is not the one");
    assert_int_equal(fixture_number(fixture, "PRAGMA user_version"), 1);
}

static void tables_that_are_not_ours_are_damage(void **state)
{
    struct fixture *fixture = *state;

    make_journal(fixture);
    fixture_sql(fixture, "ALTER TABLE segment RENAME TO lost");
    assert_refused(fixture, ERROR_CORRUPT, "table segment is missing");
    fixture_sql(fixture, "ALTER TABLE lost RENAME TO segment; ALTER TABLE room ADD COLUMN color");
    assert_refused(fixture, ERROR_CORRUPT, "table room is not the one");
}

static void missing_keys_are_damage(void **state)
{
    struct fixture *fixture = *state;

    make_journal(fixture);
    fixture_sql(fixture, "DELETE FROM meta WHERE key = 'epoch'");
    assert_refused(fixture, ERROR_CORRUPT, "lacks the epoch");
    fixture_sql(fixture, "INSERT INTO meta VALUES ('epoch', 'short')");
    assert_refused(fixture, ERROR_CORRUPT, "lacks the epoch");
}

static void overwritten_pages_are_damage(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    unsigned refused = 0, pages;
    char noise[4096];

    memset(noise, 0xa5, sizeof noise);
    make_journal(fixture);
    assert_int_equal(stat(fixture->path, &status), 0);
    pages = (unsigned)(status.st_size / 4096);
    assert_true(pages > 10);
    for (unsigned page = 1; page < pages; page++) {
        char saved[4096];
        int fd = open(fixture->path, O_RDWR);

        assert_int_equal(pread(fd, saved, sizeof saved, page * 4096L), sizeof saved);
        write_file(fixture, page * 4096L, noise, sizeof noise);
        assert_refused(fixture, ERROR_CORRUPT, "damaged: ");
        refused++;
        write_file(fixture, page * 4096L, saved, sizeof saved);
        close(fd);
    }
    assert_int_equal(refused, pages - 1);
    fixture_open(fixture);
}

static void a_file_cut_short_is_damage(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;

    make_journal(fixture);
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(truncate(fixture->path, status.st_size / 2), 0);
    assert_refused(fixture, ERROR_CORRUPT, "damaged: ");
}

static void holes_beyond_the_index_are_damage(void **state)
{
    static const char unindex[] = "DELETE FROM room; DELETE FROM segment;"
                                  "UPDATE meta SET value = 0 WHERE key = 'indexed'";
    struct fixture *fixture = *state;

    make_journal(fixture);
    fixture_sql(fixture, unindex);
    fixture_sql(fixture, "CREATE TABLE saved AS SELECT * FROM message WHERE pos = 7; "
                         "DELETE FROM message WHERE pos = 7");
    assert_refused(fixture, ERROR_CORRUPT, "the message at position 7 is missing");
    fixture_sql(fixture, "INSERT INTO message SELECT * FROM saved; DROP TABLE saved;"
                         "UPDATE message SET seq = 100 WHERE pos = 9");
    assert_refused(fixture, ERROR_CORRUPT, "position 9 does not follow");
    fixture_sql(fixture, "UPDATE message SET seq = 9, class = 77 WHERE pos = 9");
    assert_refused(fixture, ERROR_CORRUPT, "position 9 is of no known class");
    fixture_sql(fixture, "UPDATE message SET class = 1 WHERE pos = 9");
    fixture_open(fixture);
}

static void a_damaged_run_is_damage(void **state)
{
    struct fixture *fixture = *state;
    struct journal_entry *entry;
    struct pollfd ready = {.events = POLLIN};
    int result = 0;

    fixture_open(fixture);
    fixture_fill(fixture, "a", 10);
    fixture_close(fixture);
    fixture_sql(fixture, "UPDATE room SET recent = x'0000'");
    fixture_open(fixture);
    entry = fixture_publish(fixture, (struct text){.room = "a"});
    journal_flush(fixture->journal);
    ready.fd = journal_fd(fixture->journal);
    assert_int_equal(poll(&ready, 1, -1), 1);
    result = journal_collect(fixture->journal, NULL, NULL);
    assert_int_equal(result, ERROR_IO);
    assert_non_null(strstr(journal_failure(fixture->journal), "damaged: a room's counters"));
    free(entry);
}

static void the_index_can_be_made_again_from_the_messages(void **state)
{
    struct fixture *fixture = *state;
    struct journal_read read;

    make_journal(fixture);
    fixture_sql(fixture, "DELETE FROM room; DELETE FROM segment; DELETE FROM dedup;"
                         "UPDATE meta SET value = 0 WHERE key = 'indexed'");
    fixture_open(fixture);
    assert_int_equal(journal_head(fixture->journal), 1290);
    fixture_fill(fixture, "a", 1);
    read = fixture_page(fixture, "a", 0, 0, 200);
    assert_int_equal(read.count, 200);
    assert_int_equal(read.messages[199].seq, 1201);
    journal_read_free(&read);
    fixture_close(fixture);
    assert_int_equal(fixture_check_numbers(fixture), 1291);
}

struct recent {
    uint64_t first, last, bytes;
};

static void note_recent(void *argument, const struct journal_message *message)
{
    struct recent *recent = argument;

    if (recent->last)
        assert_int_equal(message->pos, recent->last + 1);
    else
        recent->first = message->pos;
    recent->last = message->pos;
    recent->bytes += message->namespace.length + message->room.length + message->publish_id.length +
                     message->event.length + message->arguments.length + message->sender_sid.length +
                     message->sender_name.length;
}

static void the_newest_messages_are_handed_out_at_the_start(void **state)
{
    static const uint64_t limits[] = {0, 45, 5000, 1 << 20};
    struct fixture *fixture = *state;

    make_journal(fixture);
    for (size_t i = 0; i < 4; i++) {
        struct journal_options options = {.path = fixture->path, .recent_bytes = limits[i]};
        struct recent recent = {0};

        assert_int_equal(journal_open(&options, note_recent, &recent, &fixture->journal, fixture->message,
                                      sizeof fixture->message),
                         0);
        journal_close(fixture->journal);
        fixture->journal = NULL;
        assert_true(recent.bytes <= limits[i]);
        if (limits[i] < 40) {
            assert_int_equal(recent.last, 0);
        } else {
            assert_int_equal(recent.last, 1290);
            assert_true(recent.first == 1 ? i == 3 : recent.bytes + 50 > limits[i]);
        }
    }
}

/* The child of the crash tests: writes without end and tells the positions that came back. */
struct writer {
    struct journal *journal;
    int out;
};

static void publish_next(struct writer *writer, struct journal_entry *entry)
{
    static const char *const rooms[] = {"a", "b", "c", "d", "e"};

    *entry = (struct journal_entry){.kind = JOURNAL_WRITE};
    entry->message = (struct journal_message){.namespace = BYTES("/"),
                                              .room = bytes_from_text(rooms[(size_t)random() % 5]),
                                              .publish_id = BYTES("crash-id"),
                                              .event = BYTES("msg"),
                                              .arguments = BYTES("\"some text\""),
                                              .class = MESSAGE_ARCHIVED};
    journal_submit(writer->journal, entry);
}

static void tell_and_publish(void *argument, struct journal_entry *entry)
{
    struct writer *writer = argument;

    if (entry->result || write(writer->out, &entry->message.pos, 8) != 8)
        _exit(1);
    publish_next(writer, entry);
}

static void write_until_killed(const char *path, int out, unsigned abort_after_commits)
{
    struct journal_options options = {.path = path, .abort_after_commits = abort_after_commits};
    struct writer writer = {.out = out};
    char message[256];

    if (journal_open(&options, NULL, NULL, &writer.journal, message, sizeof message))
        _exit(2);
    for (int i = 0; i < 50; i++)
        publish_next(&writer, memory_zero(1, sizeof(struct journal_entry)));
    for (;;) {
        struct pollfd ready = {journal_fd(writer.journal), POLLIN, 0};

        journal_flush(writer.journal);
        if (poll(&ready, 1, -1) != 1 || journal_collect(writer.journal, tell_and_publish, &writer))
            _exit(3);
    }
}

/* Kills a writer that has told that many positions; returns the last one told. */
static uint64_t crash(struct fixture *fixture, unsigned told)
{
    uint64_t pos = 0, next;
    int ends[2], status;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        write_until_killed(fixture->path, ends[1], 0);
    }
    close(ends[1]);
    for (unsigned i = 0; i < told; i++)
        assert_int_equal(read(ends[0], &pos, sizeof pos), sizeof pos);
    assert_int_equal(kill(child, SIGKILL), 0);
    while (read(ends[0], &next, sizeof next) == sizeof next)
        pos = next;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    close(ends[0]);
    return pos;
}

static void a_kill_loses_nothing_that_came_back(void **state)
{
    struct fixture *fixture = *state;
    char epoch[JOURNAL_EPOCH_LENGTH + 1] = "";

    for (unsigned round = 0; round < 6; round++) {
        uint64_t told = crash(fixture, 1 + round * round * 150);

        fixture_open(fixture);
        assert_true(journal_head(fixture->journal) >= told);
        if (round == 0)
            strcpy(epoch, journal_epoch(fixture->journal));
        assert_string_equal(journal_epoch(fixture->journal), epoch);
        fixture_fill(fixture, "a", 1);
        told = journal_head(fixture->journal);
        fixture_close(fixture);
        assert_int_equal(fixture_check_numbers(fixture), told);
    }
}

#ifdef HUBBUB_TEST_HOOKS
static void the_hook_aborts_between_commit_and_hand_back(void **state)
{
    struct fixture *fixture = *state;
    uint64_t told = 0, pos;
    int ends[2], status;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        signal(SIGABRT, SIG_DFL);
        write_until_killed(fixture->path, ends[1], 3);
    }
    close(ends[1]);
    while (read(ends[0], &pos, sizeof pos) == sizeof pos)
        told = pos;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    fixture_open(fixture);
    assert_true(journal_head(fixture->journal) > told);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_router_is_refused),
        TEST(people_may_look_while_it_is_open),
        TEST(a_folder_that_is_missing_is_an_error),
        TEST(an_empty_file_is_a_new_journal),
        TEST(other_files_are_foreign),
        TEST(other_databases_are_foreign_and_left_alone),
        TEST(a_newer_schema_is_foreign),
        TEST(a_file_of_schema_1_is_brought_up_to_date),
        TEST(a_file_of_schema_2_is_brought_up_to_date),
        TEST(a_file_of_schema_1_that_is_damaged_stays_as_it_is),
        TEST(tables_that_are_not_ours_are_damage),
        TEST(missing_keys_are_damage),
        TEST(overwritten_pages_are_damage),
        TEST(a_file_cut_short_is_damage),
        TEST(holes_beyond_the_index_are_damage),
        TEST(a_damaged_run_is_damage),
        TEST(the_index_can_be_made_again_from_the_messages),
        TEST(the_newest_messages_are_handed_out_at_the_start),
        TEST(a_kill_loses_nothing_that_came_back),
#ifdef HUBBUB_TEST_HOOKS
        TEST(the_hook_aborts_between_commit_and_hand_back),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
