/* The clients of the tests: sockets whose other ends a gateway has taken in; see played_client.h. */
#include "tests/unit/gateway/played_client.h"

#include "gateway/entrance.h"
#include "tests/unit/gateway/played.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* -- clients --------------------------------------------------------------------------------- */

struct client client_open(struct gateway *gateway)
{
    struct client client = {.gateway = gateway};
    struct connection *connection;
    uint32_t cursor = 0;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    client.fd = ends[0];
    entrance_accept(gateway, ends[1]);
    while ((connection = slot_table_next(&gateway->connections.slots, &cursor)))
        if (connection->fd == ends[1])
            client.number = connection->number;
    assert_int_not_equal(client.number, 0);
    return client;
}

void client_close(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    buffer_done(&client->in);
}

struct connection *client_connection(const struct client *client)
{
    return connections_find(client->gateway, client->number);
}

void client_write(struct client *client, struct bytes bytes)
{
    while (bytes.length) {
        ssize_t n = send(client->fd, bytes.data, bytes.length, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) { /* the gateway has to take some */
            played_turn(client->gateway);
            continue;
        }
        assert_true(n > 0);
        bytes = bytes_make(bytes.data + n, bytes.length - (size_t)n);
    }
}

const char *client_read(struct client *client)
{
    char space[65536];
    ssize_t n;

    buffer_clear(&client->in);
    while ((n = read(client->fd, space, sizeof space)) > 0) {
        buffer_append(&client->in, space, (size_t)n);
        played_turn(client->gateway);
    }
    buffer_append_char(&client->in, '\0');
    return client->in.data;
}

bool client_ended(struct client *client)
{
    char byte;
    ssize_t n = recv(client->fd, &byte, 1, MSG_PEEK);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

int client_answer(struct client *client, const char **body)
{
    const char *text = client_read(client), *end = strstr(text, "\r\n\r\n");

    if (!*text)
        return 0;
    assert_non_null(end);
    assert_int_equal(strncmp(text, "HTTP/1.1 ", 9), 0);
    if (body)
        *body = end + 4;
    return atoi(text + 9);
}

void client_poll(struct client *client, const char *sid)
{
    struct buffer request = {0};

    buffer_printf(&request, "GET /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n\r\n",
                  sid);
    client_write(client, buffer_bytes(&request));
    buffer_done(&request);
}

void client_post(struct client *client, const char *sid, const char *body)
{
    struct buffer request = {0};

    buffer_printf(&request,
                  "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: h\r\n"
                  "Content-Length: %zu\r\n\r\n%s",
                  sid, strlen(body), body);
    client_write(client, buffer_bytes(&request));
    buffer_done(&request);
}

void client_upgrade(struct client *client, const char *sid)
{
    struct buffer request = {0};

    buffer_printf(
        &request,
        "GET /socket.io/?EIO=4&transport=websocket%s%s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        sid ? "&sid=" : "", sid ? sid : "");
    client_write(client, buffer_bytes(&request));
    buffer_done(&request);
}

static void send_message(struct client *client, char byte, const char *text)
{
    size_t length = strlen(text);
    struct buffer frame = {0};

    assert_true(length < 65536);
    buffer_append_char(&frame, byte);
    buffer_append_char(&frame, (char)(0x80 | (length < 126 ? length : 126)));
    if (length >= 126) {
        buffer_append_char(&frame, (char)(length >> 8));
        buffer_append_char(&frame, (char)length);
    }
    buffer_append(&frame, "\0\0\0\0", 4);
    buffer_append(&frame, text, length);
    client_write(client, buffer_bytes(&frame));
    buffer_done(&frame);
}

void client_message(struct client *client, const char *text)
{
    send_message(client, '\x81', text);
}

void client_binary_message(struct client *client, const char *text)
{
    send_message(client, '\x82', text);
}

const char *client_messages(struct client *client)
{
    static struct buffer out;
    const unsigned char *at, *end;
    const char *text = client_read(client), *head = strstr(text, "\r\n\r\n");

    buffer_clear(&out);
    at = (const unsigned char *)text;
    end = at + client->in.length - 1;
    if (strncmp(text, "HTTP/1.1 101", 12) == 0)
        at = (const unsigned char *)head + 4;
    while (at < end) {
        size_t length = at[1];
        unsigned opcode = at[0] & 15;

        at += 2;
        if (length == 126) {
            length = (size_t)at[0] << 8 | at[1];
            at += 2;
        }
        assert_true(length < 65536 && at + length <= end);
        if (out.length)
            buffer_append_char(&out, '|');
        if (opcode == 8) {
            buffer_printf(&out, "close %u", length ? (unsigned)at[0] << 8 | at[1] : 0U);
            if (length > 2)
                buffer_printf(&out, " %.*s", (int)length - 2, at + 2);
        } else if (opcode == 9)
            buffer_append_literal(&out, "ping");
        else
            buffer_append(&out, at, length);
        at += length;
    }
    buffer_append_char(&out, '\0');
    return out.data;
}

/* -- sessions -------------------------------------------------------------------------------- */

void open_session(struct gateway *gateway, char sid[SESSION_SID_LENGTH + 1])
{
    struct client client = client_open(gateway);
    const char *body = "";

    client_write(&client, BYTES("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\n\r\n"));
    played_turn(gateway);
    assert_int_equal(client_answer(&client, &body), 200);
    assert_int_equal(strncmp(body, "0{\"sid\":\"", 9), 0);
    memcpy(sid, body + 9, SESSION_SID_LENGTH);
    sid[SESSION_SID_LENGTH] = '\0';
    client_close(&client);
    played_turn(gateway);
}

void open_socket_session(struct gateway *gateway, char sid[SESSION_SID_LENGTH + 1])
{
    open_session(gateway, sid);
    assert_int_equal(post_once(gateway, sid, "40"), 200);
    assert_int_equal(played_connect(gateway), 1);
    assert_int_equal(strncmp(poll_once(gateway, sid), "40{\"sid\":", 9), 0);
}

const char *poll_once(struct gateway *gateway, const char *sid)
{
    static struct buffer kept;
    struct client client = client_open(gateway);
    const char *body = NULL;
    int status;

    client_poll(&client, sid);
    played_settle();
    status = client_answer(&client, &body);
    buffer_clear(&kept);
    if (status)
        buffer_append_text(&kept, body);
    buffer_append_char(&kept, '\0');
    client_close(&client);
    played_settle();
    return status ? kept.data : NULL;
}

int post_once(struct gateway *gateway, const char *sid, const char *body)
{
    struct client client = client_open(gateway);
    int status;

    client_post(&client, sid, body);
    played_settle();
    status = client_answer(&client, NULL);
    client_close(&client);
    played_settle();
    return status;
}
