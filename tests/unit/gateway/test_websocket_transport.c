/* The WebSocket as a transport: handshakes, frames split anywhere, compressed messages, limits and ends. */
#include "gateway/websocket_transport.h"
#include "tests/unit/gateway/played.h"
#include "tests/unit/gateway/played_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

/* A masked frame. */
static void append_frame(struct buffer *out, unsigned first, const void *payload, size_t length)
{
    buffer_append_char(out, (char)first);
    if (length < 126)
        buffer_append_char(out, (char)(0x80 | length));
    else if (length < 65536) {
        buffer_append_char(out, (char)(0x80 | 126));
        buffer_append_char(out, (char)(length >> 8));
        buffer_append_char(out, (char)length);
    } else {
        buffer_append_char(out, (char)(0x80 | 127));
        for (int shift = 56; shift >= 0; shift -= 8)
            buffer_append_char(out, (char)((uint64_t)length >> shift));
    }
    buffer_append(out, "\0\0\0\0", 4);
    buffer_append(out, payload, length);
}

/* The payload of a compressed message (RFC 7692 7.2.1). */
static size_t compress_message(const char *text, size_t length, char *out, size_t capacity)
{
    z_stream stream = {.next_in = (unsigned char *)(uintptr_t)text, .avail_in = (unsigned)length};
    size_t made;

    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_out = (unsigned char *)out;
    stream.avail_out = (unsigned)capacity;
    assert_int_equal(deflate(&stream, Z_SYNC_FLUSH), Z_OK);
    made = stream.total_out - 4;
    deflateEnd(&stream);
    return made;
}

static void send_frame(struct client *client, unsigned first, const void *payload, size_t length)
{
    struct buffer frame = {0};

    append_frame(&frame, first, payload, length);
    client_write(client, buffer_bytes(&frame));
    buffer_done(&frame);
    played_settle();
}

/* A session on a WebSocket, its open packet read; deflate: with compressed messages agreed on. */
static struct client open_websocket(bool deflate)
{
    struct client client = client_open(home);

