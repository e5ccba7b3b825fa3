/*
 * Asking the router's stats socket; see stats_client.h.
 *
 * The surprise: --data on the command line stands over run.stats of the file, since whoever names a folder
 * means that folder.
 */
#include "cli/stats_client.h"

#include "common/memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_SECONDS = 10, BLOCK = 65536 };

const volatile sig_atomic_t *stats_client_stopped;

static const char slow[] = "no answer within 10 s: the router hangs or is overloaded";

const char *const stats_place_others[] = {"run",        "router",       "gateway", "events",
                                          "namespaces", "certificates", "tokens",  NULL};

void stats_place_lookup(const config_t *file, const char *name, const char **out)
{
    char path[32];

    snprintf(path, sizeof path, "%s.%s", config_lookup(file, "run") ? "run" : "router", name);
    config_lookup_string(file, path, out);
}

int stats_place_finish(const config_t *file, void *settings, struct buffer *error)
{
    struct stats_place *place = settings;
    const char *data = place->data ? place->data : "./data";
    const char *stats = NULL;
    struct buffer path = {0};

    (void)error;
    if (place->stats)
        return 0;
    if (!place->data) {
        stats_place_lookup(file, "stats", &stats);
        stats_place_lookup(file, "data", &data);
    }
    if (stats)
        buffer_append_text(&path, stats);
    else
        buffer_printf(&path, "%s/stats.sock", data);
    place->stats = memory_text(path.data, path.length);
    buffer_done(&path);
    return 0;
}

bool stats_client_goes_on(int reason)
{
    return reason == EINTR && !(stats_client_stopped && *stats_client_stopped);
}

/* A local socket's call begins anew when it was interrupted. */
static int connect_to(int fd, const struct sockaddr_un *address)
{
    int result;

    do
        result = connect(fd, (const struct sockaddr *)address, sizeof *address);
    while (result && stats_client_goes_on(errno));
    return result;
}

int stats_client_connect(const char *path, int *out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    int fd;

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return ERROR_SYSTEM;
    }
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERROR_SYSTEM;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) || connect_to(fd, &address)) {
        int reason = errno;

        close(fd);
        errno = reason;
        return ERROR_SYSTEM;
    }
    *out = fd;
    return 0;
}

void stats_client_complain(const char *path)
{
    if (errno == EACCES || errno == EPERM)
        fprintf(stderr, "hubbub: %s: %s (ask as the user that hubbub runs as, or with sudo)\n", path,
                strerror(errno));
    else
        fprintf(stderr, "hubbub: nobody answers at %s: %s (is hubbub running? see --stats and --data)\n",
                path, errno == EAGAIN ? slow : strerror(errno));
}

const char *stats_client_reason(int status)
{
    if (status == ERROR_CLOSED)
        return "the connection was closed";
    return errno == EAGAIN ? slow : strerror(errno);
}

int stats_client_send(int fd, struct bytes lines)
{
    while (lines.length) {
        ssize_t n = send(fd, lines.data, lines.length, MSG_NOSIGNAL);

        if (n < 0 && stats_client_goes_on(errno))
            continue;
        if (n < 0)
            return errno == EPIPE ? 0 : ERROR_SYSTEM;
        lines = bytes_make(lines.data + n, lines.length - (size_t)n);
    }
    return 0;
}

/* Whether an answer that begins there is whole; its length without the empty line. */
static bool answer_end(struct bytes answer, size_t looked_at, size_t *length)
{
    const char *end;

    if (answer.length && answer.data[0] == '\n') {
        *length = 0;
        return true;
    }
    looked_at = looked_at ? looked_at - 1 : 0; /* its last byte may be the first of the two */
    end = memmem(answer.data + looked_at, answer.length - looked_at, "\n\n", 2);
    if (end)
        *length = (size_t)(end - answer.data) + 1;
    return end;
}

int stats_client_read(int fd, struct buffer *out)
{
    size_t start = out->length, looked_at = 0, length;

    for (;;) {
        char *block = buffer_reserve(out, BLOCK);
        ssize_t n = recv(fd, block, BLOCK, 0);

        if (n < 0 && stats_client_goes_on(errno))
            continue;
        if (n < 0)
            return ERROR_SYSTEM;
        if (n == 0)
            return ERROR_CLOSED;
        buffer_extend(out, (size_t)n);
        if (answer_end(bytes_make(out->data + start, out->length - start), looked_at, &length)) {
            out->length = start + length;
            return 0;
        }
        looked_at = out->length - start;
    }
}
