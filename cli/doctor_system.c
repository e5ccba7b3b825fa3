/*
 * Limits, the kernel's settings, ports and the clock, for hubbub doctor; see doctor_checks.h.
 *
 * The surprise: a port in use is fine when Hubbub has it, and who has it is found among the open files of the
 * processes; where those of others can't be seen, what answers there is asked.
 */
#include "cli/doctor_checks.h"

#include "cli/places.h"
#include "common/finding.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

enum {
    FILES_FEW = 65536, /* open files of a gateway that is meant for many clients */
    FILES_NONE = 1024,
    TCP_LISTEN = 0x0a,
    ANSWER_SECONDS = 2,
    YEAR_MIN = 2025, /* when this was written */
};

/* -- limits ----------------------------------------------------------------------------------- */

static const struct {
    const char *path;
    const char *name;
    unsigned long long least;
    const char *why;
} kernel_settings[] = {
    {"/proc/sys/net/core/somaxconn", "net.core.somaxconn", 1024,
     "clients that connect all at once are turned away"},
    {"/proc/sys/net/ipv4/tcp_max_syn_backlog", "net.ipv4.tcp_max_syn_backlog", 1024,
     "clients that connect all at once are turned away"},
    {"/proc/sys/fs/file-max", "fs.file-max", 200000, "it bounds the connections of all processes together"},
    {"/proc/sys/net/netfilter/nf_conntrack_max", "net.netfilter.nf_conntrack_max", 131072,
     "the firewall drops new connections beyond it"},
};

static void check_kernel_setting(struct buffer *out, unsigned i)
{
    FILE *file = fopen(kernel_settings[i].path, "re");
    unsigned long long value;
    char mend[128];

    if (!file)
        return; /* a kernel without it has no such limit */
    if (fscanf(file, "%llu", &value) == 1) {
        bool enough = value >= kernel_settings[i].least;

        snprintf(mend, sizeof mend, "sysctl -w %s=%llu, and the same in /etc/sysctl.d",
                 kernel_settings[i].name, kernel_settings[i].least);
        if (enough)
            finding_append(out, FINDING_OK, "kernel", NULL, "%s is %llu", kernel_settings[i].name, value);
        else
            finding_append(out, FINDING_WARNING, "kernel", mend, "%s is %llu: %s", kernel_settings[i].name,
                           value, kernel_settings[i].why);
    }
    fclose(file);
}

void doctor_check_limits(struct buffer *out)
{
    static const char mend[] =
        "raise the hard limit: LimitNOFILE= in the systemd unit, ulimits: in compose, or ulimit -Hn";
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit)) {
        finding_append(out, FINDING_ERROR, "open files", NULL, "the limit can't be asked: %s",
                       strerror(errno));
    } else {
        enum finding_level level = limit.rlim_max <= FILES_NONE ? FINDING_ERROR
                                   : limit.rlim_max < FILES_FEW ? FINDING_WARNING
                                                                : FINDING_OK;

        finding_append(out, level, "open files", level == FINDING_OK ? NULL : mend,
                       "a process started here may open %llu: a gateway takes nearly as many connections",
                       (unsigned long long)limit.rlim_max);
    }
    for (unsigned i = 0; i < sizeof kernel_settings / sizeof *kernel_settings; i++)
        check_kernel_setting(out, i);
}

/* -- clock ------------------------------------------------------------------------------------ */

void doctor_check_clock(struct buffer *out)
{
    static const char mend[] = "run an NTP client (systemd-timesyncd, chrony): messages carry the time, and "
                               "tokens expire by it";
    struct timex state = {0};
    time_t now = time(NULL);
    struct tm date;
    char text[32] = "";

    if (gmtime_r(&now, &date))
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &date);
    if (!*text || date.tm_year + 1900 < YEAR_MIN)
        finding_append(out, FINDING_ERROR, "clock", mend, "it says %s, which is over", text);
    else if (adjtimex(&state) == TIME_ERROR || state.status & STA_UNSYNC)
        finding_append(out, FINDING_WARNING, "clock", mend, "it says %s, and nothing keeps it right", text);
    else
        finding_append(out, FINDING_OK, "clock", NULL, "it says %s, and is kept right", text);
}

/* -- ports ------------------------------------------------------------------------------------ */

/* The inodes of listening sockets on that port. */
struct listeners {
    unsigned long long inodes[64];
    unsigned count;
};

