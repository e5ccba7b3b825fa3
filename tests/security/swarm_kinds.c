/*
 * What the swarm's clients say, a row a kind at the end; swarm.c asks.  In this order: those who take their
 * time, those who are too large or too many, those who want to be misread, those who try doors.  Those at
 * the router's port have a file of their own, swarm_strangers.c.
 *
 * The surprise: what they know of each other. Flooders leave the last session id that they got lying about,
 * and thieves take it.
 */
#include "tests/security/swarm.h"

#include "common/buffer.h"
#include "proto/websocket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <zlib.h>

enum {
    LOUD_EVERY = 10, /* of the flooders every so many has large messages, which slow readers do not read */
    LOUD_TEXT = 8000,
    BOMB_MB = 64,
    WORDS = 16 << 10,
    BRACKETS = 100000,
    ROOM_TEXT = 32,
    TOKENS_MAX = 32,
};

#define WEBSOCKET_PATH "/socket.io/?EIO=4&transport=websocket"
#define POLLING_PATH   "/socket.io/?EIO=4&transport=polling"
#define FORBIDDEN_ROOM "secret" /* to whoever has no token: test_load.py */

static char words[WORDS];
static struct buffer bomb, brackets;
static char *tokens[TOKENS_MAX];
static unsigned token_count;
static char stolen[SWARM_SID_MAX + 1] =
    "aaaaaaaaaaaaaaaaaaaaaaaa"; /* invented, until there is one to steal */

/* -- how they say it -------------------------------------------------------------------------- */

void swarm_say(const struct intruder *intruder, const void *data, size_t length)
{
    ssize_t sent = send(intruder->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);

    (void)sent;
}

static void say_text(const struct intruder *intruder, const char *text)
{
    swarm_say(intruder, text, strlen(text));
}

/* A frame with a mask of zeros. */
static void append_frame(struct buffer *out, unsigned first, const void *data, size_t length)
{
    char header[WEBSOCKET_HEADER_MAX];
    size_t header_length = websocket_frame_header(header, first, length);

    header[1] = (char)(header[1] | 0x80);
    buffer_append(out, header, header_length);
    buffer_append(out, "\0\0\0\0", 4);
    buffer_append(out, data, length);
}

static void append_message(struct buffer *out, const char *text)
{
    append_frame(out, WEBSOCKET_FIN | WEBSOCKET_OPCODE_TEXT, text, strlen(text));
}

static void say_message(const struct intruder *intruder, const char *text)
{
    struct buffer frame = {0};

    append_message(&frame, text);
    swarm_say(intruder, frame.data, frame.length);
    buffer_done(&frame);
}

