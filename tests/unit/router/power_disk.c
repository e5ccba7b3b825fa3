/* The disk that can lose its power; see power_disk.h.  It is a VFS of SQLite's around the usual one. */
#include "tests/unit/router/power_disk.h"

#include "common/memory.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum which { MAIN, WAL, FILES, NEITHER = FILES };

struct event {
    enum { EVENT_WRITE, EVENT_TRUNCATE, EVENT_SYNC } kind;
    enum which which;
    uint64_t offset; /* TRUNCATE: the size */
    size_t length;
    char *data;
    size_t covers; /* SYNC: the events before this one, when it began */
};

struct file {
    sqlite3_file base;
    enum which which;
    sqlite3_file *real; /* behind this struct */
};

struct image {
    char *data;
    size_t size, capacity;
};

static struct {
    pthread_mutex_t mutex;
    sqlite3_vfs vfs, *usual;
    bool noting;
    char path[256];
    struct image base[FILES];
    struct event *events;
    size_t count, capacity;
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void note(struct event event, const void *data)
{
    if (disk.count == disk.capacity) {
        disk.capacity = disk.capacity ? disk.capacity * 2 : 1024;
        disk.events = memory_resize(disk.events, disk.capacity * sizeof *disk.events);
    }
    if (data) {
        event.data = memory_new(event.length);
        memcpy(event.data, data, event.length);
    }
    disk.events[disk.count++] = event;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct file *)file)->real;
}

/* Does it and notes it as one. */
static int write_file(sqlite3_file *file, const void *data, int length, sqlite3_int64 offset)
{
    enum which which = ((struct file *)file)->which;
    int rc;

    pthread_mutex_lock(&disk.mutex);
    rc = real_of(file)->pMethods->xWrite(real_of(file), data, length, offset);
    if (disk.noting && which != NEITHER)
        note(
            (struct event){
                .kind = EVENT_WRITE, .which = which, .offset = (uint64_t)offset, .length = (size_t)length},
            data);
    pthread_mutex_unlock(&disk.mutex);
    return rc;
}

static int truncate_file(sqlite3_file *file, sqlite3_int64 size)
{
    enum which which = ((struct file *)file)->which;
    int rc;

    pthread_mutex_lock(&disk.mutex);
    rc = real_of(file)->pMethods->xTruncate(real_of(file), size);
    if (disk.noting && which != NEITHER)
        note((struct event){.kind = EVENT_TRUNCATE, .which = which, .offset = (uint64_t)size}, NULL);
    pthread_mutex_unlock(&disk.mutex);
    return rc;
}

/* What others write meanwhile is not covered.  Nothing is really synced: the test's power stays on. */
static int sync_file(sqlite3_file *file, int flags)
{
    enum which which = ((struct file *)file)->which;

    (void)flags;
    pthread_mutex_lock(&disk.mutex);
    if (disk.noting && which != NEITHER)
        note((struct event){.kind = EVENT_SYNC, .which = which, .covers = disk.count}, NULL);
    pthread_mutex_unlock(&disk.mutex);
    return SQLITE_OK;
}

static int close_file(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int read_file(sqlite3_file *file, void *data, int length, sqlite3_int64 offset)
{
    return real_of(file)->pMethods->xRead(real_of(file), data, length, offset);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int lock_file(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xLock(real_of(file), lock);
}

static int unlock_file(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), lock);
}

static int check_lock(sqlite3_file *file, int *out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int control_file(sqlite3_file *file, int operation, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}

static int sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int map_index(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), region, size, extend, out);
}

static int lock_index(sqlite3_file *file, int offset, int count, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}

static void index_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int unmap_index(sqlite3_file *file, int remove)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = file_size,
    .xLock = lock_file,
    .xUnlock = unlock_file,
    .xCheckReservedLock = check_lock,
    .xFileControl = control_file,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
    .xShmMap = map_index,
    .xShmLock = lock_index,
    .xShmBarrier = index_barrier,
    .xShmUnmap = unmap_index,
};

static enum which which_of(const char *name)
{
    size_t length = strlen(disk.path);

    if (!name || length == 0 || strncmp(name, disk.path, length) != 0)
        return NEITHER;
    return name[length] == '\0' ? MAIN : strcmp(name + length, "-wal") == 0 ? WAL : NEITHER;
}

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *out, int flags, int *flags_out)
{
    struct file *file = (struct file *)out;
    int rc;

    (void)vfs;
    *file = (struct file){.which = which_of(name), .real = (sqlite3_file *)(void *)(file + 1)};
    rc = disk.usual->xOpen(disk.usual, name, file->real, flags, flags_out);
    file->base.pMethods = rc == SQLITE_OK ? &methods : NULL;
    return rc;
}

void power_disk_install(void)
{
    disk.usual = sqlite3_vfs_find(NULL);
    disk.vfs = *disk.usual;
    disk.vfs.zName = "power";
    disk.vfs.pNext = NULL;
    disk.vfs.szOsFile = (int)sizeof(struct file) + disk.usual->szOsFile;
    disk.vfs.xOpen = open_file;
    assert_int_equal(sqlite3_vfs_register(&disk.vfs, 1), SQLITE_OK);
}