static void find_listeners(struct listeners *listeners, const char *path, uint16_t port)
{
    FILE *file = fopen(path, "re");
    char line[512];

    while (file && fgets(line, sizeof line, file)) {
        unsigned local, state;
        unsigned long long inode;

        if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %llu",
                   &local, &state, &inode) == 3 &&
            local == port && state == TCP_LISTEN && listeners->count < 64)
            listeners->inodes[listeners->count++] = inode;
    }
    if (file)
        fclose(file);
}

/* Whether that process has one of them open. */
static bool has_listener(const struct listeners *listeners, const char *pid)
{
    char path[64], target[64];
    struct dirent *entry;
    bool found = false;
    DIR *folder;

    snprintf(path, sizeof path, "/proc/%.16s/fd", pid);
    folder = opendir(path);
    while (folder && !found && (entry = readdir(folder))) {
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
        unsigned long long inode;

        target[length > 0 ? length : 0] = '\0';
        if (sscanf(target, "socket:[%llu]", &inode) != 1)
            continue;
        for (unsigned i = 0; i < listeners->count; i++)
            found = found || listeners->inodes[i] == inode;
    }
    if (folder)
        closedir(folder);
    return found;
}

/* The name and number of the process that listens there; false when it can't be seen. */
static bool find_owner(uint16_t port, char name[static 32], long *pid)
{
    struct listeners listeners = {.count = 0};
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    bool found = false;

    find_listeners(&listeners, "/proc/net/tcp", port);
    find_listeners(&listeners, "/proc/net/tcp6", port);
    while (processes && !found && (entry = readdir(processes))) {
        char path[64];
        FILE *file;

        if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || !has_listener(&listeners, entry->d_name))
            continue;
        snprintf(path, sizeof path, "/proc/%.16s/comm", entry->d_name);
        file = fopen(path, "re");
        found = file && fgets(name, 32, file);
        if (file)
            fclose(file);
        name[strcspn(name, "\n")] = '\0';
        *pid = strtol(entry->d_name, NULL, 10);
    }
    if (processes)
        closedir(processes);
    return found;
}

/* Whether what answers on this machine at the port does it as a gateway's /healthz does. */
static bool answers_as_gateway(uint16_t port)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval patience = {.tv_sec = ANSWER_SECONDS};
    char answer[1024];
    size_t length = 0;
    ssize_t n;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
        send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1)
        while (length < sizeof answer - 1 &&
               ((n = recv(fd, answer + length, sizeof answer - 1 - length, 0)) > 0 ||
                (n < 0 && errno == EINTR))) /* this process was stopped for a while */
            length += n > 0 ? (size_t)n : 0;
    answer[length] = '\0';
    close(fd);
    return strncmp(answer, "HTTP/1.1 200", 12) == 0 && strstr(answer, "\r\n\r\nok\n");
}

/* As doctor_check_port(). */
static long check_owner(struct buffer *out, const char *check, uint16_t port)
{
    char name[32];
    long pid;

    if (find_owner(port, name, &pid)) {
        if (strncmp(name, "hubbub-", 7) == 0) {
            finding_append(out, FINDING_OK, check, NULL, "%s (pid %ld) has it", name, pid);
            return pid;
        }
        finding_append(out, FINDING_ERROR, check,
                       "end that program, or choose another port (run.port, run.ports, run.admin_port)",
                       "%s (pid %ld) has it", name, pid);
    } else if (answers_as_gateway(port)) {
        finding_append(out, FINDING_OK, check, NULL, "a gateway answers there");
    } else {
        finding_append(out, FINDING_ERROR, check,
                       "look who it is, as root (ss -ltnp), or choose another port (run.port, run.ports, "
                       "run.admin_port)",
                       "it is in use, and this user can't see by whom");
    }
    return 0;
}

long doctor_check_port(struct buffer *out, const char *host, uint16_t port)
{
    struct buffer reason = {0};
    char check[16];
    long owner = 0;

    snprintf(check, sizeof check, "port %u", port);
    switch (places_try_port(host, port, &reason)) {
    case 0:
        finding_append(out, FINDING_OK, check, NULL, "it is free");
        break;
    case ERROR_LOCKED:
        owner = check_owner(out, check, port);
        break;
    default:
        finding_append(out, FINDING_ERROR, check,
                       port < 1024 ? "give the program CAP_NET_BIND_SERVICE, or choose a port above 1023"
                                   : "choose an address of this machine (run.host), or another port",
                       "%.*s", BYTES_PRINTF(buffer_bytes(&reason)));
    }
    buffer_done(&reason);
    return owner;
}
