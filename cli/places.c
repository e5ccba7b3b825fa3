/*
 * Folders, locks, programs and ports, for run.c.
 *
 * The surprise: the lock is flock()'s, which a crash of ours releases; the process id in the file is only
 * there for the message of the next one.
 */
#include "cli/places.h"

#include "common/buffer.h"
#include "common/host_addresses.h"
#include "common/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int complain(const char *what, const char *path)
{
    fprintf(stderr, "hubbub: %s %s: %s\n", what, path, strerror(errno));
    return ERROR_SYSTEM;
}

static char *join(const char *folder, const char *name)
{
    struct buffer path = {0};

    buffer_printf(&path, "%s/%s%c", folder, name, '\0');
    return path.data;
}

static int lock_folder(const char *folder, int *lock_fd)
{
    char *path = join(folder, "lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char owner[16] = "";
    int status = 0;

    if (fd < 0) {
        status = complain("cannot open", path);
    } else if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        int length = snprintf(owner, sizeof owner, "%d\n", (int)getpid());

        if (ftruncate(fd, 0) || pwrite(fd, owner, (size_t)length, 0) != length)
            status = complain("cannot write", path);
    } else if (errno == EWOULDBLOCK) {
        if (pread(fd, owner, sizeof owner - 1, 0) > 0)
            owner[strcspn(owner, "\n")] = '\0';
        fprintf(stderr, "hubbub: the data folder %s is in use by another hubbub run (pid %s)\n", folder,
                owner[0] ? owner : "unknown");
        status = ERROR_LOCKED;
    } else {
        status = complain("cannot lock", path);
    }
    free(path);
    if (status && fd >= 0)
        close(fd);
    if (!status)
        *lock_fd = fd;
    return status;
}

int places_take_folder(const char *path, char **absolute, int *lock_fd)
{
    struct stat status;
    char *folder;
    int error;

    if (mkdir(path, 0700) && errno != EEXIST)
        return complain("cannot create the data folder", path);
    folder = realpath(path, NULL);
    if (!folder)
        return complain("cannot find the data folder", path);
    if (stat(folder, &status) == 0 && !S_ISDIR(status.st_mode)) {
        errno = ENOTDIR;
        error = complain("cannot use the data folder", folder);
    } else {
        error = lock_folder(folder, lock_fd);
    }
    if (error) {
        free(folder);
        return error;
    }
    *absolute = folder;
    return 0;
}

int places_absolute(const char *path, char **absolute)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    char *above = slash ? memory_text(path, (size_t)(slash - path) + 1) : memory_text(".", 1);
    char *folder = realpath(above, NULL);

    if (!folder) {
        int status = complain("cannot find the folder of", path);

        free(above);
        return status;
    }
    *absolute = join(strcmp(folder, "/") == 0 ? "" : folder, name);
    free(above);
    free(folder);
    return 0;
}

/* The absolute path of a file that can be run, or NULL. */
static char *find_runnable(const char *folder, const char *part)
{
    struct buffer path = {0};
    char *found = NULL;

    buffer_printf(&path, "%s/hubbub-%s%c", folder, part, '\0');
    if (access(path.data, X_OK) == 0)
        found = realpath(path.data, NULL);
    buffer_done(&path);
    return found;
}

char *places_find_program(const char *part)
{
    char self[PATH_MAX], sibling[PATH_MAX + 32];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    char *found = NULL;
    struct buffer bare = {0};
    char *slash;

    self[length > 0 ? length : 0] = '\0';
    slash = strrchr(self, '/');
    if (slash) {
        *slash = '\0';
        snprintf(sibling, sizeof sibling, "%s/../%s", self, part);
        found = find_runnable(sibling, part);
        if (!found)
            found = find_runnable(self, part);
    }
    if (found)
        return found;
    buffer_printf(&bare, "hubbub-%s%c", part, '\0');
    return bare.data;
}

/* 0, or ERROR_SYSTEM with errno. */
static int try_to_bind(const struct sockaddr *address, socklen_t length)
{
    int yes = 1, no = 0;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int status, reason;

    if (fd < 0)
        return ERROR_SYSTEM;
    /* Connections that are still closing must not keep us out, so SO_REUSEADDR; a listener does. */
    status = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (!status && address->sa_family == AF_INET6)
        status = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (!status)
        status = bind(fd, address, length);
    reason = errno;
    close(fd);
    errno = reason;
    return status ? ERROR_SYSTEM : 0;
}

static int probe_all(uint16_t port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any};
    struct sockaddr_in four = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_ANY)}};

    if (try_to_bind((const struct sockaddr *)&six, sizeof six) == 0)
        return 0;
    if (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL)
        return ERROR_SYSTEM;
    return try_to_bind((const struct sockaddr *)&four, sizeof four);
}

/* As the gateways do: an address that this machine does not have is passed over when it has another. */
static int probe_found(const struct host_address *found, int count)
{
    bool bound = false;
    int status = 0;

    for (int i = 0; i < count; i++) {
        status = try_to_bind((const struct sockaddr *)&found[i].address, found[i].length);
        if (status && errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL)
            return status;
        bound = bound || !status;
    }
    return bound ? 0 : status;
}

int places_try_port(const char *host, uint16_t port, struct buffer *error)
{
    struct host_address found[HOST_ADDRESSES_MAX];
    const char *reason;
    int status;

    if (!*host) {
        status = probe_all(port);
    } else {
        int count = host_addresses(host, port, found, &reason);

        if (count < 0) {
            buffer_printf(error, "cannot find the address %s: %s", host, reason);
            return ERROR_SYSTEM;
        }
        status = probe_found(found, count);
    }
    if (!status)
        return 0;
    if (errno == EADDRINUSE) {
        buffer_printf(error, "port %u is in use by another program", port);
        return ERROR_LOCKED;
    }
    buffer_printf(error, "cannot listen on port %u: %s", port, strerror(errno));
    return ERROR_SYSTEM;
}

int places_probe_port(const char *host, uint16_t port)
{
    struct buffer error = {0};
    int status = places_try_port(host, port, &error);

    if (status)
        fprintf(stderr, "hubbub: %.*s\n", BYTES_PRINTF(buffer_bytes(&error)));
    buffer_done(&error);
    return status;
}
