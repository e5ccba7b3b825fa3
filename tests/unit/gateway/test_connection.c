/* Connections: closing from inside every callback, what a slow reader may cost, and how long its end takes.
 */
#include "gateway/engine.h"
#include "tests/unit/gateway/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* -- a protocol that closes its connection wherever it is told to ------------------------------ */

enum callback { ON_INPUT, ON_TIMEOUT, ON_ENDING, CALLBACKS };

static struct {
    enum callback where;
    bool drop; /* else end */
    unsigned calls[CALLBACKS];
    enum close_reason reason;
} probe;

static void close_here(struct gateway *gateway, struct connection *connection, enum callback where)
{
    probe.calls[where]++;
    if (probe.where != where)
        return;
    if (probe.drop)
        connection_drop(gateway, connection, CLOSE_PARSE_ERROR);
    else
        connection_end(gateway, connection, CLOSE_PARSE_ERROR);
    connection_send(gateway, connection, BYTES("too late"));
    connection_end(gateway, connection, CLOSE_NONE); /* a second time changes nothing */
}

static void on_input(struct gateway *gateway, struct connection *connection, char *data, size_t length)
{
    assert_true(length > 0);
    data[0] = '\0'; /* may be changed in place */
    close_here(gateway, connection, ON_INPUT);
}

static void on_timeout(struct gateway *gateway, struct connection *connection)
{
    close_here(gateway, connection, ON_TIMEOUT);
}

static void on_ending(struct gateway *gateway, struct connection *connection, enum close_reason reason)
{
    probe.reason = reason;
    close_here(gateway, connection, ON_ENDING);
}

static const struct connection_protocol probe_protocol = {
    .input = on_input, .timeout = on_timeout, .ending = on_ending};

static struct connection *connect_probe(struct gateway *gateway, int *peer)
{
    struct connection *connection;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    connection = connection_new(gateway, ends[1], &probe_protocol);
    assert_non_null(connection);
    *peer = ends[0];
    return connection;
}

static uint64_t poller_data(const struct connection *connection)
{
    return connection->number;
}

static void closing_from_inside_every_callback_is_fine(void **state)
{
    (void)state;
    for (int drop = 0; drop < 2; drop++) {
        for (enum callback where = 0; where < CALLBACKS; where++) {
            struct gateway *gateway = fixture_start();
            struct connection *connection;
            uint64_t data;
            char bytes[16];
            int peer;

            memset(&probe, 0, sizeof probe);
            probe.where = where;
            probe.drop = drop;
            connection = connect_probe(gateway, &peer);
            data = poller_data(connection);
            if (where == ON_INPUT) {
                assert_int_equal(write(peer, "x", 1), 1);
                connections_on_event(gateway, data, EPOLLIN);
            } else if (where == ON_TIMEOUT) {
                connection_set_timer(gateway, connection, loop_now(gateway->loop) + 1);
                timer_wheel_advance(&gateway->timers, loop_now(gateway->loop) + 1000, connections_on_timer,
                                    gateway);
            } else
                connection_end(gateway, connection, CLOSE_PING_TIMEOUT);
            assert_int_equal(probe.calls[where], 1);
            assert_int_equal(probe.calls[ON_ENDING], 1);
            assert_int_equal(probe.reason, where == ON_ENDING ? CLOSE_PING_TIMEOUT : CLOSE_PARSE_ERROR);
            connections_on_event(gateway, data, EPOLLIN | EPOLLOUT | EPOLLHUP); /* late news of it */
            fixture_flush(gateway);
            assert_int_equal(read(peer, bytes, sizeof bytes), 0); /* nothing was sent, and it has ended */
            assert_int_equal(gateway->counters.closed[probe.reason], 1);
            assert_int_equal(probe.calls[ON_ENDING], 1);
            close(peer);
            fixture_stop(gateway);
        }
    }
}

