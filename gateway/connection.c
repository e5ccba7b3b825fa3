/*
 * Connections: the table of them, writing and ending; see connection.h, and connection_reading.h for
 * reading.  The poller, the wheel and the end of the loop's turn call in here; protocols and the fan-out
 * write through it.  Nothing is written while a turn runs but by the fan-out: connections with output are
 * remembered and written once at its end.
 */
#include "gateway/connection.h"

#include "common/memory.h"
#include "common/poller.h"
#include "gateway/entrance.h"
#include "gateway/fanout.h"
#include "gateway/gateway.h"
#include "gateway/replay.h"
#include "gateway/tls.h"
#include "gateway/websocket_transport.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LINGER_MS = 2000, /* how long the peer may take to end its side, or to take more of what is queued */
};

void connections_init(struct connection_table *table)
{
    *table = (struct connection_table){0};
}

void connections_done(struct gateway *gateway, enum close_reason reason)
{
    struct connection_table *table = &gateway->connections;
    struct connection *connection;
    uint32_t cursor = 0;

    while ((connection = slot_table_next(&table->slots, &cursor)))
        connection_drop(gateway, connection, reason);
    connections_reap(gateway);
    slot_table_done(&table->slots);
    free(table->dirty);
    free(table->closed);
    *table = (struct connection_table){0};
}

struct connection *connection_new(struct gateway *gateway, int fd, const struct connection_protocol *protocol)
{
    struct connection_table *table = &gateway->connections;
    struct connection *connection = memory_zero(1, sizeof *connection);

    connection->fd = fd;
    connection->protocol = protocol;
    connection->number = slot_table_add(&table->slots, connection);
    if (poller_add(gateway->poller, fd, EPOLLIN, connection->number) < 0) {
        slot_table_remove(&table->slots, connection->number);
        close(fd);
        free(connection);
        return NULL;
    }
    quota_begin(gateway, connection, NULL);
    gateway->counters.accepted++;
    return connection;
}

struct connection *connection_new_virtual(struct gateway *gateway, const struct connection_protocol *protocol)
{
    struct connection *connection = memory_zero(1, sizeof *connection);

    connection->fd = -1;
    connection->blocked = true;
    connection->protocol = protocol;
    connection->number = slot_table_add(&gateway->connections.slots, connection);
    quota_begin(gateway, connection, NULL);
    return connection;
}

struct connection *connections_find(struct gateway *gateway, uint64_t number)
{
    return slot_table_find(&gateway->connections.slots, number);
}

/* -- states ---------------------------------------------------------------------------------- */

static void set_state(struct connection *connection, enum connection_state state)
{
    assert(state > connection->state);
    connection->state = (uint8_t)state;
}

/* What to wait for; blocked is what the connection is about to be, for want of the kernel's room. */
static uint32_t interest(const struct connection *connection, bool blocked)
{
    return (connection->paused || connection->stopped ? 0 : EPOLLIN) |
           (blocked && !connection->corked ? EPOLLOUT : 0);
}

void connection_set_interest(struct gateway *gateway, struct connection *connection)
{
    uint32_t events = interest(connection, connection->blocked);

    if (connection->fd < 0)
        return;
    /* A refusal leaves a connection that nothing wakes: better none. */
    if (poller_modify(gateway->poller, connection->fd, events, connection->number) < 0)
        connection_drop(gateway, connection, CLOSE_TRANSPORT_ERROR);
}

static void mark_dirty(struct gateway *gateway, struct connection *connection)
{
    struct connection_table *table = &gateway->connections;

    if (connection->dirty || connection->blocked)
        return;
    connection->dirty = true;
    MEMORY_PUSH(table->dirty, table->dirty_count, table->dirty_capacity, connection);
}

/* Drops it at the end of the turn: for paths whose callers walk over rooms and members. */
static void doom(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    struct connection_table *table = &gateway->connections;

    if (connection->doomed)
        return;
    connection->doomed = (uint8_t)reason;
    if (!connection->dirty) {
        connection->dirty = true;
        MEMORY_PUSH(table->dirty, table->dirty_count, table->dirty_capacity, connection);
    }
}

