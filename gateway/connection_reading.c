/*
 * Reading from connections; see connection_reading.h.  The poller's events and the end of the turn come in
 * here, protocols stop and hold.  The one surprising rule: whoever lets a connection go on may stand in the
 * middle of its input, so what is held becomes input at the end of a turn, or before the next read, and
 * never at once.
 */
#include "gateway/connection_reading.h"

#include "common/memory.h"
#include "gateway/entrance.h"
#include "gateway/gateway.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { READ_BUFFER = 64 << 10 };

void connection_reading_init(struct connection_reading *reading)
{
    *reading = (struct connection_reading){.buffer = memory_new(READ_BUFFER)};
}

void connection_reading_done(struct connection_reading *reading)
{
    free(reading->paused);
    free(reading->awake);
    free(reading->buffer);
    *reading = (struct connection_reading){0};
}

/* Gives the protocol what was held. */
static void take_held(struct gateway *gateway, struct connection *connection)
{
    struct buffer held = connection_unhold(connection);

    connection->waking = false;
    if (held.length && connection->state == CONNECTION_OPEN)
        connection->protocol->input(gateway, connection, held.data, held.length);
    buffer_done(&held);
}

void connection_receive(struct gateway *gateway, struct connection *connection, char *data, size_t length)
{
    if (connection->secured)
        entrance_receive(gateway, connection, data, length);
    else
        connection->protocol->input(gateway, connection, data, length);
}

void connection_read(struct gateway *gateway, struct connection *connection)
{
    char *buffer = gateway->reading.buffer;
    ssize_t n;

    if (connection->waking) { /* it came first */
        take_held(gateway, connection);
        if (connection->state == CONNECTION_CLOSED || connection->paused || connection->stopped)
            return;
    }
    n = recv(connection->fd, buffer, READ_BUFFER, 0);

    if (n > 0) {
        gateway->counters.bytes_in += (uint64_t)n;
        if (connection->state == CONNECTION_OPEN)
            connection_receive(gateway, connection, buffer, (size_t)n);
    } else if (n == 0)
        connection_drop(gateway, connection, CLOSE_PEER_GONE);
    else if (errno != EAGAIN && errno != EINTR)
        connection_drop(gateway, connection, errno == ECONNRESET ? CLOSE_PEER_GONE : CLOSE_TRANSPORT_ERROR);
}

/* -- stopping and going on ------------------------------------------------------------------- */

void connection_pause(struct gateway *gateway, struct connection *connection)
{
    struct connection_reading *reading = &gateway->reading;

    if (connection->paused || connection->state != CONNECTION_OPEN)
        return;
    connection->paused = true;
    connection->paused_slot = reading->paused_count;
    gateway->counters.reading_paused++;
    MEMORY_PUSH(reading->paused, reading->paused_count, reading->paused_capacity, connection);
    connection_set_interest(gateway, connection);
}

void connection_unpause(struct gateway *gateway, struct connection *connection)
{
    gateway->reading.paused[connection->paused_slot] = NULL;
    connection->paused = false;
}

void connection_stop_reading(struct gateway *gateway, struct connection *connection)
{
    if (connection->stopped || connection->state != CONNECTION_OPEN)
        return;
    connection->stopped = true;
    connection_set_interest(gateway, connection);
}

void connection_start_reading(struct gateway *gateway, struct connection *connection)
{
    if (!connection->stopped)
        return;
    connection->stopped = false;
    connection_set_interest(gateway, connection);
    connection_wake(gateway, connection);
}

void connection_wake(struct gateway *gateway, struct connection *connection)
{
    struct connection_reading *reading = &gateway->reading;

    if (!connection->held || connection->waking || connection->state != CONNECTION_OPEN)
        return;
    connection->waking = true;
    MEMORY_PUSH(reading->awake, reading->awake_count, reading->awake_capacity, connection->number);
    loop_wake_now(gateway->loop);
}

void connections_wake(struct gateway *gateway)
{
    struct connection_reading *reading = &gateway->reading;
    uint32_t count = reading->awake_count;

    if (count == 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct connection *connection = connections_find(gateway, reading->awake[i]);

        if (connection && connection->waking && !connection->paused && !connection->stopped)
            take_held(gateway, connection);
        else if (connection) /* reading goes on some time, and begins with what is held */
            connection->waking = false;
    }
    reading->awake_count -= count;
    memmove(reading->awake, reading->awake + count, reading->awake_count * sizeof *reading->awake);
}

void connection_hold(struct connection *connection, const char *data, size_t length)
{
    assert(!connection->held);
    connection->held = memory_zero(1, sizeof *connection->held);
    buffer_append(connection->held, data, length);
}

struct buffer connection_unhold(struct connection *connection)
{
    struct buffer held = {0};

    if (connection->held) {
        held = *connection->held;
        free(connection->held);
        connection->held = NULL;
    }
    return held;
}

/* Half of what it may ask for is answered: it need not stop again at once. */
static bool may_resume(const struct gateway *gateway, const struct connection *connection)
{
    for (const struct socket *socket = connection->sockets; socket; socket = socket->next)
        if (socket->unanswered > gateway->settings->max_unanswered / 2)
            return false;
    return quota_may_resume(gateway, connection);
}

static void resume(struct gateway *gateway, struct connection *connection)
{
    connection_unpause(gateway, connection);
    connection_set_interest(gateway, connection);
    if (!connection->stopped)
        take_held(gateway, connection);
}

void connections_resume(struct gateway *gateway)
{
    struct connection_reading *reading = &gateway->reading;
    uint32_t kept = 0;

    /* What was held may pause its connection again, which puts it behind the others. */
    for (uint32_t i = 0, count = reading->paused_count; i < count; i++)
        if (reading->paused[i] && may_resume(gateway, reading->paused[i]))
            resume(gateway, reading->paused[i]);
    for (uint32_t i = 0; i < reading->paused_count; i++)
        if (reading->paused[i]) {
            reading->paused[i]->paused_slot = kept;
            reading->paused[kept++] = reading->paused[i];
        }
    reading->paused_count = kept;
}