/* Lines of a request's head are written with \r\n, fields too. */
static void upgrade_at(const struct intruder *intruder, const char *path, const char *fields)
{
    struct buffer text = {0};

    buffer_printf(&text,
                  "GET %s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                  path, fields);
    swarm_say(intruder, text.data, text.length);
    buffer_done(&text);
}

static void upgrade(const struct intruder *intruder, const char *fields)
{
    upgrade_at(intruder, WEBSOCKET_PATH, fields);
}

static void append_post(struct buffer *out, const char *sid, const char *body)
{
    buffer_printf(out, "POST " POLLING_PATH "&sid=%s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s",
                  sid, strlen(body), body);
}

/* Copies the session id of an OPEN packet; false: there is none in it. */
static bool find_sid(const char *data, size_t length, char out[static SWARM_SID_MAX + 1])
{
    static const char key[] = "0{\"sid\":\"";
    const char *at = memmem(data, length, key, sizeof key - 1);
    size_t left = at ? length - (size_t)(at - data) - (sizeof key - 1) : 0;
    const char *end = at ? memchr(at + sizeof key - 1, '"', left) : NULL;

    if (!end || end - at - (sizeof key - 1) > SWARM_SID_MAX)
        return false;
    at += sizeof key - 1;
    memcpy(out, at, (size_t)(end - at));
    out[end - at] = '\0';
    return true;
}

/* -- slow, or silent -------------------------------------------------------------------------- */

static void drip(struct intruder *intruder)
{
    swarm_say(intruder, "x", 1);
}

static void greet_head(struct intruder *intruder)
{
    say_text(intruder, "GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ");
}

static void greet_post(struct intruder *intruder)
{
    say_text(intruder, "POST " POLLING_PATH "&sid=aaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\nHost: h\r\n"
                       "Content-Length: 100000\r\n\r\n");
}

static void greet_frame(struct intruder *intruder)
{
    struct buffer frame = {0};

    upgrade(intruder, "");
    say_message(intruder, "40");
    append_frame(&frame, WEBSOCKET_FIN | WEBSOCKET_OPCODE_TEXT, words, 4000);
    swarm_say(intruder, frame.data, 20);
    buffer_done(&frame);
}

static void greet_nothing(struct intruder *intruder)
{
    if (intruder->number % 2)
        upgrade(intruder, ""); /* and no CONNECT */
}

/* -- too large, or too many ------------------------------------------------------------------- */

static void greet_oversize(struct intruder *intruder)
{
    static const unsigned char header[] = {0x81, 0xff, 0, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0};
    static const char *const starts[] = {"GET /", "GET / HTTP/1.1\r\nHost: h\r\nX: "};

    if (intruder->number % 3 < 2) {
        say_text(intruder, starts[intruder->number % 3]);
        swarm_say(intruder, words, sizeof words);
        return;
    }
    upgrade(intruder, "");
    swarm_say(intruder, header, sizeof header);
}

static void greet_bomb(struct intruder *intruder)
{
    upgrade(intruder, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    swarm_say(intruder, bomb.data, bomb.length);
}

static void greet_brackets(struct intruder *intruder)
{
    upgrade(intruder, "");
    say_message(intruder, "40");
}

static void step_brackets(struct intruder *intruder)
{
    swarm_say(intruder, brackets.data, brackets.length);
}

static bool is_loud(const struct intruder *intruder)
{
    return intruder->number % LOUD_EVERY == 0;
}

/* The room of a loud one, for itself and for those who do not read it; another flooder has one to itself. */
static void name_room(const struct intruder *intruder, char out[static ROOM_TEXT])
{
    bool alone = !intruder->kind->deaf && !is_loud(intruder);

    snprintf(out, ROOM_TEXT, "bad-%s%u", alone ? "own-" : "",
             alone ? intruder->number : intruder->number / LOUD_EVERY);
}

static void enter_room(struct intruder *intruder)
{
    char room[ROOM_TEXT], text[64];

    name_room(intruder, room);
    upgrade(intruder, "");
    snprintf(text, sizeof text, "40{\"join\":[\"%s\"]}", room);
    say_message(intruder, text);
}

/* Far more than its rate, in one go: loud messages to everyone in the room, small ones to nobody. */
static void step_flood(struct intruder *intruder)
{
    struct buffer text = {0}, frames = {0};
    char room[ROOM_TEXT];

    name_room(intruder, room);
    buffer_printf(&text, "42[\"%s\",{\"room\":\"%s\",\"body\":\"", is_loud(intruder) ? "loud" : "typing",
                  room);
    buffer_append(&text, words, is_loud(intruder) ? LOUD_TEXT : 5);
    buffer_append_literal(&text, "\"}]");
    for (unsigned i = 0; i < (is_loud(intruder) ? 8 : 40); i++)
        append_frame(&frames, WEBSOCKET_FIN | WEBSOCKET_OPCODE_TEXT, text.data, text.length);
    swarm_say(intruder, frames.data, frames.length);
    buffer_done(&frames);
    buffer_done(&text);
}

/* So that nothing but its reading ends a slow reader. */
static void step_pong(struct intruder *intruder)
{
    say_message(intruder, "3");
}

static bool lose_sid(struct intruder *intruder, const char *data, size_t length)
{
    (void)intruder;
    (void)find_sid(data, length, stolen);
    return true;
}

/* -- to be misread ---------------------------------------------------------------------------- */

/* Requests with another one inside, for whoever takes their length in the other way. */
static void greet_smuggler(struct intruder *intruder)
{
    static const char *const fields[] = {
        "Content-Length: 0\r\nContent-Length: 44",
        "Content-Length: 0, 44",
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "X: y\nTransfer-Encoding: chunked",
    };
    struct buffer text = {0};

    buffer_printf(&text,
                  "POST " POLLING_PATH " HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n0\r\n\r\n"
                  "GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n",
                  fields[intruder->number % (sizeof fields / sizeof *fields)]);
    swarm_say(intruder, text.data, text.length);
    buffer_done(&text);
}

/* Lines in what a server may repeat in its answer or its log. */
static void greet_lines(struct intruder *intruder)
{
    static const char *const fields[] = {
        "Origin: a\rX-Injected: 1\r\n",
        "Origin: a\nX-Injected: 1\r\n",
        "Sec-WebSocket-Protocol: a\rX-Injected: 1\r\n",
    };

    upgrade_at(intruder, WEBSOCKET_PATH "&x=a%0d%0aX-Injected:%201",
               fields[intruder->number % (sizeof fields / sizeof *fields)]);
}

static void greet_names(struct intruder *intruder)
{
    upgrade_at(intruder, WEBSOCKET_PATH "&x=a%0d%0aX-Injected:%201", "");
    say_message(intruder, "40{\"join\":[\"a\\r\\nX-Injected: 1\"]}");
}

static void step_names(struct intruder *intruder)
{
    say_message(intruder, "420[\"join\",\"a\\r\\ntime=2026-01-01T00:00:00Z level=error message=forged\"]");
    say_message(intruder, "421[\"x\\r\\ntime=2026-01-01T00:00:00Z level=error message=forged\",1]");
}

/* -- at doors --------------------------------------------------------------------------------- */

static void step_token(struct intruder *intruder)
{
    struct buffer text = {0};

    buffer_printf(&text, "40{\"token\":\"%s\"}%c", tokens[intruder->number % token_count], '\0');
    say_message(intruder, text.data);
    buffer_done(&text);
}

static void greet_token(struct intruder *intruder)
{
    upgrade(intruder, "");
    step_token(intruder);
}

static void greet_thief(struct intruder *intruder)
{
    char text[256];

    if (intruder->number % 2) {
        snprintf(text, sizeof text, WEBSOCKET_PATH "&sid=%s", stolen);
        upgrade_at(intruder, text, "");
        return;
    }
    snprintf(text, sizeof text,
             "GET " POLLING_PATH "&sid=%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", stolen);
    say_text(intruder, text);
}

static void greet_foreigner(struct intruder *intruder)
{
    if (intruder->number % 2)
        upgrade(intruder, "Origin: https://elsewhere.example\r\n");
    else
        say_text(intruder, "GET " POLLING_PATH " HTTP/1.1\r\nHost: h\r\nOrigin: https://elsewhere.example\r\n"
                           "Connection: close\r\n\r\n");
}

static void greet_websocket_door(struct intruder *intruder)
{
    upgrade(intruder, "");
    say_message(intruder, "40{\"join\":[\"" FORBIDDEN_ROOM "\"]}");
}

static void step_websocket_door(struct intruder *intruder)
{
    say_message(intruder, "420[\"join\",\"" FORBIDDEN_ROOM "\"]");
    say_message(intruder, "421[\"msg\",{\"room\":\"" FORBIDDEN_ROOM "\",\"body\":\"let me in\"}]");
    say_message(intruder, "422[\"history\",{\"room\":\"" FORBIDDEN_ROOM "\"}]");
}

static void greet_polling_door(struct intruder *intruder)
{
    say_text(intruder, "GET " POLLING_PATH " HTTP/1.1\r\nHost: h\r\n\r\n");
}

/* Posts, and polls for the answers to them. */
static void step_polling_door(struct intruder *intruder)
{
    struct buffer text = {0};

    if (!intruder->sid[0])
        return;
    append_post(&text, intruder->sid,
                "420[\"join\",\"" FORBIDDEN_ROOM "\"]\x1e"
                "421[\"msg\",{\"room\":\"bad-0\",\"body\":\"I have not joined\"}]");
    buffer_printf(&text, "GET " POLLING_PATH "&sid=%s HTTP/1.1\r\nHost: h\r\n\r\n", intruder->sid);
    swarm_say(intruder, text.data, text.length);
    buffer_done(&text);
}

static bool hear_at_polling_door(struct intruder *intruder, const char *data, size_t length)
{
    struct buffer text = {0};

    if (length > 12 && memcmp(data, "HTTP/1.1 400", 12) == 0)
        return false; /* the session has ended: it sends no pongs */
    if (intruder->sid[0] || !find_sid(data, length, intruder->sid))
        return true;
    append_post(&text, intruder->sid, "40");
    swarm_say(intruder, text.data, text.length);
    buffer_done(&text);
    return true;
}

static void greet_bare_door(struct intruder *intruder)
{
    upgrade_at(intruder, "/ws?room=" FORBIDDEN_ROOM, "");
}

/* -- the rows --------------------------------------------------------------------------------- */

const struct kind swarm_kinds[SWARM_KINDS] = {
    {.name = "slow_head", .greet = greet_head, .step = drip, .step_ms = 500},
    {.name = "slow_post", .greet = greet_post, .step = drip, .step_ms = 500},
    {.name = "slow_frame", .greet = greet_frame, .step = drip, .step_ms = 500},
    {.name = "slow_reader", .greet = enter_room, .step = step_pong, .step_ms = 1000, .deaf = true},
    {.name = "silent", .greet = greet_nothing},
    {.name = "oversize", .greet = greet_oversize},
    {.name = "bomb", .greet = greet_bomb},
    {.name = "brackets", .greet = greet_brackets, .step = step_brackets, .step_ms = 1000},
    {.name = "flood", .greet = enter_room, .step = step_flood, .hear = lose_sid, .step_ms = 50},
    {.name = "storm", .greet = greet_nothing, .restless = true, .step_ms = 100},
    {.name = "smuggler", .greet = greet_smuggler},
    {.name = "lines", .greet = greet_lines},
    {.name = "names", .greet = greet_names, .step = step_names, .step_ms = 1000},
    {.name = "token", .greet = greet_token, .step = step_token, .step_ms = 1000},
    {.name = "thief", .greet = greet_thief},
    {.name = "foreigner", .greet = greet_foreigner},
    {.name = "door_websocket", .greet = greet_websocket_door, .step = step_websocket_door, .step_ms = 1000},
    {.name = "door_polling",
     .greet = greet_polling_door,
     .step = step_polling_door,
     .hear = hear_at_polling_door,
     .step_ms = 1000},
    {.name = "door_bare", .greet = greet_bare_door},
    {.name = "stranger", .greet = swarm_stranger_greet, .router = true},
};

/* -- what they bring -------------------------------------------------------------------------- */

/* One compressed message that inflates to BOMB_MB. */
static void make_bomb(void)
{
    z_stream stream = {0};
    static char zeros[1 << 20];
    char *out = malloc(BOMB_MB << 20);

    if (!out || deflateInit2(&stream, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    stream.next_out = (unsigned char *)out;
    stream.avail_out = BOMB_MB << 20;
    for (unsigned i = 0; i < BOMB_MB; i++) {
        stream.next_in = (unsigned char *)zeros;
        stream.avail_in = sizeof zeros;
        if (deflate(&stream, i + 1 < BOMB_MB ? Z_NO_FLUSH : Z_SYNC_FLUSH) != Z_OK)
            abort();
    }
    append_frame(&bomb, WEBSOCKET_FIN | WEBSOCKET_RSV1 | WEBSOCKET_OPCODE_TEXT, out, stream.total_out - 4);
    deflateEnd(&stream);
    free(out);
}

/* An event with that many arrays in each other. */
static void make_brackets(void)
{
    struct buffer text = {0};

    buffer_append_literal(&text, "425[\"msg\",");
    for (unsigned i = 0; i < 2 * BRACKETS; i++)
        buffer_append_char(&text, i < BRACKETS ? '[' : ']');
    buffer_append_char(&text, ']');
    append_frame(&brackets, WEBSOCKET_FIN | WEBSOCKET_OPCODE_TEXT, text.data, text.length);
    buffer_done(&text);
}

static int read_tokens(const char *path)
{
    FILE *file = path[0] ? fopen(path, "re") : NULL;
    size_t size = 0;
    char *line = NULL;
    ssize_t length;

    if (path[0] && !file) {
        fprintf(stderr, "swarm: %s: %s\n", path, strerror(errno));
        return ERROR_CONFIG;
    }
    while (file && token_count < TOKENS_MAX && (length = getline(&line, &size, file)) > 0) {
        line[strcspn(line, "\n")] = '\0';
        tokens[token_count++] = strdup(line);
    }
    if (token_count == 0)
        tokens[token_count++] = strdup("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.");
    free(line);
    if (file)
        fclose(file);
    return 0;
}

int swarm_kinds_init(const struct swarm_settings *settings)
{
    int code = read_tokens(settings->tokens);

    memset(words, 'x', sizeof words);
    make_bomb();
    make_brackets();
    return code == 0 ? swarm_strangers_init(settings) : code;
}

void swarm_kinds_done(void)
{
    swarm_strangers_done();
    while (token_count > 0)
        free(tokens[--token_count]);
    buffer_done(&brackets);
    buffer_done(&bomb);
}
