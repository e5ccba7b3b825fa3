/* The journal tests' common ground; see journal_fixture.h. */
#include "tests/unit/router/journal_fixture.h"

#include "common/memory.h"

#include <dirent.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fixture_setup(void **state)
{
    struct fixture *fixture = memory_zero(1, sizeof *fixture);

    strcpy(fixture->folder, "/tmp/hubbub-journal-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof fixture->path, "%s/journal.sqlite", fixture->folder);
    *state = fixture;
    return 0;
}

static void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;

    assert_non_null(folder);
    while ((entry = readdir(folder))) {
        char name[512];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        assert_int_equal(unlink(name), 0);
    }
    closedir(folder);
    assert_int_equal(rmdir(path), 0);
}

int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;

    fixture_close(fixture);
    remove_folder(fixture->folder);
    free(fixture->back);
    free(fixture);
    return 0;
}

int fixture_try_open(struct fixture *fixture)
{
    struct journal_options options = {.path = fixture->path};

    return journal_open(&options, NULL, NULL, &fixture->journal, fixture->message, sizeof fixture->message);
}

void fixture_open(struct fixture *fixture)
{
    if (fixture_try_open(fixture))
        fail_msg("%s", fixture->message);
}

void fixture_close(struct fixture *fixture)
{
    journal_close(fixture->journal);
    fixture->journal = NULL;
    for (size_t i = 0; i < fixture->back_count; i++)
        free(fixture->back[i]);
    fixture->back_count = 0;
    fixture->submitted = 0;
}

void fixture_reopen(struct fixture *fixture)
{
    fixture_close(fixture);
    fixture_open(fixture);
}

/* Copies a text behind the entry, so that it lives as long. */
static struct bytes place(char **to, const char *text)
{
    size_t length = strlen(text);
    struct bytes bytes = bytes_make(*to, length);

    memcpy(*to, text, length + 1);
    *to += length + 1;
    return bytes;
}

struct journal_entry *fixture_publish(struct fixture *fixture, struct text text)
{
    const char *arguments = text.arguments ? text.arguments : "{}";
    struct journal_entry *entry = memory_zero(1, sizeof *entry + strlen(arguments) + 1 + 1024);
    char *to = (char *)(entry + 1);

    entry->kind = JOURNAL_WRITE;
    entry->message.namespace = place(&to, text.namespace ? text.namespace : "/");
    entry->message.room = place(&to, text.room);
    entry->message.publish_id = place(&to, text.id ? text.id : "made-by-gateway");
    entry->message.event = place(&to, "msg");
    entry->message.arguments = place(&to, arguments);
    entry->message.sender_sid = place(&to, text.sender_sid ? text.sender_sid : "sid-of-sender");
    entry->message.sender_name = place(&to, "alice");
    entry->message.class = text.class ? text.class : MESSAGE_ARCHIVED;
    entry->message.deliver = text.deliver;
    entry->message.meta = true;
    if (text.scope)
        entry->dedup_scope = place(&to, text.scope);
    journal_submit(fixture->journal, entry);
    fixture->submitted++;
    return entry;
}

struct journal_entry *fixture_pass(struct fixture *fixture, const char *room)
{
    struct journal_entry *entry = memory_zero(1, sizeof *entry);

    entry->kind = JOURNAL_PASS;
    entry->message.namespace = BYTES("/");
    entry->message.room = bytes_from_text(room);
    journal_submit(fixture->journal, entry);
    fixture->submitted++;
    return entry;
}

static void take_back(void *argument, struct journal_entry *entry)
{
    struct fixture *fixture = argument;

    if (fixture->back_count == fixture->back_capacity) {
        fixture->back_capacity = fixture->back_capacity ? fixture->back_capacity * 2 : 64;
        fixture->back = memory_resize(fixture->back, fixture->back_capacity * sizeof *fixture->back);
    }
    fixture->back[fixture->back_count++] = entry;
}

static void collect(struct fixture *fixture)
{
    struct pollfd ready = {journal_fd(fixture->journal), POLLIN, 0};

    assert_int_equal(poll(&ready, 1, -1), 1);
    if (journal_collect(fixture->journal, take_back, fixture))
        fail_msg("%s", journal_failure(fixture->journal));
}

void fixture_wait(struct fixture *fixture)
{
    journal_flush(fixture->journal);
    while (fixture->back_count < fixture->submitted)
        collect(fixture);
}

void fixture_fill(struct fixture *fixture, const char *room, unsigned count)
{
    for (unsigned i = 1; i <= count; i++) {
        char number[16];

        snprintf(number, sizeof number, "%u", i);
        fixture_publish(fixture, (struct text){.room = room, .arguments = number});
    }
    fixture_wait(fixture);
}

static void note_done(struct journal_read *read, void *argument)
{
    (void)read;
    *(bool *)argument = true;
}

void fixture_read(struct fixture *fixture, struct journal_read *read)
{
    bool done = false;

    read->done = note_done;
    read->argument = &done;
    assert_int_equal(journal_read(fixture->journal, read), 0);
    while (!done)
        collect(fixture);
    if (read->result != ERROR_NOT_FOUND)
        assert_int_equal(read->result, 0);
}

struct journal_read fixture_page(struct fixture *fixture, const char *room, uint64_t before, uint64_t after,
                                 unsigned limit)
{
    struct journal_read read = {.kind = JOURNAL_READ_PAGE,
                                .namespace = BYTES("/"),
                                .room = bytes_from_text(room),
                                .before = before,
                                .after = after,
                                .limit = limit};

    fixture_read(fixture, &read);
    assert_int_equal(read.result, 0);
    return read;
}

struct journal_read fixture_range(struct fixture *fixture, uint64_t first, uint64_t last, uint64_t max_bytes)
{
    struct journal_read read = {
        .kind = JOURNAL_READ_RANGE, .first = first, .last = last, .max_bytes = max_bytes};

    fixture_read(fixture, &read);
    assert_int_equal(read.result, 0);
    return read;
}

void fixture_sql(struct fixture *fixture, const char *sql)
{
    sqlite3 *db;
    char *error = NULL;

    assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error))
        fail_msg("%s: %s", sql, error);
    sqlite3_close(db);
}

uint64_t fixture_number(struct fixture *fixture, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    uint64_t number;

    assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    number = (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return number;
}

uint64_t fixture_check_numbers(struct fixture *fixture)
{
    uint64_t count = fixture_number(fixture, "SELECT count(*) FROM message");

    assert_int_equal(fixture_number(fixture, "SELECT ifnull(max(pos), 0) FROM message"), count);
    assert_int_equal(fixture_number(fixture, "SELECT ifnull(min(pos), 1) FROM message"), 1);
    assert_int_equal(fixture_number(fixture,
                                    "SELECT count(*) FROM (SELECT seq, at, CASE class WHEN 1 THEN "
                                    "count(*) FILTER (WHERE class = 1) OVER room ELSE 0 END AS number, "
                                    "lag(at, 1, 0) OVER room AS earlier FROM message "
                                    "WINDOW room AS (PARTITION BY namespace, room ORDER BY pos)) "
                                    "WHERE seq <> number OR at < earlier"),
                     0);
    return count;
}