    fixture_settings(home)->compression = deflate;
    if (deflate)
        client_write(&client,
                     BYTES("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: h\r\n"
                           "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                           "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"));
    else
        client_upgrade(&client, NULL);
    played_settle();
    assert_int_equal(strncmp(client_messages(&client), "0{\"sid\":", 8), 0);
    return client;
}

static int status_of(const char *fields)
{
    struct client client = client_open(home);
    struct buffer request = {0};
    int status;

    buffer_printf(&request, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: h\r\n%s\r\n",
                  fields);
    client_write(&client, buffer_bytes(&request));
    buffer_done(&request);
    played_settle();
    status = client_answer(&client, NULL);
    client_close(&client);
    played_settle();
    return status;
}

static void handshakes_are_judged(void **state)
{
#define GOOD "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    (void)state;
    assert_int_equal(status_of(GOOD KEY "Sec-WebSocket-Version: 13\r\n"), 101);
    assert_int_equal(status_of(GOOD KEY "Sec-WebSocket-Version: 8\r\n"), 426);
    assert_int_equal(status_of(GOOD "Sec-WebSocket-Version: 13\r\n"), 400);
    assert_int_equal(status_of(GOOD "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n"), 400);
    assert_int_equal(status_of("Upgrade: websocket\r\n" KEY "Sec-WebSocket-Version: 13\r\n"), 400);
    assert_int_equal(home->counters.websockets, 0);
    assert_int_equal(home->connections.slots.count, 0);
}

/* A ping, a message in two parts with another ping between them, and the end. */
static void frames_may_be_split_at_every_byte(void **state)
{
    struct buffer frames = {0};

    (void)state;
    append_frame(&frames, 0x89, "one", 3);
    append_frame(&frames, 0x01, "4", 1);
    append_frame(&frames, 0x89, "two", 3);
    append_frame(&frames, 0x80, "0", 1);
    append_frame(&frames, 0x88, "\x03\xe8", 2);
    for (size_t at = 1; at < frames.length; at++) {
        struct client client = open_websocket(false);

        client_write(&client, bytes_make(frames.data, at));
        played_settle();
        client_write(&client, bytes_make(frames.data + at, frames.length - at));
        played_settle();
        assert_string_equal(client_messages(&client), "one|two|close 1000");
        assert_true(client_ended(&client));
        assert_int_equal(home->requests.count, at);
        client_close(&client);
        played_settle();
    }
    assert_int_equal(home->counters.websockets, 0);
    buffer_done(&frames);
}

static void closes_name_what_was_wrong(void **state)
{
    static const struct {
        unsigned first;
        const char *payload;
        const char *answer;
    } rows[] = {
        {0x81, "4\xff", "close 1007"},    {0xc1, "40", "close 1002"}, {0x83, "40", "close 1002"},
        {0x80, "40", "close 1002"},       {0x09, "40", "close 1002"}, {0x88, "\x03\xec", "close 1002"},
        {0x81, "9", "close 0"},           {0x81, "", "close 0"},      {0x81, "2", "close 0"},
        {0x81, "42[\"m\"]", "close 0"},   {0x82, "x", "close 0"},     {0x81, "1", "close 0"},
        {0x88, "\x0f\xa0", "close 4000"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct client client = open_websocket(false);

        send_frame(&client, rows[i].first, rows[i].payload, strlen(rows[i].payload));
        assert_string_equal(client_messages(&client), rows[i].answer);
        client_close(&client);
        played_settle();
    }
    assert_int_equal(home->counters.websockets, 0);
    assert_int_equal(home->connections.slots.count, 0);
}

static void a_message_that_is_too_large_is_refused(void **state)
{
    static char text[2001];

    (void)state;
    memset(text, ' ', sizeof text);
    text[0] = '6';
    fixture_settings(home)->max_payload = 2000;
    for (int over = 0; over < 2; over++) {
        struct client client = open_websocket(false);

        send_frame(&client, 0x81, text, 2000 + (size_t)over);
        assert_string_equal(client_messages(&client), over ? "close 1009" : "");
        client_close(&client);
        played_settle();
    }
}

static void compressed_messages_are_inflated(void **state)
{
    struct client client = open_websocket(true);
    char out[128];

    (void)state;
    for (int i = 0; i < 2; i++) /* no context is taken over from the one before, or it is all the same */
        send_frame(&client, 0xc1, out, compress_message("40", 2, out, sizeof out));
    assert_int_equal(home->requests.count, 1);
    assert_string_equal(client_messages(&client), "close 0"); /* joined twice */
    client_close(&client);
}

/* The limit holds for what comes out, exactly, whatever little went in. */
static void a_message_that_inflates_beyond_the_limit_is_refused(void **state)
{
    static char text[2001], out[4096];

    (void)state;
    memset(text, ' ', sizeof text);
    text[0] = '6';
    fixture_settings(home)->max_payload = 2000;
    for (int over = 0; over < 2; over++) {
        struct client client = open_websocket(true);
        size_t length = compress_message(text, 2000 + (size_t)over, out, sizeof out);

        assert_true(length < 100);
        send_frame(&client, 0xc1, out, length);
        assert_string_equal(client_messages(&client), over ? "close 1009" : "");
        client_close(&client);
        played_settle();
    }
}

static void what_does_not_inflate_is_refused(void **state)
{
    struct client client = open_websocket(true);
    char out[128];

    (void)state;
    send_frame(&client, 0xc1, "\xff\xff\xff", 3);
    assert_string_equal(client_messages(&client), "close 1007");
    client_close(&client);
    client = open_websocket(true);
    send_frame(&client, 0xc1, out, compress_message("4\xff", 2, out, sizeof out));
    assert_string_equal(client_messages(&client), "close 1007");
    client_close(&client);
    client = open_websocket(true);
    send_frame(&client, 0xc9, "x", 1); /* a control frame is never compressed */
    assert_string_equal(client_messages(&client), "close 1002");
    client_close(&client);
}

/* Whatever is found in one read behind an end is not looked at. */
static void nothing_is_read_behind_an_end(void **state)
{
    struct client client = open_websocket(false);
    struct buffer frames = {0};

    (void)state;
    append_frame(&frames, 0x81, "9", 1);
    append_frame(&frames, 0x81, "40", 2);
    append_frame(&frames, 0x89, "ping", 4);
    client_write(&client, buffer_bytes(&frames));
    buffer_done(&frames);
    played_settle();
    assert_string_equal(client_messages(&client), "close 0");
    assert_int_equal(home->requests.count, 0);
    client_close(&client);
}

/* One that is paused for want of credit: what it sent is read later, in order, in one piece or in many. */
static void what_comes_beyond_the_credit_waits_in_order(void **state)
{
    (void)state;
    for (int pieces = 0; pieces < 2; pieces++) {
        struct client client = open_websocket(false);
        struct request *request;
        uint64_t cursor = 0;
        struct buffer frames = {0};

        fixture_settings(home)->max_unanswered = 64;
        client_message(&client, "40");
        played_settle();
        assert_int_equal(played_connect(home), 1);
        for (int i = 0; i < 100; i++) {
            char text[64];

            snprintf(text, sizeof text, "42[\"join\",\"room%d\"]", i);
            append_frame(&frames, 0x81, text, strlen(text));
        }
        for (size_t at = 0, step = pieces ? 37 : frames.length; at < frames.length; at += step) {
            client_write(&client,
                         bytes_make(frames.data + at, at + step < frames.length ? step : frames.length - at));
            played_turn(home);
        }
        assert_int_equal(home->requests.count, 64);
        assert_true(client_connection(&client)->paused);
        for (int i = 0; i < 100; i++) {
            struct wire_reader reader;
            struct wire_join join;
            char room[16];
            unsigned type;

            played_settle();
            request = requests_walk(&home->requests, &cursor);
            assert_non_null(request);
            wire_reader_open_record(&reader, bytes_make(request->record, request->length));
            assert_int_equal(wire_reader_next(&reader, &type), 1);
            assert_int_equal(wire_get_join(&reader, &join), 0);
            snprintf(room, sizeof room, "room%d", i);
            assert_true(bytes_equal_text(join.room, room));
            socket_finish_request(home, request);
        }
        assert_int_equal(home->requests.count, 0);
        buffer_done(&frames);
        client_close(&client);
        played_settle();
    }
}

/* It resets its connection while it is paused, with more behind what is held. */
static void one_that_is_paused_may_hang_up(void **state)
{
    struct client client = open_websocket(false);
    struct buffer frames = {0};

    (void)state;
    fixture_settings(home)->max_unanswered = 64;
    client_message(&client, "40");
    played_settle();
    assert_int_equal(played_connect(home), 1);
    for (int i = 0; i < 70; i++)
        append_frame(&frames, 0x81, "42[\"join\",\"a\"]", 14);
    client_write(&client, buffer_bytes(&frames));
    played_turn(home);
    assert_true(client_connection(&client)->paused);
    assert_non_null(client_connection(&client)->held);
    client_write(&client, buffer_bytes(&frames));
    client_close(&client);
    played_turn(home);
    assert_int_equal(home->connections.slots.count, 0);
    buffer_done(&frames);
}

/* -- the echo ------------------------------------------------------------------------------------ */

static void the_echo_says_what_it_hears(void **state)
{
    struct client client = client_open(home);
    char *text = malloc(60000);

    (void)state;
    fixture_settings(home)->echo = true;
    client_write(&client,
                 BYTES("GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"));
    send_frame(&client, 0x81, "hello", 5);
    send_frame(&client, 0x82, "bytes", 5);
    assert_string_equal(client_messages(&client), "hello|bytes");
    memset(text, 'x', 60000);
    text[59999] = '\0';
    send_frame(&client, 0x81, text, 59999);
    assert_string_equal(client_messages(&client), text);
    send_frame(&client, 0x88, "", 0);
    assert_string_equal(client_messages(&client), "close 0");
    free(text);
    client_close(&client);
    played_settle();
    assert_int_equal(home->counters.websockets, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, played_start, played_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(handshakes_are_judged),
        TEST(frames_may_be_split_at_every_byte),
        TEST(closes_name_what_was_wrong),
        TEST(a_message_that_is_too_large_is_refused),
        TEST(compressed_messages_are_inflated),
        TEST(a_message_that_inflates_beyond_the_limit_is_refused),
        TEST(what_does_not_inflate_is_refused),
        TEST(nothing_is_read_behind_an_end),
        TEST(what_comes_beyond_the_credit_waits_in_order),
        TEST(one_that_is_paused_may_hang_up),
        TEST(the_echo_says_what_it_hears),
    };

    return cmocka_run_group_tests_name("gateway websocket_transport", tests, NULL, NULL);
}
