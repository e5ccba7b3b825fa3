/*
 * Clients that mean harm, many at once: the other half of the load test (test_load.py).
 *
 * One epoll loop holds them all.  Each kind has a row: what it says first, what it does from time to time, and
 * how long it waits before it comes again once it was thrown out.  Each kind has addresses of its own
 * (127.1.KIND.N, a few clients on each), so that limits on addresses meet those who earn them, and prints how
 * often its clients came, went, and were told to come later.
 *
 * The surprise: it never gives up and checks nothing. Whether the server bore it is judged by what the server
 * counted, and by what the good clients beside it felt.
 */
#include "common/buffer.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/exit_code.h"
#include "proto/websocket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

enum {
    SWEEP_MS = 50, /* within so long everyone has had its turn */
    PER_ADDRESS = 10,
    LOUD_EVERY = 10, /* of the flooders every so many has large messages, which slow readers do not read */
    LOUD_TEXT = 8000,
    BOMB_MB = 64,
    WORDS = 16 << 10,
    ROOM_TEXT = 32,
};

struct swarm_settings {
    uint16_t port;
    unsigned each;
    uint32_t time, calm; /* ms */
    char *token;
};

#define KEY(key, kind)                                                                                       \
    .section = "swarm", .name = #key, .type = CONFIG_KEY_##kind, CONFIG_FIELD(struct swarm_settings, key)

