/*
 * The clients of the load generator: their connections, and as much of Socket.IO as they need.
 *
 * load.c decides when who publishes; crowd_websocket.c and crowd_polling.c carry the texts.  The surprise: a
 * publisher's message is made once, and only the mark and the ack id in it are written anew each time, and
 * what it sends for the acknowledgements of one read leaves in one write, so that the generator measures the
 * server and not itself.
 */
#include "tests/bench/crowd.h"

#include "common/buffer.h"
#include "common/clock.h"
#include "common/memory.h"
#include "proto/socketio_msgpack.h"
#include "tests/bench/crowd_tls.h"
#include "tests/bench/crowd_transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS = 512,
    SHOWN = 200,       /* bytes of what came unexpectedly */
    NUMBER_DIGITS = 8, /* hexadecimal, of the sender */
    TIME_DIGITS = 16,  /* and of its clock in ns */
    MARK_LENGTH = NUMBER_DIGITS + 1 + TIME_DIGITS,
    ACK_AT = 2, /* where the ack id stands: 42100000[... */
    ACK_DIGITS = 6,
    ACK_FIRST = 100000, /* all have as many digits */
};

static const struct crowd_transport *const transports[] = {
    [CROWD_WEBSOCKET] = &crowd_websocket,
    [CROWD_DEFLATE] = &crowd_websocket,
    [CROWD_POLLING] = &crowd_polling,
};

static unsigned number_of(const struct crowd *crowd, const struct client *client)
{
    return (unsigned)(client - crowd->clients);
}

/* -- links ----------------------------------------------------------------------------------- */

static void close_link(struct link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
    crowd_tls_close(link->ssl);
    link->ssl = NULL;
    buffer_done(&link->behind);
}

/* Tells of the first one only: the others' reason is mostly the same. */
void crowd_give_up(struct crowd *crowd, struct client *client, const char *why, struct bytes got)
{
    bool was_ready = client->state == READY;

    if (client_is_gone(client))
        return;
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
    for (unsigned i = 0; i < CROWD_LINKS_MAX; i++)
        close_link(&client->links[i]);
    buffer_clear(&client->held);
}

static void give_up(struct crowd *crowd, struct client *client, const char *why)
{
    crowd_give_up(crowd, client, why, (struct bytes){"", 0});
}

static void send_now(struct crowd *crowd, struct client *client, unsigned link, struct bytes bytes)
{
    const struct link *to = &client->links[link];
    ssize_t sent = to->ssl ? crowd_tls_send(to->ssl, bytes.data, bytes.length)
                           : send(to->fd, bytes.data, bytes.length, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent != (ssize_t)bytes.length)
        give_up(crowd, client, sent < 0 ? strerror(errno) : "the server does not read");
}

void crowd_send(struct crowd *crowd, struct client *client, unsigned link, struct bytes bytes)
{
    if (client->asked_at)
        buffer_append_bytes(&client->held, bytes);
    else
        send_now(crowd, client, link, bytes);
}

static void send_held(struct crowd *crowd, struct client *client)
{
    if (client->held.length == 0)
        return;
    send_now(crowd, client, 0, buffer_bytes(&client->held));
    buffer_clear(&client->held);
}

/* What the poller is told of a link. */
static uint64_t link_data(const struct crowd *crowd, const struct client *client, unsigned link)
{
    return (uint64_t)number_of(crowd, client) * CROWD_LINKS_MAX + link;
}

/* The system chooses the port once both ends are known. */
static int take_source(const struct crowd *crowd, const struct client *client, int fd)
{
    struct sockaddr_in source = {.sin_family = AF_INET};
    int yes = 1;

    if (!crowd->plan.sources)
        return 0;
    source.sin_addr.s_addr = htonl(0x7f020001U + number_of(crowd, client) % crowd->plan.sources);
    return setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes) < 0
               ? -1
               : bind(fd, (const struct sockaddr *)&source, sizeof source);
}

