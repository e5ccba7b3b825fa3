/*
 * The clients of the load generator: connections, frames, and as much of Socket.IO as they need.
 *
 * load.c decides when who publishes.  The surprise: a publisher's masked frame is made once, and only the
 * mark in it is written anew for each message, so that the generator measures the server and not itself.
 */
#include "tests/bench/crowd.h"

#include "common/buffer.h"
#include "common/clock.h"
#include "common/memory.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_SIZE = 256 << 10,
    EVENTS = 512,
    SHOWN = 200,       /* bytes of what came unexpectedly */
    NUMBER_DIGITS = 8, /* hexadecimal, of the sender */
    TIME_DIGITS = 16,  /* and of its clock in ns */
    MARK_LENGTH = NUMBER_DIGITS + 1 + TIME_DIGITS,
};

/* RFC 6455 section 5.2 */
enum { OPCODE_TEXT = 1, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };

enum client_state { CONNECTING, UPGRADING, OPENING, ENTERING, JOINING, READY, FAILED, LOST };

struct client {
    int fd;
    enum client_state state;
    unsigned room;
    unsigned mark_at;     /* where the mark stands in the frame */
    struct buffer frame;  /* the message that a publisher sends */
    struct buffer behind; /* the part of a frame that has come */
};

struct crowd {
    struct crowd_plan plan;
    struct sockaddr_in address;
    int epoll;
    struct client *clients;
    unsigned size;
    unsigned *ready_members; /* by room */
    struct crowd_figures figures;
    bool measuring;
    struct crowd_samples samples;
    uint64_t now; /* ns, of the read whose frames are handled */
    char input[READ_SIZE];
};

static const char mark_key[] = "\"mark\":\"";
static const unsigned char mask[4] = {0x5a, 0xc3, 0x1f, 0x96};

static unsigned number_of(const struct crowd *crowd, const struct client *client)
{
    return (unsigned)(client - crowd->clients);
}

/* Tells of the first one only: the others' reason is mostly the same. */
static void give_up_at(struct crowd *crowd, struct client *client, const char *why, struct bytes got)
{
    bool was_ready = client->state == READY;

    if (!crowd->figures.failed && !crowd->figures.lost)
        fprintf(stderr, "load: client %u: %s%s%.*s\n", number_of(crowd, client), why, got.length ? ": " : "",
                (int)(got.length < SHOWN ? got.length : SHOWN), got.data);
    if (was_ready) {
        crowd->figures.lost++;
        crowd->figures.ready--;
        crowd->ready_members[client->room]--;
    } else {
        crowd->figures.failed++;
    }
    client->state = was_ready ? LOST : FAILED;
    close(client->fd);
    client->fd = -1;
    buffer_done(&client->behind);
}

static void give_up(struct crowd *crowd, struct client *client, const char *why)
{
    give_up_at(crowd, client, why, BYTES(""));
}

static bool is_gone(const struct client *client)
{
    return client->state == FAILED || client->state == LOST;
}

/* Appends a masked frame; a mask of the same bytes each time is fine for a generator. */
static void append_frame(struct buffer *out, unsigned opcode, struct bytes payload)
{
    char *to;

    assert(payload.length < 65536);
    buffer_append_char(out, (char)(0x80 | opcode));
    if (payload.length < 126) {
        buffer_append_char(out, (char)(0x80 | payload.length));
    } else {
        buffer_append_char(out, (char)(0x80 | 126));
        buffer_append_char(out, (char)(payload.length >> 8));
        buffer_append_char(out, (char)payload.length);
    }
    buffer_append(out, mask, sizeof mask);
    to = buffer_reserve(out, payload.length);
    for (size_t i = 0; i < payload.length; i++)
        to[i] = (char)(payload.data[i] ^ mask[i % 4]);
    buffer_extend(out, payload.length);
}

static void send_bytes(struct crowd *crowd, struct client *client, struct bytes bytes)
{
    ssize_t sent = send(client->fd, bytes.data, bytes.length, MSG_NOSIGNAL | MSG_DONTWAIT);

    /* The few bytes that a client has under way fit any socket: a server that takes them no more is stuck. */
    if (sent != (ssize_t)bytes.length)
        give_up(crowd, client, sent < 0 ? strerror(errno) : "the server does not read");
}

