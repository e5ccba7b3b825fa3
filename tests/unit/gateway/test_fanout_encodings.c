/* The fan-out to rooms whose members read different encodings, and to members that move from one to another.
 */
#include "tests/unit/gateway/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#define ROOM  BYTES("lobby")
#define OTHER BYTES("other")

enum { THRESHOLD = 24, TEXT_ENCODINGS = ENCODING_POLLING + 1 }; /* those of Socket.IO as text */

/* Payloads: those over the threshold are compressed for DEFLATE. */
#define LONG_1 "[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",1]"
#define LONG_2 "[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",2]"

static struct gateway *start(void)
{
    struct gateway *gateway = fixture_start();

    gateway->encoder = encoder_new(THRESHOLD);
    return gateway;
}

static struct peer peer_of(struct gateway *gateway, enum encoding encoding)
{
    struct peer peer = fixture_peer(gateway);

    peer.connection->encoding = (uint8_t)encoding;
    return peer;
}

static void done(struct gateway *gateway, struct peer *peers, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        fixture_peer_done(&peers[i]);
    fixture_stop(gateway);
}

static struct room *lobby(struct gateway *gateway)
{
    return room_find(namespace_find(&gateway->namespaces, BYTES("/")), ROOM);
}

static void join(struct gateway *gateway, struct peer *peer)
{
    room_add(gateway, peer->socket, ROOM, 0, false);
}

static void leave(struct gateway *gateway, struct peer *peer)
{
    room_remove(gateway, peer->socket, socket_membership(peer->socket, ROOM));
}

static void deliver(struct gateway *gateway, const char *payload)
{
    fixture_deliver(gateway, ROOM, payload, 0, 0, (struct bytes){0});
}

/* Something for one connection alone, in its encoding. */
static void send_own(struct gateway *gateway, struct peer *peer, const char *text)
{
    struct bytes part = bytes_from_text(text);
    struct encoding_message message = {&part, 1, {0}, 0, 0};
    size_t length = encoding_measure(gateway->encoder, peer->connection->encoding, &message);
    char *at = connection_reserve(gateway, peer->connection, length);

    assert_non_null(at);
    encoding_write(gateway->encoder, peer->connection->encoding, &message, at);
}

/* -- what came to a client ------------------------------------------------------------------- */

static void append_inflated(struct buffer *out, struct bytes compressed)
{
    struct buffer whole = {0};
    z_stream stream = {0};

    buffer_append_bytes(&whole, compressed);
    buffer_append(&whole, "\0\0\xff\xff", 4);
    assert_int_equal(inflateInit2(&stream, -15), Z_OK);
    stream.next_in = (unsigned char *)whole.data;
    stream.avail_in = (unsigned)whole.length;
    stream.next_out = (unsigned char *)buffer_reserve(out, 64 << 10);
    stream.avail_out = 64 << 10;
    assert_int_equal(inflate(&stream, Z_SYNC_FLUSH), Z_OK);
    assert_int_equal(stream.avail_in, 0);
    assert_true(stream.avail_out > 0);
    buffer_extend(out, (64 << 10) - stream.avail_out);
    inflateEnd(&stream);
    buffer_done(&whole);
}

/* Frames, joined by '|': binary ones in <>, compressed ones behind a '*'. */
static void append_frames(struct buffer *out, struct bytes frames)
{
    for (size_t at = 0; at < frames.length;) {
        const unsigned char *frame = (const unsigned char *)frames.data + at;
        size_t length = frame[1], header = 2;

        if (length == 126) {
            length = (size_t)frame[2] << 8 | frame[3];
            header = 4;
        }
        assert_true(length < 65536);
        assert_int_equal(frame[0] & 0xbc, 0x80);
        if (at)
            buffer_append_char(out, '|');
        if (frame[0] & 0x40)
            buffer_append_char(out, '*');
        if ((frame[0] & 0x0f) == 2)
            buffer_append_char(out, '<');
        if (frame[0] & 0x40)
            append_inflated(out, bytes_make(frames.data + at + header, length));
        else
            buffer_append(out, frame + header, length);
        if ((frame[0] & 0x0f) == 2)
            buffer_append_char(out, '>');
        at += header + length;
    }
}

