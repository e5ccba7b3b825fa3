/*
 * A crowd's clients on HTTP long-polling (Engine.IO protocol 4), as browsers do it: one kept-alive connection
 * for polls, another for posts.
 *
 * crowd.c calls it.  The surprise: what is sent while a post is under way waits for its answer and leaves
 * with the next, since the server ends sessions whose posts overlap.
 */
#include "tests/bench/crowd_transport.h"

#include <stdlib.h>
#include <strings.h>

enum { POLLS, POSTS, LINKS };

#define SEPARATOR '\x1e'

static void poll_again(struct crowd *crowd, struct client *client)
{
    struct buffer *request = &crowd->scratch;

    buffer_clear(request);
    buffer_printf(request, "GET /socket.io/?EIO=4&transport=polling%s%s HTTP/1.1\r\nHost: %s:%u\r\n\r\n",
                  client->sid[0] ? "&sid=" : "", client->sid, crowd->plan.host, crowd->plan.port);
    crowd_send(crowd, client, POLLS, buffer_bytes(request));
}

/* Sends what waits, unless a post is under way or there is no connection for it yet. */
static void post_unsent(struct crowd *crowd, struct client *client)
{
    struct bytes payload = buffer_bytes(&client->unsent);
    struct buffer *request = &crowd->scratch;

    if (client->posting || payload.length == 0 || client->links[POSTS].connecting)
        return;
    payload = bytes_make(payload.data + 1, payload.length - 1); /* the first separator */
    buffer_clear(request);
    buffer_printf(request,
                  "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: %s:%u\r\n"
                  "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %zu\r\n\r\n",
                  client->sid, crowd->plan.host, crowd->plan.port, payload.length);
    buffer_append_bytes(request, payload);
    client->posting = true;
    buffer_done(&client->unsent);
    crowd_send(crowd, client, POSTS, buffer_bytes(request));
}

static void send_text(struct crowd *crowd, struct client *client, struct bytes text)
{
    buffer_append_char(&client->unsent, SEPARATOR);
    buffer_append_bytes(&client->unsent, text);
    if (client->links[POSTS].fd < 0)
        crowd_open_link(crowd, client, POSTS);
    else
        post_unsent(crowd, client);
}

static void connected(struct crowd *crowd, struct client *client, unsigned link)
{
    if (link == POSTS)
        post_unsent(crowd, client);
    else {
        client->state = OPENING;
        poll_again(crowd, client);
    }
}

/* -- answers --------------------------------------------------------------------------------- */

/* The session's id out of the open packet. */
static void keep_sid(struct crowd *crowd, struct client *client, struct bytes open)
{
    static const char key[] = "\"sid\":\"";
    const char *sid = memmem(open.data, open.length, key, sizeof key - 1);
    const char *end = open.data + open.length, *quote;

    if (sid)
        sid += sizeof key - 1;
    quote = sid ? memchr(sid, '"', (size_t)(end - sid)) : NULL;
    if (!quote || quote - sid > CROWD_SID_MAX) {
        crowd_give_up(crowd, client, "got no session", open);
        return;
    }
    memcpy(client->sid, sid, (size_t)(quote - sid));
}

static void got_payload(struct crowd *crowd, struct client *client, struct bytes payload)
{
    if (!client->sid[0])
        keep_sid(crowd, client, payload);
    while (payload.length && !client_is_gone(client)) {
        const char *separator = memchr(payload.data, SEPARATOR, payload.length);
        size_t length = separator ? (size_t)(separator - payload.data) : payload.length;
        size_t spent = separator ? length + 1 : length;

        crowd_got_text(crowd, client, bytes_make(payload.data, length));
        payload = bytes_make(payload.data + spent, payload.length - spent);
    }
    if (!client_is_gone(client))
        poll_again(crowd, client);
}

static void got_body(struct crowd *crowd, struct client *client, unsigned link, struct bytes body)
{
    if (link == POLLS) {
        got_payload(crowd, client, body);
        return;
    }
    client->posting = false;
    post_unsent(crowd, client);
}

/* The value of Content-Length in a head that ends in an empty line, or -1. */
static long body_length(struct bytes head)
{
    static const char name[] = "\r\nContent-Length: ";

    for (size_t i = 0; i + sizeof name - 1 < head.length; i++)
        if (head.data[i] == '\r' && strncasecmp(head.data + i, name, sizeof name - 1) == 0)
            return strtol(head.data + i + sizeof name - 1, NULL, 10);
    return -1;
}

/* Handles one answer when it is whole; there is never a second one behind it. */
static size_t take_answer(struct crowd *crowd, struct client *client, unsigned link, struct bytes input)
{
    const char *end = memmem(input.data, input.length, "\r\n\r\n", 4);
    size_t head = end ? (size_t)(end + 4 - input.data) : 0;
    long length = end ? body_length(bytes_make(input.data, head)) : 0;

    if (!end)
        return 0;
    if (!bytes_starts_with(input, BYTES("HTTP/1.1 200 ")) || length < 0) {
        crowd_give_up(crowd, client, "got another answer", input);
        return 0;
    }
    if (input.length - head < (size_t)length)
        return 0;
    got_body(crowd, client, link, bytes_make(input.data + head, (size_t)length));
    return head + (size_t)length;
}

/* A connection for posts that is not used goes after a while: the next post opens another. */
static bool may_end(const struct client *client, unsigned link)
{
    return link == POSTS && !client->posting;
}

const struct crowd_transport crowd_polling = {
    .links = LINKS,
    .connected = connected,
    .input = take_answer,
    .may_end = may_end,
    .send_text = send_text,
};
