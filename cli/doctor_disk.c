/*
 * The data folder and its disk, for hubbub doctor; see doctor_checks.h.
 *
 * The surprise: the time of fdatasync is measured with appended blocks, as the journal's WAL is written, and
 * the median is what counts: one slow sync may be somebody else's.
 */
#include "cli/doctor_checks.h"

#include "common/buffer.h"
#include "common/clock.h"
#include "common/finding.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    SYNCS = 21,
    BLOCK = 4096,
    SLOW_US = 20000, /* a message waits for one sync; from here on people notice */
};

#define FREE_LOW  (1ULL << 30) /* bytes */
#define FREE_NONE (100ULL << 20)

static const struct {
    unsigned magic;
    const char *name;
    const char *trouble; /* NULL: none */
} kinds[] = {
    {TMPFS_MAGIC, "tmpfs", "is memory: nothing survives a restart of the machine"},
    {RAMFS_MAGIC, "ramfs", "is memory: nothing survives a restart of the machine"},
    {OVERLAYFS_SUPER_MAGIC, "overlay", "belongs to a container and goes with it"},
    {NFS_SUPER_MAGIC, "nfs", "is on another machine, where SQLite's WAL does not work"},
    {SMB_SUPER_MAGIC, "smb", "is on another machine, where SQLite's WAL does not work"},
    {CIFS_SUPER_MAGIC, "cifs", "is on another machine, where SQLite's WAL does not work"},
    {SMB2_SUPER_MAGIC, "smb2", "is on another machine, where SQLite's WAL does not work"},
    {V9FS_MAGIC, "9p", "is shared by another machine, where SQLite's WAL does not work"},
    {FUSE_SUPER_MAGIC, "fuse", "is a program's, which may not sync what it says it has synced"},
    {EXT4_SUPER_MAGIC, "ext4", NULL},
    {XFS_SUPER_MAGIC, "xfs", NULL},
    {BTRFS_SUPER_MAGIC, "btrfs", NULL},
    {F2FS_SUPER_MAGIC, "f2fs", NULL},
    {0x2fc12fc1, "zfs", NULL},
};

static void check_kind(struct buffer *out, const char *folder)
{
    static const char mend[] =
        "put the data folder (run.data, router.data) on a local disk, in a container on a volume";
    struct statfs status;
    const char *name = NULL, *trouble = NULL;

    if (statfs(folder, &status)) {
        finding_append(out, FINDING_ERROR, "disk", NULL, "the file system of %s can't be asked: %s", folder,
                       strerror(errno));
        return;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].magic == (unsigned)status.f_type) {
            name = kinds[i].name;
            trouble = kinds[i].trouble;
        }
    if (trouble)
        finding_append(out, FINDING_WARNING, "disk", mend, "%s %s", name, trouble);
    else if (name)
        finding_append(out, FINDING_OK, "disk", NULL, "the file system is %s", name);
    else
        finding_append(out, FINDING_OK, "disk", NULL, "the file system is of kind 0x%x",
                       (unsigned)status.f_type);
}