void crowd_open_link(struct crowd *crowd, struct client *client, unsigned link)
{
    struct epoll_event connecting = {.events = EPOLLOUT, .data.u64 = link_data(crowd, client, link)};
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    client->links[link].fd = fd;
    client->links[link].connecting = true;
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) ||
        take_source(crowd, client, fd) ||
        (connect(fd, (const struct sockaddr *)&crowd->address, sizeof crowd->address) &&
         errno != EINPROGRESS) ||
        epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, fd, &connecting))
        give_up(crowd, client, strerror(errno));
}

static void shake_hands(struct crowd *crowd, struct client *client, unsigned number)
{
    struct link *link = &client->links[number];
    int result = crowd_tls_shake_hands(link->ssl);

    if (result == ERROR_AGAIN)
        return;
    if (result < 0) {
        give_up(crowd, client, "the handshake of TLS failed");
        return;
    }
    link->connecting = false;
    crowd->transport->connected(crowd, client, number);
}

static void finish_connecting(struct crowd *crowd, struct client *client, unsigned number)
{
    struct epoll_event reading = {.events = EPOLLIN, .data.u64 = link_data(crowd, client, number)};
    struct link *link = &client->links[number];
    int error = 0;
    socklen_t length = sizeof error;

    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &length) || error ||
        epoll_ctl(crowd->epoll, EPOLL_CTL_MOD, link->fd, &reading)) {
        give_up(crowd, client, error ? strerror(error) : strerror(errno));
        return;
    }
    if (crowd->tls) {
        link->ssl = crowd_tls_open(crowd->tls, link->fd);
        if (link->ssl)
            shake_hands(crowd, client, number);
        else
            give_up(crowd, client, "no memory for TLS");
        return;
    }
    link->connecting = false;
    crowd->transport->connected(crowd, client, number);
}

