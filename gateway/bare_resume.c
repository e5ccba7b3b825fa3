/*
 * Missed messages on their way to a bare client; see bare_resume.h.  bare_speech.c begins it and brings the
 * pages.  The surprising rule: what waited for the client when it was corked is taken along in front, because
 * a part of it may be out already, and nothing may come between its bytes.
 */
#include "gateway/bare_resume.h"

#include "common/memory.h"
#include "gateway/ask.h"
#include "gateway/bare_client.h"
#include "gateway/bare_close.h"
#include "gateway/bare_speech.h"
#include "gateway/connection.h"
#include "gateway/gateway.h"
#include "proto/bare.h"
#include "proto/json_text.h"

#include <stdlib.h>

enum { PAGE = 200 };

/* A message that is to be sent: its seq, and where its frame ends. */
struct missed {
    uint64_t seq;
    size_t end;
};

struct bare_resume {
    struct buffer waiting; /* what waited when it was corked */
    struct buffer frames;  /* of the messages, encoded */
    struct missed *missed;
    size_t count, capacity;
    uint64_t asked;  /* the newest page is what came behind that seq */
    uint64_t last;   /* the newest message that came */
    bool renumbered; /* the client's seq is beyond the room's: it is about other numbers */
};

void bare_resume_free(struct bare_resume *resume)
{
    if (!resume)
        return;
    buffer_done(&resume->waiting);
    buffer_done(&resume->frames);
    free(resume->missed);
    free(resume);
}

static void append_frame(struct gateway *gateway, const struct connection *connection, struct bytes text,
                         struct buffer *out)
{
    struct encoding_message message = {.parts = &text, .count = 1};
    size_t length = encoding_measure(gateway->encoder, connection->encoding, &message);

    encoding_write(gateway->encoder, connection->encoding, &message, buffer_reserve(out, length));
    buffer_extend(out, length);
}

/* -- the end ---------------------------------------------------------------------------------- */

static void append_gap(const struct bare_client *client, uint64_t next, struct buffer *out)
{
    buffer_append_literal(out, "{\"type\":\"gap\",\"room\":");
    json_append_string(out, bare_client_room(client));
    buffer_append_literal(out, ",\"after\":");
    buffer_append_u64(out, client->after);
    buffer_append_literal(out, ",\"next\":");
    buffer_append_u64(out, next);
    buffer_append_char(out, '}');
}

/* Everything that can be sent is here: it goes out, and behind it what came meanwhile. */
static void finish(struct gateway *gateway, struct connection *connection, const struct socket *socket)
{
    struct bare_client *client = connection->bare_client;
    struct bare_resume *resume = client->resume;
    uint64_t next = resume->count ? resume->missed[0].seq : client->seq + 1;
    struct buffer front = resume->waiting, text = {0};
    struct output output = {0};

    resume->waiting = (struct buffer){0};
    bare_append_open(socket, &text);
    append_frame(gateway, connection, buffer_bytes(&text), &front);
    if (resume->renumbered || next > client->after + 1) {
        buffer_clear(&text);
        append_gap(client, next, &text);
        append_frame(gateway, connection, buffer_bytes(&text), &front);
    }
    buffer_append_bytes(&front, buffer_bytes(&resume->frames));
    memcpy(output_reserve(&output, front.length), front.data, front.length);
    gateway->counters.deliveries += resume->count;
    client->resume = NULL;
    bare_resume_free(resume);
    buffer_done(&front);
    buffer_done(&text);
    connection_uncork(gateway, connection, &output);
}

void bare_resume_let_go(struct gateway *gateway, struct connection *connection)
{
    struct bare_client *client = connection->bare_client;
    struct bare_resume *resume = client->resume;
    struct output waiting = {0};

    if (!resume)
        return;
    fanout_catch_up(gateway, connection);
    output_done(&connection->output);
    if (resume->waiting.length)
        memcpy(output_reserve(&waiting, resume->waiting.length), resume->waiting.data,
               resume->waiting.length);
    client->resume = NULL;
    bare_resume_free(resume);
    connection_uncork(gateway, connection, &waiting);
}