static void send_text(struct crowd *crowd, struct client *client, struct bytes text)
{
    struct buffer frame = {0};

    append_frame(&frame, OPCODE_TEXT, text);
    send_bytes(crowd, client, buffer_bytes(&frame));
    buffer_done(&frame);
}

static void prepare_message(struct crowd *crowd, struct client *client)
{
    static const char zeros[MARK_LENGTH + 1] = "0000000000000000000000000";
    bool plain = crowd->plan.language == CROWD_PLAIN;
    struct buffer text = {0};
    size_t mark_at;

    buffer_printf(&text, "%s{\"room\":\"room-%u\",%s", plain ? "" : "42[\"msg\",", client->room, mark_key);
    mark_at = text.length;
    buffer_printf(&text, "%s\",\"text\":\"", zeros);
    memset(buffer_reserve(&text, crowd->plan.text), 'x', crowd->plan.text);
    buffer_extend(&text, crowd->plan.text);
    buffer_printf(&text, "\"}%s", plain ? "" : "]");
    append_frame(&client->frame, OPCODE_TEXT, buffer_bytes(&text));
    client->mark_at = (unsigned)(client->frame.length - text.length + mark_at);
    buffer_done(&text);
}

static void write_hexadecimal(char *to, unsigned digits, uint64_t value)
{
    while (digits--) {
        to[digits] = "0123456789abcdef"[value & 15];
        value >>= 4;
    }
}

/* 0 and the value, or ERROR_MALFORMED. */
static int read_hexadecimal(const char *from, unsigned digits, uint64_t *out)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < digits; i++) {
        unsigned digit = (unsigned)(from[i] - '0');

        if (digit > 9) {
            digit = (unsigned)(from[i] - 'a') + 10;
            if (digit < 10 || digit > 15)
                return ERROR_MALFORMED;
        }
        value = value << 4 | digit;
    }
    *out = value;
    return 0;
}

void crowd_publish(struct crowd *crowd, unsigned number)
{
    struct client *client = &crowd->clients[number];
    char mark[MARK_LENGTH];
    size_t payload_at;

    if (client->state != READY)
        return;
    write_hexadecimal(mark, NUMBER_DIGITS, number);
    mark[NUMBER_DIGITS] = '.';
    write_hexadecimal(mark + NUMBER_DIGITS + 1, TIME_DIGITS, clock_monotonic_ns());
    payload_at = (client->frame.data[1] & 127) < 126 ? 6 : 8;
    for (size_t i = 0; i < MARK_LENGTH; i++)
        client->frame.data[client->mark_at + i] =
            (char)(mark[i] ^ mask[(client->mark_at + i - payload_at) % 4]);
    crowd->figures.published++;
    crowd->figures.expected += crowd->ready_members[client->room];
    send_bytes(crowd, client, buffer_bytes(&client->frame));
}

static void take_sample(struct crowd *crowd, uint64_t sent)
{
    struct crowd_samples *samples = &crowd->samples;

    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity ? samples->capacity * 2 : 1 << 20;
        samples->values = memory_resize(samples->values, samples->capacity * sizeof *samples->values);
    }
    samples->values[samples->count++] = sent < crowd->now ? (uint32_t)((crowd->now - sent) / 1000) : 0;
}

static void got_message(struct crowd *crowd, struct client *client, struct bytes text)
{
    const char *key = memmem(text.data, text.length, mark_key, sizeof mark_key - 1);
    const char *mark = key + sizeof mark_key - 1;
    uint64_t sender, sent;

    if (!key || (size_t)(text.data + text.length - mark) < MARK_LENGTH ||
        read_hexadecimal(mark, NUMBER_DIGITS, &sender) ||
        read_hexadecimal(mark + NUMBER_DIGITS + 1, TIME_DIGITS, &sent)) {
        give_up_at(crowd, client, "got a text that is no message", text);
        return;
    }
    crowd->figures.delivered++;
    if (crowd->measuring)
        take_sample(crowd, sent);
    if (sender == number_of(crowd, client) && crowd->plan.returned)
        crowd->plan.returned(crowd->plan.arg, number_of(crowd, client));
}

static void become_ready(struct crowd *crowd, struct client *client)
{
    client->state = READY;
    crowd->figures.ready++;
    crowd->ready_members[client->room]++;
    if (crowd_is_publisher(crowd, number_of(crowd, client)))
        prepare_message(crowd, client);
}