static void receive(struct crowd *crowd, struct client *client, unsigned number)
{
    struct link *link = &client->links[number];
    size_t have = link->behind.length, taken;
    ssize_t received;

    if (have)
        memcpy(crowd->input, link->behind.data, have);
    received = link->ssl ? crowd_tls_receive(link->ssl, crowd->input + have, CROWD_READ_SIZE - have)
                         : recv(link->fd, crowd->input + have, CROWD_READ_SIZE - have, MSG_DONTWAIT);
    if (received < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (received == 0 && crowd->transport->may_end && crowd->transport->may_end(client, number)) {
        close_link(link);
        return;
    }
    if (received <= 0) {
        give_up(crowd, client, received < 0 ? strerror(errno) : "the server closed the connection");
        return;
    }
    have += (size_t)received;
    if (crowd->measuring)
        crowd->now = clock_monotonic_ns();
    taken = crowd->transport->input(crowd, client, number, bytes_make(crowd->input, have));
    if (client_is_gone(client))
        return;
    /* Ten thousand idle clients need no memory for what they may receive one day. */
    buffer_done(&link->behind);
    buffer_append(&link->behind, crowd->input + taken, have - taken);
}

/* -- messages -------------------------------------------------------------------------------- */

/* Text that compresses about as well as a chat's: words of a few syllables, the same in each run. */
static void append_words(struct buffer *out, unsigned length)
{
    uint32_t random = 1;
    char *to = buffer_reserve(out, length);

    for (unsigned i = 0; i < length; i++) {
        random = random * 1664525 + 1013904223;
        if (i % 2)
            to[i] = "aeiou"[(random >> 16) % 5];
        else
            to[i] = (random >> 24) % 3 ? "bdfghklmnprstvwz"[(random >> 16) % 16] : ' ';
    }
    buffer_extend(out, length);
}

/* Packets of the msgpack parser start with their type. */
#define MSGPACK_CONNECT BYTES("\x83\xa4type\x00")
#define MSGPACK_EVENT   BYTES("\x83\xa4type\x02")
#define MSGPACK_ACK     BYTES("\x84\xa4type\x03")

/* Sends what is a text in all languages but one. */
static void send_packet(struct crowd *crowd, struct client *client, struct bytes text)
{
    if (crowd->plan.language != CROWD_MSGPACK) {
        crowd->transport->send_text(crowd, client, text);
        return;
    }
    buffer_clear(&crowd->packet);
    socketio_msgpack_append(text, (struct bytes){0}, &crowd->packet);
    crowd->transport->send_binary(crowd, client, buffer_bytes(&crowd->packet));
}

/* What stands before the mark.  The blank, or the mark's length, tells it from an id that the server adds. */
static struct bytes mark_key(const struct crowd *crowd)
{
    if (crowd->plan.language == CROWD_MSGPACK)
        return crowd->plan.ids ? BYTES("\xa2id\xb9") : BYTES("\xa4mark\xb9");
    return crowd->plan.ids ? BYTES("\"id\": \"") : BYTES("\"mark\":\"");
}

static void prepare_message(struct crowd *crowd, struct client *client)
{
    static const char zeros[MARK_LENGTH + 1] = "0000000000000000000000000";
    bool plain = crowd->plan.language == CROWD_PLAIN;
    struct buffer *text = &client->message;
    struct bytes before = mark_key(crowd);
    const char *key;

    if (crowd->plan.acknowledged) {
        client->asked_at = memory_zero(CROWD_ASKS_MAX, sizeof *client->asked_at);
        buffer_printf(text, "42%d[\"%s\",", ACK_FIRST, crowd->plan.call ? crowd->plan.call : "msg");
    } else if (!plain) {
        buffer_append_literal(text, "42[\"msg\",");
    }
    buffer_printf(text, "{\"room\":\"room-%u\",", client->room);
    buffer_printf(text, "\"%s\":%s\"%s\",\"text\":\"", crowd->plan.ids ? "id" : "mark",
                  crowd->plan.ids ? " " : "", zeros);
    append_words(text, crowd->plan.text);
    buffer_printf(text, "\"}%s", plain ? "" : "]");
    if (crowd->plan.language == CROWD_MSGPACK) {
        struct buffer packet = {0};

        socketio_msgpack_append(buffer_bytes(text), (struct bytes){0}, &packet);
        buffer_done(text);
        *text = packet;
    }
    key = memmem(text->data, text->length, before.data, before.length);
    client->mark_at = (unsigned)(key + before.length - text->data);
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

/* Writes the next ack id into the message; false when too many are without an answer. */
static bool ask(struct client *client, uint64_t now)
{
    unsigned slot = client->asks % CROWD_ASKS_MAX;
    unsigned rest = ACK_FIRST + slot;

    if (client->asked_at[slot])
        return false;
    client->asked_at[slot] = now;
    client->asks++;
    for (unsigned i = ACK_DIGITS; i-- > 0; rest /= 10)
        client->message.data[ACK_AT + i] = (char)('0' + rest % 10);
    return true;
}

/* Whom one message of this client must reach. */
static unsigned audience(const struct crowd *crowd, const struct client *client)
{
    return crowd->plan.call ? 0 : crowd->ready_members[client->room];
}

void crowd_publish(struct crowd *crowd, unsigned number)
{
    struct client *client = &crowd->clients[number];
    char *mark = client->message.data + client->mark_at;
    uint64_t now = clock_monotonic_ns();

    if (client->state != READY || (client->asked_at && !ask(client, now)))
        return;
    write_hexadecimal(mark, NUMBER_DIGITS, number);
    mark[NUMBER_DIGITS] = '.';
    write_hexadecimal(mark + NUMBER_DIGITS + 1, TIME_DIGITS, now);
    crowd->figures.published++;
    crowd->figures.expected += audience(crowd, client);
    if (crowd->plan.language == CROWD_MSGPACK)
        crowd->transport->send_binary(crowd, client, buffer_bytes(&client->message));
    else
        crowd->transport->send_text(crowd, client, buffer_bytes(&client->message));
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
    struct bytes before = mark_key(crowd);
    const char *key = memmem(text.data, text.length, before.data, before.length);
    const char *mark = key + before.length;
    uint64_t sender, sent;

    if (!key || (size_t)(text.data + text.length - mark) < MARK_LENGTH ||
        read_hexadecimal(mark, NUMBER_DIGITS, &sender) ||
        read_hexadecimal(mark + NUMBER_DIGITS + 1, TIME_DIGITS, &sent)) {
        crowd_give_up(crowd, client, "got a text that is no message", text);
        return;
    }
    crowd->figures.delivered++;
    if (crowd->plan.acknowledged)
        return;
    if (crowd->measuring)
        take_sample(crowd, sent);
    if (sender == number_of(crowd, client) && crowd->plan.returned)
        crowd->plan.returned(crowd->plan.arg, number_of(crowd, client));
}

/* Where the question with the ack id of an answer stands, or NULL. */
static uint64_t *find_asked(const struct client *client, struct bytes answer)
{
    unsigned id = 0;

    if (!client->asked_at || answer.length < ACK_AT + ACK_DIGITS)
        return NULL;
    for (unsigned i = ACK_AT; i < ACK_AT + ACK_DIGITS; i++)
        id = id * 10 + (unsigned)(answer.data[i] - '0');
    if (id - ACK_FIRST >= CROWD_ASKS_MAX || !client->asked_at[id - ACK_FIRST])
        return NULL;
    return &client->asked_at[id - ACK_FIRST];
}

static void got_answer(struct crowd *crowd, struct client *client, struct bytes text)
{
    static const char accepted[] = "[{\"ok\":true,";
    uint64_t *asked_at = find_asked(client, text);

    if (!asked_at) {
        crowd_give_up(crowd, client, "got an answer to nothing", text);
        return;
    }
    if (memmem(text.data, text.length, accepted, sizeof accepted - 1)) {
        crowd->figures.acknowledged++;
    } else {
        if (crowd->figures.refused++ == 0)
            fprintf(stderr, "load: refused: %.*s\n", (int)text.length, text.data);
        crowd->figures.expected -= audience(crowd, client);
    }
    if (crowd->measuring)
        take_sample(crowd, *asked_at);
    *asked_at = 0;
    if (crowd->plan.returned)
        crowd->plan.returned(crowd->plan.arg, number_of(crowd, client));
}

void crowd_become_ready(struct crowd *crowd, struct client *client)
{
    client->state = READY;
    crowd->figures.ready++;
    crowd->ready_members[client->room]++;
    if (crowd_is_publisher(crowd, number_of(crowd, client)))
        prepare_message(crowd, client);
}

static void enter(struct crowd *crowd, struct client *client)
{
    const struct crowd_plan *plan = &crowd->plan;
    struct buffer text = {0};

    client->state = ENTERING;
    buffer_append_literal(&text, "40");
    if (plan->token_count)
        buffer_printf(&text, "{\"token\":\"%s\"}",
                      plan->tokens[number_of(crowd, client) % plan->token_count]);
    send_packet(crowd, client, buffer_bytes(&text));
    buffer_done(&text);
}

static void ask_to_join(struct crowd *crowd, struct client *client)
{
    struct buffer text = {0};

    client->state = JOINING;
    buffer_printf(&text, "420[\"join\",\"room-%u\"]", client->room);
    send_packet(crowd, client, buffer_bytes(&text));
    buffer_done(&text);
}

void crowd_got_text(struct crowd *crowd, struct client *client, struct bytes text)
{
    if (crowd->plan.language == CROWD_PLAIN || bytes_starts_with(text, BYTES("42["))) {
        got_message(crowd, client, text);
    } else if (bytes_equal(text, BYTES("2"))) {
        crowd->transport->send_text(crowd, client, BYTES("3"));
    } else if (client->state == OPENING && bytes_starts_with(text, BYTES("0{"))) {
        enter(crowd, client);
    } else if (client->state == ENTERING && bytes_starts_with(text, BYTES("40{"))) {
        ask_to_join(crowd, client);
    } else if (client->state == JOINING && bytes_starts_with(text, BYTES("430[{\"ok\":true"))) {
        crowd_become_ready(crowd, client);
    } else if (client->state == READY && bytes_starts_with(text, BYTES("43"))) {
        got_answer(crowd, client, text);
    } else {
        crowd_give_up(crowd, client, "got something else than it waits for", text);
    }
}

void crowd_got_binary(struct crowd *crowd, struct client *client, struct bytes packet)
{
    if (client->state == READY && bytes_starts_with(packet, MSGPACK_EVENT)) {
        got_message(crowd, client, packet);
    } else if (client->state == ENTERING && bytes_starts_with(packet, MSGPACK_CONNECT)) {
        ask_to_join(crowd, client);
    } else if (client->state == JOINING && bytes_starts_with(packet, MSGPACK_ACK) &&
               memmem(packet.data, packet.length, "\xa2ok\xc3", 4)) {
        crowd_become_ready(crowd, client);
    } else {
        crowd_give_up(crowd, client, "got another packet than it waits for", packet);
    }
}

/* -- the crowd ------------------------------------------------------------------------------- */

bool crowd_start_some(struct crowd *crowd)
{
    struct crowd_figures *figures = &crowd->figures;

    while (figures->started < crowd->size &&
           figures->started - figures->ready - figures->failed - figures->lost < crowd->plan.opening)
        crowd_open_link(crowd, &crowd->clients[figures->started++], 0);
    return figures->started == crowd->size;
}

void crowd_turn(struct crowd *crowd, int milliseconds)
{
    struct epoll_event events[EVENTS];
    int count;

    for (unsigned i = 0; i < crowd->size && crowd->plan.acknowledged; i++)
        send_held(crowd, &crowd->clients[i]);
    count = epoll_wait(crowd->epoll, events, EVENTS, milliseconds);
    for (int i = 0; i < count; i++) {
        struct client *client = &crowd->clients[events[i].data.u64 / CROWD_LINKS_MAX];
        unsigned link = events[i].data.u64 % CROWD_LINKS_MAX;

        if (client_is_gone(client) || client->links[link].fd < 0)
            continue;
        if (client->links[link].connecting && client->links[link].ssl)
            shake_hands(crowd, client, link);
        else if (client->links[link].connecting)
            finish_connecting(crowd, client, link);
        else
            receive(crowd, client, link);
        send_held(crowd, client);
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
    crowd->transport = transports[plan->transport];
    if (plan->transport == CROWD_DEFLATE)
        crowd->inflater = inflater_new();
    for (unsigned i = 0; i < crowd->size; i++) {
        crowd->clients[i].room = i / plan->members;
        for (unsigned link = 0; link < CROWD_LINKS_MAX; link++)
            crowd->clients[i].links[link].fd = -1;
    }
    if (plan->tls)
        crowd->tls = crowd_tls_new();
    if (plan->tls && !crowd->tls) {
        crowd_free(crowd);
        errno = ENOMEM;
        return NULL;
    }
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
        for (unsigned link = 0; link < CROWD_LINKS_MAX; link++)
            close_link(&crowd->clients[i].links[link]);
        buffer_done(&crowd->clients[i].message);
        buffer_done(&crowd->clients[i].unsent);
        buffer_done(&crowd->clients[i].held);
        free(crowd->clients[i].asked_at);
    }
    crowd_tls_free(crowd->tls);
    close(crowd->epoll);
    free(crowd->clients);
    free(crowd->ready_members);
    free(crowd->samples.values);
    buffer_done(&crowd->scratch);
    buffer_done(&crowd->packet);
    inflater_free(crowd->inflater);
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

static uint64_t segments_of(int fd)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;

    return fd >= 0 && getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 ? info.tcpi_data_segs_in : 0;
}

/* Of the first links: what comes on others is no delivery. */
uint64_t crowd_segments(const struct crowd *crowd)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < crowd->size; i++)
        if (crowd->clients[i].state == READY)
            total += segments_of(crowd->clients[i].links[0].fd);
    return total;
}

unsigned crowd_links(enum crowd_transport_kind transport)
{
    return transports[transport]->links;
}