/* Packets, each behind a '^', which is the separator. */
static void append_packets(struct buffer *out, struct bytes packets)
{
    for (size_t i = 0; i < packets.length; i++)
        buffer_append_char(out, packets.data[i] == '\x1e' ? '^' : packets.data[i]);
}

static const char *decode(enum encoding encoding, struct bytes bytes)
{
    static char text[1 << 16];
    struct buffer out = {0};

    if (encoding == ENCODING_POLLING)
        append_packets(&out, bytes);
    else
        append_frames(&out, bytes);
    assert_true(out.length < sizeof text);
    if (out.length)
        memcpy(text, out.data, out.length);
    text[out.length] = '\0';
    buffer_done(&out);
    return text;
}

/* What a peer with that encoding can read; good until the next call. */
static const char *read_as(struct peer *peer, enum encoding encoding)
{
    static char bytes[1 << 16];
    ssize_t length = read(peer->fd, bytes, sizeof bytes);

    return decode(encoding, bytes_make(bytes, length > 0 ? (size_t)length : 0));
}

static const char *read_peer(struct peer *peer)
{
    return read_as(peer, peer->connection->encoding);
}

/* What waits for it and is not written yet. */
static const char *waiting(struct peer *peer)
{
    struct buffer bytes = {0};
    const char *text;

    for (const struct segment *s = peer->connection->output.first; s; s = s->next)
        buffer_append(&bytes, s->chunk->data + s->offset, s->length);
    text = decode(peer->connection->encoding, buffer_bytes(&bytes));
    buffer_done(&bytes);
    return text;
}

/* -- mixed rooms ----------------------------------------------------------------------------- */

/* Two of each encoding, in turns, in the room. */
static void join_six(struct gateway *gateway, struct peer peers[6])
{
    for (unsigned i = 0; i < 6; i++) {
        peers[i] = peer_of(gateway, i % TEXT_ENCODINGS);
        join(gateway, &peers[i]);
    }
}

static void expect_all(struct peer *peers, unsigned count, const char *const texts[TEXT_ENCODINGS])
{
    for (unsigned i = 0; i < count; i++)
        assert_string_equal(read_peer(&peers[i]), texts[peers[i].connection->encoding]);
}

static void every_member_gets_its_encoding_with_one_write(void **state)
{
    struct gateway *gateway = start();
    struct peer peers[6];
    uint64_t writes;

    (void)state;
    join_six(gateway, peers);
    writes = gateway->counters.writes;
    deliver(gateway, LONG_1);
    deliver(gateway, "[2]");
    deliver(gateway, LONG_2);
    fixture_flush(gateway);
    expect_all(peers, 6,
               (const char *const[]){"42" LONG_1 "|42[2]|42" LONG_2, "*42" LONG_1 "|42[2]|*42" LONG_2,
                                     "^42" LONG_1 "^42[2]^42" LONG_2});
    assert_int_equal(gateway->counters.writes - writes, 6);
    assert_int_equal(gateway->counters.deliveries, 18);
    deliver(gateway, "[3]");
    fixture_flush(gateway);
    expect_all(peers, 6, (const char *const[]){"42[3]", "42[3]", "^42[3]"});
    fixture_flush(gateway);
    expect_all(peers, 6, (const char *const[]){"", "", ""});
    done(gateway, peers, 6);
}

static void an_event_is_encoded_once_for_all_members_of_an_encoding(void **state)
{
    struct gateway *gateway = start();
    struct peer peers[6];

    (void)state;
    join_six(gateway, peers);
    deliver(gateway, LONG_1);
    for (unsigned i = 0; i < 6; i++)
        fanout_catch_up(gateway, peers[i].connection);
    for (unsigned i = 0; i < 3; i++) {
        const struct segment *one = peers[i].connection->output.first;
        const struct segment *two = peers[i + 3].connection->output.first;

        assert_ptr_equal(one->chunk, two->chunk);
        assert_int_equal(one->length, one->chunk->length);
        assert_ptr_not_equal(one->chunk, peers[(i + 1) % 3].connection->output.first->chunk);
    }
    fixture_flush(gateway);
    done(gateway, peers, 6);
}

