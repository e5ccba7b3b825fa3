/*
 * Listener and clients of the stats socket; see stats_socket.h.  The router opens it.  Its one surprising
 * rule: a client with an answer under way is not read from, so it can never make more than one answer wait.
 */
#include "router/stats_socket.h"

#include "common/memory.h"
#include "router/unix_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
    struct stats_socket *server;
    struct loop_watch *watch;
    struct loop_timer idle;
    int fd;
    bool ended;   /* takes no more commands; waits for the other side to hang up */
    bool closing; /* the other side sends no more */
    struct stats_waiter waiter;
    size_t input_length;
    char input[STATS_LINE_MAX];
    struct buffer output;
};

struct stats_socket {
    struct loop *loop;
    struct stats *stats;
    struct loop_watch *watch;
    struct client *clients[STATS_CLIENTS_MAX];
    char *path;
    int fd;
};

static void close_client(struct client *client)
{
    struct stats_socket *server = client->server;

    for (unsigned i = 0; i < STATS_CLIENTS_MAX; i++)
        if (server->clients[i] == client)
            server->clients[i] = NULL;
    if (client->waiter.pending)
        client->waiter.cancel(client->waiter.pending);
    loop_timer_stop(&client->idle);
    loop_watch_free(client->watch);
    close(client->fd);
    buffer_done(&client->output);
    free(client);
}

static void on_idle(void *arg)
{
    close_client(arg);
}

/* Runs the next whole line.  False when there is none, or its answer is still to come. */
static bool run_line(struct client *client)
{
    char *end = memchr(client->input, '\n', client->input_length);
    size_t used;
    struct bytes line;

    if (client->ended || client->waiter.pending)
        return false;
    if (!end) {
        if (client->input_length == STATS_LINE_MAX) {
            buffer_append_literal(&client->output, "error the line is too long\n\n");
            client->ended = true;
        }
        return false;
    }
    used = (size_t)(end - client->input) + 1;
    line = bytes_make(client->input, used - 1);
    if (line.length && line.data[line.length - 1] == '\r')
        line.length--;
    if (stats_command(client->server->stats, line, &client->waiter, &client->output) == STATS_HANG_UP)
        client->ended = true;
    client->input_length -= used;
    memmove(client->input, client->input + used, client->input_length);
    return true;
}

/* 0; ERROR_AGAIN when the client must take some first; ERROR_CLOSED. */
static int write_output(struct client *client)
{
    while (client->output.length) {
        ssize_t sent = send(client->fd, client->output.data, client->output.length, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN ? ERROR_AGAIN : ERROR_CLOSED;
        buffer_consume(&client->output, (size_t)sent);
    }
    return 0;
}

/* 0, or ERROR_CLOSED. */
static int read_input(struct client *client)
{
    ssize_t got =
        recv(client->fd, client->input + client->input_length, STATS_LINE_MAX - client->input_length, 0);

    if (got > 0)
        client->input_length += (size_t)got;
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        return ERROR_CLOSED;
    return 0;
}

/* Answers what can be answered.  0, ERROR_AGAIN, ERROR_CLOSED. */
static int serve(struct client *client)
{
    int result;

    while ((result = write_output(client)) == 0 && run_line(client))
        continue;
    if (result == 0)
        result = write_output(client);
    return result;
}

/* Answers what can be answered, and waits for what is needed next. */
static void go_on(struct client *client)
{
    int result = serve(client);
    unsigned interest = result == ERROR_AGAIN ? LOOP_WRITE : client->waiter.pending ? LOOP_NONE : LOOP_READ;

    if (result == 0 && client->ended)
        shutdown(client->fd, SHUT_WR); /* closing with input unread would take the answer back */
    if (result == ERROR_CLOSED || (result == 0 && client->closing && !client->waiter.pending) ||
        loop_watch_set(client->watch, interest) < 0)
        close_client(client);
}

static void on_answer(void *arg, struct bytes lines)
{
    struct client *client = arg;

    client->waiter.pending = NULL;
    buffer_append_bytes(&client->output, lines);
    loop_timer_start(&client->idle, STATS_IDLE_MS);
    go_on(client);
}

static void on_client(void *arg, int fd, unsigned ready)
{
    struct client *client = arg;

    (void)fd;
    loop_timer_start(&client->idle, STATS_IDLE_MS);
    if (client->ended)
        client->input_length = 0;
    if (ready & LOOP_READ && read_input(client) < 0)
        client->closing = true; /* what it asked before it shut its side down is still answered */
    go_on(client);
}

static void on_accept(void *arg, int listener, unsigned ready)
{
    static const char full[] = "error busy: too many ask at once\n\n";
    struct stats_socket *server = arg;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct client *client;
    unsigned at = 0;

    (void)ready;
    if (fd < 0)
        return;
    while (at < STATS_CLIENTS_MAX && server->clients[at])
        at++;
    if (at == STATS_CLIENTS_MAX) {
        (void)!send(fd, full, sizeof full - 1, MSG_NOSIGNAL);
        close(fd);
        return;
    }
    client = memory_zero(1, sizeof *client);
    client->server = server;
    client->waiter = (struct stats_waiter){.done = on_answer, .argument = client};
    client->fd = fd;
    client->watch = loop_watch_new(server->loop, fd, LOOP_READ, on_client, client);
    if (!client->watch) {
        close(fd);
        free(client);
        return;
    }
    loop_timer_init(&client->idle, server->loop, on_idle, client);
    loop_timer_start(&client->idle, STATS_IDLE_MS);
    server->clients[at] = client;
}

int stats_socket_open(struct loop *loop, struct stats *stats, const char *path, struct stats_socket **out)
{
    struct stats_socket *server;
    int fd;
    int result = unix_socket_listen(path, STATS_CLIENTS_MAX, &fd);

    if (result)
        return result;
    server = memory_zero(1, sizeof *server);
    server->loop = loop;
    server->stats = stats;
    server->path = memory_text(path, strlen(path));
    server->fd = fd;
    server->watch = loop_watch_new(loop, fd, LOOP_READ, on_accept, server);
    if (!server->watch) {
        stats_socket_close(server);
        return ERROR_SYSTEM;
    }
    *out = server;
    return 0;
}

void stats_socket_close(struct stats_socket *server)
{
    if (!server)
        return;
    for (unsigned i = 0; i < STATS_CLIENTS_MAX; i++)
        if (server->clients[i])
            close_client(server->clients[i]);
    loop_watch_free(server->watch);
    unlink(server->path);
    close(server->fd);
    free(server->path);
    free(server);
}