static const struct config_key keys[] = {
    {KEY(port, INTEGER), .minimum = 1, .fallback = "3000", .help = "the server's port on 127.0.0.1"},
    {KEY(each, INTEGER), .minimum = 1, .maximum = 10000, .fallback = "100", .help = "clients of each kind"},
    {KEY(time, DURATION), .maximum = 3600000, .fallback = "60 s", .help = "how long they go on"},
    {KEY(calm, DURATION), .minimum = 50, .maximum = 60000, .fallback = "2 s",
     .help = "how long most of them wait before they come again"},
    {KEY(token, STRING), .fallback = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.", .help = "the bad token"},
};

static const struct config_program program = {
    .name = "swarm",
    .summary = "clients that mean harm, for the load test",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
};

struct intruder {
    int fd; /* -1: away until due */
    const struct kind *kind;
    unsigned number; /* within its kind */
    uint64_t due;    /* ms: comes again, or does the next thing */
    bool greeted;    /* the connection is there, and it has said what it says first */
};

struct figures {
    uint64_t came, thrown_out, told_later;
};

struct kind {
    const char *name;
    void (*greet)(struct intruder *intruder);
    void (*step)(struct intruder *intruder); /* NULL: says nothing more */
    unsigned step_ms;
    bool deaf;     /* never reads */
    bool restless; /* goes by itself once it has come, and comes again after step_ms */
    struct figures *figures;
};

static struct swarm_settings settings;
static int poller;
static uint64_t now;
static char words[WORDS];
static struct buffer bomb;

/* -- what they say ---------------------------------------------------------------------------- */

/* What does not fit the socket is left out: nobody here cares. */
static void say(const struct intruder *intruder, const void *data, size_t length)
{
    ssize_t sent = send(intruder->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);

    (void)sent;
}

static void say_text(const struct intruder *intruder, const char *text)
{
    say(intruder, text, strlen(text));
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

static void say_message(const struct intruder *intruder, const char *text)
{
    struct buffer frame = {0};

    append_frame(&frame, WEBSOCKET_FIN | WEBSOCKET_OPCODE_TEXT, text, strlen(text));
    say(intruder, frame.data, frame.length);
    buffer_done(&frame);
}

static void upgrade(const struct intruder *intruder, const char *fields)
{
    struct buffer text = {0};

    buffer_printf(&text,
                  "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                  fields);
    say(intruder, text.data, text.length);
    buffer_done(&text);
}

static void drip(struct intruder *intruder)
{
    say(intruder, "x", 1);
}

static void greet_head(struct intruder *intruder)
{
    say_text(intruder, "GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ");
}

static void greet_post(struct intruder *intruder)
{
    say_text(intruder,
             "POST /socket.io/?EIO=4&transport=polling&sid=aaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\nHost: h\r\n"
             "Content-Length: 100000\r\n\r\n");
}

static void greet_frame(struct intruder *intruder)
{
    struct buffer frame = {0};

    upgrade(intruder, "");
    say_message(intruder, "40");
    append_frame(&frame, WEBSOCKET_FIN | WEBSOCKET_OPCODE_TEXT, words, 4000);
    say(intruder, frame.data, 20);
    buffer_done(&frame);
}

static void greet_oversize(struct intruder *intruder)
{
    static const unsigned char header[] = {0x81, 0xff, 0, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0};

    if (intruder->number % 2) {
        say_text(intruder, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
        say(intruder, words, sizeof words);
        return;
    }
    upgrade(intruder, "");
    say(intruder, header, sizeof header);
}

static void greet_bomb(struct intruder *intruder)
{
    upgrade(intruder, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    say(intruder, bomb.data, bomb.length);
}

static bool is_loud(const struct intruder *intruder)
{
    return intruder->number % LOUD_EVERY == 0;
}

/* The room of a loud one, for itself and for those who do not read it; another flooder has one to itself. */
static void name_room(const struct intruder *intruder, char out[static ROOM_TEXT])
{
    bool alone = intruder->kind->step && !is_loud(intruder);

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
    say(intruder, frames.data, frames.length);
    buffer_done(&frames);
    buffer_done(&text);
}

static void step_token(struct intruder *intruder)
{
    struct buffer text = {0};

    buffer_printf(&text, "40{\"token\":\"%s\"}%c", settings.token, '\0');
    say_message(intruder, text.data);
    buffer_done(&text);
}

static void greet_token(struct intruder *intruder)
{
    upgrade(intruder, "");
    step_token(intruder);
}

static void greet_nothing(struct intruder *intruder)
{
    if (intruder->number % 2)
        upgrade(intruder, ""); /* and no CONNECT */
}

static struct figures counted[16];
static const struct kind kinds[] = {
    {.name = "slow_head", .greet = greet_head, .step = drip, .step_ms = 500, .figures = &counted[0]},
    {.name = "slow_post", .greet = greet_post, .step = drip, .step_ms = 500, .figures = &counted[1]},
    {.name = "slow_frame", .greet = greet_frame, .step = drip, .step_ms = 500, .figures = &counted[2]},
    {.name = "oversize", .greet = greet_oversize, .figures = &counted[3]},
    {.name = "bomb", .greet = greet_bomb, .figures = &counted[4]},
    {.name = "flood", .greet = enter_room, .step = step_flood, .step_ms = 50, .figures = &counted[5]},
    {.name = "storm", .greet = greet_nothing, .restless = true, .step_ms = 100, .figures = &counted[6]},
    {.name = "slow_reader", .greet = enter_room, .deaf = true, .figures = &counted[7]},
    {.name = "token", .greet = greet_token, .step = step_token, .step_ms = 1000, .figures = &counted[8]},
    {.name = "silent", .greet = greet_nothing, .figures = &counted[9]},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* -- coming and going ------------------------------------------------------------------------- */

static void go(struct intruder *intruder, uint64_t pause)
{
    close(intruder->fd); /* out of the poller with it */
    intruder->fd = -1;
    intruder->due = now + pause;
}

static void come(struct intruder *intruder)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = intruder};
    int yes = 1, small = 4096;

    from.sin_addr.s_addr = htonl(0x7f010000U | (uint32_t)(intruder->kind - kinds) << 8 |
                                 (1 + intruder->number / PER_ADDRESS % 250));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(settings.port);
    intruder->greeted = false;
    intruder->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (intruder->fd < 0) {
        intruder->due = now + settings.calm;
        return;
    }
    /* The kernel chooses the port when both ends are known. */
    setsockopt(intruder->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    setsockopt(intruder->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (intruder->kind->deaf)
        setsockopt(intruder->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (bind(intruder->fd, (struct sockaddr *)&from, sizeof from) < 0 ||
        (connect(intruder->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) ||
        epoll_ctl(poller, EPOLL_CTL_ADD, intruder->fd, &event) < 0)
        go(intruder, settings.calm);
}

static void begin(struct intruder *intruder)
{
    const struct kind *kind = intruder->kind;
    struct epoll_event event = {.events = kind->deaf ? 0 : EPOLLIN, .data.ptr = intruder};

    intruder->greeted = true;
    intruder->due = now + kind->step_ms;
    kind->figures->came++;
    kind->greet(intruder);
    epoll_ctl(poller, EPOLL_CTL_MOD, intruder->fd, &event);
}

static void on_ready(struct intruder *intruder, uint32_t events)
{
    static char space[64 << 10];
    ssize_t n = 0;

    if (!intruder->greeted && !(events & (EPOLLERR | EPOLLHUP))) {
        begin(intruder);
        return;
    }
    if (!intruder->kind->deaf && intruder->greeted) {
        n = recv(intruder->fd, space, sizeof space, 0);
        if (n > 12 && memcmp(space, "HTTP/1.1 429", 12) == 0)
            intruder->kind->figures->told_later++;
        if (n > 0 || (n < 0 && errno == EAGAIN))
            return;
    }
    intruder->kind->figures->thrown_out += intruder->greeted;
    go(intruder, settings.calm);
}

static void look_after(struct intruder *intruder)
{
    const struct kind *kind = intruder->kind;

    if (now < intruder->due)
        return;
    if (intruder->fd < 0)
        come(intruder);
    else if (intruder->greeted && kind->restless)
        go(intruder, 0);
    else if (intruder->greeted && kind->step) {
        kind->step(intruder);
        intruder->due = now + kind->step_ms;
    }
}

/* -- the whole -------------------------------------------------------------------------------- */

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

static void print_figures(void)
{
    putchar('{');
    for (unsigned i = 0; i < KINDS; i++)
        printf("%s\"%s\": {\"came\": %" PRIu64 ", \"thrown_out\": %" PRIu64 ", \"told_later\": %" PRIu64 "}",
               i ? ", " : "", kinds[i].name, kinds[i].figures->came, kinds[i].figures->thrown_out,
               kinds[i].figures->told_later);
    puts("}");
}

static int run(void)
{
    unsigned count = settings.each * KINDS;
    struct intruder *all = calloc(count, sizeof *all);
    struct epoll_event events[256];
    uint64_t start, owed = 0; /* turns, times SWEEP_MS */
    unsigned next = 0;        /* whose turn it is */

    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!all || poller < 0)
        return EXIT_RUNTIME;
    memset(words, 'x', sizeof words);
    make_bomb();
    now = start = clock_monotonic_ms();
    for (unsigned i = 0; i < count; i++)
        all[i] = (struct intruder){.fd = -1,
                                   .kind = &kinds[i % KINDS],
                                   .number = i / KINDS,
                                   .due = now + (uint64_t)settings.calm * i / count};
    while (now < start + settings.time) {
        int ready = epoll_wait(poller, events, 256, 1);
        uint64_t before = now;

        now = clock_monotonic_ms();
        for (int i = 0; i < ready; i++)
            on_ready(events[i].data.ptr, events[i].events);
        /* A few at a time, as clients of many machines come and speak: not all of them in one moment. */
        for (owed += (now - before) * count; owed >= SWEEP_MS; owed -= SWEEP_MS) {
            look_after(&all[next]);
            next = (next + 1) % count;
        }
    }
    for (unsigned i = 0; i < count; i++)
        if (all[i].fd >= 0)
            close(all[i].fd);
    print_figures();
    close(poller);
    free(all);
    buffer_done(&bomb);
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    struct config_result result;
    struct rlimit files;
    int code;

    if (config_load(&program, argc, argv, &settings, &result) != 0) {
        config_settings_done(&program, &settings);
        return config_report(&result);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    code = run();
    config_settings_done(&program, &settings);
    return code;
}
