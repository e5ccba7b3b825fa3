/*
 * A full disk: everything is refused, nothing takes a number, and service resumes when there is room.  Once
 * with a file system of 8 MB that is filled up (where the test may mount one), once with a limit on file
 * sizes.
 */
#include "router/journal_copy.h"
#include "tests/unit/router/journal_fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void set_file_limit(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void limit_files(struct fixture *fixture)
{
    struct stat status;
    char path[128];

    snprintf(path, sizeof path, "%s-wal", fixture->path);
    assert_int_equal(stat(path, &status), 0);
    set_file_limit((rlim_t)status.st_size + 30000);
}

static void unlimit_files(struct fixture *fixture)
{
    (void)fixture;
    set_file_limit(RLIM_INFINITY);
}

static void fill_disk(struct fixture *fixture)
{
    static const char block[512];
    char path[128];
    int fd;

    snprintf(path, sizeof path, "%s/filler", fixture->folder);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    while (write(fd, block, sizeof block) > 0)
        continue;
    close(fd);
}

static void free_disk(struct fixture *fixture)
{
    char path[128];

    snprintf(path, sizeof path, "%s/filler", fixture->folder);
    assert_int_equal(unlink(path), 0);
}

/* Fills the room in batches of that many KB until one is refused, and returns how many messages there are. */
static uint64_t write_until_full(struct fixture *fixture, int batch)
{
    char arguments[1000];

    memset(arguments, '1', sizeof arguments - 1);
    arguments[sizeof arguments - 1] = '\0';
    for (;;) {
        uint64_t head = journal_head(fixture->journal);
        size_t first = fixture->back_count;

        for (int i = 0; i < batch; i++)
            fixture_publish(fixture, (struct text){.room = "a", .arguments = arguments});
        fixture_wait(fixture);
        if (fixture->back[first]->result == ERROR_NO_SPACE) {
            for (size_t i = first; i < fixture->back_count; i++) {
                assert_int_equal(fixture->back[i]->result, ERROR_NO_SPACE);
                assert_int_equal(fixture->back[i]->message.pos, 0);
            }
            assert_int_equal(journal_head(fixture->journal), head);
            return head;
        }
    }
}

static bool storage_full(struct fixture *fixture)
{
    struct journal_statistics statistics;

    journal_statistics(fixture->journal, &statistics);
    return statistics.storage_full;
}

static void run_full(struct fixture *fixture, void (*fill)(struct fixture *), void (*empty)(struct fixture *))
{
    struct journal_entry *pass, *known, *again, *fresh;
    uint64_t head;

    fixture_open(fixture);
    fixture_fill(fixture, "a", 10);
    known = fixture_publish(fixture, (struct text){.room = "b", .scope = "alice", .id = "client-1"});
    fixture_wait(fixture);
    for (unsigned round = 0; round < 3; round++) {
        struct journal_read read;

        fill(fixture);
        /* The last batch is larger than SQLite's cache: some of it reaches the WAL before the commit. */
        head = write_until_full(fixture, round < 2 ? 100 : 3000);
        assert_true(storage_full(fixture));

        /* What writes nothing goes on. */
        pass = fixture_pass(fixture, "a");
        again = fixture_publish(fixture, (struct text){.room = "b", .scope = "alice", .id = "client-1"});
        fixture_wait(fixture);
        assert_int_equal(pass->message.pos, head);
        assert_int_equal(pass->message.seq, head - 1 - round);
        assert_int_equal(again->result, ERROR_EXISTS);
        assert_int_equal(again->message.pos, known->message.pos);
        read = fixture_page(fixture, "a", 0, 0, 5);
        assert_int_equal(read.count, 5);
        assert_int_equal(read.messages[4].seq, head - 1 - round);
        journal_read_free(&read);

        /* The same id as one that was refused is no duplicate when there is room. */
        empty(fixture);
        fresh = fixture_publish(fixture, (struct text){.room = "c", .scope = "alice", .id = "client-2"});
        pass = fixture_pass(fixture, "c");
        fixture_wait(fixture);
        assert_int_equal(fresh->result, round == 0 ? 0 : ERROR_EXISTS);
        if (round == 0) {
            assert_int_equal(fresh->message.pos, head + 1);
            assert_int_equal(fresh->message.seq, 1);
        } else {
            fixture_publish(fixture, (struct text){.room = "d"});
            fixture_wait(fixture);
            assert_int_equal(journal_head(fixture->journal), head + 1);
        }
        assert_int_equal(pass->message.seq, 1);
        assert_false(storage_full(fixture));
    }
    head = journal_head(fixture->journal);
    fixture_close(fixture);
    assert_int_equal(fixture_check_numbers(fixture), head);
    fixture_open(fixture);
    fixture_fill(fixture, "a", 3);
    assert_int_equal(journal_head(fixture->journal), head + 3);
}