static void single_records_are_encoded_once_for_each_encoding_too(void **state)
{
    static const uint64_t flags[] = {WIRE_DELIVER_REPLAY, WIRE_DELIVER_WATCHERS, WIRE_DELIVER_NAMESPACE};
    struct gateway *gateway = start();
    struct peer peers[6];

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        peers[i] = peer_of(gateway, i % TEXT_ENCODINGS);
        room_add(gateway, peers[i].socket, ROOM, 0, true);
    }
    for (unsigned kind = 0; kind < 3; kind++) {
        struct wire_deliver record = {.pos = 1, .flags = flags[kind], .payload = BYTES(LONG_1)};

        if (flags[kind] == WIRE_DELIVER_NAMESPACE)
            deliver_to_namespace(gateway, namespace_find(&gateway->namespaces, BYTES("/")), &record);
        else
            deliver_to_room(gateway, lobby(gateway), &record);
        for (unsigned i = 0; i < 3; i++) {
            const struct chunk *chunk = peers[i].connection->output.first->chunk;

            assert_ptr_equal(chunk, peers[i + 3].connection->output.first->chunk);
            assert_ptr_not_equal(chunk, peers[(i + 1) % 3].connection->output.first->chunk);
        }
        fixture_flush(gateway);
        expect_all(peers, 6, (const char *const[]){"42" LONG_1, "*42" LONG_1, "^42" LONG_1});
    }
    done(gateway, peers, 6);
}