/* What leaving OPEN means, once. */
static void leave_open(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    struct buffer held;

    connection->close_reason = (uint8_t)reason;
    gateway->counters.closed[reason]++;
    timer_wheel_cancel(&connection->timer);
    connection->protocol->ending(gateway, connection, reason);
    websocket_forget(connection);
    held = connection_unhold(connection);
    buffer_done(&held);
    handshake_free(connection->handshake);
    connection->handshake = NULL;
}

static uint64_t linger(const struct gateway *gateway, const struct connection *connection)
{
    return connection->protocol->linger ? connection->protocol->linger(gateway) : LINGER_MS;
}

void connection_end(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    if (connection->state != CONNECTION_OPEN)
        return;
    set_state(connection, CONNECTION_FLUSHING);
    leave_open(gateway, connection, reason);
    if (connection->corked) {
        connection->corked = false;
        connection->blocked = false;
    }
    if (connection->paused || connection->stopped) { /* the peer's end must be seen */
        if (connection->paused)
            connection_unpause(gateway, connection);
        connection->stopped = false;
        connection_set_interest(gateway, connection);
    }
    if (connection->state == CONNECTION_FLUSHING) {
        connection_set_timer(gateway, connection, loop_now(gateway->loop) + linger(gateway, connection));
        mark_dirty(gateway, connection);
    }
}

void connection_drop(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    struct connection_table *table = &gateway->connections;
    bool was_open = connection->state == CONNECTION_OPEN;

    if (connection->state == CONNECTION_CLOSED)
        return;
    set_state(connection, CONNECTION_CLOSED);
    if (was_open)
        leave_open(gateway, connection, reason);
    timer_wheel_cancel(&connection->timer);
    if (connection->fd >= 0) {
        poller_remove(gateway->poller, connection->fd);
        close(connection->fd);
        connection->fd = -1;
    }
    output_done(&connection->output);
    quota_end(gateway, connection);
    slot_table_remove(&table->slots, connection->number);
    if (connection->paused)
        connection_unpause(gateway, connection);
    if (connection->protocol->closed)
        connection->protocol->closed(gateway, connection);
    MEMORY_PUSH(table->closed, table->closed_count, table->closed_capacity, connection);
}

void connections_reap(struct gateway *gateway)
{
    struct connection_table *table = &gateway->connections;

    for (uint32_t i = 0; i < table->closed_count; i++) {
        entrance_free(table->closed[i]->entrance);
        free(table->closed[i]);
    }
    table->closed_count = 0;
}

void connection_set_timer(struct gateway *gateway, struct connection *connection, uint64_t due_ms)
{
    timer_wheel_schedule(&gateway->timers, &connection->timer, due_ms);
}

void connections_on_timer(struct wheel_timer *timer, void *arg)
{
    struct gateway *gateway = arg;
    struct connection *connection = (struct connection *)((char *)timer - offsetof(struct connection, timer));

    if (connection->state == CONNECTION_OPEN)
        connection->protocol->timeout(gateway, connection);
    else
        connection_drop(gateway, connection, CLOSE_NONE);
}

void connections_on_event(void *arg, uint64_t data, uint32_t events)
{
    struct gateway *gateway = arg;
    struct connection *connection;

    gateway_advance_timers(gateway);
    connection = slot_table_find(&gateway->connections.slots, data);
    if (!connection)
        return;
    if (events & EPOLLOUT) {
        connection->blocked = connection->corked;
        connection_set_interest(gateway, connection);
        if (connection->state != CONNECTION_CLOSED)
            mark_dirty(gateway, connection);
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || connection->state == CONNECTION_CLOSED)
        return;
    if (!connection->paused && !connection->stopped)
        connection_read(gateway, connection);
    else if (events &
             (EPOLLHUP | EPOLLERR)) /* told unasked; what it sent before would overtake what is held */
        connection_drop(gateway, connection, CLOSE_PEER_GONE);
}

/* -- writing --------------------------------------------------------------------------------- */