static void a_refused_id_is_new_when_there_is_room(void **state)
{
    struct fixture *fixture = *state;
    struct journal_entry *first, *second, *asked;

    fixture_open(fixture);
    fixture_fill(fixture, "a", 1);
    limit_files(fixture);
    write_until_full(fixture, 100);
    set_file_limit(1);
    first = fixture_publish(fixture, (struct text){.room = "b", .scope = "alice", .id = "client-1"});
    second = fixture_publish(fixture, (struct text){.room = "b", .scope = "alice", .id = "client-1"});
    asked = fixture_publish(fixture, (struct text){.room = "b", .scope = "alice", .id = "client-1"});
    asked->kind = JOURNAL_PASS;
    fixture_wait(fixture);
    assert_int_equal(first->result, ERROR_NO_SPACE);
    assert_int_equal(second->result, ERROR_NO_SPACE);
    assert_int_equal(asked->result, 0);
    unlimit_files(fixture);
    first = fixture_publish(fixture, (struct text){.room = "b", .scope = "alice", .id = "client-1"});
    fixture_wait(fixture);
    assert_int_equal(first->result, 0);
    assert_int_equal(first->message.seq, 1);
}

static void a_refused_change_leaves_the_rows_as_they_were(void **state)
{
    struct fixture *fixture = *state;
    struct journal_change change = {.kind = JOURNAL_SESSION_SAVE,
                                    .session = {.id = 1, .sid = BYTES("sid"), .generation = 1}};
    struct journal_entry *entry;
    uint64_t head;

    fixture_open(fixture);
    for (unsigned round = 0; round < 3; round++) {
        if (round == 1) {
            limit_files(fixture);
            write_until_full(fixture, 100);
            set_file_limit(1);
        } else {
            unlimit_files(fixture);
        }
        head = journal_head(fixture->journal);
        change.session.generation = round + 1;
        entry = fixture_pass(fixture, "a");
        entry->kind = JOURNAL_CHANGE;
        entry->change = &change;
        fixture_wait(fixture);
        assert_int_equal(entry->result, round == 1 ? ERROR_NO_SPACE : 0);
        assert_int_equal(entry->message.pos, head);
        assert_int_equal(entry->message.seq, head);
        assert_int_equal(storage_full(fixture), round == 1);
        if (round == 1) {
            fixture_close(fixture);
            unlimit_files(fixture);
            assert_int_equal(fixture_number(fixture, "SELECT generation FROM session"), 1);
            fixture_open(fixture);
        }
    }
    fixture_close(fixture);
    assert_int_equal(fixture_number(fixture, "SELECT generation FROM session"), 3);
}

static void a_limit_on_files_refuses_and_service_resumes(void **state)
{
    run_full(*state, limit_files, unlimit_files);
}

