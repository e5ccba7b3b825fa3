/*
 * What a broadcast costs the gateway in each encoding: 1,000 members in one room for each, a message of 2 KB
 * to each room in turns, until every member has what its queue held.  CPU time of this thread, without that
 * of the reading peers.  The exit code is 1 when DEFLATE costs twice what WEBSOCKET does, or more, or BARE
 * one and a half times as much, or an encoding of the msgpack parser 1.2 times what the same costs without
 * it.
 */
#include "tests/unit/gateway/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MEMBERS = 1000, ROUNDS = 400, MESSAGE = 2 << 10, READ_SIZE = 64 << 10 };

static const struct bytes names[ENCODINGS] = {
    BYTES("websocket"),       BYTES("deflate"),         BYTES("polling"), BYTES("msgpack"),
    BYTES("msgpack deflate"), BYTES("msgpack polling"), BYTES("bare"),    BYTES("bare deflate")};
static struct peer peers[ENCODINGS][MEMBERS];

static double cpu_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

/* An event with words of all lengths, a different text for each round. */
static void write_message(struct buffer *out, unsigned round)
{
    static const char *const words[] = {"hello", "did",  "you",   "see",    "that", "goal", "the", "keeper",
                                        "was",   "late", "again", "really", "what", "a",    "game"};
    unsigned seed = round;

    buffer_clear(out);
    buffer_append_literal(out, "[\"msg\",{\"room\":\"lobby\",\"text\":\"");
    while (out->length < MESSAGE - 3) {
        seed = seed * 1664525 + 1013904223;
        buffer_append_text(out, words[(seed >> 16) % (sizeof words / sizeof *words)]);
        buffer_append_u64(out, seed >> 28);
        buffer_append_char(out, ' ');
    }
    buffer_append_literal(out, "\"}]");
}

static size_t read_all(const struct peer *peer)
{
    static char space[READ_SIZE];
    ssize_t length = read(peer->fd, space, sizeof space);

    return length > 0 ? (size_t)length : 0;
}

/* One broadcast; returns its cost and adds what a member read. */
static double broadcast(struct gateway *gateway, unsigned encoding, struct bytes payload, size_t *bytes)
{
    struct room *room = room_find(namespace_find(&gateway->namespaces, BYTES("/")), names[encoding]);
    struct wire_deliver record = {.pos = 1, .room = names[encoding], .payload = payload};
    double before = cpu_us(), cost;

    deliver_to_room(gateway, room, &record);
    fixture_flush(gateway);
    cost = cpu_us() - before;
    *bytes += read_all(&peers[encoding][0]);
    for (unsigned i = 1; i < MEMBERS; i++)
        if (read_all(&peers[encoding][i]) == 0)
            exit(2);
    return cost;
}

int main(void)
{
    struct rlimit files;
    struct gateway *gateway;
    struct buffer message = {0};
    double cost[ENCODINGS] = {0};
    size_t bytes[ENCODINGS] = {0};

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    gateway = fixture_start();
    gateway->encoder = encoder_new(1024);
    for (unsigned encoding = 0; encoding < ENCODINGS; encoding++)
        for (unsigned i = 0; i < MEMBERS; i++) {
            peers[encoding][i] = fixture_peer(gateway);
            peers[encoding][i].connection->encoding = (uint8_t)encoding;
            room_add(gateway, peers[encoding][i].socket, names[encoding], 0, false);
        }
    for (unsigned round = 0; round < ROUNDS; round++) {
        write_message(&message, round);
        for (unsigned encoding = 0; encoding < ENCODINGS; encoding++)
            cost[encoding] += broadcast(gateway, encoding, buffer_bytes(&message), &bytes[encoding]);
    }
    for (unsigned encoding = 0; encoding < ENCODINGS; encoding++)
        printf("%-15.*s %7.1f us a broadcast, %5.3f us a delivery, %4zu bytes, x%.2f\n",
               BYTES_PRINTF(names[encoding]), cost[encoding] / ROUNDS, cost[encoding] / ROUNDS / MEMBERS,
               bytes[encoding] / ROUNDS, cost[encoding] / cost[ENCODING_WEBSOCKET]);
    for (unsigned encoding = 0; encoding < ENCODINGS; encoding++)
        for (unsigned i = 0; i < MEMBERS; i++)
            fixture_peer_done(&peers[encoding][i]);
    buffer_done(&message);
    fixture_stop(gateway);
    if (cost[ENCODING_DEFLATE] >= 2 * cost[ENCODING_WEBSOCKET] ||
        cost[ENCODING_BARE] >= 1.5 * cost[ENCODING_WEBSOCKET])
        return 1;
    for (unsigned encoding = ENCODING_WEBSOCKET; encoding <= ENCODING_POLLING; encoding++)
        if (cost[encoding_for_parser(encoding, true)] >= 1.2 * cost[encoding])
            return 1;
    return 0;
}