/* -- pages ------------------------------------------------------------------------------------ */

static void ask_page(struct gateway *gateway, struct socket *socket, uint64_t after)
{
    struct bare_client *client = socket->connection->bare_client;

    client->resume->asked = after;
    if (ask_history(gateway, socket, BARE_ACK_PAGE,
                    (struct wire_history){
                        .room = bare_client_room(client), .has_after = 1, .after = after, .limit = PAGE}) < 0)
        bare_close_for(gateway, socket->connection, CLOSE_ROUTER_SILENT);
}

void bare_resume_begin(struct gateway *gateway, struct socket *socket)
{
    struct connection *connection = socket->connection;
    struct bare_client *client = connection->bare_client;
    struct bare_resume *resume = memory_zero(1, sizeof *resume);
    uint64_t after = client->after;

    client->resume = resume;
    resume->renumbered = after > client->seq;
    if (resume->renumbered)
        after = 0;
    if (client->seq - after > BARE_RESUME_MAX)
        after = client->seq - BARE_RESUME_MAX;
    connection_cork(connection);
    output_gather(&connection->output, &resume->waiting);
    output_done(&connection->output);
    ask_page(gateway, socket, after);
}

static void keep(struct bare_resume *resume, uint64_t seq)
{
    if (resume->count == resume->capacity) {
        resume->capacity = resume->capacity ? resume->capacity * 2 : PAGE;
        resume->missed = memory_resize(resume->missed, resume->capacity * sizeof *resume->missed);
    }
    resume->missed[resume->count++] = (struct missed){seq, resume->frames.length};
    resume->last = seq;
}

/* Forgets the oldest: more than so much may not wait for a client. */
static void drop_oldest(const struct gateway *gateway, struct bare_resume *resume)
{
    size_t limit = gateway->settings->outbound_queue / 2, count = 0, start = 0;

    while (count < resume->count && resume->frames.length - start > limit)
        start = resume->missed[count++].end;
    if (count == 0)
        return;
    buffer_consume(&resume->frames, start);
    resume->count -= count;
    memmove(resume->missed, resume->missed + count, resume->count * sizeof *resume->missed);
    for (size_t i = 0; i < resume->count; i++)
        resume->missed[i].end -= start;
}

/* Takes in one message of a page.  False behind the last: what follows is delivered as it comes. */
static bool take(struct gateway *gateway, struct connection *connection, struct json_value message,
                 struct bytes attachments)
{
    struct bare_client *client = connection->bare_client;
    struct buffer text = {0};
    unsigned long long seq;
    bool wanted = bare_append_missed(&text, bare_client_room(client), message, attachments, &seq) == 0 &&
                  seq > client->resume->asked && seq <= client->seq;

    if (wanted) {
        append_frame(gateway, connection, buffer_bytes(&text), &client->resume->frames);
        keep(client->resume, seq);
    }
    buffer_done(&text);
    return wanted;
}

void bare_resume_on_page(struct gateway *gateway, struct socket *socket, struct bytes answer,
                         struct bytes attachments)
{
    struct connection *connection = socket->connection;
    struct bare_client *client = connection->bare_client;
    struct json_value object, value, message;
    struct json_cursor cursor;
    uint64_t last;

    if (!client->resume)
        return;
    if (json_scan(answer, &object) < 0)
        object = (struct json_value){0};
    if (json_object_find(object, "messages", &value) < 0) {
        if (json_object_find(object, "error", &value) < 0)
            value = (struct json_value){0};
        bare_close_refused(gateway, connection, value.text);
        return;
    }
    cursor = json_array_cursor(value);
    while (json_cursor_next(&cursor, &message) == 0 && take(gateway, connection, message, attachments))
        ;
    drop_oldest(gateway, client->resume);
    last = client->resume->last;
    if (json_object_find(object, "more", &value) < 0 || value.kind != JSON_TRUE ||
        last <= client->resume->asked || last >= client->seq)
        finish(gateway, connection, socket);
    else
        ask_page(gateway, socket, last);
}