/* -- images ------------------------------------------------------------------------------------- */

static void reserve(struct image *image, size_t size)
{
    if (size <= image->capacity)
        return;
    image->data = memory_resize(image->data, size * 2);
    memset(image->data + image->capacity, 0, size * 2 - image->capacity);
    image->capacity = size * 2;
}

static void set_size(struct image *image, size_t size)
{
    reserve(image, size);
    if (size < image->size)
        memset(image->data + size, 0, image->size - size);
    image->size = size;
}

static void put(struct image *image, uint64_t offset, const char *data, size_t length)
{
    if (length == 0)
        return;
    if (offset + length > image->size)
        set_size(image, offset + length);
    memcpy(image->data + offset, data, length);
}

static void load(struct image *image, const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY);

    *image = (struct image){0};
    if (fd < 0)
        return;
    assert_int_equal(fstat(fd, &status), 0);
    set_size(image, (size_t)status.st_size);
    assert_int_equal(pread(fd, image->data, image->size, 0), status.st_size);
    close(fd);
}

static void save(const struct image *image, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, image->data, image->size, 0), (ssize_t)image->size);
    close(fd);
}

static const char *const suffixes[FILES] = {"", "-wal"};

void power_disk_begin(void)
{
    char name[300];

    pthread_mutex_lock(&disk.mutex);
    for (int which = 0; which < FILES; which++) {
        snprintf(name, sizeof name, "%s%s", disk.path, suffixes[which]);
        load(&disk.base[which], name);
    }
    disk.noting = true;
    pthread_mutex_unlock(&disk.mutex);
}

void power_disk_watch(const char *path)
{
    snprintf(disk.path, sizeof disk.path, "%s", path);
}

void power_disk_end(void)
{
    pthread_mutex_lock(&disk.mutex);
    for (size_t i = 0; i < disk.count; i++)
        free(disk.events[i].data);
    for (int which = 0; which < FILES; which++) {
        free(disk.base[which].data);
        disk.base[which] = (struct image){0};
    }
    free(disk.events);
    disk.events = NULL;
    disk.count = disk.capacity = 0;
    disk.noting = false;
    disk.path[0] = '\0';
    pthread_mutex_unlock(&disk.mutex);
}

size_t power_disk_events(void)
{
    size_t count;

    pthread_mutex_lock(&disk.mutex);
    count = disk.count;
    pthread_mutex_unlock(&disk.mutex);
    return count;
}

/* The events before this one are on disk for certain, as far as they are the file's. */
static size_t certain(enum which which, size_t event)
{
    size_t covered = 0;

    for (size_t i = 0; i < event; i++)
        if (disk.events[i].kind == EVENT_SYNC && disk.events[i].which == which &&
            disk.events[i].covers > covered)
            covered = disk.events[i].covers;
    return covered;
}

uint64_t power_disk_pending(size_t event)
{
    size_t covered[FILES] = {certain(MAIN, event), certain(WAL, event)};
    uint64_t bytes = 0;

    for (size_t i = 0; i < event; i++)
        if (disk.events[i].kind == EVENT_WRITE && i >= covered[disk.events[i].which])
            bytes += disk.events[i].length;
    return bytes;
}

static bool by_chance(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 63;
}

static void put_scattered(struct image *image, const struct event *event, uint64_t *seed)
{
    size_t done = 0;

    while (done < event->length) {
        size_t length = POWER_SECTOR - (event->offset + done) % POWER_SECTOR;

        if (length > event->length - done)
            length = event->length - done;
        if (by_chance(seed))
            put(image, event->offset + done, event->data + done, length);
        done += length;
    }
}

/* seed: NULL to cut after so many bytes. */
static void make(size_t event, uint64_t bytes, uint64_t *seed, const char *copy)
{
    size_t covered[FILES] = {certain(MAIN, event), certain(WAL, event)};
    struct image images[FILES] = {{0}};
    char name[300];

    for (int which = 0; which < FILES; which++)
        put(&images[which], 0, disk.base[which].data, disk.base[which].size);
    for (size_t i = 0; i < event; i++) {
        const struct event *at = &disk.events[i];
        struct image *image = &images[at->which];
        bool sure = i < covered[at->which];

        if (at->kind == EVENT_WRITE && sure) {
            put(image, at->offset, at->data, at->length);
        } else if (at->kind == EVENT_WRITE && seed) {
            put_scattered(image, at, seed);
        } else if (at->kind == EVENT_WRITE) {
            size_t length = at->length < bytes ? at->length : (size_t)bytes;

            put(image, at->offset, at->data, length);
            bytes -= length;
        } else if (at->kind == EVENT_TRUNCATE && (sure || (seed ? by_chance(seed) : bytes > 0))) {
            set_size(image, (size_t)at->offset);
        }
    }
    for (int which = 0; which < FILES; which++) {
        snprintf(name, sizeof name, "%s%s", copy, suffixes[which]);
        save(&images[which], name);
        free(images[which].data);
    }
}

void power_disk_cut(size_t event, uint64_t bytes, const char *copy)
{
    make(event, bytes, NULL, copy);
}

void power_disk_scatter(size_t event, uint64_t seed, const char *copy)
{
    make(event, 0, &seed, copy);
}