static void ask_to_join(struct crowd *crowd, struct client *client)
{
    struct buffer text = {0};

    client->state = JOINING;
    buffer_printf(&text, "420[\"join\",\"room-%u\"]", client->room);
    send_text(crowd, client, buffer_bytes(&text));
    buffer_done(&text);
}

static void got_text(struct crowd *crowd, struct client *client, struct bytes text)
{
    if (crowd->plan.language == CROWD_PLAIN || bytes_starts_with(text, BYTES("42["))) {
        got_message(crowd, client, text);
    } else if (bytes_equal(text, BYTES("2"))) {
        send_text(crowd, client, BYTES("3"));
    } else if (client->state == OPENING && bytes_starts_with(text, BYTES("0{"))) {
        client->state = ENTERING;
        send_text(crowd, client, BYTES("40"));
    } else if (client->state == ENTERING && bytes_starts_with(text, BYTES("40{"))) {
        ask_to_join(crowd, client);
    } else if (client->state == JOINING && bytes_starts_with(text, BYTES("430[{\"ok\":true"))) {
        become_ready(crowd, client);
    } else {
        give_up_at(crowd, client, "got something else than it waits for", text);
    }
}

static void got_frame(struct crowd *crowd, struct client *client, unsigned opcode, struct bytes payload)
{
    struct buffer pong = {0};

    switch (opcode) {
    case OPCODE_TEXT:
        got_text(crowd, client, payload);
        return;
    case OPCODE_PING:
        append_frame(&pong, OPCODE_PONG, payload);
        send_bytes(crowd, client, buffer_bytes(&pong));
        buffer_done(&pong);
        return;
    case OPCODE_CLOSE:
        give_up(crowd, client, "the server closed the WebSocket");
        return;
    default:
        give_up(crowd, client, "got a frame of another kind");
    }
}

/* Handles the frames that are whole; returns how many bytes they took. */
static size_t take_frames(struct crowd *crowd, struct client *client, struct bytes input)
{
    size_t taken = 0;

    while (!is_gone(client)) {
        const unsigned char *at = (const unsigned char *)input.data + taken;
        size_t left = input.length - taken, head = 2;
        uint64_t length;

        if (left < head)
            break;
        length = at[1];
        if (length == 126)
            head = 4;
        else if (length == 127)
            head = 10;
        if (left < head)
            break;
        if (length >= 126) {
            length = 0;
            for (size_t i = 2; i < head; i++)
                length = length << 8 | at[i];
        }
        if (length > READ_SIZE / 2) {
            give_up(crowd, client, "got too large a frame, or a masked one");
            break;
        }
        if (left - head < length)
            break;
        got_frame(crowd, client, at[0] & 15, bytes_make((const char *)at + head, length));
        taken += head + length;
    }
    return taken;
}

/* Handles the answer to the upgrade when it is whole; returns how many bytes it took. */
static size_t take_head(struct crowd *crowd, struct client *client, struct bytes input)
{
    const char *end = memmem(input.data, input.length, "\r\n\r\n", 4);

    if (!end)
        return 0;
    if (!bytes_starts_with(input, BYTES("HTTP/1.1 101 "))) {
        give_up_at(crowd, client, "the upgrade was refused", input);
        return 0;
    }
    if (crowd->plan.language == CROWD_PLAIN)
        become_ready(crowd, client);
    else
        client->state = OPENING;
    return (size_t)(end + 4 - input.data);
}