static size_t output_limit(const struct gateway *gateway, const struct connection *connection)
{
    size_t limit = connection->protocol->output_limit;

    if (limit < gateway->settings->outbound_queue)
        limit = gateway->settings->outbound_queue;
    return limit + replay_allowance(connection);
}

char *connection_reserve(struct gateway *gateway, struct connection *connection, size_t length)
{
    if (connection->state != CONNECTION_OPEN || connection->doomed)
        return NULL;
    fanout_catch_up(gateway, connection);
    if (connection->blocked && connection->output.bytes + length > output_limit(gateway, connection)) {
        doom(gateway, connection, CLOSE_SLOW_READER);
        return NULL;
    }
    mark_dirty(gateway, connection);
    return output_reserve(&connection->output, length);
}

void connection_send(struct gateway *gateway, struct connection *connection, struct bytes bytes)
{
    char *at = connection_reserve(gateway, connection, bytes.length);

    if (at)
        memcpy(at, bytes.data, bytes.length);
}

void connection_send_chunk(struct gateway *gateway, struct connection *connection, struct chunk *chunk,
                           uint32_t offset, uint32_t length)
{
    if (connection->state != CONNECTION_OPEN)
        return;
    fanout_catch_up(gateway, connection);
    connection_append(gateway, connection, chunk, offset, length);
}

/* The kernel takes no more: wait for it, unless too much waits already. */
static void block(struct gateway *gateway, struct connection *connection)
{
    uint32_t events = interest(connection, true);

    connection->blocked = true;
    if (connection->output.bytes > output_limit(gateway, connection))
        doom(gateway, connection, CLOSE_SLOW_READER);
    else if (poller_modify(gateway->poller, connection->fd, events, connection->number) < 0)
        doom(gateway, connection, CLOSE_TRANSPORT_ERROR);
}

/* As output_write(). */
static int transmit(struct gateway *gateway, struct connection *connection, struct output *output)
{
    uint64_t *written = &gateway->counters.bytes_out, *calls = &gateway->counters.writes;

    return connection->secured ? tls_write(connection->entrance->tls, output, connection->fd, written, calls)
                               : output_write(output, connection->fd, written, calls);
}

void connection_push(struct gateway *gateway, struct connection *connection)
{
    if (connection->state != CONNECTION_CLOSED)
        mark_dirty(gateway, connection);
}

void connection_append(struct gateway *gateway, struct connection *connection, struct chunk *chunk,
                       uint32_t offset, uint32_t length)
{
    if (connection->state != CONNECTION_OPEN || connection->doomed)
        return;
    output_append(&connection->output, chunk, offset, length);
    if (!connection->blocked)
        mark_dirty(gateway, connection);
    else if (connection->output.bytes > output_limit(gateway, connection))
        doom(gateway, connection, CLOSE_SLOW_READER);
}

void connection_deliver(struct gateway *gateway, struct connection *connection, struct chunk *chunk,
                        uint32_t offset, uint32_t length)
{
    if (connection->output.first || connection->room_count > 1 || connection->state != CONNECTION_OPEN ||
        connection->fd < 0 || connection->corked || connection->secured) {
        connection_append(gateway, connection, chunk, offset, length);
        return;
    }

    ssize_t n = send(connection->fd, chunk->data + offset, length, MSG_NOSIGNAL);

    gateway->counters.writes++;
    if (n == (ssize_t)length) {
        gateway->counters.bytes_out += length;
        return;
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        doom(gateway, connection, CLOSE_PEER_GONE);
        return;
    }
    if (n < 0)
        n = 0;
    gateway->counters.bytes_out += (uint64_t)n;
    output_append(&connection->output, chunk, offset + (uint32_t)n, length - (uint32_t)n);
    block(gateway, connection);
}

