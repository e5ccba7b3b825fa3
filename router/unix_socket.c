/*
 * Listening Unix sockets and what earlier runs left of them; used for the stats socket and for ipc links.
 * Its one surprising rule: the file's mode comes from the umask at bind(), so that it is never open to
 * others.
 */
#include "router/unix_socket.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int fill_address(const char *path, struct sockaddr_un *address)
{
    size_t length = strlen(path);

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length >= sizeof address->sun_path)
        return ERROR_TOO_LARGE;
    memcpy(address->sun_path, path, length);
    return 0;
}

bool unix_socket_answers(const char *path)
{
    struct sockaddr_un address;
    bool answers = false;
    int fd;

    if (fill_address(path, &address))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        answers = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
        close(fd);
    }
    return answers;
}

int unix_socket_listen(const char *path, int backlog, int *fd)
{
    struct sockaddr_un address;
    struct stat status;
    mode_t former;
    int listener;
    int result = fill_address(path, &address);

    if (result)
        return result;
    if (lstat(path, &status) == 0) {
        if (!S_ISSOCK(status.st_mode))
            return ERROR_EXISTS;
        if (unix_socket_answers(path))
            return ERROR_LOCKED;
        if (unlink(path) < 0)
            return ERROR_SYSTEM;
    }
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0)
        return ERROR_SYSTEM;
    former = umask(0177);
    result = bind(listener, (const struct sockaddr *)&address, sizeof address);
    umask(former);
    if (result < 0 || listen(listener, backlog) < 0) {
        close(listener);
        return ERROR_SYSTEM;
    }
    *fd = listener;
    return 0;
}
