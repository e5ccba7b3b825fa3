/*
 * A shim for LD_PRELOAD: remembers what a power loss would take from the journal.
 *
 * test_power_loss.mjs starts the router with it.  For journal.sqlite and its WAL it keeps, beside the file,
 * what each write replaced (FILE.unsynced), and forgets it when a sync of that file has come back.  After a
 * SIGKILL the test puts any part of it back, as if the machine had gone dark.  A sync takes
 * HUBBUB_TEST_SYNC_MS longer, so that a kill finds something on the way.
 *
 * A record is four int64: offset, bytes replaced, bytes written, the file's size before; then the bytes
 * replaced.
 *
 * The surprise: one lock is held over each write and each sync, so what is forgotten was written before the
 * sync began.
 */
#undef _FILE_OFFSET_BITS /* with it pwrite() would be pwrite64() under another name, and both are needed */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Calls the C library's function that this one stands before. */
#define REAL(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

static bool ends_with(const char *text, size_t length, const char *end)
{
    size_t end_length = strlen(end);

    return length >= end_length && memcmp(text + length - end_length, end, end_length) == 0;
}

/* The file that holds what is not synced of this one; false when this one is none of the journal's. */
static bool find_record(int fd, char path[static PATH_MAX + 16])
{
    char link[64];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, PATH_MAX);
    if (length <= 0 || (!ends_with(path, (size_t)length, "/journal.sqlite") &&
                        !ends_with(path, (size_t)length, "/journal.sqlite-wal")))
        return false;
    strcpy(path + length, ".unsynced");
    return true;
}

/* The test would be worthless without the record. */
static void must(bool done)
{
    if (!done)
        abort();
}

static void append(int to, const void *data, size_t size)
{
    must(REAL(write)(to, data, size) == (ssize_t)size);
}

/* Notes what a write (or, with nothing written, a truncation) is about to replace. */
static void remember(int fd, const char *record, int64_t offset, int64_t size)
{
    struct stat now;
    int64_t head[4];
    char *before;
    int to;

    must(fstat(fd, &now) == 0);
    head[0] = offset;
    head[1] = offset >= now.st_size ? 0 : now.st_size - offset;
    if (size && head[1] > size)
        head[1] = size;
    head[2] = size;
    head[3] = now.st_size;
    before = malloc((size_t)head[1] + 1);
    must(before && pread(fd, before, (size_t)head[1], offset) == head[1]);
    to = open(record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    must(to >= 0);
    append(to, head, sizeof head);
    append(to, before, (size_t)head[1]);
    close(to);
    free(before);
}

static ssize_t write_at(int fd, const void *data, size_t size, off_t offset)
{
    char record[PATH_MAX + 16];
    ssize_t written;

    if (!find_record(fd, record))
        return REAL(pwrite)(fd, data, size, offset);
    pthread_mutex_lock(&lock);
    remember(fd, record, offset, (int64_t)size);
    written = REAL(pwrite)(fd, data, size, offset);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return write_at(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset)
{
    return write_at(fd, data, size, offset);
}

static int cut_at(int fd, off_t size)
{
    char record[PATH_MAX + 16];
    int status;

    if (!find_record(fd, record))
        return REAL(ftruncate)(fd, size);
    pthread_mutex_lock(&lock);
    remember(fd, record, size, 0);
    status = REAL(ftruncate)(fd, size);
    pthread_mutex_unlock(&lock);
    return status;
}

int ftruncate(int fd, off_t size)
{
    return cut_at(fd, size);
}

int ftruncate64(int fd, off_t size)
{
    return cut_at(fd, size);
}

static int sync_file(int fd, int (*sync)(int))
{
    const char *delay = getenv("HUBBUB_TEST_SYNC_MS");
    char record[PATH_MAX + 16];
    int status;

    if (!find_record(fd, record))
        return sync(fd);
    pthread_mutex_lock(&lock);
    if (delay)
        usleep((useconds_t)atoi(delay) * 1000);
    status = sync(fd);
    if (!status)
        must(unlink(record) == 0 || errno == ENOENT);
    pthread_mutex_unlock(&lock);
    return status;
}

int fdatasync(int fd)
{
    return sync_file(fd, REAL(fdatasync));
}

int fsync(int fd)
{
    return sync_file(fd, REAL(fsync));
}