static void check_space(struct buffer *out, const char *folder)
{
    static const char mend[] =
        "make room, or set hot_days and hot_messages lower where there is an archive: without "
        "space publishing is refused";
    struct statvfs status;
    unsigned long long bytes;

    if (statvfs(folder, &status)) {
        finding_append(out, FINDING_ERROR, "space", NULL, "what is free in %s can't be asked: %s", folder,
                       strerror(errno));
        return;
    }
    bytes = (unsigned long long)status.f_bavail * status.f_frsize;
    if (bytes < FREE_LOW)
        finding_append(out, bytes < FREE_NONE ? FINDING_ERROR : FINDING_WARNING, "space", mend,
                       "%llu MB are free", bytes >> 20);
    else if (status.f_files && status.f_favail == 0)
        finding_append(out, FINDING_ERROR, "space", "remove files", "no more files can be made (inodes)");
    else
        finding_append(out, FINDING_OK, "space", NULL, "%.1f GB are free", (double)bytes / (1ULL << 30));
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Fills in how long each sync took, in microseconds.  0 or ERROR_SYSTEM with errno. */
static int measure(int fd, uint64_t times[static SYNCS])
{
    static const char block[BLOCK];

    for (unsigned i = 0; i < SYNCS; i++) {
        uint64_t begun;

        if (pwrite(fd, block, sizeof block, (off_t)i * BLOCK) != BLOCK)
            return ERROR_SYSTEM;
        begun = clock_monotonic_ns();
        if (fdatasync(fd))
            return ERROR_SYSTEM;
        times[i] = (clock_monotonic_ns() - begun) / 1000;
    }
    qsort(times, SYNCS, sizeof *times, compare);
    return 0;
}

static void check_sync(struct buffer *out, const char *folder)
{
    uint64_t times[SYNCS];
    struct buffer path = {0};
    int fd;

    buffer_printf(&path, "%s/doctor.XXXXXX%c", folder, '\0');
    fd = mkstemp(path.data);
    if (fd >= 0)
        unlink(path.data);
    if (fd < 0 || measure(fd, times))
        finding_append(out, FINDING_ERROR, "disk", "give the user that runs Hubbub the right to write there",
                       "no file can be written in %s: %s", folder, strerror(errno));
    else
        finding_append(
            out, times[SYNCS / 2] < SLOW_US ? FINDING_OK : FINDING_WARNING, "disk",
            times[SYNCS / 2] < SLOW_US
                ? NULL
                : "use a faster disk (SSD), or one with a write cache that survives a power loss: each "
                  "message waits for a sync",
            "fdatasync takes %.2f ms, at worst %.2f ms (of %d)", (double)times[SYNCS / 2] / 1e3,
            (double)times[SYNCS - 1] / 1e3, SYNCS);
    if (fd >= 0)
        close(fd);
    buffer_done(&path);
}

/* The folder itself, or the nearest one above that is there; free() it. */
static char *existing_folder(const char *path)
{
    char *folder = memory_text(path, strlen(path));
    struct stat status;

    while (stat(folder, &status) && errno == ENOENT) {
        char *slash = strrchr(folder, '/');

        if (!slash) {
            free(folder);
            return memory_text(".", 1);
        }
        slash[slash == folder] = '\0';
    }
    return folder;
}

/* Whether more than the last folder of the path is missing behind what existing_folder() found: hubbub run makes
   one, so that a misspelt path makes none. */
static bool is_parent_missing(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    const char *rest = strncmp(path, folder, length) == 0 ? path + length : path;
    const char *slash = strchr(rest + strspn(rest, "/"), '/');

    return slash && slash[strspn(slash, "/")];
}

void doctor_check_folder(struct buffer *out, const char *path)
{
    char *folder = existing_folder(path);
    struct stat status;

    if (stat(folder, &status)) {
        finding_append(out, FINDING_ERROR, "data folder", NULL, "%s can't be looked at: %s", folder,
                       strerror(errno));
    } else if (!S_ISDIR(status.st_mode)) {
        finding_append(out, FINDING_ERROR, "data folder", "name a folder in run.data", "%s is no folder",
                       folder);
    } else {
        if (strcmp(folder, path) != 0 && is_parent_missing(path, folder))
            finding_append(out, FINDING_ERROR, "data folder", "make the folder above it",
                           "%s can't be made by hubbub run: of its path only %s is there", path, folder);
        else if (strcmp(folder, path) != 0)
            finding_append(out, FINDING_OK, "data folder", NULL, "%s is not there yet; hubbub run makes it",
                           path);
        else if (status.st_mode & 077)
            finding_append(out, FINDING_WARNING, "data folder", "chmod 700 it",
                           "%s has mode %04o: others of this machine may read every message", path,
                           status.st_mode & 07777);
        else
            finding_append(out, FINDING_OK, "data folder", NULL, "%s is for its owner alone", path);
        check_kind(out, folder);
        check_space(out, folder);
        check_sync(out, folder);
    }
    free(folder);
}

void doctor_check_secret(struct buffer *out, const char *path, const char *secret)
{
    struct stat status;

    if (stat(path, &status) == 0 && status.st_mode & 077)
        finding_append(out, FINDING_WARNING, "configuration", "chmod 600 it",
                       "%s has mode %04o, and holds %s", path, status.st_mode & 07777, secret);
}