static void receive(struct crowd *crowd, struct client *client)
{
    size_t have = client->behind.length, taken = 0;
    ssize_t received;

    if (have)
        memcpy(crowd->input, client->behind.data, have);
    received = recv(client->fd, crowd->input + have, READ_SIZE - have, MSG_DONTWAIT);
    if (received < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (received <= 0) {
        give_up(crowd, client, received < 0 ? strerror(errno) : "the server closed the connection");
        return;
    }
    have += (size_t)received;
    if (crowd->measuring)
        crowd->now = clock_monotonic_ns();
    if (client->state == UPGRADING)
        taken = take_head(crowd, client, bytes_make(crowd->input, have));
    if (!is_gone(client) && client->state != UPGRADING)
        taken += take_frames(crowd, client, bytes_make(crowd->input + taken, have - taken));
    if (is_gone(client))
        return;
    /* Ten thousand idle clients need no memory for what they may receive one day. */
    buffer_done(&client->behind);
    buffer_append(&client->behind, crowd->input + taken, have - taken);
}

static void ask_for_upgrade(struct crowd *crowd, struct client *client)
{
    struct epoll_event reading = {.events = EPOLLIN, .data.u32 = number_of(crowd, client)};
    struct buffer head = {0};
    int error = 0;
    socklen_t length = sizeof error;

    if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length) || error ||
        epoll_ctl(crowd->epoll, EPOLL_CTL_MOD, client->fd, &reading)) {
        give_up(crowd, client, error ? strerror(error) : strerror(errno));
        return;
    }
    client->state = UPGRADING;
    if (crowd->plan.language == CROWD_PLAIN)
        buffer_printf(&head, "GET /?room=room-%u HTTP/1.1\r\n", client->room);
    else
        buffer_append_literal(&head, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n");
    buffer_printf(&head,
                  "Host: %s:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Key: aHViYnViLWJlbmNoLXJ1bg==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                  crowd->plan.host, crowd->plan.port);
    send_bytes(crowd, client, buffer_bytes(&head));
    buffer_done(&head);
}

static void start_one(struct crowd *crowd, unsigned number)
{
    struct client *client = &crowd->clients[number];
    struct epoll_event connecting = {.events = EPOLLOUT, .data.u32 = number};
    int yes = 1;

    client->room = number / crowd->plan.members;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0 || setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) ||
        (connect(client->fd, (const struct sockaddr *)&crowd->address, sizeof crowd->address) &&
         errno != EINPROGRESS) ||
        epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, client->fd, &connecting))
        give_up(crowd, client, strerror(errno));
}

bool crowd_start_some(struct crowd *crowd)
{
    struct crowd_figures *figures = &crowd->figures;

    while (figures->started < crowd->size &&
           figures->started - figures->ready - figures->failed - figures->lost < crowd->plan.opening)
        start_one(crowd, figures->started++);
    return figures->started == crowd->size;
}

void crowd_turn(struct crowd *crowd, int milliseconds)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(crowd->epoll, events, EVENTS, milliseconds);

    for (int i = 0; i < count; i++) {
        struct client *client = &crowd->clients[events[i].data.u32];

        if (is_gone(client))
            continue;
        if (client->state == CONNECTING)
            ask_for_upgrade(crowd, client);
        else
            receive(crowd, client);
    }
}

struct crowd *crowd_new(const struct crowd_plan *plan)
{
    struct crowd *crowd;
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (epoll < 0)
        return NULL;
    crowd = memory_zero(1, sizeof *crowd);
    crowd->plan = *plan;
    crowd->epoll = epoll;
    crowd->size = plan->rooms * plan->members;
    crowd->clients = memory_zero(crowd->size, sizeof *crowd->clients);
    crowd->ready_members = memory_zero(plan->rooms, sizeof *crowd->ready_members);
    crowd->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(plan->port)};
    for (unsigned i = 0; i < crowd->size; i++)
        crowd->clients[i].fd = -1;
    if (inet_pton(AF_INET, plan->host, &crowd->address.sin_addr) != 1) {
        crowd_free(crowd);
        errno = EINVAL;
        return NULL;
    }
    return crowd;
}

void crowd_free(struct crowd *crowd)
{
    if (!crowd)
        return;
    for (unsigned i = 0; i < crowd->size; i++) {
        if (crowd->clients[i].fd >= 0)
            close(crowd->clients[i].fd);
        buffer_done(&crowd->clients[i].frame);
        buffer_done(&crowd->clients[i].behind);
    }
    close(crowd->epoll);
    free(crowd->clients);
    free(crowd->ready_members);
    free(crowd->samples.values);
    free(crowd);
}

unsigned crowd_size(const struct crowd *crowd)
{
    return crowd->size;
}

bool crowd_is_publisher(const struct crowd *crowd, unsigned number)
{
    return number % crowd->plan.members < crowd->plan.publishers;
}

void crowd_measure(struct crowd *crowd, bool on)
{
    crowd->measuring = on;
}

const struct crowd_samples *crowd_samples(const struct crowd *crowd)
{
    return &crowd->samples;
}

const struct crowd_figures *crowd_figures(const struct crowd *crowd)
{
    return &crowd->figures;
}

uint64_t crowd_segments(const struct crowd *crowd)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < crowd->size; i++) {
        struct tcp_info info = {0};
        socklen_t length = sizeof info;

        if (crowd->clients[i].state == READY &&
            getsockopt(crowd->clients[i].fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0)
            total += info.tcpi_data_segs_in;
    }
    return total;
}