static void a_full_disk_refuses_and_service_resumes(void **state)
{
    struct fixture *fixture = *state;

    if (mount("tmpfs", fixture->folder, "tmpfs", 0, "size=8m")) {
        print_message("no file system may be mounted here\n");
        skip();
    }
    run_full(fixture, fill_disk, free_disk);
    fixture_close(fixture);
    assert_int_equal(umount2(fixture->folder, MNT_DETACH), 0);
}

static void a_start_on_a_full_disk_is_refused_until_there_is_room(void **state)
{
    struct fixture *fixture = *state;
    struct journal_entry *entry;
    uint64_t head;

    if (mount("tmpfs", fixture->folder, "tmpfs", 0, "size=8m")) {
        print_message("no file system may be mounted here\n");
        skip();
    }
    fixture_open(fixture);
    fixture_fill(fixture, "a", 10);
    head = journal_head(fixture->journal);
    fixture_close(fixture);
    fill_disk(fixture);
    assert_int_equal(fixture_try_open(fixture), ERROR_NO_SPACE);
    assert_non_null(strstr(fixture->message, fixture->path));
    free_disk(fixture);
    fixture_open(fixture);
    entry = fixture_publish(fixture, (struct text){.room = "a"});
    fixture_wait(fixture);
    assert_int_equal(entry->message.pos, head + 1);
    fixture_close(fixture);
    assert_int_equal(umount2(fixture->folder, MNT_DETACH), 0);
}

static bool is_there(const char *path, const char *suffix)
{
    char name[160];

    snprintf(name, sizeof name, "%s%s", path, suffix);
    return access(name, F_OK) == 0;
}

/* Room for the copy's pages, and for more and more of what a start needs beside them. */
static void a_restore_without_room_leaves_nothing_behind(void **state)
{
    static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};
    struct fixture *fixture = *state;
    char copy[128], folder[128], path[144], size[32];
    unsigned refused = 0;
    struct stat status;
    int result = ERROR_NO_SPACE;

    fixture_open(fixture);
    fixture_fill(fixture, "a", 10);
    fixture_close(fixture);
    snprintf(copy, sizeof copy, "%s/copy", fixture->folder);
    snprintf(folder, sizeof folder, "%s/small", fixture->folder);
    snprintf(path, sizeof path, "%s/journal.sqlite", folder);
    assert_int_equal(journal_backup(fixture->path, copy, fixture->message, sizeof fixture->message), 0);
    assert_int_equal(stat(copy, &status), 0);
    assert_int_equal(mkdir(folder, 0700), 0);
    for (unsigned more = 4; result; more += 4) {
        snprintf(size, sizeof size, "size=%u", (unsigned)status.st_size + more * 1024);
        if (mount("tmpfs", folder, "tmpfs", 0, size))
            break;
        result = journal_restore(copy, path, fixture->message, sizeof fixture->message);
        refused += result != 0;
        for (unsigned i = 0; result && i < sizeof suffixes / sizeof *suffixes; i++)
            if (is_there(path, suffixes[i]))
                fail_msg("%s%s is left of: %s", path, suffixes[i], fixture->message);
        assert_int_equal(umount2(folder, MNT_DETACH), 0);
        assert_in_range(more, 4, 1024);
    }
    unlink(copy);
    rmdir(folder);
    if (result && !refused) {
        print_message("no file system may be mounted here\n");
        skip();
    }
    assert_int_equal(result, 0);
    assert_in_range(refused, 5, 256); /* with and without room for the index of the WAL */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_refused_id_is_new_when_there_is_room),
        TEST(a_refused_change_leaves_the_rows_as_they_were),
        TEST(a_limit_on_files_refuses_and_service_resumes),
        TEST(a_full_disk_refuses_and_service_resumes),
        TEST(a_start_on_a_full_disk_is_refused_until_there_is_room),
        TEST(a_restore_without_room_leaves_nothing_behind),
    };

    signal(SIGXFSZ, SIG_IGN);
    /* Mounts of our own, which end with this program; without the right to that the tests skip. */
    if (unshare(CLONE_NEWNS) == 0)
        (void)mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