void connection_send_output(struct gateway *gateway, struct connection *connection, struct output *output)
{
    int result;

    if (connection->state != CONNECTION_OPEN || connection->doomed) {
        output_done(output);
        return;
    }
    if (connection->output.first || connection->blocked) {
        output_prepend(output, &connection->output);
        connection->output = *output;
        *output = (struct output){0};
        if (!connection->blocked)
            mark_dirty(gateway, connection);
        else if (connection->output.bytes > output_limit(gateway, connection))
            doom(gateway, connection, CLOSE_SLOW_READER);
        return;
    }
    result = transmit(gateway, connection, output);
    connection->output = *output;
    *output = (struct output){0};
    if (result == ERROR_AGAIN)
        block(gateway, connection);
    else if (result < 0)
        doom(gateway, connection, CLOSE_PEER_GONE);
}

void connection_unblock(struct gateway *gateway, struct connection *connection)
{
    connection->blocked = false;
    if (connection->output.first || connection->state == CONNECTION_FLUSHING)
        mark_dirty(gateway, connection);
}

void connection_block(struct connection *connection)
{
    connection->blocked = true;
}

void connection_expect_request(struct connection *connection)
{
    int off = 0;

    /* Holds until the kernel had to acknowledge by itself; a refusal costs a segment. */
    setsockopt(connection->fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off);
}

void connection_cork(struct connection *connection)
{
    connection->corked = connection->blocked = true;
}

void connection_uncork(struct gateway *gateway, struct connection *connection, struct output *front)
{
    output_prepend(&connection->output, front);
    connection->corked = connection->blocked = false;
    if (connection->output.first)
        mark_dirty(gateway, connection);
}

/* What has not gone out, as far as it shows whether the peer takes anything. */
static size_t waiting(const struct connection *connection)
{
    return connection->output.bytes + (connection->secured ? tls_waiting(connection->entrance->tls) : 0);
}

static void write_output(struct gateway *gateway, struct connection *connection)
{
    size_t before = waiting(connection);
    int result;

    if (connection->fd < 0) {
        connection->protocol->flush(gateway, connection);
        return;
    }
    result = transmit(gateway, connection, &connection->output);
    if (result == 0 && connection->secured && connection->state == CONNECTION_FLUSHING)
        result = tls_finish(connection->entrance->tls, connection->fd, &gateway->counters.bytes_out,
                            &gateway->counters.writes);
    if (result == ERROR_AGAIN) {
        if (connection->state == CONNECTION_FLUSHING && waiting(connection) < before)
            connection_set_timer(gateway, connection, loop_now(gateway->loop) + LINGER_MS);
        block(gateway, connection);
    } else if (result < 0)
        connection_drop(gateway, connection, CLOSE_PEER_GONE);
    else if (connection->state == CONNECTION_FLUSHING) {
        set_state(connection, CONNECTION_LINGERING);
        if (shutdown(connection->fd, SHUT_WR) < 0)
            connection_drop(gateway, connection, CLOSE_NONE);
    }
}

void connections_flush(struct gateway *gateway)
{
    struct connection_table *table = &gateway->connections;

    /* Blocking in here may doom a connection, which puts it behind the others once more. */
    for (uint32_t i = 0; i < table->dirty_count; i++) {
        struct connection *connection = table->dirty[i];

        connection->dirty = false;
        if (connection->doomed)
            connection_drop(gateway, connection, connection->doomed);
        if (connection->state != CONNECTION_CLOSED && !connection->blocked)
            write_output(gateway, connection);
    }
    table->dirty_count = 0;
}

void connections_each(struct gateway *gateway, void (*callback)(struct gateway *, struct connection *))
{
    struct connection *connection;
    uint32_t cursor = 0;

    while ((connection = slot_table_next(&gateway->connections.slots, &cursor)))
        if (connection->state == CONNECTION_OPEN)
            callback(gateway, connection);
}

/* -- the peer -------------------------------------------------------------------------------- */

struct ip_address connection_address(const struct connection *connection)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;

    if (connection->entrance && ip_address_is_known(&connection->entrance->address))
        return connection->entrance->address;
    if (getpeername(connection->fd, (struct sockaddr *)&address, &length) < 0)
        return (struct ip_address){0};
    return ip_address_of((struct sockaddr *)&address);
}