static void attachments_follow_their_event_in_every_encoding(void **state)
{
    static const char large[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    struct gateway *gateway = start();
    struct wire_list list = {0};
    struct peer peers[6];

    (void)state;
    join_six(gateway, peers);
    wire_list_put_blob(&list, BYTES("x"));
    wire_list_put_blob(&list, BYTES(large));
    deliver(gateway, "[1]");
    fixture_deliver(gateway, ROOM, "[2]", 0, 0, wire_list_finish(&list));
    deliver(gateway, "[3]");
    fixture_flush(gateway);
    expect_all(peers, 6,
               (const char *const[]){
                   "42[1]|452-[2]|<x>|<bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb>|42[3]",
                   "42[1]|452-[2]|<x>|*<bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb>|42[3]",
                   "^42[1]^452-[2]^beA==^bYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJi"
                   "^42[3]"});
    deliver_to_namespace(gateway, namespace_find(&gateway->namespaces, BYTES("/")),
                         &(struct wire_deliver){.pos = 1,
                                                .flags = WIRE_DELIVER_NAMESPACE,
                                                .payload = BYTES("[4]"),
                                                .attachments = wire_list_finish(&list)});
    fixture_flush(gateway);
    expect_all(peers, 6,
               (const char *const[]){
                   "452-[4]|<x>|<bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb>",
                   "452-[4]|<x>|*<bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb>",
                   "^452-[4]^beA==^bYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJi"});
    wire_list_done(&list);
    done(gateway, peers, 6);
}

static void what_is_for_one_keeps_its_place_in_every_encoding(void **state)
{
    struct gateway *gateway = start();
    struct peer peers[6];

    (void)state;
    join_six(gateway, peers);
    deliver(gateway, "[1]");
    for (unsigned i = 0; i < 3; i++)
        send_own(gateway, &peers[i], "4own");
    deliver(gateway, "[2]");
    for (unsigned i = 0; i < 3; i++)
        send_own(gateway, &peers[i], "4last");
    fixture_flush(gateway);
    expect_all(
        peers, 3,
        (const char *const[]){"42[1]|4own|42[2]|4last", "42[1]|4own|42[2]|4last", "^42[1]^4own^42[2]^4last"});
    expect_all(peers + 3, 3, (const char *const[]){"42[1]|42[2]", "42[1]|42[2]", "^42[1]^42[2]"});
    done(gateway, peers, 6);
}

static void the_excepted_one_misses_only_that_in_every_encoding(void **state)
{
    struct gateway *gateway = start();
    struct peer peers[6];

    (void)state;
    join_six(gateway, peers);
    for (unsigned i = 0; i < 3; i++) {
        deliver(gateway, "[1]");
        fixture_deliver(gateway, ROOM, "[\"typing\"]", WIRE_DELIVER_VOLATILE, peers[i].socket->number,
                        (struct bytes){0});
        deliver(gateway, "[2]");
        fixture_flush(gateway);
        for (unsigned j = 0; j < 6; j++) {
            const char *expected = j == i ? "42[1]|42[2]" : "42[1]|42[\"typing\"]|42[2]";

            if (peers[j].connection->encoding == ENCODING_POLLING)
                expected = j == i ? "^42[1]^42[2]" : "^42[1]^42[\"typing\"]^42[2]";
            assert_string_equal(read_peer(&peers[j]), expected);
        }
    }
    assert_int_equal(gateway->counters.deliveries, 3 * 17);
    done(gateway, peers, 6);
}

static void nothing_is_encoded_for_nobody(void **state)
{
    struct gateway *gateway = start();
    struct peer peers[2] = {peer_of(gateway, ENCODING_WEBSOCKET), peer_of(gateway, ENCODING_POLLING)};

    (void)state;
    join(gateway, &peers[0]);
    assert_null(lobby(gateway)->others);
    join(gateway, &peers[1]);
    fixture_deliver(gateway, ROOM, "[1]", 0, peers[1].socket->number, (struct bytes){0});
    assert_non_null(lobby(gateway)->websocket.turn);
    assert_null(lobby(gateway)->others[ENCODING_DEFLATE - 1].turn);
    assert_null(lobby(gateway)->others[ENCODING_POLLING - 1].turn);
    fixture_deliver(gateway, ROOM, "[2]", 0, peers[0].socket->number, (struct bytes){0});
    fixture_flush(gateway);
    assert_string_equal(read_peer(&peers[0]), "42[1]");
    assert_string_equal(read_peer(&peers[1]), "^42[2]");
    assert_int_equal(gateway->counters.deliveries, 2);
    leave(gateway, &peers[1]);
    assert_null(lobby(gateway)->others);
    done(gateway, peers, 2);
}

/* -- volatile events ------------------------------------------------------------------------- */

/* Those who are slow, or whose poll does not wait, are left out of them; of what waits nothing is lost. */
static void volatile_events_are_dropped_for_the_blocked_of_each_encoding(void **state)
{
    struct gateway *gateway = start();
    struct wire_list list = {0};
    struct peer peers[6];

    (void)state;
    join_six(gateway, peers);
    wire_list_put_blob(&list, BYTES("x"));
    for (unsigned i = 0; i < 3; i++) {
        send_own(gateway, &peers[i], "4own");
        peers[i].connection->blocked = true;
    }
    fixture_deliver(gateway, ROOM, "[\"v0\"]", WIRE_DELIVER_VOLATILE, 0, (struct bytes){0});
    deliver(gateway, "[1]");
    fixture_deliver(gateway, ROOM, "[\"v1\"]", WIRE_DELIVER_VOLATILE, 0, wire_list_finish(&list));
    fixture_deliver(gateway, ROOM, "[\"v2\"]", WIRE_DELIVER_VOLATILE, 0, (struct bytes){0});
    fixture_deliver(gateway, ROOM, "[2]", 0, 0, wire_list_finish(&list));
    fixture_flush(gateway);
    assert_int_equal(gateway->counters.dropped_slow_reader, 9);
    assert_int_equal(gateway->counters.deliveries, 3 * 5 + 3 * 2);
    assert_string_equal(waiting(&peers[0]), "4own|42[1]|451-[2]|<x>");
    assert_string_equal(waiting(&peers[1]), "4own|42[1]|451-[2]|<x>");
    assert_string_equal(waiting(&peers[2]), "^4own^42[1]^451-[2]^beA==");
    expect_all(peers + 3, 3,
               (const char *const[]){"42[\"v0\"]|42[1]|451-[\"v1\"]|<x>|42[\"v2\"]|451-[2]|<x>",
                                     "42[\"v0\"]|42[1]|451-[\"v1\"]|<x>|42[\"v2\"]|451-[2]|<x>",
                                     "^42[\"v0\"]^42[1]^451-[\"v1\"]^beA==^42[\"v2\"]^451-[2]^beA=="});

    fixture_deliver(gateway, ROOM, "[\"w\"]", WIRE_DELIVER_VOLATILE | WIRE_DELIVER_REPLAY, 0,
                    (struct bytes){0});
    assert_int_equal(gateway->counters.dropped_slow_reader, 12);
    fixture_flush(gateway);
    expect_all(peers + 3, 3, (const char *const[]){"42[\"w\"]", "42[\"w\"]", "^42[\"w\"]"});
    wire_list_done(&list);
    done(gateway, peers, 6);
}

/* A poll that comes in the middle of the turn is answered with what is there from then on. */
static void a_volatile_event_reaches_who_is_no_longer_blocked(void **state)
{
    struct gateway *gateway = start();
    struct peer poller = peer_of(gateway, ENCODING_POLLING);

    (void)state;
    join(gateway, &poller);
    poller.connection->blocked = true;
    fixture_deliver(gateway, ROOM, "[\"missed\"]", WIRE_DELIVER_VOLATILE, 0, (struct bytes){0});
    fanout_catch_up(gateway, poller.connection);
    poller.connection->blocked = false;
    fixture_deliver(gateway, ROOM, "[\"seen\"]", WIRE_DELIVER_VOLATILE, 0, (struct bytes){0});
    fixture_flush(gateway);
    assert_string_equal(read_peer(&poller), "^42[\"seen\"]");
    assert_int_equal(gateway->counters.dropped_slow_reader, 1);
    assert_int_equal(gateway->counters.deliveries, 1);
    done(gateway, &poller, 1);
}

/* -- coming and going in the middle of a turn ------------------------------------------------ */

static void who_leaves_a_mixed_room_in_a_turn_gets_what_came_before(void **state)
{
    struct gateway *gateway = start();

    (void)state;
    for (unsigned leaver = 0; leaver < 6; leaver++) {
        struct peer peers[6];

        join_six(gateway, peers);
        deliver(gateway, "[1]");
        leave(gateway, &peers[leaver]); /* the last one moves into its place, with another encoding */
        deliver(gateway, "[2]");
        fixture_flush(gateway);
        for (unsigned i = 0; i < 6; i++) {
            const char *expected = i == leaver ? "42[1]" : "42[1]|42[2]";

            if (peers[i].connection->encoding == ENCODING_POLLING)
                expected = i == leaver ? "^42[1]" : "^42[1]^42[2]";
            assert_string_equal(read_peer(&peers[i]), expected);
            if (i != leaver)
                leave(gateway, &peers[i]);
        }
        assert_null(lobby(gateway));
        for (unsigned i = 0; i < 6; i++) {
            fixture_peer_done(&peers[i]);
            connection_drop(gateway, peers[i].connection, CLOSE_PEER_GONE);
        }
        fixture_flush(gateway);
    }
    fixture_stop(gateway);
}

static void the_last_of_an_encoding_takes_its_stream_away(void **state)
{
    struct gateway *gateway = start();
    struct peer peers[3] = {peer_of(gateway, ENCODING_WEBSOCKET), peer_of(gateway, ENCODING_POLLING),
                            peer_of(gateway, ENCODING_DEFLATE)};

    (void)state;
    join(gateway, &peers[0]), join(gateway, &peers[1]), join(gateway, &peers[2]);
    fixture_deliver(gateway, ROOM, "[1]", WIRE_DELIVER_VOLATILE, 0, (struct bytes){0});
    leave(gateway, &peers[1]);
    assert_null(lobby(gateway)->others[ENCODING_POLLING - 1].turn);
    deliver(gateway, "[2]");
    join(gateway, &peers[1]); /* the same turn, a new stream */
    deliver(gateway, "[3]");
    leave(gateway, &peers[0]);
    deliver(gateway, "[4]");
    fixture_flush(gateway);
    assert_string_equal(read_peer(&peers[0]), "42[1]|42[2]|42[3]");
    assert_string_equal(read_peer(&peers[1]), "^42[1]^42[3]^42[4]");
    assert_string_equal(read_peer(&peers[2]), "42[1]|42[2]|42[3]|42[4]");
    assert_int_equal(gateway->counters.deliveries, 3 + 2 + 3 + 2);
    leave(gateway, &peers[2]);
    assert_non_null(lobby(gateway)->others);
    deliver(gateway, "[5]");
    leave(gateway, &peers[1]);
    assert_null(lobby(gateway));
    fixture_flush(gateway);
    assert_string_equal(read_peer(&peers[1]), "^42[5]");
    done(gateway, peers, 3);
}

/* A chunk that a queue refers to does not grow: its stream is handed out, the others go on. */
static void a_full_chunk_is_handed_out_without_the_other_encodings(void **state)
{
    static char long_text[3 << 10], expected[3][8 << 10];
    struct gateway *gateway = start();
    struct peer peers[6];
    struct chunk *deflate, *polling;

    (void)state;
    memset(long_text, ' ', sizeof long_text - 1);
    long_text[0] = '[', long_text[sizeof long_text - 2] = ']';
    join_six(gateway, peers);
    deliver(gateway, long_text);
    fanout_catch_up(gateway, peers[0].connection);
    deflate = lobby(gateway)->others[ENCODING_DEFLATE - 1].turn;
    polling = lobby(gateway)->others[ENCODING_POLLING - 1].turn;
    assert_int_equal(lobby(gateway)->websocket.turn->references, 2);
    deliver(gateway, long_text);
    assert_string_not_equal(waiting(&peers[0]), "");
    assert_int_equal(lobby(gateway)->websocket.turn->references, 1);
    assert_true(lobby(gateway)->websocket.turn->length < 2 * sizeof long_text);
    assert_ptr_equal(lobby(gateway)->others[ENCODING_DEFLATE - 1].turn, deflate);
    assert_int_equal(deflate->references, 1);
    polling = lobby(gateway)->others[ENCODING_POLLING - 1].turn; /* grown in its place */
    assert_true(polling->length > 2 * (sizeof long_text - 1));
    leave(gateway, &peers[3]);
    deliver(gateway, "[3]");
    fixture_flush(gateway);
    snprintf(expected[0], sizeof expected[0], "42%s|42%s|42[3]", long_text, long_text);
    snprintf(expected[1], sizeof expected[1], "*42%s|*42%s|42[3]", long_text, long_text);
    snprintf(expected[2], sizeof expected[2], "^42%s^42%s^42[3]", long_text, long_text);
    expect_all(peers, 3, (const char *const[]){expected[0], expected[1], expected[2]});
    expect_all(peers + 4, 2, (const char *const[]){expected[0], expected[1], expected[2]});
    expected[0][strlen(expected[0]) - strlen("|42[3]")] = '\0';
    assert_string_equal(read_peer(&peers[3]), expected[0]);
    assert_int_equal(gateway->counters.deliveries, 6 + 6 + 5);
    done(gateway, peers, 6);
}

/* -- moving ---------------------------------------------------------------------------------- */

/* The socket of one peer goes on with the connection of another, which has none of its own. */
static void move(struct gateway *gateway, struct peer *from, struct peer *to)
{
    struct socket *socket = from->socket;

    while (to->connection->sockets)
        socket_close(gateway, to->connection->sockets, CLOSE_NONE);
    for (unsigned i = 0; i < socket->room_count; i++)
        room_move_member(gateway, &socket_rooms(socket)[i], to->connection);
    from->connection->sockets = NULL;
    socket->connection = to->connection;
    socket->next = NULL;
    to->connection->sockets = socket;
    to->socket = socket;
}

static void expect_moved(struct gateway *gateway, enum encoding from, enum encoding to, bool others)
{
    struct peer peers[5] = {peer_of(gateway, from), peer_of(gateway, to)};
    unsigned count = 2;
    bool poll_from = from == ENCODING_POLLING, poll_to = to == ENCODING_POLLING;

    if (others)
        for (; count < 5; count++) {
            peers[count] = peer_of(gateway, count - 2);
            join(gateway, &peers[count]);
        }
    join(gateway, &peers[0]);
    deliver(gateway, "[1]");
    fixture_flush(gateway);
    deliver(gateway, "[2]");
    fanout_catch_up(gateway, peers[0].connection); /* part of the turn was handed over already */
    deliver(gateway, "[3]");
    move(gateway, &peers[0], &peers[1]);
    assert_int_equal(peers[0].connection->room_count, 0);
    assert_int_equal(peers[1].connection->room_count, 1);
    deliver(gateway, "[4]");
    fixture_flush(gateway);
    deliver(gateway, "[5]");
    fixture_flush(gateway);
    assert_string_equal(read_peer(&peers[0]), poll_from ? "^42[1]^42[2]^42[3]" : "42[1]|42[2]|42[3]");
    assert_string_equal(read_peer(&peers[1]), poll_to ? "^42[4]^42[5]" : "42[4]|42[5]");
    if (others)
        expect_all(peers + 2, 3,
                   (const char *const[]){"42[1]|42[2]|42[3]|42[4]|42[5]", "42[1]|42[2]|42[3]|42[4]|42[5]",
                                         "^42[1]^42[2]^42[3]^42[4]^42[5]"});
    leave(gateway, &peers[1]);
    assert_int_equal(peers[1].connection->room_count, 0);
    for (unsigned i = 0; i < count; i++) {
        fixture_peer_done(&peers[i]);
        connection_drop(gateway, peers[i].connection, CLOSE_PEER_GONE);
    }
    fixture_flush(gateway);
    assert_null(lobby(gateway));
}

static void a_member_moves_between_any_two_encodings(void **state)
{
    struct gateway *gateway = start();

    (void)state;
    for (unsigned from = 0; from < TEXT_ENCODINGS; from++)
        for (unsigned to = 0; to < TEXT_ENCODINGS; to++) {
            expect_moved(gateway, from, to, false);
            expect_moved(gateway, from, to, true);
        }
    fixture_stop(gateway);
}

static void a_member_that_moves_before_a_turns_deliveries_gets_them_there(void **state)
{
    struct gateway *gateway = start();
    struct peer peers[3] = {peer_of(gateway, ENCODING_POLLING), peer_of(gateway, ENCODING_WEBSOCKET),
                            peer_of(gateway, ENCODING_WEBSOCKET)};

    (void)state;
    join(gateway, &peers[0]), join(gateway, &peers[2]);
    move(gateway, &peers[0], &peers[1]);
    assert_null(lobby(gateway)->others);
    deliver(gateway, LONG_1);
    deliver(gateway, "[2]");
    fixture_flush(gateway);
    assert_string_equal(read_as(&peers[0], ENCODING_POLLING), "");
    assert_string_equal(read_peer(&peers[1]), "42" LONG_1 "|42[2]");
    assert_string_equal(read_peer(&peers[2]), "42" LONG_1 "|42[2]");
    done(gateway, peers, 3);
}

static void a_member_that_moves_after_a_turns_deliveries_left_them_behind(void **state)
{
    struct gateway *gateway = start();
    struct peer peers[3] = {peer_of(gateway, ENCODING_POLLING), peer_of(gateway, ENCODING_DEFLATE),
                            peer_of(gateway, ENCODING_DEFLATE)};

    (void)state;
    join(gateway, &peers[0]), join(gateway, &peers[2]);
    deliver(gateway, LONG_1);
    deliver(gateway, LONG_2);
    move(gateway, &peers[0], &peers[1]);
    assert_string_equal(waiting(&peers[0]), "^42" LONG_1 "^42" LONG_2);
    fixture_flush(gateway);
    assert_string_equal(read_peer(&peers[0]), "^42" LONG_1 "^42" LONG_2);
    assert_string_equal(read_peer(&peers[1]), "");
    assert_string_equal(read_peer(&peers[2]), "*42" LONG_1 "|*42" LONG_2);
    assert_int_equal(gateway->counters.deliveries, 4);
    deliver(gateway, "[3]"); /* what was skipped in one turn is forgotten in the next */
    fixture_flush(gateway);
    assert_string_equal(read_peer(&peers[1]), "42[3]");
    done(gateway, peers, 3);
}

static void a_member_of_several_rooms_moves_with_all_of_them(void **state)
{
    struct gateway *gateway = start();
    struct peer peers[2] = {peer_of(gateway, ENCODING_POLLING), peer_of(gateway, ENCODING_WEBSOCKET)};
    struct room *other;

    (void)state;
    join(gateway, &peers[0]);
    room_add(gateway, peers[0].socket, OTHER, 0, true);
    other = room_find(namespace_find(&gateway->namespaces, BYTES("/")), OTHER);
    deliver(gateway, "[1]");
    deliver_to_room(gateway, other, &(struct wire_deliver){.pos = 1, .payload = BYTES("[2]")});
    move(gateway, &peers[0], &peers[1]);
    assert_int_equal(peers[0].connection->room_count, 0);
    assert_int_equal(peers[1].connection->room_count, 2);
    deliver(gateway, "[3]");
    deliver_to_room(
        gateway, other,
        &(struct wire_deliver){.pos = 1, .flags = WIRE_DELIVER_WATCHERS, .payload = BYTES("[4]")});
    send_own(gateway, &peers[1], "4own");
    fixture_flush(gateway);
    assert_string_equal(read_peer(&peers[0]), "^42[1]^42[2]");
    assert_string_equal(read_peer(&peers[1]), "42[3]|42[4]|4own");
    done(gateway, peers, 2);
}

/* What is not read on the old connection is dropped as it would have been without the move. */
static void a_blocked_connection_misses_volatile_events_when_its_member_moves(void **state)
{
    struct gateway *gateway = start();
    struct peer peers[2] = {peer_of(gateway, ENCODING_POLLING), peer_of(gateway, ENCODING_WEBSOCKET)};

    (void)state;
    join(gateway, &peers[0]);
    peers[0].connection->blocked = true;
    deliver(gateway, "[1]");
    fixture_deliver(gateway, ROOM, "[\"typing\"]", WIRE_DELIVER_VOLATILE, 0, (struct bytes){0});
    move(gateway, &peers[0], &peers[1]);
    fixture_deliver(gateway, ROOM, "[\"typing\"]", WIRE_DELIVER_VOLATILE, 0, (struct bytes){0});
    fixture_flush(gateway);
    assert_string_equal(waiting(&peers[0]), "^42[1]");
    assert_string_equal(read_peer(&peers[1]), "42[\"typing\"]");
    assert_int_equal(gateway->counters.dropped_slow_reader, 1);
    assert_int_equal(gateway->counters.deliveries, 2);
    done(gateway, peers, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_gets_its_encoding_with_one_write),
        cmocka_unit_test(an_event_is_encoded_once_for_all_members_of_an_encoding),
        cmocka_unit_test(single_records_are_encoded_once_for_each_encoding_too),
        cmocka_unit_test(attachments_follow_their_event_in_every_encoding),
        cmocka_unit_test(what_is_for_one_keeps_its_place_in_every_encoding),
        cmocka_unit_test(the_excepted_one_misses_only_that_in_every_encoding),
        cmocka_unit_test(nothing_is_encoded_for_nobody),
        cmocka_unit_test(volatile_events_are_dropped_for_the_blocked_of_each_encoding),
        cmocka_unit_test(a_volatile_event_reaches_who_is_no_longer_blocked),
        cmocka_unit_test(who_leaves_a_mixed_room_in_a_turn_gets_what_came_before),
        cmocka_unit_test(the_last_of_an_encoding_takes_its_stream_away),
        cmocka_unit_test(a_full_chunk_is_handed_out_without_the_other_encodings),
        cmocka_unit_test(a_member_moves_between_any_two_encodings),
        cmocka_unit_test(a_member_that_moves_before_a_turns_deliveries_gets_them_there),
        cmocka_unit_test(a_member_that_moves_after_a_turns_deliveries_left_them_behind),
        cmocka_unit_test(a_member_of_several_rooms_moves_with_all_of_them),
        cmocka_unit_test(a_blocked_connection_misses_volatile_events_when_its_member_moves),
    };

    return cmocka_run_group_tests_name("gateway room encodings", tests, NULL, NULL);
}