static void a_slot_used_again_is_not_the_old_connection(void **state)
{
    struct gateway *gateway = fixture_start();
    struct connection *first, *second;
    uint64_t old;
    int peers[2];

    (void)state;
    memset(&probe, 0, sizeof probe);
    probe.where = CALLBACKS;
    first = connect_probe(gateway, &peers[0]);
    old = poller_data(first);
    connection_drop(gateway, first, CLOSE_PEER_GONE);
    connections_reap(gateway);
    second = connect_probe(gateway, &peers[1]);
    assert_int_equal((uint32_t)poller_data(second), (uint32_t)old);
    assert_int_equal(write(peers[1], "x", 1), 1);
    connections_on_event(gateway, old, EPOLLIN);
    assert_int_equal(probe.calls[ON_INPUT], 0);
    connections_on_event(gateway, poller_data(second), EPOLLIN);
    assert_int_equal(probe.calls[ON_INPUT], 1);
    close(peers[0]), close(peers[1]);
    fixture_stop(gateway);
}

/* -- readers that are slow --------------------------------------------------------------------- */

static char filler[256 << 10];

/* Sends more than the kernel takes, with three quarters of the limit of 64 KB waiting. */
static void block(struct gateway *gateway, struct connection *connection)
{
    int size = 8 << 10;

    assert_int_equal(setsockopt(connection->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    while (!connection->blocked) {
        connection_send(gateway, connection, bytes_make(filler, 8 << 10));
        connections_flush(gateway);
    }
    while (connection->output.bytes < 48 << 10)
        connection_send(gateway, connection, bytes_make(filler, 1 << 10));
    assert_int_equal(connection->state, CONNECTION_OPEN);
}

static size_t read_everything(int peer)
{
    size_t total = 0;
    ssize_t n;

    while ((n = read(peer, filler, sizeof filler)) > 0)
        total += (size_t)n;
    return total;
}

/* A client that never reads, and asks and asks: what is answered counts against its queue too. */
static void answers_to_one_that_does_not_read_have_a_limit(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer peer = fixture_peer(gateway);
    const char ping[] = "\x89\x85\0\0\0\0hello";
    size_t rounds = 0;

    (void)state;
    block(gateway, peer.connection);
    while (peer.connection->state == CONNECTION_OPEN) {
        char copy[sizeof ping];

        memcpy(copy, ping, sizeof ping);
        peer.connection->protocol->input(gateway, peer.connection, copy, sizeof ping - 1);
        socket_acknowledge(gateway, peer.socket, 1, BYTES("{\"ok\":true}"), (struct bytes){0});
        assert_true(peer.connection->output.bytes <= 64 << 10);
        assert_true(++rounds < 10000);
        connections_flush(gateway);
    }
    assert_int_equal(gateway->counters.closed[CLOSE_SLOW_READER], 1);
    connections_reap(gateway);
    fixture_peer_done(&peer);
    fixture_stop(gateway);
}

static void one_that_reads_again_gets_everything_in_order(void **state)
{
    struct gateway *gateway = fixture_start();
    struct connection *connection;
    uint64_t sent;
    size_t got = 0;
    int peer;

    (void)state;
    memset(&probe, 0, sizeof probe);
    probe.where = CALLBACKS;
    connection = connect_probe(gateway, &peer);
    block(gateway, connection);
    connection_send(gateway, connection, BYTES("the end"));
    sent = gateway->counters.bytes_out + connection->output.bytes;
    while (got < sent) {
        got += read_everything(peer);
        connections_on_event(gateway, poller_data(connection), EPOLLOUT);
        connections_flush(gateway);
    }
    assert_int_equal(got, sent);
    assert_false(connection->blocked);
    assert_int_equal(connection->output.bytes, 0);
    close(peer);
    fixture_stop(gateway);
}

/* What is left when a connection ends may take its time, as long as the peer takes some of it. */
static void an_end_waits_while_the_peer_reads(void **state)
{
    struct gateway *gateway = fixture_start();
    struct connection *connection;
    uint64_t soon = loop_now(gateway->loop) + 1;
    int peer;

    (void)state;
    memset(&probe, 0, sizeof probe);
    probe.where = CALLBACKS;
    connection = connect_probe(gateway, &peer);
    block(gateway, connection);
    connection_end(gateway, connection, CLOSE_HTTP_DONE);
    assert_int_equal(connection->state, CONNECTION_FLUSHING);
    assert_true(wheel_timer_scheduled(&connection->timer));

    connection_set_timer(gateway, connection, soon);
    connections_on_event(gateway, poller_data(connection), EPOLLOUT); /* though nothing was taken */
    connections_flush(gateway);
    assert_int_equal(connection->timer.due, soon);

    assert_true(read_everything(peer) > 0);
    connections_on_event(gateway, poller_data(connection), EPOLLOUT);
    connections_flush(gateway);
    assert_int_equal(connection->state, CONNECTION_FLUSHING);
    assert_true(connection->timer.due > soon);

    while (connection->state == CONNECTION_FLUSHING) {
        assert_true(read_everything(peer) > 0);
        connections_on_event(gateway, poller_data(connection), EPOLLOUT);
        connections_flush(gateway);
    }
    assert_int_equal(connection->state, CONNECTION_LINGERING);
    timer_wheel_advance(&gateway->timers, loop_now(gateway->loop) + 60000, connections_on_timer, gateway);
    assert_int_equal(connection->state, CONNECTION_CLOSED);
    close(peer);
    fixture_stop(gateway);
}

static void an_end_does_not_wait_for_one_that_does_not_read(void **state)
{
    struct gateway *gateway = fixture_start();
    struct connection *connection;
    int peer;

    (void)state;
    memset(&probe, 0, sizeof probe);
    probe.where = CALLBACKS;
    connection = connect_probe(gateway, &peer);
    block(gateway, connection);
    connection_end(gateway, connection, CLOSE_HTTP_DONE);
    timer_wheel_advance(&gateway->timers, loop_now(gateway->loop) + 60000, connections_on_timer, gateway);
    assert_int_equal(connection->state, CONNECTION_CLOSED);
    close(peer);
    fixture_stop(gateway);
}

/* -- the heartbeat ----------------------------------------------------------------------------- */

static void receive(struct gateway *gateway, struct peer *peer, const char *text)
{
    char frame[64] = "\x81\x80";
    size_t length = strlen(text);

    frame[1] = (char)(0x80 | length);
    memset(frame + 2, 0, 4);
    memcpy(frame + 6, text, length);
    peer->connection->protocol->input(gateway, peer->connection, frame, 6 + length);
}

/* The timer is set to fire at once, as if its time had come. */
static void let_the_heartbeat_come(struct gateway *gateway, struct peer *peer)
{
    peer->connection->heartbeat_due = 0;
    peer->connection->protocol->timeout(gateway, peer->connection);
    fixture_flush(gateway);
}

static void another_packet_moves_the_deadline_of_a_pong_once(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer peer = fixture_peer(gateway);

    (void)state;
    let_the_heartbeat_come(gateway, &peer);
    assert_string_equal(fixture_read(&peer), "2");
    assert_true(peer.connection->awaiting_pong);

    peer.connection->heartbeat_due = 0;
    receive(gateway, &peer, "6");
    assert_int_equal(peer.connection->heartbeat_due,
                     loop_now(gateway->loop) + gateway->settings->ping_timeout);
    peer.connection->heartbeat_due = 0;
    receive(gateway, &peer, "6");
    assert_int_equal(peer.connection->heartbeat_due, 0);

    receive(gateway, &peer, "3"); /* and it may be moved again after the next ping */
    assert_false(peer.connection->awaiting_pong);
    receive(gateway, &peer, "6");
    assert_int_equal(peer.connection->heartbeat_due,
                     loop_now(gateway->loop) + gateway->settings->ping_interval);
    let_the_heartbeat_come(gateway, &peer);
    peer.connection->heartbeat_due = 0;
    receive(gateway, &peer, "6");
    assert_int_not_equal(peer.connection->heartbeat_due, 0);

    let_the_heartbeat_come(gateway, &peer);
    assert_int_equal(gateway->counters.closed[CLOSE_PING_TIMEOUT], 1);
    fixture_peer_done(&peer);
    fixture_stop(gateway);
}

static void one_that_is_not_read_is_not_blamed_for_its_pong(void **state)
{
    struct gateway *gateway = fixture_start();
    struct peer peer = fixture_peer(gateway);

    (void)state;
    let_the_heartbeat_come(gateway, &peer);
    connection_pause(gateway, peer.connection);
    for (int i = 0; i < 3; i++) {
        let_the_heartbeat_come(gateway, &peer);
        assert_int_equal(peer.connection->state, CONNECTION_OPEN);
        assert_int_equal(peer.connection->heartbeat_due,
                         loop_now(gateway->loop) + gateway->settings->ping_timeout);
    }
    connections_resume(gateway);
    let_the_heartbeat_come(gateway, &peer);
    assert_int_equal(gateway->counters.closed[CLOSE_PING_TIMEOUT], 1);
    fixture_peer_done(&peer);
    fixture_stop(gateway);
}

/* -- output that was collected elsewhere ------------------------------------------------------- */

static struct output collected(const char *first, const char *second)
{
    struct output output = {0}, front = {0};

    memcpy(output_reserve(&output, strlen(second)), second, strlen(second));
    memcpy(output_reserve(&front, strlen(first)), first, strlen(first));
    output_prepend(&output, &front);
    return output;
}

static void collected_output_goes_at_once_unless_something_waits(void **state)
{
    struct gateway *gateway = fixture_start();
    struct connection *connection;
    struct output output = collected("head ", "body ");
    char bytes[64] = "";
    int peer;

    (void)state;
    memset(&probe, 0, sizeof probe);
    probe.where = CALLBACKS;
    connection = connect_probe(gateway, &peer);
    connection_send_output(gateway, connection, &output);
    assert_null(output.first);
    assert_int_equal(read(peer, bytes, sizeof bytes), 10);
    assert_memory_equal(bytes, "head body ", 10);
    assert_int_equal(gateway->counters.writes, 1);

    connection_send(gateway, connection, BYTES("before "));
    output = collected("head ", "body");
    connection_send_output(gateway, connection, &output);
    assert_null(output.first);
    assert_int_equal(read(peer, bytes, sizeof bytes), -1);
    fixture_flush(gateway);
    assert_int_equal(read(peer, bytes, sizeof bytes), 16);
    assert_memory_equal(bytes, "before head body", 16);

    connection_drop(gateway, connection, CLOSE_PEER_GONE);
    output = collected("too ", "late");
    connection_send_output(gateway, connection, &output);
    assert_null(output.first);
    close(peer);
    fixture_stop(gateway);
}

static void collected_output_of_a_slow_reader_has_a_limit(void **state)
{
    static const char block[] = "0123456789abcdef";
    struct gateway *gateway = fixture_start();
    struct connection *connection;
    unsigned sent = 0, got = 0;
    char bytes[4096];
    uint64_t number;
    ssize_t n;
    int peer;

    (void)state;
    memset(&probe, 0, sizeof probe);
    probe.where = CALLBACKS;
    connection = connect_probe(gateway, &peer);
    number = connection->number;
    while (!connection->blocked) { /* the kernel takes no more */
        struct output output = {0};
        char *at = output_reserve(&output, sizeof bytes);

        for (size_t i = 0; i < sizeof bytes; i++)
            at[i] = block[(sent + i) % 16];
        connection_send_output(gateway, connection, &output);
        sent += sizeof bytes;
    }
    while ((n = read(peer, bytes, sizeof bytes)) > 0 || connection->output.first) {
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(bytes[i], block[(got + i) % 16]);
        got += n > 0 ? (unsigned)n : 0;
        connections_on_event(gateway, number, EPOLLOUT);
        fixture_flush(gateway);
    }
    assert_int_equal(got, sent); /* in order, and nothing of what was cut in the middle twice */

    for (unsigned i = 0; i < 1000 && connections_find(gateway, number); i++) {
        struct output output = {0};

        memset(output_reserve(&output, sizeof bytes), 'x', sizeof bytes);
        connection_send_output(gateway, connection, &output);
        fixture_flush(gateway);
    }
    assert_null(connections_find(gateway, number));
    assert_int_equal(gateway->counters.closed[CLOSE_SLOW_READER], 1);
    close(peer);
    fixture_stop(gateway);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closing_from_inside_every_callback_is_fine),
        cmocka_unit_test(a_slot_used_again_is_not_the_old_connection),
        cmocka_unit_test(answers_to_one_that_does_not_read_have_a_limit),
        cmocka_unit_test(one_that_reads_again_gets_everything_in_order),
        cmocka_unit_test(collected_output_goes_at_once_unless_something_waits),
        cmocka_unit_test(collected_output_of_a_slow_reader_has_a_limit),
        cmocka_unit_test(an_end_waits_while_the_peer_reads),
        cmocka_unit_test(an_end_does_not_wait_for_one_that_does_not_read),
        cmocka_unit_test(another_packet_moves_the_deadline_of_a_pong_once),
        cmocka_unit_test(one_that_is_not_read_is_not_blamed_for_its_pong),
    };

    return cmocka_run_group_tests_name("gateway connection", tests, NULL, NULL);
}
